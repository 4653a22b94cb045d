//! Section on confusions: true class by predicted class.

use super::choice;
use crate::evaluation::{Evaluation, ExitEvaluation};
use crate::report::format::{name, thousands};
use crate::report::plots::MAX_CLASSES;
use crate::report::section::{Panel, Section, Table, TableRow, plain, shaded, table};

/// Each exit's confusion matrix, or its most frequent mistakes; `None` if there are none for so many classes.
pub fn confusion(evaluation: &Evaluation) -> Option<Section> {
    let names: Vec<String> = evaluation.classes.iter().map(|class| name(class)).collect();
    let small = names.len() <= MAX_CLASSES;
    let part = |e: &ExitEvaluation| {
        let table = if small { confusion_table } else { confused_pairs };
        Some(Panel { chart: None, table: Some(table(e, e.confusion.as_ref()?, &names)) })
    };
    let panels: Option<Vec<Panel>> = evaluation.exits.iter().map(part).collect();
    Some(Section {
        id: "confusion",
        link: "Confusion",
        title: "Which classes are confused".into(),
        choice: choice(evaluation),
        panels: panels?,
        ..Section::default()
    })
}

fn confusion_table(exit: &ExitEvaluation, confusion: &[Vec<u64>], names: &[String]) -> Table {
    let rows = confusion.iter().zip(names).map(|(row, name)| {
        let all = row.iter().sum::<u64>().max(1) as f64;
        let cell = |&n: &u64| match n {
            0 => plain("\u{b7}".into()),
            n => shaded(thousands(n), n as f64 / all),
        };
        TableRow { name: name.clone(), cells: row.iter().map(cell).collect() }
    });
    Table {
        caption: format!("Exit {}: true class by predicted class, images", exit.exit),
        columns: std::iter::once(String::new()).chain(names.iter().cloned()).collect(),
        rows: rows.collect(),
        shaded: true,
        folded: false,
    }
}

/// Table of the most frequent mistakes, for when the full matrix would be too large to read.
fn confused_pairs(exit: &ExitEvaluation, confusion: &[Vec<u64>], names: &[String]) -> Table {
    const SHOWN: usize = 20;
    let cells = confusion.iter().enumerate();
    let cells = cells.flat_map(|(t, row)| row.iter().enumerate().map(move |(p, &n)| (n, t, p)));
    let mut pairs: Vec<(u64, usize, usize)> = cells.filter(|&(n, t, p)| n > 0 && t != p).collect();
    pairs.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    let rows = pairs.iter().take(SHOWN).map(|&(n, truth, predicted)| TableRow {
        name: names[truth].clone(),
        cells: vec![plain(names[predicted].clone()), plain(thousands(n))],
    });
    let caption = format!("Exit {}: most frequent mistakes", exit.exit);
    table(&caption, &["true class", "predicted class", "images"], rows.collect())
}
