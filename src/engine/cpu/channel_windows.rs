//! Windows over single channels, as depthwise convolutions and poolings have them.
//!
//! A band of the channel is packed with its padding, rows and columns sorted by their remainders modulo the stride, so that
//! every tap of the window reads consecutive pixels. Vectors run along a row of results; some rows are computed together,
//! since a row of the channel has taps in several of them.

use std::sync::Arc;

use super::cost;
use super::cost::QuarterCycles;
use super::gemm::UNBOUNDED;
use super::kernel::{Kernel, Operands, Tile, channel_share};
use super::simd::{Isa, MAX_LANES, Simd, compiled};
use crate::Shape;
use crate::engine::graph::ops::Window;

/// Rows of results that are computed together.
const ROWS: usize = 4;
/// Floats of the largest packed band, so that it stays in the L1 cache.
const MAX_BAND_LEN: usize = 4 * 1024;
/// Floats from which on a band is not packed at all: those of a window that is much larger than the image.
const MAX_SCRATCH: usize = 1 << 20;

/// The kernel of windows over each channel; a tile's groups are channels of the results.
pub(crate) struct ChannelWindows {
    window: Window,
    input: Shape,
    output: Shape,
    /// Rows of results of a band.
    band: usize,
    /// Floats of a packed row of one remainder.
    run: usize,
    /// Packed rows of one remainder, with those that are read in vain where a band's rows are no multiple of [`ROWS`].
    rows: usize,
    /// The value of the padding, and of results to which nothing else is added.
    padding: f32,
    /// Remainders of rows and columns modulo the stride that the window has taps of.
    remainders: [usize; 2],
    /// Offset of each tap in a packed band.
    offsets: Vec<u32>,
    pack: unsafe fn(&ChannelWindows, *const f32, usize, *mut f32),
    join: unsafe fn(&Call),
    cost: QuarterCycles,
    /// A weight for each channel of the results and each tap, row by row, of products; otherwise empty.
    weight: Arc<[f32]>,
    /// Added to the products of each channel.
    bias: Option<Arc<[f32]>>,
    /// The lowest and the highest result.
    bounds: [f32; 2],
    /// What each result of a channel is multiplied by at last.
    shares: Option<Vec<f32>>,
}

impl ChannelWindows {
    /// Windows over channels of `input`, which give channels of `output`; `None` where a window is too large to be packed.
    pub(crate) fn new<J: Joining>(isa: Isa, window: Window, [input, output]: [Shape; 2]) -> Option<Self> {
        // Half of a longer vector would be idle.
        let isa = if isa == Isa::Avx512 && output.w <= Isa::Avx2.lanes() { Isa::Avx2 } else { isa };
        // Packed rows or columns beyond those of the results.
        let behind = [0, 1].map(|axis| (window.extent()[axis] - 1) / window.stride[axis]);
        let run = output.w + behind[1];
        let remainders = [0, 1].map(|axis| window.stride[axis].min(window.extent()[axis]));
        let planes = remainders[0] * remainders[1];
        let fitting = (MAX_BAND_LEN / (planes * run)).saturating_sub(behind[0]).max(ROWS);
        let band = output.h.div_ceil(output.h.div_ceil(fitting.min(output.h))).next_multiple_of(ROWS);
        let vectors = output.h.next_multiple_of(ROWS) * output.w.div_ceil(isa.lanes());
        let packed = 2 * input.plane() / isa.lanes();
        let mut windows = ChannelWindows {
            window,
            input,
            output,
            band,
            run,
            rows: band + behind[0],
            padding: J::PADDING,
            remainders,
            offsets: Vec::new(),
            pack: compiled!(isa, S => unsafe fn(
                windows: &ChannelWindows,
                x: *const f32,
                first: usize,
                packed: *mut f32
            ) {
                pack::<S>(windows, x, first, packed)
            }),
            join: joined::<J>(isa, &window),
            cost: cost::VECTOR_FMA * vectors * (window.area() + 4) + cost::PACKED_VECTOR * packed,
            weight: Arc::default(),
            bias: None,
            bounds: UNBOUNDED,
            shares: None,
        };
        if planes.saturating_mul(windows.rows.saturating_mul(run)) > MAX_SCRATCH {
            return None;
        }
        let Window { kernel, stride, dilation, .. } = window;
        let taps =
            (0..kernel[0]).flat_map(|u| (0..kernel[1]).map(move |v| [u * dilation[0], v * dilation[1]]));
        let offset = |[down, right]: [usize; 2]| {
            let plane = (down % stride[0] * remainders[1] + right % stride[1]) * windows.plane_len();
            (plane + down / stride[0] * run + right / stride[1]) as u32
        };
        windows.offsets = taps.map(offset).collect();
        Some(windows)
    }

