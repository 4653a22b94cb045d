//! The target class and its score as nodes of a graph: the start of the backward pass.

use super::score::Score;
use crate::engine::graph::ops::{BatchNorm, Op};
use crate::engine::graph::{Graph, NodeId};
use crate::{Result, Shape};

/// Added to the logit of a masked class: far below any logit, far above the lowest `f32`.
const MASKED: f32 = -1e30;

/// The selected class of one target.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TargetNode {
    /// Its one-hot vector, (classes, 1, 1).
    pub(crate) one_hot: NodeId,
    /// The input that holds the class's index, or the mark of the predicted class.
    pub(crate) input: NodeId,
}

/// Appends the selection of a class: the one that the appended input names, or else the class with
/// the highest of `logits` among those that are not `taken`.
pub(crate) fn select_class(graph: &mut Graph, logits: NodeId, taken: &[TargetNode]) -> Result<TargetNode> {
    let input = graph.push(Op::Input(Shape::vector(1)), &[])?;
    let mut candidates = logits;
    for class in taken {
        candidates = mask_class(graph, candidates, class.one_hot)?;
    }
    Ok(TargetNode { one_hot: graph.push(Op::OneHot, &[candidates, input])?, input })
}

/// Appends the start of a backward pass: the node to differentiate, and the gradient of the score
/// with respect to it. `predicted` is an input that always holds the mark of the predicted class.
pub(crate) fn backward_seed(
    graph: &mut Graph,
    score: Score,
    [logits, probabilities]: [NodeId; 2],
    class: NodeId,
    predicted: Option<NodeId>,
) -> Result<(NodeId, NodeId)> {
    match score {
        Score::Logit => Ok((logits, class)),
        Score::Probability => Ok((probabilities, class)),
        Score::Margin => {
            let predicted = predicted.expect("a margin comes with its input");
            let others = mask_class(graph, logits, class)?;
            let best_other = graph.push(Op::OneHot, &[others, predicted])?;
            let against = scaled(graph, best_other, -1.0)?;
            Ok((logits, graph.push(Op::Add, &[class, against])?))
        }
        Score::Over(other) => {
            // Factor 0: only the shape of the one-hot vector is used.
            let mut against = vec![0.0; graph.shape(class).c];
            against[other] = -1.0;
            let against = affine(graph, class, 0.0, against)?;
            Ok((logits, graph.push(Op::Add, &[class, against])?))
        }
    }
}

/// Appends `logits` with the class of `one_hot` below all others.
fn mask_class(graph: &mut Graph, logits: NodeId, one_hot: NodeId) -> Result<NodeId> {
    let penalty = scaled(graph, one_hot, MASKED)?;
    graph.push(Op::Add, &[logits, penalty])
}

/// Appends a vector times a constant.
fn scaled(graph: &mut Graph, x: NodeId, factor: f32) -> Result<NodeId> {
    let zeros = vec![0.0; graph.shape(x).c];
    affine(graph, x, factor, zeros)
}

/// Appends a vector times a constant plus a constant vector, as a batch norm.
fn affine(graph: &mut Graph, x: NodeId, factor: f32, shift: Vec<f32>) -> Result<NodeId> {
    let n = shift.len();
    let mut constant = |name: &str, values: Vec<f32>| graph.add_param(name, &[n], values);
    let norm = BatchNorm {
        weight: constant("factor", vec![factor; n]),
        bias: constant("shift", shift),
        mean: constant("zero", vec![0.0; n]),
        variance: constant("one", vec![1.0; n]),
        eps: 0.0,
        relu: None,
    };
    graph.push(norm, &[x])
}
