//! Passes: they preserve the results and reduce the cost.

use crate::common::close::{EXACT, NETWORK, ROUNDED_ONCE, Tolerance, assert_close, assert_same_bits};
use crate::common::nets::{ExitNodes, VARIANTS, asked, cam_graph, golden_network, inputs};
use crate::common::random::Random;
use crate::common::{reference, run};
use msdcam::Shape;
use msdcam::engine::cpu::Isa;
use msdcam::engine::graph::grad::gradients;
use msdcam::engine::graph::ops::{AvgPool, BatchNorm, Conv2d, Op, Relu, ReluRule, Window};
use msdcam::engine::graph::passes::{Passes, apply};
use msdcam::engine::graph::{Graph, NodeId};
use msdcam::engine::plan::{Order, Plan, PlanOptions};
use msdcam::engine::tensor::Tensor;

/// An optimization by name: its switch, and whether it rounds new constants to f32.
type Pass = (&'static str, fn(&mut PlanOptions) -> &mut bool, bool);

const ALL: PlanOptions = PlanOptions::new(Order::Depth);
const NONE: PlanOptions = PlanOptions::unoptimized(Order::Depth);

const PASSES: [Pass; 10] = [
    ("fold_batch_norm", |o| &mut o.passes.fold_batch_norm, true),
    ("fuse_add", |o| &mut o.passes.fuse_add, false),
    ("fuse_relu", |o| &mut o.passes.fuse_relu, false),
    ("merge_pointwise", |o| &mut o.passes.merge_pointwise, false),
    ("pooled_gradient", |o| &mut o.passes.pooled_gradient, true),
    ("fuse_cam", |o| &mut o.passes.fuse_cam, false),
    ("fuse_classifier", |o| &mut o.passes.fuse_classifier, false),
    ("dead_nodes", |o| &mut o.passes.dead_nodes, false),
    ("in_place_concat", |o| &mut o.in_place_concat, false),
    ("chain_small_steps", |o| &mut o.chain_small_steps, false),
];

fn with(mut options: PlanOptions, pass: &Pass, on: bool) -> PlanOptions {
    *pass.1(&mut options) = on;
    options
}

/// All on, all off, each one alone, all but each one; with the tolerance relative to all off.
fn combinations() -> Vec<(String, PlanOptions, Tolerance)> {
    let mut all = vec![("all".to_string(), ALL, ROUNDED_ONCE)];
    for pass in &PASSES {
        let alone = if pass.2 { ROUNDED_ONCE } else { EXACT };
        all.push((format!("{} alone", pass.0), with(NONE, pass, true), alone));
        all.push((format!("all but {}", pass.0), with(ALL, pass, false), ROUNDED_ONCE));
    }
    all
}

/// Sets of outputs: those of the program, and the taps and their gradients, which hinder passes.
fn output_sets(exits: &[ExitNodes]) -> [(&'static str, Vec<NodeId>); 2] {
    let inner = exits.iter().flat_map(|e| [e.tap, e.grad, e.signed]);
    [("asked", asked(exits)), ("everything", asked(exits).into_iter().chain(inner).collect())]
}

#[test]
fn passes_preserve_the_results_in_f64() {
    for variant in VARIANTS.into_iter().filter(|v| *v != "blocks-imagenet-stem") {
        let (golden, network) = golden_network(variant);
        let (graph, exits) = cam_graph(&network);
        let inputs = inputs(&golden.tensor("input"), exits.len());
        let inputs: Vec<_> = inputs.iter().collect();
        for (question, outputs) in output_sets(&exits) {
            let want = reference::run(&graph, &outputs, &inputs);
            for (name, options, tolerance) in combinations() {
                let plan = Plan::with_options(&graph, &outputs, &options).unwrap();
                let got = reference::run_plan(&plan, &inputs);
                for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                    assert_close(&format!("{variant}: {question}: {name}: output {i}"), got, want, tolerance);
                }
            }
        }
    }
}

#[test]
fn passes_preserve_the_results_on_the_cpu() {
    let device = run::cpu(2, Isa::detect());
    for variant in ["subnets-gcn-all-shared", "blocks-imagenet-stem-two-scales"] {
        let (golden, network) = golden_network(variant);
        let (graph, exits) = cam_graph(&network);
        let inputs = inputs(&golden.tensor("input"), exits.len());
        let inputs: Vec<_> = inputs.iter().collect();
        for (question, outputs) in output_sets(&exits) {
            let want = run::run_with(&device, &graph, &outputs, &NONE, &inputs);
            for (name, options, _) in combinations() {
                let got = run::run_with(&device, &graph, &outputs, &options, &inputs);
                for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                    let what = format!("{variant}: {question}: {name}: output {i}");
                    assert_close(&what, &got.data, &want.data, NETWORK);
                }
            }
        }
    }
}

