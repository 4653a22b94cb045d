//! Wrong calls of graphs, plans and devices.

use std::sync::Arc;

use msdcam::engine::bilinear::bilinear;
use msdcam::engine::cpu::Cpu;
use msdcam::engine::graph::grad::gradients;
use msdcam::engine::graph::ops::{
    BatchNorm, Conv2d, Conv2dGrad, Linear, LinearGrad, MaxPool, Op, ReluRule, ResizeMinMax, Slice, Window,
};
use msdcam::engine::graph::{Graph, NodeId, ParamId};
use msdcam::engine::plan::Plan;
use msdcam::engine::session::Session;
use msdcam::engine::tensor::Tensor;
use msdcam::model::msdnet::{Config, outline};
use msdcam::{Order, Result, Shape};

use super::Gives::{Panic, Refused, Value};
use super::{VAST, check, foreign_node, graph_of, shown};

/// What pushing an op on an input of 4x8x8 gives, after the parameters of `dims` have been added.
fn pushed(dims: &[&[usize]], op: impl FnOnce(&[ParamId]) -> Op) -> Result<String> {
    let (mut graph, input) = graph_of(Shape::new(4, 8, 8));
    let params: Vec<ParamId> =
        dims.iter().map(|dims| graph.add_param("w", dims, vec![0.5; dims.iter().product()])).collect();
    shown(graph.push(op(&params), &[input])?)
}

/// The identifier of a parameter, the fourth of another graph.
fn foreign_param() -> ParamId {
    let mut graph = Graph::new();
    (0..4).map(|_| graph.declare_param("other", &[1])).last().unwrap()
}

