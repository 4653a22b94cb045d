//! The report as text tables.

use std::fmt::Write as _;

use crate::cli::columns::fitted;
use crate::cli::table::shortened;
use crate::evaluation::{Budget, Budgeted, ExitEvaluation, Hardness};

use super::args::EvalMode;
use super::early_exit::EarlyExitResult;
use super::report::EvaluationReport;

/// Maximum number of classes in the table of classes.
const MAX_CLASSES: usize = 20;
/// Budgets that are shown by default.
const DEFAULT_BUDGETS: [u16; 8] = [1, 5, 10, 15, 20, 25, 30, 39];

/// The tables of `mode`, or all. Writing to a String cannot fail.
pub fn report(report: &EvaluationReport, mode: Option<EvalMode>) -> String {
    let evaluation = &report.evaluation;
    // With one exit, all exits are the first and all budgets are the same.
    let several = evaluation.exits.len() > 1;
    let mut text = format!("{} images, {} classes\n", evaluation.images, evaluation.classes.len());
    if mode != Some(EvalMode::Dynamic) {
        exits(&mut text, &evaluation.exits);
    }
    if mode.is_none() {
        if evaluation.classes.len() <= MAX_CLASSES {
            classes(&mut text, &evaluation.exits);
        }
        if several {
            hardness(&mut text, &evaluation.hardness, &evaluation.exits);
        }
    }
    let dynamic = mode == Some(EvalMode::Dynamic);
    if let Some(budgeted) = &evaluation.budgeted
        && (dynamic || mode.is_none() && several)
    {
        budgets(&mut text, budgeted, dynamic);
    }
    if let Some(early) = &report.early_exit {
        early_exit(&mut text, early, &evaluation.exits);
    }
    text
}

fn exits(text: &mut String, exits: &[ExitEvaluation]) {
    let batch = exits.iter().find_map(|exit| exit.milliseconds).map_or(1, |ms| ms.batch);
    let _ = writeln!(
        text,
        "\nexit  top-1 %  95 % interval   top-5 %    ECE  M mult-adds  ms alone  ms in {batch}"
    );
    for exit in exits {
        let accuracy = &exit.accuracy;
        let [low, high] = accuracy.top1_interval;
        let _ = write!(
            text,
            "{:>4}  {:>7.2}  {low:>5.2} .. {high:>6.2}  {:>7.2}  {:>5.3}",
            exit.exit, accuracy.top1, accuracy.top5, exit.calibration.ece
        );
        if let (Some(work), Some(ms)) = (exit.multiply_adds, exit.milliseconds) {
            let _ = write!(text, "  {:>11.1}  {:>8.3}  {:>8.3}", work as f64 / 1e6, ms.alone, ms.in_batch);
        }
        text.push('\n');
    }
}

/// A row of numbers.
fn row<T: ToString>(name: &str, cells: impl IntoIterator<Item = T>) -> (String, Vec<String>) {
    (name.into(), cells.into_iter().map(|cell| cell.to_string()).collect())
}

fn numbers(exits: &[ExitEvaluation]) -> impl Iterator<Item = usize> {
    exits.iter().map(|exit| exit.exit)
}

/// Accuracy by class and exit: Table 1 of the article.
fn classes(text: &mut String, exits: &[ExitEvaluation]) {
    let Some(first) = exits.first() else { return };
    let mut rows = vec![row("top-1 % at exit", numbers(exits))];
    for (i, class) in first.classes.iter().enumerate() {
        let top1 =
            exits.iter().map(|exit| exit.classes[i].top1.map_or("-".into(), |top1| format!("{top1:.1}")));
        rows.push(row(&shortened(&class.class), top1));
    }
    *text += &format!("\n{}", fitted(&rows));
}

fn hardness(text: &mut String, hardness: &Hardness, exits: &[ExitEvaluation]) {
    let counts = [row("correct exits", 0..hardness.right_exits.len()), row("images", &hardness.right_exits)];
    let exits = ["none".to_string()].into_iter().chain(numbers(exits).map(|exit| exit.to_string()));
    let first = [hardness.never_right].into_iter().chain(hardness.first_right.iter().copied());
    let first = [row("first correct exit", exits), row("images", first)];
    *text += &format!("\n{}\n{}", fitted(&counts), fitted(&first));
}

fn budgets(text: &mut String, budgeted: &Budgeted, all: bool) {
    let _ = writeln!(
        text,
        "\nBudgets: thresholds determined on {} images, applied to {}\n   p   top-1 %  M multiply-adds  ms in batches",
        budgeted.validation_images, budgeted.images
    );
    for Budget { p, top1, multiply_adds, milliseconds, .. } in
        budgeted.budgets.iter().filter(|budget| all || DEFAULT_BUDGETS.contains(&budget.p))
    {
        let ms = milliseconds.map_or("-".into(), |ms| format!("{ms:.3}"));
        let _ = writeln!(text, "{p:>4}  {top1:>8.2}  {:>15.1}  {ms:>13}", multiply_adds / 1e6);
    }
}

fn early_exit(text: &mut String, early: &EarlyExitResult, exits: &[ExitEvaluation]) {
    let threshold = |(i, threshold): (usize, &Option<f32>)| match threshold {
        _ if i + 1 == exits.len() => "0".into(),
        Some(threshold) => format!("{threshold:.3}"),
        None => "-".into(),
    };
    let rows = [
        row("exit", numbers(exits)),
        row("threshold", early.thresholds.0.iter().enumerate().map(threshold)),
        row("images that stop", &early.left),
    ];
    let _ = write!(text, "\nEarly exit of {} images\n{}", early.images, fitted(&rows));
    let share = |part: f64, all: f64| format!("{:.1} %", 100.0 * part / all);
    let all = early.multiply_adds_all as f64;
    let [low, high] = early.accuracy.top1_interval;
    let predictions = if early.same_predictions { "the same" } else { "NOT THE SAME" };
    let _ = write!(
        text,
        "top-1 %                 {:.2} ({low:.2} .. {high:.2})\n\
         M multiply-adds         {:.1} of {:.1}, {}\n\
         ms in batches           {:.3} of {:.3}, {}\n\
         predictions             {predictions} as without early exit\n",
        early.accuracy.top1,
        early.multiply_adds / 1e6,
        all / 1e6,
        share(early.multiply_adds, all),
        early.milliseconds,
        early.milliseconds_all,
        share(early.milliseconds, early.milliseconds_all),
    );
}
