//! Which images are easy and which are hard: how many exits get an image right.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::Outcome;

/// How many images are how hard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hardness {
    /// At k: how many images exactly k exits get right, from none to all.
    pub right_exits: Vec<u64>,
    /// For each exit: how many images it is the first to get right.
    pub first_right: Vec<u64>,
    /// How many images no exit gets right.
    pub never_right: u64,
}

impl Hardness {
    pub(super) fn new(outcomes: &[Outcome], exits: usize) -> Hardness {
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

/// Who is right where, one image a line, under a line of names: the image's id, its label, how
/// many of `exits` are right, the first that is (empty if none), and for each exit 1 or 0.
pub fn hardness_csv<'a>(
    rows: impl Iterator<Item = (&'a str, &'a Outcome)>,
    exits: &[usize],
    classes: &[String],
) -> String {
    let mut csv = String::from("image,label,label_name,right_exits,first_right");
    for exit in exits {
        let _ = write!(csv, ",exit{exit}"); // writing to a String cannot fail
    }
    csv.push('\n');
    for (id, outcome) in rows {
        let first = outcome.first_right().map_or(String::new(), |i| exits[i].to_string());
        let (label, name) = (outcome.label, csv_field(&classes[outcome.label]));
        let _ = write!(csv, "{},{label},{name},{},{first}", csv_field(id), outcome.right_exits());
        for exit in &outcome.exits {
            csv.push_str(if exit.is_right() { ",1" } else { ",0" });
        }
        csv.push('\n');
    }
    csv
}

/// As the article's program prints it: `[1, 0, 1] 42 dog`.
pub fn list_line(id: &str, outcome: &Outcome, classes: &[String]) -> String {
    let right: Vec<&str> = outcome.exits.iter().map(|e| if e.is_right() { "1" } else { "0" }).collect();
    format!("[{}] {id} {}", right.join(", "), classes[outcome.label])
}

/// `text` as a field of a CSV line (RFC 4180).
pub fn csv_field(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.into()
    }
}