#[test]
fn a_graph_refuses_what_devices_could_not_trust() {
    check(&[
        ("push, another graph's node", Refused("relu: node 3 of a graph of 1 nodes"), || {
            let (mut graph, _) = graph_of(Shape::vector(1));
            shown(graph.push(Op::RELU, &[foreign_node()])?)
        }),
        (
            "push, another graph's parameter",
            Refused("linear: parameter 3 of a graph of 0 parameters"),
            || pushed(&[], |_| Linear { weight: foreign_param(), bias: foreign_param() }.into()),
        ),
        ("push, a shape whose length overflows", Refused("input: a result of"), || {
            shown(graph_of_result(Shape::new(1 << 33, 1 << 31, 1))?)
        }),
        ("push, more elements than a device addresses", Refused("has more than 2147483647 elements"), || {
            shown(graph_of_result(Shape::new(1 << 31, 1, 1))?)
        }),
        (
            "conv2d, more channels than its weight",
            Refused("conv2d: parameter 'w' has dimensions [2, 4, 3, 3], expected [900, 4, 3, 3]"),
            || pushed(&[&[2, 4, 3, 3]], |p| convolution(p[0], None, 900, Window::square(3, 1, 1)).into()),
        ),
        ("conv2d, a larger window than its weight", Refused("expected [2, 4, 7, 7]"), || {
            pushed(&[&[2, 4, 3, 3]], |p| convolution(p[0], None, 2, Window::square(7, 1, 3)).into())
        }),
        ("conv2d, a short bias", Refused("parameter 'w' has dimensions [1], expected [2]"), || {
            pushed(&[&[2, 4, 3, 3], &[1]], |p| {
                convolution(p[0], Some(p[1]), 2, Window::square(3, 1, 1)).into()
            })
        }),
        ("conv2d, a weight of two dimensions", Refused("expected 4 of them"), || {
            pushed(&[&[2, 4]], |p| convolution(p[0], None, 2, Window::square(1, 1, 0)).into())
        }),
        ("conv2d, no stride", Refused("kernel 3, stride 0"), || {
            pushed(&[&[2, 4, 3, 3]], |p| convolution(p[0], None, 2, Window::square(3, 0, 1)).into())
        }),
        (
            "conv2d, a padding that overflows",
            Refused("padding [18446744073709551615, 18446744073709551615]"),
            || {
                pushed(&[&[2, 4, 3, 3]], |p| {
                    convolution(p[0], None, 2, Window::square(3, 1, usize::MAX)).into()
                })
            },
        ),
        ("conv2d_grad, more channels than its weight", Refused("conv2d_grad: parameter 'w'"), || {
            pushed(&[&[2, 4, 3, 3]], |p| {
                let input = Shape::new(90, 8, 8);
                let window = Window::square(3, 1, 1);
                Conv2dGrad { weight: p[0], out: 4, input, groups: 1, window, relu: None }.into()
            })
        }),
        ("linear, a weight of one dimension", Refused("expected 2 of them"), || {
            pushed(&[&[2], &[2]], |p| Linear { weight: p[0], bias: p[1] }.into())
        }),
        ("linear, a short bias", Refused("has dimensions [1], expected [2]"), || {
            pushed(&[&[2, 256], &[1]], |p| Linear { weight: p[0], bias: p[1] }.into())
        }),
        ("linear_grad, a larger result than its weight", Refused("expected [256, 8192]"), || {
            pushed(&[&[256, 4]], |p| {
                Op::LinearGrad(LinearGrad { weight: p[0], input: Shape::new(8, 32, 32) })
            })
        }),
        ("batch_norm, a short variance", Refused("has dimensions [3], expected [4]"), || {
            pushed(&[&[4], &[3]], |p| {
                BatchNorm { weight: p[0], bias: p[0], mean: p[0], variance: p[1], eps: 0.0, relu: None }
                    .into()
            })
        }),
        ("max_pool, a padding that overflows", Refused("padding [9223372036854775808, "), || {
            pushed(&[], |_| MaxPool { window: Window::square(2, 2, 1 << 63) }.into())
        }),
        ("max_pool, a window of padding alone", Refused("on 8 pixels: a window is all padding"), || {
            let padding = [[0, 0], [0, 2]];
            pushed(&[], |_| MaxPool { window: Window { padding, ..Window::square(2, 1, 0) } }.into())
        }),
        ("max_pool, a dilated window", Refused("max_pool: dilation [2, 2], only 1 is supported"), || {
            pushed(&[], |_| MaxPool { window: Window { dilation: [2, 2], ..Window::square(2, 1, 0) } }.into())
        }),
        ("conv2d, no dilation", Refused("kernel 3, stride 1, dilation 0"), || {
            pushed(&[&[2, 4, 3, 3]], |p| {
                convolution(p[0], None, 2, Window { dilation: [1, 0], ..Window::square(3, 1, 1) }).into()
            })
        }),
        ("slice, an end that overflows", Refused("slice: ends at element"), || {
            pushed(&[], |_| Slice { offset: usize::MAX, shape: Shape::vector(2) }.into())
        }),
        (
            "resize, to more than a device addresses",
            Refused("a result of 1x65536x65536 has more than"),
            || {
                let (mut graph, input) = graph_of(Shape::new(1, 2, 2));
                shown(graph.push(ResizeMinMax { height: 1 << 16, width: 1 << 16 }, &[input])?)
            },
        ),
        ("gradients, another graph's score", Refused("gradient: node 3 of a graph of 1 nodes"), || {
            let (mut graph, input) = graph_of(Shape::vector(1));
            shown(gradients(&mut graph, foreign_node(), input, &[input], ReluRule::Plain)?)
        }),
        ("gradients, a seed of another shape", Refused("expects a gradient of 2x1x1, has 3x1x1"), || {
            let (mut graph, input) = graph_of(Shape::vector(2));
            let seed = graph.push(Op::Input(Shape::vector(3)), &[])?;
            shown(gradients(&mut graph, input, seed, &[input], ReluRule::Plain)?)
        }),
        ("Plan::new, another graph's output", Refused("plan: node 3 of a graph of 1 nodes"), || {
            Ok(Plan::new(&graph_of(Shape::vector(1)).0, &[foreign_node()], Order::ByExit)?.to_string())
        }),
        ("Plan::new, an outline", Refused("is only declared, without its elements"), || {
            let model = outline(&Config::cifar10_anytime())?;
            Ok(Plan::new(&model.graph, &[model.exits[0].logits], Order::Depth)?.to_string())
        }),
        ("Graph::node, another graph's", Panic("node 3 of a graph of 1 nodes"), || {
            shown(graph_of(Shape::vector(1)).0.node(foreign_node()).shape)
        }),
        ("Graph::param, another graph's", Panic("parameter 3 of a graph of 0 parameters"), || {
            shown(&Graph::new().param(foreign_param()).name)
        }),
        ("Graph::ancestors, another graph's", Panic("node 3 of a graph of 1 nodes"), || {
            shown(graph_of(Shape::vector(1)).0.ancestors(&[foreign_node()]))
        }),
        ("add_param, dimensions whose product overflows", Panic("elements of parameter 'w'"), || {
            shown(Graph::new().add_param("w", &[1 << 32, 1 << 32], Vec::new()))
        }),
        ("set_param, more elements", Panic("elements of parameter 'w'"), || {
            let mut graph = Graph::new();
            let id = graph.add_param("w", &[1], vec![0.0]);
            graph.set_param(id, vec![0.0; 2].into());
            shown(graph.params().len())
        }),
        ("Shape::len, beyond a usize", Value("18446744073709551615"), || {
            shown(Shape::new(usize::MAX, 2, 2).len())
        }),
    ]);
}

/// As [`graph_of`], if that is possible.
fn graph_of_result(shape: Shape) -> Result<NodeId> {
    Graph::new().push(Op::Input(shape), &[])
}

