//! An evaluation in a sentence and a few numbers.

use serde::Serialize;

use super::format::{images, percent, share};
use crate::evaluation::{Evaluation, ExitEvaluation};

/// A number that sums the run up.
#[derive(Debug, Serialize)]
pub struct Figure {
    pub number: String,
    pub what: String,
}

/// The sentence over everything.
pub fn headline(evaluation: &Evaluation) -> String {
    let n = evaluation.images;
    let exit = |e: &ExitEvaluation| (e.exit, percent(e.accuracy.top1, n));
    match &evaluation.exits[..] {
        [] => String::new(),
        [only] => format!("Exit {} is right on {}", only.exit, exit(only).1),
        [first, .., last] => {
            let ((a, first), (b, last)) = (exit(first), exit(last));
            format!("Exit {a} is right on {first} of the images, exit {b} on {last}")
        }
    }
}

/// The numbers under the headline.
pub fn figures(evaluation: &Evaluation) -> Vec<Figure> {
    let n = evaluation.images;
    let hardness = &evaluation.hardness;
    let figure = |number, what: &str| Figure { number, what: what.into() };
    let every = hardness.right_exits.last().copied().unwrap_or(0);
    let some = n as u64 - every - hardness.never_right;
    let mut figures = vec![
        figure(percent(share(every, n), n), "right at every exit"),
        figure(percent(share(some, n), n), "right at some exits"),
        figure(percent(share(hardness.never_right, n), n), "right at no exit"),
    ];
    if let Some(best) = best(evaluation) {
        figures.push(figure(format!("exit {}", best.exit), "is right most often"));
    }
    figures
}

/// The exit that is right most often; the earliest of equals.
fn best(evaluation: &Evaluation) -> Option<&ExitEvaluation> {
    evaluation.exits.iter().rev().max_by(|a, b| a.accuracy.top1.total_cmp(&b.accuracy.top1))
}

/// Whether running on to the last exit pays.
pub fn best_and_last(evaluation: &Evaluation) -> Option<String> {
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

    /// Ten images of two classes, of which the exits get so many right.
    fn said(right: &[usize]) -> String {
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
    fn an_exit_that_ties_with_the_last_is_not_called_better() {
        assert!(said(&[7, 8]).starts_with("The last exit is the best: 80"));
        assert!(said(&[8, 7]).starts_with("The best exit is not the last: exit 1 is right on 80"));
        assert!(said(&[7, 8, 8]).starts_with("Exit 2 is as good as the last: both are right on 80"));
    }
}
