//! What a section of the page is made of.

use serde::Serialize;

/// A part of the page with a heading.
#[derive(Debug, Default, Serialize)]
pub struct Section {
    pub id: &'static str,
    /// Its name in the contents.
    pub link: &'static str,
    pub title: String,
    pub texts: Vec<String>,
    /// Where one of the parts is shown at a time: the last one at first.
    pub choice: Option<Choice>,
    /// The style of what holds the parts.
    pub layout: &'static str,
    pub parts: Vec<Part>,
}

/// Which of a section's parts to show.
#[derive(Debug, Serialize)]
pub struct Choice {
    pub legend: &'static str,
    pub options: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
pub struct Part {
    /// SVG.
    pub chart: Option<String>,
    pub table: Option<Table>,
}

#[derive(Debug, Serialize)]
pub struct Table {
    pub caption: String,
    pub columns: Vec<String>,
    pub rows: Vec<Row>,
    /// Whether cells have shades.
    pub heat: bool,
    /// Whether it is shown on request only.
    pub folded: bool,
}

#[derive(Debug, Serialize)]
pub struct Row {
    pub name: String,
    pub cells: Vec<Cell>,
}

#[derive(Debug, Serialize)]
pub struct Cell {
    pub text: String,
    /// 0 to 1.
    pub shade: Option<String>,
}

pub fn table(caption: &str, columns: &[&str], rows: Vec<Row>) -> Table {
    let columns = columns.iter().map(|name| name.to_string()).collect();
    Table { caption: caption.into(), columns, rows, heat: false, folded: false }
}

pub fn plain(text: String) -> Cell {
    Cell { text, shade: None }
}

pub fn shaded(text: String, shade: f64) -> Cell {
    Cell { text, shade: Some(format!("{:.3}", shade.clamp(0.0, 1.0))) }
}
