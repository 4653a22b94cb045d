//! What a run's folder holds besides pictures.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::evaluation::{Evaluation, ImageOutcome};
use crate::render::Colormap;
use crate::report::{Fact, Record, outcomes};
use crate::run::{Found, rows};
use crate::{Error, Result};
use serde_json::Value;

/// A run that has been read, but for its images.
#[derive(Debug)]
pub struct Run {
    folder: PathBuf,
    /// `None` where there is an evaluation only.
    found: Option<Found>,
    /// What evaluation.json says besides the evaluation.
    measured: Value,
    pub evaluation: Option<Evaluation>,
    /// Class names.
    pub classes: Vec<String>,
    /// The exits that every image has.
    pub exits: Vec<usize>,
    /// Images so far, with the failed ones.
    pub images: usize,
    pub failed: Vec<Record>,
    /// Images that can be shown.
    pub shown: usize,
    /// Whether images without pictures are among them: only where none has any.
    bare: bool,
}

/// What is gathered from the records of a run.
#[derive(Default)]
struct Gathered {
    exits: Option<Vec<usize>>,
    classes: BTreeMap<usize, String>,
    outcomes: Vec<ImageOutcome>,
    images: usize,
    whole: usize,
    pictured: usize,
    failed: Vec<Record>,
}

impl Run {
    /// Reads the run in `folder`, finished or not.
    ///
    /// # Errors
    /// [`Error::Refused`] when it holds neither results nor an evaluation, or one of them is damaged.
    pub fn open(folder: &Path) -> Result<Run> {
        let measured = read_evaluation(&folder.join("evaluation.json"))?;
        let mut gathered = Gathered::default();
        let found = rows(folder, |line| gathered.add(parse(folder, line)?))?;
        if found.is_none() && measured.is_none() {
            let cause = "holds neither the results of `msdcam explain -o` nor those of `msdcam evaluate -o`";
            return Err(Error::refused(folder, "run", cause));
        }
        let (evaluation, measured) = measured.unzip();
        let exits = gathered.exits.clone().unwrap_or_default();
        let classes = gathered.class_names(found.as_ref(), evaluation.as_ref());
        let computed = || {
            let outcomes = &gathered.outcomes;
            (!outcomes.is_empty()).then(|| Evaluation::new(outcomes, &exits, &classes, None))
        };
        let evaluation = evaluation.or_else(computed);
        let images = gathered.images.max(evaluation.as_ref().map_or(0, |evaluation| evaluation.images));
        let bare = gathered.pictured == 0;
        let shown = if bare { gathered.whole } else { gathered.pictured };
        Ok(Run {
            folder: folder.into(),
            found,
            measured: measured.unwrap_or_default(),
            evaluation,
            classes,
            exits,
            images,
            failed: gathered.failed,
            shown,
            bare,
        })
    }

    /// Up to `most` of the images that can be shown, evenly spread.
    ///
    /// # Errors
    /// As [`Run::open`].
    pub fn records(&self, most: usize) -> Result<Vec<Record>> {
        let most = most.min(self.shown);
        let mut at = 0;
        self.records_that(|_| {
            at += 1;
            // The images at which at * most / shown goes up.
            at * most / self.shown > (at - 1) * most / self.shown
        })
    }

    /// The images that can be shown and that `wanted` asks for.
    ///
    /// # Errors
    /// As [`Run::open`].
    pub fn records_that(&self, mut wanted: impl FnMut(&Record) -> bool) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        rows(&self.folder, |line| {
            let record = parse(&self.folder, line)?;
            let whole = !self.exits.is_empty() && has_exits(&record, &self.exits);
            if whole && (self.bare || record.has_pictures()) && wanted(&record) {
                records.push(record);
            }
            Ok(())
        })?;
        Ok(records)
    }

    /// The folder's own name.
    pub fn name(&self) -> String {
        let folder = self.folder.canonicalize().unwrap_or_else(|_| self.folder.clone());
        folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned()
    }

    /// The colours of the run's own pictures.
    pub fn colormap(&self) -> Option<Colormap> {
        self.found.as_ref()?.about["colormap"].as_str()?.parse().ok()
    }

    /// What must be known before anything else.
    pub fn notices(&self) -> Vec<String> {
        let Some(Found { finished: false, images, .. }) = self.found else { return Vec::new() };
        let of = images.map_or(String::new(), |all| format!(" of {all}"));
        vec![format!("The run is not finished: this page has {}{of} images.", self.images)]
    }

    /// How the run was made: what is short enough to read.
    pub fn facts(&self) -> Vec<Fact> {
        let mut facts = Vec::new();
        let made = self.found.as_ref().map_or(&self.measured, |found| &found.about);
        if let Value::Object(made) = made {
            made.iter().for_each(|(name, value)| add_facts(&mut facts, name, value));
        }
        facts
    }
}

