//! The charts of an evaluation.

use super::format::{percent, share, thousands};
use crate::evaluation::{Evaluation, ExitEvaluation};
use crate::render::chart::{
    Bar, BarChart, ChartSize, Drawing, LineChart, MatrixChart, ReliabilityBin, ReliabilityDiagram, Series,
    YOrigin,
};

/// A chart with the name of its file.
#[derive(Debug)]
pub struct Plot {
    /// File name without an extension.
    pub name: String,
    /// The chart.
    pub drawing: Drawing,
}

/// Maximum number of classes in a readable table.
pub const MAX_CLASSES: usize = 30;

/// All charts, at the size of files.
pub fn all(evaluation: &Evaluation) -> Vec<Plot> {
    let size = ChartSize::FILE;
    let plot = |name: &str, drawing| Plot { name: name.into(), drawing };
    let mut plots = Vec::new();
    // Charts that compare exits.
    if evaluation.exits.len() > 1 {
        plots.push(plot("accuracy", accuracy(evaluation, size)));
        plots.extend(multiply_adds(evaluation, size).map(|drawing| plot("multiply_adds", drawing)));
        plots.extend(milliseconds(evaluation, size).map(|drawing| plot("milliseconds", drawing)));
        plots.push(plot("hardness", hardness(evaluation, size)));
        plots.push(plot("first_right", first_right(evaluation, size)));
    }
    plots.extend(classes(evaluation, size).map(|drawing| plot("classes", drawing)));
    for exit in &evaluation.exits {
        let of_exit = |name: &str, drawing| plot(&format!("{name}_exit{:02}", exit.exit), drawing);
        plots.push(of_exit("confidence", confidence(exit, size)));
        plots.extend(confusion(evaluation, exit, size).map(|drawing| of_exit("confusion", drawing)));
    }
    plots
}

/// Top-1 accuracy at each exit: the article's Figure 1.
pub fn accuracy(evaluation: &Evaluation, size: ChartSize) -> Drawing {
    let points: Vec<_> = evaluation.exits.iter().map(|e| (e.exit as f64, e.accuracy.top1)).collect();
    let intervals = evaluation.exits.iter().map(|e| e.accuracy.top1_interval.into());
    let intervals: Vec<(f64, f64)> = intervals.collect();
    let series = [Series { name: "top-1", points: &points, intervals: &intervals }];
    let y = "Images whose class is right, %, with 95 % intervals";
    LineChart { title: "Accuracy at each exit", x: "exit", y, from: YOrigin::Percent, series: &series }
        .draw(size)
}

/// Accuracy against multiply-adds: one exit for all images, and early exit.
pub fn multiply_adds(evaluation: &Evaluation, size: ChartSize) -> Option<Drawing> {
    let millions = |work: f64| work / 1e6;
    let exits = evaluation.exits.iter();
    let at = |e: &ExitEvaluation| Some((millions(e.multiply_adds? as f64), e.accuracy.top1));
    let anytime: Option<Vec<_>> = exits.map(at).collect();
    let budgets = evaluation.budgeted.iter().flat_map(|b| &b.budgets);
    let budgeted: Vec<_> = budgets.map(|b| (millions(b.multiply_adds), b.top1)).collect();
    cost(
        "Accuracy against work",
        "multiply-adds an image, millions",
        &anytime.unwrap_or_default(),
        budgeted,
        size,
    )
}

/// Accuracy against measured milliseconds.
pub fn milliseconds(evaluation: &Evaluation, size: ChartSize) -> Option<Drawing> {
    let at = |e: &ExitEvaluation| Some((e.milliseconds?.in_batch, e.accuracy.top1));
    let anytime: Option<Vec<_>> = evaluation.exits.iter().map(at).collect();
    let budgets = evaluation.budgeted.iter().flat_map(|b| &b.budgets);
    let budgeted = budgets.filter_map(|b| Some((b.milliseconds?, b.top1))).collect();
    let x = "milliseconds an image, in batches";
    cost("Accuracy against time", x, &anytime.unwrap_or_default(), budgeted, size)
}

fn cost(
    title: &str,
    x: &str,
    anytime: &[(f64, f64)],
    mut budgeted: Vec<(f64, f64)>,
    size: ChartSize,
) -> Option<Drawing> {
    budgeted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let series = [("leave when sure", &budgeted[..]), ("one exit for all", anytime)];
    let series = series.into_iter().filter(|(_, points)| !points.is_empty());
    let series: Vec<Series> = series.map(|(name, points)| Series { name, points, intervals: &[] }).collect();
    let y = "Images whose class is right, %";
    let chart = LineChart { title, x, y, from: YOrigin::Percent, series: &series };
    (!series.is_empty()).then(|| chart.draw(size))
}

