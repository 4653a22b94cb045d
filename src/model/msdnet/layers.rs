//! Every learned part of a network, in order: what it is, where it stands, how large its output is.
//!
//! Tensor names, parameter counts and multiply-adds all follow from this one list, and the list
//! from the network's graph.

use super::builder::outline;
use super::config::Config;
use crate::Result;
use crate::engine::graph::{Graph, Op, ParamId};
use crate::model::Model;

/// One learned part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Prefix of its tensors.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The block that it belongs to, or whose head; counted from 0.
    pub exit: usize,
    /// Whether it belongs to the exit's head rather than to the trunk.
    pub head: bool,
    /// Rows and columns of its output.
    pub output: [usize; 2],
}

/// What a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A convolution.
    Conv {
        /// Channels in.
        cin: usize,
        /// Channels out.
        cout: usize,
        /// Rows and columns of the kernel.
        kernel: [usize; 2],
        /// Whether it has a bias.
        bias: bool,
    },
    /// A batch norm over this many channels.
    BatchNorm(usize),
    /// A linear layer with a bias.
    Linear {
        /// Features in.
        cin: usize,
        /// Features out.
        cout: usize,
    },
}

impl Part {
    /// Name and dimensions of each of its tensors.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let tensor = |n: &str, dims: &[usize]| (format!("{}.{n}", self.name), dims.to_vec());
        match self.kind {
            Kind::Conv { cin, cout, kernel: [h, w], bias } => {
                let weight = tensor("weight", &[cout, cin, h, w]);
                if bias { vec![weight, tensor("bias", &[cout])] } else { vec![weight] }
            }
            Kind::BatchNorm(c) => {
                ["weight", "bias", "running_mean", "running_var"].map(|n| tensor(n, &[c])).into()
            }
            Kind::Linear { cin, cout } => vec![tensor("weight", &[cout, cin]), tensor("bias", &[cout])],
        }
    }

    /// Channels that it reads.
    pub fn channels_in(&self) -> usize {
        match self.kind {
            Kind::Conv { cin, .. } | Kind::Linear { cin, .. } => cin,
            Kind::BatchNorm(channels) => channels,
        }
    }

    /// Trained numbers: weights and biases, not the running statistics.
    pub fn parameters(&self) -> u64 {
        match self.kind {
            Kind::Conv { cin, cout, kernel: [h, w], bias } => {
                (cout * cin * h * w) as u64 + if bias { cout as u64 } else { 0 }
            }
            Kind::BatchNorm(c) => 2 * c as u64,
            Kind::Linear { cin, cout } => (cin * cout + cout) as u64,
        }
    }

    /// Multiply-adds for one image. A batch norm counts none: it folds into its convolution.
    ///
    /// Of a shared global convolution's right branch, whose own weights are never read, the
    /// count is the same, since the left branch's weights stand in.
    pub fn multiply_adds(&self) -> u64 {
        match self.kind {
            Kind::Conv { cin, cout, kernel: [h, w], .. } => {
                (cin * cout * h * w) as u64 * (self.output[0] * self.output[1]) as u64
            }
            Kind::BatchNorm(_) => 0,
            Kind::Linear { cin, cout } => (cin * cout) as u64,
        }
    }
}

/// Every learned part, in PyTorch's order: all blocks, then all heads.
///
/// # Errors
/// When the configuration makes no network.
pub fn parts(config: &Config) -> Result<Vec<Part>> {
    let Model { graph, exits, taps, .. } = outline(config)?;
    let mut parts: Vec<Part> = Vec::new();
    for id in graph.ids() {
        // A head is built right behind its tap, up to its logits.
        let exit =
            exits.iter().position(|exit| id <= exit.logits).expect("the last exit's logits end the graph");
        let head = id > taps[exits[exit].tap].node;
        let node = graph.node(id);
        if let Some((weight, kind)) = learned(&graph, &node.op) {
            let name = graph.param(weight).name.trim_end_matches(".weight").to_string();
            parts.push(Part { name, kind, exit, head, output: [node.shape.h, node.shape.w] });
        }
    }
    parts.sort_by_key(|part| part.head);
    Ok(parts)
}

/// An op's first parameter and what kind of part it is; nothing for an op that learns nothing.
fn learned(graph: &Graph, op: &Op) -> Option<(ParamId, Kind)> {
    match op {
        Op::Conv2d(conv) => {
            let (kernel, bias) = (conv.window.kernel, conv.bias.is_some());
            Some((conv.weight, Kind::Conv { cin: conv.channels, cout: conv.out, kernel, bias }))
        }
        Op::BatchNorm(norm) => Some((norm.weight, Kind::BatchNorm(graph.param(norm.weight).dims[0]))),
        Op::Linear(linear) => {
            let dims = &graph.param(linear.weight).dims;
            Some((linear.weight, Kind::Linear { cin: dims[1], cout: dims[0] }))
        }
        _ => None,
    }
}
