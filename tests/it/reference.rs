//! Tests of the test tools: the comparison fails when it should, and the gradients of the reference
//! implementation agree with finite differences.

use crate::common::close::{Tolerance, assert_close, compare};
use crate::common::random::Random;
use crate::common::reference;
use msdcam::Shape;
use msdcam::engine::graph::grad::gradients;
use msdcam::engine::graph::ops::{
    Activation, AvgPool, BatchNorm, ChannelShuffle, Conv2d, Interpolation, Linear, Lrn, MaxPool, Op, Relu,
    ReluRule, Resize, Sampling, Slice, Window,
};
use msdcam::engine::graph::{Graph, NodeId};

#[test]
fn a_comparison_fails_on_nan_infinity_length_and_distance() {
    let tight = Tolerance(1e-6);
    assert_eq!(compare(&[1.0_f32, 2.0], &[1.0_f32, 2.0], tight), Ok(0.0));
    assert!(compare(&[1.0_f32, 2.000_01], &[1.0_f32, 2.0], tight).unwrap_err().contains("element 1 of 2"));
    assert!(compare(&[f32::NAN], &[f32::NAN], tight).is_err());
    assert!(compare(&[f32::INFINITY], &[f32::INFINITY], tight).is_err());
    assert!(compare(&[1.0_f32], &[f32::NAN], tight).is_err());
    assert!(compare(&[1.0_f32], &[1.0_f32, 1.0], tight).is_err());
    assert!(compare(&[1e-30_f32], &[0.0_f32], tight).is_err(), "zero has no neighbourhood");
}

/// A graph whose input 0 is to be differentiated, and its result.
struct Case {
    name: &'static str,
    graph: Graph,
    result: NodeId,
}

fn case(name: &'static str, shape: Shape, build: impl Fn(&mut Graph, NodeId) -> NodeId) -> Case {
    let mut graph = Graph::new();
    let input = graph.push(Op::Input(shape), &[]).unwrap();
    let result = build(&mut graph, input);
    Case { name, graph, result }
}

fn param(graph: &mut Graph, dims: &[usize]) -> msdcam::engine::graph::ParamId {
    let name = format!("parameter {}", graph.params().len());
    let data = Random::for_text(&name).numbers(dims.iter().product());
    graph.add_param(name, dims, data)
}

fn conv(graph: &mut Graph, x: NodeId, dims: [usize; 4], stride: [usize; 2], padding: [usize; 2]) -> NodeId {
    let weight = param(graph, &dims);
    let bias = param(graph, &[dims[0]]);
    let op = Conv2d::new(graph, weight, Some(bias), stride, padding);
    graph.push(op, &[x]).unwrap()
}

