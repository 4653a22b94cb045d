//! Class and score as nodes of a graph: what differentiation starts from.

use super::score::Score;
use crate::engine::graph::ops::{BatchNorm, Op};
use crate::engine::graph::{Graph, NodeId};
use crate::{Result, Shape};

/// Far below any logit, and far from overflow.
const OUT_OF_THE_RACE: f32 = -1e30;

/// A class as nodes of a graph.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClassNodes {
    /// The one-hot vector.
    pub(crate) one_hot: NodeId,
    /// The input that names the class, or leaves the choice to the logits where it is negative.
    pub(crate) target: NodeId,
}

/// Appends a class that is the input's, or where that is negative the best of `logits` but for
/// `taken` classes.
pub(crate) fn choose(graph: &mut Graph, logits: NodeId, taken: &[ClassNodes]) -> Result<ClassNodes> {
    let target = graph.push(Op::Input(Shape::vector(1)), &[])?;
    let mut open = logits;
    for class in taken {
        open = without(graph, open, class.one_hot)?;
    }
    Ok(ClassNodes { one_hot: graph.push(Op::OneHot, &[open, target])?, target })
}

/// Appends what differentiation starts from: the node to differentiate, and the weight of each of
/// its numbers. `predicted` is an input that is always negative.
pub(crate) fn start(
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
            let others = without(graph, logits, class)?;
            let best_other = graph.push(Op::OneHot, &[others, predicted])?;
            let against = scaled(graph, best_other, -1.0)?;
            Ok((logits, graph.push(Op::Add, &[class, against])?))
        }
        Score::Over(other) => {
            // No number of the one-hot vector is left.
            let mut against = vec![0.0; graph.shape(class).c];
            against[other] = -1.0;
            let against = affine(graph, class, 0.0, against)?;
            Ok((logits, graph.push(Op::Add, &[class, against])?))
        }
    }
}

/// `logits` with the class of `one_hot` below all others.
fn without(graph: &mut Graph, logits: NodeId, one_hot: NodeId) -> Result<NodeId> {
    let penalty = scaled(graph, one_hot, OUT_OF_THE_RACE)?;
    graph.push(Op::Add, &[logits, penalty])
}

/// A vector times a constant.
fn scaled(graph: &mut Graph, x: NodeId, factor: f32) -> Result<NodeId> {
    let zeros = vec![0.0; graph.shape(x).c];
    affine(graph, x, factor, zeros)
}

/// A vector times a constant, plus one: a batch norm that has nothing else to do.
fn affine(graph: &mut Graph, x: NodeId, factor: f32, shift: Vec<f32>) -> Result<NodeId> {
    let n = shift.len();
    let mut constant = |name: &str, values: Vec<f32>| graph.add_param(name, &[n], values);
    let norm = BatchNorm {
        weight: constant("factor", vec![factor; n]),
        bias: constant("shift", shift),
        mean: constant("zero", vec![0.0; n]),
        variance: constant("one", vec![1.0; n]),
        eps: 0.0,
    };
    graph.push(norm, &[x])
}
