//! Windows of stride 1 over a channel in place: rows beside the image are rows of zeros, pixels beside a row are masked.

use std::marker::PhantomData;

use super::{Join, JoinKernel, Joining, ROWS, Results, join_kernel, store, vectors, weights};
use crate::Shape;
use crate::engine::cpu::gemm::OVERREAD;
use crate::engine::cpu::simd::{Isa, MAX_LANES, Simd};
use crate::engine::graph::ops::Window;

/// Columns of the largest window.
const MAX_COLUMNS: usize = 5;

/// How channels are read and joined.
pub(super) struct InPlace {
    /// Rows and columns of the channel.
    height: usize,
    width: usize,
    /// Rows above the image, and columns on its left.
    padding: [usize; 2],
    /// Of each vector of a row of results: for each column of the window, the lanes that read pixels of the row.
    masks: Vec<[u32; MAX_COLUMNS]>,
    /// What a row beside the image has, from the first column of the padding on.
    zeros: Vec<f32>,
    join: JoinKernel<InPlace>,
}

impl InPlace {
    /// Windows over channels of `input`, which give channels of `output`; `None` for windows of other sizes and strides, for
    /// a padding that is not zero, and where vectors would reach too far beyond a channel.
    pub(super) fn new<J: Joining>(isa: Isa, window: &Window, [input, output]: [Shape; 2]) -> Option<Self> {
        let join = match (window.kernel, window.stride, window.dilation) {
            ([3, 3], [1, 1], [1, 1]) => join_kernel::<InPlace, Square<J, 3>>(isa),
            ([5, 5], [1, 1], [1, 1]) if J::WEIGHTED => join_kernel::<InPlace, Square<J, 5>>(isa),
            _ => return None,
        };
        let columns = window.kernel[1];
        let padding = window.padding[0];
        let beyond = (output.w + columns).saturating_sub(padding[1] + input.w);
        if J::PADDING != 0.0 || padding[1].max(beyond) + MAX_LANES > OVERREAD {
            return None;
        }
        let lanes = isa.lanes();
        let mask = |first: usize, v: usize| {
            let reads = |lane: usize| (first + lane + v).wrapping_sub(padding[1]) < input.w;
            (0..lanes).filter(|&lane| reads(lane)).map(|lane| 1 << lane).sum()
        };
        Some(InPlace {
            height: input.h,
            width: input.w,
            padding,
            masks: vectors(output.w, lanes).map(|first| std::array::from_fn(|v| mask(first, v))).collect(),
            zeros: vec![0.0; output.w + columns + MAX_LANES],
            join,
        })
    }

    /// Computes the results of the channel `x`.
    ///
    /// # Safety
    /// `x` is a channel of the input, readable [`OVERREAD`] floats beyond both ends, and the results are writable.
    pub(super) unsafe fn join(&self, x: *const f32, to: &Results) {
        // SAFETY: as the caller promises; the CPU has the instruction set.
        unsafe { (self.join)(self, x, to) }
    }
}

/// Windows of `K` by `K` taps.
struct Square<J, const K: usize>(PhantomData<J>);

impl<J: Joining, const K: usize> Join<InPlace> for Square<J, K> {
    #[inline(always)]
    unsafe fn join<S: Simd>(windows: &InPlace, x: *const f32, to: &Results) {
        let &InPlace { height, width, padding: [above, left], .. } = windows;
        // The rows of the channel under a block of results, from the first column of the padding on.
        let row = |y: usize| match y.wrapping_sub(above) {
            y if y < height => x.wrapping_add(y * width).wrapping_sub(left),
            _ => windows.zeros.as_ptr(),
        };
        // SAFETY: as the caller promises: pixels are read from rows of the channel, or beside them by less than it is readable
        // beyond its ends, or from the row of zeros; only results are written.
        unsafe {
            let weights = weights::<S, J, K>(to);
            for first in (0..to.rows).step_by(ROWS) {
                let mut rows = [x; ROWS - 1 + MAX_COLUMNS];
                for (y, pointer) in rows[..ROWS - 1 + K].iter_mut().enumerate() {
                    *pointer = row(first + y);
                }
                for (column, masks) in vectors(to.width, S::LANES).zip(&windows.masks) {
                    let mut results = [S::splat(to.bias); ROWS];
                    // Column by column of the window, whose weights are then few enough for sixteen registers.
                    for v in 0..K {
                        for (y, row) in rows[..ROWS - 1 + K].iter().enumerate() {
                            let pixels = S::keep(S::load(row.add(column + v)), masks[v]);
                            for (r, result) in results.iter_mut().enumerate() {
                                if let Some(weights) = y.checked_sub(r).and_then(|u| weights.get(u)) {
                                    *result = J::join::<S>(weights[v], pixels, *result);
                                }
                            }
                        }
                    }
                    store::<S>(to, [first, column], results);
                }
            }
        }
    }
}
