//! Second operand of a convolution's sum, as at the end of a residual block: it is added to a tile of the results while
//! they are in a cache.

use crate::engine::cpu::gemm::bounds;
use crate::engine::cpu::simd::{Isa, MAX_LANES, Simd, compiled};
use crate::engine::graph::ops::Relu;

/// The addition of a residual, and the ReLU behind it.
pub(super) struct Residual {
    bounds: [f32; 2],
    add: unsafe fn(&Call),
}

/// A tile of the results.
struct Call {
    residual: *const f32,
    out: *mut f32,
    /// Floats from one channel to the next.
    stride: usize,
    channels: usize,
    pixels: usize,
    bounds: [f32; 2],
}

impl Residual {
    pub(super) fn new(isa: Isa, relu: Option<Relu>) -> Residual {
        let add = compiled!(isa, S => unsafe fn(call: &Call) { add::<S>(call) });
        Residual { bounds: bounds(relu), add }
    }

    /// Adds to `pixels` pixels of `channels` channels, `stride` floats apart, from `out` on those from `residual` on.
    ///
    /// # Safety
    /// The CPU has the instruction set. Both are valid for the pixels; `residual` has been written, and no other thread
    /// touches the pixels of `out`.
    pub(super) unsafe fn add(
        &self,
        residual: *const f32,
        out: *mut f32,
        stride: usize,
        [channels, pixels]: [usize; 2],
    ) {
        // SAFETY: as the caller promises.
        unsafe { (self.add)(&Call { residual, out, stride, channels, pixels, bounds: self.bounds }) };
    }
}

/// out = out + residual, between the bounds.
///
/// # Safety
/// As for [`Residual::add`], with the instruction set of `S`.
#[inline(always)]
unsafe fn add<S: Simd>(call: &Call) {
    // SAFETY: whole vectors inside of the pixels, and the rest of them one by one.
    unsafe {
        let [low, high] = call.bounds.map(|bound| S::splat(bound));
        for channel in 0..call.channels {
            let residual = call.residual.add(channel * call.stride);
            let out = call.out.add(channel * call.stride);
            let whole = call.pixels / S::LANES * S::LANES;
            for i in (0..whole).step_by(S::LANES) {
                let sum = S::add(S::load(out.add(i)), S::load(residual.add(i)));
                // Both propagate NaN, as their second argument.
                S::store(out.add(i), S::min(high, S::max(low, sum)));
            }
            if whole < call.pixels {
                let rest = call.pixels - whole;
                let (mut a, mut b) = ([0.0; MAX_LANES], [0.0; MAX_LANES]);
                a[..rest].copy_from_slice(std::slice::from_raw_parts(out.add(whole), rest));
                b[..rest].copy_from_slice(std::slice::from_raw_parts(residual.add(whole), rest));
                let sum = S::add(S::load(a.as_ptr()), S::load(b.as_ptr()));
                S::store_first(out.add(whole), S::min(high, S::max(low, sum)), rest);
            }
        }
    }
}
