//! Conversion of a PyTorch checkpoint to a weights file.

use super::class_names;
use super::pytorch::Checkpoint;
use super::source_file;
use super::weights::{Precision, Weights, numbered};
use crate::dataset::cifar;
use crate::error::RequestError;
use crate::model::Normalization;
use crate::model::msdnet::check_tensors::confirm;
use crate::model::msdnet::config::{Config, HeadPool, Stem};
use crate::model::msdnet::infer::{Assumed, Shapes, infer};
use crate::model::msdnet::recognize::recognize;
use crate::model::msdnet::usual_normalization;
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Options of a conversion. What is `None` is assumed, and reported as such where no tensor tells it.
#[derive(Debug, Clone)]
pub struct ConvertOptions {
    /// The state dict, if the file has several: the path of keys to it with dots, or the last of them; a
    /// prefix of tensor names may follow.
    pub state_dict: Option<String>,
    /// Normalization; by default [`usual_normalization`].
    pub normalization: Option<Normalization>,
    /// File of class names, one per line, with or without numbers before them.
    pub labels: Option<PathBuf>,
    /// Element type of the weights.
    pub precision: Precision,
    /// Height and width of the input; by default the usual ones.
    pub input: Option<usize>,
    /// Stride of a CIFAR stem's first convolution; by default 1.
    pub stem_stride: Option<usize>,
    /// Whether heads pool the whole map rather than windows of 2x2; by default they do not.
    pub adaptive_pool: Option<bool>,
    /// How often the logits of the exit before count in those of an exit; by default not at all.
    pub boosted: Option<f32>,
    /// Whether global convolutions share their weights.
    pub shared_global: bool,
}

impl Default for ConvertOptions {
    /// Everything by default, in single precision.
    fn default() -> Self {
        ConvertOptions {
            state_dict: None,
            normalization: None,
            labels: None,
            precision: Precision::F32,
            input: None,
            stem_stride: None,
            adaptive_pool: None,
            boosted: None,
            shared_global: false,
        }
    }
}

/// The result of a conversion.
#[derive(Debug, Clone)]
pub struct Conversion {
    /// The inferred architecture.
    pub config: Config,
    /// One phrase for each property that is not in the checkpoint and was assumed.
    pub assumed: Vec<String>,
    /// One phrase for each part of the checkpoint that was passed over, and for what is unusual about it.
    pub notes: Vec<String>,
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
/// let options = ConvertOptions { precision: Precision::F16, ..ConvertOptions::default() };
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
    let Loaded { weights, assumed, notes } = load(input, options)?;
    let rounded = weights.write(output, options.precision)?;
    Ok(Conversion {
        assumed,
        notes,
        tensors: weights.tensors.len(),
        rounded,
        source_sha256: weights.source_sha256,
        config: weights.config,
    })
}

/// A checkpoint as weights.
#[derive(Debug)]
pub struct Loaded {
    /// The weights.
    pub weights: Weights,
    /// As [`Conversion::assumed`].
    pub assumed: Vec<String>,
    /// As [`Conversion::notes`].
    pub notes: Vec<String>,
}

