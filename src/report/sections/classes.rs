//! Section on the accuracy of each class at each exit.

use super::exit_names;
use crate::evaluation::Evaluation;
use crate::report::format::{name, thousands};
use crate::report::plots;
use crate::report::plots::MAX_CLASSES;
use crate::report::section::{Panel, Section, Table, TableRow, shaded};

/// The section; of many classes, the least accurate ones.
pub fn classes(evaluation: &Evaluation) -> Option<Section> {
    let mut shown = plots::shown_classes(evaluation);
    let last = evaluation.exits.last()?;
    let (all, several) = (shown.len(), evaluation.exits.len() > 1);
    let gain = widest_gain(evaluation, &shown);
    let mut texts = Vec::new();
    if all > MAX_CLASSES {
        shown.sort_by(|&a, &b| last.classes[a].top1.partial_cmp(&last.classes[b].top1).expect("percentages"));
        shown.truncate(MAX_CLASSES);
        texts.push(format!(
            "The {MAX_CLASSES} of {} classes on which exit {} is least accurate.",
            thousands(all as u64),
            last.exit
        ));
    }
    let top1 = |class: usize| evaluation.exits.iter().filter_map(move |e| e.classes[class].top1);
    let least = shown.iter().flat_map(|&class| top1(class)).fold(100.0, f64::min);
    let row = |&class: &usize| TableRow {
        name: name(&evaluation.classes[class]),
        cells: top1(class)
            .map(|v| shaded(format!("{v:.1}"), (v - least) / (100.0 - least).max(1e-9)))
            .collect(),
    };
    let rows: Vec<TableRow> = shown.iter().map(row).collect();
    texts.extend(gain);
    let one = ["top-1, %".to_string()];
    let exits: Vec<String> = if several { exit_names(evaluation).collect() } else { one.into() };
    let columns = std::iter::once("class".to_string()).chain(exits);
    let caption =
        if several { "Accuracy of each exit on each class, %" } else { "Accuracy on each class, %" };
    let table =
        Table { caption: caption.into(), columns: columns.collect(), rows, shaded: true, folded: false };
    Some(Section {
        id: "classes",
        link: "Classes",
        title: if several { "Which classes need the later exits" } else { "Accuracy of each class" }.into(),
        texts,
        panels: vec![Panel { chart: None, table: Some(table) }],
        ..Section::default()
    })
}

/// Sentence on those of `classes` that gain most and least from the first to the last exit; `None` where all gain the
/// same.
fn widest_gain(evaluation: &Evaluation, classes: &[usize]) -> Option<String> {
    let (first, last) = (evaluation.exits.first()?, evaluation.exits.last()?);
    let gain = |&class: &usize| Some((last.classes[class].top1? - first.classes[class].top1?, class));
    let mut gains: Vec<(f64, usize)> = classes.iter().filter_map(gain).collect();
    gains.sort_by(|a, b| b.0.total_cmp(&a.0));
    let ([(most, a), ..], [.., (least, b)]) = (&gains[..], &gains[..]) else { return None };
    let points = |gain: f64| match format!("{gain:+.1}").as_str() {
        "+0.0" | "-0.0" => "0.0 points".to_string(),
        text => format!("{text} points").replace('-', "\u{2212}"),
    };
    let (most, least) = (points(*most), points(*least));
    let name = |class: usize| name(&evaluation.classes[class]);
    (most != least).then(|| {
        format!(
            "From exit {} to exit {}, {} gains most ({most}), {} least ({least}).",
            first.exit,
            last.exit,
            name(*a),
            name(*b),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::{ExitOutcome, ImageOutcome};

    /// The texts of the section for one image of each of `right.len()` classes, on which the exits are right or wrong.
    fn texts(right: &[[bool; 2]]) -> Vec<String> {
        let outcome = |(label, right): (usize, &[bool; 2])| {
            let wrong = (label + 1) % 40;
            let exit = |&right: &bool| {
                if right { ExitOutcome::new(label, 0.9, 0) } else { ExitOutcome::new(wrong, 0.9, 1) }
            };
            ImageOutcome { label, exits: right.iter().map(exit).collect() }
        };
        let outcomes: Vec<ImageOutcome> = right.iter().enumerate().map(outcome).collect();
        let names: Vec<String> = (0..40).map(|class| format!("class {class}")).collect();
        classes(&Evaluation::new(&outcomes, &[1, 2], &names, None)).unwrap().texts
    }

    #[test]
    fn gains_are_those_of_all_classes_not_of_the_least_accurate() {
        let mut right = [[false, false]; 40];
        right[35] = [false, true];
        right[36] = [true, false];
        let [least, gain] = &texts(&right)[..] else { panic!("{:?}", texts(&right)) };
        assert!(least.starts_with("The 30 of 40 classes"), "{least}");
        let expected = "class 35 gains most (+100.0 points), class 36 least (\u{2212}100.0 points).";
        assert!(gain.ends_with(expected), "{gain}");
    }

    #[test]
    fn nothing_is_said_where_all_classes_gain_the_same() {
        assert_eq!(texts(&[[false, false]; 40]).len(), 1);
        assert_eq!(texts(&[[false, true]; 3]), [""; 0]);
        let one = texts(&[[false, false], [false, true]]);
        assert_eq!(
            one,
            ["From exit 1 to exit 2, class 1 gains most (+100.0 points), class 0 least (0.0 points)."]
        );
    }
}
