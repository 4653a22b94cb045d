//! Validation of configurations, before any value from a file is used.

use super::Config;
use super::config::{HeadChannels, MOST_EXITS, MOST_LAYERS, MOST_SCALES, Stem};

/// Largest value of a configuration's field; products of a few do not overflow.
const LARGEST: usize = 1 << 16;

impl Config {
    /// Checks that a model can be built from this configuration.
    ///
    /// # Errors
    /// The reason why not, as a phrase.
    pub fn validate(&self) -> Result<(), String> {
        let c = self;
        let (exits, total) = (c.exits(), c.layers.iter().fold(0, |sum: usize, &n| sum.saturating_add(n)));
        let head = if let HeadChannels::Fixed(channels) = c.head.channels { channels } else { 1 };
        let positive = [
            ("classes", c.classes),
            ("exits", exits),
            ("channels", c.channels),
            ("growth", c.growth),
            ("kernel", c.kernel),
            ("input", c.input),
            ("scales", c.scales()),
            ("channels of a head", head),
        ];
        let factors =
            c.scale_factor.iter().chain(&c.bottleneck_factor).map(|&f| ("scale or bottleneck factor", f));
        for (name, value) in positive.into_iter().chain(factors) {
            if value == 0 || value > LARGEST {
                return Err(format!("{name} is {value}, expected 1 to {LARGEST}"));
            }
        }
        if c.scales() > MOST_SCALES || c.bottleneck_factor.len() != c.scales() {
            return Err(format!(
                "{} scale factors and {} bottleneck factors, expected as many of each and at most {MOST_SCALES}",
                c.scales(),
                c.bottleneck_factor.len()
            ));
        }
        if exits > MOST_EXITS || total > MOST_LAYERS || c.layers.contains(&0) {
            return Err(format!(
                "{exits} blocks of {total} layers in all, expected at most {MOST_EXITS} of at least 1 and {MOST_LAYERS} in all"
            ));
        }
        let ascending = |layers: &[usize]| {
            layers.windows(2).all(|two| two[0] < two[1]) && layers.iter().all(|&l| (1..=total).contains(&l))
        };
        if c.drops.len() >= c.scales() || !ascending(&c.drops) {
            return Err(format!(
                "scales dropped in the layers {:?}, expected fewer than {} ascending numbers up to {total}",
                c.drops,
                c.scales()
            ));
        }
        let behind: Vec<usize> = c.transitions.iter().map(|transition| transition.after).collect();
        if !ascending(&behind) {
            return Err(format!(
                "transitions behind the layers {behind:?}, expected ascending numbers up to {total}"
            ));
        }
        if let Some(none) = c.transitions.iter().find(|t| t.width == 0 || t.width > LARGEST) {
            return Err(format!("the transition after layer {} keeps {} channels", none.after, none.width));
        }
        if c.kernel.is_multiple_of(2)
            || c.global_conv.is_some_and(|g| g.kernel.is_multiple_of(2) || g.kernel > LARGEST)
        {
            return Err("a kernel of even or too large a side".into());
        }
        if !(1..=2).contains(&c.stem_stride) || c.stem == Stem::Imagenet && c.stem_stride != 1 {
            return Err(format!("a {:?} stem of stride {}", c.stem, c.stem_stride));
        }
        if !c.head.boost.is_finite() {
            return Err(format!("the exit before counts {} times", c.head.boost));
        }
        if c.head.collaboration && c.pooled_size() != 1 {
            return Err(format!(
                "heads that read the exit before, and pooled maps of {0} x {0}, expected 1 x 1",
                c.pooled_size()
            ));
        }
        if c.pooled_size() == 0 {
            return Err(format!(
                "an input of {0} x {0} pixels gives a coarsest scale of {1} x {1}; a head needs 5 x 5 or more",
                c.input,
                c.tap_size()
            ));
        }
        // A branch with a down branch beside it has exactly half of the scale's growth.
        match c.scale_factor.iter().skip(1).find(|&f| !(c.growth * f).is_multiple_of(2)) {
            Some(f) => Err(format!("growth {} x scale factor {f} is odd and cannot be halved", c.growth)),
            None => Ok(()),
        }
    }
}