fn cases() -> Vec<Case> {
    vec![
        case("conv2d", Shape::new(3, 5, 4), |g, x| conv(g, x, [2, 3, 3, 3], [1, 1], [1, 1])),
        case("conv2d strided", Shape::new(2, 7, 6), |g, x| conv(g, x, [3, 2, 3, 2], [2, 3], [1, 0])),
        case("conv2d larger than the image", Shape::new(2, 2, 3), |g, x| {
            conv(g, x, [2, 2, 7, 5], [1, 2], [3, 2])
        }),
        case("conv2d padded on one side", Shape::new(2, 5, 4), |g, x| {
            let weight = param(g, &[3, 2, 3, 2]);
            let window =
                Window { kernel: [3, 2], stride: [2, 1], padding: [[0, 1], [2, 0]], dilation: [1; 2] };
            let op = Conv2d { window, ..Conv2d::new(g, weight, None, [1, 1], [0, 0]) };
            g.push(op, &[x]).unwrap()
        }),
        case("conv2d dilated", Shape::new(2, 7, 9), |g, x| {
            let weight = param(g, &[3, 2, 3, 2]);
            let window =
                Window { kernel: [3, 2], stride: [2, 3], padding: [[0, 1], [2, 0]], dilation: [2, 4] };
            let op = Conv2d { window, ..Conv2d::new(g, weight, None, [1, 1], [0, 0]) };
            g.push(op, &[x]).unwrap()
        }),
        case("conv2d with relu", Shape::new(2, 4, 5), |g, x| {
            let weight = param(g, &[3, 2, 3, 3]);
            let op = Conv2d { relu: Some(Relu::PLAIN), ..Conv2d::new(g, weight, None, [1, 1], [1, 1]) };
            g.push(op, &[x]).unwrap()
        }),
        case("batch_norm", Shape::new(4, 3, 2), |g, x| {
            let [weight, bias, mean] = [param(g, &[4]), param(g, &[4]), param(g, &[4])];
            let variance = g.add_param("variance", &[4], vec![0.1, 1.0, 2.5, 0.0]);
            g.push(BatchNorm { weight, bias, mean, variance, eps: 1e-3, relu: None }, &[x]).unwrap()
        }),
        case("relu", Shape::new(3, 4, 5), |g, x| g.push(Op::RELU, &[x]).unwrap()),
        case("max_pool", Shape::new(2, 5, 7), |g, x| {
            g.push(MaxPool { window: Window::square(3, 2, 1) }, &[x]).unwrap()
        }),
        case("max_pool padded on one side", Shape::new(2, 5, 6), |g, x| {
            let window =
                Window { kernel: [3, 2], stride: [2, 3], padding: [[0, 1], [2, 1]], dilation: [1; 2] };
            g.push(MaxPool { window }, &[x]).unwrap()
        }),
        case("avg_pool", Shape::new(2, 5, 7), |g, x| {
            g.push(AvgPool { window: Window::square(2, 2, 0), counted: [[0; 2]; 2] }, &[x]).unwrap()
        }),
        case("avg_pool of a padded image", Shape::new(2, 5, 6), |g, x| {
            let window =
                Window { kernel: [3, 2], stride: [2, 3], padding: [[1, 1], [2, 1]], dilation: [1; 2] };
            g.push(AvgPool { window, counted: [[1, 0], [1, 1]] }, &[x]).unwrap()
        }),
        case("linear", Shape::new(3, 2, 2), |g, x| {
            let (weight, bias) = (param(g, &[5, 12]), param(g, &[5]));
            g.push(Linear { weight, bias }, &[x]).unwrap()
        }),
        case("slice of all elements", Shape::new(2, 3, 4), |g, x| {
            let a = conv(g, x, [3, 2, 3, 3], [1, 1], [1, 1]);
            let view = g.push(Slice { offset: 0, shape: Shape::new(4, 3, 3) }, &[a]).unwrap();
            let b = conv(g, view, [2, 4, 2, 2], [1, 1], [0, 0]);
            g.push(Op::Concat, &[b, b]).unwrap()
        }),
        case("depthwise convolution", Shape::new(6, 5, 7), |g, x| {
            let weight = param(g, &[12, 1, 3, 2]);
            let conv = Conv2d::new(g, weight, None, [2, 1], [1, 1]);
            g.push(Conv2d { channels: 6, groups: 6, ..conv }, &[x]).unwrap()
        }),
        case("convolution in groups", Shape::new(6, 5, 4), |g, x| {
            let weight = param(g, &[4, 3, 3, 3]);
            let conv = Conv2d::new(g, weight, None, [1, 2], [1, 0]);
            g.push(Conv2d { channels: 6, groups: 2, ..conv }, &[x]).unwrap()
        }),
        case("ReLU with a bound", Shape::new(3, 4, 5), |g, x| g.push(Relu { max: 0.5 }, &[x]).unwrap()),
        case("activations", Shape::new(2, 4, 3), |g, x| {
            let all = [
                Activation::Sigmoid,
                Activation::HardSigmoid { slope: 0.7, offset: 0.4 },
                Activation::HardSwish,
                Activation::Silu,
                Activation::LeakyRelu { slope: 0.1 },
            ];
            let all = all.map(|activation| g.push(activation, &[x]).unwrap());
            g.push(Op::Concat, &all).unwrap()
        }),
        case("gate", Shape::new(3, 4, 2), |g, x| {
            let mean = Window { kernel: [4, 2], ..Window::square(1, 1, 0) };
            let mean = g.push(AvgPool { window: mean, counted: [[0; 2]; 2] }, &[x]).unwrap();
            let gate = g.push(Activation::Sigmoid, &[mean]).unwrap();
            g.push(Op::Mul, &[x, gate]).unwrap()
        }),
        case("product of a map with itself", Shape::new(2, 3, 3), |g, x| g.push(Op::Mul, &[x, x]).unwrap()),
        case("channel shuffle", Shape::new(6, 2, 3), |g, x| {
            g.push(ChannelShuffle { groups: 2 }, &[x]).unwrap()
        }),
        case("parts of the channels", Shape::new(5, 2, 3), |g, x| {
            let part = |g: &mut Graph, first: usize, c: usize| {
                g.push(Slice { offset: first * 6, shape: Shape::new(c, 2, 3) }, &[x]).unwrap()
            };
            let (first, second, last) = (part(g, 0, 2), part(g, 2, 1), part(g, 2, 3));
            let product = g.push(Op::Mul, &[first, first]).unwrap();
            g.push(Op::Concat, &[last, product, second]).unwrap()
        }),
        case("all channels in two parts", Shape::new(5, 2, 3), |g, x| {
            let first = g.push(Slice { offset: 0, shape: Shape::new(2, 2, 3) }, &[x]).unwrap();
            let last = g.push(Slice { offset: 12, shape: Shape::new(3, 2, 3) }, &[x]).unwrap();
            let first = g.push(Activation::Silu, &[first]).unwrap();
            g.push(Op::Concat, &[last, first]).unwrap()
        }),
        case("local response normalization", Shape::new(7, 2, 3), |g, x| {
            g.push(Lrn { size: 4, alpha: 0.9, beta: 0.75, bias: 1.5 }, &[x]).unwrap()
        }),
        case("resizing", Shape::new(2, 4, 5), |g, x| {
            let axes = |rows: [f64; 2], columns: [f64; 2]| {
                let sampling = |len, [scale, shift]: [f64; 2]| Sampling { len, scale, shift };
                [sampling(7, rows), sampling(3, columns)]
            };
            let linear =
                Resize { interpolation: Interpolation::Linear, axes: axes([0.5, -0.25], [1.7, 0.3]) };
            let linear = g.push(linear, &[x]).unwrap();
            let nearest = Interpolation::NearestPreferFloor;
            let nearest = Resize { interpolation: nearest, axes: axes([0.6, 0.0], [1.7, -0.2]) };
            let nearest = g.push(nearest, &[x]).unwrap();
            g.push(Op::Concat, &[linear, nearest]).unwrap()
        }),
        case("softmax", Shape::vector(7), |g, x| g.push(Op::Softmax, &[x]).unwrap()),
        case("copy", Shape::vector(3), |g, x| g.push(Op::Copy, &[x]).unwrap()),
        case("a value read by many", Shape::new(2, 4, 4), |g, x| {
            let a = conv(g, x, [2, 2, 3, 3], [1, 1], [1, 1]);
            let b = g.push(Op::RELU, &[a]).unwrap();
            let sum = g.push(Op::Add, &[x, b, x]).unwrap();
            let all = g.push(Op::Concat, &[b, sum, b, x]).unwrap();
            let c = conv(g, all, [3, 8, 1, 1], [1, 1], [0, 0]);
            g.push(Op::RELU, &[c]).unwrap()
        }),
    ]
}

