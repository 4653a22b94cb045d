//! Section on the accuracy of each class at each exit.

use super::exit_names;
use crate::evaluation::Evaluation;
use crate::report::format::name;
use crate::report::plots;
use crate::report::plots::MAX_CLASSES;
use crate::report::section::{Panel, Section, Table, TableRow, shaded};

/// The section; of many classes, the least accurate ones.
pub fn classes(evaluation: &Evaluation) -> Option<Section> {
    let mut shown = plots::shown_classes(evaluation);
    let last = evaluation.exits.last()?;
    let all = shown.len();
    let mut texts = Vec::new();
    if all > MAX_CLASSES {
        shown.sort_by(|&a, &b| last.classes[a].top1.partial_cmp(&last.classes[b].top1).expect("percentages"));
        shown.truncate(MAX_CLASSES);
        texts.push(format!(
            "The {MAX_CLASSES} of {all} classes on which exit {} is least accurate.",
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
    if let Some(text) = widest_gain(evaluation, &shown) {
        texts.push(text);
    }
    let columns = std::iter::once("class".to_string()).chain(exit_names(evaluation));
    let table = Table {
        caption: "Accuracy of each exit on each class, %".into(),
        columns: columns.collect(),
        rows,
        shaded: true,
        folded: false,
    };
    Some(Section {
        id: "classes",
        link: "Classes",
        title: "Which classes need the later exits".into(),
        texts,
        panels: vec![Panel { chart: None, table: Some(table) }],
        ..Section::default()
    })
}

/// Sentence on the classes that gain most and least from the first to the last exit.
fn widest_gain(evaluation: &Evaluation, shown: &[usize]) -> Option<String> {
    let (first, last) = (evaluation.exits.first()?, evaluation.exits.last()?);
    if first.exit == last.exit {
        return None;
    }
    let gain = |&class: &usize| Some((last.classes[class].top1? - first.classes[class].top1?, class));
    let mut gains: Vec<(f64, usize)> = shown.iter().filter_map(gain).collect();
    gains.sort_by(|a, b| b.0.total_cmp(&a.0));
    let ([(most, a), ..], [.., (least, b)]) = (&gains[..], &gains[..]) else { return None };
    let points = |gain: f64| format!("{gain:+.1} points").replace('-', "\u{2212}");
    let name = |class: usize| name(&evaluation.classes[class]);
    (a != b).then(|| {
        format!(
            "From exit {} to exit {}, {} gains most ({}), {} least ({}).",
            first.exit,
            last.exit,
            name(*a),
            points(*most),
            name(*b),
            points(*least)
        )
    })
}
