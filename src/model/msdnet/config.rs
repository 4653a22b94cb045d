//! The configuration of an MSD-Net: everything from which its graph and tensor names follow.

use crate::model::Normalization;
use serde::{Deserialize, Serialize};

/// Maximum number of layers and of exits, which bounds the time of every loop over them.
pub(super) const MOST_LAYERS: usize = 4096;

/// The published PyTorch port whose conventions a model follows.
///
/// The ports differ in tensor names, in the bias of convolutions and in the growth of the step between
/// exits; the computation is otherwise the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// The Grad-CAM article's port: `subnets.*`, biased convolutions, optional global convolutions.
    Subnets,
    /// The authors' port: `blocks.*` and `classifier.*`, convolutions without bias.
    Blocks,
}

/// First layer and heads, for small or for large images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stem {
    /// CIFAR: a 3x3 convolution; heads of 128 channels.
    Cifar,
    /// ImageNet: a 7x7 convolution of stride 2 and a 3x3 max pool; heads as wide as the tap.
    Imagenet,
}

/// The rule for the number of layers between two exits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepMode {
    /// Constant.
    Even,
    /// Linearly growing; the two ports count differently.
    LinGrow,
}

/// Global convolutions of the article's port: k x 1 then 1 x k, plus 1 x k then k x 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GlobalConv {
    /// In the first layer.
    pub first: bool,
    /// In every layer's spatial convolution.
    pub all: bool,
    /// The right branch uses the left branch's weights, transposed.
    pub shared: bool,
    /// k.
    pub kernel: usize,
}

/// The architecture of an MSD-Net. Field names are JSON keys of weights files.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Config {
    /// The port whose names and conventions it follows.
    pub layout: Layout,
    /// First layer and heads.
    pub stem: Stem,
    /// Height and width of the input image, pixels.
    pub input: usize,
    /// Number of classes.
    pub classes: usize,
    /// Number of exits.
    pub exits: usize,
    /// Layers before the first exit.
    pub base: usize,
    /// Layers between two exits.
    pub step: usize,
    /// Whether `step` is constant or grows.
    pub step_mode: StepMode,
    /// Channels of the finest scale after the first layer.
    pub channels: usize,
    /// Channels that each layer adds to the finest scale.
    pub growth: usize,
    /// Width of each scale as a multiple of the finest; its length is the number of scales.
    pub scale_factor: Vec<usize>,
    /// Bottleneck width of each scale as a multiple of the channels that its branch adds.
    pub bottleneck_factor: Vec<usize>,
    /// Fraction of the channels that a transition keeps, in thousandths; 0 for no transitions.
    pub reduction_permille: usize,
    /// Whether a 1x1 bottleneck precedes each spatial convolution.
    pub bottleneck: bool,
    /// Kernel size of the spatial convolutions.
    pub kernel: usize,
    /// Global convolutions, if any.
    pub global_conv: Option<GlobalConv>,
}

impl Config {
    /// The article's ten-exit CIFAR-10 model (5.44 M parameters).
    pub fn cifar10_anytime() -> Self {
        Config {
            layout: Layout::Subnets,
            stem: Stem::Cifar,
            input: 32,
            classes: 10,
            exits: 10,
            base: 4,
            step: 2,
            step_mode: StepMode::Even,
            channels: 32,
            growth: 6,
            scale_factor: vec![1, 2, 4],
            bottleneck_factor: vec![1, 2, 4],
            reduction_permille: 500,
            bottleneck: true,
            kernel: 3,
            global_conv: None,
        }
    }

    /// The authors' seven-exit CIFAR-100 model.
    pub fn cifar100_anytime() -> Self {
        Config { layout: Layout::Blocks, classes: 100, exits: 7, channels: 16, ..Config::cifar10_anytime() }
    }

    /// The authors' five-exit ImageNet model (`step` 4, 6 or 7 in their README).
    pub fn imagenet(step: usize) -> Self {
        Config {
            layout: Layout::Blocks,
            stem: Stem::Imagenet,
            input: 224,
            classes: 1000,
            exits: 5,
            base: 4,
            step,
            channels: 32,
            growth: 16,
            scale_factor: vec![1, 2, 4, 4],
            bottleneck_factor: vec![1, 2, 4, 4],
            ..Config::cifar10_anytime()
        }
    }

    /// Number of scales.
    pub fn scales(&self) -> usize {
        self.scale_factor.len()
    }

    /// Number of layers of each block.
    ///
    /// # Panics
    /// When the configuration is not [valid](Config::validate): more exits than fit in memory.
    pub fn layers_per_exit(&self) -> Vec<usize> {
        assert!(self.exits <= MOST_LAYERS, "{} exits, at most {MOST_LAYERS}", self.exits);
        let later = (1..self.exits).map(|i| match (self.step_mode, self.layout) {
            (StepMode::Even, _) => self.step,
            (StepMode::LinGrow, Layout::Subnets) => self.step.saturating_mul(i - 1).saturating_add(1),
            (StepMode::LinGrow, Layout::Blocks) => self.step.saturating_mul(i).saturating_add(1),
        });
        std::iter::once(self.base).chain(later).collect()
    }

    /// Index of the finest scale that remains in layer `layer` (from 1): a scale is dropped after every
    /// ceil(layers / scales) layers. Layer 0 is the first layer, with every scale.
    ///
    /// # Panics
    /// When the configuration is not [valid](Config::validate): no scale or no layer.
    pub fn finest_scale(&self, layer: usize) -> usize {
        let total = self.layers_per_exit().into_iter().fold(0, usize::saturating_add);
        assert!(total > 0 && self.scales() > 0, "{total} layers of {} scales", self.scales());
        layer.saturating_sub(1) / total.div_ceil(self.scales())
    }

    /// Channels after a transition of `width` channels, both in units of the scale factor.
    pub fn reduced(&self, width: usize) -> usize {
        width.saturating_mul(self.reduction_permille) / 1000
    }

    /// Channels inside a head that reads a tap of `tap` channels.
    pub fn head_channels(&self, tap: usize) -> usize {
        match self.stem {
            Stem::Cifar => 128,
            Stem::Imagenet => tap,
        }
    }
}

/// The normalization with which models of this configuration are trained: none in the article's
/// port, the data set's statistics in the authors'.
pub fn usual_normalization(config: &Config) -> Normalization {
    match (config.layout, config.stem) {
        (Layout::Subnets, _) => Normalization::NONE,
        (Layout::Blocks, Stem::Imagenet) => Normalization::IMAGENET,
        (Layout::Blocks, Stem::Cifar) if config.classes == 100 => Normalization::CIFAR100,
        (Layout::Blocks, Stem::Cifar) => Normalization::CIFAR10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ports_grow_their_steps_differently() {
        let subnets = Config { step_mode: StepMode::LinGrow, exits: 4, ..Config::cifar10_anytime() };
        let blocks = Config { layout: Layout::Blocks, ..subnets.clone() };
        assert_eq!(subnets.layers_per_exit(), [4, 1, 3, 5]);
        assert_eq!(blocks.layers_per_exit(), [4, 3, 5, 7]);
    }

    #[test]
    fn scales_are_dropped_by_thirds() {
        let c = Config::cifar10_anytime(); // 22 layers, a scale dropped every 8
        assert_eq!((c.finest_scale(0), c.finest_scale(8), c.finest_scale(9)), (0, 0, 1));
        assert_eq!((c.finest_scale(16), c.finest_scale(17), c.finest_scale(22)), (1, 2, 2));
    }
}
