//! The layers with parameters of a configuration: kind, position and output size.
//!
//! The list follows from the graph; tensor names, parameter counts and multiply-adds follow from the
//! list.

use super::builder::{BOOST, outline};
use super::config::Config;
use crate::Result;
use crate::engine::graph::{Graph, Op, ParamId};
use crate::model::Model;

/// A layer with parameters: a convolution, a batch norm or a linear layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Prefix of its tensors' names.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// The exit of its block or head, counted from 0.
    pub exit: usize,
    /// Whether it belongs to the exit's head rather than to the trunk.
    pub head: bool,
    /// Rows and columns of its output.
    pub output: [usize; 2],
}

/// The kind of a layer and its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A convolution.
    Conv {
        /// Input channels.
        cin: usize,
        /// Output channels.
        cout: usize,
        /// Rows and columns of the kernel.
        kernel: [usize; 2],
        /// Whether it has a bias.
        bias: bool,
    },
    /// A batch norm; its number of channels.
    BatchNorm(usize),
    /// A linear layer with a bias.
    Linear {
        /// Input features.
        cin: usize,
        /// Output features.
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

    /// Number of input channels.
    pub fn channels_in(&self) -> usize {
        match self.kind {
            Kind::Conv { cin, .. } | Kind::Linear { cin, .. } => cin,
            Kind::BatchNorm(channels) => channels,
        }
    }

    /// Number of trained elements: weights and biases, without running statistics.
    pub fn parameters(&self) -> u64 {
        match self.kind {
            Kind::Conv { cin, cout, kernel: [h, w], bias } => {
                (cout * cin * h * w) as u64 + if bias { cout as u64 } else { 0 }
            }
            Kind::BatchNorm(c) => 2 * c as u64,
            Kind::Linear { cin, cout } => (cin * cout + cout) as u64,
        }
    }

    /// Multiply-adds for one image. A batch norm has none, because it is folded into its convolution.
    ///
    /// The right branch of a shared global convolution, whose own weights are never read, counts like
    /// the left one, whose weights it uses.
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

/// Name and dimensions of every tensor of a configuration, in PyTorch's order.
///
/// Dimensions are PyTorch's: (out, in, kh, kw) for a convolution, (out, in) for a linear layer. The
/// counters `num_batches_tracked` are omitted: inference does not read them. With shared global
/// convolutions the tensors of the right branch are included: the port stores them, but never reads
/// them.
///
/// # Errors
/// When the configuration is invalid.
pub fn tensors(config: &Config) -> Result<Vec<(String, Vec<usize>)>> {
    Ok(parts(config)?.iter().flat_map(|part| part.tensors()).collect())
}

/// Every layer with parameters, in PyTorch's order: all blocks, then all heads.
///
/// # Errors
/// When the configuration is invalid.
pub fn parts(config: &Config) -> Result<Vec<Part>> {
    let Model { graph, exits, taps, .. } = outline(config)?;
    let mut parts: Vec<Part> = Vec::new();
    for id in graph.ids() {
        // The nodes of a head follow its tap directly and end with its logits.
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

/// The weight of an op and the kind of its layer; `None` for an op without parameters.
fn learned(graph: &Graph, op: &Op) -> Option<(ParamId, Kind)> {
    match op {
        Op::Conv2d(conv) => {
            let (kernel, bias) = (conv.window.kernel, conv.bias.is_some());
            Some((conv.weight, Kind::Conv { cin: conv.channels, cout: conv.out, kernel, bias }))
        }
        Op::BatchNorm(norm) if graph.param(norm.weight).name.starts_with(BOOST) => None,
        Op::BatchNorm(norm) => Some((norm.weight, Kind::BatchNorm(graph.param(norm.weight).dims[0]))),
        Op::Linear(linear) => {
            let dims = &graph.param(linear.weight).dims;
            Some((linear.weight, Kind::Linear { cin: dims[1], cout: dims[0] }))
        }
        _ => None,
    }
}
