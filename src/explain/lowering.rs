//! The graph of a study: one forward pass, and one way back for each exit and class.

use super::batch_runner::BatchRunner;
use super::request::ExplainRequest;
use super::score::Score;
use super::score_graph::{ClassNodes, choose, start};
use super::taps::Tap;
use super::target::Target;
use crate::engine::graph::grad::gradients;
use crate::engine::graph::ops::{Op, ReluRule};
use crate::engine::graph::{Graph, NodeId};
use crate::engine::plan::{Order, Plan, Slot};
use crate::explain::methods::cam::TapValues;
use crate::model::msdnet::Network;
use crate::{Result, Shape};

/// What a run of the study's graph is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Everything that the methods read.
    Everything,
    /// The gradient at the input alone, for the pixel methods with many runs.
    InputGradient,
}

/// A tap's values in the output space.
#[derive(Debug, Clone)]
pub(crate) struct TapSlots {
    pub(crate) tap: Tap,
    pub(crate) activations: Slot,
    pub(crate) gradients: Option<Slot>,
}

impl TapSlots {
    /// The tap's values that the last run of `main` made of image `image`.
    pub(crate) fn read<'a>(&self, main: &'a BatchRunner, image: usize) -> TapValues<'a> {
        TapValues {
            shape: self.activations.shape,
            activations: main.read(image, self.activations),
            gradients: self.gradients.map_or(&[], |slot| main.read(image, slot)),
        }
    }
}

/// One exit and one class: where their values lie in the output space.
#[derive(Debug, Clone)]
pub(crate) struct TargetSlots {
    pub(crate) exit: usize,
    pub(crate) rank: usize,
    pub(crate) logits: Slot,
    pub(crate) probabilities: Slot,
    pub(crate) taps: Vec<TapSlots>,
    /// The exit's own tap, for guided Grad-CAM.
    pub(crate) guide: Option<TapSlots>,
    pub(crate) input_gradient: Option<Slot>,
    pub(crate) guided: Option<Slot>,
    /// Where the class is given in the input space.
    pub(crate) target: Slot,
}

/// A study laid out for a device.
pub(crate) struct Lowered {
    pub(crate) plan: Plan,
    pub(crate) cells: Vec<TargetSlots>,
    /// Where the image lies in the input space.
    pub(crate) image: Slot,
    /// The last exit's logits, where it decides what is explained.
    pub(crate) final_logits: Option<Slot>,
}

/// The same as a [`TargetSlots`], before there are addresses.
struct TargetNodes {
    exit: usize,
    rank: usize,
    logits: NodeId,
    probabilities: NodeId,
    taps: Vec<TapNodes>,
    guide: Option<TapNodes>,
    input_gradient: Option<NodeId>,
    guided: Option<NodeId>,
    target: NodeId,
}

struct TapNodes {
    tap: Tap,
    gradients: Option<NodeId>,
}

/// Lays out `study`.
///
/// # Errors
/// When a tap does not exist or does not reach the score.
pub(crate) fn lower(network: &Network, study: &ExplainRequest, purpose: Purpose) -> Result<Lowered> {
    let mut graph = network.graph.clone();
    let cells = cells(&mut graph, network, study, purpose)?;
    let final_logits = (study.target == Target::Final).then(|| network.exits[network.exits.len() - 1].logits);
    let mut outputs: Vec<NodeId> = cells.iter().flat_map(TargetNodes::outputs).chain(final_logits).collect();
    outputs.sort_unstable();
    outputs.dedup();
    let plan = Plan::new(&graph, &outputs, Order::Depth)?;

    let is_input = |id: &NodeId| matches!(graph.node(*id).op, Op::Input(_));
    let inputs: Vec<NodeId> = graph.ids().filter(is_input).collect();
    let given = |id: NodeId| plan.inputs[inputs.iter().position(|&i| i == id).expect("an input")];
    let slot = |id: NodeId| plan.outputs[outputs.binary_search(&id).expect("an output")];
    let cells = cells.into_iter().map(|cell| cell.placed(&slot, given)).collect();
    let (image, final_logits) = (given(network.input), final_logits.map(slot));
    Ok(Lowered { cells, image, final_logits, plan })
}

