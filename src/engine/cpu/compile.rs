//! Compilation of a plan's steps for one instruction set: the choice of each step's kernel, and the packing
//! of its weights, on all threads of the device.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::cam::Cam;
use super::classifier::Classifier;
use super::conv::{
    Block, Conv2dGradKernel, Conv2dKernel, Conv2dTiling, GroupedKernel, HeadConv2dGradKernel,
    SmallConv2dGradKernel, WinogradKernel, WinogradTiling, depthwise_conv2d, depthwise_conv2d_grad,
};
use super::gemm::transposable_channels;
use super::kernel::Kernel;
use super::linear::{LinearGradKernel, LinearKernel};
use super::packed_weight::{PackedWeight, WeightSource};
use super::pooled_grad::PooledGrad;
use super::simd::Isa;
use super::thread_pool::ThreadPool;
use super::weight_cache::WeightCache;
use super::{activation, cam, elementwise, heatmap, lrn, pool, resize, softmax};
use crate::Result;
use crate::engine::graph::ops::{Conv2d, Conv2dGrad, Linear, LinearGrad, PooledConv2dGrad};
use crate::engine::graph::{Elements, Op, ParamId};
use crate::engine::plan::{Plan, Step};

/// The kernels of `plan`'s steps, in their order; the weights that they pack are shared through `weights`. The choice
/// depends on the plan and the instruction set alone, so that results do not depend on what the cache holds.
///
/// Packing takes most of the time, so the threads of `pool` take one weight after another: all steps that pack the same.
///
/// # Errors
/// When the system has too little memory for the packed weights.
pub(crate) fn kernels(
    plan: &Plan,
    isa: Isa,
    weights: &WeightCache,
    pool: &ThreadPool,
) -> Result<Vec<Box<dyn Kernel>>> {
    let steps: Vec<&Step> = plan.steps().collect();
    let mut by_weight: Vec<Vec<usize>> = Vec::new();
    let mut place_of = HashMap::new();
    for (index, step) in steps.iter().enumerate() {
        let next = by_weight.len();
        let place = packed_param(&step.op).map_or(next, |id| *place_of.entry(id).or_insert(next));
        if place == next {
            by_weight.push(Vec::new());
        }
        by_weight[place].push(index);
    }
    let len = |id: &ParamId| plan.params[id.index()].data.len();
    weights.expect(place_of.keys().map(len).sum());
    let (next, made) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(steps.len())));
    pool.run(&|_| {
        let mut compiler = Compiler::new(plan, isa, weights);
        while let Some(indices) = by_weight.get(next.fetch_add(1, Ordering::Relaxed)) {
            for &index in indices {
                let kernel = compiler.compile(steps[index]);
                if kernel.is_err() {
                    next.store(by_weight.len(), Ordering::Relaxed);
                }
                made.lock().expect("no thread panics while it holds the lock").push((index, kernel));
            }
        }
    });
    let mut made = made.into_inner().expect("the pool passes panics on");
    made.sort_unstable_by_key(|(index, _)| *index);
    made.into_iter().map(|(_, kernel)| kernel).collect()
}

/// Makes kernels of a plan's steps, on one thread.
struct Compiler<'a> {
    plan: &'a Plan,
    isa: Isa,
    weights: &'a WeightCache,
    /// Weights of the plan's convolutions as they are packed.
    packed: HashMap<ParamId, Arc<PackedWeight>>,
    /// Room for a weight that is computed for its packing, and the last one, which it has unless that is held.
    buffer: Vec<f32>,
    read: Option<ParamId>,
    /// Room for the sums of a weight.
    sums: Vec<f32>,
}

impl<'a> Compiler<'a> {
    /// A compiler of `plan`'s steps that shares the weights in `weights`.
    fn new(plan: &'a Plan, isa: Isa, weights: &'a WeightCache) -> Self {
        let (buffer, sums) = (Vec::new(), Vec::new());
        Compiler { plan, isa, weights, packed: HashMap::new(), buffer, read: None, sums }
    }

