//! Local response normalization across channels: as an operator, and as exporters of PyTorch write it out,
//! x / (alpha * mean over channels of x^2 + bias)^beta, where the mean is a pooling of three-dimensional maps.

use super::activations::number;
use super::{Feature, Importer, Node, Stop, Value, unsupported};
use crate::engine::graph::Op;
use crate::engine::graph::ops::Lrn;
use crate::model::onnx::fold;
use crate::model::onnx::tensor::Tensor;

/// Most channels of a window.
const MAX_SIZE: i64 = u16::MAX as i64;

/// The squares of a map with zeros before and behind their channels, and what was made of them: (alpha * mean + bias)^beta.
#[derive(Debug, Clone)]
pub struct Squares {
    feature: Feature,
    padding: [usize; 2],
    /// Channels of a mean; 0 before there are means.
    size: usize,
    alpha: f32,
    bias: f32,
    beta: f32,
}

impl Importer {
    /// `LRN`.
    pub(super) fn channel_norm(&mut self, node: &Node) -> Result<Feature, Stop> {
        let feature = node.feature(0)?.clone();
        let size = node.proto.int("size", 0)?;
        let (alpha, beta) = (number(node, "alpha", 1e-4)?, number(node, "beta", 0.75)?);
        let bias = number(node, "bias", 1.0)?;
        if !(1..=MAX_SIZE).contains(&size) {
            return Err(Stop::Wrong(format!("attribute 'size' is {size}")));
        }
        if !feature.layout.is(1, 0, self.graph.shape(feature.node)) {
            return unsupported("LRN of other axes than channels");
        }
        self.normalized(feature, Lrn { size: size as usize, alpha, beta, bias })
    }

    fn normalized(&mut self, feature: Feature, op: Lrn) -> Result<Feature, Stop> {
        if op.alpha < 0.0 || op.bias <= 0.0 {
            return unsupported(format!("LRN of alpha {} and bias {}", op.alpha, op.bias));
        }
        Ok(Feature { node: self.graph.push(op, &[feature.node])?, ..feature })
    }

    /// The result of `node` where it is a part of a normalization that is written out; otherwise `None`.
    pub(super) fn written_out(&mut self, node: &Node) -> Result<Option<Value>, Stop> {
        let input = |index: usize| node.inputs.get(index).and_then(Option::as_ref);
        match (node.proto.op.as_str(), input(0), input(1)) {
            ("Pad", Some(Value::Feature(feature)), _) => {
                let squares = self.padded_squares(node, &feature.clone())?;
                Ok(squares.map(Value::Squares))
            }
            ("Div", Some(Value::Feature(feature)), Some(Value::Squares(squares))) => {
                let (feature, Squares { feature: square, size, alpha, bias, beta, .. }) =
                    (feature.clone(), squares.clone());
                let is_same = self.graph.node(square.node).inputs.first() == Some(&feature.node)
                    && feature.layout == square.layout
                    && !feature.is_padded();
                if size == 0 || !is_same {
                    return unsupported(super::missing::of_two_maps("Div"));
                }
                self.normalized(feature, Lrn { size, alpha, beta, bias })
                    .map(|norm| Some(Value::Feature(norm)))
            }
            ("Shape", Some(Value::Squares(squares)), _) => {
                if squares.size == 0 {
                    return unsupported("Shape of channels with zeros around them");
                }
                let dims = self.dims(&squares.feature);
                Ok(Some(Value::Constant(fold::shape(node.proto, &dims)?)))
            }
            (_, Some(Value::Squares(squares)), _) => {
                self.of_squares(node, squares.clone()).map(|squares| Some(Value::Squares(squares)))
            }
            _ => Ok(None),
        }
    }