    /// Floats of the rows of one remainder of rows and one of columns.
    fn plane_len(&self) -> usize {
        self.rows * self.run
    }

    /// The same with the weight of each channel of the results, (O, KH, KW), what is added to its products, and the lowest
    /// and the highest result.
    pub(crate) fn with_products(
        self,
        weight: Arc<[f32]>,
        bias: Option<Arc<[f32]>>,
        bounds: [f32; 2],
    ) -> ChannelWindows {
        debug_assert_eq!(weight.len(), self.output.c * self.offsets.len());
        ChannelWindows { weight, bias, bounds, ..self }
    }

    /// The same with what each result of a channel is multiplied by.
    pub(crate) fn with_shares(self, shares: Vec<f32>) -> ChannelWindows {
        debug_assert_eq!(shares.len(), self.output.plane());
        ChannelWindows { shares: Some(shares), ..self }
    }

    /// The results of channel `channel`, which reads that at `x`, at `out`.
    ///
    /// # Safety
    /// As for [`Kernel::run`]: `x` is a channel of the input and `out` one of the output; the scratch was filled with the
    /// padding.
    unsafe fn apply(&self, channel: usize, x: *const f32, out: *mut f32, scratch: *mut f32) {
        let taps = if self.weight.is_empty() { 0 } else { self.offsets.len() };
        for first in (0..self.output.h).step_by(self.band) {
            // SAFETY: as the caller promises.
            unsafe {
                (self.pack)(self, x, first, scratch);
                (self.join)(&Call {
                    x: scratch,
                    run: self.run,
                    plane: self.plane_len(),
                    offsets: &self.offsets,
                    weight: &self.weight[channel * taps..][..taps],
                    bias: self.bias.as_ref().map_or(self.padding, |bias| bias[channel]),
                    bounds: self.bounds,
                    out: out.add(first * self.output.w),
                    width: self.output.w,
                    rows: self.band.min(self.output.h - first),
                });
            }
        }
    }
}

impl Kernel for ChannelWindows {
    fn cost(&self, tile: Option<&Tile>) -> QuarterCycles {
        channel_share(self.output.c * self.cost, tile, self.output.c)
    }

    fn elements(&self, tile: Option<&Tile>, all: usize) -> usize {
        channel_share(all, tile, self.output.c)
    }

    /// A packed band, with what the last vectors read beyond it.
    fn scratch_len(&self) -> usize {
        self.remainders[0] * self.remainders[1] * self.plane_len() + MAX_LANES
    }

    fn tiles(&self, max: usize) -> Vec<Tile> {
        Tile::by_channel(self.output, max)
    }

    unsafe fn run(&self, tile: Option<&Tile>, operands: &Operands) {
        let multiplier = self.output.c / self.input.c;
        // SAFETY: the scratch has this length and is this thread's.
        unsafe { operands.scratch_slice(self.scratch_len()) }.fill(self.padding);
        for channel in tile.map_or(0..self.output.c, |tile| tile.groups.clone()) {
            // SAFETY: the channels are inside the input, which is readable beyond its end, and inside the output, of which no
            // other thread touches them; the scratch was filled.
            unsafe {
                let x = operands.input(0).add(channel / multiplier * self.input.plane());
                let out = operands.output().add(channel * self.output.plane());
                self.apply(channel, x, out, operands.scratch);
                if let Some(shares) = &self.shares {
                    let out = std::slice::from_raw_parts_mut(out, shares.len());
                    out.iter_mut().zip(shares).for_each(|(out, share)| *out *= share);
                }
            }
        }
    }
}

