//! Ops against PyTorch: results and gradients of the reference implementation and of every device.

use crate::common::close;
use crate::common::close::{Tolerance, assert_close, assert_same_bits};
use crate::common::golden::Golden;
use crate::common::random::Random;
use crate::common::{reference, run};
use msdcam::Shape;
use msdcam::engine::device::Device;
use msdcam::engine::graph::grad::gradients;
use msdcam::engine::graph::ops::{
    Activation, AvgPool, BatchNorm, ChannelShuffle, Conv2d, Interpolation, Linear, Lrn, MaxPool, Op, Relu,
    ReluRule, Resize, ResizeMinMax, Sampling, Slice, Window,
};
use msdcam::engine::graph::{Graph, NodeId, ParamId};
use msdcam::engine::plan::{Order, PlanOptions};
use msdcam::engine::tensor::Tensor;
use serde::Deserialize;

/// One row of the golden file's table.
#[derive(Deserialize)]
struct Row {
    name: String,
    op: String,
    #[serde(default = "one")]
    kernel: [usize; 2],
    #[serde(default = "one")]
    stride: [usize; 2],
    #[serde(default = "one")]
    dilation: [usize; 2],
    /// Before and after the image.
    #[serde(default)]
    padding: [[usize; 2]; 2],
    /// Padding that counts as elements of a mean.
    #[serde(default)]
    counted: [[usize; 2]; 2],
    #[serde(default = "one_group")]
    groups: usize,
    #[serde(default)]
    eps: f32,
    #[serde(default)]
    rule: String,
    /// Upper bound of a ReLU.
    max: Option<f32>,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    slope: f32,
    #[serde(default)]
    offset: f32,
    /// Channels of a slice.
    #[serde(default)]
    first: usize,
    #[serde(default)]
    channels: usize,
    /// Parameters of a local response normalization.
    #[serde(default)]
    size: usize,
    #[serde(default)]
    alpha: f32,
    #[serde(default)]
    beta: f32,
    #[serde(default)]
    bias: f32,
    #[serde(default)]
    h: usize,
    #[serde(default)]
    w: usize,
    #[serde(default)]
    mode: String,
    #[serde(default)]
    coordinates: String,
}

fn one_group() -> usize {
    1
}

fn one() -> [usize; 2] {
    [1, 1]
}

/// A graph with PyTorch's results.
struct Case {
    name: String,
    graph: Graph,
    inputs: Vec<Tensor>,
    /// Each output: its name, node and expected value.
    outputs: Vec<(String, NodeId, Vec<f32>)>,
}

impl Case {
    fn check(&self, who: &str, answers: &[impl AsRef<[f64]>], tolerance: Tolerance) {
        for ((what, _, want), got) in self.outputs.iter().zip(answers) {
            assert_close(&format!("{who}: {}: {what}", self.name), got.as_ref(), want, tolerance);
        }
    }

    fn nodes(&self) -> Vec<NodeId> {
        self.outputs.iter().map(|&(_, id, _)| id).collect()
    }

    fn inputs(&self) -> Vec<&Tensor> {
        self.inputs.iter().collect()
    }
}

fn cases() -> Vec<Case> {
    let golden = Golden::load("ops");
    let rows: Vec<Row> = golden.json("cases");
    assert_eq!(rows.len(), 203, "cases in the golden file");
    rows.iter()
        .map(|row| if row.op == "resize_min_max" { heat(&golden, row) } else { op(&golden, row) })
        .collect()
}

/// An op and the gradients of its inputs; the upstream gradient is an additional input.
fn op(golden: &Golden, row: &Row) -> Case {
    let name = |suffix: &str| format!("{}.{suffix}", row.name);
    let numbered = (0..).map(|i| i.to_string()).take_while(|i| golden.has(&name(&format!("input{i}"))));
    let mut suffixes: Vec<String> = numbered.collect();
    if suffixes.is_empty() {
        suffixes.push(String::new());
    }
    let mut inputs: Vec<Tensor> =
        suffixes.iter().map(|s| golden.tensor(&name(&format!("input{s}")))).collect();
    let mut graph = Graph::new();
    let push = |graph: &mut Graph, t: &Tensor| graph.push(Op::Input(t.shape), &[]).unwrap();
    let nodes: Vec<NodeId> = inputs.iter().map(|t| push(&mut graph, t)).collect();
    let forward = op_of(golden, row, &mut graph, inputs[0].shape);
    let result = graph.push(forward, &nodes).unwrap();

    inputs.push(golden.tensor(&name("grad_output")));
    let upstream = push(&mut graph, inputs.last().unwrap());
    let rule = match row.rule.as_str() {
        "guided" => ReluRule::Guided,
        "deconvnet" => ReluRule::Deconvnet,
        _ => ReluRule::Plain,
    };
    let grads = gradients(&mut graph, result, upstream, &nodes, rule).unwrap();

    let want = |what: &str| golden.array(&name(what)).1;
    let mut outputs = vec![("output".to_string(), result, want("output"))];
    for (suffix, grad) in suffixes.iter().zip(grads) {
        let what = format!("grad_input{suffix}");
        let numbers = want(&what);
        outputs.push((what, grad, numbers));
    }
    Case { name: row.name.clone(), graph, inputs, outputs }
}

