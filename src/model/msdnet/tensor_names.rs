//! What the two published ports call their tensors: the one place that knows key names.

use super::config::{Config, Layout, Stem};
use super::layers;
use crate::Result;

/// Name and dimensions of every tensor of a network of this `config`, in PyTorch's own order.
///
/// Dimensions are PyTorch's: (out, in, kh, kw) for a convolution, (out, in) for a linear layer.
/// The counters `num_batches_tracked` are left out: inference does not read them.
/// With shared global convolutions the right branch's tensors are listed too: the port stores
/// them although it never reads them.
///
/// # Errors
/// When the configuration makes no network.
pub fn tensors(config: &Config) -> Result<Vec<(String, Vec<usize>)>> {
    Ok(layers::parts(config)?.iter().flat_map(|part| part.tensors()).collect())
}

/// A convolution and the batch norm behind it: the prefixes of their tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvBn {
    /// Prefix of `.weight` and `.bias`, or of `.conv_l1` ... where a global convolution stands.
    pub conv: String,
    /// Prefix of `.weight`, `.bias`, `.running_mean` and `.running_var`.
    pub bn: String,
}

/// The four convolutions of a global convolution whose prefix is `conv`:
/// left k x 1, left 1 x k, right 1 x k, right k x 1.
pub fn global(conv: &str) -> [String; 4] {
    ["conv_l1", "conv_l2", "conv_r1", "conv_r2"].map(|n| format!("{conv}.{n}"))
}

/// Which of a dense layer's inputs a branch reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Branch {
    /// The next finer scale, with stride 2.
    Down,
    /// The scale itself; `beside_down` tells whether the layer also has a down branch here.
    Normal {
        /// A down branch stands before this one.
        beside_down: bool,
    },
}

/// The prefixes of one branch of a dense layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BranchNames {
    /// The 1x1 bottleneck, unless the network has none.
    pub bottleneck: Option<ConvBn>,
    /// The spatial (3x3 or global) convolution.
    pub spatial: ConvBn,
}

/// The prefixes of one exit's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadNames {
    /// The convolution that reads the tap.
    pub first: ConvBn,
    /// The convolution behind it.
    pub second: ConvBn,
    /// Prefix of the linear layer's `.weight` and `.bias`.
    pub linear: String,
}

/// The naming scheme of one network.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    layout: Layout,
    stem: Stem,
    bottleneck: bool,
    exits: usize,
}

impl Names {
    /// The scheme that a network of this `config` follows.
    pub fn new(config: &Config) -> Self {
        Names { layout: config.layout, stem: config.stem, bottleneck: config.bottleneck, exits: config.exits }
    }

    /// First layer, scale `scale` (0 is the finest).
    pub fn first(&self, scale: usize) -> ConvBn {
        match self.layout {
            Layout::Subnets => pair(&format!("subnets.0.MSD_first.subnets.{scale}"), "0", "1"),
            // The ImageNet stem is a bare sequence; the other scales hold theirs as `net`.
            Layout::Blocks if scale == 0 && self.stem == Stem::Imagenet => {
                pair("blocks.0.0.layers.0", "0", "1")
            }
            Layout::Blocks => pair(&format!("blocks.0.0.layers.{scale}.net"), "0", "1"),
        }
    }

    /// One branch of dense layer `layer` (counted from 1 over the whole network), which is
    /// module `module` (from 0) of block `block` (from 0), where the first layer is module 0 of
    /// block 0. `position` counts the scales that the layer still has, from 0.
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

    /// The head of exit `exit`, counted from 0 here as in the files.
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
