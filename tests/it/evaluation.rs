//! Evaluation against the authors' PyTorch code, scikit-learn, SciPy, torchmetrics and worked examples.

use crate::common::golden::Golden;
use msdcam::evaluation::{
    BUDGETS, Evaluation, ExitOutcome, ImageOutcome, ThresholdSearch, Thresholds, dynamic_txt, exit_shares,
    hardness_csv, list_line, wilson,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Answers {
    multiply_adds: Vec<u64>,
    budgets: Vec<Budget>,
    exits: Vec<Exit>,
    intervals: Vec<(u64, u64, f64, f64)>,
}

#[derive(Deserialize)]
struct Budget {
    top1: f64,
    multiply_adds: f64,
    validation_top1: f64,
    thresholds: Thresholds,
}

#[derive(Deserialize)]
struct Exit {
    top1: f64,
    top5: f64,
    ece: f64,
    confusion: Vec<Vec<u64>>,
}

fn names(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("class {i}")).collect()
}

/// Outcome of an exit with these class probabilities.
fn exit(probabilities: &[f32], label: usize) -> ExitOutcome {
    let before =
        |&(class, &p): &(usize, &f32)| p > probabilities[label] || p == probabilities[label] && class < label;
    let rank = probabilities.iter().enumerate().filter(before).count();
    let class = (0..probabilities.len()).rev().max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]));
    let class = class.unwrap();
    ExitOutcome { class: class as u32, probability: probabilities[class], label_rank: rank as u32 }
}

/// Golden outcomes with the results of other tools.
fn golden() -> (Vec<ImageOutcome>, Answers) {
    let golden = Golden::load("evaluation");
    let (dims, p) = golden.array("probabilities");
    let (exits, n, classes) = (dims[0], dims[1], dims[2]);
    let at = |k: usize, i: usize| &p[(k * n + i) * classes..][..classes];
    let labels = golden.classes("labels");
    let outcome = |i: usize| ImageOutcome {
        label: labels[i],
        exits: (0..exits).map(|k| exit(at(k, i), labels[i])).collect(),
    };
    ((0..n).map(outcome).collect(), golden.json("answers"))
}

fn evaluate(outcomes: &[ImageOutcome], multiply_adds: &[u64]) -> Evaluation {
    let exits: Vec<usize> = (1..=outcomes[0].exits.len()).collect();
    Evaluation::new(outcomes, &exits, &names(10), Some(multiply_adds))
}

fn assert_near(what: &str, ours: f64, theirs: f64, tolerance: f64) {
    // Not `>`: a NaN must not pass.
    assert!((ours - theirs).abs() <= tolerance, "{what}: {ours}, expected {theirs}");
}

#[test]
fn budgets_equal_those_of_the_authors_code() {
    let (outcomes, answers) = golden();
    let budgeted = evaluate(&outcomes, &answers.multiply_adds).budgeted.unwrap();
    assert_eq!((budgeted.validation_images, budgeted.images), (350, 350));
    assert_eq!((budgeted.budgets.len(), answers.budgets.len()), (39, 39));
    for (ours, theirs) in budgeted.budgets.iter().zip(&answers.budgets) {
        let what = format!("p = {}", ours.p);
        assert_eq!(ours.thresholds, theirs.thresholds, "{what}");
        assert_eq!((ours.top1, ours.validation_top1), (theirs.top1, theirs.validation_top1), "{what}");
        // The authors' sum is in f32.
        assert_near(&what, ours.multiply_adds, theirs.multiply_adds, 1e-6 * theirs.multiply_adds);
        assert_eq!(ours.left.iter().sum::<u64>(), 350);
    }
    // The test is meaningful only if the budgets differ in where images stop.
    let mut left: Vec<_> = budgeted.budgets.iter().map(|budget| &budget.left).collect();
    left.dedup();
    assert!(left.len() > 30, "{left:?}");
}

