//! From a PyTorch checkpoint to a weights file.

use super::pytorch::Checkpoint;
use super::source_file;
use super::weights::{Precision, Weights, numbered};
use crate::dataset::cifar;
use crate::error::RequestError;
use crate::model::Normalization;
use crate::model::msdnet::check_tensors::confirm;
use crate::model::msdnet::config::{Config, Stem};
use crate::model::msdnet::infer::{Assumed, Shapes, infer};
use crate::model::msdnet::usual_normalization;
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// What a conversion may be told.
#[derive(Debug, Clone)]
pub struct Options {
    /// Normalisation; by default [`usual_normalization`].
    pub normalization: Option<Normalization>,
    /// File of class names, one a line.
    pub labels: Option<PathBuf>,
    /// Number format of the weights.
    pub precision: Precision,
    /// Height and width of the input, where they are not the usual ones.
    pub input: Option<usize>,
    /// Whether global convolutions share their weights; the checkpoint does not tell.
    pub shared_global: bool,
}

/// What a conversion did.
#[derive(Debug, Clone)]
pub struct Report {
    /// The architecture found.
    pub config: Config,
    /// One sentence for each thing that the checkpoint does not tell and that was assumed.
    pub assumed: Vec<String>,
    /// Tensors written.
    pub tensors: usize,
    /// Numbers that half precision could not hold exactly.
    pub rounded: usize,
    /// SHA-256 of the checkpoint.
    pub source_sha256: String,
}

/// Reads the checkpoint at `input` and writes weights to `output`.
///
/// # Errors
/// Whatever [`Checkpoint::read`] refuses; tensors that make no MSD-Net or not exactly one; labels
/// that do not fit; `output` being the checkpoint itself; a number too large for `f16`.
pub fn convert(input: &Path, output: &Path, options: &Options) -> Result<Report> {
    if source_file::same(input, output) {
        return Err(RequestError::OutputIsInput { file: output.display().to_string() }.into());
    }
    let (weights, assumed) = load(input, options)?;
    let rounded = weights.write(output, options.precision)?;
    Ok(Report {
        assumed,
        tensors: weights.tensors.len(),
        rounded,
        source_sha256: weights.source_sha256,
        config: weights.config,
    })
}

/// The weights that a checkpoint holds, and what had to be assumed about them.
pub fn load(input: &Path, options: &Options) -> Result<(Weights, Vec<String>)> {
    let checkpoint = Checkpoint::read(input)?;
    let (config, mut assumed) = architecture(input, &checkpoint.shapes(), options)?;
    let labels = match &options.labels {
        Some(path) => read_labels(path, config.classes)?,
        None if config.classes == 10 && config.stem == Stem::Cifar => cifar::CIFAR10.map(String::from).into(),
        None => numbered(config.classes),
    };
    let usual = usual_normalization(&config);
    let Normalization { mean, std } = options.normalization.unwrap_or(usual);
    if options.normalization.is_none() {
        assumed.push(format!(
            "mean {mean:?} and standard deviation {std:?}: the usual for this network, the file does not tell"
        ));
    }
    let tensors = checkpoint.tensors.into_iter().map(|(name, t)| (name, (t.dims, t.data.into()))).collect();
    let weights = Weights { config, labels, mean, std, source_sha256: checkpoint.sha256, tensors };
    Ok((weights, assumed))
}

fn architecture(input: &Path, shapes: &Shapes, options: &Options) -> Result<(Config, Vec<String>)> {
    let inferred = infer(shapes)
        .map_err(|unclear| Error::refused(input, format!("tensor '{}'", unclear.tensor), unclear.cause))?;
    let mut config = inferred.config;
    config.input = options.input.unwrap_or(config.input);
    if options.shared_global {
        match &mut config.global_conv {
            Some(global) => global.shared = true,
            None => return Err(RequestError::NoGlobalConvolutions.into()),
        }
    }
    config.validate().map_err(|cause| Error::refused(input, "architecture", cause))?;
    confirm(input, &config, shapes)?;
    let told = |a: &Assumed| match a {
        Assumed::Input(_) => options.input.is_some(),
        Assumed::UnsharedGlobal => options.shared_global,
    };
    Ok((config, inferred.assumed.iter().filter(|a| !told(a)).map(Assumed::to_string).collect()))
}

/// Class names from a text file, one a line; a byte order mark and CR LF line ends are fine.
fn read_labels(path: &Path, classes: usize) -> Result<Vec<String>> {
    let refuse = |place: String, cause: String| Err(Error::refused(path, place, cause));
    let (bytes, _) = source_file::read(path)?;
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return refuse("labels".into(), "not UTF-8 text".into());
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim_end_matches(['\n', '\r']);
    let labels: Vec<String> = text.lines().map(|line| line.trim().to_string()).collect();
    let mut first = std::collections::HashMap::new();
    for (i, label) in labels.iter().enumerate() {
        let place = format!("line {}", i + 1);
        if label.is_empty() {
            return refuse(place, "empty".into());
        }
        if let Some(before) = first.insert(label, i + 1) {
            return refuse(place, format!("'{label}' is on line {before} already"));
        }
    }
    if labels.len() != classes {
        return refuse("labels".into(), format!("{} names for a network of {classes} classes", labels.len()));
    }
    Ok(labels)
}
