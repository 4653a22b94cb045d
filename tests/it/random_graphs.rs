//! Random graphs of awkward shapes, forward and backward: every device against the reference.
//!
//! All elements are small integers or halves of them, so that f32 arithmetic is exact and no
//! ReLU or maximum depends on rounding: devices must agree with the reference to the last bit except
//! after a mean or softmax.

use std::collections::HashMap;

use crate::common::close::{NETWORK, OP, assert_close};
use crate::common::random::Random;
use crate::common::{reference, run};
use msdcam::Shape;
use msdcam::engine::graph::grad::gradients;
use msdcam::engine::graph::ops::{
    Activation, AvgPool, BatchNorm, ChannelShuffle, Conv2d, Interpolation, Linear, MaxPool, Op, Relu,
    ReluRule, Resize, ResizeMinMax, Sampling, Slice, WeightedSum, Window,
};
use msdcam::engine::graph::{Graph, NodeId, ParamId};
use msdcam::engine::plan::{Order, Plan, PlanOptions};
use msdcam::engine::tensor::Tensor;

const GRAPHS: u64 = 400;
/// Maximum depth of convolutions: with more, elements exceed what f32 represents exactly.
const MAX_CONVOLUTIONS: usize = 3;

struct Builder {
    graph: Graph,
    random: Random,
    /// Nodes that later nodes may read.
    nodes: Vec<NodeId>,
    convolutions: usize,
    /// The exit of the next nodes.
    exit: usize,
}

impl Builder {
    fn new(seed: u64) -> Builder {
        let mut random = Random::new(seed);
        let mut graph = Graph::new();
        let shape = Shape::new(1 + random.below(18), 1 + random.below(13), 1 + random.below(19));
        let input = graph.push(Op::Input(shape), &[]).unwrap();
        Builder { graph, random, nodes: vec![input], convolutions: 0, exit: 0 }
    }

    fn push_op(&mut self, op: impl Into<Op>, inputs: &[NodeId]) -> msdcam::Result<NodeId> {
        self.graph.push_at(self.exit, op, inputs)
    }

    fn param(&mut self, dims: &[usize], choices: &[f32]) -> ParamId {
        let numbers: Vec<f32> = (0..dims.iter().product()).map(|_| self.random.pick(choices)).collect();
        let name = format!("parameter {}", self.graph.params().len());
        self.graph.add_param(name, dims, numbers)
    }

    fn window(&mut self) -> Window {
        let kernel =
            self.random.pick(&[[1, 1], [1, 1], [3, 3], [3, 3], [2, 2], [1, 5], [5, 1], [4, 3], [7, 7]]);
        let stride = self.random.pick(&[[1, 1], [1, 1], [2, 2], [2, 2], [1, 2], [3, 1], [4, 3]]);
        let half = [kernel[0] / 2, kernel[1] / 2];
        let before = self.random.pick(&[half, half, half, [0, 0], [1, 0], [0, 2]]);
        let after = self.random.pick(&[before, before, [0, 0], [0, 1], [2, 0], [1, 3]]);
        let padding = [before, after];
        Window { kernel, stride, padding, dilation: [1; 2] }
    }

    fn linear(&mut self, x: NodeId) -> NodeId {
        let len = self.graph.shape(x).len();
        let (weight, bias) = (self.param(&[7, len], &[-1.0, 0.0, 0.0, 1.0]), self.param(&[7], &[0.0, 1.0]));
        self.push_op(Linear { weight, bias }, &[x]).unwrap()
    }

    /// A mean, in one case of three with padding; half of that counts.
    fn avg_pool(&mut self, kernel: [usize; 2], stride: [usize; 2], x: NodeId) -> msdcam::Result<NodeId> {
        let none = [[0; 2]; 2];
        let less = kernel.map(|k| k - 1);
        let padding = self.random.pick(&[none, none, none, none, [less; 2], [[0, 0], less]]);
        let counted = self.random.pick(&[none, padding, [padding[0], [0, 0]], [[0, 9], [1, 0]]]);
        self.push_op(AvgPool { window: Window { kernel, stride, padding, dilation: [1; 2] }, counted }, &[x])
    }

