//! Sections of the report about an evaluation: charts with texts and tables.

mod classes;
mod confusion;

use super::format::{images, thousands};
use super::headline::best_and_last;
use super::plots;
use super::section::{Choice, Panel, Section, TableRow, plain, table};
use crate::evaluation::{Bin, Evaluation, ExitEvaluation};
use crate::render::chart::{ChartSize, Drawing};

/// Size of a chart across the full width.
const WIDE: ChartSize = ChartSize { width: 760.0, height: 360.0, heading: false };
/// Size of any chart on a phone, where the text of the others would be too small.
const NARROW: ChartSize = ChartSize { width: 380.0, height: 290.0, heading: false };

/// All sections for which `evaluation` has values.
pub fn all(evaluation: &Evaluation) -> Vec<Section> {
    let several = evaluation.exits.len() > 1;
    let mut sections = vec![accuracy(evaluation)];
    sections.extend(classes::classes(evaluation));
    if several {
        sections.extend(cost(evaluation));
        sections.push(hardness(evaluation));
    }
    sections.extend([confidence(evaluation), confusion::confusion(evaluation)]);
    sections
}

fn accuracy(evaluation: &Evaluation) -> Section {
    let several = evaluation.exits.len() > 1;
    let texts = if several {
        let band = "The band is the 95 % Wilson score interval of each exit.".to_string();
        best_and_last(evaluation).into_iter().chain([band]).collect()
    } else {
        vec!["The interval is Wilson's score interval.".into()]
    };
    let has_work = evaluation.exits.iter().any(|e| e.multiply_adds.is_some());
    let work =
        |e: &ExitEvaluation| e.multiply_adds.map_or(String::new(), |w| format!("{:.1}", w as f64 / 1e6));
    let row = |e: &ExitEvaluation| {
        let a = &e.accuracy;
        let [low, high] = a.top1_interval.map(|end| format!("{end:.2}"));
        let cells = [format!("{:.2}", a.top1), format!("{low} to {high}"), format!("{:.2}", a.top5)];
        let cells = cells.into_iter().chain(has_work.then(|| work(e)));
        TableRow { name: e.exit.to_string(), cells: cells.map(plain).collect() }
    };
    let columns = ["exit", "top-1, %", "95 % interval", "top-5, %", "multiply-adds, millions"];
    let mut table =
        table("Values", &columns[..if has_work { 5 } else { 4 }], evaluation.exits.iter().map(row).collect());
    table.folded = several;
    let chart = several.then(|| both(WIDE, |size| plots::accuracy(evaluation, size)));
    Section {
        id: "accuracy",
        link: "Accuracy",
        title: if several { "Accuracy, exit by exit" } else { "Accuracy" }.into(),
        texts,
        layout: "wide",
        panels: vec![Panel { chart, table: Some(table) }],
        ..Section::default()
    }
}

fn cost(evaluation: &Evaluation) -> Option<Section> {
    let charts = [plots::multiply_adds, plots::milliseconds];
    let drawn = charts.into_iter().filter(|draw| draw(evaluation, NARROW).is_some());
    let draw = |draw: fn(&Evaluation, ChartSize) -> Option<Drawing>| {
        let chart =
            both(ChartSize::PAGE, |size| draw(evaluation, size).expect("drawn at the other size before"));
        Panel { chart: Some(chart), table: None }
    };
    let panels: Vec<Panel> = drawn.map(draw).collect();
    let mut texts = Vec::new();
    if let Some(budgeted) = &evaluation.budgeted {
        texts.push(format!(
            "An image leaves at the first exit that is sure enough. The thresholds are found on {} and \
             applied to the other {}; each point is one budget (the authors' geometric rule).",
            images(budgeted.validation_images),
            thousands(budgeted.images as u64)
        ));
    }
    (!panels.is_empty()).then(|| Section {
        id: "cost",
        link: "Cost",
        title: "What accuracy costs".into(),
        texts,
        layout: "pair",
        panels,
        ..Section::default()
    })
}

fn hardness(evaluation: &Evaluation) -> Section {
    let every = evaluation.hardness.right_exits.last().copied().unwrap_or(0);
    let never = evaluation.hardness.never_right;
    let n = evaluation.images;
    let text = format!(
        "Of {}, {} right at every exit and {} at none; on the other {} the exits differ.",
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
        panels: charts.into_iter().map(|draw| titled(|size| draw(evaluation, size))).collect(),
        ..Section::default()
    }
}

fn confidence(evaluation: &Evaluation) -> Section {
    let size = ChartSize { height: 420.0, ..WIDE };
    let text = "Each disc groups images of similar confidence; its area is their number. Below the diagonal \
                the exit is overconfident. The expected calibration error (ECE) is the mean distance from it.";
    let part = |e: &ExitEvaluation| {
        let ece = format!("Exit {}: ECE {:.1} %", e.exit, 100.0 * e.calibration.ece);
        let bins = e.calibration.reliability.iter().filter(|bin| bin.images > 0);
        let row = |bin: &Bin| {
            let of = |share: Option<f64>| share.map_or(String::new(), |v| format!("{:.1}", 100.0 * v));
            let cells = [thousands(bin.images), of(bin.confidence), of(bin.accuracy)];
            TableRow {
                name: format!("{:.0} to {:.0}", 100.0 * bin.from, 100.0 * bin.to),
                cells: cells.map(plain).into(),
            }
        };
        let columns = ["confidence, %", "images", "mean confidence, %", "right, %"];
        let mut table = table(&ece, &columns, bins.map(row).collect());
        table.folded = true;
        Panel { chart: Some(both(size, |size| plots::confidence(e, size))), table: Some(table) }
    };
    Section {
        id: "confidence",
        link: "Confidence",
        title: if evaluation.exits.len() > 1 { "Is each exit calibrated?" } else { "Calibration" }.into(),
        texts: vec![text.into()],
        choice: choice(evaluation),
        layout: "wide",
        panels: evaluation.exits.iter().map(part).collect(),
    }
}

/// The choice of an exit, if there are several.
fn choice(evaluation: &Evaluation) -> Option<Choice> {
    let options: Vec<String> = exit_names(evaluation).collect();
    (options.len() > 1).then_some(Choice { legend: "Exit", options })
}

fn exit_names(evaluation: &Evaluation) -> impl Iterator<Item = String> {
    evaluation.exits.iter().map(|e| e.exit.to_string())
}

/// A chart at two sizes; the style sheet shows the one that fits.
fn both(broad: ChartSize, draw: impl Fn(ChartSize) -> Drawing) -> String {
    let [broad, narrow] = [broad, NARROW].map(|size| draw(size).inline_svg());
    format!("<div class=\"broad\">{broad}</div><div class=\"narrow\">{narrow}</div>")
}

/// A chart with its title, for charts side by side.
fn titled(draw: impl Fn(ChartSize) -> Drawing) -> Panel {
    let title = format!("<figcaption><h3>{}</h3></figcaption>", draw(NARROW).name);
    Panel { chart: Some(title + &both(ChartSize::PAGE, draw)), table: None }
}
