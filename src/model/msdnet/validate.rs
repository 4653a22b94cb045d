//! Validation of configurations, before any value from a file is used.

use super::Config;
use super::config::{MOST_LAYERS, Stem};

/// Largest value of a configuration's field; products of a few do not overflow.
const LARGEST: usize = 1 << 16;
/// Maximum number of scales.
pub const MOST_SCALES: usize = 16;

impl Config {
    /// Checks that a model can be built from this configuration.
    ///
    /// # Errors
    /// The reason why not, as a phrase.
    pub fn validate(&self) -> Result<(), String> {
        let c = self;
        let positive = [
            ("classes", c.classes),
            ("exits", c.exits),
            ("base", c.base),
            ("channels", c.channels),
            ("growth", c.growth),
            ("kernel", c.kernel),
            ("input", c.input),
            ("scales", c.scales()),
        ];
        let factors =
            c.scale_factor.iter().chain(&c.bottleneck_factor).map(|&f| ("scale or bottleneck factor", f));
        for (name, value) in positive.into_iter().chain(factors) {
            if value == 0 || value > LARGEST {
                return Err(format!("{name} is {value}, expected 1 to {LARGEST}"));
            }
        }
        if c.step == 0 && c.exits > 1 || c.step > LARGEST {
            return Err(format!("step is {}, expected 1 to {LARGEST}", c.step));
        }
        if c.scales() > MOST_SCALES || c.bottleneck_factor.len() != c.scales() {
            return Err(format!(
                "{} scale factors and {} bottleneck factors, expected as many of each and at most {MOST_SCALES}",
                c.scales(),
                c.bottleneck_factor.len()
            ));
        }
        if c.exits > MOST_LAYERS
            || c.layers_per_exit().into_iter().fold(0, usize::saturating_add) > MOST_LAYERS
        {
            return Err(format!("more than {MOST_LAYERS} layers"));
        }
        if c.kernel.is_multiple_of(2)
            || c.global_conv.is_some_and(|g| g.kernel.is_multiple_of(2) || g.kernel > LARGEST)
        {
            return Err("a kernel of even or too large a side".into());
        }
        if c.reduction_permille > 1000 {
            return Err(format!("a transition cannot keep {} thousandths", c.reduction_permille));
        }
        let mut width = c.channels;
        for layer in 1..=c.layers_per_exit().into_iter().sum() {
            width += c.growth;
            if c.reduction_permille > 0 && c.finest_scale(layer) > c.finest_scale(layer - 1) {
                width = c.reduced(width);
                if width == 0 {
                    return Err(format!("the transition after layer {layer} keeps no channel"));
                }
            }
        }
        let tap = c.tap_size();
        if !(5..=12).contains(&tap) {
            return Err(format!(
                "an input of {0} x {0} pixels gives a coarsest scale of {tap} x {tap}; a head needs 5 to 12",
                c.input
            ));
        }
        // A branch with a down branch beside it has exactly half of the scale's growth.
        match c.scale_factor.iter().skip(1).find(|&f| !(c.growth * f).is_multiple_of(2)) {
            Some(f) => Err(format!("growth {} x scale factor {f} is odd and cannot be halved", c.growth)),
            None => Ok(()),
        }
    }

    /// Height and width of the coarsest scale, which every head reads.
    ///
    /// # Panics
    /// When the configuration is not [valid](Config::validate): no scale, or too many.
    pub fn tap_size(&self) -> usize {
        assert!((1..=MOST_SCALES).contains(&self.scales()), "{} scales, 1 to {MOST_SCALES}", self.scales());
        let stem = if self.stem == Stem::Imagenet { 4 } else { 1 };
        self.input.div_ceil(stem << (self.scales() - 1))
    }
}