    fn pooled_linear(&mut self, x: NodeId) -> NodeId {
        let shape = self.graph.shape(x);
        let kernel = self.random.pick(&[[2, 2], [1, 2], [4, 1]]);
        let kernel = if kernel[0] <= shape.h && kernel[1] <= shape.w { kernel } else { [1, 1] };
        let stride = self.random.pick(&[kernel, [1, 1], [2, 3]]);
        let pooled = self.avg_pool(kernel, stride, x);
        self.linear(pooled.unwrap())
    }

    /// Whether the value of `factor` has the shape of that of `x`, or a number for each of its channels, and is small enough
    /// for a product to be exact: nothing that is a product itself.
    fn fits(&self, x: NodeId, factor: NodeId) -> bool {
        let (shape, own) = (self.graph.shape(x), self.graph.shape(factor));
        let products = |id: NodeId| {
            let ancestors = self.graph.ancestors(&[id]);
            self.graph
                .ids()
                .filter(|id| ancestors[id.index()])
                .filter(|&id| self.graph.node(id).op == Op::Mul)
                .count()
        };
        (own == shape || own == Shape::vector(shape.c)) && products(x) + products(factor) == 0
    }

    /// A random op on random nodes; `None` if the shapes do not match.
    fn push(&mut self) -> Option<NodeId> {
        let x = self.random.pick(&self.nodes);
        let shape = self.graph.shape(x);
        match self.random.below(16) {
            0..=2 if self.convolutions < MAX_CONVOLUTIONS => {
                let window = self.window();
                let dilation = self.random.pick(&[[1, 1], [1, 1], [1, 1], [2, 2], [1, 3], [4, 2]]);
                let window = Window { dilation, ..window };
                let out = 1 + self.random.below(19);
                let (out, groups) = match self.random.below(4) {
                    0 => (shape.c * self.random.pick(&[1, 1, 2]), shape.c),
                    1 if shape.c.is_multiple_of(2) => (2 * out, shape.c / 2),
                    2 if shape.c.is_multiple_of(3) => (3 * out, 3),
                    _ => (out, 1),
                };
                let dims = [out, shape.c / groups, window.kernel[0], window.kernel[1]];
                let weight = self.param(&dims, &[-1.0, 0.0, 0.0, 1.0]);
                let bias = self.random.below(2) == 1;
                let bias = bias.then(|| self.param(&[out], &[-2.0, -1.0, 0.0, 1.0, 3.0]));
                let conv = Conv2d::new(&self.graph, weight, bias, [1, 1], [0, 0]);
                let conv = Conv2d { window, groups, channels: shape.c, ..conv };
                let y = self.push_op(conv, &[x]).ok()?;
                self.convolutions += 1;
                Some(y)
            }
            3 => {
                let weight = self.param(&[shape.c], &[-1.0, 1.0, 2.0]);
                let [bias, mean] = [(); 2].map(|()| self.param(&[shape.c], &[-1.0, 0.0, 2.0]));
                let variance = self.param(&[shape.c], &[3.5]); // sqrt(3.5 + 0.5) = 2, exactly
                self.push_op(BatchNorm { weight, bias, mean, variance, eps: 0.5, relu: None }, &[x]).ok()
            }
            4 | 5 => {
                let max = self.random.pick(&[f32::INFINITY, f32::INFINITY, 3.0]);
                self.push_op(Relu { max }, &[x]).ok()
            }
            // Activations that stay exact.
            11 => {
                let hard_sigmoid = Activation::HardSigmoid { slope: 0.25, offset: 0.5 };
                let leaky = Activation::LeakyRelu { slope: 0.5 };
                let activation = self.random.pick(&[hard_sigmoid, leaky]);
                self.push_op(activation, &[x]).ok()
            }
            12 => {
                let factors: Vec<NodeId> =
                    self.nodes.iter().copied().filter(|&id| self.fits(x, id)).collect();
                if factors.is_empty() {
                    return None;
                }
                let factor = self.random.pick(&factors);
                self.push_op(Op::Mul, &[x, factor]).ok()
            }
            13 => {
                let groups = (1..=shape.c).filter(|&groups| shape.c.is_multiple_of(groups));
                let groups = self.random.pick(&groups.collect::<Vec<_>>());
                self.push_op(ChannelShuffle { groups }, &[x]).ok()
            }
            14 => {
                let first = self.random.below(shape.c);
                let c = 1 + self.random.below(shape.c - first);
                self.push_op(Slice { offset: first * shape.plane(), shape: Shape { c, ..shape } }, &[x]).ok()
            }
            15 => {
                let interpolation = self.random.pick(&[
                    Interpolation::Linear,
                    Interpolation::Floor,
                    Interpolation::NearestPreferFloor,
                    Interpolation::NearestPreferCeil,
                    Interpolation::Ceil,
                ]);
                let mut axis = || Sampling {
                    len: 1 + self.random.below(15),
                    scale: self.random.pick(&[0.5, 1.0, 2.0, 0.0]),
                    shift: self.random.pick(&[0.0, -0.5, 0.5, 2.0]),
                };
                let axes = [axis(), axis()];
                self.push_op(Resize { interpolation, axes }, &[x]).ok()
            }
            // All elements in another shape.
            10 => {
                let shape = Shape::new(shape.w, shape.c, shape.h);
                self.push_op(Slice { offset: 0, shape }, &[x]).ok()
            }
            6 => {
                let window = self.window();
                self.push_op(MaxPool { window }, &[x]).ok()
            }
            7 => {
                let kernel = self.random.pick(&[[2, 2], [1, 2], [2, 1], [1, 1], [4, 2]]);
                let stride = self.random.pick(&[[2, 2], [1, 1], [1, 3]]);
                self.avg_pool(kernel, stride, x).ok()
            }
            8 => {
                let others: Vec<NodeId> = (0..2).map(|_| self.random.pick(&self.nodes)).collect();
                self.push_op(Op::Concat, &[&[x], &others[..]].concat()).ok()
            }
            _ => {
                let same = |id: &NodeId| self.graph.shape(*id) == shape;
                let same: Vec<NodeId> = self.nodes.iter().copied().filter(same).collect();
                let other = self.random.pick(&same);
                self.push_op(Op::Add, &[x, other]).ok()
            }
        }
    }
}

