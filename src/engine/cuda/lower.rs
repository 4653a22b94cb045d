//! Lowering of a plan's steps to the step table of the kernels: addresses, shapes and packed weights.

use bytemuck::Zeroable;

use super::abi::{
    CAM_CHANNELS, CAM_POSITIONS, CAM_SUMS, ConvRow, Divisor, FINISH_BIAS, FINISH_BIAS_RELU, MAX_GROUP,
    MAX_SIDE, Opcode, SLICE, StepRow, TILED_READS_VECTORS, TILED_WRITES_VECTORS,
};
use super::weights::{Taps, Weights, row_length};
use crate::engine::graph::ops::{
    AvgPool, BorderClasses, Conv2d, Conv2dGrad, Op, PooledConv2dGrad, ReluGrad, ReluRule, Window,
};
use crate::engine::graph::{Param, ParamId};
use crate::engine::plan::{Plan, Slot, Space, Step};
use crate::error::DeviceError;
use crate::{Error, Result, Shape};

/// The plan's constants in device memory: step table, weights and border classes.
#[derive(Default)]
pub(super) struct Tables {
    /// The steps of all jobs.
    pub(super) steps: Vec<StepRow>,
    pub(super) weights: Weights,
    /// For each pooled gradient its positions, class by class; the last one of a class has its highest bit set;
    /// padded to whole batches.
    pub(super) classes: Vec<u32>,
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

/// A convolution whose places have no addresses yet.
#[derive(Clone, Copy)]
pub(super) struct Conv {
    pub(super) row: ConvRow,
    pub(super) input: Place,
    pub(super) out: Place,
    /// Element offset in the weights.
    pub(super) weight: u32,
    pub(super) extra: Extra,
}

/// What finishes the sums of a convolution.
#[derive(Clone, Copy)]
pub(super) enum Extra {
    /// A bias at an element offset in the weights.
    Bias(u32),
    /// The result of the ReLU that gates a gradient.
    Gate(Place),
    /// Nothing.
    Nothing,
}

/// An element of an image.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) space: Space,
    pub(super) offset: u32,
}

impl Place {
    fn of(slot: Slot) -> Place {
        Place { space: slot.space, offset: slot.offset as u32 }
    }

    /// The element `elements` behind this one.
    fn after(self, elements: usize) -> Place {
        Place { offset: self.offset + elements as u32, ..self }
    }