    /// The kernel of `step`.
    ///
    /// # Errors
    /// When the system has too little memory for its packed weights.
    fn compile(&mut self, step: &Step) -> Result<Box<dyn Kernel>> {
        let isa = self.isa;
        let params = &self.plan.params;
        let (first, output) = (step.inputs[0].shape, step.output.shape);
        Ok(match &step.op {
            Op::Conv2d(op) if op.groups > 1 => self.grouped_conv2d(step, op)?,
            Op::Conv2dGrad(op) if op.groups > 1 => self.grouped_conv2d_grad(step, op)?,
            Op::Conv2d(op) => self.conv2d(step, op)?,
            Op::Linear(op) => Box::new(self.linear(op)?),
            Op::Conv2dGrad(op) => self.conv2d_grad(step, op)?,
            Op::LinearGrad(op) => Box::new(self.linear_grad(step, op)?),
            Op::BatchNorm(op) => elementwise::affine(isa, narrow(&op.affine(params)), op.relu, output),
            Op::BatchNormGrad(op) => {
                let scales = op.forward.affine(params).into_iter().map(|(scale, _)| (scale, 0.0));
                elementwise::affine(isa, narrow(&scales.collect::<Vec<_>>()), None, output)
            }
            Op::PooledConv2dGrad(op) => Box::new(self.pooled_grad(step, op)?),
            Op::Cam(op) => {
                let pooled = self.pooled_grad(step, &op.pooled)?;
                Box::new(Cam::new(isa, pooled, op.sum.relu, step.inputs[1].shape))
            }
            Op::Classifier(op) => {
                let x = step.inputs[0].shape;
                let pooled = op.pooled(x).expect("the graph has checked the window");
                let weight = Arc::clone(self.data(op.linear.weight)?);
                Box::new(Classifier::new(*op, self.linear(&op.linear)?, weight, [x, pooled]))
            }
            Op::WeightedSum(op) => cam::weighted_sum(isa, op.relu, step),
            Op::Range => cam::range(),
            Op::ResizeMinMax(_) => heatmap::resize_min_max(step),
            Op::Copy => elementwise::copy(output),
            Op::Add => elementwise::add(isa, output),
            Op::Relu(op) => elementwise::relu(isa, *op, output),
            Op::ReluGrad(op) => elementwise::relu_grad(isa, *op, output),
            Op::Activation(op) => activation::activation(isa, *op, output),
            Op::ActivationGrad(op) => activation::activation_grad(isa, *op, output),
            Op::Mul => elementwise::mul(isa, [first, step.inputs[1].shape]),
            Op::ChannelDot => elementwise::channel_dot(first),
            Op::ChannelShuffle(op) => elementwise::channel_shuffle(*op, output),
            Op::SliceGrad(op) => elementwise::slice_grad(*op),
            Op::Lrn(op) => lrn::lrn(isa, *op, output),
            Op::LrnGrad(op) => lrn::lrn_grad(isa, *op, output),
            Op::Resize(op) => resize::resize(op, [first, output]),
            Op::ResizeGrad(op) => resize::resize_grad(&op.forward, [output, first]),
            Op::MaxPool(op) => pool::max_pool(isa, step, op.window),
            Op::MaxPoolGrad(op) => pool::max_pool_grad(step, op.window),
            Op::AvgPool(op) => pool::avg_pool(isa, step, *op),
            Op::AvgPoolGrad(op) => pool::avg_pool_grad(step, op.forward),
            Op::SpatialMean => pool::spatial_mean(step),
            Op::Softmax => softmax::softmax(),
            Op::SoftmaxGrad => softmax::softmax_grad(),
            Op::OneHot => softmax::one_hot(),
            Op::Input(_) | Op::Slice(_) | Op::Concat => {
                unreachable!("a plan has no step for {}, which is an address", step.op.name())
            }
        })
    }

