//! The graph of a question: which exits, and whether their Grad-CAM maps are wanted.
//!
//! Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391) at the tap of exit k:
//! weights = spatial mean of d score / d tap, map = ReLU(sum of weight x channel), where the score
//! is the logit of a class at that exit.

use crate::engine::graph::grad::gradients;
use crate::engine::graph::ops::{Op, ReluRule, ResizeMinMax, WeightedSum};
use crate::engine::graph::{Graph, NodeId};
use crate::engine::plan::Order;
use crate::model::msdnet::Network;
use crate::{Error, Result, Shape};

/// What is asked of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The exits to answer for, from 1, ascending.
    pub exits: Vec<usize>,
    /// Whether each exit's map and heat map are wanted, or its class scores alone.
    pub maps: bool,
    /// How the work is ordered; [`Order::ByExit`] where a run may stop early.
    pub order: Order,
}

impl Question {
    /// Class scores and maps of every exit of `network`.
    pub fn explain_all(network: &Network) -> Self {
        Question { exits: (1..=network.exits.len()).collect(), maps: true, order: Order::Depth }
    }

    /// # Errors
    /// When an exit does not exist, or there is none: says which exits the network has.
    pub(crate) fn check(&self, network: &Network) -> Result<()> {
        let last = network.exits.len();
        if self.exits.is_empty() {
            return Err(Error::usage(format!("no exit asked for: the network has exits 1 to {last}")));
        }
        match self.exits.iter().find(|&&e| e == 0 || e > last) {
            Some(e) => Err(Error::usage(format!("exit {e}: the network has exits 1 to {last}"))),
            None => Ok(()),
        }
    }
}

/// The outputs of one exit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExitNodes {
    pub(crate) logits: NodeId,
    pub(crate) probabilities: NodeId,
    pub(crate) map: Option<MapNodes>,
}

/// The outputs of one exit's map.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MapNodes {
    pub(crate) weights: NodeId,
    pub(crate) map: NodeId,
    pub(crate) range: NodeId,
    pub(crate) heat: NodeId,
}

/// The network's graph with the question's nodes appended. Its inputs are the image and, where
/// maps are wanted, the target class of each exit in turn.
pub(crate) fn question_graph(network: &Network, question: &Question) -> Result<(Graph, Vec<ExitNodes>)> {
    question.check(network)?;
    let mut graph = network.graph.clone();
    let image = graph.shape(network.input);
    let mut nodes = Vec::with_capacity(question.exits.len());
    for &number in &question.exits {
        let exit = network.exits[number - 1];
        let probabilities = graph.push(Op::Softmax, &[exit.logits])?;
        let map =
            if question.maps { Some(grad_cam(&mut graph, exit.tap, exit.logits, image)?) } else { None };
        nodes.push(ExitNodes { logits: exit.logits, probabilities, map });
    }
    Ok((graph, nodes))
}

fn grad_cam(graph: &mut Graph, tap: NodeId, score: NodeId, image: Shape) -> Result<MapNodes> {
    let target = graph.push(Op::Input(Shape::vector(1)), &[])?;
    let seed = graph.push(Op::OneHot, &[score, target])?;
    let grad = gradients(graph, score, seed, &[tap], ReluRule::Plain)?[0];
    let weights = graph.push(Op::SpatialMean, &[grad])?;
    let map = graph.push(Op::WeightedSum(WeightedSum { relu: true }), &[weights, tap])?;
    let range = graph.push(Op::Range, &[map])?;
    let heat = graph.push(Op::ResizeMinMax(ResizeMinMax { height: image.h, width: image.w }), &[map])?;
    Ok(MapNodes { weights, map, range, heat })
}
