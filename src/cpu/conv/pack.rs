//! A band of the input laid out so that every tap of the window reads consecutive pixels.
//!
//! For each input channel and window column there is one copy of the band, shifted by that
//! column and thinned by the column stride, so that an output row is a run of numbers; rows are
//! sorted by their remainder modulo the row stride, so that successive output rows are
//! successive runs. A tap is then an offset, and a tile of pixels may span rows.

use crate::Shape;
#[cfg(target_arch = "x86_64")]
use crate::cpu::simd::{Avx2, Avx512};
use crate::cpu::simd::{Isa, Portable, Simd};
use crate::graph::ops::Window;

/// The layout of one convolution's packed bands.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    window: Window,
    input: Shape,
    /// Pixels of an output row.
    width: usize,
    /// Output rows of the largest band.
    band: usize,
    /// Rows of one remainder: the band's and those below it that the window reaches.
    rows: usize,
}

impl Layout {
    /// Bands of `band` output rows of `width` pixels.
    pub(super) fn new(window: Window, input: Shape, width: usize, band: usize) -> Self {
        let rows = band + (window.kernel[0] - 1) / window.stride[0];
        Layout { window, input, width, band, rows }
    }

    /// Output rows of the largest band.
    pub(super) fn band(&self) -> usize {
        self.band
    }

    /// Numbers of one channel of a packed band.
    fn channel_len(&self) -> usize {
        self.window.kernel[1] * self.window.stride[0] * self.rows * self.width
    }

    /// Numbers of a packed band.
    pub(super) fn len(&self) -> usize {
        self.input.c * self.channel_len()
    }

    /// Where each term (channel, window row, window column) of the sum begins.
    pub(super) fn offsets(&self) -> Vec<u32> {
        let [kh, kw] = self.window.kernel;
        let mut offsets = Vec::with_capacity(self.input.c * kh * kw);
        for channel in 0..self.input.c {
            for row in 0..kh {
                for column in 0..kw {
                    let (remainder, first) = (row % self.window.stride[0], row / self.window.stride[0]);
                    let run = (column * self.window.stride[0] + remainder) * self.rows + first;
                    offsets.push((channel * self.channel_len() + run * self.width) as u32);
                }
            }
        }
        offsets
    }
}

/// Packs the band that begins at output row `first` into `packed`.
pub(super) type PackKernel = unsafe fn(layout: &Layout, input: *const f32, first: usize, packed: *mut f32);

/// The packing of one kind of CPU.
///
/// # Safety of the kernel
/// The CPU is of that kind; `input` is the layout's whole input, readable [`Simd`] vectors
/// beyond both ends; `packed` has the layout's `len()` numbers and two vectors more.
pub(super) fn kernel(isa: Isa) -> PackKernel {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512vl")]
    unsafe fn avx512(layout: &Layout, input: *const f32, first: usize, packed: *mut f32) {
        // SAFETY: the caller's promise, passed on.
        unsafe { pack::<Avx512>(layout, input, first, packed) }
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn avx2(layout: &Layout, input: *const f32, first: usize, packed: *mut f32) {
        // SAFETY: the caller's promise, passed on.
        unsafe { pack::<Avx2>(layout, input, first, packed) }
    }
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => avx512,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2,
        _ => pack::<Portable>,
    }
}

#[inline(always)]
unsafe fn pack<S: Simd>(layout: &Layout, input: *const f32, first: usize, packed: *mut f32) {
    let Window { kernel: [_, kw], stride: [sy, _], padding: [py, _] } = layout.window;
    let mut out = packed;
    for channel in 0..layout.input.c {
        // SAFETY: within the input's channels.
        let plane = unsafe { input.add(channel * layout.input.plane()) };
        for column in 0..kw {
            for remainder in 0..sy {
                for row in 0..layout.rows {
                    let y = ((first + row) * sy + remainder).wrapping_sub(py);
                    // SAFETY: `out` walks over the packed band; a row's last vector may run over
                    // its end, where the next row is written later.
                    unsafe {
                        if y < layout.input.h {
                            pack_row::<S>(layout, plane.add(y * layout.input.w), column, out);
                        } else {
                            fill::<S>(out, layout.width);
                        }
                        out = out.add(layout.width);
                    }
                }
            }
        }
    }
}

/// One row, shifted by window column `column`: out[x] = row[x * stride + column - padding].
#[inline(always)]
unsafe fn pack_row<S: Simd>(layout: &Layout, row: *const f32, column: usize, out: *mut f32) {
    let (stride, padding, width) = (layout.window.stride[1], layout.window.padding[1], layout.width);
    // The pixels x for which x * stride + column - padding lies in the row.
    let start = padding.saturating_sub(column).div_ceil(stride).min(width);
    let inside = (layout.input.w + padding).saturating_sub(column).div_ceil(stride);
    let end = inside.min(width).max(start);
    // SAFETY: whole vectors may run over both ends of the row, which the caller allows.
    unsafe {
        let source = row.offset(column as isize - padding as isize);
        match stride {
            1 | 2 if padding <= S::LANES => {
                for x in (0..width).step_by(S::LANES) {
                    let source = source.add(x * stride);
                    let vector = if stride == 1 { S::load(source) } else { S::load_even(source) };
                    S::store(out.add(x), vector);
                }
            }
            _ => {
                for x in start..end {
                    out.add(x).write(*source.add(x * stride));
                }
            }
        }
        for x in (0..start).chain(end..width) {
            out.add(x).write(0.0);
        }
    }
}

#[inline(always)]
unsafe fn fill<S: Simd>(out: *mut f32, width: usize) {
    for x in (0..width).step_by(S::LANES) {
        // SAFETY: as in `pack`.
        unsafe { S::store(out.add(x), S::splat(0.0)) }
    }
}
