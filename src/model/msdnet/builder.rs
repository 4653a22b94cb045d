//! The builder of the graph, for both layouts: they differ in tensor names and in fields of the
//! configuration.

use super::config::{Config, GlobalConv, HeadPool, Layout, Stem};
use super::tensor_names;
use super::tensor_names::{Branch, ConvBn, Names};
use crate::engine::graph::ops::{AvgPool, BatchNorm, Conv2d, Linear, MaxPool, Op, Window};
use crate::engine::graph::{Elements, Graph, NodeId, ParamId};
use crate::error::RequestError;
use crate::model::{Model, Source, Tap};
use crate::{Result, Shape};

/// PyTorch's default, which both ports use.
const BATCH_NORM_EPS: f32 = 1e-5;

/// The MSD-Net of `config`; `tensor` gives each weight by name and dimensions. Classes are named by
/// their indices and pixels are not normalized: a weights file has both.
///
/// # Errors
/// When the configuration is invalid or the input too small for its scales; those of `tensor`.
pub fn build(config: &Config, tensor: impl Fn(&str, &[usize]) -> Result<Elements>) -> Result<Model> {
    Builder::new(config, Some(&tensor))?.build()
}

/// The MSD-Net of `config` without weights: every parameter is only
/// [declared](Graph::declare_param).
///
/// # Errors
/// When the configuration is invalid.
pub fn outline(config: &Config) -> Result<Model> {
    Builder::new(config, None)?.build()
}

/// Prefix of the parameters that are constants of the architecture and in no file.
pub(super) const BOOST: &str = "boost.";

type TensorSource<'a> = &'a dyn Fn(&str, &[usize]) -> Result<Elements>;

struct Builder<'a> {
    config: &'a Config,
    names: Names,
    graph: Graph,
    /// The exit of the block under construction.
    exit: usize,
    /// Source of the weights; `None` for an outline.
    tensor: Option<TensorSource<'a>>,
}

/// The values of all scales, finest first; `None` once a scale is dropped.
type Scales = Vec<Option<NodeId>>;

impl<'a> Builder<'a> {
    fn new(config: &'a Config, tensor: Option<TensorSource<'a>>) -> Result<Self> {
        config.validate().map_err(|cause| RequestError::Architecture { cause })?;
        Ok(Builder { config, names: Names::new(config), graph: Graph::new(), exit: 1, tensor })
    }

    fn build(mut self) -> Result<Model> {
        let config = self.config;
        let input = self.push(Op::Input(Shape::new(3, config.input, config.input)), &[])?;
        let (mut exits, mut taps) = (Vec::new(), Vec::new());
        let mut scales = Scales::new();
        let mut layer = 0;
        let mut before: Option<NodeId> = None;
        for (block, &depth) in config.layers.iter().enumerate() {
            self.exit = block + 1;
            let mut module = 0;
            if block == 0 {
                scales = self.first_layer(input)?;
                add_taps(&mut taps, layer, &scales);
                module += 1;
            }
            for _ in 0..depth {
                layer += 1;
                scales = self.layer(block, module, layer, &scales)?;
                module += 1;
                if let Some(transition) = config.transition(layer) {
                    scales = self.transition(block, module, transition.width, &scales)?;
                    module += 1;
                }
                add_taps(&mut taps, layer, &scales);
            }
            let tap = scales.last().copied().flatten().expect("the coarsest scale is never dropped");
            let logits = self.head(block, tap, before)?;
            exits.push((tap, logits));
            before = Some(logits);
        }
        let mut model = Model::from_graph(self.graph, input, &exits)?;
        model.taps.append(&mut taps);
        model.source = Source::MsdNet { config: Box::new(config.clone()), checkpoint_sha256: String::new() };
        Ok(model)
    }

    fn first_layer(&mut self, input: NodeId) -> Result<Scales> {
        let mut scales = Scales::new();
        let mut x = input;
        for scale in 0..self.config.scales() {
            let out = self.config.channels * self.config.scale_factor[scale];
            let names = self.names.first(scale);
            if scale == 0 && self.config.stem == Stem::Imagenet {
                x = self.conv_bn_relu(&names, x, out, Window::square(7, 2, 3), true)?;
                x = self.push(MaxPool { window: Window::square(3, 2, 1) }, &[x])?;
            } else {
                let global = self.config.global_conv.filter(|g| g.first);
                let stride = if scale == 0 { self.config.stem_stride } else { 2 };
                x = self.spatial(&names, x, out, stride, global)?;
            }
            scales.push(Some(x));
        }
        Ok(scales)
    }

