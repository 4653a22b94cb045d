//! A run's folder read back: results, manifest, evaluation.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::evaluation::{Evaluation, ImageOutcome};
use crate::explain::MapMethod;
use crate::render::Colormap;
use crate::report::{ImageResult, MetadataRow, outcomes};
use crate::run::{RunArrays, RunInfo, read_results};
use crate::util::below::below;
use crate::util::input_file;
use crate::{Error, Result, run};
use serde_json::Value;

use super::tiles::Sources;

/// A run without its per-image results, which are streamed.
#[derive(Debug)]
pub struct LoadedRun {
    folder: PathBuf,
    /// `None` if the folder holds only an evaluation.
    info: Option<RunInfo>,
    /// Metadata of evaluation.json.
    evaluation_metadata: Value,
    pub evaluation: Option<Evaluation>,
    /// Class names.
    pub classes: Vec<String>,
    /// Exits of every image.
    pub exits: Vec<usize>,
    /// Number of images so far, including failed ones.
    pub images: usize,
    pub failed: Vec<ImageResult>,
    /// Number of images that can be shown.
    pub shown: usize,
    /// Whether no image was explained; then those that were classified are shown.
    is_classified_only: bool,
    /// The arrays of all images.
    arrays: Option<RunArrays>,
}

/// Totals over the results of a run.
#[derive(Default)]
struct RunTotals {
    exits: Option<Vec<usize>>,
    classes: BTreeMap<usize, String>,
    outcomes: Vec<ImageOutcome>,
    images: usize,
    whole: usize,
    explained: usize,
    failed: Vec<ImageResult>,
}

impl LoadedRun {
    /// Reads the run in `folder`, finished or not.
    ///
    /// # Errors
    /// [`Error::Refused`] when the folder holds neither results nor an evaluation, or one of them is damaged.
    pub fn open(folder: &Path) -> Result<LoadedRun> {
        let evaluation_metadata = read_evaluation(&folder.join("evaluation.json"))?;
        let mut totals = RunTotals::default();
        let info = read_results(folder, |index, line| totals.add(parse(folder, index, line)?))?;
        if info.is_none() && evaluation_metadata.is_none() {
            let cause = "holds neither the results of `msdcam explain -o` nor those of `msdcam evaluate -o`";
            return Err(Error::refused(folder, "run", cause));
        }
        let (evaluation, evaluation_metadata) = evaluation_metadata.unzip();
        // Where no image could be used, the results have none.
        let asked_for = || serde_json::from_value(info.as_ref()?.manifest["exits"].clone()).ok();
        let exits: Vec<usize> = totals.exits.clone().or_else(asked_for).unwrap_or_default();
        let classes = totals.class_names(info.as_ref(), evaluation.as_ref());
        let computed = || {
            let outcomes = &totals.outcomes;
            (!outcomes.is_empty()).then(|| Evaluation::new(outcomes, &exits, &classes, None))
        };
        let evaluation = evaluation.or_else(computed);
        let images = totals.images.max(evaluation.as_ref().map_or(0, |evaluation| evaluation.images));
        let is_classified_only = totals.explained == 0;
        let shown = if is_classified_only { totals.whole } else { totals.explained };
        Ok(LoadedRun {
            folder: folder.into(),
            info,
            evaluation_metadata: evaluation_metadata.unwrap_or_default(),
            evaluation,
            classes,
            exits,
            images,
            failed: totals.failed,
            shown,
            is_classified_only,
            arrays: RunArrays::open(folder)?,
        })
    }

    /// Results of up to `max` images that can be shown, evenly subsampled.
    ///
    /// # Errors
    /// As [`LoadedRun::open`].
    pub fn records(&self, max: usize) -> Result<Vec<ImageResult>> {
        let max = max.min(self.shown);
        let mut at = 0;
        self.records_where(|_| {
            at += 1;
            // Every image at which at * max / shown increases.
            at * max / self.shown > (at - 1) * max / self.shown
        })
    }

    /// Results of the images that can be shown and for which `wanted` holds.
    ///
    /// # Errors
    /// As [`LoadedRun::open`].
    pub fn records_where(&self, mut wanted: impl FnMut(&ImageResult) -> bool) -> Result<Vec<ImageResult>> {
        let mut records = Vec::new();
        read_results(&self.folder, |index, line| {
            let record = parse(&self.folder, index, line)?;
            let whole = !self.exits.is_empty() && has_exits(&record, &self.exits);
            if whole && (self.is_classified_only || record.is_explained()) && wanted(&record) {
                records.push(record);
            }
            Ok(())
        })?;
        Ok(records)
    }

