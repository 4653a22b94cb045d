//! A band of the input laid out so that every tap of the window reads consecutive pixels.
//!
//! For each input channel and window column there is one copy of the band, shifted by that
//! column and thinned by the column stride, so that an output row is a run of numbers; rows are
//! sorted by their remainder modulo the row stride, so that successive output rows are
//! successive runs. A tap is then an offset, and a tile of pixels may span rows.

use crate::Shape;
#[cfg(target_arch = "x86_64")]
use crate::cpu::simd::{Avx2, Avx512};
use crate::cpu::simd::{Isa, MAX_LANES, Portable, Simd};
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
    fn channel_len(&self) -> usize {
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
    let run = layout.run_len();
    for channel in 0..layout.input.c {
        // SAFETY: within the input's channels, and within the packed band.
        let (plane, out) = unsafe {
            (input.add(channel * layout.input.plane()), packed.add(channel * layout.channel_len()))
        };
        for remainder in 0..sy {
            // The rows of this remainder that lie inside the image.
            let start = first * sy + remainder;
            let top = py.saturating_sub(start).div_ceil(sy).min(layout.rows);
            let bottom = (layout.input.h + py).saturating_sub(start).div_ceil(sy).clamp(top, layout.rows);
            for row in (0..top).chain(bottom..layout.rows) {
                for column in 0..kw {
                    // SAFETY: a row of the band. Its last vector may run over its end with zeros,
                    // into a row that is zero too or is written later, or into the run's slack.
                    unsafe {
                        fill::<S>(out.add((column * sy + remainder) * run + row * layout.width), layout.width)
                    };
                }
            }
            for row in top..bottom {
                let y = start + row * sy - py;
                // SAFETY: row y of the image; as above.
                unsafe {
                    let out = out.add(remainder * run + row * layout.width);
                    pack_row::<S>(layout, plane.add(y * layout.input.w), out, sy * run);
                }
            }
        }
    }
}

/// One row for every window column: out[column * step + x] = row[x * stride + column - padding].
#[inline(always)]
unsafe fn pack_row<S: Simd>(layout: &Layout, row: *const f32, out: *mut f32, step: usize) {
    let (stride, padding) = (layout.window.stride[1], layout.window.padding[1]);
    // SAFETY: whole vectors may run over both ends of the row, which the caller allows.
    unsafe {
        if layout.input.w <= S::LANES {
            let pixels = S::load(row);
            for (column, shifts) in layout.shifts.iter().enumerate() {
                for (i, shift) in shifts.iter().enumerate() {
                    let out = out.add(column * step + i * layout.lanes);
                    S::store(out, S::permute(pixels, &shift.index, shift.mask));
                }
            }
            return;
        }
        for (column, shifts) in layout.shifts.iter().enumerate() {
            for (i, shift) in shifts.iter().enumerate() {
                let x = i * layout.lanes;
                let from = row.offset((x * stride + column) as isize - padding as isize);
                let out = out.add(column * step + x);
                match stride {
                    1 => S::store(out, S::keep(S::load(from), shift.mask)),
                    2 => S::store(out, S::keep(S::load_even(from), shift.mask)),
                    _ => {
                        for lane in (0..layout.lanes).filter(|lane| x + lane < layout.width) {
                            let inside = shift.mask >> lane & 1 == 1;
                            out.add(lane).write(if inside { *from.add(lane * stride) } else { 0.0 });
                        }
                    }
                }
            }
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