#[test]
fn gradients_are_those_of_finite_differences() {
    for Case { name, mut graph, result } in cases() {
        let input = graph.ids().next().unwrap();
        let upstream = graph.push(Op::Input(graph.shape(result)), &[]).unwrap();
        let grad = gradients(&mut graph, result, upstream, &[input], ReluRule::Plain).unwrap()[0];
        let mut random = Random::for_text(name);
        let mut draw = |id: NodeId| -> Vec<f64> {
            random.numbers(graph.shape(id).len()).into_iter().map(f64::from).collect()
        };
        let (x, seed) = (draw(input), draw(upstream));
        let score = |x: &[f64]| -> f64 {
            let values = reference::evaluate(&graph, &[x.to_vec(), seed.clone()]);
            values[result.index()].iter().zip(&seed).map(|(y, s)| y * s).sum()
        };
        let step = 1e-6;
        let numeric: Vec<f64> = (0..x.len())
            .map(|i| {
                let moved = |by: f64| {
                    let mut x = x.clone();
                    x[i] += by;
                    score(&x)
                };
                (moved(step) - moved(-step)) / (2.0 * step)
            })
            .collect();
        let values = reference::evaluate(&graph, &[x.clone(), seed.clone()]);
        assert_close(name, &values[grad.index()], &numeric, Tolerance(1e-7));
    }
}

