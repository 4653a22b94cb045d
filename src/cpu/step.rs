//! One step of a plan made ready: its weights packed, its op bound to a function of this folder.

use std::collections::HashMap;
use std::sync::Arc;

use super::conv::{FewPixelConv2d, FewPixelConv2dGrad, PackedConv2d, PackedConv2dGrad, Part};
use super::memory::Memory;
use super::rows::{self, RowKernels, Rows};
use super::simd::Isa;
use super::{cam, elementwise, pool, scores};
use crate::Shape;
use crate::graph::plan::{Plan, Step};
use crate::graph::{Op, ParamId};

/// See the module's documentation.
pub(super) struct CompiledStep {
    step: Step,
    constants: Constants,
    kernels: RowKernels,
}

/// Makes steps ready for one kind of CPU; steps that read the same weight share it.
pub(super) struct Compiler<'a> {
    plan: &'a Plan,
    isa: Isa,
    rows: HashMap<ParamId, Rows>,
}

/// What a step costs beside its work, in multiply-adds.
const STEP_COST: u64 = 5_000;
/// What it costs to bring a weight that is used once, in multiply-adds.
const WEIGHT_COST: u64 = 8;
/// What a pixel of a heat map costs, in multiply-adds.
const HEAT_COST: u64 = 60;

/// What a step needs of the weights.
enum Constants {
    Nothing,
    Conv2d(PackedConv2d),
    Conv2dGrad(PackedConv2dGrad),
    FewPixelConv2d(FewPixelConv2d),
    FewPixelConv2dGrad(FewPixelConv2dGrad),
    /// Scale and shift of each channel.
    Affine(Vec<(f32, f32)>),
    /// A weight as a matrix, and a bias where there is one.
    Rows(Rows, Vec<f32>),
}

impl<'a> Compiler<'a> {
    pub(super) fn new(plan: &'a Plan, isa: Isa) -> Self {
        Compiler { plan, isa, rows: HashMap::new() }
    }

    fn data(&self, id: ParamId) -> &'a Arc<[f32]> {
        &self.plan.params[id.index()].data
    }

    /// A parameter as a matrix of `rows` rows.
    fn rows(&mut self, id: ParamId, rows: usize) -> Rows {
        let data = self.data(id);
        self.rows.entry(id).or_insert_with(|| Rows::new(rows, data)).clone()
    }

    /// Makes one step ready.
    pub(super) fn compile(&mut self, step: &Step) -> CompiledStep {
        CompiledStep { step: step.clone(), constants: self.constants(step), kernels: rows::kernels(self.isa) }
    }

    fn constants(&mut self, step: &Step) -> Constants {
        let (isa, kernels) = (self.isa, rows::kernels(self.isa));
        // With fewer pixels than half a vector, vectors of pixels would be mostly empty.
        let few = |plane: usize| 2 * plane <= isa.lanes();
        let narrow =
            |affine: Vec<(f64, f64)>| affine.into_iter().map(|(s, t)| (s as f32, t as f32)).collect();
        match &step.op {
            Op::Conv2d(op) => {
                let shapes = [step.inputs[0].shape, step.output.shape];
                let bias = op.bias.map(|id| &self.data(id)[..]);
                if few(step.output.shape.plane()) {
                    let weight = self.rows(op.weight, op.out);
                    Constants::FewPixelConv2d(FewPixelConv2d::new(kernels, op, shapes, weight, bias))
                } else {
                    Constants::Conv2d(PackedConv2d::new(isa, op, shapes, self.data(op.weight), bias))
                }
            }
            Op::Conv2dGrad(op) => {
                let grad = step.inputs[0].shape;
                if few(grad.plane()) {
                    let weight = self.rows(op.weight, op.out);
                    Constants::FewPixelConv2dGrad(FewPixelConv2dGrad::new(kernels, op, grad, weight))
                } else {
                    Constants::Conv2dGrad(PackedConv2dGrad::new(isa, op, grad, self.data(op.weight)))
                }
            }
            Op::BatchNorm(op) => Constants::Affine(narrow(op.affine(&self.plan.params))),
            Op::BatchNormGrad(op) => {
                let affine = op.forward.affine(&self.plan.params);
                Constants::Affine(narrow(affine.into_iter().map(|(scale, _)| (scale, 0.0)).collect()))
            }
            Op::Linear(op) => {
                let rows = self.rows(op.weight, step.output.shape.len());
                Constants::Rows(rows, self.data(op.bias).to_vec())
            }
            Op::LinearGrad(op) => {
                Constants::Rows(self.rows(op.weight, step.inputs[0].shape.len()), Vec::new())
            }
            Op::PooledConv2dGrad(op) => {
                let rows = op.classes.count() * step.inputs[0].shape.c;
                Constants::Rows(self.rows(op.sums, rows), Vec::new())
            }
            Op::Cam(op) => {
                let rows = op.pooled.classes.count() * step.inputs[0].shape.c;
                Constants::Rows(self.rows(op.pooled.sums, rows), Vec::new())
            }
            _ => Constants::Nothing,
        }
    }
}