/// A convolution of four channels.
fn convolution(weight: ParamId, bias: Option<ParamId>, out: usize, window: Window) -> Conv2d {
    Conv2d { weight, bias, out, channels: 4, groups: 1, window, residual: false, relu: None }
}

/// A session of one convolution of an input of 4x8x8 by `window`, whose weights are 1, for `batch` images.
fn session_of(window: Window, batch: usize) -> Result<Box<dyn Session>> {
    let (mut graph, input) = graph_of(Shape::new(4, 8, 8));
    let [kh, kw] = window.kernel;
    let weight = graph.add_param("w", &[2, 4, kh, kw], vec![1.0; 8 * kh * kw]);
    let output = graph.push(convolution(weight, None, 2, window), &[input])?;
    Cpu::new(2)?.session(Arc::new(Plan::new(&graph, &[output], Order::Depth)?), batch)
}

/// The sum of a run's results on ones.
fn sum_of(window: Window) -> Result<String> {
    let mut session = session_of(window, 1)?;
    let mut outputs = vec![0.0; session.plan().output_len()];
    session.run(&[1.0; 4 * 8 * 8], &mut outputs)?;
    let slot = session.plan().outputs()[0];
    let values = &outputs[slot.offset()..][..slot.shape().len()];
    shown(values.iter().map(|&x| f64::from(x)).sum::<f64>())
}

#[test]
fn a_device_refuses_what_it_cannot_hold_and_computes_what_is_only_odd() {
    check(&[
        (
            "more threads than any machine has",
            Refused("cpu: 18446744073709551615 threads, at most 4096"),
            || shown(Cpu::new(usize::MAX)?),
        ),
        ("a batch of any size", Value("18446744073709551615"), || {
            shown(session_of(Window::square(3, 1, 1), usize::MAX)?.capacity())
        }),
        ("a batch that no memory holds", Refused("cpu: not enough memory for"), || {
            let mut session = session_of(Window::square(3, 1, 1), usize::MAX)?;
            session.submit(VAST, &mut |_, _| Ok(())).map(|()| String::new())
        }),
        ("a batch beyond the capacity", Refused("N at most 2"), || {
            session_of(Window::square(3, 1, 1), 2)?
                .submit(usize::MAX, &mut |_, _| Ok(()))
                .map(|()| String::new())
        }),
        ("buffers of no whole image", Refused("a batch of N images"), || {
            session_of(Window::square(3, 1, 1), 1)?.run(&[0.0; 7], &mut [0.0; 7]).map(|()| String::new())
        }),
        ("waiting for nothing", Refused("no batch is in flight"), || {
            session_of(Window::square(3, 1, 1), 1)?.wait().map(|()| String::new())
        }),
        // Vectors reach beyond a row by the padding: farther than memory may be read.
        ("padding beyond what may be read", Value("512.0"), || {
            sum_of(Window { kernel: [1, 1], stride: [1, 1], padding: [[0, 300]; 2], dilation: [1; 2] })
        }),
        ("padding after the image beyond what may be read", Value("512.0"), || {
            sum_of(Window { kernel: [1, 1], stride: [1, 1], padding: [[0, 0], [0, 300]], dilation: [1; 2] })
        }),
        ("padding of rows and columns", Value("512.0"), || sum_of(Window::square(1, 1, 100))),
        ("padding with stride 2", Value("128.0"), || sum_of(Window::square(1, 2, 100))),
        ("a 3x3 window with wide padding", Value("4608.0"), || {
            // Winograd's algorithm with blocks of 4x4 is not exact on whole numbers.
            let sum: f64 = sum_of(Window::square(3, 1, 70))?.parse().expect("a number");
            Ok(format!("{sum:.3}"))
        }),
        ("a stride beyond the image", Value("8.0"), || sum_of(Window::square(1, 60_000, 0))),
        ("multiply-adds until no exit", Panic("exit 0 of a plan of 0"), || {
            let (graph, input) = graph_of(Shape::vector(1));
            shown(Plan::new(&graph, &[input], Order::Depth)?.multiply_adds_until(0))
        }),
        ("Tensor::new, other elements", Panic("elements of a tensor of 2 x 3x1x1"), || {
            shown(Tensor::new(2, Shape::vector(3), vec![0.0; 5]))
        }),
        ("Tensor::zeros, beyond memory", Panic("not enough memory for a tensor"), || {
            shown(Tensor::zeros(VAST, Shape::vector(3)).n)
        }),
        ("Tensor::image, none", Panic("image 1 of a batch of 1"), || {
            shown(Tensor::zeros(1, Shape::vector(3)).image(1))
        }),
        ("bilinear, beyond memory", Panic("not enough memory for a map"), || {
            shown(bilinear(&[1.0], (1, 1), (VAST, 1)).len())
        }),
    ]);
}
