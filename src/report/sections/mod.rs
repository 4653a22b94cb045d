//! The words and tables around the charts of an evaluation.

mod classes;
mod confusion;

use super::format::{images, thousands};
use super::headline::best_and_last;
use super::plots;
use super::section::{Choice, Part, Row, Section, plain, table};
use crate::evaluation::{Bin, Evaluation, ExitEvaluation};
use crate::render::chart::{Drawing, Size};

/// A chart that has its row for itself.
const WIDE: Size = Size { width: 760.0, height: 360.0, heading: false };
/// Any chart on a telephone, where the others' letters would be too small.
const NARROW: Size = Size { width: 380.0, height: 290.0, heading: false };

/// Every section that `evaluation` has numbers for.
pub fn all(evaluation: &Evaluation) -> Vec<Section> {
    let sections = [Some(accuracy(evaluation)), classes::classes(evaluation), cost(evaluation)];
    let others =
        [Some(hardness(evaluation)), Some(confidence(evaluation)), Some(confusion::confusion(evaluation))];
    sections.into_iter().chain(others).flatten().collect()
}

fn accuracy(evaluation: &Evaluation) -> Section {
    let mut texts = Vec::new();
    texts.extend(best_and_last(evaluation));
    texts.push("The band is the 95 % score interval of each exit alone (Wilson).".into());
    let work =
        |e: &ExitEvaluation| e.multiply_adds.map_or(String::new(), |w| format!("{:.1}", w as f64 / 1e6));
    let row = |e: &ExitEvaluation| {
        let a = &e.accuracy;
        let [low, high] = a.top1_interval.map(|end| format!("{end:.2}"));
        let cells = [format!("{:.2}", a.top1), format!("{low} to {high}"), format!("{:.2}", a.top5), work(e)];
        Row { name: e.exit.to_string(), cells: cells.map(plain).into() }
    };
    let columns = ["exit", "top-1, %", "95 % interval", "top-5, %", "multiply-adds, millions"];
    let mut table = table("The numbers", &columns, evaluation.exits.iter().map(row).collect());
    table.folded = true;
    Section {
        id: "accuracy",
        link: "Accuracy",
        title: "Accuracy, exit by exit".into(),
        texts,
        layout: "wide",
        parts: vec![Part {
            chart: Some(both(WIDE, |size| plots::accuracy(evaluation, size))),
            table: Some(table),
        }],
        ..Section::default()
    }
}

fn cost(evaluation: &Evaluation) -> Option<Section> {
    let charts = [plots::multiply_adds, plots::milliseconds];
    let drawn = charts.into_iter().filter(|draw| draw(evaluation, NARROW).is_some());
    let draw = |draw: fn(&Evaluation, Size) -> Option<Drawing>| {
        let chart = both(Size::PAGE, |size| draw(evaluation, size).expect("the other size is there"));
        Part { chart: Some(chart), table: None }
    };
    let parts: Vec<Part> = drawn.map(draw).collect();
    let mut texts = Vec::new();
    if let Some(budgeted) = &evaluation.budgeted {
        texts.push(format!(
            "An image leaves at the first exit that is sure enough. The thresholds are found on {} and \
             applied to the other {}; each point is one budget (the authors' geometric rule).",
            images(budgeted.validation_images),
            thousands(budgeted.images as u64)
        ));
    }
    (!parts.is_empty()).then(|| Section {
        id: "cost",
        link: "Cost",
        title: "What accuracy costs".into(),
        texts,
        layout: "pair",
        parts,
        ..Section::default()
    })
}

fn hardness(evaluation: &Evaluation) -> Section {
    let every = evaluation.hardness.right_exits.last().copied().unwrap_or(0);
    let never = evaluation.hardness.never_right;
    let n = evaluation.images;
    let text = format!(
        "Of {}, {} right at every exit and {} at none; the exits differ about the other {}.",
        images(n),
        if every == 1 { "1 is".into() } else { format!("{} are", thousands(every)) },
        thousands(never),
        thousands(n as u64 - every - never)
    );
    let charts = [plots::hardness, plots::first_right];
    Section {
        id: "hardness",
        link: "Hardness",
        title: "How hard the images are".into(),
        texts: vec![text],
        layout: "pair",
        parts: charts.into_iter().map(|draw| titled(|size| draw(evaluation, size))).collect(),
        ..Section::default()
    }
}

fn confidence(evaluation: &Evaluation) -> Section {
    let size = Size { height: 420.0, ..WIDE };
    let text = "A disc is the images of about one confidence, its area their number. Under the diagonal the \
                exit is surer than it is right. ECE, the expected calibration error, is the mean distance.";
    let part = |e: &ExitEvaluation| {
        let ece = format!("Exit {}: ECE {:.1} %", e.exit, 100.0 * e.calibration.ece);
        let bins = e.calibration.reliability.iter().filter(|bin| bin.images > 0);
        let row = |bin: &Bin| {
            let of = |share: Option<f64>| share.map_or(String::new(), |v| format!("{:.1}", 100.0 * v));
            let cells = [thousands(bin.images), of(bin.confidence), of(bin.accuracy)];
            Row {
                name: format!("{:.0} to {:.0}", 100.0 * bin.from, 100.0 * bin.to),
                cells: cells.map(plain).into(),
            }
        };
        let columns = ["confidence, %", "images", "mean confidence, %", "right, %"];
        let mut table = table(&ece, &columns, bins.map(row).collect());
        table.folded = true;
        Part { chart: Some(both(size, |size| plots::confidence(e, size))), table: Some(table) }
    };
    Section {
        id: "confidence",
        link: "Confidence",
        title: "Is an exit as sure as it is right?".into(),
        texts: vec![text.into()],
        choice: choice(evaluation),
        layout: "wide",
        parts: evaluation.exits.iter().map(part).collect(),
    }
}

fn choice(evaluation: &Evaluation) -> Option<Choice> {
    Some(Choice { legend: "Exit", options: exit_names(evaluation).collect() })
}

fn exit_names(evaluation: &Evaluation) -> impl Iterator<Item = String> {
    evaluation.exits.iter().map(|e| e.exit.to_string())
}

/// A chart at two sizes, of which the style shows the one that fits.
fn both(broad: Size, draw: impl Fn(Size) -> Drawing) -> String {
    let [broad, narrow] = [broad, NARROW].map(|size| draw(size).inline_svg());
    format!("<div class=\"broad\">{broad}</div><div class=\"narrow\">{narrow}</div>")
}

/// A chart that needs its title, since it stands beside another.
fn titled(draw: impl Fn(Size) -> Drawing) -> Part {
    let title = format!("<figcaption><h3>{}</h3></figcaption>", draw(NARROW).name);
    Part { chart: Some(title + &both(Size::PAGE, draw)), table: None }
}
