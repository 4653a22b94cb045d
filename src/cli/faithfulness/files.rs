//! Output files: tables, charts and the settings.

use std::fmt::Write as _;

use crate::faithfulness::{CascadeSimilarity, MetricSummary};
use crate::imaging::encode_png;
use crate::render::chart::{Drawing, Theme};
use crate::run::{Kind, OutputFolder};
use crate::{Error, Result};

use super::charts;
use super::report::FaithfulnessReport;

/// What `msdcam faithfulness -o` writes. The folder may be that of the run whose maps are measured.
pub const FAITHFULNESS: Kind = Kind {
    name: "faithfulness",
    title: "an analysis of faithfulness",
    marker: "faithfulness.json",
    lock: "faithfulness.lock",
    files: &["faithfulness.csv", "curves.csv", "road.csv", "randomisation.csv"],
};
/// Pixels per unit of a chart.
const SCALE: f64 = 2.0;

/// Writes all files, or none of them.
///
/// # Errors
/// When one cannot be written.
pub fn write(folder: OutputFolder, report: &FaithfulnessReport) -> Result<()> {
    let mut names = Vec::new();
    let mut write = |name: String, bytes: &[u8]| {
        folder.stage(&name, bytes)?;
        names.push(name);
        Ok::<_, Error>(())
    };
    let mut tables = vec![("faithfulness.csv", summary_csv(&report.rows))];
    tables.extend(curves_csv(&report.rows).map(|csv| ("curves.csv", csv)));
    tables.extend(road_csv(&report.rows).map(|csv| ("road.csv", csv)));
    if !report.randomisation.is_empty() {
        tables.push(("randomisation.csv", randomization_csv(&report.randomisation)));
    }
    for (name, text) in tables {
        write(name.into(), text.as_bytes())?;
    }
    for (name, drawing) in charts::all(report) {
        let (svg, png) = encode(&drawing);
        write(format!("{name}.svg"), svg.as_bytes())?;
        write(format!("{name}.png"), &png)?;
    }
    let mut manifest = serde_json::to_value(&report.about).expect("plain fields serialize to JSON");
    manifest["files"] = names.into();
    folder.finish(&manifest)
}

/// A chart as SVG and PNG.
fn encode(drawing: &Drawing) -> (String, Vec<u8>) {
    (drawing.svg(), encode_png(&drawing.picture(Theme::Light, SCALE)))
}

/// A CSV cell; empty for `None`.
fn cell(value: Option<f64>) -> String {
    value.map(|x| x.to_string()).unwrap_or_default()
}

/// `faithfulness.csv`: a line for each exit and method.
fn summary_csv(rows: &[MetricSummary]) -> String {
    type Field = (&'static str, fn(&MetricSummary) -> Option<f64>);
    const FIELDS: [Field; 22] = [
        ("confidence", |s| s.confidence),
        ("average_drop", |s| s.average_drop),
        ("absolute_drop", |s| s.absolute_drop),
        ("increase", |s| s.increase),
        ("average_gain", |s| s.average_gain),
        ("complexity", |s| s.complexity),
        ("coherency", |s| s.coherency),
        ("coherency_images", |s| Some(s.coherency_images as f64)),
        ("adcc", |s| s.adcc),
        ("deletion", |s| s.deletion),
        ("insertion", |s| s.insertion),
        ("road_morf", |s| s.road_morf),
        ("road_lerf", |s| s.road_lerf),
        ("road", |s| s.road),
        ("agreement_images", |s| Some(s.agreement.images as f64)),
        ("same_class", |s| s.agreement.same_class),
        ("spearman", |s| s.agreement.spearman),
        ("iou", |s| s.agreement.iou),
        ("shift", |s| s.agreement.shift),
        ("pointing_game", |s| s.pointing.as_ref()?.pointing_game),
        ("energy_pointing", |s| s.pointing.as_ref()?.energy),
        ("object_share", |s| s.pointing.as_ref()?.object_share),
    ];
    let headers: Vec<&str> = FIELDS.iter().map(|(header, _)| *header).collect();
    let mut csv = format!("exit,method,images,empty,constant,nonfinite,{}\n", headers.join(","));
    for row in rows {
        let values: Vec<String> = FIELDS.iter().map(|(_, of)| cell(of(row))).collect();
        let MetricSummary { exit, method, images, empty, constant, nonfinite, .. } = row;
        // Writing to a String cannot fail.
        let _ = writeln!(csv, "{exit},{method},{images},{empty},{constant},{nonfinite},{}", values.join(","));
    }
    csv
}

/// `curves.csv`: a line for each exit, method and share of the pixels; `None` without curves.
fn curves_csv(rows: &[MetricSummary]) -> Option<String> {
    let mut csv = String::from("exit,method,fraction,deletion,insertion\n");
    let mut any = false;
    for row in rows {
        let (Some(deletion), Some(insertion)) = (&row.deletion_curve, &row.insertion_curve) else { continue };
        any = true;
        let points = deletion.fractions.iter().zip(&deletion.scores).zip(&insertion.scores);
        for ((fraction, deletion), insertion) in points {
            let _ = writeln!(csv, "{},{},{fraction},{deletion},{insertion}", row.exit, row.method);
        }
    }
    any.then_some(csv)
}

/// `road.csv`: a line for each exit, method and percentile; `None` without ROAD.
fn road_csv(rows: &[MetricSummary]) -> Option<String> {
    let mut csv = String::from("exit,method,percentile,morf,lerf,combined\n");
    for row in rows {
        for point in &row.road_curve {
            let (p, morf, lerf, combined) = (point.percentile, point.morf, point.lerf, point.combined);
            let _ = writeln!(csv, "{},{},{p},{morf},{lerf},{combined}", row.exit, row.method);
        }
    }
    rows.iter().any(|row| !row.road_curve.is_empty()).then_some(csv)
}

/// `randomisation.csv`: a line for each exit, step and method.
fn randomization_csv(rows: &[CascadeSimilarity]) -> String {
    let mut csv = String::from(
        "exit,drawn,stage,method,images,left_out,spearman_signed,spearman_absolute,ssim_signed,ssim_absolute\n",
    );
    for row in rows {
        let values = [row.spearman_signed, row.spearman_absolute, row.ssim_signed, row.ssim_absolute];
        let values: Vec<String> = values.into_iter().map(cell).collect();
        let CascadeSimilarity { exit, drawn, stage, method, images, left_out, .. } = row;
        let _ = writeln!(csv, "{exit},{drawn},{stage},{method},{images},{left_out},{}", values.join(","));
    }
    csv
}
