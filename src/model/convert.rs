//! Conversion of a PyTorch checkpoint to a weights file.

use super::class_names::{self, ClassNames};
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

/// Options of a conversion.
#[derive(Debug, Clone)]
pub struct ConvertOptions {
    /// Normalization; by default [`usual_normalization`].
    pub normalization: Option<Normalization>,
    /// File of class names, one per line, with or without numbers before them.
    pub labels: Option<PathBuf>,
    /// Element type of the weights.
    pub precision: Precision,
    /// Height and width of the input, if not the usual ones.
    pub input: Option<usize>,
    /// Whether global convolutions share their weights, which is not in the checkpoint.
    pub shared_global: bool,
}

/// The result of a conversion.
#[derive(Debug, Clone)]
pub struct Conversion {
    /// The inferred architecture.
    pub config: Config,
    /// One phrase for each property that is not in the checkpoint and was assumed.
    pub assumed: Vec<String>,
    /// Number of tensors written.
    pub tensors: usize,
    /// Number of elements that half precision cannot represent exactly.
    pub rounded: usize,
    /// SHA-256 of the checkpoint.
    pub source_sha256: String,
}

/// Reads the checkpoint at `input` and writes weights to `output`.
///
/// ```no_run
/// use std::path::Path;
///
/// use msdcam::Model;
/// use msdcam::model::{ConvertOptions, Precision, convert};
///
/// # fn main() -> msdcam::Result<()> {
/// let options = ConvertOptions {
///     normalization: None,
///     labels: None,
///     precision: Precision::F16,
///     input: None,
///     shared_global: false,
/// };
/// let conversion = convert(Path::new("net.pth.tar"), Path::new("net.safetensors"), &options)?;
/// println!("{} tensors; assumed: {:?}", conversion.tensors, conversion.assumed);
/// let model = Model::open("net.safetensors")?;
/// # let _ = model;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Checkpoint::read`]; when the tensors are not exactly those of an MSD-Net, the labels do not
/// match, `output` is the checkpoint itself, or an element is too large for `f16`.
pub fn convert(input: &Path, output: &Path, options: &ConvertOptions) -> Result<Conversion> {
    if source_file::same(input, output) {
        return Err(RequestError::OutputIsInput { file: output.display().to_string() }.into());
    }
    let (weights, assumed) = load(input, options)?;
    let rounded = weights.write(output, options.precision)?;
    Ok(Conversion {
        assumed,
        tensors: weights.tensors.len(),
        rounded,
        source_sha256: weights.source_sha256,
        config: weights.config,
    })
}

/// The weights of a checkpoint, and what was assumed about them.
pub fn load(input: &Path, options: &ConvertOptions) -> Result<(Weights, Vec<String>)> {
    let checkpoint = Checkpoint::read(input)?;
    let (config, mut assumed) = architecture(input, &checkpoint.shapes(), options)?;
    let labels = match &options.labels {
        Some(path) => {
            let ClassNames { names, doubles } = class_names::read(path, config.classes)?;
            if !doubles.is_empty() {
                assumed.push(format!("classes of the same name are {}", doubles.join(", ")));
            }
            names
        }
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

fn architecture(input: &Path, shapes: &Shapes, options: &ConvertOptions) -> Result<(Config, Vec<String>)> {
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
