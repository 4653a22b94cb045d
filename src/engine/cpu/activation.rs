//! Smooth and leaky activations and their gradients, vectorized by the compiler.

use super::kernel::{Kernel, SliceKernel};
use super::simd::{Isa, vectorized};
use crate::Shape;
use crate::engine::cpu::cost;
use crate::engine::graph::ops::Activation;

/// exp(x) to about two units in the last place, for x up to 88; zero below -87.3, where the result would be subnormal.
/// After Cephes' `expf`: exp(x) = 2^n exp(r), where |r| is at most ln(2) / 2.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Rounds to the nearest integer, which ends up in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let n = x * std::f32::consts::LOG2_E + ROUND;
    let bits = n.to_bits() << 23;
    let n = n - ROUND;
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 5e-1;
    let y = p * r * r + r + 1.0;
    f32::from_bits(y.to_bits().wrapping_add(bits))
}

/// 1 / (1 + exp(-x)); NaN stays NaN.
#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    // Of the nearer side of zero, where no digits are lost: s(x) = exp(x) / (1 + exp(x)) for negative x.
    let e = exp((-x.abs()).max(-87.0));
    let s = 1.0 / (1.0 + e);
    let s = if x < 0.0 { e * s } else { s };
    if x.is_nan() { x } else { s }
}

/// min(max(x, low), high); NaN stays NaN.
#[inline(always)]
fn clip(x: f32, low: f32, high: f32) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// The value at `x`.
#[inline(always)]
fn value(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::Sigmoid => sigmoid(x),
        Activation::HardSigmoid { slope, offset } => clip(slope * x + offset, 0.0, 1.0),
        Activation::HardSwish => x * clip(x + 3.0, 0.0, 6.0) / 6.0,
        Activation::Silu => x * sigmoid(x),
        Activation::LeakyRelu { slope } => {
            if x < 0.0 {
                slope * x
            } else {
                x
            }
        }
    }
}

/// The derivative at `x`.
#[inline(always)]
fn derivative(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::Sigmoid => {
            let s = sigmoid(-x.abs());
            s * (1.0 - s)
        }
        Activation::HardSigmoid { slope, offset } => {
            let y = slope * x + offset;
            if y <= 0.0 || y >= 1.0 { 0.0 } else { slope }
        }
        Activation::HardSwish => {
            let inside = (2.0 * x + 3.0) / 6.0;
            let inside = if x >= 3.0 { 1.0 } else { inside };
            if x <= -3.0 { 0.0 } else { inside }
        }
        Activation::Silu => {
            let s = sigmoid(x);
            s + x * s * (1.0 - s)
        }
        Activation::LeakyRelu { slope } => {
            if x > 0.0 {
                1.0
            } else {
                slope
            }
        }
    }
}

/// Calls `$each` for an activation that is a constant, so that each loop is compiled for one of them.
macro_rules! for_each_kind {
    ($activation:ident, $loop:ident, $($arg:expr),*) => {
        match $activation {
            Activation::Sigmoid => $loop(Activation::Sigmoid, $($arg),*),
            Activation::HardSigmoid { slope, offset } => {
                $loop(Activation::HardSigmoid { slope, offset }, $($arg),*)
            }
            Activation::HardSwish => $loop(Activation::HardSwish, $($arg),*),
            Activation::Silu => $loop(Activation::Silu, $($arg),*),
            Activation::LeakyRelu { slope } => $loop(Activation::LeakyRelu { slope }, $($arg),*),
        }
    };
}

#[inline(always)]
fn values(activation: Activation, x: &[f32], out: &mut [f32]) {
    for (out, &x) in out.iter_mut().zip(x) {
        *out = value(activation, x);
    }
}

#[inline(always)]
fn gradients(activation: Activation, grad: &[f32], x: &[f32], out: &mut [f32]) {
    for ((out, &g), &x) in out.iter_mut().zip(grad).zip(x) {
        *out = g * derivative(activation, x);
    }
}

/// The activation of each element.
pub(crate) fn activation(isa: Isa, activation: Activation, shape: Shape) -> Box<dyn Kernel> {
    let apply = vectorized!(isa, fn(activation: Activation, x: &[f32], out: &mut [f32]) {
        for_each_kind!(activation, values, x, out)
    });
    SliceKernel::new(cost::activations(shape.len()), move |x, out, _| {
        apply(activation, x.get(0), out);
    })
    .by_channel(shape)
    .boxed()
}

/// Its gradient, of the incoming gradient and the activation's input.
pub(crate) fn activation_grad(isa: Isa, activation: Activation, shape: Shape) -> Box<dyn Kernel> {
    let apply = vectorized!(isa, fn(activation: Activation, grad: &[f32], x: &[f32], out: &mut [f32]) {
        for_each_kind!(activation, gradients, grad, x, out)
    });
    SliceKernel::new(cost::activations(shape.len()), move |x, out, _| {
        apply(activation, x.get(0), x.get(1), out);
    })
    .by_channel(shape)
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sigmoid_is_right_to_the_last_digits_everywhere() {
        for x in (-90_000..=90_000).map(|i| i as f32 * 1e-3) {
            let (exact, got) = (1.0 / (1.0 + (-f64::from(x)).exp()), f64::from(sigmoid(x)));
            // Below -87 it is that of -87, which is the smallest normal number but for a factor of 1.4.
            let is_right = if x < -87.0 { got < 2e-38 } else { (got - exact).abs() < 3e-7 * exact };
            assert!(is_right, "{x}: {got:e}, expected {exact:e}");
        }
        assert_eq!([f32::INFINITY, 0.0].map(sigmoid), [1.0, 0.5]);
        assert!(sigmoid(f32::NEG_INFINITY) < 1e-37 && sigmoid(f32::NAN).is_nan());
    }
}