    fn elements(&self, id: ParamId) -> &'a Elements {
        &self.plan.params[id.index()].data
    }

    /// The elements of a parameter that a kernel reads as they are.
    fn data(&self, id: ParamId) -> Result<&'a Arc<[f32]>> {
        self.elements(id).hold()
    }

    /// The bias of a parameter, if there is one.
    fn bias(&self, id: Option<ParamId>) -> Result<Option<&'a Arc<[f32]>>> {
        id.map(|id| self.data(id)).transpose()
    }

    /// Lets `pack` read the elements of a parameter, which are not held afterwards unless they were before.
    fn with_weight<T>(
        &mut self,
        id: ParamId,
        pack: impl FnOnce(&mut Self, &[f32]) -> Result<T>,
    ) -> Result<T> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let (elements, is_read) = (self.elements(id), self.read.take() == Some(id));
        let weight = match is_read && elements.is_computed() {
            true => Ok(&buffer[..elements.len()]),
            false => elements.read(&mut buffer),
        };
        let made = weight.and_then(|weight| pack(self, weight));
        (self.buffer, self.read) = (buffer, Some(id).filter(|_| made.is_ok()));
        made
    }

    fn linear(&self, op: &Linear) -> Result<LinearKernel> {
        let [weight, bias] = [self.data(op.weight)?, self.data(op.bias)?].map(Arc::clone);
        Ok(LinearKernel::new(self.isa, weight, bias))
    }

    fn linear_grad(&self, step: &Step, op: &LinearGrad) -> Result<LinearGradKernel> {
        let grad = step.inputs[0];
        // Another step may write the same memory later; the cost alone depends on this.
        let is_one_hot = self.plan.steps().any(|made| made.op == Op::OneHot && made.output == grad);
        let rows = if is_one_hot { 1 } else { grad.shape.len() };
        let weight = Arc::clone(self.data(op.weight)?);
        Ok(LinearGradKernel::new(weight, step.output.shape.len(), rows))
    }

    fn conv2d(&mut self, step: &Step, op: &Conv2d) -> Result<Box<dyn Kernel>> {
        let bias = self.bias(op.bias)?.map(|bias| &bias[..]);
        self.with_weight(op.weight, |this, weight| this.dense_conv2d(step, op, weight, bias))
    }

    /// A convolution of one group with this weight and bias.
    fn dense_conv2d(
        &mut self,
        step: &Step,
        op: &Conv2d,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Box<dyn Kernel>> {
        let isa = self.isa;
        let shapes = [step.inputs[0].shape, step.output.shape];
        let direct = Conv2dTiling::new(isa, op, shapes);
        let tiling = |block: Block| WinogradTiling::new(isa, op, shapes, block);
        let two = tiling(Block::Two).filter(|two| two.cost(None) < direct.cost(None));
        // Blocks of 4x4 have three times the rounding error of 2x2: they have to be worth it.
        let others = two.as_ref().map_or(direct.cost(None), |two| two.cost(None));
        let four = tiling(Block::Four).filter(|four| 5 * four.cost(None) < 4 * others);
        if let Some(winograd) = four.or(two) {
            return Ok(Box::new(WinogradKernel::new(self.weights, isa, op, winograd, weight, bias)?));
        }
        let kernel = Conv2dKernel::new(self.weights, isa, op, direct, weight, bias)?;
        if weight.len() == self.elements(op.weight).len() {
            self.packed.insert(op.weight, Arc::clone(kernel.weight()));
        }
        Ok(Box::new(kernel))
    }

    /// A convolution of several groups: depthwise, or one convolution for each group.
    fn grouped_conv2d(&mut self, step: &Step, op: &Conv2d) -> Result<Box<dyn Kernel>> {
        if op.groups == op.channels {
            let (weight, bias) = (self.data(op.weight)?, self.bias(op.bias)?);
            let shapes = [step.inputs[0].shape, step.output.shape];
            let kernel = depthwise_conv2d(self.isa, op, shapes, Arc::clone(weight), bias.map(Arc::clone));
            if let Some(kernel) = kernel {
                return Ok(kernel);
            }
        }
        let bias = self.bias(op.bias)?;
        self.with_weight(op.weight, |this, weight| {
            let groups = (0..op.groups).map(|group| {
                let step = step.of_group(group, op.groups, op.of_group());
                let of_group = |data| part(data, group, op.groups);
                let bias = bias.map(|bias| of_group(bias));
                let kernel = this.dense_conv2d(&step, &op.of_group(), of_group(weight), bias)?;
                Ok((step, kernel))
            });
            Ok(Box::new(GroupedKernel::new(groups.collect::<Result<_>>()?)) as Box<dyn Kernel>)
        })
    }

    /// The gradient of a convolution of several groups.
    fn grouped_conv2d_grad(&mut self, step: &Step, op: &Conv2dGrad) -> Result<Box<dyn Kernel>> {
        if op.groups == op.input.c {
            return Ok(depthwise_conv2d_grad(op, step.inputs[0].shape, Arc::clone(self.data(op.weight)?)));
        }
        self.with_weight(op.weight, |this, weight| {
            let groups = (0..op.groups).map(|group| {
                let step = step.of_group(group, op.groups, op.of_group());
                let (grad, work) = (step.inputs[0].shape, step.multiply_adds());
                let weight = part(weight, group, op.groups);
                let kernel =
                    Conv2dGradKernel::new(this.weights, this.isa, &op.of_group(), grad, weight, work)?;
                Ok((step, Box::new(kernel) as Box<dyn Kernel>))
            });
            Ok(Box::new(GroupedKernel::new(groups.collect::<Result<_>>()?)) as Box<dyn Kernel>)
        })
    }

    fn conv2d_grad(&mut self, step: &Step, op: &Conv2dGrad) -> Result<Box<dyn Kernel>> {
        let (grad, work) = (step.inputs[0].shape, step.multiply_adds());
        if SmallConv2dGradKernel::is_small(self.isa, grad) {
            let weight = self.transposable(op.weight)?;
            if HeadConv2dGradKernel::is_of_head(op, grad) {
                return Ok(Box::new(HeadConv2dGradKernel::new(self.isa, op, weight)));
            }
            Ok(Box::new(SmallConv2dGradKernel::new(self.isa, op, grad, weight, work)))
        } else {
            self.with_weight(op.weight, |this, weight| {
                let kernel = Conv2dGradKernel::new(this.weights, this.isa, op, grad, weight, work)?;
                Ok(Box::new(kernel) as Box<dyn Kernel>)
            })
        }
    }

    fn pooled_grad(&mut self, step: &Step, op: &PooledConv2dGrad) -> Result<PooledGrad> {
        let (isa, params, work) = (self.isa, &self.plan.params, step.multiply_adds());
        if PooledGrad::is_by_class(op, params) {
            self.with_weight(op.weight, |this, weight| {
                PooledGrad::by_class((this.weights, &mut this.sums), isa, op, (params, weight), work)
            })
        } else {
            Ok(PooledGrad::by_tap(isa, op, params, self.transposable(op.weight)?, work))
        }
    }

    /// A convolution's weight as the forward pass has packed it, or packed for the transposed product alone
    /// where that cannot read it.
    fn transposable(&mut self, id: ParamId) -> Result<Arc<PackedWeight>> {
        if let Some(packed) = self.packed.get(&id).filter(|packed| packed.is_transposable(self.isa)) {
            return Ok(Arc::clone(packed));
        }
        let param = &self.plan.params[id.index()];
        let (channels, k) = (param.dims[0], param.data.len() / param.dims[0]);
        let packed = self.with_weight(id, |this, weight| {
            let at = |o: usize, i: usize| weight[o * k + i];
            let source = WeightSource { channels, k, at, bias: None };
            this.weights.pack(transposable_channels(this.isa), &source)
        })?;
        self.packed.insert(id, Arc::clone(&packed));
        Ok(packed)
    }
}

/// The weight of `op` that its kernel packs, if any.
fn packed_param(op: &Op) -> Option<ParamId> {
    match op {
        Op::Conv2d(op) => Some(op.weight),
        Op::Conv2dGrad(op) => Some(op.weight),
        Op::PooledConv2dGrad(op) => Some(op.weight),
        Op::Cam(op) => Some(op.pooled.weight),
        _ => None,
    }
}

/// The part of a weight or bias that group `group` of `groups` reads.
fn part(data: &[f32], group: usize, groups: usize) -> &[f32] {
    let len = data.len() / groups;
    &data[group * len..][..len]
}

fn narrow(affine: &[(f64, f64)]) -> Vec<(f32, f32)> {
    affine.iter().map(|&(scale, shift)| (scale as f32, shift as f32)).collect()
}
