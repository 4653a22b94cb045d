//! Lowering of a plan's steps to the step table of the kernels: addresses, shapes and packed weights.

mod classifier;

use bytemuck::Zeroable;

use super::abi::{CAM_SUMS, MAX_SIDE, Opcode, StepRow};
use super::weights::{Taps, Weights, row_length};
use crate::engine::graph::ops::{BorderClasses, Conv2d, Conv2dGrad, Op, PooledConv2dGrad, ReluRule, Window};
use crate::engine::graph::{Param, ParamId};
use crate::engine::plan::{Plan, Slot, Space, Step};
use crate::error::DeviceError;
use crate::{Error, Result, Shape};

/// The plan's constants in device memory: step table, weights and border classes.
#[derive(Default)]
pub(super) struct Tables {
    pub(super) steps: Vec<StepRow>,
    pub(super) weights: Weights,
    /// Border classes of the positions of all pooled gradients.
    pub(super) classes: Vec<u32>,
    /// Elements of an image's work space that are in use.
    pub(super) work_len: usize,
}

impl Tables {
    /// Appends the rows of `step`: one in general, several for a sum of more than two values and for a
    /// classifier, and one for each remainder modulo the stride for a convolution's gradient (these rows
    /// are independent).
    ///
    /// # Errors
    /// When the step exceeds a limit of the kernels.
    pub(super) fn add(&mut self, plan: &Plan, step: &Step) -> Result<()> {
        let rows = self.rows(&plan.params, step)?;
        self.steps.extend(rows);
        Ok(())
    }

    fn rows(&mut self, params: &[Param], step: &Step) -> Result<Vec<StepRow>> {
        let shapes = step.inputs.iter().map(|slot| slot.shape).chain([step.output.shape]);
        if let Some(shape) = shapes.into_iter().find(|s| s.h.max(s.w) > MAX_SIDE) {
            let op = step.op.name();
            return Err(unsupported(format!("{op} on {shape}: at most {MAX_SIDE} rows and columns")));
        }
        let window = match &step.op {
            Op::Conv2d(op) => Some(op.window),
            Op::Conv2dGrad(op) => Some(op.window),
            _ => None,
        };
        if let Some(w) = window.filter(|w| w.kernel.iter().chain(&w.padding).any(|&side| side > MAX_SIDE)) {
            return Err(unsupported(format!("{w:?}: at most {MAX_SIDE} rows and columns")));
        }
        let row = StepRow::between(step);
        let data = |id: ParamId| &params[id.index()].data;
        let one = |opcode: Opcode| Ok(vec![StepRow { op: opcode as u32, ..row }]);
        let windowed = |opcode: Opcode, window: &Window| {
            Ok(vec![StepRow { op: opcode as u32, ..row }.with_window(window)])
        };
        match &step.op {
            Op::Copy => one(Opcode::Copy),
            Op::Relu => one(Opcode::Relu),
            Op::ReluGrad(op) => {
                Ok(vec![StepRow { op: Opcode::ReluGrad as u32, relu: rule(Some(op.rule)), ..row }])
            }
            Op::BatchNorm(_) | Op::BatchNormGrad(_) => {
                let (norm, gradient) = match &step.op {
                    Op::BatchNormGrad(op) => (op.forward, true),
                    Op::BatchNorm(op) => (*op, false),
                    _ => unreachable!("matched above"),
                };
                let (scale, shift) = self.weights.add_batch_norm(&norm, params, gradient);
                let op = Opcode::BatchNorm as u32;
                Ok(vec![StepRow { op, weight: offset(scale)?, bias: offset(shift)?, ..row }])
            }
            Op::MaxPool(op) => windowed(Opcode::MaxPool, &op.window),
            Op::MaxPoolGrad(op) => windowed(Opcode::MaxPoolGrad, &op.window),
            Op::AvgPool(op) => windowed(Opcode::AvgPool, &op.window),
            Op::AvgPoolGrad(op) => windowed(Opcode::AvgPoolGrad, &op.window),
            Op::Linear(op) => {
                let weight = offset(self.weights.add(data(op.weight).iter().copied()))?;
                let bias = offset(self.weights.add(data(op.bias).iter().copied()))?;
                Ok(vec![StepRow { op: Opcode::Linear as u32, weight, bias, ..row }])
            }
            Op::LinearGrad(op) => {
                let weight = offset(self.weights.add(data(op.weight).iter().copied()))?;
                Ok(vec![StepRow { op: Opcode::LinearGrad as u32, weight, ..row }])
            }
            Op::Add => Ok(sum_rows(row, step)),
            Op::Softmax => one(Opcode::Softmax),
            Op::SoftmaxGrad => one(Opcode::SoftmaxGrad),
            Op::OneHot => one(Opcode::OneHot),
            Op::SpatialMean => one(Opcode::SpatialMean),
            Op::PooledConv2dGrad(op) => Ok(vec![self.pooled(params, Opcode::PooledConv2dGrad, op, row)?]),
            Op::WeightedSum(op) => {
                Ok(vec![StepRow { op: Opcode::WeightedSum as u32, relu: op.relu.into(), ..row }])
            }
            Op::Range => one(Opcode::Range),
            Op::ResizeMinMax(_) => one(Opcode::ResizeMinMax),
            Op::Cam(op) => {
                // The kernel takes the tap's shape, which determines that of the record.
                let row = StepRow { relu: op.sum.relu.into(), ..row }.with_output_shape(step.inputs[1].shape);
                Ok(vec![self.pooled(params, Opcode::Cam, &op.pooled, row)?])
            }
            Op::Classifier(op) => {
                let steps = classifier::steps(op, step, &mut self.work_len)?;
                let rows: Result<Vec<_>> = steps.iter().map(|step| self.rows(params, step)).collect();
                Ok(rows?.concat())
            }
            Op::Conv2d(op) => self.conv2d(params, op, row),
            Op::Conv2dGrad(op) => self.conv2d_grad(params, op, row),
            Op::Input(_) | Op::Slice(_) | Op::Concat => {
                unreachable!("{} is not a step of a plan", step.op.name())
            }
        }
    }

