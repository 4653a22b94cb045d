//! How many maps of a run mean nothing, and why.

use std::collections::BTreeMap;

use crate::imaging::heatmap::MapStatus;

use super::artifacts::Drawing;

/// Counts of a run's maps.
#[derive(Debug, Default)]
pub struct Statuses {
    maps: usize,
    empty: BTreeMap<usize, usize>,
    constant: BTreeMap<usize, usize>,
    nonfinite: BTreeMap<usize, usize>,
}

impl Statuses {
    /// Counts the maps of an image; differences are of maps that are counted.
    pub fn count(&mut self, drawing: &Drawing) {
        for layer in drawing.style.layers.all.iter().filter(|layer| layer.minus.is_none()) {
            for i in 0..drawing.findings.exits() {
                self.add(
                    drawing.findings.at(i, layer.rank).prediction.exit,
                    drawing.findings.status(layer, i),
                );
            }
        }
    }

    fn add(&mut self, exit: usize, status: MapStatus) {
        self.maps += 1;
        let by_exit = match status {
            MapStatus::Ok => return,
            MapStatus::Empty => &mut self.empty,
            MapStatus::Constant => &mut self.constant,
            MapStatus::Nonfinite => &mut self.nonfinite,
        };
        *by_exit.entry(exit).or_default() += 1;
    }

    /// A line for each status other than ok: `12 of 1000 maps are empty (exit 1: 12)`.
    pub fn summary(&self) -> Vec<String> {
        let kinds = [("empty", &self.empty), ("constant", &self.constant), ("not finite", &self.nonfinite)];
        let line = |(words, by_exit): (&str, &BTreeMap<usize, usize>)| {
            let count: usize = by_exit.values().sum();
            let exits: Vec<String> = by_exit.iter().map(|(exit, n)| format!("exit {exit}: {n}")).collect();
            let (maps, are) = (self.maps, if count == 1 { "is" } else { "are" });
            (count > 0).then(|| format!("{count} of {maps} maps {are} {words} ({})", exits.join(", ")))
        };
        kinds.into_iter().filter_map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_the_exits_of_each_kind() {
        let mut statuses = Statuses::default();
        assert!(statuses.summary().is_empty());
        for (exit, status) in [
            (1, MapStatus::Empty),
            (2, MapStatus::Ok),
            (1, MapStatus::Empty),
            (10, MapStatus::Empty),
            (2, MapStatus::Nonfinite),
        ] {
            statuses.add(exit, status);
        }
        assert_eq!(
            statuses.summary(),
            ["3 of 5 maps are empty (exit 1: 2, exit 10: 1)", "1 of 5 maps is not finite (exit 2: 1)"]
        );
    }
}
