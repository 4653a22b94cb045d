//! Lowering of a request to a graph: one forward pass, and one backward pass for each exit and class.
//!
//! Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391) is lowered whole: weights = spatial mean of
//! d score / d tap, map = ReLU(sum of weight x channel), and the heatmap that is made of it. So the
//! passes can fuse it, no gradient leaves the device, and every caller has the fast path. The other
//! methods download activations and gradients, and apply their formulas on the host.

use std::sync::Arc;

use super::batch_runner::Outputs;
use super::explanation::ActivationMap;
use super::method::MapMethod;
use super::methods::cam::TapValues;
use super::request::ExplainRequest;
use super::score::Score;
use super::target::Target;
use super::target_nodes::{Ranks, backward_seed};
use crate::engine::graph::grad::gradients;
use crate::engine::graph::ops::{Op, ReluRule, ResizeMinMax, WeightedSum};
use crate::engine::graph::{Graph, NodeId};
use crate::engine::plan::{Order, Plan, Slot};
use crate::imaging::heatmap::Heatmap;
use crate::model::{Model, Tap};
use crate::{Result, Shape};

/// What a run of the lowered graph is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Everything that the methods read.
    Explanation,
    /// The gradient at the input alone, for the pixel methods with many runs.
    InputGradient,
}

/// A request laid out for a device.
pub(crate) struct Lowered {
    pub(crate) plan: Plan,
    /// One for each exit and rank.
    pub(crate) targets: Vec<TargetSlots>,
    /// The image in the input space.
    pub(crate) image: Slot,
    /// The last exit's logits, where they decide which class is explained.
    pub(crate) final_logits: Option<Slot>,
}

/// The values of one exit and one class, at places of type `V`: [`Slot`]s of the plan's spaces, or
/// [`NodeId`]s of the graph before it is planned.
#[derive(Debug, Clone)]
pub(crate) struct TargetValues<V> {
    /// The exit, numbered from 1.
    pub(crate) exit: usize,
    /// 0, or the class's rank for [`Target::Top`].
    pub(crate) rank: usize,
    pub(crate) logits: V,
    pub(crate) probabilities: V,
    pub(crate) taps: Vec<TapPlaces<V>>,
    /// Grad-CAM at the exit's own tap, for guided Grad-CAM.
    pub(crate) guide: Option<GradCam<V>>,
    /// d score / d input.
    pub(crate) input_gradient: Option<V>,
    /// The same by the guided rule.
    pub(crate) guided_gradient: Option<V>,
    /// The class, in the input space.
    pub(crate) class: V,
}

/// [`TargetValues`] of a plan.
pub(crate) type TargetSlots = TargetValues<Slot>;

/// The values at one tap that the request's methods read.
#[derive(Debug, Clone)]
pub(crate) struct TapPlaces<V> {
    pub(crate) tap: Tap,
    /// The tap's name, which every map at it shares.
    pub(crate) name: Arc<str>,
    pub(crate) shape: Shape,
    pub(crate) activations: Option<V>,
    pub(crate) gradients: Option<V>,
    pub(crate) grad_cam: Option<GradCam<V>>,
}

/// [`TapPlaces`] of a plan.
pub(crate) type TapSlots = TapPlaces<Slot>;

/// The outputs of Grad-CAM.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GradCam<V> {
    pub(crate) weights: V,
    /// Before the ReLU if the request has signed maps, otherwise after it.
    pub(crate) map: V,
    /// Smallest and largest element of the map, and the map resized to the input and scaled to
    /// [0, 1]; unless the map is signed.
    pub(crate) heatmap: Option<[V; 2]>,
}

/// Lowers `request` and plans it.
///
/// # Errors
/// When a tap does not exist or the score does not depend on it.
pub(crate) fn lower(model: &Model, request: &ExplainRequest, purpose: Purpose) -> Result<Lowered> {
    let mut graph = model.graph.clone();
    let targets = lower_targets(&mut graph, model, request, purpose)?;
    let final_logits = (request.target == Target::Final).then(|| last_logits(model));
    let mut outputs: Vec<NodeId> =
        targets.iter().flat_map(TargetValues::outputs).chain(final_logits).collect();
    outputs.sort_unstable();
    outputs.dedup();
    let plan = Plan::new(&graph, &outputs, Order::Depth)?;

    let is_input = |id: &NodeId| matches!(graph.node(*id).op, Op::Input(_));
    let inputs: Vec<NodeId> = graph.ids().filter(is_input).collect();
    let input = |id: NodeId| plan.inputs()[inputs.iter().position(|&i| i == id).expect("an input")];
    let output = |id: NodeId| plan.outputs()[outputs.binary_search(&id).expect("an output")];
    let targets = targets.iter().map(|target| target.placed(&output, input)).collect();
    let (image, final_logits) = (input(model.input.node), final_logits.map(output));
    Ok(Lowered { targets, image, final_logits, plan })
}

