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
    /// The logits that it was selected from, of which those of better ranks are masked.
    candidates: NodeId,
}

/// The classes of one exit, rank by rank.
pub(crate) struct Ranks {
    /// The logits that decide, (classes, 1, 1).
    logits: NodeId,
    /// The class of the last rank.
    last: Option<TargetNode>,
    /// Makes a penalty of a one-hot vector; its parameters are those of all ranks.
    penalty: Option<BatchNorm>,
}

impl Ranks {
    /// No rank yet of an exit whose classes `logits` decide.
    pub(crate) fn new(logits: NodeId) -> Ranks {
        Ranks { logits, last: None, penalty: None }
    }

    /// Appends the selection of the next rank's class: the one that the appended input names, or else the class with
    /// the highest of the logits among those that no better rank has taken.
    pub(crate) fn select_next(&mut self, graph: &mut Graph) -> Result<TargetNode> {
        let input = graph.push(Op::Input(Shape::vector(1)), &[])?;
        let candidates = match self.last {
            None => self.logits,
            Some(TargetNode { one_hot, candidates, .. }) => {
                let classes = graph.shape(one_hot).c;
                let penalty = *self.penalty.get_or_insert_with(|| affine(graph, MASKED, vec![0.0; classes]));
                let penalty = graph.push(penalty, &[one_hot])?;
                graph.push(Op::Add, &[candidates, penalty])?
            }
        };
        let one_hot = graph.push(Op::OneHot, &[candidates, input])?;
        let class = TargetNode { one_hot, input, candidates };
        self.last = Some(class);
        Ok(class)
    }
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
            let penalty = scaled(graph, class, MASKED)?;
            let others = graph.push(Op::Add, &[logits, penalty])?;
            let best_other = graph.push(Op::OneHot, &[others, predicted])?;
            let against = scaled(graph, best_other, -1.0)?;
            Ok((logits, graph.push(Op::Add, &[class, against])?))
        }
        Score::Over(other) => {
            // Factor 0: only the shape of the one-hot vector is used.
            let mut against = vec![0.0; graph.shape(class).c];
            against[other] = -1.0;
            let against = affine(graph, 0.0, against);
            let against = graph.push(against, &[class])?;
            Ok((logits, graph.push(Op::Add, &[class, against])?))
        }
    }
}

/// Appends a vector times a constant.
fn scaled(graph: &mut Graph, x: NodeId, factor: f32) -> Result<NodeId> {
    let zeros = vec![0.0; graph.shape(x).c];
    let scaled = affine(graph, factor, zeros);
    graph.push(scaled, &[x])
}

/// A vector times a constant plus a constant vector, as a batch norm.
fn affine(graph: &mut Graph, factor: f32, shift: Vec<f32>) -> BatchNorm {
    let n = shift.len();
    let mut constant = |name: &str, values: Vec<f32>| graph.add_param(name, &[n], values);
    BatchNorm {
        weight: constant("factor", vec![factor; n]),
        bias: constant("shift", shift),
        mean: constant("zero", vec![0.0; n]),
        variance: constant("one", vec![1.0; n]),
        eps: 0.0,
        relu: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_share_their_constants_and_mask_one_class_each() {
        const CLASSES: usize = 50;
        let mut graph = Graph::new();
        let logits = graph.push(Op::Input(Shape::vector(CLASSES)), &[]).unwrap();
        let mut ranks = Ranks::new(logits);
        for _ in 0..CLASSES {
            ranks.select_next(&mut graph).unwrap();
        }
        // Each has its input and its one-hot vector; each but the first a penalty and its sum with the candidates.
        assert_eq!(graph.ids().count(), 1 + 2 * CLASSES + 2 * (CLASSES - 1));
        assert_eq!(graph.params().len(), 4);
    }
}
