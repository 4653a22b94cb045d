//! Output files of an evaluation.

use std::fmt::Write as _;

use crate::Result;
use crate::dataset::Dataset;
use crate::evaluation::{ImageOutcome, dynamic_txt, hardness_csv};
use crate::run::{Kind, OutputFolder};
use crate::util::csv;
use serde_json::json;

use super::predictions::Predictions;
use super::report::EvaluationReport;

/// What `msdcam evaluate -o` writes. The marker is written last: unless it says that it is in progress, the
/// files beside it are complete and belong to it.
pub const EVALUATION: Kind = Kind {
    name: "evaluation",
    title: "an evaluation",
    marker: "evaluation.json",
    lock: "evaluation.lock",
    files: &["hardness.csv", "hardness.json", "confusion.csv", "dynamic.txt"],
};

/// Writes all files, or none of them.
///
/// # Errors
/// When one cannot be written.
pub fn write(
    folder: OutputFolder,
    report: &EvaluationReport,
    dataset: &Dataset,
    predictions: &Predictions,
) -> Result<()> {
    let evaluation = &report.evaluation;
    let exits: Vec<usize> = evaluation.exits.iter().map(|exit| exit.exit).collect();
    let rows: Vec<(String, &ImageOutcome)> = predictions.rows(dataset).collect();
    let named = rows.iter().map(|(id, outcome)| (id.as_str(), *outcome));
    let images: Vec<_> = named.clone().map(|(id, o)| hardness_json(id, o, &evaluation.classes)).collect();
    let write = |name: &str, text: &str| folder.stage(name, text.as_bytes());
    write("hardness.csv", &hardness_csv(named, &exits, &evaluation.classes))?;
    write("hardness.json", &(json!({ "exits": exits, "images": images }).to_string() + "\n"))?;
    write("confusion.csv", &confusion_csv(report))?;
    if let Some(budgeted) = &evaluation.budgeted {
        write("dynamic.txt", &dynamic_txt(&budgeted.budgets))?;
    }
    folder.finish(report)
}

/// Correct exits of an image, as in `hardness.json`.
pub fn hardness_json(id: &str, outcome: &ImageOutcome, classes: &[String]) -> serde_json::Value {
    let right: Vec<u8> = outcome.exits.iter().map(|exit| u8::from(exit.is_right())).collect();
    json!({ "image": id, "label": outcome.label, "label_name": classes[outcome.label], "right": right })
}

/// `confusion.csv`: a line for each exit and pair of label and predicted class that occurs.
fn confusion_csv(report: &EvaluationReport) -> String {
    let names: Vec<String> = report.evaluation.classes.iter().map(|class| csv::cell(class)).collect();
    let mut csv = String::from("exit,label,label_name,predicted,predicted_name,images\n");
    for exit in &report.evaluation.exits {
        for &(label, predicted, images) in &exit.confusion {
            let (from, to) = (&names[label], &names[predicted]);
            // Writing to a String cannot fail.
            let _ = writeln!(csv, "{},{label},{from},{predicted},{to},{images}", exit.exit);
        }
    }
    csv
}
