//! Lowering of a plan's steps to the step table of the kernels: addresses, shapes and packed weights.

use bytemuck::Zeroable;

use super::abi::{
    ACTIVATION_HARD_SIGMOID, ACTIVATION_HARD_SWISH, ACTIVATION_LEAKY_RELU, ACTIVATION_SIGMOID,
    ACTIVATION_SILU, CAM_CHANNELS, CAM_POSITIONS, CAM_SUMS, Divisor, MAX_SIDE, Opcode, StepRow,
};
use super::conv2d::{Conv, conv2d, conv2d_grad, index_of, is_step, relu_gate};
use super::error::unsupported;
use super::weights::Weights;
use crate::engine::graph::ops::{
    Activation, AvgPool, BorderClasses, Conv2d, Conv2dGrad, Lrn, Op, PooledConv2dGrad, Resize, Window,
};
use crate::engine::graph::{Param, ParamId};
use crate::engine::plan::{Plan, Slot, Step};
use crate::{Result, Shape};

/// The plan's constants in device memory: step table, weights, and tables of integers.
#[derive(Default)]
pub(super) struct Tables {
    /// The steps of all jobs.
    pub(super) steps: Vec<StepRow>,
    pub(super) weights: Weights,
    /// For each pooled gradient its positions, class by class; the last one of a class has its highest bit set;
    /// padded to whole batches. For each resizing its samples (`kernels/resize.cu`).
    pub(super) integers: Vec<u32>,
}

/// A step in the form of the kernels.
pub(super) enum Lowered {
    /// Rows of the step table, run one after another by one job: one in general, several for a sum of more than
    /// two values.
    Steps(Vec<StepRow>),
    /// Convolutions, each a job of its own: one, or one for each remainder modulo the stride for a convolution's
    /// gradient. Their division into blocks is left to the program.
    Convs(Vec<Conv>),
}