/// (levels, steps, multiply-adds) of a plan of a model like the default one.
fn size(options: &PlanOptions, choose: fn(&[ExitNodes]) -> Vec<NodeId>) -> (usize, usize, u64) {
    let (_, network) = golden_network("subnets-even");
    let (graph, exits) = cam_graph(&network);
    let plan = Plan::with_options(&graph, &choose(&exits), options).unwrap();
    (plan.levels().len(), plan.steps().count(), plan.multiply_adds())
}

#[test]
fn every_pass_reduces_the_cost() {
    let (levels, steps, work) = size(&ALL, asked);
    // No sum is the only reader of a convolution there: that pass has a test of its own.
    for pass in PASSES.iter().filter(|pass| pass.0 != "fuse_add") {
        let (levels_without, steps_without, work_without) = size(&with(ALL, pass, false), asked);
        let saves = match pass.0 {
            "pooled_gradient" => work < work_without,
            "chain_small_steps" => levels < levels_without,
            "dead_nodes" => work < work_without && steps < steps_without,
            _ => steps < steps_without,
        };
        let now = format!("{levels} levels, {steps} steps, {work} multiply-adds");
        let without = format!("{levels_without}, {steps_without}, {work_without}");
        assert!(saves, "{}: {now}; without it {without}", pass.0);
    }
}

#[test]
fn computes_only_what_an_output_depends_on() {
    let (_, _, one) = size(&ALL, |exits| vec![exits[0].logits]);
    let (_, _, all) = size(&ALL, |exits| exits.iter().map(|e| e.logits).collect());
    assert!(one < all, "exit 1 alone costs {one} multiply-adds, all exits {all}");
}

#[test]
fn folding_leaves_no_batch_norm_and_fusing_no_relu() {
    let (_, network) = golden_network("blocks-even");
    let (graph, exits) = cam_graph(&network);
    let plan = Plan::new(&graph, &asked(&exits), Order::Depth).unwrap();
    let left: Vec<&str> = plan.steps().map(|step| step.op().name()).collect();
    for gone in ["batch_norm", "batch_norm_grad", "relu", "copy", "spatial_mean", "weighted_sum", "range"] {
        assert!(!left.contains(&gone), "{gone} is left in {left:?}");
    }
    for kept in ["conv2d", "conv2d_grad", "cam", "resize_min_max", "classifier"] {
        assert!(left.contains(&kept), "{kept} is missing in {left:?}");
    }
}

/// A convolution with integer weights, its gradient at the input, and that gradient's mean.
fn pooled(image: [usize; 2], window: Window) -> Option<Graph> {
    let (channels, out) = (3, 4);
    let shape = Shape::new(channels, image[0], image[1]);
    let mut graph = Graph::new();
    let input = graph.push(Op::Input(shape), &[]).unwrap();
    // Multiples of H W, so that the kernel sums divided by H W are exact in f32.
    let weights = Random::new(5).whole(out * channels * window.area(), 9);
    let weights: Vec<f32> = weights.into_iter().map(|w| w * shape.plane() as f32).collect();
    let weight = graph.add_param("weight", &[out, channels, window.kernel[0], window.kernel[1]], weights);
    let conv = Conv2d { window, ..Conv2d::new(&graph, weight, None, [1, 1], [0, 0]) };
    let score = graph.push(conv, &[input]).ok()?; // the window may not fit
    let seed = graph.push(Op::Input(graph.shape(score)), &[]).unwrap();
    let grad = gradients(&mut graph, score, seed, &[input], ReluRule::Plain).unwrap()[0];
    graph.push(Op::SpatialMean, &[grad]).unwrap();
    Some(graph)
}

