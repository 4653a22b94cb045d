//! Ops that compute each element, or each channel, from the same element or channel of their inputs; vectorized by the
//! compiler for each instruction set, and cut by channel.

use super::gemm::bounds;
use super::kernel::{Kernel, SliceKernel};
use super::simd::{Isa, vectorized};
use crate::Shape;
use crate::engine::graph::ops::{ChannelShuffle, Relu, ReluGrad, SliceGrad};

/// min(max(x, 0), max); NaN stays NaN.
#[inline(always)]
pub(crate) fn clipped(x: f32, max: f32) -> f32 {
    let x = if x < 0.0 { 0.0 } else { x };
    if x > max { max } else { x }
}

/// Zeroes the elements of a gradient that the ReLU stops whose result is `result`.
pub(crate) fn apply_relu_grad(relu: ReluGrad, result: &[f32], grad: &mut [f32]) {
    for (g, &y) in grad.iter_mut().zip(result) {
        *g = relu.apply(*g, y);
    }
}

/// The input as it is.
pub(crate) fn copy(shape: Shape) -> Box<dyn Kernel> {
    SliceKernel::new(0, |x, out, _| out.copy_from_slice(x.get(0))).by_channel(shape).boxed()
}

/// min(max(x, 0), max).
pub(crate) fn relu(isa: Isa, Relu { max }: Relu, shape: Shape) -> Box<dyn Kernel> {
    let apply = vectorized!(isa, fn(max: f32, x: &[f32], out: &mut [f32]) {
        for (out, &x) in out.iter_mut().zip(x) {
            *out = clipped(x, max);
        }
    });
    SliceKernel::new(0, move |x, out, _| {
        apply(max, x.get(0), out);
    })
    .by_channel(shape)
    .boxed()
}

/// The gradient of a ReLU, of the gradient and the ReLU's result.
pub(crate) fn relu_grad(isa: Isa, relu: ReluGrad, shape: Shape) -> Box<dyn Kernel> {
    let apply = vectorized!(isa, fn(relu: ReluGrad, x: [&[f32]; 2], out: &mut [f32]) {
        for ((out, &g), &y) in out.iter_mut().zip(x[0]).zip(x[1]) {
            *out = relu.apply(g, y);
        }
    });
    SliceKernel::new(0, move |x, out, _| {
        apply(relu, [x.get(0), x.get(1)], out);
    })
    .by_channel(shape)
    .boxed()
}

/// The sum of all inputs, from the first to the last.
pub(crate) fn add(isa: Isa, shape: Shape) -> Box<dyn Kernel> {
    let sum = vectorized!(isa, fn(x: [&[f32]; 2], out: &mut [f32]) {
        for ((out, &a), &b) in out.iter_mut().zip(x[0]).zip(x[1]) {
            *out = a + b;
        }
    });
    let add_to = vectorized!(isa, fn(x: &[f32], out: &mut [f32]) {
        for (out, &x) in out.iter_mut().zip(x) {
            *out += x;
        }
    });
    SliceKernel::new(0, move |x, out, _| {
        sum([x.get(0), x.get(1)], out);
        for i in 2..x.len() {
            add_to(x.get(i), out);
        }
    })
    .by_channel(shape)
    .boxed()
}

/// out = scale * x + shift, with a scale and a shift for each channel, and the ReLU behind it.
pub(crate) fn affine(
    isa: Isa,
    scale_shift: Vec<(f32, f32)>,
    relu: Option<Relu>,
    shape: Shape,
) -> Box<dyn Kernel> {
    let [low, high] = bounds(relu);
    let apply = vectorized!(isa, fn(affine: [f32; 2], bounds: [f32; 2], x: &[f32], out: &mut [f32]) {
        for (out, &x) in out.iter_mut().zip(x) {
            let y = affine[0] * x + affine[1];
            // NaN stays NaN.
            let y = if y < bounds[0] { bounds[0] } else { y };
            *out = if y > bounds[1] { bounds[1] } else { y };
        }
    });
    SliceKernel::new(0, move |x, out, _| {
        let channels = out.chunks_exact_mut(shape.plane()).zip(x.get(0).chunks_exact(shape.plane()));
        for ((out, x), &(scale, shift)) in channels.zip(&scale_shift[x.first_channel()..]) {
            apply([scale, shift], [low, high], x, out);
        }
    })
    .by_channel(shape)
    .boxed()
}

/// The product of the inputs, of which the second may have one element for each channel.
pub(crate) fn mul(isa: Isa, [shape, factor]: [Shape; 2]) -> Box<dyn Kernel> {
    let by_element = vectorized!(isa, fn(x: [&[f32]; 2], out: &mut [f32]) {
        for ((out, &a), &b) in out.iter_mut().zip(x[0]).zip(x[1]) {
            *out = a * b;
        }
    });
    let by_channel = vectorized!(isa, fn(factor: f32, x: &[f32], out: &mut [f32]) {
        for (out, &x) in out.iter_mut().zip(x) {
            *out = x * factor;
        }
    });
    SliceKernel::new(0, move |x, out, _| {
        if shape == factor {
            return by_element([x.get(0), x.get(1)], out);
        }
        let channels = out.chunks_exact_mut(shape.plane()).zip(x.get(0).chunks_exact(shape.plane()));
        for ((out, channel), &factor) in channels.zip(x.get(1)) {
            by_channel(factor, channel, out);
        }
    })
    .by_channel(shape)
    .boxed()
}

/// For each channel, the sum of the products of its elements in both inputs, of shape `input`.
pub(crate) fn channel_dot(input: Shape) -> Box<dyn Kernel> {
    SliceKernel::new(0, move |x, out, _| {
        let channels = x.get(0).chunks_exact(input.plane()).zip(x.get(1).chunks_exact(input.plane()));
        for (out, (a, b)) in out.iter_mut().zip(channels) {
            *out = a.iter().zip(b).map(|(a, b)| a * b).sum();
        }
    })
    .by_channel(Shape::vector(input.c))
    .boxed()
}

/// Channels in the order of a shuffle.
pub(crate) fn channel_shuffle(op: ChannelShuffle, shape: Shape) -> Box<dyn Kernel> {
    SliceKernel::new(0, move |x, out, _| {
        let x = x.get(0);
        for (channel, out) in out.chunks_exact_mut(shape.plane()).enumerate() {
            out.copy_from_slice(&x[op.source(channel, shape.c) * shape.plane()..][..shape.plane()]);
        }
    })
    .boxed()
}

/// Zeros, and the input from an offset on.
pub(crate) fn slice_grad(op: SliceGrad) -> Box<dyn Kernel> {
    SliceKernel::new(0, move |x, out, _| {
        let grad = x.get(0);
        let (before, rest) = out.split_at_mut(op.offset);
        let (inside, behind) = rest.split_at_mut(grad.len());
        before.fill(0.0);
        inside.copy_from_slice(grad);
        behind.fill(0.0);
    })
    .boxed()
}
