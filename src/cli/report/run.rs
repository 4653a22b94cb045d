//! What a run's folder holds besides pictures.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use msdcam::evaluation::{Evaluation, Outcome};
use msdcam::render::Colormap;
use msdcam::report::{Fact, Record, outcomes};
use msdcam::{Error, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A run that has been read, but for its images.
#[derive(Debug)]
pub struct Run {
    folder: PathBuf,
    manifest: Option<Value>,
    pub evaluation: Option<Evaluation>,
    /// Class names.
    pub classes: Vec<String>,
    /// The exits that every image has.
    pub exits: Vec<usize>,
    /// Images, with the failed ones.
    pub images: usize,
    pub failed: Vec<Record>,
    /// Images that can be shown: those with every exit.
    shown: usize,
}

/// What is gathered from the records of a run.
#[derive(Default)]
struct Gathered {
    exits: Option<Vec<usize>>,
    classes: BTreeMap<usize, String>,
    outcomes: Vec<Outcome>,
    images: usize,
    shown: usize,
    failed: Vec<Record>,
}

impl Run {
    /// Reads the run in `folder`.
    ///
    /// # Errors
    /// [`Error::Refused`] when it holds neither results nor an evaluation, or one of them is damaged.
    pub fn open(folder: &Path) -> Result<Run> {
        let manifest: Option<Value> = read_json(&folder.join("manifest.json"))?;
        let evaluation: Option<Evaluation> = read_json(&folder.join("evaluation.json"))?;
        let mut gathered = Gathered::default();
        let any = each_record(folder, |record| gathered.add(record))?;
        if !any && evaluation.is_none() {
            return Err(Error::refused(folder, "run", "neither results.jsonl nor evaluation.json is in it"));
        }
        let exits = gathered.exits.unwrap_or_default();
        let mut classes: Vec<String> = manifest
            .as_ref()
            .and_then(|m| serde_json::from_value(m["labels"].clone()).ok())
            .unwrap_or_default();
        if classes.is_empty() {
            classes = evaluation.as_ref().map_or(Vec::new(), |evaluation| evaluation.classes.clone());
        }
        for (class, name) in gathered.classes {
            if class >= classes.len() {
                classes.resize(class + 1, String::new());
                classes[class] = name;
            }
        }
        let measured = evaluation.is_some() || gathered.outcomes.is_empty();
        let computed = (!measured).then(|| Evaluation::new(&gathered.outcomes, &exits, &classes, None));
        let evaluation = evaluation.or(computed);
        let images = gathered.images.max(evaluation.as_ref().map_or(0, |evaluation| evaluation.images));
        let (failed, shown) = (gathered.failed, gathered.shown);
        Ok(Run { folder: folder.into(), manifest, evaluation, classes, exits, images, failed, shown })
    }

    /// Up to `most` of the images with every exit, evenly spread.
    ///
    /// # Errors
    /// As [`Run::open`].
    pub fn records(&self, most: usize) -> Result<Vec<Record>> {
        let (mut at, mut records) = (0, Vec::new());
        each_record(&self.folder, |record| {
            if self.is_whole(&record) {
                // The images at which at * most / shown goes up.
                if (at + 1) * most / self.shown > at * most / self.shown || self.shown <= most {
                    records.push(record);
                }
                at += 1;
            }
            Ok(())
        })?;
        Ok(records)
    }

    fn is_whole(&self, record: &Record) -> bool {
        !self.exits.is_empty() && record.exits.iter().map(|e| &e.exit).eq(&self.exits)
    }

    /// The folder's own name.
    pub fn name(&self) -> String {
        let folder = self.folder.canonicalize().unwrap_or_else(|_| self.folder.clone());
        folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned()
    }

    /// The colours of the run's own pictures.
    pub fn colormap(&self) -> Option<Colormap> {
        self.manifest.as_ref()?["colormap"].as_str()?.parse().ok()
    }

    pub fn notices(&self) -> Vec<String> {
        let unfinished = self.manifest.is_none() && self.shown > 0;
        let text =
            "The run is not finished: it has no manifest. This page shows what was there when it was made.";
        unfinished.then(|| text.into()).into_iter().collect()
    }

    /// How the run was made, from its manifest: what is short enough to read.
    pub fn facts(&self) -> Vec<Fact> {
        let mut facts = Vec::new();
        if let Some(Value::Object(manifest)) = &self.manifest {
            for (name, value) in manifest {
                add_facts(&mut facts, name, value);
            }
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
        let exits = record.exits.iter().map(|e| e.exit);
        let known = self.exits.get_or_insert_with(|| exits.clone().collect());
        self.shown += usize::from(exits.eq(known.iter().copied()));
        for exit in &record.exits {
            self.classes.entry(exit.class).or_insert_with(|| exit.label.clone());
            if let (Some(target), Some(label)) = (exit.target, &exit.target_label) {
                self.classes.entry(target).or_insert_with(|| label.clone());
            }
        }
        if let (Some(label), Some(name)) = (record.label, &record.label_name) {
            self.classes.entry(label).or_insert_with(|| name.clone());
        }
        self.outcomes.extend(outcomes(&[record], known));
        Ok(())
    }
}

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

/// Calls `each` for every line of the run's results; whether there are results.
fn each_record(folder: &Path, mut each: impl FnMut(Record) -> Result<()>) -> Result<bool> {
    let path = folder.join("results.jsonl");
    let file = match File::open(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
        file => file.map_err(|e| Error::refused(&path, "file", e.to_string()))?,
    };
    for (i, line) in BufReader::new(file).lines().enumerate() {
        let refused = |cause: String| Error::refused(&path, format!("line {}", i + 1), cause);
        let line = line.map_err(|e| refused(e.to_string()))?;
        each(serde_json::from_str(&line).map_err(|e| refused(e.to_string()))?)?;
    }
    Ok(true)
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let bytes = match std::fs::read(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|e| Error::refused(path, "file", e.to_string()))?,
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|e| Error::refused(path, "JSON", e.to_string()))
}