#[test]
fn the_pooled_gradient_is_exactly_the_mean_of_the_gradient() {
    let passes = Passes { pooled_gradient: true, dead_nodes: true, ..Passes::NONE };
    let mut tried = 0;
    for image in [[7, 7], [8, 8], [5, 6], [1, 9], [2, 2], [1, 1]] {
        for kernel in [[1, 1], [1, 3], [3, 1], [2, 2], [3, 3], [5, 3], [7, 7], [9, 11]] {
            for stride in [[1, 1], [2, 2], [3, 3], [1, 2], [3, 1]] {
                let half = [kernel[0] / 2, kernel[1] / 2];
                for padding in
                    [[[0, 0]; 2], [half; 2], [[1, 0]; 2], [[4, 6]; 2], [[0, 1], [2, 0]], [half, [0, 3]]]
                {
                    // Not with each: dilation 2 along the columns of the wider strides.
                    let dilation = [1, stride[1].min(2)];
                    let window = Window { kernel, stride, padding, dilation };
                    let Some(graph) = pooled(image, window) else { continue };
                    tried += 1;
                    let what = format!("{image:?} under {kernel:?}, stride {stride:?}, padding {padding:?}");
                    let [.., mean] = graph.ids().collect::<Vec<_>>()[..] else { panic!("nodes") };
                    let (short, new) = apply(&graph, &[mean], &passes).unwrap();
                    let names: Vec<&str> = short.nodes().iter().map(|n| n.op.name()).collect();
                    assert_eq!(names, ["input", "input", "pooled_conv2d_grad"], "{what}");

                    let shapes = graph.nodes().iter().filter(|n| matches!(n.op, Op::Input(_)));
                    let mut random = Random::new(11);
                    let inputs: Vec<Vec<f64>> = shapes
                        .map(|n| random.whole(n.shape.len(), 9).into_iter().map(f64::from).collect())
                        .collect();
                    let want = &reference::evaluate(&graph, &inputs)[mean.index()];
                    let got = &reference::evaluate(&short, &inputs)[new[0].index()];
                    assert_close(&what, got, want, EXACT);
                }
            }
        }
    }
    assert!(tried > 500, "only {tried} windows fit");
}

#[test]
fn one_weight_under_two_norms_and_two_biases_folds_into_different_convolutions() {
    let mut graph = Graph::new();
    let mut random = Random::new(3);
    let mut param = |graph: &mut Graph, dims: &[usize]| {
        let data: Vec<f32> = random.numbers(dims.iter().product()).iter().map(|x| x + 1.5).collect();
        graph.add_param("p", dims, data)
    };
    let x = graph.push(Op::Input(Shape::new(2, 4, 5)), &[]).unwrap();
    let weight = param(&mut graph, &[3, 2, 3, 3]);
    let [scale, mean, variance] = [(); 3].map(|()| param(&mut graph, &[3]));
    let mut outputs = Vec::new();
    for eps in [1e-3, 0.5] {
        let [conv_bias, bias] = [(); 2].map(|()| param(&mut graph, &[3]));
        let conv = Conv2d::new(&graph, weight, Some(conv_bias), [1, 1], [1, 1]);
        let y = graph.push(conv, &[x]).unwrap();
        let norm = BatchNorm { weight: scale, bias, mean, variance, eps, relu: None };
        let y = graph.push(norm, &[y]).unwrap();
        let seed = graph.push(Op::Input(graph.shape(y)), &[]).unwrap();
        outputs.push(y);
        outputs.extend(gradients(&mut graph, y, seed, &[x], ReluRule::Plain).unwrap());
    }
    let inputs: Vec<Vec<f64>> =
        [40, 60, 60].map(|n| Random::new(n as u64).numbers(n).into_iter().map(f64::from).collect()).to_vec();
    let passes = Passes { fold_batch_norm: true, ..Passes::NONE };
    let (folded, places) = apply(&graph, &outputs, &passes).unwrap();
    let (want, got) = (reference::evaluate(&graph, &inputs), reference::evaluate(&folded, &inputs));
    for (i, (old, new)) in outputs.iter().zip(&places).enumerate() {
        assert_close(&format!("output {i}"), &got[new.index()], &want[old.index()], ROUNDED_ONCE);
    }
}

