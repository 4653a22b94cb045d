//! Inference of the trunk: the layers of each block, the scales that each still has, the transitions, and the
//! growth.

use super::guess::Guess;
use super::{Found, Unclear};
use crate::model::msdnet::config::{Config, Layout, MOST_LAYERS, Transition};
use crate::model::msdnet::tensor_names::{Branch, Names};

/// A module of a block.
enum Module {
    /// A dense layer with this many scales.
    Layer(usize),
    /// Convolutions that reduce the channels of every remaining scale.
    Transition,
}

impl Guess<'_> {
    /// Layers of each block, dropped scales and transitions.
    pub fn trunk(&self, config: &mut Config) -> Found<()> {
        let (heads, scales) = (config.exits(), config.scales());
        let blocks = self.blocks();
        if blocks != heads {
            let tensor = match self.layout {
                Layout::Subnets => format!("subnets.{}.classifier", heads + blocks.min(heads)),
                Layout::Blocks => format!("blocks.{}", blocks.min(heads)),
            };
            let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
            let cause = format!("{}, {}", count(blocks, "block"), count(heads, "head"));
            return Err(Unclear { tensor, cause });
        }
        let names = Names::new(config);
        let (mut layer, mut alive) = (0, scales);
        (config.layers, config.drops, config.transitions) = (Vec::new(), Vec::new(), Vec::new());
        for block in 0..blocks {
            let (before, mut index) = (layer, usize::from(block == 0));
            for module in self.modules(block, layer)? {
                match module {
                    Module::Layer(remaining) => {
                        layer += 1;
                        if remaining == 0 || remaining > alive || alive - remaining > 1 || layer > MOST_LAYERS
                        {
                            let cause =
                                format!("layer {layer} has {remaining} scales, the one before it {alive}");
                            return Err(Unclear { tensor: format!("blocks.{block}"), cause });
                        }
                        if remaining < alive {
                            config.drops.push(layer);
                        }
                        alive = remaining;
                    }
                    Module::Transition => {
                        let name = format!("{}.weight", names.transition(block, index, 0).conv);
                        let [out, ..] = self.dims::<4>(&name)?;
                        let factor = config.scale_factor[scales - alive];
                        if !out.is_multiple_of(factor) {
                            let cause = format!("{out} channels, no multiple of its scale's factor {factor}");
                            return Err(Unclear { tensor: name, cause });
                        }
                        config.transitions.push(Transition { after: layer, width: out / factor });
                    }
                }
                index += 1;
            }
            config.layers.push(layer - before);
        }
        Ok(())
    }

    /// Number of blocks.
    fn blocks(&self) -> usize {
        match self.layout {
            Layout::Subnets => {
                (0..).take_while(|b| self.is_under(&format!("subnets.{b}.MSD_layer_"))).count()
            }
            Layout::Blocks => (0..).take_while(|b| self.is_under(&format!("blocks.{b}."))).count(),
        }
    }

    /// The modules of `block` behind the first layer, whose layers are numbered from `layer` + 1.
    fn modules(&self, block: usize, layer: usize) -> Found<Vec<Module>> {
        let mut modules = Vec::new();
        match self.layout {
            Layout::Subnets => {
                let mut alive = None;
                for next in layer + 1.. {
                    let remaining =
                        self.children(&format!("subnets.{block}.MSD_layer_{next}.subnets.")).len();
                    if remaining == 0 {
                        break;
                    }
                    modules.push(Module::Layer(remaining));
                    // A block's only transition stands behind the first layer that lacks a scale.
                    let before = alive.unwrap_or_else(|| self.remaining(block, layer));
                    if remaining < before && self.is_under(&format!("subnets.{block}.Transition.")) {
                        modules.push(Module::Transition);
                    }
                    alive = Some(remaining);
                }
            }
            Layout::Blocks => {
                for index in usize::from(block == 0).. {
                    let prefix = format!("blocks.{block}.{index}.");
                    let kinds = self.children(&prefix);
                    if kinds.contains("layers") {
                        modules.push(Module::Layer(self.children(&format!("{prefix}layers.")).len()));
                    } else if kinds.contains("m") {
                        modules.push(Module::Transition);
                    } else {
                        break;
                    }
                }
            }
        }
        if modules.is_empty() {
            let tensor = match self.layout {
                Layout::Subnets => format!("subnets.{block}.MSD_layer_{}", layer + 1),
                Layout::Blocks => format!("blocks.{block}.*.layers"),
            };
            return Err(Unclear { tensor, cause: "absent: a block without a layer".into() });
        }
        Ok(modules)
    }

    /// Number of scales of layer `layer` of the article's port, which is in a block before `block`; the first
    /// layer has them all.
    fn remaining(&self, block: usize, layer: usize) -> usize {
        let of = |b: usize| self.children(&format!("subnets.{b}.MSD_layer_{layer}.subnets.")).len();
        match (0..block).map(of).find(|&n| n > 0) {
            Some(remaining) => remaining,
            None => self.children("subnets.0.MSD_first.subnets.").len(),
        }
    }

    /// Growth and whether there are bottlenecks, from the first dense layer. Returns the weight of the batch
    /// norm that decided.
    pub fn growth(&self, config: &mut Config) -> Found<String> {
        let finest = config.finest_scale(1);
        let kind = Branch::Normal { beside_down: finest > 0 };
        let at = |bottleneck| Names::new(&Config { bottleneck, ..config.clone() }).branch(0, 1, 1, 0, kind);
        let [with, without] = [at(true), at(false)];
        let bottleneck = match self.layout {
            Layout::Subnets => with.bottleneck.is_some_and(|b| self.has(&format!("{}.weight", b.conv))),
            Layout::Blocks => self.has(&format!("{}.weight", with.spatial.bn)),
        };
        let spatial = if bottleneck { with.spatial } else { without.spatial };
        let deciding = format!("{}.weight", spatial.bn);
        let [out] = self.dims(&deciding)?;
        // Beside a down branch it has half of what the scale gains.
        let gained = if finest > 0 { out.saturating_mul(2) } else { out };
        let factor = config.scale_factor[finest];
        if !gained.is_multiple_of(factor) {
            let cause = format!("{gained} channels, no multiple of its scale's factor {factor}");
            return Err(Unclear { tensor: deciding, cause });
        }
        (config.bottleneck, config.growth) = (bottleneck, gained / factor);
        Ok(deciding)
    }
}