/// Packs what the rows of results from `first` on read of channel `x`. What is beside the image in its rows is the padding's
/// value before.
///
/// # Safety
/// As for [`ChannelWindows::apply`], with the instruction set of `S`; `x` is readable two vectors beyond the channel.
#[inline(always)]
unsafe fn pack<S: Simd>(windows: &ChannelWindows, x: *const f32, first: usize, packed: *mut f32) {
    let &ChannelWindows { window, input, run, rows, remainders, .. } = windows;
    let Window { stride: [sy, sx], padding: [[py, px], _], .. } = window;
    // Otherwise the rows beside the image stay what they were.
    let has_bands = windows.band < windows.output.h;
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
                let row = packed.add((plane * rows + j) * run);
                if y >= input.h {
                    if has_bands {
                        std::slice::from_raw_parts_mut(row, run).fill(windows.padding);
                    }
                    continue;
                }
                if begin == end {
                    continue;
                }
                let line = x.add(y * input.w + begin * sx + right - px);
                for i in (0..end - begin).step_by(S::LANES) {
                    let count = S::LANES.min(end - begin - i);
                    let pixels = match sx {
                        1 => S::load(line.add(i)),
                        2 => S::load_even(line.add(2 * i)),
                        _ => {
                            let mut pixels = [0.0; MAX_LANES];
                            for (lane, pixel) in pixels.iter_mut().enumerate().take(count) {
                                *pixel = *line.add((i + lane) * sx);
                            }
                            S::load(pixels.as_ptr())
                        }
                    };
                    S::store_first(row.add(begin + i), pixels, count);
                }
            }
        }
    }
}

/// Operands of the results of a band.
struct Call<'a> {
    /// The packed band.
    x: *const f32,
    /// Floats of a packed row.
    run: usize,
    /// Floats of one remainder's rows.
    plane: usize,
    /// Offset of each tap.
    offsets: &'a [u32],
    /// A weight for each tap of products.
    weight: &'a [f32],
    /// What the first pixel is joined with.
    bias: f32,
    bounds: [f32; 2],
    /// First result of the band.
    out: *mut f32,
    /// Results in a row.
    width: usize,
    /// Rows of results.
    rows: usize,
}

/// What becomes of the pixels under a window.
pub(crate) trait Joining {
    /// Whether there are weights.
    const WEIGHTED: bool;
    /// The value of the padding, which joined with a pixel is that pixel's.
    const PADDING: f32;

    /// `x`, times `weight` if there are weights, joined with what was joined `before`.
    ///
    /// # Safety
    /// The CPU has the instruction set of `S`.
    unsafe fn join<S: Simd>(weight: S::V, x: S::V, before: S::V) -> S::V;
}

/// The sum of their products with weights.
pub(crate) struct Products;
/// Their sum.
pub(crate) struct Sum;
/// Their maximum; NaN if one of them is.
pub(crate) struct Maximum;

impl Joining for Products {
    const WEIGHTED: bool = true;
    const PADDING: f32 = 0.0;

    #[inline(always)]
    unsafe fn join<S: Simd>(weight: S::V, x: S::V, before: S::V) -> S::V {
        // SAFETY: the CPU has the instruction set.
        unsafe { S::fma(weight, x, before) }
    }
}

impl Joining for Sum {
    const WEIGHTED: bool = false;
    const PADDING: f32 = 0.0;

    #[inline(always)]
    unsafe fn join<S: Simd>(_: S::V, x: S::V, before: S::V) -> S::V {
        // SAFETY: the CPU has the instruction set.
        unsafe { S::add(before, x) }
    }
}

impl Joining for Maximum {
    const WEIGHTED: bool = false;
    const PADDING: f32 = f32::NEG_INFINITY;

    #[inline(always)]
    unsafe fn join<S: Simd>(_: S::V, x: S::V, before: S::V) -> S::V {
        // SAFETY: the CPU has the instruction set.
        unsafe { S::max_nan(before, x) }
    }
}

/// The function for windows of the usual sizes, or of any.
fn joined<J: Joining>(isa: Isa, window: &Window) -> unsafe fn(&Call) {
    match (window.kernel, window.stride, window.dilation) {
        ([3, 3], [1, 1], [1, 1]) => for_each_isa::<J, 3, 1>(isa),
        ([3, 3], [2, 2], [1, 1]) => for_each_isa::<J, 3, 2>(isa),
        ([5, 5], [1, 1], [1, 1]) if J::WEIGHTED => for_each_isa::<J, 5, 1>(isa),
        ([5, 5], [2, 2], [1, 1]) if J::WEIGHTED => for_each_isa::<J, 5, 2>(isa),
        _ => for_each_isa::<J, 0, 0>(isa),
    }
}

