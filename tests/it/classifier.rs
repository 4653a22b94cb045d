//! The fused classifier of a head: the bits of the single ops, and fusion only where it is safe.

use crate::common::close::{EXACT, assert_close, assert_same_bits};
use crate::common::random::Random;
use crate::common::{reference, run};
use crate::methods::{device, network};
use msdcam::Shape;
use msdcam::engine::cpu::Isa;
use msdcam::engine::device::Device;
use msdcam::engine::graph::grad::gradients;
use msdcam::engine::graph::ops::{AvgPool, Linear, Op, ReluGrad, ReluRule, TargetInput, Window};
use msdcam::engine::graph::passes::{Passes, apply};
use msdcam::engine::graph::{Graph, NodeId};
use msdcam::engine::plan::{Order, Plan, PlanOptions};
use msdcam::engine::tensor::Tensor;
use msdcam::explain::{ExplainRequest, Explainer, MapMethod, Method, PixelMethod, Score, Target};

const ALL: PlanOptions = PlanOptions::new(Order::Depth);
const SINGLE_STEPS: PlanOptions =
    PlanOptions { passes: Passes { fuse_classifier: false, ..Passes::ALL }, ..ALL };
const RULES: [Option<ReluRule>; 4] =
    [None, Some(ReluRule::Plain), Some(ReluRule::Guided), Some(ReluRule::Deconvnet)];

/// A classifier and the backward pass from its logit, as single nodes.
struct Chain {
    graph: Graph,
    x: NodeId,
    pooled: NodeId,
    linear: Linear,
    logits: NodeId,
    probabilities: NodeId,
    one_hot: NodeId,
    linear_grad: NodeId,
    pool_grad: NodeId,
    gradient: NodeId,
}

/// Everything before the one-hot vector of [`Chain`].
struct Forward {
    graph: Graph,
    x: NodeId,
    target: NodeId,
    pooled: NodeId,
    linear: Linear,
    logits: NodeId,
    probabilities: NodeId,
}

fn forward(shape: Shape, window: Window, weight: &[f32], bias: &[f32]) -> Forward {
    let mut graph = Graph::new();
    let x = graph.push(Op::Input(shape), &[]).unwrap();
    let target = graph.push(Op::Input(Shape::vector(1)), &[]).unwrap();
    let pooled = graph.push(AvgPool { window, counted: [[0; 2]; 2] }, &[x]).unwrap();
    let dims = [bias.len(), graph.shape(pooled).len()];
    let weight = graph.add_param("weight", &dims, weight[..dims[0] * dims[1]].to_vec());
    let linear = Linear { weight, bias: graph.add_param("bias", &dims[..1], bias.to_vec()) };
    let logits = graph.push(linear, &[pooled]).unwrap();
    let probabilities = graph.push(Op::Softmax, &[logits]).unwrap();
    Forward { graph, x, target, pooled, linear, logits, probabilities }
}

impl Forward {
    fn differentiated(self, rule: Option<ReluRule>) -> Chain {
        let Forward { mut graph, x, target, pooled, linear, logits, probabilities } = self;
        let one_hot = graph.push(Op::OneHot, &[logits, target]).unwrap();
        let pool_grad = gradients(&mut graph, logits, one_hot, &[x], ReluRule::Plain).unwrap()[0];
        let linear_grad = graph.node(pool_grad).inputs[0];
        let gradient = match rule {
            Some(rule) => graph.push(ReluGrad { rule, max: f32::INFINITY }, &[pool_grad, x]).unwrap(),
            None => pool_grad,
        };
        Chain { graph, x, pooled, linear, logits, probabilities, one_hot, linear_grad, pool_grad, gradient }
    }
}

impl Chain {
    fn outputs(&self) -> Vec<NodeId> {
        vec![self.logits, self.probabilities, self.gradient]
    }
}

fn window(kernel: [usize; 2], stride: [usize; 2]) -> Window {
    Window { kernel, stride, padding: [[0; 2]; 2], dilation: [1; 2] }
}

/// Shapes, windows and numbers of classes: one of each, many, not square, with pixels under several
/// windows or under none.
fn sizes() -> [(Shape, Window, usize); 7] {
    [
        (Shape::new(128, 2, 2), window([2, 2], [2, 2]), 10),
        (Shape::new(5, 3, 7), window([2, 3], [1, 2]), 1),
        (Shape::new(1, 6, 5), window([3, 1], [2, 2]), 7),
        (Shape::new(1, 1, 1), window([1, 1], [1, 1]), 1),
        (Shape::new(3, 5, 5), window([2, 2], [3, 3]), 1000),
        (Shape::new(40, 4, 4), window([4, 4], [4, 4]), 1000),
        (Shape::new(33, 1, 9), window([1, 4], [1, 5]), 3),
    ]
}