    /// Whether four elements from here can be read as one vector.
    fn is_aligned(self) -> bool {
        self.offset.is_multiple_of(4)
    }
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
                let (scale, shift) = self.weights.add_batch_norm(&norm, params, gradient);
                let op = Opcode::BatchNorm as u32;
                rows(vec![StepRow { op, weight: offset(scale)?, bias: offset(shift)?, ..row }])
            }
            Op::MaxPool(op) => windowed(Opcode::MaxPool, &op.window),
            Op::MaxPoolGrad(op) => windowed(Opcode::MaxPoolGrad, &op.window),
            Op::AvgPool(op) => rows(vec![StepRow { op: Opcode::AvgPool as u32, ..row }.with_mean(op)]),
            Op::AvgPoolGrad(op) => {
                rows(vec![StepRow { op: Opcode::AvgPoolGrad as u32, ..row }.with_mean(&op.forward)])
            }
            // A large layer is never in a chain, and one block would be slow.
            Op::Linear(op) if !step.is_small() => {
                let step = flattened(step);
                let conv = op.as_conv2d([step.inputs[0].shape.len(), step.output.shape.len()]);
                Ok(Lowered::Convs(vec![self.conv2d(params, &conv, &step)?]))
            }
            Op::LinearGrad(op) if !step.is_small() => {
                let step = flattened(step);
                let conv = op.as_conv2d_grad(step.inputs[0].shape.len());
                Ok(Lowered::Convs(self.conv2d_grad(params, &conv, &step)?))
            }
            Op::Linear(op) => {
                let weight = offset(self.weights.add(data(op.weight).iter().copied()))?;
                let bias = offset(self.weights.add(data(op.bias).iter().copied()))?;
                rows(vec![StepRow { op: Opcode::Linear as u32, weight, bias, ..row }])
            }
            Op::LinearGrad(op) => {
                let weight = offset(self.weights.add(data(op.weight).iter().copied()))?;
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
                let weight = offset(self.weights.add(data(op.linear.weight).iter().copied()))?;
                let bias = offset(self.weights.add(data(op.linear.bias).iter().copied()))?;
                let pooled = op.pooled(step.inputs[0].shape)?;
                let row = row.with_output_shape(Shape::new(op.classes, pooled.h, pooled.w));
                let (relu, relu_max) = relu_gate(op.relu);
                let row = StepRow { weight, bias, relu, relu_max, ..row };
                rows(vec![StepRow { op: Opcode::Classifier as u32, ..row }.with_window(&op.window)])
            }
            Op::Conv2d(op) if op.residual => Err(unsupported("a residual on CUDA".into())),
            Op::Conv2d(op) => Ok(Lowered::Convs(vec![self.conv2d(params, op, step)?])),
            Op::Conv2dGrad(op) => Ok(Lowered::Convs(self.conv2d_grad(params, op, step)?)),
            Op::Activation(_)
            | Op::ActivationGrad(_)
            | Op::SliceGrad(_)
            | Op::ChannelShuffle(_)
            | Op::Mul
            | Op::ChannelDot
            | Op::Lrn(_)
            | Op::LrnGrad(_)
            | Op::Resize(_)
            | Op::ResizeGrad(_) => Err(unsupported(format!("{} on CUDA", step.op.name()))),
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
        let sums = op.kernel_sums(params)?;
        let rows = (0..channels).flat_map(|o| (0..classes).map(move |class| (class * channels + o) * tap));
        let padded = rows
            .flat_map(|at| sums[at..at + tap].iter().copied().chain(std::iter::repeat_n(0.0, row_len - tap)));
        let weight = offset(self.weights.add(padded))?;
        let class_table = offset(self.add_classes(&op.classes))?;
        let by_row = Divisor::new((row.in_h * row.in_w) as usize);
        let (weight_row, chunk) = (row_len as i32, (CAM_SUMS / classes).clamp(1, channels) as i32);
        Ok(StepRow {
            op: opcode as u32,
            weight,
            classes: classes as i32,
            class_table,
            weight_row,
            chunk,
            by_row,
            ..row
        })
    }

    fn add_classes(&mut self, classes: &BorderClasses) -> usize {
        let start = self.classes.len();
        let columns = classes.columns.len();
        let mut positions: Vec<usize> = (0..classes.rows.len() * columns).collect();
        let class = |position: usize| classes.class(position / columns, position % columns);
        positions.sort_by_key(|&position| class(position));
        self.classes.extend(positions.iter().enumerate().map(|(i, &position)| {
            let ends = positions.get(i + 1).is_none_or(|&next| class(next) != class(position));
            position as u32 | u32::from(ends) << 31
        }));
        // Up to a whole number of the kernel's batches: in no class.
        self.classes.resize(start + positions.len().next_multiple_of(CAM_POSITIONS), 0);
        start
    }

    fn conv2d(&mut self, params: &[Param], op: &Conv2d, step: &Step) -> Result<Conv> {
        let data = |id: ParamId| &params[id.index()].data;
        let weight = offset(self.weights.add_conv2d(op, data(op.weight)))?;
        let bias = match op.bias {
            Some(bias) => self.weights.add(data(bias).iter().copied()),
            None => self.weights.add(std::iter::repeat_n(0.0, op.out)),
        };
        let Window { kernel, stride, padding: [padding, _], dilation } = op.window;
        let Shape { h, w, .. } = step.output.shape;
        let row = ConvRow {
            extra_step: 0,
            extra_plane: 1,
            finish: if op.relu.is_some() { FINISH_BIAS_RELU } else { FINISH_BIAS },
            relu_max: op.relu.map_or(f32::INFINITY, |relu| relu.max),
            row_first: -(padding[0] as i32),
            row_step: stride[0] as i32,
            row_turn: dilation[0] as i32,
            column_first: -(padding[1] as i32),
            column_step: stride[1] as i32,
            column_turn: dilation[1] as i32,
            out_row: w as i32,
            out_column: 1,
            ..ConvRow::between(step)
        };
        let (input, out) = (Place::of(step.inputs[0]), Place::of(step.output));
        Ok(Conv { row, input, out, weight, extra: Extra::Bias(offset(bias)?) }.with_sums([h, w], kernel))
    }

    /// For each remainder of the pixels' rows and columns modulo the stride, a convolution of the
    /// gradient: `kernels/conv2d_grad.cu` explains why.
    fn conv2d_grad(&mut self, params: &[Param], op: &Conv2dGrad, step: &Step) -> Result<Vec<Conv>> {
        let Window { kernel, stride, padding: [padding, _], dilation } = op.window;
        // The taps whose pixels have this remainder; the position at which the first of them is over the first such
        // pixel, and by how many positions it changes from a tap to the next.
        let axis = |axis: usize, remainder: usize| {
            let (kernel, stride, dilation) = (kernel[axis], stride[axis], dilation[axis]);
            let place = remainder + padding[axis];
            let step = (1..=stride).find(|u| u * dilation % stride == 0).unwrap_or(stride);
            let first = (0..step.min(kernel)).find(|u| u * dilation % stride == place % stride);
            let count = first.map_or(0, |first| (kernel - first).div_ceil(step));
            let first = first.unwrap_or(0);
            let position = (place as i32 - (first * dilation) as i32) / stride as i32;
            (Taps { first, step, count }, position, -((step * dilation / stride) as i32))
        };
        let gate = op.relu.map(|_| step.inputs[1]);
        let mut convs = Vec::new();
        for down in 0..stride[0].min(op.input.h) {
            for right in 0..stride[1].min(op.input.w) {
                let (u, row_first, row_turn) = axis(0, down);
                let (v, column_first, column_turn) = axis(1, right);
                let weight = self.weights.add_conv2d_grad(op, &params[op.weight.index()].data, [u, v]);
                let row = ConvRow {
                    extra_step: gate.is_some().into(),
                    extra_plane: if gate.is_some() { (op.input.h * op.input.w) as u32 } else { 0 },
                    finish: relu_gate(op.relu).0,
                    relu_max: relu_gate(op.relu).1,
                    row_first,
                    row_step: 1,
                    row_turn,
                    column_first,
                    column_step: 1,
                    column_turn,
                    out_row: (stride[0] * op.input.w) as i32,
                    out_column: stride[1] as i32,
                    ..ConvRow::between(step)
                };
                let positions =
                    [(op.input.h - down).div_ceil(stride[0]), (op.input.w - right).div_ceil(stride[1])];
                let first = down * op.input.w + right;
                let conv = Conv {
                    row,
                    input: Place::of(step.inputs[0]),
                    out: Place::of(step.output).after(first),
                    weight: offset(weight)?,
                    extra: gate.map_or(Extra::Nothing, |gate| Extra::Gate(Place::of(gate).after(first))),
                };
                convs.push(conv.with_sums(positions, [u.count, v.count]));
            }
        }
        Ok(convs)
    }
}

