//! One step of a plan made ready: what it costs, how it is cut, and how it runs.

use std::sync::Arc;

use super::cam::{CamStep, PooledGrad};
use super::conv::{FewPixelConv2dGrad, PackedConv2d, PackedConv2dGrad, Part, WinogradConv2d};
use super::memory::Memory;
use super::simd::Isa;
use super::{cam, elementwise, gemv, linear, pool, softmax};
use crate::Shape;
use crate::engine::graph::Op;
use crate::engine::plan::Step;

/// See the module's documentation.
pub(super) struct CompiledStep {
    step: Step,
    constants: Constants,
    isa: Isa,
}

/// What a step costs beside its work, in quarters of a cycle.
const STEP_COST: usize = 600;
/// What it costs to bring a weight again while the third-level cache holds it, in quarters of a cycle.
const WEIGHT_AGAIN_COST: usize = 1;
/// What a pixel of a heat map costs, in quarters of a cycle.
const HEAT_COST: usize = 8;

/// What a step needs of the weights.
pub(super) enum Constants {
    Nothing,
    Conv2d(PackedConv2d),
    WinogradConv2d(WinogradConv2d),
    Conv2dGrad(PackedConv2dGrad),
    FewPixelConv2dGrad(FewPixelConv2dGrad),
    PooledGrad(PooledGrad),
    Cam(CamStep),
    /// Scale and shift of each channel.
    Affine(Vec<(f32, f32)>),
    /// The weight of a linear layer.
    Matrix(Arc<[f32]>),
}

impl CompiledStep {
    /// `step` with what it needs on a CPU of kind `isa`.
    pub(super) fn new(step: Step, constants: Constants, isa: Isa) -> CompiledStep {
        CompiledStep { step, constants, isa }
    }

    /// Multiply-adds for one image.
    pub(super) fn multiply_adds(&self) -> u64 {
        self.step.multiply_adds()
    }

    /// What the step costs, or one part of it, in quarters of a cycle. Where each weight serves few pixels,
    /// bringing it from memory is what takes the time; steps without weights are as long as what they
    /// read and write.
    pub(super) fn cost(&self, part: Option<&Part>) -> usize {
        let step = &self.step;
        let multiply_adds = self.multiply_adds() as usize;
        // Of a step that is cut by its `channels`, the part's share.
        let share = |cost: usize, channels: usize| match part {
            Some(part) => cost * part.groups.len() / channels,
            None => cost,
        };
        let work = match (&self.constants, &step.op) {
            (Constants::Conv2d(conv), _) => conv.tiles.cost(part.unwrap_or(conv.tiles.whole())),
            (Constants::WinogradConv2d(conv), _) => conv.tiles.cost(part.unwrap_or(conv.tiles.whole())),
            // Four pixels for each weight.
            (Constants::FewPixelConv2dGrad(_), _) => {
                share(WEIGHT_AGAIN_COST * multiply_adds / 4, step.output.shape.c)
            }
            (Constants::Conv2dGrad(_), _) => share(multiply_adds / 8, step.output.shape.c),
            // Of a one-hot gradient, one row counts.
            (_, Op::LinearGrad(_)) => step.output.shape.len() / 8,
            (Constants::PooledGrad(_), _) => {
                share(WEIGHT_AGAIN_COST * multiply_adds, step.output.shape.len())
            }
            (Constants::Cam(_), _) => share(WEIGHT_AGAIN_COST * multiply_adds, step.inputs[1].shape.c),
            (_, Op::ResizeMinMax(_)) => HEAT_COST * step.output.shape.len(),
            (_, Op::MaxPool(_)) => {
                share(step.inputs[0].shape.len() + step.output.shape.len(), step.output.shape.c)
            }
            _ => multiply_adds / 8,
        };
        let read: usize = step.inputs.iter().map(|slot| slot.shape.len()).sum();
        STEP_COST + work + (read + step.output.shape.len()) / 4
    }

    /// Scratch numbers that the step needs.
    pub(super) fn scratch_len(&self) -> usize {
        match &self.constants {
            Constants::Conv2d(conv) => conv.tiles.scratch_len(),
            Constants::WinogradConv2d(conv) => conv.tiles.scratch_len(),
            Constants::Conv2dGrad(conv) => conv.scratch_len(),
            Constants::FewPixelConv2dGrad(conv) => conv.scratch_len(),
            Constants::PooledGrad(pooled) => pooled.scratch_len(),
            Constants::Cam(cam) => cam.pooled.scratch_len(),
            Constants::Nothing => match self.step.op {
                Op::MaxPool(_) => self.step.inputs[0].shape.w,
                Op::ResizeMinMax(_) => self.step.inputs[0].shape.h * self.step.output.shape.w,
                _ => 0,
            },
            Constants::Affine(_) | Constants::Matrix(_) => 0,
        }
    }