fn op_of(golden: &Golden, row: &Row, graph: &mut Graph, input: Shape) -> Op {
    let name = |suffix: &str| format!("{}.{suffix}", row.name);
    let param = |graph: &mut Graph, suffix: &str| {
        let (dims, data) = golden.array(&name(suffix));
        graph.add_param(name(suffix), &dims, data)
    };
    let has_bias = golden.has(&name("bias"));
    let window =
        Window { kernel: row.kernel, stride: row.stride, padding: row.padding, dilation: row.dilation };
    match row.op.as_str() {
        "conv2d" => {
            let weight = param(graph, "weight");
            let bias = has_bias.then(|| param(graph, "bias"));
            let conv = Conv2d::new(graph, weight, bias, row.stride, [0, 0]);
            let (channels, groups) = (conv.channels * row.groups, row.groups);
            let window = Window { kernel: conv.window.kernel, ..window };
            Conv2d { window, channels, groups, ..conv }.into()
        }
        "batch_norm" => {
            let [weight, bias, mean, variance] =
                ["weight", "bias", "running_mean", "running_var"].map(|suffix| param(graph, suffix));
            BatchNorm { weight, bias, mean, variance, eps: row.eps, relu: None }.into()
        }
        "relu" => Relu { max: row.max.unwrap_or(f32::INFINITY) }.into(),
        "activation" => activation(row).into(),
        "max_pool" => MaxPool { window }.into(),
        "avg_pool" => AvgPool { window, counted: row.counted }.into(),
        "concat" => Op::Concat,
        "add" => Op::Add,
        "mul" => Op::Mul,
        "channel_shuffle" => ChannelShuffle { groups: row.groups }.into(),
        "slice" => {
            let shape = Shape { c: row.channels, ..input };
            Slice { offset: row.first * input.plane(), shape }.into()
        }
        "lrn" => Lrn { size: row.size, alpha: row.alpha, beta: row.beta, bias: row.bias }.into(),
        "resize" => resize(row, input).into(),
        "linear" => {
            let weight = param(graph, "weight");
            let out = graph.param(weight).dims[0];
            let bias: ParamId =
                if has_bias { param(graph, "bias") } else { graph.add_param("zero", &[out], vec![0.0; out]) };
            Linear { weight, bias }.into()
        }
        "softmax" => Op::Softmax,
        other => panic!("{}: unknown op '{other}'", row.name),
    }
}

fn activation(row: &Row) -> Activation {
    let &Row { slope, offset, .. } = row;
    match row.kind.as_str() {
        "sigmoid" => Activation::Sigmoid,
        "hard_sigmoid" => Activation::HardSigmoid { slope, offset },
        "hard_swish" => Activation::HardSwish,
        "silu" => Activation::Silu,
        "leaky_relu" => Activation::LeakyRelu { slope },
        other => panic!("{}: unknown activation '{other}'", row.name),
    }
}

/// PyTorch's `interpolate`: `nearest` takes the pixel before, `nearest-exact` the nearest one, the latter in the middle.
fn resize(row: &Row, input: Shape) -> Resize {
    let axis = |from: usize, to: usize| {
        let ratio = from as f64 / to as f64;
        let (scale, shift) = match row.coordinates.as_str() {
            "half_pixel" => (ratio, ratio / 2.0 - 0.5),
            "align_corners" if to > 1 => ((from - 1) as f64 / (to - 1) as f64, 0.0),
            "align_corners" => (0.0, 0.0),
            "asymmetric" => (ratio, 0.0),
            other => panic!("{}: unknown coordinates '{other}'", row.name),
        };
        Sampling { len: to, scale, shift }
    };
    let interpolation = match (row.mode.as_str(), row.coordinates.as_str()) {
        ("linear", _) => Interpolation::Linear,
        ("nearest", "asymmetric") => Interpolation::Floor,
        _ => Interpolation::NearestPreferCeil,
    };
    Resize { interpolation, axes: [axis(input.h, row.h), axis(input.w, row.w)] }
}