fn last_logits(model: &Model) -> NodeId {
    model.exits[model.exits.len() - 1].logits
}

/// Appends every exit's classes and their backward passes.
fn lower_targets(
    graph: &mut Graph,
    model: &Model,
    request: &ExplainRequest,
    purpose: Purpose,
) -> Result<Vec<TargetValues<NodeId>>> {
    let mut targets = Vec::new();
    for &exit in &request.exits {
        let logits = model.exits[exit - 1].logits;
        let probabilities = graph.push(Op::Softmax, &[logits])?;
        let deciding = if request.target == Target::Final { last_logits(model) } else { logits };
        let predicted = match request.score {
            Score::Margin => Some(graph.push(Op::Input(Shape::vector(1)), &[])?),
            Score::Logit | Score::Probability | Score::Over(_) => None,
        };
        let mut ranks = Ranks::new(deciding);
        for rank in 0..request.target.ranks() {
            let class = ranks.select_next(graph)?;
            let scores = [logits, probabilities];
            let seed = backward_seed(graph, request.score, scores, class.one_hot, predicted)?;
            let mut target = TargetValues {
                exit,
                rank,
                logits,
                probabilities,
                taps: Vec::new(),
                guide: None,
                input_gradient: None,
                guided_gradient: None,
                class: class.input,
            };
            append_backward(graph, model, request, purpose, seed, &mut target)?;
            targets.push(target);
        }
    }
    Ok(targets)
}

/// Appends the gradients that the request's methods need, and Grad-CAM.
fn append_backward(
    graph: &mut Graph,
    model: &Model,
    request: &ExplainRequest,
    purpose: Purpose,
    (score, seed): (NodeId, NodeId),
    target: &mut TargetValues<NodeId>,
) -> Result<()> {
    let input = model.input.node;
    if purpose == Purpose::InputGradient {
        target.input_gradient = Some(gradients(graph, score, seed, &[input], ReluRule::Plain)?[0]);
        return Ok(());
    }
    let reads = |reads: fn(MapMethod) -> bool| request.maps.iter().any(|&method| reads(method));
    let grad_cam_wanted = reads(|method| method == MapMethod::GradCam);
    let gradient_read = reads(MapMethod::reads_gradient);
    let taps = request.taps_of(model, target.exit)?;
    let guide = request.guide_of(model, target.exit);
    let to_input = request.pixels.iter().any(|p| p.reads_input_gradient());

    let mut wanted: Vec<NodeId> = Vec::new();
    wanted.extend(taps.iter().filter(|_| grad_cam_wanted || gradient_read).map(|tap| tap.node));
    wanted.extend(guide.iter().map(|tap| tap.node));
    wanted.extend(to_input.then_some(input));
    wanted.sort_unstable();
    wanted.dedup();
    let found =
        if wanted.is_empty() { Vec::new() } else { gradients(graph, score, seed, &wanted, ReluRule::Plain)? };
    let gradient = |id: NodeId| wanted.binary_search(&id).ok().map(|i| found[i]);

    // Guided Grad-CAM shares the map of the exit's own tap with Grad-CAM.
    let mut made: Vec<(NodeId, GradCam<NodeId>)> = Vec::new();
    let mut grad_cam_at = |graph: &mut Graph, tap: &Tap| {
        if let Some((_, grad_cam)) = made.iter().find(|(node, _)| *node == tap.node) {
            return Ok(*grad_cam);
        }
        let gradient = gradient(tap.node).expect("one of the gradients wanted");
        let grad_cam = append_grad_cam(graph, tap.node, gradient, model, request.signed)?;
        made.push((tap.node, grad_cam));
        Ok::<_, crate::Error>(grad_cam)
    };
    for tap in taps {
        target.taps.push(TapPlaces {
            shape: graph.shape(tap.node),
            activations: reads(MapMethod::reads_activations).then_some(tap.node),
            gradients: gradient(tap.node).filter(|_| gradient_read),
            grad_cam: if grad_cam_wanted { Some(grad_cam_at(graph, &tap)?) } else { None },
            name: tap.name.as_str().into(),
            tap,
        });
    }
    target.guide = guide.map(|tap| grad_cam_at(graph, &tap)).transpose()?;
    target.input_gradient = gradient(input).filter(|_| to_input);
    if request.pixels.iter().any(|p| p.reads_guided_gradient()) {
        target.guided_gradient = Some(gradients(graph, score, seed, &[input], ReluRule::Guided)?[0]);
    }
    Ok(())
}

