//! Pixel-exact reproductions of other tools' pictures, to reproduce and compare published figures.
//!
//! Each function takes a map before the tool's own scaling and draws the tool's default picture, quirks
//! included. The caller handles maps that cannot be scaled ([`crate::imaging::heatmap::MapStatus`]); no
//! function here turns one into NaN.

pub mod article;
pub mod captum;
pub mod pytorch_grad_cam;
pub mod torchcam;

use std::str::FromStr;

use crate::Error;

/// The tool whose pictures are reproduced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ToolStyle {
    /// The article's own tool: see `docs/article.md`.
    Article,
    /// [jacobgil/pytorch-grad-cam](https://github.com/jacobgil/pytorch-grad-cam).
    PytorchGradCam,
    /// [frgfm/torch-cam](https://github.com/frgfm/torch-cam).
    TorchCam,
    /// [captum](https://captum.ai).
    Captum,
}

impl ToolStyle {
    /// All styles.
    pub const ALL: [ToolStyle; 4] =
        [ToolStyle::Article, ToolStyle::PytorchGradCam, ToolStyle::TorchCam, ToolStyle::Captum];

    /// Name on the command line and in files.
    pub const fn name(self) -> &'static str {
        match self {
            ToolStyle::Article => "article",
            ToolStyle::PytorchGradCam => "pytorch-grad-cam",
            ToolStyle::TorchCam => "torchcam",
            ToolStyle::Captum => "captum",
        }
    }

    /// Name in a sentence.
    pub const fn title(self) -> &'static str {
        match self {
            ToolStyle::Article => "the article's tool",
            _ => self.name(),
        }
    }
}

impl std::fmt::Display for ToolStyle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for ToolStyle {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        ToolStyle::ALL.into_iter().find(|style| style.name() == name).ok_or_else(|| {
            let known = ToolStyle::ALL.map(ToolStyle::name).join(", ");
            Error::usage(format!("unknown style '{name}'; expected one of {known}"))
        })
    }
}

/// Samples of `photo` scaled to [0, 1], as these tools store a photo.
fn unit(photo: &crate::imaging::rgb_image::RgbImage) -> impl Iterator<Item = f32> {
    photo.rgb.iter().map(|&v| f32::from(v) / 255.0)
}

/// Minimum and maximum.
fn range(values: &[f32]) -> (f32, f32) {
    values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)))
}

/// Index of `v` in matplotlib's tables: 256 equal steps.
fn matplotlib_index(v: f32) -> usize {
    (v * 256.0).clamp(0.0, 255.0) as usize
}