    /// One dense layer: the value of each scale is concatenated with a branch of its own and, except at
    /// the finest scale, one from the next finer scale with stride 2.
    fn layer(&mut self, block: usize, module: usize, layer: usize, scales: &Scales) -> Result<Scales> {
        let finest = self.config.finest_scale(layer);
        let mut next: Scales = vec![None; scales.len()];
        for (position, scale) in (finest..scales.len()).enumerate() {
            let x = scales[scale].expect("scales are dropped finest first");
            let gained = self.config.growth * self.config.scale_factor[scale];
            let finer = scale.checked_sub(1).and_then(|s| scales[s]);
            let mut parts = vec![x];
            if let Some(finer) = finer {
                let names = self.names.branch(block, module, layer, position, Branch::Down);
                parts.push(self.branch(&names, finer, gained / 2, 2, scale - 1)?);
            }
            let kept = if finer.is_some() { gained / 2 } else { gained };
            let kind = Branch::Normal { beside_down: finer.is_some() };
            let names = self.names.branch(block, module, layer, position, kind);
            parts.push(self.branch(&names, x, kept, 1, scale)?);
            next[scale] = Some(self.push(Op::Concat, &parts)?);
        }
        Ok(next)
    }

    /// [1x1 convolution, BN, ReLU,] spatial convolution, BN, ReLU.
    fn branch(
        &mut self,
        names: &tensor_names::BranchNames,
        mut x: NodeId,
        out: usize,
        stride: usize,
        source: usize,
    ) -> Result<NodeId> {
        if let Some(bottleneck) = &names.bottleneck {
            let inner = (self.config.bottleneck_factor[source] * out).min(self.graph.shape(x).c);
            let biased = self.config.layout == Layout::Subnets;
            x = self.conv_bn_relu(bottleneck, x, inner, Window::square(1, 1, 0), biased)?;
        }
        self.spatial(&names.spatial, x, out, stride, self.config.global_conv.filter(|g| g.all))
    }

    fn transition(&mut self, block: usize, module: usize, width: usize, scales: &Scales) -> Result<Scales> {
        let mut next = scales.clone();
        let alive = scales.iter().enumerate().filter_map(|(scale, x)| x.map(|x| (scale, x)));
        for (position, (scale, x)) in alive.enumerate() {
            let names = self.names.transition(block, module, position);
            let out = width * self.config.scale_factor[scale];
            let biased = self.config.layout == Layout::Subnets;
            next[scale] = Some(self.conv_bn_relu(&names, x, out, Window::square(1, 1, 0), biased)?);
        }
        Ok(next)
    }

    /// Two convolutions of stride 2, an average pool and a linear layer; `before` are the logits of the exit
    /// before.
    fn head(&mut self, exit: usize, tap: NodeId, before: Option<NodeId>) -> Result<NodeId> {
        let (config, names) = (self.config, self.names.head(exit));
        let inner = config.head_channels(self.graph.shape(tap).c);
        let biased = config.layout == Layout::Subnets;
        let mut x = tap;
        for conv in [&names.first, &names.second] {
            x = self.conv_bn_relu(conv, x, inner, Window::square(3, 2, 1), biased)?;
        }
        let window = match config.head.pool {
            HeadPool::Average => Window::square(2, 2, 0),
            HeadPool::Adaptive => Window::square(config.unpooled_size(), config.unpooled_size(), 0),
        };
        x = self.push(AvgPool { window, counted: [[0; 2]; 2] }, &[x])?;
        if let Some(before) = before.filter(|_| config.head.collaboration) {
            let refined = self.linear(&format!("isc_modules.{}.0", exit - 1), before, inner)?;
            let refined = self.bn_relu(&format!("isc_modules.{}.1", exit - 1), refined, inner)?;
            x = self.push(Op::Concat, &[x, refined])?;
        }
        let logits = self.linear(&names.linear, x, config.classes)?;
        match before.filter(|_| config.head.boost != 0.0) {
            Some(before) => {
                let weighted = self.scaled(&format!("{BOOST}{exit}"), before, config.head.boost)?;
                self.push(Op::Add, &[logits, weighted])
            }
            None => Ok(logits),
        }
    }

    fn linear(&mut self, prefix: &str, x: NodeId, out: usize) -> Result<NodeId> {
        let Shape { c, h, w } = self.graph.shape(x);
        let weight = self.param(prefix, "weight", &[out, c * h * w])?;
        let bias = self.param(prefix, "bias", &[out])?;
        self.push(Linear { weight, bias }, &[x])
    }

    /// `x` times `factor`, as a batch norm of mean 0 and variance 1 whose parameters are constants.
    fn scaled(&mut self, name: &str, x: NodeId, factor: f32) -> Result<NodeId> {
        let dims = [self.graph.shape(x).c];
        let mut constant = |part: &str, value: f32| {
            self.graph.add_param(format!("{name}.{part}"), &dims, vec![value; dims[0]])
        };
        let (weight, bias) = (constant("weight", factor), constant("bias", 0.0));
        let (mean, variance) = (constant("mean", 0.0), constant("variance", 1.0));
        self.push(BatchNorm { weight, bias, mean, variance, eps: 0.0, relu: None }, &[x])
    }

    /// A k x k or a global convolution, then BN and ReLU.
    fn spatial(
        &mut self,
        names: &ConvBn,
        x: NodeId,
        out: usize,
        stride: usize,
        global: Option<GlobalConv>,
    ) -> Result<NodeId> {
        let kernel = self.config.kernel;
        let Some(global) = global else {
            let biased = self.config.layout == Layout::Subnets;
            return self.conv_bn_relu(names, x, out, Window::square(kernel, stride, kernel / 2), biased);
        };
        let summed = self.global_conv(&names.conv, x, out, stride, global)?;
        self.bn_relu(&names.bn, summed, out)
    }