fn append_grad_cam(
    graph: &mut Graph,
    tap: NodeId,
    gradient: NodeId,
    model: &Model,
    signed: bool,
) -> Result<GradCam<NodeId>> {
    let weights = graph.push(Op::SpatialMean, &[gradient])?;
    let map = graph.push(Op::WeightedSum(WeightedSum { relu: !signed }), &[weights, tap])?;
    if signed {
        return Ok(GradCam { weights, map, heatmap: None });
    }
    let range = graph.push(Op::Range, &[map])?;
    let (height, width) = (model.input.height, model.input.width);
    let heatmap = graph.push(Op::ResizeMinMax(ResizeMinMax { height, width }), &[map])?;
    Ok(GradCam { weights, map, heatmap: Some([range, heatmap]) })
}

impl TargetValues<NodeId> {
    /// Every node whose value is read after a run.
    fn outputs(&self) -> Vec<NodeId> {
        let grad_cams = self.taps.iter().filter_map(|tap| tap.grad_cam).chain(self.guide);
        let of_grad_cams = grad_cams
            .flat_map(|cam| [cam.weights, cam.map].into_iter().chain(cam.heatmap.into_iter().flatten()));
        let of_taps = self.taps.iter().flat_map(|tap| [tap.activations, tap.gradients]);
        let rest = [Some(self.logits), Some(self.probabilities), self.input_gradient, self.guided_gradient];
        of_taps.chain(rest).flatten().chain(of_grad_cams).collect()
    }

    /// The same values as slots.
    fn placed(&self, output: &impl Fn(NodeId) -> Slot, input: impl Fn(NodeId) -> Slot) -> TargetSlots {
        let grad_cam = |cam: GradCam<NodeId>| GradCam {
            weights: output(cam.weights),
            map: output(cam.map),
            heatmap: cam.heatmap.map(|ids| ids.map(output)),
        };
        let tap = |tap: &TapPlaces<NodeId>| TapPlaces {
            tap: tap.tap.clone(),
            name: Arc::clone(&tap.name),
            shape: tap.shape,
            activations: tap.activations.map(output),
            gradients: tap.gradients.map(output),
            grad_cam: tap.grad_cam.map(grad_cam),
        };
        TargetValues {
            exit: self.exit,
            rank: self.rank,
            logits: output(self.logits),
            probabilities: output(self.probabilities),
            taps: self.taps.iter().map(tap).collect(),
            guide: self.guide.map(grad_cam),
            input_gradient: self.input_gradient.map(output),
            guided_gradient: self.guided_gradient.map(output),
            class: input(self.class),
        }
    }
}

impl TapSlots {
    /// The values of image `image` of a batch.
    pub(crate) fn read<'a>(&self, outputs: Outputs<'a>, image: usize) -> TapValues<'a> {
        let read = |slot: Option<Slot>| slot.map_or(&[][..], |slot| outputs.read(image, slot));
        TapValues { shape: self.shape, activations: read(self.activations), gradients: read(self.gradients) }
    }
}

impl GradCam<Slot> {
    /// The activation map at the tap `name` of image `image` of a batch, with a heatmap of `size` (H, W);
    /// `None` where it is signed, so that the host makes the heatmap. The score and zeros are as for
    /// [`ActivationMap::from_device`].
    pub(crate) fn read<'a>(
        &self,
        (outputs, image): (Outputs<'a>, usize),
        name: &Arc<str>,
        size: (usize, usize),
        (is_score_finite, zeros): (bool, &'a [f32]),
    ) -> Option<ActivationMap<&'a [f32]>> {
        let [range, heatmap] = self.heatmap?.map(|slot| outputs.read(image, slot));
        let heatmap = Heatmap::from_scaled(heatmap, zeros, size, (range[0], range[1]));
        let shape = (self.map.shape.h, self.map.shape.w);
        let values = (outputs.read(image, self.weights), outputs.read(image, self.map));
        Some(ActivationMap::from_device(Arc::clone(name), shape, values, heatmap, (is_score_finite, zeros)))
    }

    /// Channel weights and the map before its ReLU of image `image`, where the request has signed maps.
    pub(crate) fn read_signed(&self, outputs: Outputs, image: usize) -> (Vec<f32>, Vec<f32>) {
        (outputs.read(image, self.weights).to_vec(), outputs.read(image, self.map).to_vec())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn gradients_belong_to_the_exit_whose_score_is_differentiated() {
        let network = Model::pretrained().unwrap();
        let methods = ["grad-cam".parse().unwrap()];
        let gradient_steps = |score: Score| {
            let request =
                ExplainRequest { exits: vec![1, 3], score, ..ExplainRequest::new(&network, &methods) };
            let plan = lower(&network, &request, Purpose::Explanation).unwrap().plan;
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
