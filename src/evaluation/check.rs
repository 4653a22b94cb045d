//! Check of an evaluation that was read from a file: its counts add up, its shares are shares.

use super::{ClassAccuracy, Evaluation, ExitEvaluation};

/// Upper bound on class indices. The largest public label sets have some 22,000 classes.
pub const MAX_CLASSES: usize = 100_000;

/// Upper bound on exit numbers.
pub const MAX_EXITS: usize = 1000;

impl Evaluation {
    /// Checks the facts that [`Evaluation::new`] establishes and that the report relies on.
    ///
    /// # Errors
    /// The first two that disagree.
    pub fn check(&self) -> Result<(), String> {
        let (images, exits) = (self.images as u64, self.exits.len());
        check_exits(self.exits.iter().map(|exit| exit.exit))?;
        if self.exits.is_empty() {
            return Err("no exits".into());
        }
        if self.classes.len() > MAX_CLASSES {
            return Err(format!("{} classes, the limit is {MAX_CLASSES}", self.classes.len()));
        }
        for exit in &self.exits {
            exit.check(images, self.classes.len()).map_err(|cause| format!("exit {}: {cause}", exit.exit))?;
        }
        let hardness = &self.hardness;
        equal("hardness of exits", exits + 1, hardness.right_exits.len())?;
        equal("first right exits", exits, hardness.first_right.len())?;
        counts("hardness", images, hardness.right_exits.iter().copied())?;
        let firsts = hardness.first_right.iter().copied();
        counts("first right exits", images, firsts.chain([hardness.never_right]))?;
        equal("images without a right exit", hardness.right_exits[0], hardness.never_right)?;
        for budget in self.budgeted.iter().flat_map(|budgeted| &budgeted.budgets) {
            let of = self.budgeted.as_ref().map_or(0, |budgeted| budgeted.images as u64);
            equal("exits of a budget", exits, budget.left.len())?;
            equal("thresholds of a budget", exits, budget.thresholds.0.len())?;
            counts("exits of a budget", of, budget.left.iter().copied())?;
            within("accuracy of a budget", [budget.top1, budget.validation_top1], 100.0)?;
            let milliseconds = budget.milliseconds.unwrap_or(0.0);
            within("cost of a budget", [budget.multiply_adds, milliseconds], f64::MAX)?;
        }
        Ok(())
    }
}

/// Checks that exits are numbered from 1, in ascending order.
///
/// # Errors
/// The number that is not.
pub fn check_exits(exits: impl Iterator<Item = usize>) -> Result<(), String> {
    let mut before = 0;
    for exit in exits {
        if exit <= before || exit > MAX_EXITS {
            return Err(format!("exit {exit} after exit {before}, expected up to {MAX_EXITS} in order"));
        }
        before = exit;
    }
    Ok(())
}

impl ExitEvaluation {
    fn check(&self, images: u64, classes: usize) -> Result<(), String> {
        let accuracy = &self.accuracy;
        within("accuracy", [accuracy.top1, accuracy.top5], 100.0)?;
        within("interval", [accuracy.top1_interval, accuracy.top5_interval].concat(), 100.0)?;
        if let Some(milliseconds) = self.milliseconds {
            within("milliseconds", [milliseconds.alone, milliseconds.in_batch], f64::MAX)?;
        }
        within("calibration error", [self.calibration.ece], 1.0)?;
        for bin in &self.calibration.reliability {
            let means = [bin.confidence, bin.accuracy].into_iter().flatten();
            within("bin of the reliability", [bin.from, bin.to].into_iter().chain(means), 1.0)?;
        }
        counts("reliability", images, self.calibration.reliability.iter().map(|bin| bin.images))?;
        equal("classes", classes, self.classes.len())?;
        counts("classes", images, self.classes.iter().map(|class| class.images))?;
        for ClassAccuracy { top1, top1_interval, .. } in &self.classes {
            within("accuracy of a class", top1.iter().chain(top1_interval.iter().flatten()).copied(), 100.0)?;
        }
        let mut before = None;
        for &(label, predicted, _) in &self.confusion {
            if label.max(predicted) >= classes {
                return Err(format!("confusion matrix: classes {label} and {predicted} of {classes}"));
            }
            if before >= Some((label, predicted)) {
                return Err(format!("confusion matrix: classes {label} and {predicted} are not in order"));
            }
            before = Some((label, predicted));
        }
        counts("confusion matrix", images, self.confusion.iter().map(|&(_, _, images)| images))
    }
}