/// Histogram of the number of exits that are right about an image.
pub fn hardness(evaluation: &Evaluation, size: ChartSize) -> Drawing {
    let counts = evaluation.hardness.right_exits.iter().enumerate();
    let counts: Vec<(String, u64)> = counts.map(|(exits, &images)| (exits.to_string(), images)).collect();
    let ends = [0, counts.len() - 1];
    let title = "How many exits get an image right";
    bars(title, "exits that are right", &counts, |i| ends.contains(&i), evaluation.images, size)
}

/// Histogram of the first exit that is right about an image.
pub fn first_right(evaluation: &Evaluation, size: ChartSize) -> Drawing {
    let hardness = &evaluation.hardness;
    let exits = evaluation.exits.iter().zip(&hardness.first_right);
    let mut counts: Vec<(String, u64)> = exits.map(|(e, &images)| (e.exit.to_string(), images)).collect();
    counts.push(("never".into(), hardness.never_right));
    bars("The first exit that is right", "exit", &counts, |_| true, evaluation.images, size)
}

fn bars(
    title: &str,
    x: &str,
    counts: &[(String, u64)],
    strong: impl Fn(usize) -> bool,
    images: usize,
    size: ChartSize,
) -> Drawing {
    let bars: Vec<Bar> = counts
        .iter()
        .enumerate()
        .map(|(i, (label, n))| Bar {
            label,
            value: *n as f64,
            interval: None,
            text: percent(share(*n, images), images.min(9999)),
            strong: strong(i),
        })
        .collect();
    BarChart { title, x, y: "Images", bars: &bars }.draw(size)
}

/// Each class at each exit: the article's Table 1; `None` for more than [`MAX_CLASSES`] classes.
pub fn classes(evaluation: &Evaluation, size: ChartSize) -> Option<Drawing> {
    let shown: Vec<usize> = shown_classes(evaluation);
    if shown.is_empty() || shown.len() > MAX_CLASSES {
        return None;
    }
    let rows: Vec<String> = shown.iter().map(|&c| evaluation.classes[c].clone()).collect();
    let columns: Vec<String> = evaluation.exits.iter().map(|e| e.exit.to_string()).collect();
    let top1 = |class: usize| evaluation.exits.iter().map(move |e| e.classes[class].top1.unwrap_or(f64::NAN));
    let values: Vec<f64> = shown.iter().flat_map(|&class| top1(class)).collect();
    let title = "Accuracy of each class at each exit, %";
    let shades = (values.iter().copied().fold(100.0, f64::min), 100.0);
    let text = |v: f64| format!("{v:.1}");
    let (rows, columns) = (&rows[..], &columns[..]);
    Some(
        MatrixChart { title, y: "class", x: "exit", rows, columns, values: &values, shades, text }.draw(size),
    )
}

/// Indices of the classes that have images.
pub fn shown_classes(evaluation: &Evaluation) -> Vec<usize> {
    let Some(exit) = evaluation.exits.first() else { return Vec::new() };
    (0..evaluation.classes.len()).filter(|&class| exit.classes[class].images > 0).collect()
}

/// Reliability diagram of an exit.
pub fn confidence(exit: &ExitEvaluation, size: ChartSize) -> Drawing {
    let bins = exit.calibration.reliability.iter();
    let bins = bins.filter_map(|bin| {
        Some(ReliabilityBin {
            confidence: bin.confidence?,
            accuracy: bin.accuracy?,
            images: bin.images as usize,
        })
    });
    let title = format!(
        "Exit {}: how sure, how right (calibration error {:.1} %)",
        exit.exit,
        100.0 * exit.calibration.ece
    );
    ReliabilityDiagram { title: &title, bins: &bins.collect::<Vec<_>>() }.draw(size)
}

/// Images of an exit by label (row) and predicted class (column).
pub fn confusion_matrix(exit: &ExitEvaluation, classes: usize) -> Vec<Vec<u64>> {
    let mut matrix = vec![vec![0; classes]; classes];
    for &(label, predicted, images) in &exit.confusion {
        matrix[label][predicted] = images;
    }
    matrix
}

/// Chart of the confusion matrix of an exit; `None` for more than [`MAX_CLASSES`] classes.
pub fn confusion(evaluation: &Evaluation, exit: &ExitEvaluation, size: ChartSize) -> Option<Drawing> {
    let names = &evaluation.classes[..];
    if names.len() > MAX_CLASSES {
        return None;
    }
    let values: Vec<f64> = confusion_matrix(exit, names.len()).iter().flatten().map(|&n| n as f64).collect();
    let most = values.iter().copied().fold(1.0, f64::max);
    let title = format!("What exit {} takes for what, images", exit.exit);
    let text = |v: f64| thousands(v as u64);
    let matrix = MatrixChart {
        title: &title,
        y: "true class",
        x: "predicted class",
        rows: names,
        columns: names,
        values: &values,
        shades: (0.0, most),
        text,
    };
    Some(matrix.draw(size))
}