impl Gathered {
    fn add(&mut self, record: Record) -> Result<()> {
        self.images += 1;
        if record.error.is_some() {
            self.failed.push(record);
            return Ok(());
        }
        let exits = self.exits.get_or_insert_with(|| record.exits.iter().map(|e| e.exit).collect());
        if has_exits(&record, exits) {
            self.whole += 1;
            self.pictured += usize::from(record.has_pictures());
        }
        for exit in &record.exits {
            self.classes.entry(exit.class).or_insert_with(|| exit.label.clone());
            if let (Some(target), Some(label)) = (exit.target, &exit.target_label) {
                self.classes.entry(target).or_insert_with(|| label.clone());
            }
        }
        if let (Some(label), Some(name)) = (record.label, &record.label_name) {
            self.classes.entry(label).or_insert_with(|| name.clone());
        }
        self.outcomes.extend(outcomes(&[record], exits));
        Ok(())
    }

    /// All class names where they are listed; else those that occur, in their places.
    fn class_names(&mut self, found: Option<&Found>, evaluation: Option<&Evaluation>) -> Vec<String> {
        let listed = found.and_then(|found| serde_json::from_value(found.about["labels"].clone()).ok());
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

fn has_exits(record: &Record, exits: &[usize]) -> bool {
    record.exits.iter().map(|e| e.exit).eq(exits.iter().copied())
}

fn parse(folder: &Path, line: &str) -> Result<Record> {
    /// A file that names class 10^12 would be a list of as many names.
    const MOST_CLASSES: usize = 1_000_000;
    let refused = |cause: String| Error::refused(folder, "results", cause);
    let record: Record = serde_json::from_str(line).map_err(|e| refused(e.to_string()))?;
    let classes = record.exits.iter().flat_map(|e| [Some(e.class), e.target]).chain([record.label]);
    match classes.flatten().find(|&class| class >= MOST_CLASSES) {
        Some(class) => Err(refused(format!("class {class} of image {}", record.image))),
        None => Ok(record),
    }
}

/// Values by their names, objects within too; what is long is no fact to read.
fn add_facts(facts: &mut Vec<Fact>, name: &str, value: &Value) {
    const LONGEST: usize = 200;
    let text = match value {
        Value::Null => return,
        Value::String(text) => text.clone(),
        Value::Object(inner) => {
            return inner.iter().for_each(|(key, value)| add_facts(facts, &format!("{name} {key}"), value));
        }
        Value::Array(values) if values.iter().all(|v| v.is_string() || v.is_number()) => {
            let words = values.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), String::from));
            words.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    };
    if text.len() <= LONGEST {
        facts.push(Fact { name: name.replace('_', " "), value: text });
    }
}

/// evaluation.json, and what it says about how it was made.
fn read_evaluation(path: &Path) -> Result<Option<(Evaluation, Value)>> {
    let refused = |place: &str, cause: String| Error::refused(path, place, cause);
    let bytes = match std::fs::read(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|e| refused("file", e.to_string()))?,
    };
    let value: Value = serde_json::from_slice(&bytes).map_err(|e| refused("JSON", e.to_string()))?;
    let about = ["weights", "source_sha256", "device", "failed"];
    let about = about.iter().filter_map(|&key| Some((key.to_string(), value.get(key)?.clone())));
    let about = Value::Object(about.collect());
    let evaluation: Evaluation = serde_json::from_value(value).map_err(|e| refused("JSON", e.to_string()))?;
    let classes = evaluation.classes.len();
    let sound = |exit: &crate::evaluation::ExitEvaluation| {
        exit.classes.len() == classes
            && exit.confusion.len() == classes
            && exit.confusion.iter().all(|row| row.len() == classes)
    };
    match evaluation.exits.iter().find(|exit| !sound(exit)) {
        Some(exit) => Err(refused("JSON", format!("exit {} is not about {classes} classes", exit.exit))),
        None => Ok(Some((evaluation, about))),
    }
}
