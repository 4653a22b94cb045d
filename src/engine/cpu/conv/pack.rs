//! Packed band: rows of the input laid out so that every tap of the window reads consecutive pixels.
//!
//! For each input channel and window column there is one copy of the band, shifted by that column and
//! subsampled by the column stride, so that the pixels of an output row are contiguous; rows are sorted
//! by their remainder modulo the row stride, so that successive output rows are contiguous too. A tap is
//! then an offset, and a tile of pixels may span rows.

use std::ops::Range;

use crate::Shape;
use crate::engine::cpu::cost;
use crate::engine::cpu::cost::QuarterCycles;
use crate::engine::cpu::gemm::OVERREAD;
use crate::engine::cpu::simd::{Isa, MAX_LANES, Simd, compiled};
use crate::engine::graph::ops::Window;

/// The layout of one convolution's packed bands.
#[derive(Debug, Clone)]
pub(crate) struct BandLayout {
    pub(super) window: Window,
    pub(super) input: Shape,
    /// Pixels of an output row.
    pub(super) width: usize,
    /// Output rows of the largest band.
    band: usize,
    /// Rows of one remainder: the band's own and those below it that the window covers.
    pub(super) rows: usize,
    lanes: usize,
    /// For each window column, the vectors of a packed row.
    pub(super) shifts: Vec<Vec<Shift>>,
}

/// Where the elements of one vector of a packed row come from.
#[derive(Debug, Clone)]
pub(super) struct Shift {
    /// Pixel of the input row for each lane, for rows that are at most a vector long.
    pub(super) index: [u32; MAX_LANES],
    /// Lanes that are inside the image; the others are zero.
    pub(super) mask: u32,
}

impl Shift {
    /// The shift of vector `vector` of a row of `width` pixels, for window column `column`.
    fn new(window: &Window, input: Shape, width: usize, lanes: usize, column: usize, vector: usize) -> Self {
        let mut shift = Shift { index: [0; MAX_LANES], mask: 0 };
        for lane in 0..lanes {
            let x = vector * lanes + lane;
            let pixel =
                (x * window.stride[1] + column * window.dilation[1]).wrapping_sub(window.padding[0][1]);
            if x < width && pixel < input.w {
                shift.index[lane] = pixel as u32;
                shift.mask |= 1 << lane;
            }
        }
        shift
    }
}

impl BandLayout {
    /// The layout of bands of `band` output rows of `width` pixels.
    pub(crate) fn new(isa: Isa, window: Window, input: Shape, width: usize, band: usize) -> Self {
        let rows = band + (window.extent()[0] - 1) / window.stride[0];
        let lanes = isa.lanes();
        let row = |column| {
            (0..width.div_ceil(lanes)).map(|v| Shift::new(&window, input, width, lanes, column, v)).collect()
        };
        let shifts = (0..window.kernel[1]).map(row).collect();
        BandLayout { window, input, width, band, rows, lanes, shifts }
    }

    /// Channels of the input.
    pub(crate) fn channels(&self) -> usize {
        self.input.c
    }

    /// Output rows of the largest band.
    pub(crate) fn band(&self) -> usize {
        self.band
    }

    /// The rows of one remainder that are inside the image, of the band that begins at output row `first`.
    pub(super) fn rows_inside(&self, first: usize, remainder: usize) -> Range<usize> {
        let (stride, padding) = (self.window.stride[0], self.window.padding[0][0]);
        let start = first * stride + remainder;
        let top = padding.saturating_sub(start).div_ceil(stride).min(self.rows);
        let bottom = (self.input.h + padding).saturating_sub(start).div_ceil(stride).clamp(top, self.rows);
        top..bottom
    }

    /// Offset in an input plane of row `row` of one remainder, which is inside the image.
    pub(super) fn offset(&self, first: usize, remainder: usize, row: usize) -> usize {
        let (stride, padding) = (self.window.stride[0], self.window.padding[0][0]);
        ((first + row) * stride + remainder).saturating_sub(padding) * self.input.w
    }

    /// Floats of the rows of one window column and remainder, with room for the last row's last vector,
    /// which would otherwise overwrite rows already written.
    pub(super) fn run_len(&self) -> usize {
        self.rows * self.width + self.width.next_multiple_of(self.lanes) - self.width
    }

    /// Whether one vector holds a row of the input, and one a packed row.
    pub(super) fn is_short(&self) -> bool {
        self.input.w <= self.lanes && self.width <= self.lanes
    }

    /// Floats of one channel of a packed band.
    pub(crate) fn channel_len(&self) -> usize {
        self.window.kernel[1] * self.window.stride[0] * self.run_len()
    }

    /// Estimated time of packing the bands of `rows` output rows.
    pub(crate) fn cost(&self, rows: usize) -> QuarterCycles {
        cost::PACKED_VECTOR * self.vectors(rows)
    }

