//! Ranking of pixels by their importance.

use std::str::FromStr;

use crate::explain::method::by_name;
use crate::util::rng::mix;
use crate::{Error, Result};

/// Order of equally important pixels. An 8 x 8 map that is resized to 32 x 32 has many zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ties {
    /// By position, row by row: a stable sort, as in torchcam.
    #[default]
    Position,
    /// Pseudo-random, determined by the seed.
    Random,
}

impl Ties {
    /// Its name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Ties::Position => "position",
            Ties::Random => "random",
        }
    }
}

impl FromStr for Ties {
    type Err = Error;

    fn from_str(text: &str) -> Result<Ties> {
        by_name("tie rule", text, &[Ties::Position, Ties::Random], Ties::name)
    }
}

/// Indices of the pixels of `values`, the largest value first. Only [`Ties::Random`] uses `seed`.
pub fn most_important_first(values: &[f32], ties: Ties, seed: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    let of = |i: u32| values[i as usize];
    match ties {
        Ties::Position => order.sort_by(|&a, &b| of(b).total_cmp(&of(a))),
        Ties::Random => {
            let key = |i: u32| mix(seed ^ mix(u64::from(i)));
            order.sort_by(|&a, &b| of(b).total_cmp(&of(a)).then(key(a).cmp(&key(b))));
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_by_value_and_breaks_ties_by_the_rule() {
        let values = [0.5, 0.0, 1.0, 0.5, 0.0];
        assert_eq!(most_important_first(&values, Ties::Position, 0), [2, 0, 3, 1, 4]);
        let flat = [0.0; 64];
        let random = |seed| most_important_first(&flat, Ties::Random, seed);
        assert_eq!(random(1), random(1));
        assert_ne!(random(1), random(2));
        let mut sorted = random(1);
        assert_ne!(sorted, most_important_first(&flat, Ties::Position, 1));
        sorted.sort_unstable();
        assert_eq!(sorted, most_important_first(&flat, Ties::Position, 1));
    }
}