/// A graph, its outputs and its inputs.
struct Case {
    graph: Graph,
    outputs: Vec<NodeId>,
    inputs: Vec<Tensor>,
}

fn case(seed: u64) -> Case {
    let mut b = Builder::new(seed);
    let wanted = 3 + b.random.below(9);
    while b.nodes.len() < wanted {
        b.exit = b.nodes.len() / 3;
        if let Some(node) = b.push() {
            b.nodes.push(node);
        }
    }
    let last = *b.nodes.last().unwrap();
    let classifies = b.random.below(3) == 1;
    let score = match b.random.below(2) {
        _ if classifies => b.pooled_linear(last),
        1 => b.linear(last),
        _ => last,
    };
    let mut outputs = vec![score];
    // Backward, from a class or a random upstream gradient to a random node on the way.
    let upstream = if classifies {
        outputs.push(b.push_op(Op::Softmax, &[score]).unwrap());
        let target = b.graph.push(Op::Input(Shape::vector(1)), &[]).unwrap();
        b.push_op(Op::OneHot, &[score, target]).unwrap()
    } else {
        b.graph.push(Op::Input(b.graph.shape(score)), &[]).unwrap()
    };
    let on_way = b.graph.ancestors(&[score]);
    let on_way: Vec<NodeId> = b.nodes.iter().copied().filter(|id| on_way[id.index()]).collect();
    let tap = b.random.pick(&on_way);
    let rule = b.random.pick(&[ReluRule::Plain, ReluRule::Plain, ReluRule::Guided, ReluRule::Deconvnet]);
    let grads = gradients(&mut b.graph, score, upstream, &[tap, on_way[0]], rule).unwrap();
    let keep_gradient = b.random.below(2) == 1;
    if keep_gradient {
        outputs.extend(&grads);
    }
    // A map of the tap, exact if the mean is.
    if b.graph.shape(tap).plane().is_power_of_two() {
        let weights = b.graph.push(Op::SpatialMean, &[grads[0]]).unwrap();
        let map = b.graph.push(Op::WeightedSum(WeightedSum { relu: true }), &[weights, tap]).unwrap();
        let range = b.graph.push(Op::Range, &[map]).unwrap();
        outputs.extend([weights, map, range]);
    }
    let any = b.random.pick(&b.nodes);
    let shape = b.graph.shape(any);
    let channel = Slice { offset: (shape.c - 1) * shape.plane(), shape: Shape { c: 1, ..shape } };
    let channel = b.graph.push(channel, &[any]).unwrap();
    let heat = b.graph.push(Op::ResizeMinMax(ResizeMinMax { height: 9, width: 14 }), &[channel]).unwrap();
    outputs.extend([channel, heat, any]);
    let shapes: Vec<Shape> =
        b.graph.nodes().iter().filter(|n| matches!(n.op, Op::Input(_))).map(|n| n.shape).collect();
    let n = 1 + b.random.below(4);
    let inputs = shapes.iter().map(|&s| Tensor::new(n, s, b.random.whole(n * s.len(), 2))).collect();
    Case { graph: b.graph, outputs, inputs }
}