    /// Vectors of the bands of `rows` output rows.
    pub(super) fn vectors(&self, rows: usize) -> usize {
        let (kw, height) = (self.window.kernel[1], self.window.extent()[0]);
        let packed = rows * self.window.stride[0] + (height - 1) * rows.div_ceil(self.band);
        self.input.c * kw * packed * self.width.div_ceil(self.lanes)
    }

    /// Floats of a packed band.
    pub(crate) fn len(&self) -> usize {
        self.input.c * self.channel_len()
    }

    /// The offset of the first pixel of each term (channel, window row, window column) of the sum.
    pub(crate) fn offsets(&self) -> Vec<u32> {
        let [kh, kw] = self.window.kernel;
        let mut offsets = Vec::with_capacity(self.input.c * kh * kw);
        for channel in 0..self.input.c {
            for row in 0..kh {
                for column in 0..kw {
                    let (down, stride) = (row * self.window.dilation[0], self.window.stride[0]);
                    let (remainder, first) = (down % stride, down / stride);
                    let run = (column * stride + remainder) * self.run_len();
                    offsets.push((channel * self.channel_len() + run + first * self.width) as u32);
                }
            }
        }
        offsets
    }
}

/// Packs the first `channels` channels of the band that begins at output row `first` into `packed`.
///
/// # Safety
/// The CPU has the kernel's instruction set. `input` has `channels` of the layout's planes, readable
/// [`OVERREAD`] floats beyond both ends; `packed` has room for as many
/// channels of the layout and two vectors more.
pub(crate) type PackKernel =
    unsafe fn(layout: &BandLayout, channels: usize, input: *const f32, first: usize, packed: *mut f32);

/// Packing for one instruction set.
pub(crate) fn kernel(isa: Isa) -> PackKernel {
    compiled!(isa, S => unsafe fn(
        layout: &BandLayout,
        channels: usize,
        input: *const f32,
        first: usize,
        packed: *mut f32
    ) {
        pack::<S>(layout, channels, input, first, packed)
    })
}

/// Copies `rows` rows of `width` floats, `from_step` floats apart, to `out`, `out_step` floats apart.
///
/// # Safety
/// The CPU has the kernel's instruction set; rows are readable a vector beyond their end, and a row of the
/// result has room for whole vectors.
pub(crate) type CopyKernel =
    unsafe fn(from: *const f32, from_step: usize, rows: usize, width: usize, out: *mut f32, out_step: usize);

/// Copying for one instruction set.
pub(crate) fn copy_kernel(isa: Isa) -> CopyKernel {
    compiled!(isa, S => unsafe fn(
        from: *const f32,
        from_step: usize,
        rows: usize,
        width: usize,
        out: *mut f32,
        out_step: usize
    ) {
        for x in (0..width).step_by(S::LANES) {
            for row in 0..rows {
                S::store(out.add(row * out_step + x), S::load(from.add(row * from_step + x)));
            }
        }
    })
}

/// Channels whose rows of one window column and remainder are packed together: bounds are computed once
/// for all of them, and they stay in the L1 cache for the next window column and remainder.
pub(crate) const CHANNELS_PER_BLOCK: usize = 8;

/// The rows of one window column and remainder that are inside the image, of a block of channels:
/// `out[row][x] = from[row][x * stride + column * dilation - padding]`.
struct Rows {
    column: usize,
    from: *const f32,
    from_step: usize,
    /// In rows of the layout's width.
    out: *mut f32,
    count: usize,
    channels: usize,
}

/// Packs a band.
///
/// # Safety
/// As for [`PackKernel`].
#[inline(always)]
unsafe fn pack<S: Simd>(
    layout: &BandLayout,
    channels: usize,
    input: *const f32,
    first: usize,
    packed: *mut f32,
) {
    let Window { kernel: [_, kw], stride: [sy, sx], padding: [[_, px], [_, right]], .. } = layout.window;
    // Whole vectors reach beyond a row by the padding and less than two vectors.
    let is_near = px.max(right) + 2 * MAX_LANES <= OVERREAD;
    for channel in (0..channels).step_by(CHANNELS_PER_BLOCK) {
        let block = CHANNELS_PER_BLOCK.min(channels - channel);
        for remainder in 0..sy {
            let inside = layout.rows_inside(first, remainder);
            for column in 0..kw {
                // SAFETY: rows of the band. A row's last vector may extend beyond its end with zeros,
                // into a row that is zero too or is written later, or into the room after the last row;
                // reads may extend beyond both ends of a row of the image, which the caller allows.
                unsafe {
                    let out = packed.add(channel * layout.channel_len());
                    let out = out.add((column * sy + remainder) * layout.run_len());
                    for row in (0..inside.start).chain(inside.end..layout.rows) {
                        fill_row::<S>(layout, block, out.add(row * layout.width));
                    }
                    let rows = Rows {
                        column,
                        // Outside of the input where the band has no row of it.
                        from: input.wrapping_add(
                            channel * layout.input.plane() + layout.offset(first, remainder, inside.start),
                        ),
                        from_step: sy * layout.input.w,
                        out: out.add(inside.start * layout.width),
                        count: inside.len(),
                        channels: block,
                    };
                    match (sx, &layout.shifts[column][..]) {
                        (_, [shift]) if layout.input.w <= S::LANES => {
                            pack_short_rows::<S>(layout, shift, &rows);
                        }
                        (1, _) if is_near => pack_rows::<S>(layout, &rows, |from| S::load(from)),
                        (2, _) if is_near => pack_rows::<S>(layout, &rows, |from| S::load_even(from)),
                        _ => pack_any_stride(layout, &rows),
                    }
                }
            }
        }
    }
}

