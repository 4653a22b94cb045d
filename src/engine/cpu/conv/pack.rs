//! A band of the input laid out so that every tap of the window reads consecutive pixels.
//!
//! For each input channel and window column there is one copy of the band, shifted by that
//! column and thinned by the column stride, so that an output row is a run of numbers; rows are
//! sorted by their remainder modulo the row stride, so that successive output rows are
//! successive runs. A tap is then an offset, and a tile of pixels may span rows.

use crate::Shape;
use crate::engine::cpu::simd::{Isa, MAX_LANES, Simd, compiled};
use crate::engine::graph::ops::Window;

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
    lanes: usize,
    /// For each window column, the vectors of a packed row.
    shifts: Vec<Vec<Shift>>,
}

/// Where the numbers of one vector of a packed row come from.
#[derive(Debug, Clone)]
struct Shift {
    /// Pixel of the input row, where it is no longer than a vector.
    index: [u32; MAX_LANES],
    /// Which numbers lie inside the image; the others are zero.
    mask: u32,
}

impl Shift {
    /// Vector number `vector` of a row of `width` pixels, for window column `column`.
    fn new(window: &Window, input: Shape, width: usize, lanes: usize, column: usize, vector: usize) -> Self {
        let mut shift = Shift { index: [0; MAX_LANES], mask: 0 };
        for lane in 0..lanes {
            let x = vector * lanes + lane;
            let pixel = (x * window.stride[1] + column).wrapping_sub(window.padding[1]);
            if x < width && pixel < input.w {
                shift.index[lane] = pixel as u32;
                shift.mask |= 1 << lane;
            }
        }
        shift
    }
}

impl Layout {
    /// Bands of `band` output rows of `width` pixels.
    pub(super) fn new(isa: Isa, window: Window, input: Shape, width: usize, band: usize) -> Self {
        let rows = band + (window.kernel[0] - 1) / window.stride[0];
        let lanes = isa.lanes();
        let row = |column| {
            (0..width.div_ceil(lanes)).map(|v| Shift::new(&window, input, width, lanes, column, v)).collect()
        };
        let shifts = (0..window.kernel[1]).map(row).collect();
        Layout { window, input, width, band, rows, lanes, shifts }
    }

    /// Channels of the input.
    pub(super) fn channels(&self) -> usize {
        self.input.c
    }

    /// Output rows of the largest band.
    pub(super) fn band(&self) -> usize {
        self.band
    }

    /// Numbers of the rows of one window column and remainder, and room for the last row's last
    /// vector, which would else run over into rows already written.
    fn run_len(&self) -> usize {
        self.rows * self.width + self.width.next_multiple_of(self.lanes) - self.width
    }

    /// Numbers of one channel of a packed band.
    pub(super) fn channel_len(&self) -> usize {
        self.window.kernel[1] * self.window.stride[0] * self.run_len()
    }

    /// What packing the bands of `rows` output rows costs, in quarters of a cycle: about two
    /// cycles for each vector.
    pub(super) fn cost(&self, rows: usize) -> usize {
        let [kh, kw] = self.window.kernel;
        let packed = rows * self.window.stride[0] + (kh - 1) * rows.div_ceil(self.band);
        8 * self.input.c * kw * packed * self.width.div_ceil(self.lanes)
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
                    let run = (column * self.window.stride[0] + remainder) * self.run_len();
                    offsets.push((channel * self.channel_len() + run + first * self.width) as u32);
                }
            }
        }
        offsets
    }
}

/// Packs the first `channels` channels of the band that begins at output row `first` into `packed`.
pub(super) type PackKernel =
    unsafe fn(layout: &Layout, channels: usize, input: *const f32, first: usize, packed: *mut f32);

/// The packing of one kind of CPU.
///
/// # Safety of the kernel
/// The CPU is of that kind; `input` has `channels` of the layout's planes, readable [`Simd`] vectors
/// beyond both ends; `packed` has the layout's numbers of as many channels and two vectors more.
pub(super) fn kernel(isa: Isa) -> PackKernel {
    compiled!(isa, S => unsafe fn(
        layout: &Layout,
        channels: usize,
        input: *const f32,
        first: usize,
        packed: *mut f32
    ) {
        pack::<S>(layout, channels, input, first, packed)
    })
}

/// Copies `rows` rows of `width` numbers, `from_step` numbers apart, to `out`, `out_step` numbers apart.
pub(super) type CopyKernel =
    unsafe fn(from: *const f32, from_step: usize, rows: usize, width: usize, out: *mut f32, out_step: usize);