impl Tables {
    /// `step` in the form of the kernels; its weights are appended.
    ///
    /// # Errors
    /// When the step exceeds a limit of the kernels.
    pub(super) fn lower(&mut self, plan: &Plan, step: &Step) -> Result<Lowered> {
        let params = &plan.params;
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
        if let Some(w) =
            window.filter(|w| w.extent().iter().chain(w.padding.as_flattened()).any(|&side| side > MAX_SIDE))
        {
            return Err(unsupported(format!("{w:?}: at most {MAX_SIDE} rows and columns")));
        }
        let row = StepRow::between(step);
        let data = |id: ParamId| &params[id.index()].data;
        let rows = |rows: Vec<StepRow>| Ok(Lowered::Steps(rows));
        let one = |opcode: Opcode| rows(vec![StepRow { op: opcode as u32, ..row }]);
        let detailed = |opcode: Opcode, detail: usize| {
            rows(vec![StepRow { op: opcode as u32, detail: detail as i32, ..row }])
        };
        let windowed = |opcode: Opcode, window: &Window| {
            rows(vec![StepRow { op: opcode as u32, ..row }.with_window(window)])
        };
        match &step.op {
            Op::Copy => one(Opcode::Copy),
            Op::Relu(op) => rows(vec![StepRow { op: Opcode::Relu as u32, relu_max: op.max, ..row }]),
            Op::ReluGrad(op) => {
                let (relu, relu_max) = relu_gate(Some(*op));
                rows(vec![StepRow { op: Opcode::ReluGrad as u32, relu, relu_max, ..row }])
            }
            Op::BatchNorm(_) | Op::BatchNormGrad(_) => {
                let (norm, gradient) = match &step.op {
                    Op::BatchNormGrad(op) => (op.forward, true),
                    Op::BatchNorm(op) => (*op, false),
                    _ => unreachable!("matched above"),
                };
                let (weight, bias) = self.weights.add_batch_norm(&norm, params, gradient)?;
                let row = StepRow { weight, bias, relu: norm.relu.is_some().into(), ..row };
                let relu_max = norm.relu.map_or(f32::INFINITY, |relu| relu.max);
                rows(vec![StepRow { op: Opcode::BatchNorm as u32, relu_max, ..row }])
            }
            Op::MaxPool(op) => windowed(Opcode::MaxPool, &op.window),
            Op::MaxPoolGrad(op) => windowed(Opcode::MaxPoolGrad, &op.window),
            Op::AvgPool(op) if op.is_mean(step.inputs[0].shape) => one(Opcode::SpatialMean),
            Op::AvgPool(op) => rows(vec![StepRow { op: Opcode::AvgPool as u32, ..row }.with_mean(op)]),
            Op::AvgPoolGrad(op) => {
                rows(vec![StepRow { op: Opcode::AvgPoolGrad as u32, ..row }.with_mean(&op.forward)])
            }
            // A large layer is never in a chain, and one block would be slow.
            Op::Linear(op) if !step.is_small() => {
                let step = flattened(step);
                let conv = op.as_conv2d([step.inputs[0].shape.len(), step.output.shape.len()]);
                Ok(Lowered::Convs(conv2d(&mut self.weights, params, &conv, &step)?))
            }
            Op::LinearGrad(op) if !step.is_small() => {
                let step = flattened(step);
                let conv = op.as_conv2d_grad(step.inputs[0].shape.len());
                Ok(Lowered::Convs(conv2d_grad(&mut self.weights, params, &conv, &step)?))
            }
            Op::Linear(op) => {
                let weight = self.weights.add(data(op.weight).iter().copied())?;
                let bias = self.weights.add(data(op.bias).iter().copied())?;
                rows(vec![StepRow { op: Opcode::Linear as u32, weight, bias, ..row }])
            }
            Op::LinearGrad(op) => {
                let weight = self.weights.add(data(op.weight).iter().copied())?;
                rows(vec![StepRow { op: Opcode::LinearGrad as u32, weight, ..row }])
            }
            Op::Add => rows(sum_rows(row, step)),
            Op::Softmax => one(Opcode::Softmax),
            Op::SoftmaxGrad => one(Opcode::SoftmaxGrad),
            Op::OneHot => one(Opcode::OneHot),
            Op::SpatialMean => one(Opcode::SpatialMean),
            Op::PooledConv2dGrad(op) => rows(vec![self.pooled(params, Opcode::PooledConv2dGrad, op, row)?]),
            Op::WeightedSum(op) => {
                rows(vec![StepRow { op: Opcode::WeightedSum as u32, relu: op.relu.into(), ..row }])
            }
            Op::Range => one(Opcode::Range),
            Op::ResizeMinMax(_) => one(Opcode::ResizeMinMax),
            Op::Cam(op) => {
                // The kernel takes the tap's shape, which determines that of the record.
                let row = StepRow { relu: op.sum.relu.into(), ..row }.with_output_shape(step.inputs[1].shape);
                rows(vec![self.pooled(params, Opcode::Cam, &op.pooled, row)?])
            }
            Op::Classifier(op) => {
                let weight = self.weights.add(data(op.linear.weight).iter().copied())?;
                let bias = self.weights.add(data(op.linear.bias).iter().copied())?;
                let pooled = op.pooled(step.inputs[0].shape)?;
                let row = row.with_output_shape(Shape::new(op.classes, pooled.h, pooled.w));
                let (relu, relu_max) = relu_gate(op.relu);
                let row = StepRow { weight, bias, relu, relu_max, ..row };
                rows(vec![StepRow { op: Opcode::Classifier as u32, ..row }.with_window(&op.window)])
            }
            Op::Conv2d(op) if is_step(op.groups, op.channels, op.out) => {
                rows(vec![self.grouped_conv2d(params, op, row)?])
            }
            Op::Conv2dGrad(op) if is_step(op.groups, op.input.c, op.out) => {
                rows(vec![self.grouped_conv2d_grad(params, op, row)?])
            }
            Op::Conv2d(op) => Ok(Lowered::Convs(conv2d(&mut self.weights, params, op, step)?)),
            Op::Conv2dGrad(op) => Ok(Lowered::Convs(conv2d_grad(&mut self.weights, params, op, step)?)),
            Op::Activation(op) => rows(vec![self.activation(Opcode::Activation, *op, row)?]),
            Op::ActivationGrad(op) => rows(vec![self.activation(Opcode::ActivationGrad, *op, row)?]),
            Op::SliceGrad(op) => detailed(Opcode::SliceGrad, op.offset),
            Op::ChannelShuffle(op) => detailed(Opcode::ChannelShuffle, op.groups),
            Op::Mul => detailed(Opcode::Mul, usize::from(step.inputs[1].shape != step.inputs[0].shape)),
            Op::ChannelDot => one(Opcode::ChannelDot),
            Op::Lrn(op) => rows(vec![self.lrn(Opcode::Lrn, op, row)?]),
            Op::LrnGrad(op) => rows(vec![self.lrn(Opcode::LrnGrad, op, row)?]),
            Op::Resize(op) => rows(vec![self.resize(Opcode::Resize, op, step.inputs[0].shape, row)?]),
            Op::ResizeGrad(op) => {
                rows(vec![self.resize(Opcode::ResizeGrad, &op.forward, step.output.shape, row)?])
            }
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
        // Channel by channel of the gradient, class by class, a row of the tap's channels.
        let (tap, channels) = (row.out_c as usize, row.in_c as usize);
        let row_len = tap.next_multiple_of(CAM_CHANNELS);
        let (param, mut buffers) = (&params[op.weight.index()], [Vec::new(), Vec::new()]);
        let [buffer, sums] = &mut buffers;
        let dims = param.dims[..].try_into().expect("a convolution's weight has four dimensions");
        let sums = op.kernel_sums(dims, param.data.read(buffer)?, sums)?;
        let rows = (0..channels).flat_map(|o| (0..classes).map(move |class| (o * tap, class)));
        let padded = rows.flat_map(|(first, class)| {
            let row = (first..first + tap).map(move |i| sums[i * classes + class]);
            row.chain(std::iter::repeat_n(0.0, row_len - tap))
        });
        let weight = self.weights.add(padded)?;
        let table = self.add_classes(&op.classes)?;
        let by_row = Divisor::new((row.in_h * row.in_w) as usize);
        let (weight_row, chunk) = (row_len as i32, (CAM_SUMS / classes).clamp(1, channels) as i32);
        Ok(StepRow {
            op: opcode as u32,
            weight,
            classes: classes as i32,
            table,
            weight_row,
            chunk,
            by_row,
            ..row
        })
    }

    fn add_classes(&mut self, classes: &BorderClasses) -> Result<u32> {
        let (start, offset) = (self.integers.len(), self.end_of_integers()?);
        let columns = classes.columns.len();
        let mut positions: Vec<usize> = (0..classes.rows.len() * columns).collect();
        let class = |position: usize| classes.class(position / columns, position % columns);
        positions.sort_by_key(|&position| class(position));
        self.integers.extend(positions.iter().enumerate().map(|(i, &position)| {
            let ends = positions.get(i + 1).is_none_or(|&next| class(next) != class(position));
            position as u32 | u32::from(ends) << 31
        }));
        // Up to a whole number of the kernel's batches: in no class.
        self.integers.resize(start + positions.len().next_multiple_of(CAM_POSITIONS), 0);
        Ok(offset)
    }

    /// The offset of the next integer.
    fn end_of_integers(&self) -> Result<u32> {
        u32::try_from(self.integers.len())
            .map_err(|_| unsupported("the tables have more than 2^32 elements".into()))
    }

    /// The weight as it is, and a bias for each result, of a convolution of groups with few channels.
    fn grouped_conv2d(&mut self, params: &[Param], op: &Conv2d, row: StepRow) -> Result<StepRow> {
        let data = |id: ParamId| params[id.index()].data.iter().copied();
        let weight = self.weights.add(data(op.weight))?;
        let bias = match op.bias {
            Some(bias) => self.weights.add(data(bias))?,
            None => self.weights.add(std::iter::repeat_n(0.0, op.out))?,
        };
        let relu_max = op.relu.map_or(f32::INFINITY, |relu| relu.max);
        let (relu, detail) = (op.relu.is_some().into(), op.groups as i32);
        let row = StepRow { op: Opcode::GroupedConv2d as u32, weight, bias, relu, relu_max, detail, ..row };
        Ok(row.with_window(&op.window))
    }

    fn grouped_conv2d_grad(&mut self, params: &[Param], op: &Conv2dGrad, row: StepRow) -> Result<StepRow> {
        let weight = self.weights.add(params[op.weight.index()].data.iter().copied())?;
        let ((relu, relu_max), detail) = (relu_gate(op.relu), op.groups as i32);
        let row = StepRow { op: Opcode::GroupedConv2dGrad as u32, weight, relu, relu_max, detail, ..row };
        Ok(row.with_window(&op.window))
    }

    fn activation(&mut self, opcode: Opcode, op: Activation, row: StepRow) -> Result<StepRow> {
        let (detail, constants) = match op {
            Activation::Sigmoid => (ACTIVATION_SIGMOID, [0.0; 2]),
            Activation::HardSigmoid { slope, offset } => (ACTIVATION_HARD_SIGMOID, [slope, offset]),
            Activation::HardSwish => (ACTIVATION_HARD_SWISH, [0.0; 2]),
            Activation::Silu => (ACTIVATION_SILU, [0.0; 2]),
            Activation::LeakyRelu { slope } => (ACTIVATION_LEAKY_RELU, [slope, 0.0]),
        };
        Ok(StepRow { op: opcode as u32, detail, weight: self.weights.add(constants)?, ..row })
    }

    fn lrn(&mut self, opcode: Opcode, op: &Lrn, row: StepRow) -> Result<StepRow> {
        let size = op.size as f32;
        let constants = [op.alpha / size, -op.beta, op.bias, 2.0 * op.alpha * op.beta / size];
        // A window of more channels has them all, too.
        let detail = op.size.min(2 * row.out_c as usize + 1) as i32;
        Ok(StepRow { op: opcode as u32, detail, weight: self.weights.add(constants)?, ..row })
    }

    /// The samples of a resizing of `input`, rows and then columns; for its gradient also the ranges of rows and
    /// columns in which each of the input's has a share.
    fn resize(&mut self, opcode: Opcode, op: &Resize, input: Shape, row: StepRow) -> Result<StepRow> {
        let table = self.end_of_integers()?;
        let samples = [op.samples(0, input.h), op.samples(1, input.w)];
        for sample in samples.iter().flatten() {
            let ends = u32::from(sample.second != sample.first);
            self.integers.extend([sample.first as u32 | ends << 31, sample.part.to_bits()]);
        }
        if opcode == Opcode::ResizeGrad {
            for (samples, size) in samples.iter().zip([input.h, input.w]) {
                let mut ranges = vec![[0, 0]; size];
                for (position, sample) in samples.iter().enumerate() {
                    let second = (sample.part > 0.0).then_some(sample.second);
                    for pixel in std::iter::once(sample.first).chain(second) {
                        let [first, end] = &mut ranges[pixel];
                        *first = if end == first { position as u32 } else { *first };
                        *end = position as u32 + 1;
                    }
                }
                self.integers.extend(ranges.as_flattened());
            }
        }
        Ok(StepRow { op: opcode as u32, table, ..row })
    }
}

impl StepRow {
    /// Addresses and shapes of `step`; all other fields are zero.
    fn between(step: &Step) -> StepRow {
        let first = step.inputs[0];
        let second = step.inputs.get(1).copied().unwrap_or(first);
        let Shape { c, h, w } = first.shape;
        StepRow {
            first_space: index_of(first.space),
            first: first.offset as u32,
            second_space: index_of(second.space),
            second: second.offset as u32,
            out_space: index_of(step.output.space),
            out: step.output.offset as u32,
            in_c: c as i32,
            in_h: h as i32,
            in_w: w as i32,
            ..StepRow::zeroed()
        }
        .with_output_shape(step.output.shape)
    }

