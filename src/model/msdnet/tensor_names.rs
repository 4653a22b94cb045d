//! The tensor names of the two published PyTorch ports.

use super::config::{Config, Layout, Stem};

/// Name prefixes of a convolution and of the batch norm after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvBn {
    /// Prefix of `.weight` and `.bias`, or of `.conv_l1` etc. for a global convolution.
    pub conv: String,
    /// Prefix of `.weight`, `.bias`, `.running_mean` and `.running_var`.
    pub bn: String,
}

/// Name prefixes of the four convolutions of the global convolution `conv`: left k x 1, left 1 x k, right
/// 1 x k, right k x 1.
pub fn global(conv: &str) -> [String; 4] {
    ["conv_l1", "conv_l2", "conv_r1", "conv_r2"].map(|n| format!("{conv}.{n}"))
}

/// The input that a branch of a dense layer reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Branch {
    /// The next finer scale, with stride 2.
    Down,
    /// The branch's own scale.
    Normal {
        /// Whether the layer also has a down branch at this scale.
        beside_down: bool,
    },
}

/// Name prefixes of one branch of a dense layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BranchNames {
    /// The 1x1 bottleneck, if the model has bottlenecks.
    pub bottleneck: Option<ConvBn>,
    /// The spatial (3x3 or global) convolution.
    pub spatial: ConvBn,
}

/// Name prefixes of the head of one exit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadNames {
    /// The convolution that reads the tap.
    pub first: ConvBn,
    /// The convolution after it.
    pub second: ConvBn,
    /// Prefix of the linear layer's `.weight` and `.bias`.
    pub linear: String,
}

/// The naming scheme of a configuration.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    layout: Layout,
    stem: Stem,
    bottleneck: bool,
    exits: usize,
}

impl Names {
    /// The naming scheme of `config`.
    pub fn new(config: &Config) -> Self {
        Names {
            layout: config.layout,
            stem: config.stem,
            bottleneck: config.bottleneck,
            exits: config.exits(),
        }
    }

    /// The first layer at scale `scale`, 0 the finest.
    pub fn first(&self, scale: usize) -> ConvBn {
        match self.layout {
            Layout::Subnets => pair(&format!("subnets.0.MSD_first.subnets.{scale}"), "0", "1"),
            // The ImageNet stem is a plain sequence; the layers of the other scales are called `net`.
            Layout::Blocks if scale == 0 && self.stem == Stem::Imagenet => {
                pair("blocks.0.0.layers.0", "0", "1")
            }
            Layout::Blocks => pair(&format!("blocks.0.0.layers.{scale}.net"), "0", "1"),
        }
    }

    /// One branch of dense layer `layer` (from 1, over all blocks), which is module `module` of block
    /// `block` (both from 0; module 0 of block 0 is the first layer). `position` is the index of the
    /// branch's scale among those that the layer still has.
    pub fn branch(
        &self,
        block: usize,
        module: usize,
        layer: usize,
        position: usize,
        branch: Branch,
    ) -> BranchNames {
        match self.layout {
            Layout::Subnets => {
                let n = usize::from(branch == Branch::Normal { beside_down: true });
                let prefix = format!("subnets.{block}.MSD_layer_{layer}.subnets.{position}.conv_modules.{n}");
                let spatial = if branch == Branch::Down { "Spatial_down" } else { "Spatial_forward" };
                BranchNames {
                    bottleneck: self.bottleneck.then(|| pair(&prefix, "Bottleneck_1x1", "Bottleneck_BN")),
                    spatial: pair(&prefix, spatial, "BN_out"),
                }
            }
            Layout::Blocks => {
                let side = if branch == Branch::Down { "conv_down" } else { "conv_normal" };
                let prefix = format!("blocks.{block}.{module}.layers.{position}.{side}.net");
                let (conv, bn) = if self.bottleneck { ("3", "4") } else { ("0", "1") };
                BranchNames {
                    bottleneck: self.bottleneck.then(|| pair(&prefix, "0", "1")),
                    spatial: pair(&prefix, conv, bn),
                }
            }
        }
    }

    /// The transition that is module `module` of block `block`; `position` as in [`Names::branch`].
    pub fn transition(&self, block: usize, module: usize, position: usize) -> ConvBn {
        match self.layout {
            Layout::Subnets => pair(&format!("subnets.{block}.Transition.scales.{position}"), "0", "1"),
            Layout::Blocks => pair(&format!("blocks.{block}.{module}.m.{position}.net"), "0", "1"),
        }
    }

    /// The head of exit `exit`, counted from 0 as in the files.
    pub fn head(&self, exit: usize) -> HeadNames {
        match self.layout {
            Layout::Subnets => {
                let prefix = format!("subnets.{}", self.exits + exit);
                let features = format!("{prefix}.features");
                HeadNames {
                    first: pair(&features, "0", "1"),
                    second: pair(&features, "3", "4"),
                    linear: format!("{prefix}.classifier"),
                }
            }
            Layout::Blocks => HeadNames {
                first: pair(&format!("classifier.{exit}.m.0.net"), "0", "1"),
                second: pair(&format!("classifier.{exit}.m.1.net"), "0", "1"),
                linear: format!("classifier.{exit}.linear"),
            },
        }
    }
}

fn pair(prefix: &str, conv: &str, bn: &str) -> ConvBn {
    ConvBn { conv: format!("{prefix}.{conv}"), bn: format!("{prefix}.{bn}") }
}