#[test]
fn devices_and_reference_agree_on_random_graphs() {
    let devices = run::devices();
    let (mut seen, mut fused) = (HashMap::new(), HashMap::new());
    for seed in 0..GRAPHS {
        let Case { graph, outputs, inputs } = case(seed);
        graph.nodes().iter().for_each(|node| *seen.entry(node.op.name()).or_insert(0) += 1);
        let multiplies = graph.nodes().iter().any(|node| node.op == Op::Mul);
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        let want = reference::run(&graph, &outputs, &inputs);
        let device = &devices[seed as usize % devices.len()];
        let order = if seed % 2 == 0 { Order::Depth } else { Order::ByExit };
        let plan = Plan::new(&graph, &outputs, order).unwrap();
        plan.steps().for_each(|step| *fused.entry(step.op().name()).or_insert(0) += 1);
        for (which, options) in [("all", PlanOptions::new(order)), ("no", PlanOptions::unoptimized(order))] {
            let got = run::run_with(device, &graph, &outputs, &options, &inputs);
            for ((got, want), id) in got.iter().zip(&want).zip(&outputs) {
                let op = graph.node(*id).op.name();
                let what = format!("graph {seed}, {which} passes, {}: {op} {id:?}", device.description());
                // A heatmap's scale is the difference of two values, a probability has its logits' errors in full, and
                // products leave more digits to cancel.
                let is_wide = multiplies || ["resize_min_max", "softmax"].contains(&op);
                let tolerance = if is_wide { NETWORK } else { OP };
                assert_close(&what, &got.data, want, tolerance);
            }
        }
    }
    let rare = [
        "conv2d",
        "conv2d_grad",
        "batch_norm_grad",
        "max_pool_grad",
        "avg_pool_grad",
        "linear_grad",
        "activation_grad",
        "mul",
        "channel_shuffle",
        "slice_grad",
        "resize_grad",
    ];
    for op in rare {
        assert!(seen.get(op).is_some_and(|&n| n > 10), "{op} is rare: {seen:?}");
    }
    assert!(fused.get("classifier").is_some_and(|&n| n > 10), "classifiers are rare: {fused:?}");
}