    /// The files that the run is read from, with those of these `records`.
    pub fn files(&self, records: &[ImageResult]) -> impl Iterator<Item = PathBuf> {
        let named = records.iter().flat_map(|record| [&record.files.strip, &record.files.arrays]);
        let named = named.flatten().map(String::as_str);
        let own = ["results.jsonl", "failed.jsonl", "evaluation.json"];
        let names = own.into_iter().map(String::from).chain(named.map(String::from));
        let names = names.chain(run::shard_files(&self.folder));
        let arrays = self.arrays.as_ref().map_or_else(Vec::new, RunArrays::files);
        names.filter_map(|name| below(&self.folder, &name).ok()).chain(arrays)
    }

    /// Where the photos and maps of its images are.
    pub fn sources(&self) -> Sources<'_> {
        Sources {
            folder: &self.folder,
            arrays: self.arrays.as_ref().map(|arrays| (arrays, self.array_keys())),
        }
    }

    /// Keys of its arrays, in the order of the request or, without a manifest, of the alphabet.
    fn array_keys(&self) -> Vec<String> {
        let listed = self.info.as_ref().and_then(|info| info.manifest["arrays"].as_array());
        match listed {
            Some(keys) => keys.iter().filter_map(|key| key.as_str().map(String::from)).collect(),
            None => self.arrays.as_ref().map_or_else(Vec::new, RunArrays::found),
        }
    }

    /// Name of the run's folder.
    pub fn name(&self) -> String {
        let folder = self.folder.canonicalize().unwrap_or_else(|_| self.folder.clone());
        folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned()
    }

    /// Colormap of the run's pictures.
    pub fn colormap(&self) -> Option<Colormap> {
        self.info.as_ref()?.manifest["colormap"].as_str()?.parse().ok()
    }

    /// Title of the first CAM method of the run.
    pub fn method(&self) -> Option<&'static str> {
        let methods = self.info.as_ref()?.manifest["methods"].as_array()?;
        let title = |name: &Value| {
            MapMethod::ALL.into_iter().find(|method| name == method.name()).map(MapMethod::title)
        };
        methods.iter().find_map(title)
    }

    /// Name of the run's fusion, if it has one.
    pub fn fusion(&self) -> Option<String> {
        self.info.as_ref()?.manifest["fuse"].as_str().map(String::from)
    }

    /// Notices for the top of the report.
    pub fn notices(&self) -> Vec<String> {
        let Some(RunInfo { finished: false, images, .. }) = self.info else { return Vec::new() };
        let of = images.map_or(String::new(), |all| format!(" of {all}"));
        vec![format!("This run is not finished: the report covers {}{of} images.", self.images)]
    }

    /// Manifest values that are short enough to read.
    pub fn metadata(&self) -> Vec<MetadataRow> {
        let mut rows = Vec::new();
        let made = self.info.as_ref().map_or(&self.evaluation_metadata, |info| &info.manifest);
        if let Value::Object(made) = made {
            made.iter().for_each(|(name, value)| add_rows(&mut rows, name, value));
        }
        rows
    }
}

impl RunTotals {
    fn add(&mut self, record: ImageResult) -> Result<()> {
        self.images += 1;
        if record.error.is_some() {
            self.failed.push(record);
            return Ok(());
        }
        let exits = self.exits.get_or_insert_with(|| record.exits.iter().map(|e| e.exit).collect());
        if has_exits(&record, exits) {
            self.whole += 1;
            self.explained += usize::from(record.is_explained());
        }
        for exit in &record.exits {
            self.classes.entry(exit.class).or_insert_with(|| exit.class_name.clone());
            if let (Some(target), Some(label)) = (exit.target, &exit.target_name) {
                self.classes.entry(target).or_insert_with(|| label.clone());
            }
        }
        if let Some(label) = record.label {
            let name = || record.label_name.clone().unwrap_or_default();
            self.classes.entry(label).or_insert_with(name);
        }
        self.outcomes.extend(outcomes(&[record], exits));
        Ok(())
    }

    /// All class names if the manifest or the evaluation lists them; otherwise those that occur, by index.
    fn class_names(&mut self, info: Option<&RunInfo>, evaluation: Option<&Evaluation>) -> Vec<String> {
        let listed = info.and_then(|info| serde_json::from_value(info.manifest["labels"].clone()).ok());
        let listed = listed.or_else(|| evaluation.map(|evaluation| evaluation.classes.clone()));
        let mut names: Vec<String> = listed.unwrap_or_default();
        for (class, name) in std::mem::take(&mut self.classes) {
            if class >= names.len() {
                names.resize(class + 1, String::new());
                names[class] = name;
            }
        }
        names
    }
}

