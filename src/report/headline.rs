//! Headline of the report: an evaluation in one sentence and a few key figures.

use serde::Serialize;

use super::format::{images, percent, share};
use crate::evaluation::{Evaluation, ExitEvaluation};

/// A key figure: a value with its label.
#[derive(Debug, Serialize)]
pub struct KeyFigure {
    pub value: String,
    pub label: String,
}

/// The headline sentence.
pub fn headline(evaluation: &Evaluation) -> String {
    let n = evaluation.images;
    let exit = |e: &ExitEvaluation| (e.exit, percent(e.accuracy.top1, n));
    match &evaluation.exits[..] {
        [] => String::new(),
        [only] => format!("Exit {} is right on {} of the images", only.exit, exit(only).1),
        [first, .., last] => {
            let ((a, first), (b, last)) = (exit(first), exit(last));
            format!("Exit {a} is right on {first} of the images, exit {b} on {last}")
        }
    }
}

/// The key figures below the headline.
pub fn key_figures(evaluation: &Evaluation) -> Vec<KeyFigure> {
    let n = evaluation.images;
    let hardness = &evaluation.hardness;
    let figure = |value, label: &str| KeyFigure { value, label: label.into() };
    if let [only] = &evaluation.exits[..] {
        let mut figures = Vec::new();
        if evaluation.classes.len() > 5 {
            figures.push(figure(percent(only.accuracy.top5, n), "right within the five likeliest classes"));
        }
        figures.push(figure(percent(100.0 * only.calibration.ece, n), "calibration error"));
        return figures;
    }
    let every = hardness.right_exits.last().copied().unwrap_or(0);
    let some = n as u64 - every - hardness.never_right;
    let mut figures = vec![
        figure(percent(share(every, n), n), "right at every exit"),
        figure(percent(share(some, n), n), "right at some exits"),
        figure(percent(share(hardness.never_right, n), n), "right at no exit"),
    ];
    if let Some(best) = best(evaluation) {
        figures.push(figure(format!("exit {}", best.exit), "most accurate exit"));
    }
    figures
}

/// The most accurate exit; the earliest in case of a tie.
fn best(evaluation: &Evaluation) -> Option<&ExitEvaluation> {
    evaluation.exits.iter().rev().max_by(|a, b| a.accuracy.top1.total_cmp(&b.accuracy.top1))
}

/// Sentence that compares the best exit with the last one; `None` for a single exit.
pub fn best_and_last(evaluation: &Evaluation) -> Option<String> {
    if evaluation.exits.len() < 2 {
        return None;
    }
    let n = evaluation.images;
    let (best, last) = (best(evaluation)?, evaluation.exits.last()?);
    let [most, at_last] = [best, last].map(|e| percent(e.accuracy.top1, n));
    Some(if best.exit == last.exit {
        format!("The last exit is the best: {most} of {}.", images(n))
    } else if best.accuracy.top1 == last.accuracy.top1 {
        format!("Exit {} is as good as the last: both are right on {most} of {}.", best.exit, images(n))
    } else {
        format!(
            "The best exit is not the last: exit {} is right on {most} of {}, exit {} on {at_last}.",
            best.exit,
            images(n),
            last.exit
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::{ExitOutcome, ImageOutcome};

    /// The sentence for ten images of two classes, of which exit k classifies `right[k]` correctly.
    fn sentence(right: &[usize]) -> String {
        let outcome = |image: usize| ImageOutcome {
            label: 0,
            exits: right
                .iter()
                .map(|&n| {
                    let wrong = usize::from(image >= n);
                    ExitOutcome::new(wrong, 0.9, wrong)
                })
                .collect(),
        };
        let outcomes: Vec<ImageOutcome> = (0..10).map(outcome).collect();
        let exits: Vec<usize> = (1..=right.len()).collect();
        let classes = ["cat", "dog"].map(String::from);
        best_and_last(&Evaluation::new(&outcomes, &exits, &classes, None)).unwrap()
    }

    #[test]
    fn a_tie_with_the_last_exit_is_called_a_tie() {
        assert!(sentence(&[7, 8]).starts_with("The last exit is the best: 80"));
        assert!(sentence(&[8, 7]).starts_with("The best exit is not the last: exit 1 is right on 80"));
        assert!(sentence(&[7, 8, 8]).starts_with("Exit 2 is as good as the last: both are right on 80"));
    }
}
