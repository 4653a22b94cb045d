//! Hardness of images: the number of exits that classify an image correctly.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::ImageOutcome;
use crate::util::csv;

/// Distribution of the hardness over the images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hardness {
    /// At index k: images that exactly k exits classify correctly.
    pub right_exits: Vec<u64>,
    /// For each exit: images that it is the first to classify correctly.
    pub first_right: Vec<u64>,
    /// Images that no exit classifies correctly.
    pub never_right: u64,
}

impl Hardness {
    pub(super) fn new(outcomes: &[ImageOutcome], exits: usize) -> Hardness {
        let mut hardness =
            Hardness { right_exits: vec![0; exits + 1], first_right: vec![0; exits], never_right: 0 };
        for outcome in outcomes {
            hardness.right_exits[outcome.right_exits()] += 1;
            *match outcome.first_right() {
                Some(exit) => &mut hardness.first_right[exit],
                None => &mut hardness.never_right,
            } += 1;
        }
        hardness
    }
}

/// `hardness.csv`: a header, then a line for each image with its id, its label, the number of correct
/// exits of `exits`, the first correct exit (empty if none), and for each exit 1 (correct) or 0. A label beyond
/// `classes` has no name.
///
/// # Panics
/// When an outcome has more or fewer exits than `exits`.
pub fn hardness_csv<'a>(
    rows: impl Iterator<Item = (&'a str, &'a ImageOutcome)>,
    exits: &[usize],
    classes: &[String],
) -> String {
    let mut csv = String::from("image,label,label_name,right_exits,first_right");
    for exit in exits {
        let _ = write!(csv, ",exit{exit}"); // writing to a String cannot fail
    }
    csv.push('\n');
    for (id, outcome) in rows {
        assert_eq!(outcome.exits.len(), exits.len(), "exits of image '{id}'");
        let first = outcome.first_right().map_or(String::new(), |i| exits[i].to_string());
        let (label, name) = (outcome.label, csv::cell(class_name(classes, outcome.label)));
        let _ = write!(csv, "{},{label},{name},{},{first}", csv::cell(id), outcome.right_exits());
        for exit in &outcome.exits {
            csv.push_str(if exit.is_right() { ",1" } else { ",0" });
        }
        csv.push('\n');
    }
    csv
}

/// A line of `--list`, in the format of the article's program: `[1, 0, 1] 42 dog`. A label beyond `classes` has
/// no name.
pub fn list_line(id: &str, outcome: &ImageOutcome, classes: &[String]) -> String {
    let right: Vec<&str> = outcome.exits.iter().map(|e| if e.is_right() { "1" } else { "0" }).collect();
    format!("[{}] {id} {}", right.join(", "), class_name(classes, outcome.label))
}

/// The name of the class `label`; empty where it has none.
fn class_name(classes: &[String], label: usize) -> &str {
    classes.get(label).map_or("", String::as_str)
}