#[test]
fn dynamic_txt_equals_that_of_the_authors_code() {
    let (outcomes, answers) = golden();
    let text = dynamic_txt(&evaluate(&outcomes, &answers.multiply_adds).budgeted.unwrap().budgets);
    assert_eq!(text.lines().count(), 39);
    for (line, theirs) in text.lines().zip(&answers.budgets) {
        let (top1, work) = line.split_once('\t').unwrap();
        assert_eq!(top1.parse::<f64>(), Ok(theirs.top1));
        assert_near(line, work.parse().unwrap(), theirs.multiply_adds, 1e-6 * theirs.multiply_adds);
        assert!(top1.contains('.') && work.contains('.'), "numbers as Python writes them: {line}");
    }
}

#[test]
fn accuracy_confusion_and_calibration_match_public_tools() {
    let (outcomes, answers) = golden();
    let evaluation = evaluate(&outcomes, &answers.multiply_adds);
    assert_eq!((evaluation.images, evaluation.exits.len()), (700, 5));
    for (ours, theirs) in evaluation.exits.iter().zip(&answers.exits) {
        let what = format!("exit {}", ours.exit);
        assert_near(&what, ours.accuracy.top1, theirs.top1, 1e-12 * 100.0);
        assert_near(&what, ours.accuracy.top5, theirs.top5, 1e-12 * 100.0);
        assert_near(&what, ours.calibration.ece, theirs.ece, 1e-6);
        let mut confusion = vec![vec![0; 10]; 10];
        for &(label, predicted, images) in &ours.confusion {
            assert!(images > 0, "{what}: {label} {predicted}");
            confusion[label][predicted] = images;
        }
        assert_eq!(confusion, theirs.confusion, "{what}");
        let images: u64 = ours.calibration.reliability.iter().map(|bin| bin.images).sum();
        assert_eq!((ours.calibration.reliability.len(), images), (15, 700));
        for (class, row) in ours.classes.iter().zip(&confusion) {
            assert_eq!(class.images, row.iter().sum::<u64>());
        }
        let diagonal: u64 = (0..10).map(|class| confusion[class][class]).sum();
        assert_near(&what, 100.0 * diagonal as f64 / 700.0, ours.accuracy.top1, 1e-10);
    }
}

#[test]
fn a_confusion_matrix_grows_with_the_images_not_with_the_square_of_the_classes() {
    let outcome = |label: usize| ImageOutcome { label, exits: [ExitOutcome::new(3, 0.5, 3 - label)].into() };
    let evaluation = Evaluation::new(&[2, 0, 2, 3].map(outcome), &[1], &names(5000), None);
    assert_eq!(evaluation.exits[0].confusion, [(0, 3, 1), (2, 3, 2), (3, 3, 1)]);
    let json = serde_json::to_value(&evaluation).unwrap();
    assert_eq!(json["exits"][0]["confusion"], serde_json::json!([[0, 3, 1], [2, 3, 2], [3, 3, 1]]));
}

#[test]
fn intervals_match_scipy() {
    for (part, of, low, high) in golden().1.intervals {
        let ours = wilson(part, of);
        assert_near(&format!("{part} of {of}"), ours[0], low, 1e-9);
        assert_near(&format!("{part} of {of}"), ours[1], high, 1e-9);
    }
}

/// Outcomes of three exits: each digit is the label's rank at an exit. The confidence grows with the exit.
fn outcomes_of_ranks(texts: &[&str]) -> Vec<ImageOutcome> {
    let outcome = |text: &&str| {
        let exit = |(k, digit): (usize, char)| {
            let label_rank = digit.to_digit(10).unwrap();
            ExitOutcome { class: label_rank.min(1), probability: 0.5 + 0.1 * k as f32, label_rank }
        };
        ImageOutcome { label: 0, exits: text.chars().enumerate().map(exit).collect() }
    };
    texts.iter().map(outcome).collect()
}