    /// The step cut into at most `parts`; empty where it cannot be cut.
    pub(super) fn parts(&self, parts: usize) -> Vec<Part> {
        match &self.constants {
            Constants::Conv2d(conv) => conv.tiles.parts(parts),
            Constants::WinogradConv2d(conv) => conv.tiles.parts(parts),
            Constants::Conv2dGrad(conv) => conv.parts(parts),
            Constants::FewPixelConv2dGrad(conv) => conv.parts(parts),
            Constants::PooledGrad(pooled) => pooled.parts(parts),
            Constants::Cam(cam) => cam.pooled.parts(parts),
            _ if matches!(self.step.op, Op::MaxPool(_)) => Part::by_channel(self.step.output.shape, parts),
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
                unsafe { conv.run(part.unwrap_or(conv.tiles.whole()), input(0), output, scratch) };
            }
            Constants::WinogradConv2d(conv) => {
                // SAFETY: the caller's promise.
                unsafe { conv.run(part.unwrap_or(conv.tiles.whole()), input(0), output, scratch) };
            }
            Constants::FewPixelConv2dGrad(conv) => {
                let gate = (step.inputs.len() > 1).then(|| input(1));
                // SAFETY: the caller's promise.
                unsafe { conv.run(part.unwrap_or(conv.whole()), input(0), gate, output, scratch) };
            }
            Constants::Conv2dGrad(conv) => {
                let gate = (step.inputs.len() > 1).then(|| input(1));
                // SAFETY: the caller's promise.
                unsafe { conv.run(part.unwrap_or(conv.whole()), input(0), gate, output, scratch) };
            }
            Constants::Cam(cam) => {
                // SAFETY: slots hold their shape's numbers; the scratch is this thread's, and as long
                // as the step said; the caller's promise.
                unsafe {
                    let x = |i: usize| std::slice::from_raw_parts(input(i), step.inputs[i].shape.len());
                    let scratch = std::slice::from_raw_parts_mut(scratch, self.scratch_len());
                    cam.run(part, x(0), x(1), output, scratch);
                }
            }
            Constants::PooledGrad(pooled) => {
                let own = part.map_or(0..step.output.shape.len(), |part| part.groups.clone());
                // SAFETY: as above; parts of the result lie apart from each other.
                unsafe {
                    let grad = std::slice::from_raw_parts(input(0), step.inputs[0].shape.len());
                    let out = std::slice::from_raw_parts_mut(output.add(own.start), own.len());
                    pooled.run(part, grad, out, std::slice::from_raw_parts_mut(scratch, self.scratch_len()));
                }
            }
            _ => {
                // Only a pooling has parts here: some of its channels.
                let share = |shape: Shape| match part {
                    Some(part) => part.groups.start * shape.plane()..part.groups.end * shape.plane(),
                    None => 0..shape.len(),
                };
                let (written, read) = (share(step.output.shape), |i: usize| share(step.inputs[i].shape));
                // SAFETY: slots hold their shape's numbers; a result lies apart from what it is
                // made of, and parts of it from each other.
                let out = unsafe { std::slice::from_raw_parts_mut(output.add(written.start), written.len()) };
                // SAFETY: as above.
                let x = |i: usize| unsafe {
                    std::slice::from_raw_parts(input(i).add(read(i).start), read(i).len())
                };
                // SAFETY: the scratch is this thread's, and as long as the step said.
                let scratch = unsafe { std::slice::from_raw_parts_mut(scratch, self.scratch_len()) };
                self.run_small(x, out, scratch);
            }
        }
    }

    /// Every op that has no file of its own under `conv` or `cam`; `x(i)` is input number i.
    fn run_small<'a>(&self, x: impl Fn(usize) -> &'a [f32], out: &mut [f32], scratch: &mut [f32]) {
        let Step { op, inputs, output } = &self.step;
        let first = inputs[0].shape;
        match (op, &self.constants) {
            (Op::Copy, _) => out.copy_from_slice(x(0)),
            (Op::BatchNorm(_) | Op::BatchNormGrad(_), Constants::Affine(affine)) => {
                elementwise::affine(affine, x(0), out);
            }
            (Op::Relu, _) => elementwise::relu(x(0), out),
            (Op::ReluGrad(op), _) => {
                out.copy_from_slice(x(0));
                elementwise::relu_grad(op.rule, x(1), out);
            }
            (Op::MaxPool(op), _) => pool::max_pool(&op.window, [first, output.shape], x(0), out, scratch),
            (Op::MaxPoolGrad(op), _) => {
                pool::max_pool_grad(&op.window, [output.shape, first], x(0), x(1), out);
            }
            (Op::AvgPool(op), _) => pool::avg_pool(&op.window, [first, output.shape], x(0), out),
            (Op::AvgPoolGrad(op), _) => pool::avg_pool_grad(&op.window, [output.shape, first], x(0), out),
            (Op::LinearGrad(_), Constants::Matrix(weight)) => linear::linear_grad(weight, x(0), out),
            (Op::Add, _) => {
                out.copy_from_slice(x(0));
                (1..inputs.len()).for_each(|i| elementwise::add(x(i), out));
            }
            (Op::Softmax, _) => softmax::softmax(x(0), out),
            (Op::SoftmaxGrad, _) => softmax::softmax_grad(x(0), x(1), out),
            (Op::OneHot, _) => softmax::seed(x(0), x(1)[0], out),
            (Op::SpatialMean, _) => pool::spatial_mean(first.plane(), x(0), out),
            (Op::WeightedSum(op), _) => {
                cam::weighted_sum(gemv::kernel(self.isa), op.relu, x(0), x(1), out);
            }
            (Op::Range, _) => cam::range(x(0), out),
            (Op::ResizeMinMax(_), _) => cam::heat(first, output.shape, x(0), out, scratch),
            _ => unreachable!("{} is no small step, or lacks its constants", op.name()),
        }
    }
}
