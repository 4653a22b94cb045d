//! Convolutions, poolings and what concerns where pixels are.

use super::activations::is_positive;
use super::{Feature, Importer, Node, Stop, Value, unsupported};
use crate::engine::graph::ops::{AvgPool, ChannelShuffle, Conv2d, Interpolation, MaxPool, Sampling, Window};
use crate::engine::graph::{NodeId, Op};
use crate::model::onnx::fold::{self, axes, axis, flattened, permutation, reshaped, squeezed, unsqueezed};
use crate::model::onnx::layout::Layout;
use crate::model::onnx::windows::Placement;

/// Most concatenations inside each other that are looked through.
const MAX_NESTED: usize = 256;

impl Importer {
    pub(super) fn conv(&mut self, node: &Node) -> Result<Feature, Stop> {
        let feature = node.padded_feature(0)?;
        let input = self.as_nchw(feature, "Conv")?;
        let shape = self.graph.shape(input);
        let weight = node.constant(1)?;
        let [out, channels, kh, kw] = weight.dims[..] else {
            return unsupported(format!("Conv of {} dimensions", weight.dims.len().saturating_sub(2)));
        };
        let group = usize::try_from(node.proto.int("group", 1)?).unwrap_or(0);
        if group == 0 || out % group != 0 || channels.checked_mul(group) != Some(shape.c) {
            return Err(Stop::Wrong(format!(
                "{} channels, its weight {:?} of {group} groups does not fit",
                shape.c, weight.dims
            )));
        }
        let placed = Placement::new(node.proto, Some([kh, kw]), [shape.h, shape.w], feature.padding)?;
        let window = placed.window(placed.after);
        let weight = weight.clone();
        let weight = self.param(node, 1, &weight, &weight.dims)?;
        let bias = match node.optional_constant(2)? {
            Some(bias) if bias.len() == out => Some(self.param(node, 2, &bias.clone(), &[out])?),
            Some(bias) => return Err(Stop::Wrong(format!("{out} output channels, {} biases", bias.len()))),
            None => None,
        };
        let op = Conv2d {
            weight,
            bias,
            out,
            channels: shape.c,
            groups: group,
            window,
            residual: false,
            relu: None,
        };
        Ok(Feature::nchw(self.graph.push(op, &[input])?))
    }

    pub(super) fn max_pool(&mut self, node: &Node) -> Result<Feature, Stop> {
        let feature = node.padded_in_any_way(0)?;
        // Padding is never the maximum. Neither are zeros beside positive values, but where all are 0; nor copies of
        // the edge, which is in every window that reaches them.
        let is_positive = is_positive(&self.graph.node(feature.node).op);
        if feature.is_padded() && !feature.repeats_edge && !is_positive {
            return unsupported("Pad before MaxPool");
        }
        let (input, _, window) = self.pooled(node, feature)?;
        Ok(Feature::nchw(self.graph.push(MaxPool { window }, &[input])?))
    }

    /// What a pooling reads, where its windows are, and the engine's window.
    fn pooled(&mut self, node: &Node, feature: &Feature) -> Result<(NodeId, Placement, Window), Stop> {
        let input = self.as_nchw(feature, &node.proto.op)?;
        let shape = self.graph.shape(input);
        let size = [shape.h, shape.w];
        let placed = Placement::new(node.proto, None, size, feature.padding)?;
        Ok((input, placed, placed.window(placed.reach(size))))
    }

    pub(super) fn average_pool(&mut self, node: &Node) -> Result<Feature, Stop> {
        let feature = node.padded_feature(0)?;
        let (input, placed, window) = self.pooled(node, feature)?;
        // Zeros of a `Pad` are elements like others.
        let counts = node.proto.int("count_include_pad", 0)? != 0;
        let counted = if counts { [placed.before, placed.after] } else { feature.padding };
        Ok(Feature::nchw(self.graph.push(AvgPool { window, counted }, &[input])?))
    }