/// PyTorch's resizing, channel by channel, scaled to [0, 1] like a heatmap.
fn heat(golden: &Golden, row: &Row) -> Case {
    let map = golden.tensor(&format!("{}.input", row.name));
    let (_, resized) = golden.array(&format!("{}.output", row.name));
    let (n, shape) = (map.n * map.shape.c, Shape { c: 1, ..map.shape });
    let mut want = resized;
    for channel in want.chunks_mut(row.h * row.w) {
        let min = channel.iter().copied().fold(f32::INFINITY, f32::min);
        let max = channel.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let scale = |x: f32| if max > min { (x - min) / (max - min) } else { 0.0 };
        channel.iter_mut().for_each(|x| *x = scale(*x));
    }
    let mut graph = Graph::new();
    let input = graph.push(Op::Input(shape), &[]).unwrap();
    let heat = graph.push(Op::ResizeMinMax(ResizeMinMax { height: row.h, width: row.w }), &[input]).unwrap();
    Case {
        name: row.name.clone(),
        graph,
        inputs: vec![Tensor::new(n, shape, map.data)],
        outputs: vec![("heat".into(), heat, want)],
    }
}

#[test]
fn the_reference_agrees_with_pytorch() {
    for case in cases() {
        let answers = reference::run(&case.graph, &case.nodes(), &case.inputs());
        // PyTorch's f64 results, rounded to f32 once.
        case.check("reference", &answers, Tolerance(2e-7));
    }
}

#[test]
fn every_device_agrees_with_pytorch() {
    let cases = cases();
    for device in run::devices() {
        let who = device.description();
        for case in &cases {
            for options in [PlanOptions::unoptimized(Order::Depth), PlanOptions::new(Order::Depth)] {
                let answers = run::run_with(&device, &case.graph, &case.nodes(), &options, &case.inputs());
                let answers: Vec<Vec<f64>> =
                    answers.iter().map(|t| t.data.iter().map(|&x| f64::from(x)).collect()).collect();
                case.check(&who, &answers, close::OP);
            }
        }
    }
}

#[test]
fn resizing_agrees_with_pytorch() {
    let golden = Golden::load("ops");
    let rows: Vec<Row> = golden.json("cases");
    let rows: Vec<&Row> = rows.iter().filter(|row| row.op == "resize_min_max").collect();
    assert_eq!(rows.len(), 9);
    for row in rows {
        let map = golden.tensor(&format!("{}.input", row.name));
        let (_, want) = golden.array(&format!("{}.output", row.name));
        let mut got = vec![f32::NAN; want.len()];
        let from = (map.shape.h, map.shape.w);
        for (map, out) in map.data.chunks(map.shape.plane()).zip(got.chunks_mut(row.h * row.w)) {
            out.copy_from_slice(&msdcam::engine::bilinear::bilinear(map, from, (row.h, row.w)));
        }
        assert_close(&row.name, &got, &want, close::OP);
    }
}

/// A layer of more than 2^20 weights, which a GPU computes as a convolution, and its gradient from a dense one.
#[test]
fn a_large_linear_layer_agrees_with_the_reference_and_for_any_batch() {
    // Columns of the gradient that three threads compute apart.
    let (inputs, outputs) = (Shape::new(31, 9, 11), 470);
    let mut random = Random::new(17);
    let mut graph = Graph::new();
    let [x, upstream] =
        [inputs, Shape::vector(outputs)].map(|shape| graph.push(Op::Input(shape), &[]).unwrap());
    let weight = graph.add_param("w", &[outputs, inputs.len()], random.numbers(outputs * inputs.len()));
    let bias = graph.add_param("b", &[outputs], random.numbers(outputs));
    let y = graph.push(Linear { weight, bias }, &[x]).unwrap();
    let grad = gradients(&mut graph, y, upstream, &[x], ReluRule::Plain).unwrap()[0];
    let batch = |n: usize| {
        [inputs, Shape::vector(outputs)]
            .map(|shape| Tensor::new(n, shape, Random::new(18).numbers(n * shape.len())))
    };
    let both = batch(3);
    let want = reference::run(&graph, &[y, grad], &both.each_ref());
    for device in run::devices() {
        let got = run::run(&device, &graph, &[y, grad], Order::Depth, &both.each_ref());
        let alone = run::run(&device, &graph, &[y, grad], Order::Depth, &batch(1).each_ref());
        for (i, what) in ["layer", "gradient"].into_iter().enumerate() {
            let who = format!("{}: {what}", device.description());
            assert_close(&who, &got[i].data, &want[i], close::NETWORK);
            assert_same_bits(&who, alone[i].image(0), got[i].image(0));
        }
    }
}