    /// What a `Pad` makes of `feature` if these are squares and it adds channels of zeros.
    fn padded_squares(&self, node: &Node, feature: &Feature) -> Result<Option<Squares>, Stop> {
        let square = self.graph.node(feature.node);
        let is_square = square.op == Op::Mul && square.inputs[0] == square.inputs[1];
        let (true, Some(pads)) = (is_square, node.optional_constant(1)?) else { return Ok(None) };
        let (pads, rank) = (pads.as_integers()?, feature.layout.rank() + 1);
        let Some(axis) = self.channel_axis(feature) else { return Ok(None) };
        let others = (0..pads.len()).filter(|i| i % rank != axis);
        let is_constant = node.proto.text("mode", "constant")? == "constant"
            && node.optional_constant(2)?.is_none_or(|value| value.scalar() == Some(0.0));
        let is_plain = pads.len() == 2 * rank && is_constant && node.optional_constant(3)?.is_none();
        if !is_plain || feature.is_padded() || !others.map(|i| pads[i]).all(|n| n == 0) {
            return Ok(None);
        }
        let padding = [pads[axis], pads[axis + rank]].map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        if padding == [0; 2] || padding.iter().any(|&n| n as i64 > MAX_SIZE || n == usize::MAX) {
            return Ok(None);
        }
        Ok(Some(Squares { feature: feature.clone(), padding, size: 0, alpha: 1.0, bias: 0.0, beta: 1.0 }))
    }

    /// The axis of the channels.
    fn channel_axis(&self, feature: &Feature) -> Option<usize> {
        let shape = self.graph.shape(feature.node);
        let mut axes = (1..=feature.layout.rank()).filter(|&axis| feature.layout.is(axis, 0, shape));
        axes.find(|&axis| feature.layout.group(axis).contains(&0))
    }

    /// What `node` makes of squares: their means, other dimensions, and then the parts of the divisor in their order.
    fn of_squares(&self, node: &Node, squares: Squares) -> Result<Squares, Stop> {
        let op = node.proto.op.as_str();
        let other = || unsupported(format!("{op} of channels with zeros around them"));
        let scalar = || node.constant(1).ok().and_then(Tensor::scalar).map(|value| value as f32);
        if squares.size == 0 {
            let Some(size) = self.means(node, &squares)? else { return other() };
            return Ok(Squares { size, ..squares });
        }
        let is_fresh = (squares.bias, squares.beta) == (0.0, 1.0);
        Ok(match (op, scalar()) {
            ("Identity", _) => squares,
            ("Reshape" | "Squeeze" | "Unsqueeze" | "Flatten" | "Transpose", _) => {
                let layout = self.viewed(node, &squares.feature)?;
                if layout.is_divided() {
                    return other();
                }
                Squares { feature: Feature { layout, ..squares.feature.clone() }, ..squares }
            }
            ("Mul", Some(alpha)) if is_fresh => Squares { alpha: squares.alpha * alpha, ..squares },
            ("Add", Some(bias)) if is_fresh => Squares { bias, ..squares },
            ("Pow", Some(beta)) if squares.beta == 1.0 && beta.is_finite() => Squares { beta, ..squares },
            _ => return other(),
        })
    }

    /// The number of channels of which an `AveragePool` takes means, each of its own channel and its neighbors.
    fn means(&self, node: &Node, squares: &Squares) -> Result<Option<usize>, Stop> {
        let rank = squares.feature.layout.rank() + 1;
        let Some(place) = self.channel_axis(&squares.feature).and_then(|axis| axis.checked_sub(2)) else {
            return Ok(None);
        };
        let (true, Some(kernel)) = (node.proto.op == "AveragePool", node.proto.ints("kernel_shape")?) else {
            return Ok(None);
        };
        let all = |name: &str, value: i64| -> Result<bool, Stop> {
            Ok(node.proto.ints(name)?.is_none_or(|list| list.iter().all(|&n| n == value)))
        };
        let is_plain = all("strides", 1)? && all("dilations", 1)? && all("pads", 0)?;
        let auto = node.proto.text("auto_pad", "NOTSET")?;
        let (others, size) = (kernel.iter().enumerate().filter(|&(i, _)| i != place), kernel.get(place));
        let is_along = kernel.len() + 2 == rank && others.map(|(_, &n)| n).all(|n| n == 1);
        let size = size.and_then(|&n| usize::try_from(n).ok()).filter(|&n| n > 0);
        Ok(size.filter(|size| {
            let middle = [(size - 1) / 2, size / 2];
            is_plain && is_along && matches!(auto, "NOTSET" | "VALID") && squares.padding == middle
        }))
    }
}