    /// k x 1 then 1 x k, plus 1 x k then k x 1. With shared weights the port runs the left branch
    /// on the transposed image and transposes back: the same as transposed kernels on the image.
    fn global_conv(
        &mut self,
        conv: &str,
        x: NodeId,
        out: usize,
        stride: usize,
        g: GlobalConv,
    ) -> Result<NodeId> {
        let (k, pad) = (g.kernel, g.kernel / 2);
        let tall = Window { kernel: [k, 1], stride: [stride, 1], padding: [[pad, 0]; 2], dilation: [1; 2] };
        let wide = Window { kernel: [1, k], stride: [1, stride], padding: [[0, pad]; 2], dilation: [1; 2] };
        let [l1, l2, r1, r2] = tensor_names::global(conv);
        let left = self.conv(&l1, &l1, x, out, tall, true)?;
        let left = self.conv(&l2, &l2, left, out, wide, true)?;
        // A kernel (O, I, k, 1) and its transpose (O, I, 1, k) have the same elements in the same order.
        let (first, second) = if g.shared { (&l1, &l2) } else { (&r1, &r2) };
        let right = self.conv(first, &r1, x, out, wide, true)?;
        let right = self.conv(second, &r2, right, out, tall, true)?;
        self.push(Op::Add, &[left, right])
    }

    fn conv_bn_relu(
        &mut self,
        names: &ConvBn,
        x: NodeId,
        out: usize,
        window: Window,
        biased: bool,
    ) -> Result<NodeId> {
        let x = self.conv(&names.conv, &names.conv, x, out, window, biased)?;
        self.bn_relu(&names.bn, x, out)
    }

    fn bn_relu(&mut self, prefix: &str, x: NodeId, channels: usize) -> Result<NodeId> {
        let dims = [channels];
        let norm = BatchNorm {
            weight: self.param(prefix, "weight", &dims)?,
            bias: self.param(prefix, "bias", &dims)?,
            mean: self.param(prefix, "running_mean", &dims)?,
            variance: self.param(prefix, "running_var", &dims)?,
            eps: BATCH_NORM_EPS,
            relu: None,
        };
        let x = self.push(norm, &[x])?;
        self.push(Op::RELU, &[x])
    }

    /// A convolution with the tensors of `prefix`, whose weight is called `name` in the graph.
    fn conv(
        &mut self,
        prefix: &str,
        name: &str,
        x: NodeId,
        out: usize,
        window: Window,
        biased: bool,
    ) -> Result<NodeId> {
        let channels = self.graph.shape(x).c;
        let [kh, kw] = window.kernel;
        // Dimensions as stored: transposed if the weight is another convolution's.
        let stored = if prefix == name { [out, channels, kh, kw] } else { [out, channels, kw, kh] };
        let weight = self.stored_param(
            (&format!("{prefix}.weight"), &stored),
            format!("{name}.weight"),
            &[out, channels, kh, kw],
        )?;
        let bias = if biased { Some(self.param(prefix, "bias", &[out])?) } else { None };
        self.push(
            Conv2d { weight, bias, out, channels, groups: 1, window, residual: false, relu: None },
            &[x],
        )
    }

    fn push(&mut self, op: impl Into<Op>, inputs: &[NodeId]) -> Result<NodeId> {
        self.graph.push_at(self.exit, op, inputs)
    }

    fn param(&mut self, prefix: &str, suffix: &str, dims: &[usize]) -> Result<ParamId> {
        let name = format!("{prefix}.{suffix}");
        self.stored_param((&name, dims), name.clone(), dims)
    }

    /// The parameter `name` with the elements of the tensor `stored`.
    fn stored_param(&mut self, stored: (&str, &[usize]), name: String, dims: &[usize]) -> Result<ParamId> {
        Ok(match self.tensor {
            Some(tensor) => {
                let data = tensor(stored.0, stored.1)?;
                let needed = dims.iter().try_fold(1_usize, |count, &size| count.checked_mul(size));
                if needed != Some(data.len()) {
                    let (tensor, given) = (stored.0.to_string(), data.len());
                    return Err(
                        RequestError::TensorElements { tensor, given, expected: dims.to_vec() }.into()
                    );
                }
                self.graph.add_param(name, dims, data)
            }
            None => self.graph.declare_param(name, dims),
        })
    }
}

/// Adds the taps of a layer's remaining scales: `layer12.scale2`, layers from 0, scales from 1, the
/// finest.
fn add_taps(taps: &mut Vec<Tap>, layer: usize, scales: &Scales) {
    let alive = scales.iter().zip(1..).filter_map(|(x, scale)| x.map(|x| (scale, x)));
    taps.extend(alive.map(|(scale, node)| Tap {
        name: format!("layer{layer}.scale{scale}"),
        node,
        scale: Some(scale),
    }));
}
