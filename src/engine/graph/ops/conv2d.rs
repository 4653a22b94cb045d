//! Two-dimensional convolution (cross-correlation, as PyTorch's `Conv2d`):
//! y[o, p, q] = bias[o] + sum over i, u, v of weight[o, i, u, v] * x[i, p*sy - py + u*dy, q*sx - px + v*dx],
//! where x is zero outside the image and (py, px) is the padding before it,
//! (sy, sx) the stride and (dy, dx) the dilation. With G groups, the weight has I / G input channels, and output channel o
//! reads those of its group, o G / O rounded down; G = I is a depthwise convolution.

use std::ops::{Range, RangeInclusive};

use super::{Op, Relu, ReluGrad, ReluRule};
use crate::engine::graph::{Graph, NodeId, ParamId};
use crate::error::GraphError;
use crate::{Result, Shape};

/// Largest side, stride and padding of a window: their products with an image's sides do not overflow.
const MAX_SIDE: usize = u16::MAX as usize;

/// The sliding window of a convolution or a pooling; rows first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Step between two positions, in rows and columns.
    pub stride: [usize; 2],
    /// Rows and columns of padding before the image, and those after it.
    pub padding: [[usize; 2]; 2],
    /// Step between two elements of the window, in rows and columns.
    pub dilation: [usize; 2],
}

impl Window {
    /// A square window with the same padding on all sides, without dilation.
    pub const fn square(kernel: usize, stride: usize, padding: usize) -> Self {
        Window { kernel: [kernel; 2], stride: [stride; 2], padding: [[padding; 2]; 2], dilation: [1; 2] }
    }