impl ConvRow {
    /// Shapes of `step`; all other fields are zero.
    fn between(step: &Step) -> ConvRow {
        let (Shape { c, h, w }, out) = (step.inputs[0].shape, step.output.shape);
        ConvRow {
            in_c: c as i32,
            in_h: h as i32,
            in_w: w as i32,
            in_plane: (h * w) as i32,
            out_c: out.c as i32,
            out_plane: (out.h * out.w) as i32,
            weight_row: row_length(out.c) as i32,
            ..ConvRow::zeroed()
        }
    }
}

impl Conv {
    /// Sets the numbers of positions of an image and of slices, from the rows and columns of results and those of
    /// the window, and whether four adjacent positions can be read or written as one vector.
    fn with_sums(self, [rows, columns]: [usize; 2], window: [usize; 2]) -> Conv {
        let row = self.row;
        let chunks = (row.in_c as usize).div_ceil(SLICE);
        let slices = window[0] * window[1] * chunks;
        let fours = (rows * columns).is_multiple_of(4);
        let pointwise = window == [1, 1]
            && [row.row_step, row.column_step] == [1, 1]
            && [row.row_first, row.column_first] == [0, 0]
            && [rows, columns] == [row.in_h as usize, row.in_w as usize];
        let dense = [row.out_row, row.out_column] == [columns as i32, 1] && self.out.is_aligned();
        let gate_is_aligned = match self.extra {
            Extra::Bias(_) | Extra::Nothing => true,
            Extra::Gate(gate) => gate.is_aligned(),
        };
        let reads = if pointwise && fours && self.input.is_aligned() { TILED_READS_VECTORS } else { 0 };
        let writes = if dense && fours && gate_is_aligned { TILED_WRITES_VECTORS } else { 0 };
        let row = ConvRow {
            slices: slices as u32,
            group: slices.div_ceil(slices.div_ceil(MAX_GROUP).max(1)).max(1) as u32,
            tiled: reads | writes,
            by_positions: Divisor::new(rows * columns),
            by_columns: Divisor::new(columns),
            by_chunks: Divisor::new(chunks.max(1)),
            // Without taps there are no slices.
            by_width: Divisor::new(window[1].max(1)),
            ..row
        };
        Conv { row, ..self }
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

/// The index of a space in a launch.
pub(super) fn index_of(space: Space) -> u32 {
    match space {
        Space::Input => 0,
        Space::Work => 1,
        Space::Output => 2,
    }
}

/// The number of a ReLU gradient's rule, and the upper bound of the ReLU.
fn relu_gate(relu: Option<ReluGrad>) -> (u32, f32) {
    let rule = match relu.map(|relu| relu.rule) {
        None => 0,
        Some(ReluRule::Plain) => 1,
        Some(ReluRule::Guided) => 2,
        Some(ReluRule::Deconvnet) => 3,
    };
    (rule, relu.map_or(f32::INFINITY, |relu| relu.max))
}

/// The error of a plan that exceeds a limit of the kernels.
fn unsupported(reason: String) -> Error {
    DeviceError::Unsupported { device: "cuda", reason }.into()
}

/// An offset in the weights or tables as the kernels store it.
fn offset(elements: usize) -> Result<u32> {
    u32::try_from(elements).map_err(|_| unsupported("the weights have more than 2^32 elements".into()))
}
