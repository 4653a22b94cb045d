//! Data model of a section of the page, as the templates read it.

use serde::Serialize;

/// A section of the page with a heading.
#[derive(Debug, Default, Serialize)]
pub struct Section {
    pub id: &'static str,
    /// Name in the table of contents.
    pub link: &'static str,
    pub title: String,
    pub texts: Vec<String>,
    /// Choice of the panel that is shown, initially the last; `None` shows all panels.
    pub choice: Option<Choice>,
    /// CSS class of the panels' container.
    pub layout: &'static str,
    pub panels: Vec<Panel>,
}

/// Radio buttons that choose one of a section's panels.
#[derive(Debug, Serialize)]
pub struct Choice {
    pub legend: &'static str,
    pub options: Vec<String>,
}

/// A chart, a table, or both.
#[derive(Debug, Default, Serialize)]
pub struct Panel {
    /// HTML that contains SVG.
    pub chart: Option<String>,
    pub table: Option<Table>,
}

/// A table whose first column is a header.
#[derive(Debug, Serialize)]
pub struct Table {
    pub caption: String,
    pub columns: Vec<String>,
    pub rows: Vec<TableRow>,
    /// Whether cells are shaded by value.
    pub shaded: bool,
    /// Whether the table is collapsed initially.
    pub folded: bool,
}

/// A row with its header.
#[derive(Debug, Serialize)]
pub struct TableRow {
    pub name: String,
    pub cells: Vec<TableCell>,
}

/// A cell with an optional shade.
#[derive(Debug, Serialize)]
pub struct TableCell {
    pub text: String,
    /// Opacity of the shade, 0 to 1.
    pub shade: Option<String>,
}

/// A table without shades.
pub fn table(caption: &str, columns: &[&str], rows: Vec<TableRow>) -> Table {
    let columns = columns.iter().map(|name| name.to_string()).collect();
    Table { caption: caption.into(), columns, rows, shaded: false, folded: false }
}

/// A cell without a shade.
pub fn plain(text: String) -> TableCell {
    TableCell { text, shade: None }
}

/// A cell with a shade from 0 to 1.
pub fn shaded(text: String, shade: f64) -> TableCell {
    TableCell { text, shade: Some(format!("{:.3}", shade.clamp(0.0, 1.0))) }
}
