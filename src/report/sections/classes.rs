//! How each class fares, exit by exit.

use super::exit_names;
use crate::evaluation::Evaluation;
use crate::report::format::name;
use crate::report::plots;
use crate::report::plots::MOST_CLASSES;
use crate::report::section::{Part, Row, Section, Table, shaded};

/// Where the classes and the exits are at odds.
pub fn classes(evaluation: &Evaluation) -> Option<Section> {
    let mut shown = plots::shown_classes(evaluation);
    let last = evaluation.exits.last()?;
    let all = shown.len();
    let mut texts = Vec::new();
    if all > MOST_CLASSES {
        shown.sort_by(|&a, &b| last.classes[a].top1.partial_cmp(&last.classes[b].top1).expect("percentages"));
        shown.truncate(MOST_CLASSES);
        texts.push(format!(
            "The {MOST_CLASSES} of {all} classes that exit {} gets wrong most often.",
            last.exit
        ));
    }
    let top1 = |class: usize| evaluation.exits.iter().filter_map(move |e| e.classes[class].top1);
    let least = shown.iter().flat_map(|&class| top1(class)).fold(100.0, f64::min);
    let row = |&class: &usize| Row {
        name: name(&evaluation.classes[class]),
        cells: top1(class)
            .map(|v| shaded(format!("{v:.1}"), (v - least) / (100.0 - least).max(1e-9)))
            .collect(),
    };
    let rows: Vec<Row> = shown.iter().map(row).collect();
    if let Some(text) = widest_gain(evaluation, &shown) {
        texts.push(text);
    }
    let columns = std::iter::once("class".to_string()).chain(exit_names(evaluation));
    let table = Table {
        caption: "Images of each class that each exit gets right, %".into(),
        columns: columns.collect(),
        rows,
        heat: true,
        folded: false,
    };
    Some(Section {
        id: "classes",
        link: "Classes",
        title: "Which classes need the later exits".into(),
        texts,
        parts: vec![Part { chart: None, table: Some(table) }],
        ..Section::default()
    })
}

/// Which class gains most from the first to the last exit, and which least.
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