/// Residual blocks around convolutions of many kinds; the bits are those of the sum as a step of its own.
#[test]
fn a_sum_inside_of_its_convolution_has_the_same_bits() {
    let mut random = Random::new(23);
    // Channels and sizes of the map, output channels, sides of the window, stride.
    let kinds = [
        ([3, 5, 7], 5, [1, 1], 1),
        ([17, 9, 33], 40, [1, 1], 1),
        ([64, 14, 14], 130, [1, 1], 1),
        ([16, 13, 15], 24, [3, 3], 1),
        ([40, 28, 20], 70, [3, 3], 1),
        ([7, 12, 9], 9, [5, 3], 2),
        ([5, 4, 4], 200, [3, 3], 2),
        ([4, 1, 1], 6, [1, 1], 1),
    ];
    for (number, ([c, h, w], out, kernel, stride)) in kinds.into_iter().enumerate() {
        let mut graph = Graph::new();
        let shape = Shape::new(c, h, w);
        let x = graph.push(Op::Input(shape), &[]).unwrap();
        let weight = random.numbers(out * c * kernel[0] * kernel[1]);
        let weight = graph.add_param("weight", &[out, c, kernel[0], kernel[1]], weight);
        let bias = (number % 3 > 0).then(|| graph.add_param("bias", &[out], random.numbers(out)));
        let padding = kernel.map(|side| side / 2);
        let conv = graph.push(Conv2d::new(&graph, weight, bias, [stride; 2], padding), &[x]).unwrap();
        let other = graph.push(Op::Input(graph.shape(conv)), &[]).unwrap();
        let sum = graph.push(Op::Add, &if number % 2 == 0 { [conv, other] } else { [other, conv] }).unwrap();
        let max = [f32::INFINITY, 1.5][number % 2];
        let relu = graph.push(Relu { max }, &[sum]).unwrap();
        let result = if number == 2 { sum } else { relu };

        let plan = Plan::new(&graph, &[result], Order::Depth).unwrap();
        let steps: Vec<&Op> = plan.steps().map(|step| step.op()).collect();
        assert!(matches!(steps[..], [Op::Conv2d(Conv2d { residual: true, .. })]), "{steps:?}");
        let n = 3;
        let inputs = [shape, graph.shape(conv)].map(|s| Tensor::new(n, s, random.numbers(n * s.len())));
        let want = reference::run(&graph, &[result], &inputs.each_ref());
        let apart = with(ALL, &PASSES[1], false);
        for device in run::devices() {
            let what = format!("kind {number}, {}", device.description());
            let [fused, apart] = [ALL, apart]
                .map(|options| run::run_with(&device, &graph, &[result], &options, &inputs.each_ref()));
            assert_close(&what, &fused[0].data, &want[0], NETWORK);
            assert_same_bits(&what, &fused[0].data, &apart[0].data);
        }
    }
}

/// The mean of the gradient of a mean over the whole map is no step of a map; that of a part of the map stays one.
#[test]
fn the_gradient_of_a_mean_over_a_map_is_never_a_map() {
    let mut random = Random::new(41);
    for (side, padding, whole) in
        [([7, 5], [0, 0], true), ([1, 1], [0, 0], true), ([3, 3], [0, 0], false), ([7, 5], [1, 0], false)]
    {
        let shape = if side == [1, 1] { Shape::new(9, 1, 1) } else { Shape::new(9, 7, 5) };
        let mut graph = Graph::new();
        let x = graph.push(Op::Input(shape), &[]).unwrap();
        let window = Window { kernel: side, stride: [3; 2], padding: [padding, [0; 2]], dilation: [1; 2] };
        let y = graph.push(AvgPool { window, counted: [[0; 2]; 2] }, &[x]).unwrap();
        let seed = graph.push(Op::Input(graph.shape(y)), &[]).unwrap();
        let gradient = gradients(&mut graph, y, seed, &[x], ReluRule::Plain).unwrap()[0];
        let mean = graph.push(Op::SpatialMean, &[gradient]).unwrap();

        let plan = Plan::new(&graph, &[mean], Order::Depth).unwrap();
        let steps: Vec<&str> = plan.steps().map(|step| step.op().name()).collect();
        assert_eq!(whole, steps == ["batch_norm"], "{side:?}: {steps:?}");
        let inputs = [shape, graph.shape(y)].map(|s| Tensor::new(2, s, random.numbers(2 * s.len())));
        let want = reference::run(&graph, &[mean], &inputs.each_ref());
        for device in run::devices() {
            let got = run::run_with(&device, &graph, &[mean], &ALL, &inputs.each_ref());
            assert_close(&format!("{side:?}, {}", device.description()), &got[0].data, &want[0], NETWORK);
        }
    }
}