fn equal<T: PartialEq + std::fmt::Display>(what: &str, expected: T, found: T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: expected {expected}, found {found}")) }
}

fn counts(what: &str, images: u64, counts: impl Iterator<Item = u64>) -> Result<(), String> {
    let sum: u128 = counts.map(u128::from).sum();
    equal(&format!("{what}: sum of the images"), u128::from(images), sum)
}

fn within(what: &str, values: impl IntoIterator<Item = f64>, most: f64) -> Result<(), String> {
    match values.into_iter().find(|value| !(0.0..=most).contains(value)) {
        Some(value) => Err(format!("{what}: {value} is not from 0 to {most}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::{ExitOutcome, ImageOutcome};

    fn evaluation() -> Evaluation {
        let outcome = |i: usize| ImageOutcome {
            label: i % 3,
            exits: [i % 2, i % 3].map(|class| ExitOutcome::new(class, 0.7, (class + 3 - i % 3) % 3)).into(),
        };
        let outcomes: Vec<ImageOutcome> = (0..12).map(outcome).collect();
        Evaluation::new(&outcomes, &[1, 2], &["a", "b", "c"].map(String::from), Some(&[10, 20]))
    }

    /// Checks the evaluation after `damage` was done to its JSON form.
    fn damaged(damage: impl Fn(&mut serde_json::Value)) -> Result<(), String> {
        let mut value = serde_json::to_value(evaluation()).unwrap();
        damage(&mut value);
        serde_json::from_value::<Evaluation>(value).map_err(|e| e.to_string())?.check()
    }

    #[test]
    fn an_evaluation_passes_its_own_check() {
        assert_eq!(damaged(|_| ()), Ok(()));
    }

    #[test]
    fn each_number_that_disagrees_is_found() {
        let numbers = [
            "/images",
            "/exits/0/exit",
            "/exits/1/exit",
            "/exits/0/top1",
            "/exits/0/top5_interval/1",
            "/exits/0/ece",
            "/exits/0/reliability/3/images",
            "/exits/0/reliability/10/confidence",
            "/exits/0/classes/0/images",
            "/exits/0/classes/0/top1",
            "/exits/1/confusion/0/0",
            "/exits/1/confusion/2/1",
            "/exits/1/confusion/2/2",
            "/hardness/right_exits/0",
            "/hardness/first_right/1",
            "/hardness/never_right",
            "/budgeted/images",
            "/budgeted/budgets/5/left/0",
            "/budgeted/budgets/5/top1",
        ];
        let exits = |n: usize| serde_json::json!(vec![0; n]);
        let without_exits = damaged(|value| {
            value["exits"] = exits(0);
            value["hardness"] = serde_json::json!({
                "right_exits": [12], "first_right": exits(0), "never_right": 12
            });
            value["budgeted"] = serde_json::Value::Null;
        });
        assert_eq!(without_exits, Err("no exits".into()));
        for number in numbers {
            let result = damaged(|value| *value.pointer_mut(number).expect(number) = 5000.into());
            assert!(result.is_err(), "{number}");
        }
    }

    #[test]
    fn a_confusion_matrix_has_each_pair_once() {
        for pair in [[0, 0, 0], [9, 9, 0]] {
            let result = damaged(|value| {
                value["exits"][0]["confusion"].as_array_mut().unwrap().push(serde_json::json!(pair));
            });
            assert!(result.unwrap_err().contains("confusion matrix: classes"), "{pair:?}");
        }
    }

    #[test]
    fn each_list_of_another_length_is_found() {
        for list in ["/classes", "/exits/0/classes", "/exits/0/confusion", "/exits/1/confusion/0", "/exits"] {
            let result = damaged(|value| {
                value.pointer_mut(list).and_then(|list| list.as_array_mut()).expect(list).pop();
            });
            assert!(result.is_err(), "{list}");
        }
    }
}