/// The copying of one kind of CPU.
///
/// # Safety of the kernel
/// The CPU is of that kind; rows may be read a vector beyond their end, and there is room for whole
/// vectors in a row of the result.
pub(super) fn copy_kernel(isa: Isa) -> CopyKernel {
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

/// Channels whose rows of one kind are packed together: what their first needs to be found out is then
/// known for all, and they stay in the first-level cache for the rows of the next kind.
pub(super) const TOGETHER: usize = 8;

/// The rows of one window column and remainder that lie inside the image, of some channels:
/// out[row][x] = from[row][x * stride + column - padding].
struct Rows {
    column: usize,
    from: *const f32,
    from_step: usize,
    /// Rows of the layout's width.
    out: *mut f32,
    count: usize,
    channels: usize,
}

#[inline(always)]
unsafe fn pack<S: Simd>(layout: &Layout, channels: usize, input: *const f32, first: usize, packed: *mut f32) {
    let Window { kernel: [_, kw], stride: [sy, sx], padding: [py, _] } = layout.window;
    for channel in (0..channels).step_by(TOGETHER) {
        let together = TOGETHER.min(channels - channel);
        for remainder in 0..sy {
            let start = first * sy + remainder;
            let top = py.saturating_sub(start).div_ceil(sy).min(layout.rows);
            let bottom = (layout.input.h + py).saturating_sub(start).div_ceil(sy).clamp(top, layout.rows);
            for column in 0..kw {
                // SAFETY: rows of the band. A row's last vector may run over its end with zeros, into a row
                // that is zero too or is written later, or into the run's slack; what is read of the image
                // may run over both ends of a row, which the caller allows.
                unsafe {
                    let out = packed.add(channel * layout.channel_len());
                    let out = out.add((column * sy + remainder) * layout.run_len());
                    for row in (0..top).chain(bottom..layout.rows) {
                        fill_row::<S>(layout, together, out.add(row * layout.width));
                    }
                    let y = (start + top * sy).saturating_sub(py);
                    let rows = Rows {
                        column,
                        from: input.add(channel * layout.input.plane() + y * layout.input.w),
                        from_step: sy * layout.input.w,
                        out: out.add(top * layout.width),
                        count: bottom - top,
                        channels: together,
                    };
                    match (sx, &layout.shifts[column][..]) {
                        (_, [shift]) if layout.input.w <= S::LANES => {
                            pack_short_rows::<S>(layout, shift, &rows);
                        }
                        (1, _) => pack_rows::<S>(layout, &rows, |from| S::load(from)),
                        (2, _) => pack_rows::<S>(layout, &rows, |from| S::load_even(from)),
                        _ => pack_number_by_number(layout, &rows),
                    }
                }
            }
        }
    }
}

/// Rows that are a vector before and after: one permutation each.
#[inline(always)]
unsafe fn pack_short_rows<S: Simd>(layout: &Layout, shift: &Shift, rows: &Rows) {
    // SAFETY: as in `pack`. Whole stores of the shortest kind that holds a row.
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

/// Rows of one vector; `pack` packs it.
#[inline(always)]
unsafe fn pack_vectors(layout: &Layout, rows: &Rows, pack: impl Fn(*const f32, *mut f32)) {
    for channel in 0..rows.channels {
        for row in 0..rows.count {
            // SAFETY: as in `pack`.
            unsafe {
                let from = rows.from.add(channel * layout.input.plane() + row * rows.from_step);
                pack(from, rows.out.add(channel * layout.channel_len() + row * layout.width));
            }
        }
    }
}

/// Rows of which `load` takes a vector at a time.
#[inline(always)]
unsafe fn pack_rows<S: Simd>(layout: &Layout, rows: &Rows, load: impl Fn(*const f32) -> S::V) {
    let Window { stride: [_, stride], padding: [_, padding], .. } = layout.window;
    let before = rows.column as isize - padding as isize;
    for channel in 0..rows.channels {
        for row in 0..rows.count {
            // SAFETY: as in `pack`.
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

/// Rows of any stride.
unsafe fn pack_number_by_number(layout: &Layout, rows: &Rows) {
    let Window { stride: [_, stride], padding: [_, padding], .. } = layout.window;
    for channel in 0..rows.channels {
        for row in 0..rows.count {
            for x in 0..layout.width {
                let pixel = (x * stride + rows.column).wrapping_sub(padding);
                // SAFETY: a pixel of the row, and its place.
                unsafe {
                    let from = rows.from.add(channel * layout.input.plane() + row * rows.from_step);
                    let number = if pixel < layout.input.w { *from.add(pixel) } else { 0.0 };
                    rows.out.add(channel * layout.channel_len() + row * layout.width + x).write(number);
                }
            }
        }
    }
}

/// A row of zeros in some channels.
#[inline(always)]
unsafe fn fill_row<S: Simd>(layout: &Layout, channels: usize, out: *mut f32) {
    for channel in 0..channels {
        for x in (0..layout.width).step_by(S::LANES) {
            // SAFETY: as in `pack`.
            unsafe {
                let out = out.add(channel * layout.channel_len() + x);
                S::store_at_least(out, S::splat(0.0), (layout.width - x).min(S::LANES));
            }
        }
    }
}
