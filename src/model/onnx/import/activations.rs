//! Activations, and bounds of values.

use super::{Feature, Importer, Node, Stop, unsupported};
use crate::engine::graph::Op;
use crate::engine::graph::ops::{Activation, Relu};

/// Largest magnitude of a lower bound to which zero is shifted: what is added and subtracted again is rounded.
const MAX_SHIFT: f64 = 16.0;
/// Numbers from here on are no bounds.
const UNBOUNDED: f64 = f32::MAX as f64;

impl Importer {
    pub(super) fn relu(&mut self, node: &Node) -> Result<Feature, Stop> {
        self.activation(node, Op::RELU, true)
    }

    /// Input 0 with `op` for each element. Around it, copies of the edge stay copies; zeros stay zeros if `op`
    /// `keeps_zero`.
    fn activation(&mut self, node: &Node, op: impl Into<Op>, keeps_zero: bool) -> Result<Feature, Stop> {
        let feature = self.each(node, 0, keeps_zero)?;
        Ok(Feature { node: self.graph.push(op, &[feature.node])?, ..feature })
    }

    /// Input `index` for a function of each element, which `keeps_zero`, or does not.
    fn each(&self, node: &Node, index: usize, keeps_zero: bool) -> Result<Feature, Stop> {
        let feature = node.padded_in_any_way(index)?;
        if feature.is_padded() && !feature.repeats_edge && !keeps_zero {
            return unsupported(format!("Pad before {}", node.proto.op));
        }
        Ok(feature.clone())
    }

    pub(super) fn sigmoid(&mut self, node: &Node) -> Result<Feature, Stop> {
        self.activation(node, Activation::Sigmoid, false)
    }

    pub(super) fn hard_sigmoid(&mut self, node: &Node) -> Result<Feature, Stop> {
        let (slope, offset) = (number(node, "alpha", 0.2)?, number(node, "beta", 0.5)?);
        self.activation(node, Activation::HardSigmoid { slope, offset }, false)
    }

    pub(super) fn hard_swish(&mut self, node: &Node) -> Result<Feature, Stop> {
        self.activation(node, Activation::HardSwish, true)
    }

    /// x sigmoid(alpha x): SiLU of alpha x, over alpha.
    pub(super) fn swish(&mut self, node: &Node) -> Result<Feature, Stop> {
        let alpha = number(node, "alpha", 1.0)?;
        if !(1e-6..1e6).contains(&alpha.abs()) {
            return unsupported(format!("Swish of alpha {alpha}"));
        }
        let feature = self.each(node, 0, true)?;
        // Of an alpha of 1, usually the only one, both sums are what they are made of.
        let scaled = self.uniform(node, feature.node, alpha, 0.0)?;
        let silu = self.graph.push(Activation::Silu, &[scaled])?;
        Ok(Feature { node: self.uniform(node, silu, 1.0 / alpha, 0.0)?, ..feature })
    }

    /// tanh(x) = 2 sigmoid(2 x) - 1.
    pub(super) fn tanh(&mut self, node: &Node) -> Result<Feature, Stop> {
        let feature = self.each(node, 0, true)?;
        let double = self.uniform(node, feature.node, 2.0, 0.0)?;
        let sigmoid = self.graph.push(Activation::Sigmoid, &[double])?;
        Ok(Feature { node: self.uniform(node, sigmoid, 2.0, -1.0)?, ..feature })
    }

    pub(super) fn leaky_relu(&mut self, node: &Node) -> Result<Feature, Stop> {
        let slope = number(node, "alpha", 0.01)?;
        self.activation(node, Activation::LeakyRelu { slope }, true)
    }

    /// A leaky ReLU whose slope is a constant; with one for each channel, slope x + (1 - slope) max(x, 0).
    pub(super) fn parametric_relu(&mut self, node: &Node) -> Result<Feature, Stop> {
        let feature = self.each(node, 0, true)?;
        let tensor = node.constant(1)?;
        let slopes = tensor.as_floats()?;
        self.channels(node, feature.node)?;
        let Some(slopes) = self.per_channel(&feature, tensor, slopes) else {
            return unsupported("PRelu with a slope that differs between pixels");
        };
        let [first, ..] = slopes[..] else { return Err("it has no slope".into()) };
        if slopes.iter().all(|&slope| slope == first) {
            let slope = finite(first, "its slope")?;
            return self.activation(node, Activation::LeakyRelu { slope }, true);
        }
        // As a slope of all channels, those of each stay where weights are replaced.
        let positive = self.graph.push(Op::RELU, &[feature.node])?;
        let rest: Vec<f32> = slopes.iter().map(|slope| 1.0 - slope).collect();
        let zeros = vec![0.0; slopes.len()];
        let positive = self.affine(node, positive, rest, zeros.clone(), true)?;
        let all = self.affine(node, feature.node, slopes, zeros, true)?;
        Ok(Feature { node: self.graph.push(Op::Add, &[all, positive])?, ..feature })
    }