    fn with_output_shape(self, Shape { c, h, w }: Shape) -> StepRow {
        let (by_plane, by_row) = (Divisor::new((h * w).max(1)), Divisor::new(w.max(1)));
        StepRow { out_c: c as i32, out_h: h as i32, out_w: w as i32, by_plane, by_row, ..self }
    }

    fn with_window(self, window: &Window) -> StepRow {
        StepRow {
            kernel_h: window.kernel[0] as i32,
            kernel_w: window.kernel[1] as i32,
            stride_h: window.stride[0] as i32,
            stride_w: window.stride[1] as i32,
            padding_h: window.padding[0][0] as i32,
            padding_w: window.padding[0][1] as i32,
            dilation_h: window.dilation[0] as i32,
            dilation_w: window.dilation[1] as i32,
            ..self
        }
    }

    fn with_mean(self, pool: &AvgPool) -> StepRow {
        let [[top, left], [bottom, right]] = pool.counted().map(|side| side.map(|count| count as i32));
        StepRow { counted_top: top, counted_left: left, counted_bottom: bottom, counted_right: right, ..self }
            .with_window(&pool.window)
    }

    /// Whether the elements of the result are computed independently of each other.
    pub(super) fn is_elementwise(&self) -> bool {
        const ELEMENTWISE: [Opcode; 22] = [
            Opcode::Copy,
            Opcode::SliceGrad,
            Opcode::ChannelShuffle,
            Opcode::Add,
            Opcode::Mul,
            Opcode::Relu,
            Opcode::ReluGrad,
            Opcode::Activation,
            Opcode::ActivationGrad,
            Opcode::BatchNorm,
            Opcode::MaxPool,
            Opcode::MaxPoolGrad,
            Opcode::AvgPool,
            Opcode::AvgPoolGrad,
            Opcode::Lrn,
            Opcode::LrnGrad,
            Opcode::Resize,
            Opcode::ResizeGrad,
            Opcode::GroupedConv2d,
            Opcode::GroupedConv2dGrad,
            Opcode::LinearGrad,
            Opcode::WeightedSum,
        ];
        ELEMENTWISE.iter().any(|&opcode| self.is(opcode))
    }

    pub(super) fn is(&self, opcode: Opcode) -> bool {
        self.op == opcode as u32
    }
}

/// `step` between vectors.
fn flattened(step: &Step) -> Step {
    let flat = |slot: &Slot| Slot { shape: Shape::vector(slot.shape.len()), ..*slot };
    Step { op: step.op.clone(), inputs: step.inputs.iter().map(flat).collect(), output: flat(&step.output) }
}

/// A sum of several values as sums of two, left to right.
fn sum_rows(row: StepRow, step: &Step) -> Vec<StepRow> {
    let mut rows = vec![StepRow { op: Opcode::Add as u32, ..row }];
    for &term in &step.inputs[2..] {
        let (first_space, first) = (row.out_space, row.out);
        let (second_space, second) = (index_of(term.space), term.offset as u32);
        rows.push(StepRow { op: Opcode::Add as u32, first_space, first, second_space, second, ..row });
    }
    rows
}