#[test]
fn hardness_counts_correct_exits() {
    let outcomes = outcomes_of_ranks(&["000", "100", "110", "111", "010", "000"]);
    let evaluation = Evaluation::new(&outcomes, &[1, 5, 10], &names(2), None);
    let hardness = &evaluation.hardness;
    assert_eq!(hardness.right_exits, [1, 1, 2, 2]);
    assert_eq!(hardness.first_right, [3, 1, 1]);
    assert_eq!(hardness.never_right, 1);
    assert!(evaluation.budgeted.is_none(), "budgets need multiply-adds");
    let rows = ["a.png", "b,\"c\"\nd.png"].into_iter().zip(&outcomes[2..]);
    let expected = "image,label,label_name,right_exits,first_right,exit1,exit5,exit10\n\
                    a.png,0,class 0,1,10,0,0,1\n\
                    \"b,\"\"c\"\"\\nd.png\",0,class 0,0,,0,0,0\n";
    assert_eq!(hardness_csv(rows, &[1, 5, 10], &names(2)), expected);
    assert_eq!(list_line("42", &outcomes[1], &names(2)), "[0, 1, 1] 42 class 0");
}

#[test]
fn top_5_includes_the_fifth_class() {
    let evaluation = Evaluation::new(&outcomes_of_ranks(&["456", "056"]), &[1, 2, 3], &names(7), None);
    let top5: Vec<f64> = evaluation.exits.iter().map(|exit| exit.accuracy.top5).collect();
    assert_eq!(top5, [100.0, 0.0, 0.0]);
    assert_eq!(evaluation.exits[0].classes[0].top1, Some(50.0));
    assert_eq!(evaluation.exits[0].classes[1].top1, None, "no accuracy without images");
}

#[test]
fn json_round_trips_without_nan() {
    let (outcomes, answers) = golden();
    for evaluation in [
        evaluate(&outcomes, &answers.multiply_adds),
        Evaluation::new(&outcomes_of_ranks(&["000"]), &[1, 2, 3], &names(2), Some(&[1, 2, 3])),
    ] {
        let text = serde_json::to_string(&evaluation).unwrap();
        assert!(!text.contains("NaN"), "{text}");
        let read: Evaluation = serde_json::from_str(&text).unwrap();
        assert_eq!((read.images, &read.hardness), (evaluation.images, &evaluation.hardness));
        assert_eq!(read.budgeted.is_some(), evaluation.budgeted.is_some());
        assert_near("top1", read.exits[0].accuracy.top1, evaluation.exits[0].accuracy.top1, 1e-10);
    }
}

#[test]
fn exit_shares_are_geometric_and_sum_to_one() {
    for p in BUDGETS {
        let shares = exit_shares(f32::from(p), 10);
        assert_near("sum", f64::from(shares.iter().sum::<f32>()), 1.0, 1e-5);
        for pair in shares.windows(2) {
            assert_near("ratio", f64::from(pair[1] / pair[0]), f64::from(p) / 20.0, 1e-4);
        }
    }
}

#[test]
fn a_custom_budget_is_used_and_not_exceeded() {
    let (outcomes, answers) = golden();
    let work = &answers.multiply_adds;
    let search = ThresholdSearch::new(outcomes.iter().collect());
    let mean = |thresholds: &Thresholds| {
        let each = outcomes.iter().map(|outcome| work[thresholds.exit_of(outcome)]);
        each.sum::<u64>() as f64 / outcomes.len() as f64
    };
    for budget in [25e6, 40e6, 60e6, 80e6] {
        let used = mean(&search.within(budget, work).unwrap());
        assert!(used <= budget && used > 0.98 * budget, "{used} of {budget}");
    }
    let (first, last) = (work[0] as f64, work[4] as f64);
    assert_eq!(mean(&search.within(first, work).unwrap()), first);
    assert_eq!(mean(&search.within(1e12, work).unwrap()), last);
    assert_eq!(search.within(first - 1.0, work), None, "every image runs the first exit");
}

#[test]
fn images_stop_at_the_first_exit_above_its_threshold_or_at_the_last() {
    let outcome = &outcomes_of_ranks(&["000"])[0]; // confidence 0.5, 0.6, 0.7
    let at = |thresholds: [Option<f32>; 3]| Thresholds(thresholds.into()).exit_of(outcome);
    assert_eq!(at([Some(0.5), Some(0.5), Some(0.0)]), 0);
    assert_eq!(at([Some(0.6), Some(0.55), Some(0.0)]), 1);
    assert_eq!(at([None, None, Some(0.0)]), 2);
    assert_eq!(at([Some(0.9), Some(0.9), Some(0.9)]), 2);
}
