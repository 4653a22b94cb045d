//! Classifier of a head, forward and backward, by the routines of the single ops: every element has the bits
//! that they give it.

use std::sync::Arc;

use super::cost;
use super::cost::QuarterCycles;
use super::elementwise::apply_relu_grad;
use super::kernel::{Kernel, Operands, Tile};
use super::linear::{LinearKernel, sum_of_rows};
use super::pool::Means;
use super::softmax::{probabilities, select_class};
use crate::Shape;
use crate::engine::graph::ops;

/// Pooling, linear layer, softmax and the gradient of the chosen logit in one step, which is not cut.
///
/// The scratch holds the one-hot vector of the class, then the pooled values, later their gradient.
pub(crate) struct Classifier {
    op: ops::Classifier,
    means: Means,
    linear: LinearKernel,
    /// The linear layer's (K, P) weight, for the gradient.
    weight: Arc<[f32]>,
    /// Shapes of the input and of the pooled values.
    shapes: [Shape; 2],
}

impl Classifier {
    /// The kernel of `op` for an input and pooled values of `shapes`, with its linear layer's kernel and
    /// weight.
    pub(crate) fn new(
        op: ops::Classifier,
        linear: LinearKernel,
        weight: Arc<[f32]>,
        shapes: [Shape; 2],
    ) -> Self {
        Classifier { op, means: Means::new(op.pooling(), shapes), linear, weight, shapes }
    }
}

impl Kernel for Classifier {
    fn cost(&self, _: Option<&Tile>) -> QuarterCycles {
        let [x, pooled] = self.shapes.map(|shape| shape.len());
        // The one-hot gradient reads one row of the weight.
        let gradient = cost::multiply_adds(pooled);
        self.linear.cost(None) + gradient + cost::elements(2 * x + 4 * pooled + 4 * self.op.classes)
    }

    fn scratch_len(&self) -> usize {
        self.op.classes + self.shapes[1].len()
    }

    unsafe fn run(&self, _: Option<&Tile>, operands: &Operands) {
        let [shape, pooled_shape] = self.shapes;
        let (classes, pooled_len) = (self.op.classes, pooled_shape.len());
        let record = operands.output();
        // SAFETY: by the contract of `Kernel::run`, the inputs are written, the scratch is this thread's, of
        // the length above, and the record holds its parts; nothing else touches either meanwhile.
        unsafe {
            let (x, target) = (operands.input_slice(0), operands.input_slice(1)[0]);
            let class = operands.scratch;
            let pooled = class.add(classes);
            let pooled_values = std::slice::from_raw_parts_mut(pooled, pooled_len);
            self.means.apply(x, pooled_values);
            self.linear.apply(None, pooled, record);

            let record = std::slice::from_raw_parts_mut(record, 2 * classes + shape.len());
            let (logits, rest) = record.split_at_mut(classes);
            let (class_probabilities, gradient) = rest.split_at_mut(classes);
            probabilities(logits, class_probabilities);
            let class = std::slice::from_raw_parts_mut(class, classes);
            select_class(logits, target, class);
            let pooled_gradient = std::slice::from_raw_parts_mut(pooled, pooled_len);
            sum_of_rows(&self.weight, pooled_len, 0, class, pooled_gradient);
            self.means.scatter(pooled_gradient, gradient);
            if let Some(relu) = self.op.relu {
                apply_relu_grad(relu, x, gradient);
            }
        }
    }
}
