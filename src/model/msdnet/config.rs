//! The configuration of an MSD-Net: everything from which its graph and tensor names follow.

use crate::model::Normalization;
use serde::{Deserialize, Serialize};

/// Maximum number of layers, which bounds the time of every loop over them.
pub(super) const MOST_LAYERS: usize = 4096;
/// Maximum number of exits.
pub(super) const MOST_EXITS: usize = 256;
/// Maximum number of scales.
pub(super) const MOST_SCALES: usize = 16;

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

/// The 1x1 convolutions, one for each remaining scale, that reduce the number of channels behind a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transition {
    /// The layer, from 1, behind which it stands.
    pub after: usize,
    /// Channels that it keeps, in units of the scale factor.
    pub width: usize,
}

/// Number of channels inside a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadChannels {
    /// The same in every head.
    Fixed(usize),
    /// As many as the head's tap has.
    Tap,
}

/// The pooling between a head's convolutions and its linear layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadPool {
    /// The mean over windows of 2x2, which the linear layer reads flattened.
    Average,
    /// The mean over the whole map, PyTorch's `AdaptiveAvgPool2d(1)`.
    Adaptive,
}

/// The exits' classifiers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Channels inside.
    pub channels: HeadChannels,
    /// The pooling before the linear layer.
    pub pool: HeadPool,
    /// Weight w of the exit before in the answer: an exit's logits are its head's plus w times those of the
    /// exit before (Boosted Dynamic Networks, Yu et al. 2023); 0 for the head's alone.
    pub boost: f32,
    /// Whether the linear layer also reads a vector that is computed from the logits of the exit before (inline
    /// subnetwork collaboration, Li et al. 2019).
    pub collaboration: bool,
}

/// Global convolutions of the article's port: k x 1 then 1 x k, plus 1 x k then k x 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The port whose names and conventions it follows.
    pub layout: Layout,
    /// First layer and heads.
    pub stem: Stem,
    /// Stride of a CIFAR stem's first convolution, 1 or 2.
    pub stem_stride: usize,
    /// Height and width of the input image, pixels.
    pub input: usize,
    /// Number of classes.
    pub classes: usize,
    /// Number of layers of each block; an exit reads the end of each.
    pub layers: Vec<usize>,
    /// The layers, from 1 and ascending, from which on the finest scale that still remained is gone.
    pub drops: Vec<usize>,
    /// The transitions, in the order of their layers.
    pub transitions: Vec<Transition>,
    /// Channels of the finest scale after the first layer, divided by its scale factor.
    pub channels: usize,
    /// Channels that each layer adds to a scale, divided by its scale factor.
    pub growth: usize,
    /// Relative width of each scale; its length is the number of scales.
    pub scale_factor: Vec<usize>,
    /// Bottleneck width of each scale as a multiple of the channels that its branch adds.
    pub bottleneck_factor: Vec<usize>,
    /// Whether a 1x1 bottleneck precedes each spatial convolution.
    pub bottleneck: bool,
    /// Kernel size of the spatial convolutions.
    pub kernel: usize,
    /// Global convolutions, if any.
    pub global_conv: Option<GlobalConv>,
    /// The exits' classifiers.
    pub head: Head,
}

impl Config {
    /// The article's ten-exit CIFAR-10 model (5.44 M parameters).
    pub fn cifar10_anytime() -> Self {
        let config = Config {
            layout: Layout::Subnets,
            stem: Stem::Cifar,
            stem_stride: 1,
            input: 32,
            classes: 10,
            layers: Vec::new(),
            drops: Vec::new(),
            transitions: Vec::new(),
            channels: 32,
            growth: 6,
            scale_factor: vec![1, 2, 4],
            bottleneck_factor: vec![1, 2, 4],
            bottleneck: true,
            kernel: 3,
            global_conv: None,
            head: Head {
                channels: HeadChannels::Fixed(128),
                pool: HeadPool::Average,
                boost: 0.0,
                collaboration: false,
            },
        };
        config.with_layers(&[4, 2, 2, 2, 2, 2, 2, 2, 2, 2], 0.5)
    }

    /// The authors' seven-exit CIFAR-100 model.
    pub fn cifar100_anytime() -> Self {
        let config =
            Config { layout: Layout::Blocks, classes: 100, channels: 16, ..Config::cifar10_anytime() };
        config.with_layers(&[4, 2, 2, 2, 2, 2, 2], 0.5)
    }