#[test]
fn a_constant_map_becomes_zero() {
    let mut graph = Graph::new();
    let input = graph.push(Op::Input(Shape::new(1, 7, 6)), &[]).unwrap();
    let heat = graph.push(Op::ResizeMinMax(ResizeMinMax { height: 45, width: 61 }), &[input]).unwrap();
    for device in run::devices() {
        for value in [0.0, 0.3, 0.7, 1.1e-7, 123.456, 3e-41] {
            let map = Tensor::new(1, Shape::new(1, 7, 6), vec![value; 42]);
            let out = run::run(&device, &graph, &[heat], Order::Depth, &[&map]);
            let hottest = out[0].data.iter().copied().fold(0.0, f32::max);
            assert!(out[0].data.iter().all(|&x| x == 0.0), "{value} everywhere has heat {hottest}");
        }
    }
}

#[test]
fn a_map_of_tiny_values_is_finite_and_reaches_one() {
    let mut graph = Graph::new();
    let input = graph.push(Op::Input(Shape::new(1, 3, 2)), &[]).unwrap();
    let heat = graph.push(Op::ResizeMinMax(ResizeMinMax { height: 9, width: 5 }), &[input]).unwrap();
    for device in run::devices() {
        for scale in [1.0, 1e-20, 1e-38, 1e-40] {
            let map = Tensor::new(
                1,
                Shape::new(1, 3, 2),
                [0.0, 1.0, 2.0, 0.5, 0.0, 1.5].map(|x| x * scale).to_vec(),
            );
            let out = run::run(&device, &graph, &[heat], Order::Depth, &[&map]);
            let range = |pick: fn(f32, f32) -> f32| out[0].data.iter().copied().reduce(pick).unwrap();
            assert!(out[0].data.iter().all(|x| x.is_finite()), "{scale:e}: not finite");
            assert_eq!((range(f32::min), range(f32::max)), (0.0, 1.0), "{scale:e}: range of the heat map");
        }
    }
}

/// As in PyTorch: a window with a NaN is NaN, of a maximum and of a mean; others are not.
#[test]
fn a_window_is_nan_where_one_of_its_pixels_is() {
    for (kernel, stride) in [([3, 3], 1), ([3, 3], 2), ([2, 5], 1)] {
        let shape = Shape::new(2, 9, 19);
        let window = Window { kernel, stride: [stride; 2], padding: [[1, 1], [0, 1]], dilation: [1; 2] };
        let mut graph = Graph::new();
        let x = graph.push(Op::Input(shape), &[]).unwrap();
        let maximum = graph.push(MaxPool { window }, &[x]).unwrap();
        let mean = graph.push(AvgPool { window, counted: [[0; 2]; 2] }, &[x]).unwrap();
        let places = [[0, 0], [4, 17], [8, 18]];
        let mut data = Random::new(29).numbers(shape.len());
        places.iter().for_each(|[y, z]| data[y * shape.w + z] = f32::NAN);
        let image = Tensor::new(1, shape, data);
        let result = graph.shape(maximum);
        let covers = |position: usize, axis: usize, pixel: usize| {
            (position * stride..position * stride + kernel[axis]).contains(&(pixel + 1))
        };
        for device in run::devices() {
            let results = run::run(&device, &graph, &[maximum, mean], Order::Depth, &[&image]);
            for (i, is_nan) in results.iter().flat_map(|t| t.data.iter().map(|x| x.is_nan()).enumerate()) {
                let (c, p, q) = (i / result.plane(), i / result.w % result.h, i % result.w);
                let expected = c == 0 && places.iter().any(|&[y, z]| covers(p, 0, y) && covers(q, 1, z));
                assert_eq!(is_nan, expected, "{}: {kernel:?} at ({c}, {p}, {q})", device.description());
            }
        }
    }
}

