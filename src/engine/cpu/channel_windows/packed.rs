//! Packed band of a channel: its rows and columns sorted by their remainders modulo the stride, with the padding, so that
//! every tap of the window reads consecutive pixels.

use std::marker::PhantomData;
use std::ops::Range;

use super::{Join, JoinKernel, Joining, ROWS, Results, join_kernel, store, vectors, weights};
use crate::Shape;
use crate::engine::cpu::cost;
use crate::engine::cpu::cost::QuarterCycles;
use crate::engine::cpu::simd::{Isa, MAX_LANES, Simd, compiled};
use crate::engine::graph::ops::Window;

/// Floats of the largest packed band, so that it stays in the L1 cache.
const MAX_BAND_LEN: usize = 4 * 1024;
/// Floats from which on a band is not packed at all: those of a window that is much larger than the image.
const MAX_SCRATCH: usize = 1 << 20;

/// How channels are packed and joined.
pub(super) struct Packed {
    window: Window,
    input: Shape,
    /// Rows of results of a channel.
    height: usize,
    /// Rows of results of a band.
    band: usize,
    /// Floats of a packed row of one remainder.
    run: usize,
    /// Packed rows of one remainder, with those that are read in vain where a band's rows are no multiple of [`ROWS`].
    rows: usize,
    /// The value of the padding.
    padding: f32,
    /// Remainders of rows and columns modulo the stride that the window has taps of.
    remainders: [usize; 2],
    /// Offset of each tap in a packed band.
    offsets: Vec<u32>,
    pack: unsafe fn(&Packed, *const f32, usize, *mut f32),
    join: JoinKernel<Packed>,
}

/// Estimated time of packing a channel of `input`.
pub(super) fn cost(isa: Isa, input: Shape) -> QuarterCycles {
    cost::PACKED_VECTOR * (2 * input.plane() / isa.lanes())
}

impl Packed {
    /// The packing of windows over channels of `input`, which give channels of `output`; `None` where it takes too much memory.
    pub(super) fn new<J: Joining>(isa: Isa, window: Window, [input, output]: [Shape; 2]) -> Option<Self> {
        // Packed rows or columns beyond those of the results.
        let behind = [0, 1].map(|axis| (window.extent()[axis] - 1) / window.stride[axis]);
        let run = output.w + behind[1];
        let remainders = [0, 1].map(|axis| window.stride[axis].min(window.extent()[axis]));
        let planes = remainders[0] * remainders[1];
        let fitting = (MAX_BAND_LEN / (planes * run)).saturating_sub(behind[0]).max(ROWS);
        let band = output.h.div_ceil(output.h.div_ceil(fitting.min(output.h))).next_multiple_of(ROWS);
        let mut packed = Packed {
            window,
            input,
            height: output.h,
            band,
            run,
            rows: band + behind[0],
            padding: J::PADDING,
            remainders,
            offsets: Vec::new(),
            pack: compiled!(isa, S => unsafe fn(
                packing: &Packed,
                x: *const f32,
                first: usize,
                packed: *mut f32
            ) {
                pack::<S>(packing, x, first, packed)
            }),
            join: kernel::<J>(isa, &window),
        };
        if planes.saturating_mul(packed.rows.saturating_mul(run)) > MAX_SCRATCH {
            return None;
        }
        let Window { kernel, stride, dilation, .. } = window;
        let taps =
            (0..kernel[0]).flat_map(|u| (0..kernel[1]).map(move |v| [u * dilation[0], v * dilation[1]]));
        let offset = |[down, right]: [usize; 2]| {
            let plane = (down % stride[0] * remainders[1] + right % stride[1]) * packed.plane_len();
            (plane + down / stride[0] * run + right / stride[1]) as u32
        };
        packed.offsets = taps.map(offset).collect();
        Some(packed)
    }

    /// Floats of the rows of one remainder of rows and one of columns.
    fn plane_len(&self) -> usize {
        self.rows * self.run
    }

    /// Floats of a packed band, with what the last vectors read and write beyond it.
    pub(super) fn scratch_len(&self) -> usize {
        self.remainders[0] * self.remainders[1] * self.plane_len() + MAX_LANES
    }

    /// The rows of results of each band.
    pub(super) fn bands(&self) -> impl Iterator<Item = Range<usize>> {
        (0..self.height).step_by(self.band).map(|first| first..self.height.min(first + self.band))
    }

    /// Computes some rows of results, of a band from row `first` on, of the channel `x`.
    ///
    /// # Safety
    /// `x` is a channel of the input, readable beyond both ends, and `scratch` has [`Packed::scratch_len`] floats, which were
    /// filled with the padding before the first band. The results are writable.
    pub(super) unsafe fn join(&self, x: *const f32, first: usize, scratch: *mut f32, to: &Results) {
        debug_assert!(first + to.rows <= self.height && to.rows <= self.band);
        // SAFETY: as the caller promises; the CPU has the instruction set.
        unsafe {
            (self.pack)(self, x, first, scratch);
            (self.join)(self, scratch, to);
        }
    }
}

