//! Classifier at the end of a head: average pooling, linear layer and softmax, and the gradient of the
//! chosen class's logit with respect to what the classifier reads.
//!
//! For x (C, H, W), weight (K, P) and bias (K), where P is the number of pooled elements:
//!
//! - pooled = average of x under each window, P elements in the order (C, rows, columns)
//! - `logits[k]` = `bias[k]` + sum over i of `weight[k, i]` * `pooled[i]`
//! - `probabilities[k]` = exp(`logits[k]` - max) / sum of exp(logits - max)
//! - gradient of x = the gradient of average pooling for weight row c, where c is the class that
//!   the target selects among the logits as in [`super::Op::OneHot`]; where `relu` is some rule, that
//!   rule's gate of x is applied to it
//!
//! The value is a record, one part after another without gaps:
//!
//! | part | first element | elements | shape |
//! |---|---|---|---|
//! | logits | 0 | K | (K, 1, 1) |
//! | probabilities | K | K | (K, 1, 1) |
//! | gradient of x | 2 K | C H W | (C, H, W) |
//!
//! Example: x of 128x2x2 under a window of 2x2, and 10 classes: a record of 10 + 10 + 512 = 532 elements;
//! the logits are elements 0 to 9, the probabilities 10 to 19, and the gradient at channel c, row y,
//! column z is element 20 + 4 c + 2 y + z.

use super::{AvgPool, Linear, Op, ReluGrad, Slice, Window, one_hot};
use crate::engine::graph::Graph;
use crate::error::GraphError;
use crate::{Result, Shape};

/// Parameters of [`Op::Classifier`]; inputs: x (C, H, W), target (an encoded [`super::TargetInput`]).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Classifier {
    /// Kernel and stride of the average pooling. The padding is zero.
    pub window: Window,
    /// Weight (K, P) and bias (K) of the linear layer.
    pub linear: Linear,
    /// Number of classes K.
    pub classes: usize,
    /// Gradient of the ReLU whose result x is; `None` where the gradient is not gated.
    pub relu: Option<ReluGrad>,
}

impl From<Classifier> for Op {
    fn from(op: Classifier) -> Op {
        Op::Classifier(op)
    }
}

impl Classifier {
    /// Shape of the pooled values.
    ///
    /// # Errors
    /// When the window does not fit.
    pub(crate) fn pooled(&self, x: Shape) -> Result<Shape> {
        self.pooling().shape(x)
    }

    /// The average pooling.
    pub(crate) fn pooling(&self) -> AvgPool {
        AvgPool { window: self.window, counted: [[0; 2]; 2] }
    }

    /// The logits in the record.
    pub(crate) fn logits(&self) -> Slice {
        Slice { offset: 0, shape: Shape::vector(self.classes) }
    }

    /// The probabilities in the record.
    pub(crate) fn probabilities(&self) -> Slice {
        Slice { offset: self.classes, shape: Shape::vector(self.classes) }
    }

    /// The gradient of x, of shape `x`, in the record.
    pub(crate) fn gradient(&self, x: Shape) -> Slice {
        Slice { offset: 2 * self.classes, shape: x }
    }

    pub(super) fn shape(&self, graph: &Graph, inputs: &[Shape]) -> Result<Shape> {
        let [x, target] = inputs else { unreachable!("arity was checked") };
        if self.window.padding != [[0; 2]; 2] {
            return Err(GraphError::Padding { op: "classifier", padding: self.window.padding }.into());
        }
        let logits = self.linear.shape(graph, self.pooled(*x)?)?;
        if logits.c != self.classes {
            let (expected, given) = (logits.c, self.classes);
            return Err(GraphError::WeightSize { op: "classifier", unit: "classes", expected, given }.into());
        }
        one_hot::shape("classifier", &[logits, *target])?;
        Ok(Shape::vector(2 * self.classes + x.len()))
    }

    pub(super) fn multiply_adds(&self, x: Shape) -> usize {
        2 * self.classes * self.pooled(x).map_or(0, |pooled| pooled.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_has_logits_probabilities_and_gradient_without_gaps() {
        let mut graph = Graph::new();
        let weight = graph.declare_param("weight", &[10, 128]);
        let linear = Linear { weight, bias: graph.declare_param("bias", &[10]) };
        let op = Classifier { window: Window::square(2, 2, 0), linear, classes: 10, relu: None };
        let (x, target) = (Shape::new(128, 2, 2), Shape::vector(1));
        let parts = [op.logits(), op.probabilities(), op.gradient(x)];
        assert_eq!(parts.map(|part| part.offset), [0, 10, 20]);
        assert_eq!(parts.map(|part| part.shape.len()), [10, 10, 512]);
        assert_eq!(op.shape(&graph, &[x, target]).unwrap(), Shape::vector(532));
        assert_eq!(op.multiply_adds(x), 2 * 1280);

        let refused = |op: Classifier, inputs: [Shape; 2]| op.shape(&graph, &inputs).unwrap_err().to_string();
        let wrong = refused(Classifier { classes: 9, ..op }, [x, target]);
        assert!(wrong.contains("classifier: weight expects 10 classes, input has 9"), "{wrong}");
        let padded = Classifier { window: Window::square(2, 2, 1), ..op };
        let wrong = refused(padded, [x, target]);
        assert!(wrong.contains("classifier: padding [[1, 1], [1, 1]], only zero"), "{wrong}");
        let wrong = refused(op, [x, Shape::vector(2)]);
        assert!(wrong.contains("classifier: "), "{wrong}");
        let wrong = refused(op, [Shape::new(128, 4, 4), target]);
        assert!(wrong.contains("linear: weight expects 128 elements, input has 512"), "{wrong}");
    }
}