/// Appends every exit's classes and their ways back.
fn cells(
    graph: &mut Graph,
    network: &Network,
    study: &ExplainRequest,
    purpose: Purpose,
) -> Result<Vec<TargetNodes>> {
    let predicted = match study.score {
        Score::Margin => Some(graph.push(Op::Input(Shape::vector(1)), &[])?),
        Score::Logit | Score::Probability | Score::Over(_) => None,
    };
    let mut cells = Vec::new();
    for &exit in &study.exits {
        let logits = network.exits[exit - 1].logits;
        let probabilities = graph.push(Op::Softmax, &[logits])?;
        let deciding = match study.target {
            Target::Final => network.exits[network.exits.len() - 1].logits,
            _ => logits,
        };
        let mut classes: Vec<ClassNodes> = Vec::new();
        for rank in 0..study.target.ranks() {
            let class = choose(graph, deciding, &classes)?;
            classes.push(class);
            let scores = [logits, probabilities];
            let from = start(graph, study.score, scores, class.one_hot, predicted)?;
            let mut cell = TargetNodes {
                exit,
                rank,
                logits,
                probabilities,
                taps: Vec::new(),
                guide: None,
                input_gradient: None,
                guided: None,
                target: class.target,
            };
            way_back(graph, network, study, purpose, from, &mut cell)?;
            cells.push(cell);
        }
    }
    Ok(cells)
}

/// Appends the gradients that `cell` needs.
fn way_back(
    graph: &mut Graph,
    network: &Network,
    study: &ExplainRequest,
    purpose: Purpose,
    (score, seed): (NodeId, NodeId),
    cell: &mut TargetNodes,
) -> Result<()> {
    if purpose == Purpose::InputGradient {
        cell.input_gradient = Some(gradients(graph, score, seed, &[network.input], ReluRule::Plain)?[0]);
        return Ok(());
    }
    let with_gradient = study.maps.iter().any(|m| m.needs_gradient());
    let taps = study.taps_of(network, cell.exit)?;
    let guide = study.guide_of(network, cell.exit);
    let to_input = study.pixels.iter().any(|p| p.reads_input_gradient());

    let mut wanted: Vec<NodeId> = Vec::new();
    wanted.extend(taps.iter().filter(|_| with_gradient).map(|tap| tap.node));
    wanted.extend(guide.iter().map(|tap| tap.node));
    wanted.extend(to_input.then_some(network.input));
    wanted.sort_unstable();
    wanted.dedup();
    let found =
        if wanted.is_empty() { Vec::new() } else { gradients(graph, score, seed, &wanted, ReluRule::Plain)? };
    let gradient = |id: NodeId| wanted.binary_search(&id).ok().map(|i| found[i]);
    let placed = |tap: Tap| TapNodes { gradients: gradient(tap.node), tap };
    cell.taps = taps.into_iter().map(placed).collect();
    cell.guide = guide.map(placed);
    cell.input_gradient = gradient(network.input);
    if study.pixels.iter().any(|p| p.reads_guided_gradient()) {
        cell.guided = Some(gradients(graph, score, seed, &[network.input], ReluRule::Guided)?[0]);
    }
    Ok(())
}

impl TargetNodes {
    fn outputs(&self) -> Vec<NodeId> {
        let taps = self.taps.iter().chain(&self.guide);
        let of_taps = taps.flat_map(|tap| [Some(tap.tap.node), tap.gradients]);
        let rest = [Some(self.logits), Some(self.probabilities), self.input_gradient, self.guided];
        of_taps.chain(rest).flatten().collect()
    }

    fn placed(self, slot: &impl Fn(NodeId) -> Slot, given: impl Fn(NodeId) -> Slot) -> TargetSlots {
        let tap = |tap: TapNodes| TapSlots {
            activations: slot(tap.tap.node),
            gradients: tap.gradients.map(slot),
            tap: tap.tap,
        };
        TargetSlots {
            exit: self.exit,
            rank: self.rank,
            logits: slot(self.logits),
            probabilities: slot(self.probabilities),
            taps: self.taps.into_iter().map(tap).collect(),
            guide: self.guide.map(tap),
            input_gradient: self.input_gradient.map(slot),
            guided: self.guided.map(slot),
            target: given(self.target),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::msdnet::load;
    use crate::model::pretrained::built_in_weights;

    #[test]
    fn gradients_belong_to_the_exit_whose_score_is_differentiated() {
        let network = load(&built_in_weights().unwrap()).unwrap();
        let methods = ["grad-cam".parse().unwrap()];
        let gradient_steps = |score: Score| {
            let request =
                ExplainRequest { exits: vec![1, 3], score, ..ExplainRequest::of(&network, &methods) };
            let plan = lower(&network, &request, Purpose::Everything).unwrap().plan;
            let mut steps: BTreeMap<usize, usize> = BTreeMap::new();
            for job in plan.levels().iter().flat_map(|level| level.jobs()) {
                let gradients = job.steps().iter().filter(|step| step.op().name() == "conv2d_grad");
                *steps.entry(job.exit()).or_default() += gradients.count();
            }
            steps
        };
        let of_logit = gradient_steps(Score::Logit);
        assert!(of_logit[&1] > 0 && of_logit[&1] == of_logit[&3], "{of_logit:?}");
        assert_eq!(gradient_steps(Score::Margin), of_logit);
    }
}
