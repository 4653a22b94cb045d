//! One step of a plan made ready: its weights packed, its op bound to a function of this folder.

use std::sync::Arc;

use super::conv::{PackedConv2d, PackedConv2dGrad, Part};
use super::memory::Memory;
use super::simd::Isa;
use super::{cam, elementwise, pool, scores};
use crate::graph::plan::{Plan, Step};
use crate::graph::{Op, ParamId};

/// See the module's documentation.
pub(super) struct CompiledStep {
    step: Step,
    constants: Constants,
}

/// What a step needs of the weights.
enum Constants {
    Nothing,
    Conv2d(PackedConv2d),
    Conv2dGrad(PackedConv2dGrad),
    /// Scale and shift of each channel.
    Affine(Vec<(f32, f32)>),
    /// Weight and bias.
    Linear(Arc<[f32]>, Arc<[f32]>),
    /// A weight, or the kernel sums.
    Weight(Arc<[f32]>),
}

impl CompiledStep {
    pub(super) fn new(plan: &Plan, step: &Step, isa: Isa) -> Self {
        let data = |id: ParamId| Arc::clone(&plan.params[id.index()].data);
        let narrow =
            |affine: Vec<(f64, f64)>| affine.into_iter().map(|(s, t)| (s as f32, t as f32)).collect();
        let constants = match &step.op {
            Op::Conv2d(op) => {
                let (input, output) = (step.inputs[0].shape, step.output.shape);
                let bias = op.bias.map(data);
                Constants::Conv2d(PackedConv2d::new(
                    isa,
                    op,
                    input,
                    output,
                    &data(op.weight),
                    bias.as_deref(),
                ))
            }
            Op::Conv2dGrad(op) => {
                let grad = step.inputs[0].shape;
                Constants::Conv2dGrad(PackedConv2dGrad::new(isa, op, grad, &data(op.weight)))
            }
            Op::BatchNorm(op) => Constants::Affine(narrow(op.affine(&plan.params))),
            Op::BatchNormGrad(op) => {
                let affine = op.forward.affine(&plan.params);
                Constants::Affine(narrow(affine.into_iter().map(|(scale, _)| (scale, 0.0)).collect()))
            }
            Op::Linear(op) => Constants::Linear(data(op.weight), data(op.bias)),
            Op::LinearGrad(op) => Constants::Weight(data(op.weight)),
            Op::PooledConv2dGrad(op) => Constants::Weight(data(op.sums)),
            Op::Cam(op) => Constants::Weight(data(op.pooled.sums)),
            _ => Constants::Nothing,
        };
        CompiledStep { step: step.clone(), constants }
    }

    /// Multiply-adds for one image.
    pub(super) fn multiply_adds(&self) -> u64 {
        self.step.multiply_adds()
    }

    /// Scratch numbers that the step needs.
    pub(super) fn scratch_len(&self) -> usize {
        match &self.constants {
            Constants::Conv2d(conv) => conv.scratch_len(),
            Constants::Conv2dGrad(conv) => conv.scratch_len(),
            _ => 0,
        }
    }

    /// The step cut into at most `parts`; empty where it cannot be cut.
    pub(super) fn parts(&self, parts: usize) -> Vec<Part> {
        match &self.constants {
            Constants::Conv2d(conv) => conv.parts(parts),
            Constants::Conv2dGrad(conv) => conv.parts(parts),
            _ => Vec::new(),
        }
    }

    /// Runs the step, or one part of it, for one image.
    ///
    /// # Safety
    /// As [`super::program::Program::run`].
    pub(super) unsafe fn run(&self, part: Option<&Part>, memory: &Memory, image: usize, scratch: *mut f32) {
        let step = &self.step;
        let input = |i: usize| memory.slot(image, &step.inputs[i]).cast_const();
        let output = memory.slot(image, &step.output);
        match &self.constants {
            Constants::Conv2d(conv) => {
                // SAFETY: the caller's promise.
                unsafe { conv.run(part.unwrap_or(conv.whole()), input(0), output, scratch) };
            }
            Constants::Conv2dGrad(conv) => {
                let gate = (step.inputs.len() > 1).then(|| input(1));
                // SAFETY: the caller's promise.
                unsafe { conv.run(part.unwrap_or(conv.whole()), input(0), gate, output, scratch) };
            }
            _ => {
                // SAFETY: slots hold their shape's numbers, and a result lies apart from what it is made of.
                let out = unsafe { std::slice::from_raw_parts_mut(output, step.output.shape.len()) };
                // SAFETY: as above.
                let read =
                    |i: usize| unsafe { std::slice::from_raw_parts(input(i), step.inputs[i].shape.len()) };
                self.run_small(read, out);
            }
        }
    }

    /// Every op but the convolutions; `x(i)` is input number i.
    fn run_small<'a>(&self, x: impl Fn(usize) -> &'a [f32], out: &mut [f32]) {
        let Step { op, inputs, output } = &self.step;
        let shapes = || [inputs[0].shape, output.shape];
        let weight = || match &self.constants {
            Constants::Weight(weight) => &weight[..],
            _ => unreachable!("{} has no weight", op.name()),
        };
        match op {
            Op::Copy => out.copy_from_slice(x(0)),
            Op::BatchNorm(_) | Op::BatchNormGrad(_) => match &self.constants {
                Constants::Affine(affine) => elementwise::affine(affine, x(0), out),
                _ => unreachable!("batch norm without its scale"),
            },
            Op::Relu => elementwise::relu(x(0), out),
            Op::ReluGrad(op) => elementwise::relu_grad(op.rule, x(0), x(1), out),
            Op::MaxPool(op) => pool::max_pool(&op.window, shapes(), x(0), out),
            Op::MaxPoolGrad(op) => {
                pool::max_pool_grad(&op.window, [output.shape, inputs[0].shape], x(0), x(1), out)
            }
            Op::AvgPool(op) => pool::avg_pool(&op.window, shapes(), x(0), out),
            Op::AvgPoolGrad(op) => {
                pool::avg_pool_grad(&op.window, [output.shape, inputs[0].shape], x(0), out)
            }
            Op::Linear(_) => match &self.constants {
                Constants::Linear(weight, bias) => scores::linear(weight, bias, x(0), out),
                _ => unreachable!("linear without its weights"),
            },
            Op::LinearGrad(_) => scores::linear_grad(weight(), x(0), out),
            Op::Add => {
                out.copy_from_slice(x(0));
                (1..inputs.len()).for_each(|i| elementwise::add(x(i), out));
            }
            Op::Softmax => scores::softmax(x(0), out),
            Op::SoftmaxGrad => scores::softmax_grad(x(0), x(1), out),
            Op::Seed => scores::seed(x(0), x(1)[0], out),
            Op::SpatialMean => pool::spatial_mean(inputs[0].shape.plane(), x(0), out),
            Op::PooledConv2dGrad(op) => cam::pooled_conv2d_grad(&op.classes, weight(), x(0), out),
            Op::WeightedSum(op) => cam::weighted_sum(op.relu, x(0), x(1), out),
            Op::Range => cam::range(x(0), out),
            Op::Heat(_) => cam::heat(inputs[0].shape, output.shape, x(0), out),
            Op::Cam(op) => cam::cam(op, inputs[1].shape, weight(), x(0), x(1), out),
            Op::Input(_) | Op::Slice(_) | Op::Concat | Op::Conv2d(_) | Op::Conv2dGrad(_) => {
                unreachable!("{} is no small step", op.name())
            }
        }
    }
}