    /// The authors' five-exit ImageNet model (`step` 4, 6 or 7 in their README).
    pub fn imagenet(step: usize) -> Self {
        let base = Config::cifar10_anytime();
        let config = Config {
            layout: Layout::Blocks,
            stem: Stem::Imagenet,
            input: 224,
            classes: 1000,
            channels: 32,
            growth: 16,
            scale_factor: vec![1, 2, 4, 4],
            bottleneck_factor: vec![1, 2, 4, 4],
            head: Head { channels: HeadChannels::Tap, ..base.head },
            ..base
        };
        config.with_layers(&[4, step, step, step, step], 0.5)
    }

    /// The same with blocks of these numbers of layers: a scale is dropped after every ceil(layers / scales)
    /// of them, and a transition that keeps the fraction `reduction` of the channels (0 for none) follows
    /// the first layer without it, as in both ports.
    pub fn with_layers(mut self, layers: &[usize], reduction: f64) -> Self {
        let total = layers.iter().fold(0, |sum: usize, &n| sum.saturating_add(n)).min(MOST_LAYERS);
        let every = total.div_ceil(self.scales().max(1)).max(1);
        self.layers = layers.to_vec();
        self.drops = (1..self.scales()).map(|s| s * every + 1).filter(|&layer| layer <= total).collect();
        self.transitions.clear();
        let mut width = self.channels;
        for after in 1..=total {
            width = width.saturating_add(self.growth);
            if reduction > 0.0 && self.drops.contains(&after) {
                width = (reduction * width as f64).floor() as usize;
                self.transitions.push(Transition { after, width });
            }
        }
        self
    }

    /// Number of exits.
    pub fn exits(&self) -> usize {
        self.layers.len()
    }

    /// Number of scales.
    pub fn scales(&self) -> usize {
        self.scale_factor.len()
    }

    /// Index of the finest scale that remains in layer `layer` (from 1). Layer 0 is the first layer, with
    /// every scale.
    pub fn finest_scale(&self, layer: usize) -> usize {
        self.drops.iter().filter(|&&drop| drop <= layer).count()
    }

    /// The transition behind layer `layer` (from 1), if there is one.
    pub fn transition(&self, layer: usize) -> Option<Transition> {
        self.transitions.iter().copied().find(|transition| transition.after == layer)
    }

    /// Channels inside a head that reads a tap of `tap` channels.
    pub fn head_channels(&self, tap: usize) -> usize {
        match self.head.channels {
            HeadChannels::Fixed(channels) => channels,
            HeadChannels::Tap => tap,
        }
    }

    /// Height and width of the coarsest scale, which every head reads.
    ///
    /// # Panics
    /// When the configuration is not [valid](Config::validate): no scale, or too many.
    pub fn tap_size(&self) -> usize {
        assert!((1..=MOST_SCALES).contains(&self.scales()), "{} scales, 1 to {MOST_SCALES}", self.scales());
        let stem = if self.stem == Stem::Imagenet { 4 } else { self.stem_stride };
        self.input.div_ceil(stem << (self.scales() - 1))
    }

    /// Height and width of what a head pools: its two convolutions have stride 2.
    ///
    /// # Panics
    /// As [`Config::tap_size`].
    pub fn unpooled_size(&self) -> usize {
        self.tap_size().div_ceil(4)
    }

    /// Height and width of what a head's linear layer reads.
    ///
    /// # Panics
    /// As [`Config::tap_size`].
    pub fn pooled_size(&self) -> usize {
        match self.head.pool {
            HeadPool::Average => self.unpooled_size() / 2,
            HeadPool::Adaptive => 1,
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
    fn scales_are_dropped_by_thirds() {
        let c = Config::cifar10_anytime(); // 22 layers, a scale dropped every 8
        assert_eq!((c.finest_scale(0), c.finest_scale(8), c.finest_scale(9)), (0, 0, 1));
        assert_eq!((c.finest_scale(16), c.finest_scale(17), c.finest_scale(22)), (1, 2, 2));
        let kept = [Transition { after: 9, width: 43 }, Transition { after: 17, width: 45 }];
        assert_eq!(c.transitions, kept);
        assert_eq!(c.with_layers(&[2], 0.5).drops, [2]);
    }

    /// 0.7 x 90 is 62.99... in the double precision of both ports.
    #[test]
    fn a_reduction_is_rounded_down_as_in_python() {
        let c = Config { channels: 84, ..Config::cifar10_anytime() }.with_layers(&[1, 1], 0.7);
        assert_eq!(c.transitions[0], Transition { after: 2, width: 67 });
        let c = Config { channels: 78, ..Config::cifar10_anytime() }.with_layers(&[1, 1], 0.7);
        assert_eq!(c.transitions[0], Transition { after: 2, width: 62 });
    }
}