/// Weights and biases: of any size, with all logits equal, and with NaN, infinity and zeros of both signs.
fn layers(len: usize, classes: usize) -> [(&'static str, Vec<f32>, Vec<f32>); 3] {
    let mut random = Random::new((len + classes) as u64);
    let (weight, bias) = (random.numbers(len), random.numbers(classes));
    let (mut odd_weight, mut odd_bias) = (weight.clone(), bias.clone());
    odd_weight.iter_mut().step_by(3).for_each(|w| *w = -0.0);
    odd_weight[len - 1] = f32::INFINITY;
    odd_bias[classes / 2] = f32::NAN;
    [
        ("numbers", weight, bias),
        ("ties", vec![0.0; len], vec![0.5; classes]),
        ("not finite", odd_weight, odd_bias),
    ]
}

/// Every kind of image with every kind of target.
fn batch(shape: Shape, classes: usize) -> [Tensor; 2] {
    let numbers = Random::new(shape.len() as u64).numbers(shape.len());
    let with = |value: f32| {
        let mut image = numbers.clone();
        image.iter_mut().step_by(5).for_each(|x| *x = value);
        image
    };
    let images = [numbers.clone(), with(f32::NAN), with(f32::INFINITY), with(-0.0), vec![0.0; shape.len()]];
    let targets = [
        TargetInput::Predicted.encode(),
        0.0,
        -0.0,
        (classes - 1) as f32,
        (classes + 5) as f32,
        f32::NAN,
        0.7,
    ];
    let n = images.len() * targets.len();
    let all_images = images.iter().flat_map(|image| image.repeat(targets.len())).collect();
    [Tensor::new(n, shape, all_images), Tensor::new(n, Shape::vector(1), targets.repeat(images.len()))]
}

fn names(plan: &Plan) -> Vec<&'static str> {
    plan.steps().map(|step| step.op().name()).collect()
}

#[test]
fn on_the_cpu_the_fused_classifier_has_the_bits_of_the_single_steps() {
    // On the CPU: a GPU may sum in another order.
    let devices: Vec<Device> =
        Isa::available().into_iter().flat_map(|isa| [1, 3].map(|threads| run::cpu(threads, isa))).collect();
    for (shape, window, classes) in sizes() {
        let [h, w] = window.positions("size", shape.h, shape.w).unwrap();
        let inputs = batch(shape, classes);
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        for (layer, weight, bias) in layers(classes * shape.c * h * w, classes) {
            for rule in RULES {
                let chain = forward(shape, window, &weight, &bias).differentiated(rule);
                let outputs = chain.outputs();
                let plan = Plan::with_options(&chain.graph, &outputs, &ALL).unwrap();
                assert_eq!(names(&plan), ["classifier"]);
                let plan = Plan::with_options(&chain.graph, &outputs, &SINGLE_STEPS).unwrap();
                assert_eq!(plan.steps().count(), 6 + usize::from(rule.is_some()));
                for device in &devices {
                    let [got, want] = [ALL, SINGLE_STEPS]
                        .map(|options| run::run_with(device, &chain.graph, &outputs, &options, &inputs));
                    for (part, (got, want)) in
                        ["logits", "probabilities", "gradient"].iter().zip(got.iter().zip(&want))
                    {
                        let who = device.description();
                        let what =
                            format!("{who}: {shape}, {window:?}, {classes}, {layer}, {rule:?}: {part}");
                        assert_same_bits(&what, &got.data, &want.data);
                    }
                }
            }
        }
    }
}

/// A chain of few numbers.
fn small(classes: usize) -> Forward {
    let mut random = Random::new(classes as u64);
    forward(
        Shape::new(4, 2, 2),
        window([2, 2], [2, 2]),
        &random.numbers(4 * classes),
        &random.numbers(classes),
    )
}

/// Whether the pass fuses the chain of `graph`; in either case its results stay the same.
fn is_fused(graph: &Graph, outputs: &[NodeId]) -> bool {
    let passes = Passes { fuse_classifier: true, dead_nodes: true, ..Passes::NONE };
    let (rewritten, places) = apply(graph, outputs, &passes).unwrap();
    let mut random = Random::new(1);
    let inputs = graph.nodes().iter().filter(|node| matches!(node.op, Op::Input(_)));
    let inputs: Vec<Vec<f64>> =
        inputs.map(|node| random.numbers(node.shape.len()).into_iter().map(f64::from).collect()).collect();
    let (want, got) = (reference::evaluate(graph, &inputs), reference::evaluate(&rewritten, &inputs));
    for (old, new) in outputs.iter().zip(places) {
        assert_close("an output", &got[new.index()], &want[old.index()], EXACT);
    }
    rewritten.nodes().iter().any(|node| matches!(node.op, Op::Classifier(_)))
}

