//! Output files of an evaluation.

use std::fmt::Write as _;
use std::path::Path;

use crate::Result;
use crate::dataset::Dataset;
use crate::evaluation::{ImageOutcome, csv_field, dynamic_txt, hardness_csv};
use crate::util::atomic_file::{remove_old, write_atomically};
use serde_json::json;

use super::predictions::Predictions;
use super::report::EvaluationReport;

/// Written last: while it exists, the files beside it are complete and belong to it.
const EVALUATION: &str = "evaluation.json";

/// Writes all files, `evaluation.json` last.
///
/// # Errors
/// When one cannot be written.
pub fn write(
    folder: &Path,
    report: &EvaluationReport,
    dataset: &Dataset,
    predictions: &Predictions,
) -> Result<()> {
    remove_old(&folder.join(EVALUATION))?;
    let evaluation = &report.evaluation;
    let exits: Vec<usize> = evaluation.exits.iter().map(|exit| exit.exit).collect();
    let rows: Vec<(String, &ImageOutcome)> = predictions.rows(dataset).collect();
    let named = rows.iter().map(|(id, outcome)| (id.as_str(), *outcome));
    let images: Vec<_> = named.clone().map(|(id, o)| hardness_json(id, o, &evaluation.classes)).collect();
    let write = |name: &str, text: &str| write_atomically(&folder.join(name), text.as_bytes());
    write("hardness.csv", &hardness_csv(named, &exits, &evaluation.classes))?;
    write("hardness.json", &(json!({ "exits": exits, "images": images }).to_string() + "\n"))?;
    write("confusion.csv", &confusion_csv(report))?;
    if let Some(budgeted) = &evaluation.budgeted {
        write("dynamic.txt", &dynamic_txt(&budgeted.budgets))?;
    }
    let text = serde_json::to_string_pretty(report).expect("plain fields serialize to JSON");
    write(EVALUATION, &(text + "\n"))
}

/// Correct exits of an image, as in `hardness.json`.
pub fn hardness_json(id: &str, outcome: &ImageOutcome, classes: &[String]) -> serde_json::Value {
    let right: Vec<u8> = outcome.exits.iter().map(|exit| u8::from(exit.is_right())).collect();
    json!({ "image": id, "label": outcome.label, "label_name": classes[outcome.label], "right": right })
}

/// `confusion.csv`: a line for each exit and pair of label and predicted class that occurs.
fn confusion_csv(report: &EvaluationReport) -> String {
    let names: Vec<String> = report.evaluation.classes.iter().map(|class| csv_field(class)).collect();
    let mut csv = String::from("exit,label,label_name,predicted,predicted_name,images\n");
    for exit in &report.evaluation.exits {
        for (label, row) in exit.confusion.iter().flatten().enumerate() {
            for (predicted, images) in row.iter().enumerate().filter(|&(_, &images)| images > 0) {
                let (from, to) = (&names[label], &names[predicted]);
                // Writing to a String cannot fail.
                let _ = writeln!(csv, "{},{label},{from},{predicted},{to},{images}", exit.exit);
            }
        }
    }
    csv
}
