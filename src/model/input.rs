//! The input specification of a model: size, normalization and resize policy.

use std::str::FromStr;

use crate::engine::graph::{Graph, NodeId};
use crate::imaging::rgb_image::RgbImage;
use crate::imaging::{Prepared, ResizePolicy, prepare};

/// The input of a model, and how a photo is brought to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InputSpec {
    /// The graph's input, (3, height, width).
    pub node: NodeId,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// Normalization of pixels in [0, 1].
    pub normalization: Normalization,
    /// How a photo of another size is brought to `height` x `width`.
    pub resize: ResizePolicy,
}

impl InputSpec {
    /// The input `node` of `graph`: pixels in [0, 1] as they are, center-cropped.
    ///
    /// # Panics
    /// When the graph has no such node.
    pub fn new(graph: &Graph, node: NodeId) -> InputSpec {
        let shape = graph.shape(node);
        let (normalization, resize) = (Normalization::NONE, ResizePolicy::CenterCrop);
        InputSpec { node, height: shape.h, width: shape.w, normalization, resize }
    }

    /// Resizes `photo` and normalizes each channel.
    ///
    /// # Panics
    /// When the photo is empty.
    pub fn prepare(&self, photo: &RgbImage) -> Prepared {
        let Normalization { mean, std } = self.normalization;
        prepare(photo, (self.height, self.width), self.resize, mean, std)
    }

    /// The normalized value of a black (`0.0`) to white (`1.0`) pixel in each channel.
    pub fn normalized(&self, gray: f32) -> [f32; 3] {
        let Normalization { mean, std } = self.normalization;
        std::array::from_fn(|c| (gray - mean[c]) / std[c])
    }
}

/// Per-channel normalization of red, green and blue in [0, 1]: `(x - mean) / std`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalization {
    /// Subtracted.
    pub mean: [f32; 3],
    /// Divides the difference.
    pub std: [f32; 3],
}

impl Normalization {
    /// Pixels in [0, 1] as they are.
    pub const NONE: Self = Normalization { mean: [0.0; 3], std: [1.0; 3] };
    /// CIFAR-10, as in the MSD-Net authors' PyTorch port.
    pub const CIFAR10: Self = Normalization { mean: [0.4914, 0.4824, 0.4467], std: [0.2471, 0.2435, 0.2616] };
    /// CIFAR-100, as in the MSD-Net authors' PyTorch port.
    pub const CIFAR100: Self =
        Normalization { mean: [0.5071, 0.4867, 0.4408], std: [0.2675, 0.2565, 0.2761] };
    /// ImageNet, as in torchvision.
    pub const IMAGENET: Self = Normalization { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
}

impl FromStr for Normalization {
    type Err = String;

    /// `none`, `cifar10`, `cifar100`, `imagenet`, or `R,G,B/R,G,B`: mean, then standard deviation.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => return Ok(Self::NONE),
            "cifar10" => return Ok(Self::CIFAR10),
            "cifar100" => return Ok(Self::CIFAR100),
            "imagenet" => return Ok(Self::IMAGENET),
            _ => {}
        }
        let three = |text: &str| -> Option<[f32; 3]> {
            let values: Result<Vec<f32>, _> = text.split(',').map(|n| n.trim().parse()).collect();
            <[f32; 3]>::try_from(values.ok()?).ok().filter(|n| n.iter().all(|x| x.is_finite()))
        };
        let values = text.split_once('/').and_then(|(mean, std)| Some((three(mean)?, three(std)?)));
        let (mean, std) = values.ok_or("expected none, cifar10, cifar100, imagenet or R,G,B/R,G,B")?;
        if std.iter().any(|s| *s <= 0.0) {
            return Err("a standard deviation must be positive".into());
        }
        Ok(Normalization { mean, std })
    }
}