#[test]
fn a_gradient_can_be_asked_for_at_several_places_at_once() {
    let mut graph = Graph::new();
    let x = graph.push(Op::Input(Shape::new(2, 4, 3)), &[]).unwrap();
    let a = conv(&mut graph, x, [4, 2, 3, 3], [1, 1], [1, 1]);
    let a = graph.push(Op::RELU, &[a]).unwrap();
    let score = conv(&mut graph, a, [2, 4, 3, 3], [2, 2], [1, 1]);
    let seed = graph.push(Op::Input(graph.shape(score)), &[]).unwrap();
    let [together_x, together_a, own] =
        gradients(&mut graph, score, seed, &[x, a, score], ReluRule::Plain).unwrap()[..]
    else {
        panic!("three gradients")
    };
    assert_eq!(own, seed, "the gradient of the score itself is the seed");
    let alone_x = gradients(&mut graph, score, seed, &[x], ReluRule::Plain).unwrap()[0];
    let alone_a = gradients(&mut graph, score, seed, &[a], ReluRule::Plain).unwrap()[0];
    let mut random = Random::new(7);
    let mut draw = |n| -> Vec<f64> { random.numbers(n).into_iter().map(f64::from).collect() };
    let values = reference::evaluate(&graph, &[draw(24), draw(graph.shape(score).len())]);
    assert_eq!(values[together_x.index()], values[alone_x.index()]);
    assert_eq!(values[together_a.index()], values[alone_a.index()]);
}

#[test]
fn what_cannot_be_differentiated_is_refused_in_one_line() {
    let mut graph = Graph::new();
    let x = graph.push(Op::Input(Shape::vector(4)), &[]).unwrap();
    let other = graph.push(Op::Input(Shape::vector(4)), &[]).unwrap();
    let y = graph.push(Op::RELU, &[x]).unwrap();
    let lost = gradients(&mut graph, y, x, &[x, other], ReluRule::Plain).unwrap_err().to_string();
    assert!(lost.contains("the score does not depend on tap 2 of 2"), "{lost}");
    let slice = graph.push(Op::Slice(Slice { offset: 1, shape: Shape::vector(2) }), &[x]).unwrap();
    let range = graph.push(Op::Range, &[x]).unwrap();
    let refused = gradients(&mut graph, range, range, &[x], ReluRule::Plain).unwrap_err().to_string();
    assert!(refused.contains("range: has no derivative"), "{refused}");
    let refused = gradients(&mut graph, slice, other, &[x], ReluRule::Plain).unwrap_err().to_string();
    assert!(refused.contains("gradient: expects a gradient of 2x1x1, has 4x1x1"), "{refused}");
}