    fn pooled(
        &mut self,
        params: &[Param],
        opcode: Opcode,
        op: &PooledConv2dGrad,
        row: StepRow,
    ) -> Result<StepRow> {
        let classes = op.classes.count();
        if classes > CAM_SUMS {
            return Err(unsupported(format!(
                "{classes} border classes, the kernels support at most {CAM_SUMS}"
            )));
        }
        let weight = offset(self.weights.add(op.kernel_sums(params).iter().copied()))?;
        let class_table = offset(self.add_classes(&op.classes))?;
        Ok(StepRow { op: opcode as u32, weight, classes: classes as i32, class_table, ..row })
    }

    fn add_classes(&mut self, classes: &BorderClasses) -> usize {
        let start = self.classes.len();
        for y in 0..classes.rows.len() {
            self.classes.extend((0..classes.columns.len()).map(|x| classes.class(y, x) as u32));
        }
        start
    }

    fn conv2d(&mut self, params: &[Param], op: &Conv2d, row: StepRow) -> Result<Vec<StepRow>> {
        let data = |id: ParamId| &params[id.index()].data;
        let weight = offset(self.weights.add_conv2d(op, data(op.weight)))?;
        let bias = match op.bias {
            Some(bias) => self.weights.add(data(bias).iter().copied()),
            None => self.weights.add(std::iter::repeat_n(0.0, op.out)),
        };
        let Window { stride, padding, .. } = op.window;
        let row = StepRow {
            op: Opcode::Conv2d as u32,
            weight,
            bias: offset(bias)?,
            relu: op.relu.into(),
            rows: row.out_h,
            columns: row.out_w,
            row_first: -(padding[0] as i32),
            row_step: stride[0] as i32,
            row_turn: 1,
            column_first: -(padding[1] as i32),
            column_step: stride[1] as i32,
            column_turn: 1,
            out_row_step: 1,
            out_column_step: 1,
            weight_row: row_length(op.out) as i32,
            ..row.with_window(&op.window)
        };
        Ok(vec![row.with_terms()])
    }

    /// For each remainder of the pixels' rows and columns modulo the stride, a convolution of the
    /// gradient: `kernels/conv2d_grad.cu` explains why.
    fn conv2d_grad(&mut self, params: &[Param], op: &Conv2dGrad, row: StepRow) -> Result<Vec<StepRow>> {
        let Window { kernel, stride, padding } = op.window;
        let axis = |axis: usize, remainder: usize| {
            let first = (remainder + padding[axis]) % stride[axis];
            let taps = Taps {
                first,
                step: stride[axis],
                count: kernel[axis].saturating_sub(first).div_ceil(stride[axis]),
            };
            (taps, ((remainder + padding[axis] - first) / stride[axis]) as i32)
        };
        let mut rows = Vec::new();
        for down in 0..stride[0].min(op.input.h) {
            for right in 0..stride[1].min(op.input.w) {
                let ((u, row_first), (v, column_first)) = (axis(0, down), axis(1, right));
                let weight = self.weights.add_conv2d_grad(op, &params[op.weight.index()].data, [u, v]);
                let taps = StepRow { kernel_h: u.count as i32, kernel_w: v.count as i32, ..row };
                let row = StepRow {
                    op: Opcode::Conv2dGrad as u32,
                    weight: offset(weight)?,
                    relu: rule(op.relu),
                    rows: (op.input.h - down).div_ceil(stride[0]) as i32,
                    columns: (op.input.w - right).div_ceil(stride[1]) as i32,
                    row_first,
                    row_step: 1,
                    row_turn: -1,
                    column_first,
                    column_step: 1,
                    column_turn: -1,
                    out_row_first: down as i32,
                    out_row_step: stride[0] as i32,
                    out_column_first: right as i32,
                    out_column_step: stride[1] as i32,
                    weight_row: row_length(op.input.c) as i32,
                    ..taps
                };
                rows.push(row.with_terms());
            }
        }
        Ok(rows)
    }
}