/// Packs rows that are at most a vector long, before and after: one permutation each.
///
/// # Safety
/// As for [`PackKernel`]; `rows` are rows of the band.
#[inline(always)]
unsafe fn pack_short_rows<S: Simd>(layout: &BandLayout, shift: &Shift, rows: &Rows) {
    // SAFETY: each store is of the shortest kind that holds a row, at most a vector, for which there is room behind the
    // last row. The caller promises that the rows are inside the image, beside which a vector may be read, and in
    // the band.
    unsafe {
        let index = S::index(&shift.index, shift.mask);
        let pixels = |from| S::permute(S::load(from), index);
        match layout.width {
            0..=4 => pack_vectors(layout, rows, |from, out| S::store_at_least(out, pixels(from), 4)),
            5..=8 => pack_vectors(layout, rows, |from, out| S::store_at_least(out, pixels(from), 8)),
            _ => pack_vectors(layout, rows, |from, out| S::store(out, pixels(from))),
        }
    }
}

/// Packs rows of one vector each by `pack(from, out)`.
///
/// # Safety
/// As for [`pack_short_rows`]; `pack` reads and writes at most a vector.
#[inline(always)]
unsafe fn pack_vectors(layout: &BandLayout, rows: &Rows, pack: impl Fn(*const f32, *mut f32)) {
    for channel in 0..rows.channels {
        for row in 0..rows.count {
            // SAFETY: the row is inside the image and its result inside the band.
            unsafe {
                let from = rows.from.add(channel * layout.input.plane() + row * rows.from_step);
                pack(from, rows.out.add(channel * layout.channel_len() + row * layout.width));
            }
        }
    }
}

/// Packs rows a vector at a time, of which `load` loads one with the row's stride.
///
/// # Safety
/// As for [`pack_short_rows`].
#[inline(always)]
unsafe fn pack_rows<S: Simd>(layout: &BandLayout, rows: &Rows, load: impl Fn(*const f32) -> S::V) {
    let Window { stride: [_, stride], padding: [[_, padding], _], dilation: [_, dilation], .. } =
        layout.window;
    let before = (rows.column * dilation) as isize - padding as isize;
    for channel in 0..rows.channels {
        for row in 0..rows.count {
            // SAFETY: loads extend beyond a row by less than the caller allows; stores as in `pack`.
            unsafe {
                let from =
                    rows.from.add(channel * layout.input.plane() + row * rows.from_step).offset(before);
                let out = rows.out.add(channel * layout.channel_len() + row * layout.width);
                for (i, shift) in layout.shifts[rows.column].iter().enumerate() {
                    let pixels = S::keep(load(from.add(i * S::LANES * stride)), shift.mask);
                    S::store(out.add(i * S::LANES), pixels);
                }
            }
        }
    }
}

/// Packs rows of any stride, one element at a time.
///
/// # Safety
/// As for [`pack_short_rows`].
unsafe fn pack_any_stride(layout: &BandLayout, rows: &Rows) {
    let Window { stride: [_, stride], padding: [[_, padding], _], dilation: [_, dilation], .. } =
        layout.window;
    for channel in 0..rows.channels {
        for row in 0..rows.count {
            for x in 0..layout.width {
                let pixel = (x * stride + rows.column * dilation).wrapping_sub(padding);
                // SAFETY: the pixel is read only inside the row; its place is inside the band.
                unsafe {
                    let from = rows.from.add(channel * layout.input.plane() + row * rows.from_step);
                    let element = if pixel < layout.input.w { *from.add(pixel) } else { 0.0 };
                    rows.out.add(channel * layout.channel_len() + row * layout.width + x).write(element);
                }
            }
        }
    }
}

/// Writes a row of zeros in each channel of a block.
///
/// # Safety
/// As for [`PackKernel`]; `out` is a row of the band.
#[inline(always)]
unsafe fn fill_row<S: Simd>(layout: &BandLayout, channels: usize, out: *mut f32) {
    for channel in 0..channels {
        for x in (0..layout.width).step_by(S::LANES) {
            // SAFETY: the row is inside the band; its last vector as in `pack`.
            unsafe {
                let out = out.add(channel * layout.channel_len() + x);
                S::store_at_least(out, S::splat(0.0), (layout.width - x).min(S::LANES));
            }
        }
    }
}
