//! The pictures of other tools, to the pixel, so that published figures can be made again and compared.
//!
//! Each takes a map as its tool does, before the tool's own scaling, and shows what the tool
//! shows by default, quirks included. A map that cannot be scaled is the caller's to catch
//! ([`crate::imaging::heatmap::MapStatus`]); no function here makes a NaN of one.

pub mod article;
pub mod captum;
pub mod pytorch_grad_cam;
pub mod torchcam;

use std::str::FromStr;

use crate::Error;

/// Whose pictures are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ToolStyle {
    /// The article's own tool, [siddsax/VisualizeMSDNet](https://github.com/siddsax/VisualizeMSDNet).
    Article,
    /// [jacobgil/pytorch-grad-cam](https://github.com/jacobgil/pytorch-grad-cam).
    PytorchGradCam,
    /// [frgfm/torch-cam](https://github.com/frgfm/torch-cam).
    TorchCam,
    /// [captum](https://captum.ai).
    Captum,
}

impl ToolStyle {
    /// Every style.
    pub const ALL: [ToolStyle; 4] =
        [ToolStyle::Article, ToolStyle::PytorchGradCam, ToolStyle::TorchCam, ToolStyle::Captum];

    /// The name on the command line and in files.
    pub const fn name(self) -> &'static str {
        match self {
            ToolStyle::Article => "article",
            ToolStyle::PytorchGradCam => "pytorch-grad-cam",
            ToolStyle::TorchCam => "torchcam",
            ToolStyle::Captum => "captum",
        }
    }

    /// The name in a sentence.
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
            Error::usage(format!("no style '{name}'; there are {known}"))
        })
    }
}

/// `photo`'s numbers divided by 255, as these tools hold a photo.
fn unit(photo: &crate::imaging::rgb_image::RgbImage) -> impl Iterator<Item = f32> {
    photo.rgb.iter().map(|&v| f32::from(v) / 255.0)
}

/// Smallest and largest.
fn range(values: &[f32]) -> (f32, f32) {
    values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)))
}

/// Where `v` lies in matplotlib's tables: 256 equal steps.
fn matplotlib_index(v: f32) -> usize {
    (v * 256.0).clamp(0.0, 255.0) as usize
}
