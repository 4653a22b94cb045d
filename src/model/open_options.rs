//! What a caller says of a model file that does not say it itself.

use std::path::PathBuf;

use super::Normalization;

/// What an ONNX file does not say, as far as the caller does.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OpenOptions {
    /// Height and width of the input in pixels, for a network that takes any.
    pub input_size: Option<(usize, usize)>,
    /// Normalization of pixels in [0, 1].
    pub normalization: Option<Normalization>,
    /// Class names.
    pub labels: Option<Labels>,
}

impl OpenOptions {
    /// The first option that is given, by its name on the command line.
    pub(super) fn given(&self) -> Option<&'static str> {
        let given = [
            ("--input-size", self.input_size.is_some()),
            ("--normalize", self.normalization.is_some()),
            ("--labels", self.labels.is_some()),
        ];
        given.into_iter().find(|(_, is_given)| *is_given).map(|(name, _)| name)
    }
}

/// Names of classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Labels {
    /// Those of ImageNet's 1000 classes.
    ImageNet,
    /// Those in a text file, one a line.
    File(PathBuf),
}