/// The weights of a checkpoint, what was assumed about them, and what was passed over.
///
/// # Errors
/// As [`convert`], as far as nothing is written.
pub fn load(input: &Path, options: &ConvertOptions) -> Result<Loaded> {
    let checkpoint = Checkpoint::read(input, options.state_dict.as_deref())?;
    let network = recognize(&checkpoint.shapes()).map_err(|cause| Error::refused(input, "tensors", cause))?;
    let (config, mut assumed) = architecture(input, &network.shapes, options)?;
    let mut notes = checkpoint.notes();
    notes.extend(network.notes);
    let labels = match &options.labels {
        Some(path) => {
            let found = class_names::read(path, config.classes)?;
            notes.extend(found.note());
            found.names
        }
        None if config.classes == 10 && config.stem == Stem::Cifar => {
            assumed.push("the class names of CIFAR-10 (--labels)".into());
            cifar::CIFAR10.map(String::from).into()
        }
        None => numbered(config.classes),
    };
    let own = network.statistics.as_ref().filter(|_| options.normalization.is_none());
    let own = own.and_then(|[mean, std]| own_normalization(&checkpoint, mean, std));
    let usual = usual_normalization(&config);
    let Normalization { mean, std } = options.normalization.or(own).unwrap_or(usual);
    if let (Some(_), Some([mean, std])) = (own, &network.statistics) {
        notes.push(format!("pixels are normalized by the tensors '{mean}' and '{std}'"));
    } else if options.normalization.is_none() {
        assumed.push(format!(
            "mean {mean:?} and standard deviation {std:?}, the usual for this network (--normalize)"
        ));
    }
    let mut found = checkpoint.tensors(network.names.values().map(String::as_str))?;
    let mut tensors = BTreeMap::new();
    for (port, name) in &network.names {
        let tensor =
            found.remove(name).ok_or_else(|| Error::refused(input, format!("tensor '{name}'"), "absent"))?;
        tensors.insert(port.clone(), (tensor.dims, tensor.data.into()));
    }
    for name in &network.zeros {
        let dims = network.shapes[name].clone();
        let elements = vec![0.0; dims.iter().product()].into();
        tensors.insert(name.clone(), (dims, elements));
    }
    let weights = Weights { config, labels, mean, std, source_sha256: checkpoint.sha256, tensors };
    Ok(Loaded { weights, assumed, notes })
}

/// The normalization in two tensors of a checkpoint, if they are one of pixels in [0, 1].
fn own_normalization(checkpoint: &Checkpoint, mean: &str, std: &str) -> Option<Normalization> {
    let mut found = checkpoint.tensors([mean, std]).ok()?;
    let mut three = |name: &str| <[f32; 3]>::try_from(found.remove(name)?.data).ok();
    let (mean, std) = (three(mean)?, three(std)?);
    let plausible = mean.iter().all(|m| (0.0..=1.0).contains(m)) && std.iter().all(|s| *s > 0.0 && *s <= 1.0);
    plausible.then_some(Normalization { mean, std })
}

fn architecture(input: &Path, shapes: &Shapes, options: &ConvertOptions) -> Result<(Config, Vec<String>)> {
    let inferred = infer(shapes).map_err(|unclear| unclear.refused(input))?;
    let mut config = inferred.config;
    let read = config.pooled_size();
    config.input = options.input.unwrap_or(config.input);
    config.stem_stride = options.stem_stride.unwrap_or(config.stem_stride);
    if options.adaptive_pool == Some(true) {
        config.head.pool = HeadPool::Adaptive;
    }
    config.head.boost = options.boosted.unwrap_or(config.head.boost);
    if options.shared_global {
        match &mut config.global_conv {
            Some(global) => global.shared = true,
            None => return Err(RequestError::NoGlobalConvolutions.into()),
        }
    }
    config.validate().map_err(|cause| Error::refused(input, "architecture", cause))?;
    if config.pooled_size() != read {
        let cause = format!(
            "an input of {0} x {0} pixels gives heads that pool to {1} x {1}, but their linear layers read {read} x \
             {read}; see --input-size, --stem-stride and --head-pool",
            config.input,
            config.pooled_size()
        );
        return Err(Error::refused(input, "architecture", cause));
    }
    confirm(input, &config, shapes)?;
    let told = |a: &Assumed| match a {
        Assumed::Input(_) => options.input.is_some(),
        Assumed::StemStride => options.stem_stride.is_some(),
        Assumed::HeadPool => options.adaptive_pool.is_some(),
        Assumed::Relu => false,
        Assumed::OwnLogits => options.boosted.is_some(),
        Assumed::UnsharedGlobal => options.shared_global,
    };
    Ok((config, inferred.assumed.iter().filter(|a| !told(a)).map(Assumed::to_string).collect()))
}