/// Packs what the rows of results from `first` on read of channel `x`. What is beside the image in its rows is the padding's
/// value before.
///
/// # Safety
/// As for [`Packed::join`], with the instruction set of `S`; `x` is readable two vectors beyond the channel.
#[inline(always)]
unsafe fn pack<S: Simd>(packing: &Packed, x: *const f32, first: usize, to: *mut f32) {
    let &Packed { window, input, height, band, run, rows, padding, remainders, .. } = packing;
    let Window { stride: [sy, sx], padding: [[py, px], _], .. } = window;
    // Otherwise the rows beside the image stay what they were.
    let has_bands = band < height;
    for plane in 0..remainders[0] * remainders[1] {
        let (down, right) = (plane / remainders[1], plane % remainders[1]);
        // Columns j of the packed row with 0 <= j * sx + right - px < width.
        let begin = px.saturating_sub(right).div_ceil(sx).min(run);
        let end = (input.w + px).saturating_sub(right).div_ceil(sx).clamp(begin, run);
        for j in 0..rows {
            let y = ((first + j) * sy + down).wrapping_sub(py);
            // SAFETY: the rows and columns are inside of the band and of the channel. Whole vectors are read, which may end
            // beyond the row, and the columns written.
            unsafe {
                let row = to.add((plane * rows + j) * run);
                if y >= input.h {
                    if has_bands {
                        std::slice::from_raw_parts_mut(row, run).fill(padding);
                    }
                    continue;
                }
                if begin == end {
                    continue;
                }
                let line = x.add(y * input.w + begin * sx + right - px);
                let (out, width) = (row.add(begin), end - begin);
                match sx {
                    1 => pack_row::<S>(out, width, padding, |i| S::load(line.add(i))),
                    2 => pack_row::<S>(out, width, padding, |i| S::load_even(line.add(2 * i))),
                    _ => (0..width).for_each(|i| *out.add(i) = *line.add(i * sx)),
                }
            }
        }
    }
}

/// Packs a row of `width` pixels, of which `load` loads a vector from any on.
///
/// # Safety
/// The CPU has the instruction set of `S`, and `load` loads vectors that may end beyond the row; `out` has room for a
/// vector more than the row.
#[inline(always)]
unsafe fn pack_row<S: Simd>(out: *mut f32, width: usize, padding: f32, load: impl Fn(usize) -> S::V) {
    // SAFETY: as the caller promises.
    unsafe {
        if width >= S::LANES {
            for i in vectors(width, S::LANES) {
                S::store(out.add(i), load(i));
            }
        } else if padding == 0.0 {
            // What is beyond the row is padding of the next one, or is written later.
            S::store(out, S::keep(load(0), (1 << width) - 1));
        } else {
            S::store_first(out, load(0), width);
        }
    }
}

/// The function for windows of the usual sizes, or of any.
fn kernel<J: Joining>(isa: Isa, window: &Window) -> JoinKernel<Packed> {
    match (window.kernel, window.stride, window.dilation) {
        ([3, 3], [1, 1], [1, 1]) => join_kernel::<Packed, Square<J, 3, 1>>(isa),
        ([3, 3], [2, 2], [1, 1]) => join_kernel::<Packed, Square<J, 3, 2>>(isa),
        ([5, 5], [2, 2], [1, 1]) if J::WEIGHTED => join_kernel::<Packed, Square<J, 5, 2>>(isa),
        _ => join_kernel::<Packed, Any<J>>(isa),
    }
}

/// Windows of `K` by `K` taps with the stride `STRIDE`.
struct Square<J, const K: usize, const STRIDE: usize>(PhantomData<J>);

impl<J: Joining, const K: usize, const STRIDE: usize> Join<Packed> for Square<J, K, STRIDE> {
    #[inline(always)]
    unsafe fn join<S: Simd>(packed: &Packed, x: *const f32, to: &Results) {
        let (run, plane) = (packed.run, packed.plane_len());
        // SAFETY: as the caller promises: every tap of every result is in the packed band, which has rows for whole blocks
        // and is readable a vector further; only results are written.
        unsafe {
            let weights = weights::<S, J, K>(to);
            for first in (0..to.rows).step_by(ROWS) {
                for column in vectors(to.width, S::LANES) {
                    let x = x.add(first * run + column);
                    let mut results = [S::splat(to.bias); ROWS];
                    // Column by column of the window, whose weights are then few enough for sixteen registers.
                    for v in 0..K {
                        let x = x.add(v % STRIDE * plane + v / STRIDE);
                        for y in 0..(ROWS - 1) * STRIDE + K {
                            let pixels = S::load(x.add(y % STRIDE * STRIDE * plane + y / STRIDE * run));
                            for (r, result) in results.iter_mut().enumerate() {
                                if let Some(weights) = y.checked_sub(r * STRIDE).and_then(|u| weights.get(u))
                                {
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

/// Windows of any kind.
struct Any<J>(PhantomData<J>);

impl<J: Joining> Join<Packed> for Any<J> {
    #[inline(always)]
    unsafe fn join<S: Simd>(packed: &Packed, x: *const f32, to: &Results) {
        // SAFETY: as for `Square`.
        unsafe {
            for first in (0..to.rows).step_by(ROWS) {
                for column in vectors(to.width, S::LANES) {
                    let x = x.add(first * packed.run + column);
                    let mut results = [S::splat(to.bias); ROWS];
                    for (tap, &offset) in packed.offsets.iter().enumerate() {
                        let weight = S::splat(if J::WEIGHTED { to.weight[tap] } else { 1.0 });
                        for (r, result) in results.iter_mut().enumerate() {
                            let pixels = S::load(x.add(offset as usize + r * packed.run));
                            *result = J::join::<S>(weight, pixels, *result);
                        }
                    }
                    store::<S>(to, [first, column], results);
                }
            }
        }
    }
}