#[test]
fn a_chain_is_fused_unless_a_value_that_the_record_lacks_is_needed() {
    for rule in RULES {
        let chain = || small(5).differentiated(rule);
        let Chain { graph, .. } = chain();
        assert!(is_fused(&graph, &chain().outputs()), "{rule:?}");
        assert!(!is_fused(&graph, &[chain().logits, chain().gradient]), "no probabilities");
        for lacking in [chain().pooled, chain().one_hot, chain().linear_grad] {
            assert!(!is_fused(&graph, &[&chain().outputs()[..], &[lacking]].concat()), "{rule:?}: an output");
            let mut read = graph.clone();
            let reader = read.push(Op::RELU, &[lacking]).unwrap();
            assert!(!is_fused(&read, &[&chain().outputs()[..], &[reader]].concat()), "{rule:?}: a reader");
        }
        // The gradient before the gate is in the record where the gate is not.
        let outputs = [&chain().outputs()[..], &[chain().pool_grad]].concat();
        assert!(is_fused(&graph, &outputs), "{rule:?}: gradient before the gate");
        let names = names(&Plan::with_options(&graph, &outputs, &ALL).unwrap());
        let apart: &[&str] = if rule.is_some() { &["classifier", "relu_grad"] } else { &["classifier"] };
        assert_eq!(names, apart, "{rule:?}");
    }
}

#[test]
fn a_classifier_without_gradient_is_not_fused() {
    let Forward { graph, logits, probabilities, .. } = small(5);
    assert!(!is_fused(&graph, &[logits, probabilities]));
}

#[test]
fn a_gate_by_another_value_is_not_fused() {
    let Chain { mut graph, x, pool_grad, logits, probabilities, .. } = small(5).differentiated(None);
    let other = graph.push(Op::RELU, &[x]).unwrap();
    let gated =
        graph.push(ReluGrad { rule: ReluRule::Plain, max: f32::INFINITY }, &[pool_grad, other]).unwrap();
    let outputs = [logits, probabilities, gated];
    assert!(is_fused(&graph, &outputs));
    let plan = Plan::with_options(&graph, &outputs, &ALL).unwrap();
    assert_eq!(names(&plan).iter().filter(|name| **name == "relu_grad").count(), 1);
}

#[test]
fn readers_of_logits_and_probabilities_keep_their_order() {
    for late in [false, true] {
        for of_probabilities in [false, true] {
            let mut forward = small(5);
            let read = if of_probabilities { forward.probabilities } else { forward.logits };
            let early = (!late).then(|| forward.graph.push(Op::RELU, &[read]).unwrap());
            let mut chain = forward.differentiated(Some(ReluRule::Plain));
            let reader = early.unwrap_or_else(|| chain.graph.push(Op::RELU, &[read]).unwrap());
            let outputs = [&chain.outputs()[..], &[reader]].concat();
            assert_eq!(is_fused(&chain.graph, &outputs), late, "{of_probabilities}");
        }
    }
}

#[test]
fn a_softmax_after_the_one_hot_vector_is_fused_too() {
    let mut chain = small(5).differentiated(Some(ReluRule::Plain));
    let again = chain.graph.push(Op::Softmax, &[chain.logits]).unwrap();
    assert!(is_fused(&chain.graph, &[chain.logits, again, chain.gradient]));
    assert!(is_fused(&chain.graph, &[chain.logits, again, chain.probabilities, chain.gradient]));
}

#[test]
fn a_target_that_depends_on_the_logits_is_not_fused() {
    for choose in [|f: &Forward| f.logits, |f: &Forward| f.probabilities] {
        let forward = small(1);
        let target = choose(&forward);
        let chain = Forward { target, ..forward }.differentiated(None);
        assert!(!is_fused(&chain.graph, &chain.outputs()));
    }
    let mut forward = small(1);
    let target = forward.graph.push(Op::RELU, &[forward.probabilities]).unwrap();
    let chain = Forward { target, ..forward }.differentiated(None);
    assert!(!is_fused(&chain.graph, &chain.outputs()));
}

