//! Lowering of convolutions: addresses, shapes and packed weights of one or several, which the program divides into tiles.

use bytemuck::Zeroable;

use super::abi::{
    ConvRow, Divisor, FINISH_BIAS, FINISH_BIAS_RELU, FINISH_RESIDUAL, FINISH_RESIDUAL_RELU, MAX_GROUP, SLICE,
    TILED_READS_VECTORS, TILED_WRITES_VECTORS,
};
use super::weights::{Taps, Weights, row_length};
use crate::engine::graph::ops::{Conv2d, Conv2dGrad, ReluGrad, ReluRule, Window};
use crate::engine::graph::{Param, ParamId};
use crate::engine::plan::{Slot, Space, Step};
use crate::{Result, Shape};

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
    /// A bias at an element offset in the weights, and a residual.
    Residual(u32, Place),
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

/// Most multiply-adds of a tap in a group whose results are computed one by one, in a step.
const FEW: usize = 16;

/// Whether a convolution of `groups` groups, or its gradient, is a step: depthwise, or with few channels in a group.
pub(super) fn is_step(groups: usize, inputs: usize, outputs: usize) -> bool {
    groups > 1 && (groups == inputs || (inputs / groups) * (outputs / groups) <= FEW)
}

/// A convolution for each group of `op`.
///
/// # Errors
/// When the weights exceed a limit of the kernels.
pub(super) fn conv2d(weights: &mut Weights, params: &[Param], op: &Conv2d, step: &Step) -> Result<Vec<Conv>> {
    let Window { kernel, stride, padding: [padding, _], dilation } = op.window;
    let (one, groups) = (op.of_group(), op.groups);
    let convs = (0..groups).map(|group| {
        let step = step.of_group(group, groups, one.clone());
        let weight = weights.add_conv2d(&one, part(params, op.weight, group, groups))?;
        let bias = match op.bias {
            Some(bias) => weights.add(part(params, bias, group, groups).iter().copied())?,
            None => weights.add(std::iter::repeat_n(0.0, one.out))?,
        };
        let Shape { h, w, .. } = step.output.shape;
        let extra = match op.residual {
            true => Extra::Residual(bias, Place::of(step.inputs[1])),
            false => Extra::Bias(bias),
        };
        let row = ConvRow {
            extra_step: op.residual.into(),
            extra_plane: if op.residual { (h * w) as u32 } else { 1 },
            finish: match (op.residual, op.relu) {
                (false, None) => FINISH_BIAS,
                (false, Some(_)) => FINISH_BIAS_RELU,
                (true, None) => FINISH_RESIDUAL,
                (true, Some(_)) => FINISH_RESIDUAL_RELU,
            },
            relu_max: op.relu.map_or(f32::INFINITY, |relu| relu.max),
            row_first: -(padding[0] as i32),
            row_step: stride[0] as i32,
            row_turn: dilation[0] as i32,
            column_first: -(padding[1] as i32),
            column_step: stride[1] as i32,
            column_turn: dilation[1] as i32,
            out_row: w as i32,
            out_column: 1,
            ..ConvRow::between(&step)
        };
        let (input, out) = (Place::of(step.inputs[0]), Place::of(step.output));
        Ok(Conv { row, input, out, weight, extra }.with_sums([h, w], kernel))
    });
    convs.collect()
}

/// The gradient of a convolution: for each group, the convolutions of `conv2d_grad_of_group`.
///
/// # Errors
/// When the weights exceed a limit of the kernels.
pub(super) fn conv2d_grad(
    weights: &mut Weights,
    params: &[Param],
    op: &Conv2dGrad,
    step: &Step,
) -> Result<Vec<Conv>> {
    let mut convs = Vec::new();
    for group in 0..op.groups {
        let one = op.of_group();
        let step = step.of_group(group, op.groups, one.clone());
        let weight = part(params, op.weight, group, op.groups);
        convs.extend(conv2d_grad_of_group(weights, weight, &one, &step)?);
    }
    Ok(convs)
}

/// For each remainder of the pixels' rows and columns modulo the stride, a convolution of the
/// gradient: `kernels/conv2d_grad.cu` explains why.
fn conv2d_grad_of_group(
    weights: &mut Weights,
    weight: &[f32],
    op: &Conv2dGrad,
    step: &Step,
) -> Result<Vec<Conv>> {
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
            let weight = weights.add_conv2d_grad(op, weight, [u, v])?;
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
                weight,
                extra: gate.map_or(Extra::Nothing, |gate| Extra::Gate(Place::of(gate).after(first))),
            };
            convs.push(conv.with_sums(positions, [u.count, v.count]));
        }
    }
    Ok(convs)
}

/// The part of a weight or bias that group `group` of `groups` reads.
fn part(params: &[Param], id: ParamId, group: usize, groups: usize) -> &[f32] {
    let data = &params[id.index()].data;
    let len = data.len() / groups;
    &data[group * len..][..len]
}

/// The number of a ReLU gradient's rule, and the upper bound of the ReLU.
pub(super) fn relu_gate(relu: Option<ReluGrad>) -> (u32, f32) {
    let rule = match relu.map(|relu| relu.rule) {
        None => 0,
        Some(ReluRule::Plain) => 1,
        Some(ReluRule::Guided) => 2,
        Some(ReluRule::Deconvnet) => 3,
    };
    (rule, relu.map_or(f32::INFINITY, |relu| relu.max))
}

/// The index of a space in a launch.
pub(super) fn index_of(space: Space) -> u32 {
    match space {
        Space::Input => 0,
        Space::Work => 1,
        Space::Output => 2,
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
        let extra_is_aligned = match self.extra {
            Extra::Bias(_) | Extra::Nothing => true,
            Extra::Residual(_, map) | Extra::Gate(map) => map.is_aligned(),
        };
        let reads = if pointwise && fours && self.input.is_aligned() { TILED_READS_VECTORS } else { 0 };
        let writes = if dense && fours && extra_is_aligned { TILED_WRITES_VECTORS } else { 0 };
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
