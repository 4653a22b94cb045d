//! Wrong calls of the library: each gives an error, a value, or a panic that the documentation tells and that names
//! what was wrong. None ends the process, none runs for ever, none takes memory without bound.

mod engine;
mod explain;
mod imaging;
mod metrics;

use std::fmt::Debug;
use std::panic::catch_unwind;

use msdcam::engine::graph::ops::{AvgPool, Linear, Op, Window};
use msdcam::engine::graph::{Graph, NodeId};
use msdcam::{Device, DeviceChoice, Model, Result, Shape};

/// What a wrong call has to give; the text is a part of the message or of the value as `Debug` writes it.
enum Gives {
    Refused(&'static str),
    Panic(&'static str),
    Value(&'static str),
}
use Gives::{Panic, Refused, Value};

/// A call's name, what it has to give, and the call: its value as text, or its error.
type Case = (&'static str, Gives, fn() -> Result<String>);

/// Makes every call, and names all that give something else.
#[track_caller]
fn check(cases: &[Case]) {
    let mut wrong = Vec::new();
    for (name, gives, call) in cases {
        let (kind, text) = match catch_unwind(call) {
            Ok(Ok(value)) => ("value", value),
            Ok(Err(error)) => ("error", error.to_string()),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
                ("panic", text.unwrap_or_default())
            }
        };
        let (expected, part) = match gives {
            Refused(part) => ("error", part),
            Panic(part) => ("panic", part),
            Value(part) => ("value", part),
        };
        if kind != expected || !text.contains(part) || kind == "error" && text.contains('\n') {
            wrong.push(format!("{name}: {kind} {text}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} calls:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// The value of a call as text.
fn shown(value: impl Debug) -> Result<String> {
    Ok(format!("{value:?}"))
}

/// A size that no memory has, but whose bytes still fit in a `usize`.
const VAST: usize = 1 << 44;

/// A graph of one input of `shape`.
fn graph_of(shape: Shape) -> (Graph, NodeId) {
    let mut graph = Graph::new();
    let input = graph.push(Op::Input(shape), &[]).unwrap();
    (graph, input)
}

/// The fourth node of another graph.
fn foreign_node() -> NodeId {
    let (mut graph, mut node) = graph_of(Shape::vector(1));
    (0..3).for_each(|_| node = graph.push(Op::RELU, &[node]).unwrap());
    node
}

/// A classifier of the means of its input's channels, for images of 8 x 8.
fn small_model() -> Model {
    let (mut graph, input) = graph_of(Shape::new(3, 8, 8));
    let relu = graph.push(Op::RELU, &[input]).unwrap();
    let mean =
        graph.push(AvgPool { window: Window::square(8, 8, 0), counted: [[0; 2]; 2] }, &[relu]).unwrap();
    let weight = graph.add_param("weight", &[2, 3], (0..6).map(|i| i as f32).collect::<Vec<_>>());
    let bias = graph.add_param("bias", &[2], vec![0.0; 2]);
    let logits = graph.push(Linear { weight, bias }, &[mean]).unwrap();
    Model::from_graph(graph, input, &[(relu, logits)]).unwrap()
}

fn cpu() -> Device {
    Device::open(DeviceChoice::Cpu, 1).unwrap()
}