/// Windows, strides and dilations far beyond the image take no memory for what is not there.
#[test]
fn windows_much_larger_than_the_image_agree_with_the_reference() {
    let shape = Shape::new(3, 4, 5);
    let mut graph = Graph::new();
    let x = graph.push(Op::Input(shape), &[]).unwrap();
    let windows = [
        Window { kernel: [1, 1], stride: [60_000; 2], padding: [[0; 2]; 2], dilation: [1; 2] },
        Window { kernel: [3, 20_001], stride: [1, 20_000], padding: [[1, 20_000], [1, 0]], dilation: [1; 2] },
        Window {
            kernel: [2_001, 2_003],
            stride: [2_000; 2],
            padding: [[2_000; 2], [0; 2]],
            dilation: [1; 2],
        },
    ];
    let mut outputs = Vec::new();
    for window in windows {
        outputs.push(graph.push(MaxPool { window }, &[x]).unwrap());
        outputs.push(graph.push(AvgPool { window, counted: [[0; 2]; 2] }, &[x]).unwrap());
    }
    let mut random = Random::new(31);
    let weight = graph.add_param("weight", &[3, 1, 2, 2], random.numbers(12));
    let conv = Conv2d::new(&graph, weight, None, [1, 1], [0, 0]);
    for (padding, dilation) in [([0, 30_000], [1, 30_000]), ([9_000; 2], [9_000; 2])] {
        let window = Window { padding: [padding, [0; 2]], dilation, ..conv.window };
        outputs.push(graph.push(Conv2d { window, channels: 3, groups: 3, ..conv.clone() }, &[x]).unwrap());
    }
    let image = Tensor::new(1, shape, random.numbers(shape.len()));
    let want = reference::run(&graph, &outputs, &[&image]);
    // A GPU refuses more than 8,192 rows or columns.
    for device in run::devices().into_iter().filter(|device| matches!(device, Device::Cpu(_))) {
        let got = run::run(&device, &graph, &outputs, Order::Depth, &[&image]);
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            assert_close(&format!("{}: output {i}", device.description()), &got.data, want, close::OP);
        }
    }
}

/// Windows over single channels, and convolutions of single pixels, for every width up to beyond two vectors: which of their
/// vectors end with a row, and which read or write beyond it, depends on that.
#[test]
fn rows_of_every_width_agree_with_the_reference() {
    let devices = run::devices();
    let mut random = Random::new(37);
    for width in 1..=36 {
        let shape = Shape::new(3, 1 + width % 10, width);
        let mut graph = Graph::new();
        let x = graph.push(Op::Input(shape), &[]).unwrap();
        let mut outputs = Vec::new();
        for (side, stride) in [(3, 1), (5, 1), (3, 2), (5, 2)] {
            // Multiplier 2: two channels of results read one.
            let weight = graph.add_param("weight", &[6, 1, side, side], random.numbers(6 * side * side));
            let bias = graph.add_param("bias", &[6], random.numbers(6));
            let conv = Conv2d::new(&graph, weight, Some(bias), [stride; 2], [side / 2; 2]);
            let ahead = Window { padding: [[side - 1; 2], [0; 2]], ..conv.window };
            for window in [conv.window, ahead] {
                let conv = Conv2d { window, channels: 3, groups: 3, ..conv.clone() };
                outputs.push(graph.push(conv, &[x]).unwrap());
            }
        }
        for stride in [1, 2] {
            let window =
                Window { kernel: [3; 2], stride: [stride; 2], padding: [[1; 2]; 2], dilation: [1; 2] };
            outputs.push(graph.push(MaxPool { window }, &[x]).unwrap());
            outputs.push(graph.push(AvgPool { window, counted: [[1; 2]; 2] }, &[x]).unwrap());
        }
        // Few and many terms, few and many groups of output channels.
        let mut wide = x;
        for out in [70, 7, 130] {
            let channels = graph.shape(wide).c;
            let weight = graph.add_param("weight", &[out, channels, 1, 1], random.numbers(out * channels));
            wide = graph.push(Conv2d::new(&graph, weight, None, [1, 1], [0, 0]), &[wide]).unwrap();
            outputs.push(wide);
        }
        let image = Tensor::new(2, shape, random.numbers(2 * shape.len()));
        let want = reference::run(&graph, &outputs, &[&image]);
        for device in &devices {
            let got = run::run(device, &graph, &outputs, Order::Depth, &[&image]);
            for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                let what = format!("{}: width {width}, output {i}", device.description());
                assert_close(&what, &got.data, want, close::OP);
            }
        }
    }
}
