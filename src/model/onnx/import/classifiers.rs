//! Fully connected layers, and the softmax behind them.

use super::{Feature, Importer, Node, Stop, unsupported};
use std::sync::Arc;

use crate::engine::graph::ops::Linear;
use crate::engine::tensor::filled;
use crate::model::onnx::fold::axis;
use crate::model::onnx::tensor::Tensor;

/// Rows of a matrix that are written together: a cache line of each row of the transposed one.
const BLOCK: usize = 16;

impl Importer {
    pub(super) fn gemm(&mut self, node: &Node) -> Result<Feature, Stop> {
        let (alpha, beta) = (node.proto.float("alpha", 1.0)?, node.proto.float("beta", 1.0)?);
        if node.proto.int("transA", 0)? != 0 {
            return unsupported("Gemm with transA");
        }
        let is_transposed = node.proto.int("transB", 0)? != 0;
        let bias = match node.optional_constant(2)? {
            Some(bias) if bias.dims.iter().rev().skip(1).any(|&n| n != 1) => {
                return unsupported("Gemm with a bias for each image");
            }
            Some(bias) => Some(bias.as_floats()?.iter().map(|&b| beta * b).collect::<Vec<f32>>()),
            None => None,
        };
        self.linear(node, is_transposed, alpha, bias)
    }

    pub(super) fn mat_mul(&mut self, node: &Node) -> Result<Feature, Stop> {
        self.linear(node, false, 1.0, None)
    }

    /// x W^T + b for the matrix that input 1 is, (outputs, inputs) if it `is_transposed`.
    fn linear(
        &mut self,
        node: &Node,
        is_transposed: bool,
        scale: f32,
        bias: Option<Vec<f32>>,
    ) -> Result<Feature, Stop> {
        let feature = node.feature(0)?.clone();
        let matrix = node.constant(1)?.clone();
        let shape = self.graph.shape(feature.node);
        let [rows, columns] = matrix.dims[..] else {
            return unsupported(format!("{} with a tensor of {} axes", node.proto.op, matrix.dims.len()));
        };
        if feature.layout.rank() != 1 {
            return unsupported(format!("{} of {} axes", node.proto.op, feature.layout.rank() + 1));
        }
        let (outputs, inputs) = if is_transposed { (rows, columns) } else { (columns, rows) };
        if inputs != shape.len() {
            return Err(Stop::Wrong(format!(
                "{} elements, its matrix {:?} needs {inputs}",
                shape.len(),
                matrix.dims
            )));
        }
        let order = feature.layout.order(shape);
        let weight = if is_transposed && scale == 1.0 && order.is_sorted() {
            self.param(node, 1, &matrix, &[outputs, inputs])?
        } else {
            let elements = rearranged(&matrix, is_transposed, scale, &stored_places(shape, &order))?;
            self.made_param(node, 1, &[outputs, inputs], elements)?
        };
        let bias = match bias {
            None => vec![0.0; outputs],
            Some(bias) if bias.len() == 1 => vec![bias[0]; outputs],
            Some(bias) if bias.len() == outputs => bias,
            Some(bias) => return Err(Stop::Wrong(format!("{outputs} outputs, {} biases", bias.len()))),
        };
        let bias = self.made_param(node, 2, &[outputs], bias.into())?;
        Ok(Feature::flat(self.graph.push(Linear { weight, bias }, &[feature.node])?))
    }

    /// The scores of which a softmax is taken.
    pub(super) fn softmax(&mut self, node: &Node) -> Result<Feature, Stop> {
        let feature = node.feature(0)?.clone();
        let (shape, rank) = (self.graph.shape(feature.node), feature.layout.rank() + 1);
        let along = axis(node.proto.int("axis", if self.opset < 13 { 1 } else { -1 })?, rank)?;
        // Before opset 13 the softmax is over all axes from the given one on.
        let rest = if self.opset < 13 { along..rank } else { along..along + 1 };
        let others = (1..rank).filter(|axis| !rest.contains(axis)).all(|axis| self.dims(&feature)[axis] == 1);
        if along == 0 || !others || shape.len() != shape.c {
            return unsupported(format!("{} of maps", node.proto.op));
        }
        Ok(feature)
    }
}

/// For each element in the order of the file, its place in the stored tensor.
fn stored_places(shape: crate::Shape, order: &[usize]) -> Vec<usize> {
    let (sizes, steps) = ([shape.c, shape.h, shape.w], [shape.h * shape.w, shape.w, 1]);
    order.iter().fold(vec![0], |places, &axis| {
        places.iter().flat_map(|&base| (0..sizes[axis]).map(move |i| base + i * steps[axis])).collect()
    })
}

/// The matrix (outputs, inputs), times `scale`, whose column `places[i]` is column `i` of the file's.
fn rearranged(
    matrix: &Tensor,
    is_transposed: bool,
    scale: f32,
    places: &[usize],
) -> Result<Arc<[f32]>, Stop> {
    let from = matrix.as_floats()?;
    let inputs = places.len();
    let outputs = from.len() / inputs.max(1);
    Ok(filled(from.len(), |to| {
        // Whole rows of the file's matrix stay in the cache while some columns are written.
        for first in (0..outputs).step_by(BLOCK) {
            for (i, &place) in places.iter().enumerate() {
                for o in first..outputs.min(first + BLOCK) {
                    to[o * inputs + place] =
                        scale * from[if is_transposed { o * inputs + i } else { i * outputs + o }];
                }
            }
        }
    })?)
}
