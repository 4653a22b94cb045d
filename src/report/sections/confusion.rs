//! Section on confusions: true class by predicted class.

use super::choice;
use crate::evaluation::{Evaluation, ExitEvaluation};
use crate::report::format::{name, thousands};
use crate::report::plots;
use crate::report::plots::MAX_CLASSES;
use crate::report::section::{Panel, Section, Table, TableRow, plain, shaded, table};

/// Each exit's confusion matrix or, of many classes, its most frequent mistakes.
pub fn confusion(evaluation: &Evaluation) -> Section {
    let names: Vec<String> = evaluation.classes.iter().map(|class| name(class)).collect();
    let small = names.len() <= MAX_CLASSES;
    let part = |e: &ExitEvaluation| {
        let table = if small { confusion_table } else { confused_pairs };
        Panel { chart: None, table: Some(table(e, &names)) }
    };
    Section {
        id: "confusion",
        link: "Confusion",
        title: "Which classes are confused".into(),
        choice: choice(evaluation),
        panels: evaluation.exits.iter().map(part).collect(),
        ..Section::default()
    }
}

fn confusion_table(exit: &ExitEvaluation, names: &[String]) -> Table {
    let matrix = plots::confusion_matrix(exit, names.len());
    let rows = matrix.iter().zip(names).map(|(row, name)| {
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
fn confused_pairs(exit: &ExitEvaluation, names: &[String]) -> Table {
    const SHOWN: usize = 20;
    let mut pairs: Vec<(usize, usize, u64)> = exit.confusion.clone();
    pairs.retain(|(truth, predicted, _)| truth != predicted);
    // Stable: pairs that are as frequent stay in the order of the classes.
    pairs.sort_by_key(|&(_, _, images)| std::cmp::Reverse(images));
    let rows = pairs.iter().take(SHOWN).map(|&(truth, predicted, n)| TableRow {
        name: names[truth].clone(),
        cells: vec![plain(names[predicted].clone()), plain(thousands(n))],
    });
    let caption = format!("Exit {}: most frequent mistakes", exit.exit);
    table(&caption, &["true class", "predicted class", "images"], rows.collect())
}