    /// Reductions of whole maps to one pixel.
    pub(super) fn reduce(&mut self, node: &Node) -> Result<Feature, Stop> {
        let feature = node.feature(0)?.clone();
        let (shape, rank) = (self.graph.shape(feature.node), feature.layout.rank() + 1);
        let op = node.proto.op.as_str();
        let is_reduction = op == "ReduceMean";
        let reduced: Vec<usize> = if is_reduction {
            match axes(node.proto, node.optional_constant(1)?)? {
                Some(axes) if axes.is_empty() && node.proto.int("noop_with_empty_axes", 0)? == 0 => {
                    (0..rank).collect()
                }
                Some(axes) => axes.iter().map(|&a| axis(a, rank)).collect::<Result<_, _>>()?,
                None => (0..rank).collect(),
            }
        } else {
            (2..rank).collect()
        };
        // The axes of more than one element have to be exactly the rows and columns.
        let dims = self.dims(&feature);
        let is_spatial = |axis: &usize| {
            let stored = feature.layout.group(*axis);
            dims[*axis] == 1 || stored.iter().all(|&a| a != 0 || shape.c == 1)
        };
        let others = (1..rank).filter(|axis| !reduced.contains(axis) && dims[*axis] > 1);
        let keeps_channels = others.clone().all(|axis| feature.layout.is(axis, 0, shape));
        if reduced.contains(&0) || !reduced.iter().all(is_spatial) || !keeps_channels {
            return unsupported(format!("{op} over axes {reduced:?}"));
        }
        let window = Window { kernel: [shape.h, shape.w], ..Window::square(1, 1, 0) };
        let result = if op == "GlobalMaxPool" {
            self.graph.push(MaxPool { window }, &[feature.node])?
        } else {
            self.graph.push(AvgPool { window, counted: [[0; 2]; 2] }, &[feature.node])?
        };
        let keeps = !is_reduction || node.proto.int("keepdims", 1)? != 0;
        let layout = if keeps {
            feature.layout.clone()
        } else {
            let left: Vec<usize> = (1..rank).filter(|axis| !reduced.contains(axis)).collect();
            feature.layout.picked(&left)
        };
        Ok(Feature::new(result, layout))
    }

    /// Zeros or copies of the edge around a map, which the next window reads as padding.
    pub(super) fn pad(&mut self, node: &Node) -> Result<Feature, Stop> {
        let mut feature = node.padded_in_any_way(0)?.clone();
        let mode = node.proto.text("mode", "constant")?;
        let value = match node.optional_constant(2)? {
            Some(value) => value.scalar().unwrap_or(f64::NAN),
            None => node.proto.float("value", 0.0)?.into(),
        };
        let pads = match (node.proto.ints("pads")?, node.optional_constant(1)?) {
            (Some(pads), _) => pads.to_vec(),
            (None, Some(pads)) => pads.as_integers()?.to_vec(),
            (None, None) => return Err("its padding is missing".into()),
        };
        let rank = feature.layout.rank() + 1;
        let along = match node.optional_constant(3)? {
            Some(axes) => {
                axes.as_integers()?.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>, _>>()?
            }
            None => (0..rank).collect(),
        };
        if pads.len() != 2 * along.len() {
            return Err(Stop::Wrong(format!("padding {pads:?} of {} axes", along.len())));
        }
        if pads.iter().all(|&n| n == 0) {
            return Ok(feature);
        }
        let repeats_edge = mode == "edge";
        if mode == "constant" && value != 0.0 {
            return unsupported("Pad with other values than 0");
        }
        if !matches!(mode, "constant" | "edge") || feature.is_padded() && feature.repeats_edge != repeats_edge
        {
            return unsupported(format!("Pad of mode {mode}"));
        }
        feature.repeats_edge = repeats_edge;
        let shape = self.graph.shape(feature.node);
        for (i, &axis) in along.iter().enumerate() {
            let (before, after) = (pads[i], pads[i + along.len()]);
            if (before, after) == (0, 0) {
                continue;
            }
            let spatial = feature.layout.side(axis, shape);
            let sizes = [before, after].map(|n| u16::try_from(n).map(usize::from));
            let (Some(spatial), [Ok(before), Ok(after)]) = (spatial, sizes) else {
                return unsupported("Pad of other axes than rows and columns, or by negative sizes");
            };
            feature.padding[0][spatial] += before;
            feature.padding[1][spatial] += after;
        }
        Ok(feature)
    }

    pub(super) fn concat(&mut self, node: &Node) -> Result<Feature, Stop> {
        let first = node.feature(0)?.clone();
        let along = axis(node.proto.int("axis", 0)?, first.layout.rank() + 1)?;
        let features: Vec<Feature> =
            (0..node.inputs.len()).map(|i| node.feature(i).cloned()).collect::<Result<_, _>>()?;
        if features.len() == 1 {
            return Ok(first);
        }
        // Vectors, which may be maps that were flattened.
        if features.iter().all(|f| f.layout.rank() == 1) && along == 1 {
            let parts =
                features.iter().map(|f| self.as_vector(f, "Concat")).collect::<Result<Vec<_>, _>>()?;
            return Ok(Feature::flat(self.graph.push(Op::Concat, &self.nested(&parts))?));
        }
        let is_along = |f: &Feature| {
            f.layout.is(along, 0, self.graph.shape(f.node)) && f.layout.rank() == first.layout.rank()
        };
        if !features.iter().all(is_along) || features.iter().any(|f| f.layout != first.layout) {
            return unsupported("Concat of other axes than channels");
        }
        let parts: Vec<NodeId> = features.iter().map(|f| f.node).collect();
        let node = self.graph.push(Op::Concat, &self.nested(&parts))?;
        Ok(Feature::new(node, first.layout))
    }

