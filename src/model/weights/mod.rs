//! The weights file: safetensors with PyTorch's tensor names and unfolded batch norms.
//!
//! `__metadata__` holds `format: pt` and, under `msdcam`, a JSON text (`About`) with everything that is
//! needed to run the model: architecture, input size, class names, normalization, origin.

mod read;
mod write;

pub use write::Precision;

use super::msdnet::Config;
use crate::engine::graph::Elements;
use crate::error::RequestError;
use crate::model::msdnet::infer::Shapes;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Key of the JSON text in `__metadata__`.
const KEY: &str = "msdcam";
/// Version of that text; a reader refuses any other.
const VERSION: u32 = 2;

/// The weights of a model, and everything that is needed to run it.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// Architecture and input size.
    pub config: Config,
    /// Class names, one for each class.
    pub labels: Vec<String>,
    /// Mean that is subtracted from red, green and blue in [0, 1].
    pub mean: [f32; 3],
    /// Standard deviation by which they are then divided.
    pub std: [f32; 3],
    /// SHA-256 of the checkpoint that the weights come from, lower-case hexadecimal.
    pub source_sha256: String,
    /// Dimensions and elements (row-major) of every tensor of
    /// [`tensors`](crate::model::msdnet::layers::tensors); models share the elements.
    pub tensors: BTreeMap<String, (Vec<usize>, Elements)>,
}

/// The JSON text in a weights file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    version: u32,
    architecture: Config,
    labels: Vec<String>,
    mean: [f32; 3],
    std: [f32; 3],
    source_sha256: String,
}

impl Weights {
    /// The elements of tensor `name`.
    ///
    /// # Errors
    /// When there is no such tensor or its dimensions are not `dims`.
    pub fn get(&self, name: &str, dims: &[usize]) -> Result<&Elements> {
        match self.tensors.get(name) {
            Some((found, data)) if found == dims => Ok(data),
            Some((found, _)) => {
                let (tensor, given, expected) = (name.into(), found.clone(), dims.to_vec());
                Err(RequestError::TensorDimensions { tensor, given, expected }.into())
            }
            None => Err(RequestError::MissingTensor { tensor: name.into(), expected: dims.to_vec() }.into()),
        }
    }

    /// Dimensions of every tensor by name.
    pub fn shapes(&self) -> Shapes {
        self.tensors.iter().map(|(name, (dims, _))| (name.clone(), dims.clone())).collect()
    }

    /// Checks that everything is consistent: a valid configuration, exactly its tensors, a label for each
    /// class, and no zero among the standard deviations.
    fn check(&self, file: &Path) -> Result<()> {
        let refuse = |place: &str, cause: String| Err(Error::refused(file, place, cause));
        if let Err(cause) = self.config.validate() {
            return refuse("architecture", cause);
        }
        let is_there = |(name, dims): &(String, Vec<usize>)| {
            self.tensors.get(name).is_some_and(|(found, _)| found == dims)
        };
        let expected = crate::model::msdnet::layers::tensors(&self.config);
        let are_all =
            |expected: Vec<_>| expected.len() == self.tensors.len() && expected.iter().all(is_there);
        if !expected.is_ok_and(are_all) {
            crate::model::msdnet::check_tensors::confirm(file, &self.config, &self.shapes())?;
        }
        if self.labels.len() != self.config.classes {
            return refuse(
                "labels",
                format!("{} names for {} classes", self.labels.len(), self.config.classes),
            );
        }
        let finite = self.mean.iter().chain(&self.std).all(|x| x.is_finite());
        if !finite || self.std.iter().any(|s| *s <= 0.0) {
            return refuse(
                "normalisation",
                format!("mean {:?}, standard deviation {:?}", self.mean, self.std),
            );
        }
        Ok(())
    }
}

/// The class names `0` to `n - 1`.
pub fn numbered(n: usize) -> Vec<String> {
    (0..n).map(|i| i.to_string()).collect()
}
