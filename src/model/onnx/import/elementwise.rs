//! Arithmetic of maps with each other and with constants.

use super::{Feature, Importer, Node, Stop, Value, unsupported};
use crate::engine::graph::ops::{Activation, BatchNorm, Linear, Slice};
use crate::engine::graph::{NodeId, Op};
use crate::model::onnx::tensor::Tensor;

/// Most channels of a map that is combined with a constant: each takes four parameters, whatever the file holds.
const MAX_CHANNELS: usize = 1 << 20;

impl Importer {
    pub(super) fn batch_norm(&mut self, node: &Node) -> Result<Feature, Stop> {
        let feature = node.feature(0)?.clone();
        let shape = self.graph.shape(feature.node);
        if node.proto.int("training_mode", 0)? != 0 {
            return unsupported("BatchNormalization in training mode (export after model.eval())");
        }
        if !feature.layout.is(1, 0, shape) {
            return unsupported("BatchNormalization of other axes than channels");
        }
        let mut params = Vec::new();
        for index in 1..5 {
            let tensor = node.constant(index)?.clone();
            if tensor.dims != [shape.c] {
                return Err(Stop::Wrong(format!("{} channels, statistics of {:?}", shape.c, tensor.dims)));
            }
            params.push(self.param(node, index, &tensor, &[shape.c])?);
        }
        let eps = node.proto.float("epsilon", 1e-5)?;
        let [weight, bias, mean, variance] = params[..] else { return Err("statistics are missing".into()) };
        let lowest = self.graph.param(variance).data.iter().fold(f32::INFINITY, |low, &x| low.min(x));
        if lowest + eps <= 0.0 {
            return Err(Stop::Wrong(format!("a variance of {lowest}")));
        }
        let op = BatchNorm { weight, bias, mean, variance, eps, relu: None };
        Ok(Feature { node: self.graph.push(op, &[feature.node])?, ..feature })
    }

    /// `Add`, `Sub`, `Mul`, `Div`, `Sum` and `Neg`.
    pub(super) fn arithmetic(&mut self, node: &Node) -> Result<Feature, Stop> {
        let op = node.proto.op.as_str();
        if op == "Neg" {
            let feature = node.padded_feature(0)?.clone();
            return self.scaled(node, &feature, -1.0);
        }
        if node.inputs.len() != 2 && op != "Sum" {
            return Err(Stop::Wrong(format!("{} inputs, expected 2", node.inputs.len())));
        }
        let is_constant = |index: usize| matches!(node.input(index), Ok(Value::Constant(_)));
        match (is_constant(0), node.inputs.len() > 1 && is_constant(1)) {
            (false, true) if op != "Sum" => {
                let tensor = node.constant(1)?.clone();
                self.with_constant(node, 0, &tensor, |x| match op {
                    "Add" => (1.0, x),
                    "Sub" => (1.0, -x),
                    "Mul" => (x, 0.0),
                    _ => (1.0 / x, 0.0),
                })
            }
            (true, false) if op != "Sum" => {
                let tensor = node.constant(0)?.clone();
                if op == "Div" {
                    return unsupported("Div by a map");
                }
                self.with_constant(node, 1, &tensor, |x| match op {
                    "Add" => (1.0, x),
                    "Sub" => (-1.0, x),
                    _ => (x, 0.0),
                })
            }
            _ => self.of_maps(node),
        }
    }

    /// The sum, difference or product of maps.
    fn of_maps(&mut self, node: &Node) -> Result<Feature, Stop> {
        let op = node.proto.op.as_str();
        if op == "Div" {
            return unsupported(super::missing::of_two_maps(op));
        }
        let mut features: Vec<Feature> =
            (0..node.inputs.len()).map(|i| node.feature(i).cloned()).collect::<Result<_, _>>()?;
        if op == "Mul" {
            let [a, b] = <[Feature; 2]>::try_from(features).expect("two inputs");
            return self.product(node, a, b);
        }
        let first = features.first().ok_or("it has no inputs")?.clone();
        for feature in &mut features[1..] {
            self.align(node, feature, &first)?;
        }
        if features.len() == 1 {
            return Ok(first);
        }
        if op == "Sub" {
            features[1] = self.scaled(node, &features[1].clone(), -1.0)?;
        }
        let nodes: Vec<NodeId> = features.iter().map(|feature| feature.node).collect();
        Ok(Feature { node: self.graph.push(Op::Add, &nodes)?, ..first })
    }

    /// Gives `feature` the stored shape of `first`, of whose dimensions it is.
    pub(super) fn align(&mut self, node: &Node, feature: &mut Feature, first: &Feature) -> Result<(), Stop> {
        let op = node.proto.op.as_str();
        let (shape, own) = (self.graph.shape(first.node), self.graph.shape(feature.node));
        if self.dims(feature) != self.dims(first) {
            return unsupported(format!("{op} of maps of different shapes"));
        }
        if own != shape || feature.layout.order(own) != first.layout.order(shape) {
            if !first.layout.is_stored_order(shape) || !feature.layout.is_stored_order(own) {
                return unsupported(format!("{op} of transposed maps"));
            }
            feature.node = self.graph.push(Slice { offset: 0, shape }, &[feature.node])?;
        }
        Ok(())
    }