    /// The parts of a concatenation, of which the longest leading ones that are concatenated already are one: so the plan
    /// places each inside of the next and copies nothing, however many concatenations read a map.
    fn nested(&self, parts: &[NodeId]) -> Vec<NodeId> {
        let is_leading = |id: &NodeId| {
            let node = self.graph.node(*id);
            matches!(node.op, Op::Concat)
                && node.inputs.len() < parts.len()
                && expanded(self, *id).is_some_and(|all| parts.starts_with(&all))
        };
        fn expanded(importer: &Importer, mut id: NodeId) -> Option<Vec<NodeId>> {
            let mut groups = Vec::new();
            for _ in 0..MAX_NESTED {
                let (&first, others) = importer.graph.node(id).inputs.split_first()?;
                groups.push(others);
                if !matches!(importer.graph.node(first).op, Op::Concat) {
                    let others = groups.into_iter().rev().flatten().copied();
                    return Some([first].into_iter().chain(others).collect());
                }
                id = first;
            }
            None
        }
        // It is one of the last: dense blocks concatenate again and again.
        let concats = self.graph.ids().rev().filter(|id| matches!(self.graph.node(*id).op, Op::Concat));
        let leading = concats.take(16).find(is_leading);
        match leading.and_then(|id| Some((id, expanded(self, id)?.len()))) {
            Some((id, count)) if count < parts.len() => [&[id], &parts[count..]].concat(),
            _ => parts.to_vec(),
        }
    }

    /// `Expand` and `Tile`: a vector repeated for each row and column, or what stays as it is.
    pub(super) fn repeated(&mut self, node: &Node) -> Result<Feature, Stop> {
        let feature = node.feature(0)?.clone();
        let (shape, dims) = (self.graph.shape(feature.node), self.dims(&feature));
        let asked = fold::sizes(node.constant(1)?.as_integers()?)?;
        let other = || unsupported(format!("{} of other axes than rows and columns", node.proto.op));
        let target: Vec<usize> = if node.proto.op == "Tile" {
            if asked.len() != dims.len() {
                return Err(Stop::Wrong(format!("repeats {asked:?} of {} axes", dims.len())));
            }
            dims.iter().zip(&asked).map(|(&n, &times)| n.saturating_mul(times)).collect()
        } else {
            let Some(missing) = dims.len().checked_sub(asked.len()) else { return other() };
            let asked = std::iter::repeat_n(1, missing).chain(asked);
            dims.iter().zip(asked).map(|(&n, asked)| if asked == 1 { n } else { asked }).collect()
        };
        if target == dims {
            return Ok(feature);
        }
        let mut sides = [1; 2];
        for (axis, (&n, &asked)) in dims.iter().zip(&target).enumerate().filter(|(_, (n, asked))| n != asked)
        {
            match feature.layout.side(axis, shape) {
                Some(side) if n == 1 && shape.plane() == 1 => sides[side] = asked,
                _ => return other(),
            }
        }
        self.resized(
            &feature,
            Interpolation::Floor,
            sides.map(|len| Sampling { len, scale: 0.0, shift: 0.0 }),
        )
    }

    /// Operators that only change the dimensions.
    pub(super) fn view(&mut self, node: &Node) -> Result<Value, Stop> {
        let (feature, is_scores) = match node.input(0)? {
            Value::Probabilities(feature) => (feature.clone(), true),
            _ => (node.in_any_layout(0)?.clone(), false),
        };
        let shape = self.graph.shape(feature.node);
        let layout = self.viewed(node, &feature)?;
        let feature = match layout.shuffled(shape) {
            None => Feature { layout, ..feature },
            Some((groups, layout)) => {
                let node = self.graph.push(ChannelShuffle { groups }, &[feature.node])?;
                Feature { node, layout, ..feature }
            }
        };
        Ok(if is_scores { Value::Probabilities(feature) } else { Value::Feature(feature) })
    }

    /// The layout that `node` gives to `feature`.
    pub(super) fn viewed(&self, node: &Node, feature: &Feature) -> Result<Layout, Stop> {
        let (shape, dims) = (self.graph.shape(feature.node), self.dims(feature));
        let op = node.proto.op.as_str();
        let layout = if op == "Transpose" {
            feature.layout.transposed(&permutation(node.proto, dims.len())?)
        } else if feature.is_padded() {
            return unsupported(format!("Pad before {op}"));
        } else {
            let target = match op {
                "Reshape" => {
                    reshaped(&dims, node.constant(1)?.as_integers()?, node.proto.int("allowzero", 0)? != 0)?
                }
                "Flatten" => flattened(&dims, node.proto.int("axis", 1)?)?,
                "Squeeze" => squeezed(&dims, axes(node.proto, node.optional_constant(1)?)?)?,
                _ => unsqueezed(&dims, axes(node.proto, node.optional_constant(1)?)?)?,
            };
            if target.first() != Some(&self.batch) {
                return unsupported(format!("{op} of the batch"));
            }
            feature.layout.reshaped(shape, &target[1..])
        };
        match layout {
            Some(layout) => Ok(layout),
            None => unsupported(format!("{op} that divides or mixes channels, rows or columns")),
        }
    }
}