    pub(super) fn clip(&mut self, node: &Node) -> Result<Feature, Stop> {
        let bound = |index: usize, name: &str, default: f64| -> Result<f64, Stop> {
            Ok(match node.optional_constant(index)? {
                Some(tensor) => tensor.scalar().ok_or("a bound of several elements")?,
                None if node.proto.attributes.contains_key(name) => node.proto.float(name, 0.0)?.into(),
                None => default,
            })
        };
        let (low, high) = (bound(1, "min", f64::NEG_INFINITY)?, bound(2, "max", f64::INFINITY)?);
        self.bounded(node, 0, low, high)
    }

    /// `Max` and `Min` of a map and a number.
    pub(super) fn one_bound(&mut self, node: &Node) -> Result<Feature, Stop> {
        let constant = (0..node.inputs.len()).find(|&i| node.constant(i).is_ok());
        let (Some(constant), 2) = (constant, node.inputs.len()) else {
            return unsupported(format!("{} of maps", node.proto.op));
        };
        let Some(bound) = node.constant(constant)?.scalar() else {
            return unsupported(format!("{} with a constant of several elements", node.proto.op));
        };
        let is_low = node.proto.op == "Max";
        let (low, high) = if is_low { (bound, f64::INFINITY) } else { (f64::NEG_INFINITY, bound) };
        self.bounded(node, 1 - constant, low, high)
    }

    /// min(max(x, low), high) for input `index`, by ReLUs, whose lower bound is zero.
    fn bounded(&mut self, node: &Node, index: usize, low: f64, high: f64) -> Result<Feature, Stop> {
        if low.is_nan() || high.is_nan() || low >= high || low >= UNBOUNDED || high <= -UNBOUNDED {
            return unsupported(format!("{} to {low} to {high}", node.proto.op));
        }
        let low = if low <= -UNBOUNDED { f64::NEG_INFINITY } else { low };
        let high = if high >= UNBOUNDED { f64::INFINITY } else { high };
        let feature = self.each(node, index, low <= 0.0 && high >= 0.0)?;
        let input = feature.node;
        let bounded = |max: f64| Relu { max: max as f32 };
        let result = if low == 0.0 {
            self.graph.push(bounded(high), &[input])?
        } else if low > 0.0 || low < 0.0 && high > 0.0 && low >= -MAX_SHIFT {
            // low + min(max(x - low, 0), high - low).
            let above = self.uniform(node, input, 1.0, -low as f32)?;
            let above = self.graph.push(bounded(high - low), &[above])?;
            self.uniform(node, above, 1.0, low as f32)?
        } else if high <= 0.0 {
            // high - min(max(high - x, 0), high - low).
            let below = self.uniform(node, input, -1.0, high as f32)?;
            let below = self.graph.push(bounded(high - low), &[below])?;
            self.uniform(node, below, -1.0, high as f32)?
        } else if low.is_finite() || high.is_finite() {
            // min(max(x, 0), high) - min(max(-x, 0), -low).
            let positive = self.graph.push(bounded(high), &[input])?;
            let negative = self.uniform(node, input, -1.0, 0.0)?;
            let negative = self.graph.push(bounded(-low), &[negative])?;
            let negative = self.uniform(node, negative, -1.0, 0.0)?;
            self.graph.push(Op::Add, &[positive, negative])?
        } else {
            input
        };
        Ok(Feature { node: result, ..feature })
    }
}

/// Whether `op` gives no negative values, whatever it reads.
pub(super) fn is_positive(op: &Op) -> bool {
    matches!(op, Op::Relu(_) | Op::Activation(Activation::Sigmoid | Activation::HardSigmoid { .. }))
}

/// The finite attribute `name` of `node`, or its default.
pub(super) fn number(node: &Node, name: &str, default: f32) -> Result<f32, Stop> {
    finite(node.proto.float(name, default)?, &format!("attribute '{name}'"))
}

fn finite(value: f32, what: &str) -> Result<f32, Stop> {
    if value.is_finite() { Ok(value) } else { Err(Stop::Wrong(format!("{what} is {value}"))) }
}