#[test]
fn of_two_targets_of_one_classifier_the_first_is_fused() {
    let mut chain = small(5).differentiated(Some(ReluRule::Guided));
    let target = chain.graph.push(Op::Input(Shape::vector(1)), &[]).unwrap();
    let one_hot = chain.graph.push(Op::OneHot, &[chain.logits, target]).unwrap();
    let second = gradients(&mut chain.graph, chain.logits, one_hot, &[chain.x], ReluRule::Plain).unwrap()[0];
    let outputs = [&chain.outputs()[..], &[second]].concat();
    assert!(is_fused(&chain.graph, &outputs));
    let plan = Plan::with_options(&chain.graph, &outputs, &ALL).unwrap();
    let names = names(&plan);
    assert_eq!(names.iter().filter(|name| **name == "classifier").count(), 1, "{names:?}");
    assert_eq!(names.iter().filter(|name| **name == "linear_grad").count(), 1, "{names:?}");
}

#[test]
fn the_gradient_of_another_layer_is_not_fused() {
    let Chain { mut graph, one_hot, linear, pooled, x, logits, probabilities, .. } =
        small(4).differentiated(None);
    let other = graph.add_param("other", &[4, 4], vec![1.0; 16]);
    let layer = Linear { weight: other, bias: linear.bias };
    let value = graph.push(layer, &[pooled]).unwrap();
    let gradient = gradients(&mut graph, value, one_hot, &[x], ReluRule::Plain).unwrap()[0];
    assert!(!is_fused(&graph, &[logits, probabilities, gradient]));
}

#[test]
fn a_chain_of_two_exits_is_not_fused() {
    let Forward { mut graph, logits, target, probabilities, x, .. } = small(5);
    let one_hot = graph.push_at(2, Op::OneHot, &[logits, target]).unwrap();
    let gradient = gradients(&mut graph, logits, one_hot, &[x], ReluRule::Plain).unwrap()[0];
    assert!(!is_fused(&graph, &[logits, probabilities, gradient]));
}

#[test]
fn a_layer_that_is_worth_distributing_over_threads_is_not_fused() {
    for (channels, fused) in [(1048, true), (1049, false)] {
        let (weight, bias) = (vec![0.5; 1000 * channels], vec![0.0; 1000]);
        let chain = forward(Shape::new(channels, 1, 1), Window::square(1, 1, 0), &weight, &bias);
        let chain = chain.differentiated(None);
        let plan = Plan::with_options(&chain.graph, &chain.outputs(), &ALL).unwrap();
        assert_eq!(names(&plan).contains(&"classifier"), fused, "{channels} channels");
    }
}

#[test]
fn requests_whose_gradients_start_at_a_logit_have_fused_classifiers() {
    let (network, _) = network("default");
    let exits = network.exits.len();
    let base = |methods: &[Method]| ExplainRequest::new(&network, methods);
    let grad_cam = base(&[Method::Map(MapMethod::GradCam)]);
    let guided = base(&[Method::Pixels(PixelMethod::GuidedBackprop)]);
    let both_rules = base(&[Method::Map(MapMethod::GradCam), Method::Pixels(PixelMethod::GuidedGradCam)]);
    let cases = [
        ("Grad-CAM", grad_cam.clone(), exits),
        ("signed", ExplainRequest { signed: true, ..grad_cam.clone() }, exits),
        ("a given class", ExplainRequest { target: Target::Class(3), ..grad_cam.clone() }, exits),
        ("labels", ExplainRequest { target: Target::Label, ..grad_cam.clone() }, exits),
        ("the guided rule", guided, exits),
        // One seed for two backward passes.
        ("both rules", both_rules, 0),
        // The other ranks read the one-hot vectors.
        ("three classes", ExplainRequest { target: Target::Top(3), ..grad_cam.clone() }, 0),
        // The class comes from other logits; those are read before their own class is.
        ("the last exit's class", ExplainRequest { target: Target::Final, ..grad_cam.clone() }, 0),
        ("probability", ExplainRequest { score: Score::Probability, ..grad_cam.clone() }, 0),
        ("margin", ExplainRequest { score: Score::Margin, ..grad_cam.clone() }, 0),
        ("two classes", ExplainRequest { score: Score::Over(1), ..grad_cam.clone() }, 0),
    ];
    for (what, request, fused) in cases {
        let explainer = Explainer::new(&network, &request, &device(), 1).unwrap();
        let names = names(explainer.session().plan());
        assert_eq!(names.iter().filter(|name| **name == "classifier").count(), fused, "{what}");
        assert_eq!(names.contains(&"linear"), fused == 0, "{what}");
    }
}
