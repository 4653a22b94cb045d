//! Parts of a map's channels.

use super::{Feature, Importer, Node, Stop, Value, unsupported};
use crate::Shape;
use crate::engine::graph::ops::Slice;
use crate::model::onnx::fold::{SliceRanges, axis, split_sizes};

impl Importer {
    /// Consecutive ranges of the channels, as many as the node has results.
    pub(super) fn split(&mut self, node: &Node) -> Result<Vec<Value>, Stop> {
        let feature = node.feature(0)?.clone();
        let dims = self.dims(&feature);
        let along = axis(node.proto.int("axis", 0)?, dims.len())?;
        let sizes = split_sizes(node.proto, dims[along], node.optional_constant(1)?)?;
        let mut first = 0;
        let mut parts = Vec::new();
        for size in sizes {
            parts.push(Value::Feature(self.part(node, &feature, along, first, size)?));
            first += size;
        }
        Ok(parts)
    }

    pub(super) fn slice(&mut self, node: &Node) -> Result<Feature, Stop> {
        let mut feature = node.padded_in_any_way(0)?.clone();
        let inputs: Vec<_> = (0..node.inputs.len())
            .map(|i| if i == 0 { Ok(None) } else { node.optional_constant(i) })
            .collect::<Result<_, _>>()?;
        let dims = self.dims(&feature);
        let ranges = SliceRanges::new(node.proto, &inputs)?.resolved(&dims)?;
        for (along, (&(first, count, step), &size)) in ranges.iter().zip(&dims).enumerate() {
            if (first, count, step) == (0, size, 1) {
                continue;
            }
            // A single element has no next one.
            if step != 1 && count > 1 {
                return unsupported("Slice with steps");
            }
            if feature.is_padded() {
                return unsupported("Pad before Slice");
            }
            feature = self.part(node, &feature, along, first, count)?;
        }
        Ok(feature)
    }

    /// `Gather` of a range of channels; of a single one, its axis is left out.
    pub(super) fn gather(&mut self, node: &Node) -> Result<Feature, Stop> {
        let feature = node.feature(0)?.clone();
        let dims = self.dims(&feature);
        let along = axis(node.proto.int("axis", 0)?, dims.len())?;
        let indices = node.constant(1)?;
        let picks = indices.as_integers()?.iter().map(|&i| axis(i, dims[along]));
        let picks = picks.collect::<Result<Vec<_>, _>>()?;
        let is_range = picks.windows(2).all(|pair| pair[0] + 1 == pair[1]);
        let (Some(&first), true, 0..=1) = (picks.first(), is_range, indices.dims.len()) else {
            return unsupported("Gather of other elements than a range");
        };
        let part = self.part(node, &feature, along, first, picks.len())?;
        if indices.dims.len() == 1 {
            return Ok(part);
        }
        let left: Vec<usize> = (1..dims.len()).filter(|&axis| axis != along).collect();
        Ok(Feature { layout: part.layout.picked(&left), ..part })
    }

    /// Elements `first` to `first + count` of axis `along`, which is that of the channels.
    fn part(
        &mut self,
        node: &Node,
        feature: &Feature,
        along: usize,
        first: usize,
        count: usize,
    ) -> Result<Feature, Stop> {
        let op = &node.proto.op;
        let size = self.dims(feature)[along];
        if count == size {
            return Ok(feature.clone());
        }
        if count == 0 {
            return unsupported(format!("{op} without elements"));
        }
        let shape = self.graph.shape(feature.node);
        if feature.layout.rank() == 1 && along == 1 {
            let vector = self.as_vector(feature, op)?;
            let part = Slice { offset: first, shape: Shape::vector(count) };
            return Ok(Feature::flat(self.graph.push(part, &[vector])?));
        }
        if !feature.layout.is(along, 0, shape) {
            let what = match (along, feature.layout.is(along, 1, shape) || feature.layout.is(along, 2, shape))
            {
                (0, _) => "the batch",
                (_, true) => "rows or columns",
                _ => "several axes",
            };
            return unsupported(format!("{op} of {what}"));
        }
        let part = Slice { offset: first * shape.plane(), shape: Shape { c: count, ..shape } };
        Ok(Feature::new(self.graph.push(part, &[feature.node])?, feature.layout.clone()))
    }
}