impl StepRow {
    /// Addresses and shapes of `step`; all other fields are zero.
    fn between(step: &Step) -> StepRow {
        let first = step.inputs[0];
        let second = step.inputs.get(1).copied().unwrap_or(first);
        let Shape { c, h, w } = first.shape;
        StepRow {
            first_space: space(first),
            first: first.offset as u32,
            second_space: space(second),
            second: second.offset as u32,
            out_space: space(step.output),
            out: step.output.offset as u32,
            in_c: c as i32,
            in_h: h as i32,
            in_w: w as i32,
            ..StepRow::zeroed()
        }
        .with_output_shape(step.output.shape)
    }

    fn with_output_shape(self, Shape { c, h, w }: Shape) -> StepRow {
        StepRow { out_c: c as i32, out_h: h as i32, out_w: w as i32, ..self }
    }

    fn with_window(self, window: &Window) -> StepRow {
        StepRow {
            kernel_h: window.kernel[0] as i32,
            kernel_w: window.kernel[1] as i32,
            stride_h: window.stride[0] as i32,
            stride_w: window.stride[1] as i32,
            padding_h: window.padding[0] as i32,
            padding_w: window.padding[1] as i32,
            ..self
        }
    }

    /// Sets a convolution's number of terms, and whether it reads and writes four pixels as one vector.
    fn with_terms(self) -> StepRow {
        let pointwise = [self.kernel_h, self.kernel_w, self.row_step, self.column_step] == [1; 4]
            && (self.row_first, self.column_first) == (0, 0)
            && (self.rows, self.columns) == (self.in_h, self.in_w);
        let offsets = [self.first, self.out].iter().all(|offset| offset.is_multiple_of(4));
        let aligned = (self.rows * self.columns) % 4 == 0 && offsets && self.is(Opcode::Conv2d);
        StepRow {
            terms: self.kernel_h * self.kernel_w * self.in_c,
            // Without taps there are no terms; a width of zero would be a divisor.
            kernel_w: self.kernel_w.max(1),
            vector: u32::from(pointwise && aligned),
            ..self
        }
    }

    /// Whether the elements of the result are computed independently of each other.
    pub(super) fn is_elementwise(&self) -> bool {
        const ELEMENTWISE: [Opcode; 12] = [
            Opcode::Copy,
            Opcode::Add,
            Opcode::Relu,
            Opcode::ReluGrad,
            Opcode::BatchNorm,
            Opcode::MaxPool,
            Opcode::MaxPoolGrad,
            Opcode::AvgPool,
            Opcode::AvgPoolGrad,
            Opcode::LinearGrad,
            Opcode::SpatialMean,
            Opcode::WeightedSum,
        ];
        ELEMENTWISE.iter().any(|&opcode| self.is(opcode))
    }

    pub(super) fn is(&self, opcode: Opcode) -> bool {
        self.op == opcode as u32
    }

    pub(super) fn is_convolution(&self) -> bool {
        self.is(Opcode::Conv2d) || self.is(Opcode::Conv2dGrad)
    }
}

/// A sum of several values as sums of two, left to right.
fn sum_rows(row: StepRow, step: &Step) -> Vec<StepRow> {
    let mut rows = vec![StepRow { op: Opcode::Add as u32, ..row }];
    for &term in &step.inputs[2..] {
        let (first_space, first) = (row.out_space, row.out);
        let (second_space, second) = (space(term), term.offset as u32);
        rows.push(StepRow { op: Opcode::Add as u32, first_space, first, second_space, second, ..row });
    }
    rows
}

fn space(slot: Slot) -> u32 {
    match slot.space {
        Space::Input => 0,
        Space::Work => 1,
        Space::Output => 2,
    }
}

fn rule(rule: Option<ReluRule>) -> u32 {
    match rule {
        None => 0,
        Some(ReluRule::Plain) => 1,
        Some(ReluRule::Guided) => 2,
        Some(ReluRule::Deconvnet) => 3,
    }
}

/// The error of a plan that exceeds a limit of the kernels.
fn unsupported(reason: String) -> Error {
    DeviceError::Unsupported { device: "cuda", reason }.into()
}

/// An offset in the weights or tables as the kernels store it.
fn offset(elements: usize) -> Result<u32> {
    u32::try_from(elements).map_err(|_| unsupported("the weights have more than 2^32 elements".into()))
}
