//! The files of a run: tables, charts and, last, the manifest.

use std::fmt::Write as _;
use std::path::Path;

use crate::faithfulness::{Similarity, Summary};
use crate::imaging::encode_png;
use crate::render::chart::{Drawing, Theme};
use crate::util::atomic_file::{make_folder, remove_old, write_atomically};
use crate::{Error, Result};

use super::charts;
use super::report::Report;

const MANIFEST: &str = "manifest.json";
/// Pixels for each unit of a chart.
const SCALE: f64 = 2.0;

/// Makes the folder if it is missing. An earlier run's manifest goes: from now on it would lie.
///
/// # Errors
/// When it is a file, or cannot be made or changed.
pub fn open(folder: &Path) -> Result<()> {
    make_folder(folder)?;
    remove_old(&folder.join(MANIFEST))
}

/// Writes all files, the manifest last.
///
/// # Errors
/// When one cannot be written.
pub fn write(folder: &Path, report: &Report) -> Result<()> {
    let mut names = Vec::new();
    let mut write = |name: String, bytes: &[u8]| {
        write_atomically(&folder.join(&name), bytes)?;
        names.push(name);
        Ok::<_, Error>(())
    };
    let mut tables = vec![("faithfulness.csv", summary_csv(&report.rows))];
    tables.extend(curves_csv(&report.rows).map(|csv| ("curves.csv", csv)));
    tables.extend(road_csv(&report.rows).map(|csv| ("road.csv", csv)));
    if !report.randomisation.is_empty() {
        tables.push(("randomisation.csv", randomisation_csv(&report.randomisation)));
    }
    for (name, text) in tables {
        write(name.into(), text.as_bytes())?;
    }
    for (name, drawing) in charts::all(report) {
        let (svg, png) = both(&drawing);
        write(format!("{name}.svg"), svg.as_bytes())?;
        write(format!("{name}.png"), &png)?;
    }
    let mut about = serde_json::to_value(&report.about).expect("plain fields have a JSON form");
    about["files"] = names.into();
    let manifest = serde_json::to_string_pretty(&about).expect("a JSON value has a text form") + "\n";
    write_atomically(&folder.join(MANIFEST), manifest.as_bytes())
}

fn both(drawing: &Drawing) -> (String, Vec<u8>) {
    (drawing.svg(), encode_png(&drawing.picture(Theme::Light, SCALE)))
}

/// A number, or nothing where there is none.
fn cell(number: Option<f64>) -> String {
    number.map(|x| x.to_string()).unwrap_or_default()
}

/// A line for each exit and method.
fn summary_csv(rows: &[Summary]) -> String {
    type Field = (&'static str, fn(&Summary) -> Option<f64>);
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
    let heads: Vec<&str> = FIELDS.iter().map(|(head, _)| *head).collect();
    let mut csv = format!("exit,method,images,empty,constant,nonfinite,{}\n", heads.join(","));
    for row in rows {
        let numbers: Vec<String> = FIELDS.iter().map(|(_, of)| cell(of(row))).collect();
        let Summary { exit, method, images, empty, constant, nonfinite, .. } = row;
        // Writing to a String cannot fail.
        let _ =
            writeln!(csv, "{exit},{method},{images},{empty},{constant},{nonfinite},{}", numbers.join(","));
    }
    csv
}

/// A line for each exit, method and share of the pixels; nothing where no curve was made.
fn curves_csv(rows: &[Summary]) -> Option<String> {
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

/// A line for each exit, method and percentile; nothing where ROAD was not made.
fn road_csv(rows: &[Summary]) -> Option<String> {
    let mut csv = String::from("exit,method,percentile,morf,lerf,combined\n");
    for row in rows {
        for point in &row.road_curve {
            let (p, morf, lerf, combined) = (point.percentile, point.morf, point.lerf, point.combined);
            let _ = writeln!(csv, "{},{},{p},{morf},{lerf},{combined}", row.exit, row.method);
        }
    }
    rows.iter().any(|row| !row.road_curve.is_empty()).then_some(csv)
}

/// A line for each exit, stage and method.
fn randomisation_csv(rows: &[Similarity]) -> String {
    let mut csv = String::from(
        "exit,drawn,stage,method,images,left_out,spearman_signed,spearman_absolute,ssim_signed,ssim_absolute\n",
    );
    for row in rows {
        let numbers = [row.spearman_signed, row.spearman_absolute, row.ssim_signed, row.ssim_absolute];
        let numbers: Vec<String> = numbers.into_iter().map(cell).collect();
        let Similarity { exit, drawn, stage, method, images, left_out, .. } = row;
        let _ = writeln!(csv, "{exit},{drawn},{stage},{method},{images},{left_out},{}", numbers.join(","));
    }
    csv
}