fn has_exits(record: &ImageResult, exits: &[usize]) -> bool {
    record.exits.iter().map(|e| e.exit).eq(exits.iter().copied())
}

fn parse(folder: &Path, index: usize, line: &str) -> Result<ImageResult> {
    let record = ImageResult::parse(line).map_err(|cause| Error::refused(folder, "results", cause))?;
    Ok(ImageResult { index, ..record })
}

/// Appends a manifest value, recursively for objects; values that are too long to read are left out.
fn add_rows(rows: &mut Vec<MetadataRow>, name: &str, value: &Value) {
    const MAX_LEN: usize = 200;
    let text = match value {
        Value::Null => return,
        Value::Object(inner) => {
            return inner.iter().for_each(|(key, value)| add_rows(rows, &format!("{name} {key}"), value));
        }
        other => text(other),
    };
    if !text.is_empty() && text.len() <= MAX_LEN {
        rows.push(MetadataRow { name: name.replace('_', " "), value: text });
    }
}

/// A value as a reader writes it: `a, b`, `class: 0, name: cat; class: 1, name: dog`.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "none".into(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            // The digits of an f32, which a JSON value holds as an f64.
            Some(x) if number.is_f64() && f64::from(x as f32) == x => (x as f32).to_string(),
            _ => number.to_string(),
        },
        Value::Array(values) => {
            let by = if values.iter().any(Value::is_object) { "; " } else { ", " };
            values.iter().map(text).collect::<Vec<_>>().join(by)
        }
        Value::Object(inner) => {
            let field =
                |(key, value): (&String, &Value)| format!("{}: {}", key.replace('_', " "), text(value));
            inner.iter().map(field).collect::<Vec<_>>().join(", ")
        }
    }
}

/// The evaluation in evaluation.json, and the metadata beside it.
fn read_evaluation(path: &Path) -> Result<Option<(Evaluation, Value)>> {
    let refused = |place: &str, cause: String| Error::refused(path, place, cause);
    let Some(bytes) = input_file::read_if_exists(path, input_file::JSON)? else { return Ok(None) };
    let value: Value = serde_json::from_slice(&bytes).map_err(|e| Error::refused_by(path, "JSON", e))?;
    if run::is_in_progress(&value) {
        let cause = "not complete; `msdcam evaluate -o` with the same words makes it again";
        return Err(refused("evaluation", cause.into()));
    }
    let metadata = ["weights", "source_sha256", "device", "failed"];
    let metadata = metadata.iter().filter_map(|&key| Some((key.to_string(), value.get(key)?.clone())));
    let metadata = Value::Object(metadata.collect());
    let other = |e| {
        format!(
            "{e}; if another version of msdcam wrote it, `msdcam evaluate -o` with the same words makes it again"
        )
    };
    let evaluation: Evaluation = serde_json::from_value(value).map_err(|e| refused("JSON", other(e)))?;
    match evaluation.check() {
        Err(cause) => Err(Error::refused(path, "JSON", cause)),
        Ok(()) => Ok(Some((evaluation, metadata))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_text_without_json_and_noise() {
        let made = serde_json::json!({
            "mean": [0.485_f32, 0.456_f32],
            "share": 0.1,
            "images": 2000,
            "weights": { "file": "a.onnx", "source_sha256": "" },
            "label_mapping": { "classes": [{ "class": 0, "class_name": "cat" }, { "class": 1, "class_name": "dog" }] },
            "thresholds": [0.9_f32, null],
            "long": vec!["a"; 500],
        });
        let mut rows = Vec::new();
        made.as_object().unwrap().iter().for_each(|(name, value)| add_rows(&mut rows, name, value));
        let rows: Vec<(&str, &str)> =
            rows.iter().map(|row| (row.name.as_str(), row.value.as_str())).collect();
        let expected = [
            ("mean", "0.485, 0.456"),
            ("share", "0.1"),
            ("images", "2000"),
            ("weights file", "a.onnx"),
            ("label mapping classes", "class: 0, class name: cat; class: 1, class name: dog"),
            ("thresholds", "0.9, none"),
        ];
        assert_eq!(rows.len(), expected.len(), "{rows:?}");
        assert!(expected.iter().all(|row| rows.contains(row)), "{rows:?}");
    }
}
