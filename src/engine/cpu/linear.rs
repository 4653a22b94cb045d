//! Gradient of fully connected layers. The forward pass is a 1x1 convolution of one pixel.

use std::sync::Arc;

use super::cost;
use super::kernel::{Kernel, SliceKernel};
use crate::engine::plan::Step;

/// Gradient with respect to the layer's input, with the layer's (O, I) weight.
pub(crate) fn linear_grad(step: &Step, weight: Arc<[f32]>) -> Box<dyn Kernel> {
    // A one-hot gradient reads one row of the weight.
    let cost = cost::multiply_adds(step.output.shape.len());
    SliceKernel::new(cost, move |x, out, _| sum_of_rows(&weight, x.get(0), out)).boxed()
}

/// out = sum of the weight's rows, each times its gradient; rows of zero gradient are not read.
pub(crate) fn sum_of_rows(weight: &[f32], grad: &[f32], out: &mut [f32]) {
    out.fill(0.0);
    for (row, &g) in weight.chunks_exact(out.len()).zip(grad).filter(|&(_, &g)| g != 0.0) {
        for (out, w) in out.iter_mut().zip(row) {
            *out += g * w;
        }
    }
}