    /// Elements under the window.
    pub const fn area(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Rows and columns from the window's first element to its last, both included.
    pub(crate) fn extent(&self) -> [usize; 2] {
        [0, 1].map(|axis| (self.kernel[axis] - 1) * self.dilation[axis] + 1)
    }

    /// Numbers of window positions (rows, columns) over an image of `h` x `w`.
    ///
    /// # Errors
    /// When the window is larger than the padded image, the kernel, a stride or a dilation is zero, or one of the
    /// window's sizes is beyond 65,535.
    pub fn positions(&self, op: &'static str, h: usize, w: usize) -> Result<[usize; 2]> {
        let mut out = [0; 2];
        for (axis, size) in [h, w].into_iter().enumerate() {
            let (k, s, d) = (self.kernel[axis], self.stride[axis], self.dilation[axis]);
            let [before, after] = self.padding_along(axis);
            let padded = size.saturating_add(before.min(MAX_SIDE) + after.min(MAX_SIDE));
            let is_none = k == 0 || s == 0 || d == 0;
            let is_vast = [k, s, d, before, after].into_iter().any(|side| side > MAX_SIDE);
            if is_none || is_vast || self.extent()[axis] > padded.min(MAX_SIDE) {
                let padding = [before, after];
                let window = GraphError::Window { op, kernel: k, stride: s, dilation: d, padding, size };
                return Err(window.into());
            }
            out[axis] = (padded - self.extent()[axis]) / s + 1;
        }
        Ok(out)
    }

    /// The same for a pooling, where each window has a pixel of the image and there is no dilation.
    ///
    /// # Errors
    /// As for [`Window::positions`], and when a window is all padding or dilated.
    pub(super) fn pooled(&self, op: &'static str, input: Shape) -> Result<Shape> {
        if self.dilation != [1; 2] {
            return Err(GraphError::Dilation { op, dilation: self.dilation }.into());
        }
        let positions = self.positions(op, input.h, input.w)?;
        for (axis, size) in [input.h, input.w].into_iter().enumerate() {
            if (0..positions[axis]).any(|position| self.inside(axis, position, size).is_empty()) {
                let (kernel, stride, padding) =
                    (self.kernel[axis], self.stride[axis], self.padding_along(axis));
                return Err(GraphError::EmptyWindow { op, kernel, stride, padding, size }.into());
            }
        }
        Ok(Shape::new(input.c, positions[0], positions[1]))
    }

    /// The rows (axis 0) or columns (axis 1) of the window at `position` that are inside an image of `size`.
    pub(super) fn inside(&self, axis: usize, position: usize, size: usize) -> Range<usize> {
        let (kernel, start) = (self.kernel[axis], position * self.stride[axis]);
        let (before, step) = (self.padding[0][axis], self.dilation[axis]);
        let first = before.saturating_sub(start).div_ceil(step).min(kernel);
        first..(size + before).saturating_sub(start).div_ceil(step).clamp(first, kernel)
    }

    /// Padding before and after the image along one axis.
    fn padding_along(&self, axis: usize) -> [usize; 2] {
        self.padding.map(|side| side[axis])
    }

    /// Whether the window is 1x1 with stride 1 and without padding and dilation.
    pub fn is_pointwise(&self) -> bool {
        *self == Window::square(1, 1, 0)
    }
}

/// Parameters of [`Op::Conv2d`].
#[derive(Debug, Clone, PartialEq)]
pub struct Conv2d {
    /// (O, I / groups, KH, KW).
    pub weight: ParamId,
    /// (O), if any.
    pub bias: Option<ParamId>,
    /// Output channels O.
    pub out: usize,
    /// Input channels I.
    pub channels: usize,
    /// Groups of channels; divides both numbers of channels.
    pub groups: usize,
    /// Kernel, stride, padding, dilation.
    pub window: Window,
    /// Whether a second input, of the result's shape, is added before the ReLU; then there is one group.
    pub residual: bool,
    /// The ReLU that is applied to the result in the same step.
    pub relu: Option<Relu>,
}

impl From<Conv2d> for Op {
    fn from(op: Conv2d) -> Op {
        Op::Conv2d(op)
    }
}

impl Conv2d {
    /// A convolution of one group with the sizes of its weight (O, I, KH, KW), as much padding after the image as before,
    /// and no dilation.
    ///
    /// # Panics
    /// When the graph has no such weight, or it does not have four dimensions.
    pub fn new(
        graph: &Graph,
        weight: ParamId,
        bias: Option<ParamId>,
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> Self {
        let [out, channels, kh, kw] = graph.param(weight).dims[..] else {
            panic!(
                "conv2d weight '{}' has dimensions {:?}",
                graph.param(weight).name,
                graph.param(weight).dims
            );
        };
        Conv2d {
            weight,
            bias,
            out,
            channels,
            groups: 1,
            window: Window { kernel: [kh, kw], stride, padding: [padding; 2], dilation: [1; 2] },
            residual: false,
            relu: None,
        }
    }

    pub(super) fn arity(&self) -> RangeInclusive<usize> {
        let inputs = 1 + usize::from(self.residual);
        inputs..=inputs
    }

    pub(super) fn shape(&self, graph: &Graph, inputs: &[Shape]) -> Result<Shape> {
        let input = inputs[0];
        if input.c != self.channels {
            let (expected, given) = (self.channels, input.c);
            return Err(GraphError::WeightSize { op: "conv2d", unit: "channels", expected, given }.into());
        }
        let [kh, kw] = self.window.kernel;
        let channels = channels_of_group("conv2d", self.groups, [self.channels, self.out])?;
        graph.check_dims("conv2d", self.weight, [self.out, channels, kh, kw])?;
        if let Some(bias) = self.bias {
            graph.check_dims("conv2d", bias, [self.out])?;
        }
        let [h, w] = self.window.positions("conv2d", input.h, input.w)?;
        let result = Shape::new(self.out, h, w);
        if let Some(residual) = inputs.get(1).filter(|&&residual| residual != result || self.groups != 1) {
            let (roles, shapes) = (["residual", "result"], [*residual, result]);
            return Err(GraphError::OperandShapes { op: "conv2d", roles, shapes }.into());
        }
        Ok(result)
    }

    /// The convolution of one group alone; its weight is the group's part of the whole one.
    pub(crate) fn of_group(&self) -> Conv2d {
        let &Conv2d { out, channels, groups, .. } = self;
        Conv2d { out: out / groups, channels: channels / groups, groups: 1, ..self.clone() }
    }

    pub(super) fn vjp(
        &self,
        graph: &mut Graph,
        node: NodeId,
        index: usize,
        grad: NodeId,
        rule: ReluRule,
    ) -> Result<NodeId> {
        let input = graph.shape(graph.node(node).inputs[0]);
        let grad = match self.relu {
            Some(relu) => relu.vjp(graph, node, grad, rule)?,
            None => grad,
        };
        if index == 1 {
            return Ok(grad);
        }
        let &Conv2d { weight, out, groups, window, .. } = self;
        let op = Conv2dGrad { weight, out, input, groups, window, relu: None };
        graph.push(op, &[grad])
    }
}

/// Input channels of each group.
///
/// # Errors
/// When the groups do not divide the input's channels and the result's.
fn channels_of_group(op: &'static str, groups: usize, channels: [usize; 2]) -> Result<usize> {
    match channels.into_iter().find(|channels| groups == 0 || !channels.is_multiple_of(groups)) {
        Some(channels) => Err(GraphError::Groups { op, groups, channels }.into()),
        None => Ok(channels[0] / groups),
    }
}

/// Parameters of [`Op::Conv2dGrad`]:
/// dx[i, y, x] = sum over o, u, v of weight[o, i, u, v] * g[o, p, q],
/// where p*sy - py + u*dy = y and q*sx - px + v*dx = x, and o runs over the group of i.
///
/// Inputs: the gradient and, with `relu`, the ReLU's result, which gates the gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct Conv2dGrad {
    /// The convolution's weight (O, I / groups, KH, KW).
    pub weight: ParamId,
    /// Channels of the gradient, O.
    pub out: usize,
    /// Shape of the convolution's input, which is that of the result.
    pub input: Shape,
    /// The convolution's groups.
    pub groups: usize,
    /// The convolution's kernel, stride, padding, dilation.
    pub window: Window,
    /// The ReLU gradient applied to the result in the same step.
    pub relu: Option<ReluGrad>,
}

impl From<Conv2dGrad> for Op {
    fn from(op: Conv2dGrad) -> Op {
        Op::Conv2dGrad(op)
    }
}

impl Conv2dGrad {
    /// The gradient of one group alone.
    pub(crate) fn of_group(&self) -> Conv2dGrad {
        let &Conv2dGrad { out, input, groups, .. } = self;
        let input = Shape { c: input.c / groups, ..input };
        Conv2dGrad { out: out / groups, input, groups: 1, ..self.clone() }
    }

    pub(super) fn arity(&self) -> RangeInclusive<usize> {
        let inputs = 1 + usize::from(self.relu.is_some());
        inputs..=inputs
    }

    pub(super) fn shape(&self, graph: &Graph, inputs: &[Shape]) -> Result<Shape> {
        let [kh, kw] = self.window.kernel;
        let channels = channels_of_group("conv2d_grad", self.groups, [self.input.c, self.out])?;
        graph.check_dims("conv2d_grad", self.weight, [self.out, channels, kh, kw])?;
        let [h, w] = self.window.positions("conv2d_grad", self.input.h, self.input.w)?;
        let expected = Shape::new(self.out, h, w);
        if inputs[0] != expected {
            return Err(GraphError::GradientShape { op: "conv2d_grad", expected, given: inputs[0] }.into());
        }
        if let Some(gate) = inputs.get(1).filter(|&&gate| gate != self.input) {
            let (roles, shapes) = (["gate", "result"], [*gate, self.input]);
            return Err(GraphError::OperandShapes { op: "conv2d_grad", roles, shapes }.into());
        }
        Ok(self.input)
    }
}