/// [`square`] for each instruction set, or [`any`] where `K` is 0.
fn for_each_isa<J: Joining, const K: usize, const STRIDE: usize>(isa: Isa) -> unsafe fn(&Call) {
    /// # Safety
    /// As for [`square`].
    #[inline(always)]
    unsafe fn chosen<S: Simd, J: Joining, const K: usize, const STRIDE: usize>(call: &Call) {
        // SAFETY: as the caller promises.
        unsafe { if K == 0 { any::<S, J>(call) } else { square::<S, J, K, STRIDE>(call) } }
    }
    /// # Safety
    /// As for [`square`].
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512vl")]
    unsafe fn avx512<J: Joining, const K: usize, const STRIDE: usize>(call: &Call) {
        // SAFETY: as the caller promises.
        unsafe { chosen::<super::simd::Avx512, J, K, STRIDE>(call) }
    }
    /// # Safety
    /// As for [`square`].
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn avx2<J: Joining, const K: usize, const STRIDE: usize>(call: &Call) {
        // SAFETY: as the caller promises.
        unsafe { chosen::<super::simd::Avx2, J, K, STRIDE>(call) }
    }
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => avx512::<J, K, STRIDE>,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::<J, K, STRIDE>,
        _ => chosen::<super::simd::Portable, J, K, STRIDE>,
    }
}

/// Results of windows of `K` by `K` taps with the stride `STRIDE`, row by row of the window.
///
/// # Safety
/// The CPU has the instruction set of `S`; the pointers are valid for a band.
#[inline(always)]
unsafe fn square<S: Simd, J: Joining, const K: usize, const STRIDE: usize>(call: &Call) {
    // SAFETY: as the caller promises: every tap of every result is in the packed band, which has rows for whole blocks and is
    // readable a vector further; only results are written.
    unsafe {
        let mut weight = [[S::splat(1.0); K]; K];
        if J::WEIGHTED {
            for (weight, &w) in weight.as_flattened_mut().iter_mut().zip(call.weight) {
                *weight = S::splat(w);
            }
        }
        for first in (0..call.rows).step_by(ROWS) {
            for column in (0..call.width).step_by(S::LANES) {
                let x = call.x.add(first * call.run + column);
                let mut results = [S::splat(call.bias); ROWS];
                for y in 0..(ROWS - 1) * STRIDE + K {
                    let row = x.add(y % STRIDE * STRIDE * call.plane + y / STRIDE * call.run);
                    for v in 0..K {
                        let pixels = S::load(row.add(v % STRIDE * call.plane + v / STRIDE));
                        for (r, result) in results.iter_mut().enumerate() {
                            if let Some(weight) = y.checked_sub(r * STRIDE).and_then(|u| weight.get(u)) {
                                *result = J::join::<S>(weight[v], pixels, *result);
                            }
                        }
                    }
                }
                store::<S>(call, [first, column], &results);
            }
        }
    }
}

/// Results of windows of any kind.
///
/// # Safety
/// As for [`square`].
#[inline(always)]
unsafe fn any<S: Simd, J: Joining>(call: &Call) {
    // SAFETY: as for `square`.
    unsafe {
        for first in (0..call.rows).step_by(ROWS) {
            for column in (0..call.width).step_by(S::LANES) {
                let x = call.x.add(first * call.run + column);
                let mut results = [S::splat(call.bias); ROWS];
                for (tap, &offset) in call.offsets.iter().enumerate() {
                    let weight = S::splat(if J::WEIGHTED { call.weight[tap] } else { 1.0 });
                    for (r, result) in results.iter_mut().enumerate() {
                        let pixels = S::load(x.add(offset as usize + r * call.run));
                        *result = J::join::<S>(weight, pixels, *result);
                    }
                }
                store::<S>(call, [first, column], &results);
            }
        }
    }
}

/// Stores a block of rows of results from the row `first` and `column` on, between the bounds.
///
/// # Safety
/// As for [`square`].
#[inline(always)]
unsafe fn store<S: Simd>(call: &Call, [first, column]: [usize; 2], results: &[S::V; ROWS]) {
    // SAFETY: as for `square`.
    unsafe {
        let [low, high] = call.bounds.map(|bound| S::splat(bound));
        let count = S::LANES.min(call.width - column);
        for (r, &result) in results.iter().enumerate().take(call.rows - first) {
            // Both propagate NaN, as their second argument.
            let value = S::min(high, S::max(low, result));
            let out = call.out.add((first + r) * call.width + column);
            if count == S::LANES {
                S::store(out, value);
            } else {
                S::store_first(out, value, count);
            }
        }
    }
}
