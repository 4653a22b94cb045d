//! The options of the two ports' training scripts, as `tests/golden/msdnet.py` has them, and the configuration
//! that follows: layers by a rule, a scale dropped after every third of them.

use msdcam::model::msdnet::Config;
use msdcam::model::msdnet::config::{GlobalConv, Head, HeadChannels, HeadPool, Layout, Stem};
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortOptions {
    layout: Layout,
    stem: Stem,
    input: usize,
    classes: usize,
    exits: usize,
    base: usize,
    step: usize,
    step_mode: String,
    channels: usize,
    growth: usize,
    scale_factor: Vec<usize>,
    bottleneck_factor: Vec<usize>,
    reduction_permille: u32,
    bottleneck: bool,
    kernel: usize,
    global_conv: Option<GlobalConv>,
}

impl PortOptions {
    /// Layers of each block; with linear growth the two ports count differently.
    fn layers(&self) -> Vec<usize> {
        let later = (1..self.exits).map(|i| match (self.step_mode.as_str(), self.layout) {
            ("even", _) => self.step,
            (_, Layout::Subnets) => self.step * (i - 1) + 1,
            (_, Layout::Blocks) => self.step * i + 1,
        });
        std::iter::once(self.base).chain(later).collect()
    }

    pub fn config(&self) -> Config {
        let channels = match self.stem {
            Stem::Cifar => HeadChannels::Fixed(128),
            Stem::Imagenet => HeadChannels::Tap,
        };
        let config = Config {
            layout: self.layout,
            stem: self.stem,
            stem_stride: 1,
            input: self.input,
            classes: self.classes,
            layers: Vec::new(),
            drops: Vec::new(),
            transitions: Vec::new(),
            channels: self.channels,
            growth: self.growth,
            scale_factor: self.scale_factor.clone(),
            bottleneck_factor: self.bottleneck_factor.clone(),
            bottleneck: self.bottleneck,
            kernel: self.kernel,
            global_conv: self.global_conv,
            head: Head { channels, pool: HeadPool::Average, boost: 0.0, collaboration: false },
        };
        config.with_layers(&self.layers(), f64::from(self.reduction_permille) / 1000.0)
    }
}