    fn scaled(&mut self, node: &Node, feature: &Feature, scale: f32) -> Result<Feature, Stop> {
        Ok(Feature { node: self.uniform(node, feature.node, scale, 0.0)?, ..feature.clone() })
    }

    /// scale * x + shift, the same for all channels.
    pub(super) fn uniform(
        &mut self,
        node: &Node,
        input: NodeId,
        scale: f32,
        shift: f32,
    ) -> Result<NodeId, Stop> {
        if (scale, shift) == (1.0, 0.0) {
            return Ok(input);
        }
        let channels = self.channels(node, input)?;
        self.affine(node, input, vec![scale; channels], vec![shift; channels], true)
    }

    /// Number of channels of `input`, if they are no more than a constant may have.
    pub(super) fn channels(&self, node: &Node, input: NodeId) -> Result<usize, Stop> {
        match self.graph.shape(input).c {
            channels if channels > MAX_CHANNELS => {
                unsupported(format!("{} of {channels} channels", node.proto.op))
            }
            channels => Ok(channels),
        }
    }

    /// Input `index` of `node` with the factor and the summand that `parts` makes of each element of `tensor`, which is a
    /// scalar or has one for each channel.
    fn with_constant(
        &mut self,
        node: &Node,
        index: usize,
        tensor: &Tensor,
        parts: impl Fn(f32) -> (f32, f32),
    ) -> Result<Feature, Stop> {
        let feature = node.padded_feature(index)?.clone();
        let elements = tensor.as_floats()?;
        self.channels(node, feature.node)?;
        if tensor.dims.len() > feature.layout.rank() + 1 {
            return unsupported(format!("{} with a constant of more axes", node.proto.op));
        }
        let values = self.per_channel(&feature, tensor, elements);
        let Some(values) = values else {
            return unsupported(format!("{} with a constant that differs between pixels", node.proto.op));
        };
        let (scales, shifts): (Vec<f32>, Vec<f32>) = values.iter().map(|&x| parts(x)).unzip();
        if feature.is_padded() && shifts.iter().any(|&shift| shift != 0.0) {
            return unsupported(format!("Pad before {}", node.proto.op));
        }
        let is_neutral = scales.iter().all(|&s| s == 1.0) && shifts.iter().all(|&t| t == 0.0);
        if is_neutral {
            return Ok(feature);
        }
        if shifts.iter().all(|&t| t == 0.0)
            && let [scale, ..] = scales[..]
            && scales.iter().all(|&s| s == scale)
            && let Some(input) = self.under_hard_swish(feature.node, scale)
        {
            return Ok(Feature { node: self.graph.push(Activation::HardSwish, &[input])?, ..feature });
        }
        // The bias of a product with a matrix comes as a sum of its own.
        if let Op::Linear(linear) = self.graph.node(feature.node).op
            && scales.iter().all(|&s| s == 1.0)
            && self.graph.param(linear.bias).data.iter().all(|&b| b == 0.0)
        {
            let input = self.graph.node(feature.node).inputs[0];
            let bias = self.made_param(node, 1 - index, &[shifts.len()], shifts.into())?;
            return Ok(Feature { node: self.graph.push(Linear { bias, ..linear }, &[input])?, ..feature });
        }
        let is_fixed = elements.len() == 1 || self.preparation.contains(&feature.node);
        Ok(Feature { node: self.affine(node, feature.node, scales, shifts, is_fixed)?, ..feature })
    }

    /// The value of `tensor` for each channel of `feature`; `None` if it has others.
    pub(super) fn per_channel(
        &self,
        feature: &Feature,
        tensor: &Tensor,
        elements: &[f32],
    ) -> Option<Vec<f32>> {
        let shape = self.graph.shape(feature.node);
        let dims = self.dims(feature);
        let skipped = dims.len().checked_sub(tensor.dims.len())?;
        let mut along =
            tensor.dims.iter().enumerate().filter(|&(_, &n)| n != 1).map(|(i, &n)| (i + skipped, n));
        match (along.next(), along.next()) {
            (None, _) => Some(vec![*elements.first()?; shape.c]),
            (Some((axis, n)), None) if n == shape.c && feature.layout.is(axis, 0, shape) => {
                Some(elements.to_vec())
            }
            _ => None,
        }
    }

    /// scale * x + shift for each channel; training did not find them if the architecture `is_fixed`.
    pub(super) fn affine(
        &mut self,
        node: &Node,
        input: NodeId,
        scale: Vec<f32>,
        shift: Vec<f32>,
        is_fixed: bool,
    ) -> Result<NodeId, Stop> {
        let count = scale.len();
        let name = node.name();
        let mut param = |part: &str, data: Vec<f32>| -> Result<_, Stop> {
            super::check_finite(&name, &data)?;
            let id = self.graph.add_param(format!("{name}.{part}"), &[count], data);
            if is_fixed {
                self.graph.fix_param(id);
            }
            Ok(id)
        };
        let (weight, bias) = (param("scale", scale)?, param("shift", shift)?);
        let (mean, variance) = (param("mean", vec![0.0; count])?, param("variance", vec![1.0; count])?);
        let node =
            self.graph.push(BatchNorm { weight, bias, mean, variance, eps: 0.0, relu: None }, &[input])?;
        if is_fixed && self.preparation.contains(&input) {
            self.preparation.insert(node);
        }
        Ok(node)
    }
}
