//! What is taken for what.

use super::choice;
use crate::evaluation::{Evaluation, ExitEvaluation};
use crate::report::format::{name, thousands};
use crate::report::plots::MOST_CLASSES;
use crate::report::section::{Part, Row, Section, Table, plain, shaded, table};

/// Each exit's confusion matrix, or its most frequent mistakes.
pub fn confusion(evaluation: &Evaluation) -> Section {
    let names: Vec<String> = evaluation.classes.iter().map(|class| name(class)).collect();
    let small = names.len() <= MOST_CLASSES;
    let part = |e: &ExitEvaluation| {
        let table = if small { confusion_table(e, &names) } else { confused_pairs(e, &names) };
        Part { chart: None, table: Some(table) }
    };
    Section {
        id: "confusion",
        link: "Confusion",
        title: "What is taken for what".into(),
        choice: choice(evaluation),
        parts: evaluation.exits.iter().map(part).collect(),
        ..Section::default()
    }
}

fn confusion_table(exit: &ExitEvaluation, names: &[String]) -> Table {
    let rows = exit.confusion.iter().zip(names).map(|(row, name)| {
        let all = row.iter().sum::<u64>().max(1) as f64;
        let cell = |&n: &u64| match n {
            0 => plain("\u{b7}".into()),
            n => shaded(thousands(n), n as f64 / all),
        };
        Row { name: name.clone(), cells: row.iter().map(cell).collect() }
    });
    Table {
        caption: format!("Exit {}: true class by predicted class, images", exit.exit),
        columns: std::iter::once(String::new()).chain(names.iter().cloned()).collect(),
        rows: rows.collect(),
        heat: true,
        folded: false,
    }
}

/// The most frequent mistakes, where a whole matrix would be too large to read.
fn confused_pairs(exit: &ExitEvaluation, names: &[String]) -> Table {
    const SHOWN: usize = 20;
    let cells = exit.confusion.iter().enumerate();
    let cells = cells.flat_map(|(t, row)| row.iter().enumerate().map(move |(p, &n)| (n, t, p)));
    let mut pairs: Vec<(u64, usize, usize)> = cells.filter(|&(n, t, p)| n > 0 && t != p).collect();
    pairs.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    let rows = pairs.iter().take(SHOWN).map(|&(n, truth, predicted)| Row {
        name: names[truth].clone(),
        cells: vec![plain(names[predicted].clone()), plain(thousands(n))],
    });
    let caption = format!("Exit {}: its most frequent mistakes", exit.exit);
    table(&caption, &["true class", "taken for", "images"], rows.collect())
}