impl CompiledStep {
    /// Multiply-adds for one image.
    pub(super) fn multiply_adds(&self) -> u64 {
        self.step.multiply_adds()
    }

    /// What the step costs, in multiply-adds of a convolution at full speed. Where each weight
    /// serves few pixels, bringing it from memory is what takes the time; other steps are as
    /// long as what they read and write.
    pub(super) fn cost(&self) -> u64 {
        let step = &self.step;
        let work = match (&self.constants, &step.op) {
            (Constants::FewPixelConv2d(_) | Constants::FewPixelConv2dGrad(_), _) => 2 * self.multiply_adds(),
            // Of a one-hot gradient, one row counts.
            (_, Op::LinearGrad(_)) => step.output.shape.len() as u64,
            (Constants::Rows(..), _) => WEIGHT_COST * self.multiply_adds(),
            (_, Op::Heat(_)) => HEAT_COST * step.output.shape.len() as u64,
            _ => self.multiply_adds(),
        };
        let read: usize = step.inputs.iter().map(|slot| slot.shape.len()).sum();
        STEP_COST + work + 2 * (read + step.output.shape.len()) as u64
    }

    /// Scratch numbers that the step needs.
    pub(super) fn scratch_len(&self) -> usize {
        match &self.constants {
            Constants::Conv2d(conv) => conv.scratch_len(),
            Constants::Conv2dGrad(conv) => conv.scratch_len(),
            Constants::FewPixelConv2d(conv) => conv.scratch_len(),
            Constants::FewPixelConv2dGrad(conv) => conv.scratch_len(),
            Constants::Rows(rows, _) => rows.scratch_len() + self.step.inputs[0].shape.len(),
            Constants::Nothing => match self.step.op {
                Op::MaxPool(_) => self.step.inputs[0].shape.w,
                Op::Heat(_) => self.step.inputs[0].shape.h * self.step.output.shape.w,
                _ => 0,
            },
            Constants::Affine(_) => 0,
        }
    }

    /// The step cut into at most `parts`; empty where it cannot be cut.
    pub(super) fn parts(&self, parts: usize) -> Vec<Part> {
        match &self.constants {
            Constants::Conv2d(conv) => conv.parts(parts),
            Constants::Conv2dGrad(conv) => conv.parts(parts),
            Constants::FewPixelConv2d(conv) => conv.parts(parts),
            Constants::FewPixelConv2dGrad(conv) => conv.parts(parts),
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
                unsafe { conv.run(part.unwrap_or(conv.whole()), input(0), output, scratch) };
            }
            Constants::FewPixelConv2d(conv) => {
                // SAFETY: the caller's promise.
                unsafe { conv.run(part.unwrap_or(conv.whole()), input(0), output, scratch) };
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

    /// Every op but the convolutions; `x(i)` is input number i.
    fn run_small<'a>(&self, x: impl Fn(usize) -> &'a [f32], out: &mut [f32], scratch: &mut [f32]) {
        let Step { op, inputs, output } = &self.step;
        let (first, kernels) = (inputs[0].shape, &self.kernels);
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
            (Op::Linear(_), Constants::Rows(weight, bias)) => {
                weight.times(kernels, x(0), out, scratch);
                elementwise::add(bias, out);
            }
            (Op::LinearGrad(_), Constants::Rows(weight, _)) => weight.sum(kernels, x(0), out, scratch),
            (Op::Add, _) => {
                out.copy_from_slice(x(0));
                (1..inputs.len()).for_each(|i| elementwise::add(x(i), out));
            }
            (Op::Softmax, _) => scores::softmax(x(0), out),
            (Op::SoftmaxGrad, _) => scores::softmax_grad(x(0), x(1), out),
            (Op::Seed, _) => scores::seed(x(0), x(1)[0], out),
            (Op::SpatialMean, _) => pool::spatial_mean(first.plane(), x(0), out),
            (Op::PooledConv2dGrad(op), Constants::Rows(sums, _)) => {
                cam::pooled_conv2d_grad(kernels, &op.classes, sums, x(0), out, scratch);
            }
            (Op::WeightedSum(op), _) => cam::weighted_sum(kernels, op.relu, x(0), x(1), out),
            (Op::Range, _) => cam::range(x(0), out),
            (Op::Heat(_), _) => cam::heat(first, output.shape, x(0), out, scratch),
            (Op::Cam(op), Constants::Rows(sums, _)) => {
                cam::cam(kernels, op, inputs[1].shape, sums, [x(0), x(1)], out, scratch);
            }
            _ => unreachable!("{} is no small step, or lacks its constants", op.name()),
        }
    }
}
