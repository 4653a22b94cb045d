//! What is explained: which class, and which number of it.

use crate::graph::ops::{BatchNorm, Op};
use crate::graph::{Graph, NodeId};
use crate::{Error, Result, Shape};

/// The class whose score is explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Target {
    /// What each exit predicts itself.
    #[default]
    Predicted,
    /// The class with this number.
    Class(usize),
    /// The image's label, given with it.
    Label,
    /// What the last exit predicts, at every exit.
    Final,
    /// Each exit's n likeliest classes, an answer for each.
    Top(usize),
}

impl Target {
    /// Answers for each exit: one, or the n of [`Target::Top`].
    pub fn ranks(self) -> usize {
        if let Target::Top(n) = self { n } else { 1 }
    }

    pub(super) fn check(self, classes: usize) -> Result<()> {
        match self {
            Target::Class(class) => check_class(class, classes),
            Target::Top(n) if n == 0 || n > classes => {
                Err(Error::usage(format!("top {n}: the network has {classes} classes")))
            }
            _ => Ok(()),
        }
    }
}

/// # Errors
/// When the network has no such class.
pub(super) fn check_class(class: usize, classes: usize) -> Result<()> {
    if class < classes {
        return Ok(());
    }
    Err(Error::usage(format!("class {class}: the network has classes 0 to {}", classes - 1)))
}

/// The number of the class that is differentiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Score {
    /// Its score before the softmax: as the Grad-CAM paper has it.
    #[default]
    Logit,
    /// Its probability. Its gradient vanishes where the network is sure.
    Probability,
    /// Its logit minus the best other class's: why this class and not the next one.
    Margin,
}

impl Score {
    /// The word on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Score::Logit => "logit",
            Score::Probability => "probability",
            Score::Margin => "margin",
        }
    }

    /// The score of `class` among `logits`.
    pub fn of(self, logits: &[f32], class: usize) -> f64 {
        let own = f64::from(logits[class]);
        match self {
            Score::Logit => own,
            Score::Probability => {
                let powers = logits.iter().map(|&x| (f64::from(x) - own).exp());
                1.0 / powers.sum::<f64>()
            }
            Score::Margin => {
                let others = logits.iter().enumerate().filter(|&(c, _)| c != class);
                own - others.map(|(_, &x)| f64::from(x)).reduce(f64::max).unwrap_or(0.0)
            }
        }
    }
}

/// The `n` classes with the highest of `logits`, best first; the first of equal ones.
pub(super) fn best_classes(logits: &[f32], n: usize) -> Vec<usize> {
    let mut rest: Vec<usize> = (0..logits.len()).collect();
    let mut best = Vec::with_capacity(n);
    while best.len() < n && !rest.is_empty() {
        let mut first = 0;
        for i in 1..rest.len() {
            if logits[rest[i]] > logits[rest[first]] {
                first = i;
            }
        }
        best.push(rest.remove(first));
    }
    best
}

/// Far below any logit, and far from overflow.
const OUT_OF_THE_RACE: f32 = -1e30;

/// A class as nodes of a graph.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClassNodes {
    /// The one-hot vector.
    pub(super) one_hot: NodeId,
    /// The input that names the class, or leaves the choice to the logits where it is negative.
    pub(super) target: NodeId,
}

/// Appends a class that is the input's, or where that is negative the best of `logits` but for
/// `taken` classes.
pub(super) fn choose(graph: &mut Graph, logits: NodeId, taken: &[ClassNodes]) -> Result<ClassNodes> {
    let target = graph.push(Op::Input(Shape::vector(1)), &[])?;
    let mut open = logits;
    for class in taken {
        open = without(graph, open, class.one_hot)?;
    }
    Ok(ClassNodes { one_hot: graph.push(Op::Seed, &[open, target])?, target })
}

/// Appends what differentiation starts from: the node to differentiate, and the weight of each of
/// its numbers. `predicted` is an input that is always negative.
pub(super) fn start(
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
            let best_other = graph.push(Op::Seed, &[others, predicted])?;
            let against = scaled(graph, best_other, -1.0)?;
            Ok((logits, graph.push(Op::Add, &[class, against])?))
        }
    }
}

/// `logits` with the class of `one_hot` below all others.
fn without(graph: &mut Graph, logits: NodeId, one_hot: NodeId) -> Result<NodeId> {
    let penalty = scaled(graph, one_hot, OUT_OF_THE_RACE)?;
    graph.push(Op::Add, &[logits, penalty])
}

/// A vector times a constant: a batch norm that has nothing else to do.
fn scaled(graph: &mut Graph, x: NodeId, factor: f32) -> Result<NodeId> {
    let n = graph.shape(x).c;
    let mut constant = |name: &str, value: f32| graph.add_param(name, &[n], vec![value; n]);
    let norm = BatchNorm {
        weight: constant("factor", factor),
        bias: constant("zero", 0.0),
        mean: constant("zero", 0.0),
        variance: constant("one", 1.0),
        eps: 0.0,
    };
    graph.push(norm, &[x])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_classes_come_best_first_and_equal_ones_in_order() {
        assert_eq!(best_classes(&[1.0, 3.0, 3.0, 2.0], 3), [1, 2, 3]);
        assert_eq!(best_classes(&[f32::NAN, 3.0], 2), [0, 1]);
        assert_eq!(best_classes(&[1.0], 4), [0]);
    }

    #[test]
    fn the_three_scores_of_a_class_are_these() {
        let logits = [0.0, 2.0, 2.0 + 3f32.ln()];
        assert_eq!(Score::Logit.of(&logits, 1), 2.0);
        assert!((Score::Margin.of(&logits, 1) + 3f64.ln()).abs() < 1e-6);
        assert_eq!(Score::Margin.of(&logits, 2), -Score::Margin.of(&logits, 1));
        let all: f64 = (0..3).map(|class| Score::Probability.of(&logits, class)).sum();
        assert!((all - 1.0).abs() < 1e-12);
    }
}
