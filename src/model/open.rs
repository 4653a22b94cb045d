//! Opening of model files: the content decides which reader is used.

use std::path::Path;
use std::sync::Arc;

use super::digest::{Digester, ModelDigest};
use super::pretrained::built_in_weights;
use super::source_file::SourceFile;
use super::weights::Weights;
use super::{Model, Normalization, OpenOptions, Source, msdnet, onnx};
use crate::{Error, Result};

/// The model in the file at `path`, whatever the file is called: weights files written by `msdcam convert` and
/// ONNX files are read, and other formats are refused by name.
///
/// # Errors
/// When the file cannot be read, it is neither, or its content is damaged.
pub fn open(path: &Path) -> Result<Model> {
    open_with(path, &OpenOptions::default())
}

/// As [`open`], with `options`.
///
/// # Errors
/// As [`open`], and for options with a weights file.
pub(super) fn open_with(path: &Path, options: &OpenOptions) -> Result<Model> {
    read(path, options, None)
}

/// As [`open_with`], and the digest of the bytes that the model was made of.
///
/// # Errors
/// As [`open_with`].
pub(crate) fn open_digested(path: &Path, options: &OpenOptions) -> Result<(Model, ModelDigest)> {
    let mut digester = Digester::default();
    let model = read(path, options, Some(&mut digester))?;
    Ok((model, digester.finish()))
}

fn read(path: &Path, options: &OpenOptions, digester: Option<&mut Digester>) -> Result<Model> {
    let source = SourceFile::open(path)?;
    if onnx::is_onnx(&source.head()?) {
        return onnx::read(&source, options, digester);
    }
    if let Some(option) = options.given() {
        return Err(Error::usage(format!(
            "{option} is for ONNX files: msdcam convert puts it into a weights file"
        )));
    }
    let bytes = source.bytes()?;
    source.confirm()?;
    if let Some(digester) = digester {
        digester.file(&bytes);
    }
    // The reader of weights files names what it finds instead.
    from_weights(&Weights::from_shared(path, Arc::new(bytes))?)
}

/// The model inside the library.
///
/// # Errors
/// Only if the library was built from a damaged file.
pub(super) fn pretrained() -> Result<Model> {
    from_weights(&built_in_weights()?)
}

/// The model of a weights file.
fn from_weights(weights: &Weights) -> Result<Model> {
    let mut model = msdnet::build(&weights.config, |name, dims| weights.get(name, dims).cloned())?;
    model.labels = weights.labels.clone();
    model.input.normalization = Normalization { mean: weights.mean, std: weights.std };
    let checkpoint_sha256 = weights.source_sha256.clone();
    model.source = Source::MsdNet { config: Box::new(weights.config.clone()), checkpoint_sha256 };
    Ok(model)
}
