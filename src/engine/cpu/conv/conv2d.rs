//! Forward convolution. 1x1 windows read the input where it is, or a tile's pixels side by side; others
//! read packed bands.

use std::sync::Arc;

use super::pack::{CopyKernel, Layout, PackKernel};
use super::weight::{PackedWeight, choose_kernel, weight_cost};
use super::{Part, pack};
use crate::Shape;
use crate::engine::cpu::aligned::Arena;
use crate::engine::cpu::gemm;
use crate::engine::cpu::gemm::{OVERREAD, Tile, TileKernel};
use crate::engine::cpu::simd::Isa;
use crate::engine::graph::ops::Conv2d;

/// Packed bands are kept below this many numbers, so that they stay in the second-level cache.
const BAND_LEN: usize = 128 * 1024;

/// A tile's pixels are copied for as many groups of output channels, and where they are at most so many.
const COLUMNS_GROUPS: usize = 3;
const COLUMNS_LEN: usize = 6 * 1024;

/// How a convolution is cut into tiles on one kind of CPU: everything but its weights.
pub(in crate::engine::cpu) struct Conv2dTiles {
    kernel: TileKernel,
    /// Terms of each sum.
    k: usize,
    offsets: Vec<u32>,
    source: Source,
    input: Shape,
    output: Shape,
    whole: Part,
}

/// Where tiles read their pixels.
enum Source {
    /// Where they are: the windows are single pixels.
    Input,
    /// A tile's pixels, channel by channel, so many numbers apart: there they stay in the first-level cache
    /// for all groups of output channels.
    Columns(usize, CopyKernel),
    /// Packed bands.
    Bands(Layout, PackKernel),
}

impl Conv2dTiles {
    /// Tiles for `op`, which reads `input` and writes `output`.
    pub(in crate::engine::cpu) fn new(isa: Isa, op: &Conv2d, [input, output]: [Shape; 2]) -> Self {
        let k = op.channels * op.window.area();
        let kernel = choose_kernel(gemm::kernels(isa), k, op.out, output.plane());
        let groups = op.out.div_ceil(kernel.channels);
        let row = kernel.pixels().next_multiple_of(isa.lanes());
        let every = |step: usize| (0..k).map(|i| (i * step) as u32).collect();
        let (offsets, source) = if op.window.is_pointwise() {
            if kernel.along_channels() && groups >= COLUMNS_GROUPS && k * row <= COLUMNS_LEN {
                (every(row), Source::Columns(row, pack::copy_kernel(isa)))
            } else {
                (every(input.plane()), Source::Input)
            }
        } else {
            let least = kernel.pixels().div_ceil(output.w).min(output.h);
            let fits = |&band: &usize| Layout::new(isa, op.window, input, output.w, band).len() <= BAND_LEN;
            let most = (least..=output.h).rev().find(fits).unwrap_or(least);
            let band = output.h.div_ceil(output.h.div_ceil(most));
            let layout = Layout::new(isa, op.window, input, output.w, band);
            (layout.offsets(), Source::Bands(layout, pack::kernel(isa)))
        };
        let whole = Part { groups: 0..groups, pixels: 0..output.plane() };
        Conv2dTiles { kernel, k, offsets, source, input, output, whole }
    }

    /// The one part that is everything.
    pub(in crate::engine::cpu) fn whole(&self) -> &Part {
        &self.whole
    }

    /// Scratch numbers that a run needs.
    pub(in crate::engine::cpu) fn scratch_len(&self) -> usize {
        match &self.source {
            Source::Input => 0,
            Source::Columns(row, _) => self.k * row + OVERREAD,
            Source::Bands(layout, _) => layout.len() + OVERREAD,
        }
    }

    /// At most `parts` parts that make up the whole: some pixels of all channels or all pixels
    /// of some channels, whichever has the shorter longest part.
    pub(in crate::engine::cpu) fn parts(&self, parts: usize) -> Vec<Part> {
        let pixels = if let Source::Bands(..) = self.source { self.output.w } else { self.kernel.step };
        self.whole.cut(pixels, parts, |part| self.cost(part))
    }

    /// What a part costs, in quarters of a cycle.
    pub(in crate::engine::cpu) fn cost(&self, part: &Part) -> usize {
        let rows = part.pixels.len().div_ceil(self.output.w);
        let packing = if let Source::Bands(layout, _) = &self.source { layout.cost(rows) } else { 0 };
        let sums = self.kernel.cost(self.k, part.groups.len(), part.pixels.len());
        packing + sums.max(weight_cost(part.groups.len() * self.kernel.channels * self.k))
    }
}

/// A convolution with its weights packed for one kind of CPU.
pub(in crate::engine::cpu) struct PackedConv2d {
    pub(in crate::engine::cpu) tiles: Conv2dTiles,
    weight: Arc<PackedWeight>,
    relu: bool,
}

impl PackedConv2d {
    /// Packs the weights of `op` for its tiles.
    pub(in crate::engine::cpu) fn new(
        arena: &mut Arena,
        op: &Conv2d,
        tiles: Conv2dTiles,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Self {
        let at = |o: usize, i: usize| weight[o * tiles.k + i];
        let weight = Arc::new(PackedWeight::new(arena, &tiles.kernel, op.out, tiles.k, at, bias));
        PackedConv2d { tiles, weight, relu: op.relu }
    }

    /// The packed weight, to be shared with the gradient.
    pub(in crate::engine::cpu) fn weight(&self) -> &Arc<PackedWeight> {
        &self.weight
    }

    /// Computes one part for one image.
    ///
    /// # Safety
    /// `input` and `output` are the step's slots, with [`OVERREAD`] readable numbers around the
    /// input; `scratch` has the tiles' `scratch_len()` numbers; nobody else writes the part.
    pub(in crate::engine::cpu) unsafe fn run(
        &self,
        part: &Part,
        input: *const f32,
        output: *mut f32,
        scratch: *mut f32,
    ) {
        let Conv2dTiles { kernel, k, .. } = self.tiles;
        let (layout, pack) = match &self.tiles.source {
            // SAFETY: every pixel of every channel lies in the input.
            Source::Input => unsafe { return self.band(part, input.add(part.pixels.start), output) },
            Source::Columns(row, copy) => {
                for first in part.pixels.clone().step_by(kernel.pixels()) {
                    let pixels = first..part.pixels.end.min(first + kernel.pixels());
                    // SAFETY: as above; the scratch holds a tile's pixels.
                    unsafe {
                        let plane = self.tiles.input.plane();
                        copy(input.add(first), plane, k, pixels.len(), scratch, *row);
                        self.band(&Part { pixels, groups: part.groups.clone() }, scratch, output);
                    }
                }
                return;
            }
            Source::Bands(layout, pack) => (layout, pack),
        };
        let width = self.tiles.output.w;
        let (first, end) = (part.pixels.start / width, part.pixels.end / width);
        for row in (first..end).step_by(layout.band()) {
            let rows = row..(row + layout.band()).min(end);
            let band = Part { groups: part.groups.clone(), pixels: rows.start * width..rows.end * width };
            // SAFETY: the scratch holds a packed band.
            unsafe {
                pack(layout, layout.channels(), input, row, scratch);
                self.band(&band, scratch, output);
            }
        }
    }

    /// Computes `part`, whose first pixel is at `x`.
    unsafe fn band(&self, part: &Part, x: *const f32, output: *mut f32) {
        let Conv2dTiles { kernel, offsets, .. } = &self.tiles;
        let plane = self.tiles.output.plane();
        for first in part.pixels.clone().step_by(kernel.pixels()) {
            for group in part.groups.clone() {
                let (weight, bias, channels) = self.weight.group(group);
                // SAFETY: the tile's channels and pixels lie in the output, its taps in the input.
                unsafe {
                    let tile = Tile {
                        weight: weight.as_ptr(),
                        x: x.add(first - part.pixels.start),
                        offsets: offsets.as_ptr(),
                        k: self.weight.k,
                        bias: bias.as_ptr(),
                        out: output.add(group * self.weight.group_channels() * plane + first),
                        out_stride: plane,
                        channels,
                        pixels: kernel.pixels().min(part.pixels.end - first),
                        relu: self.relu,
                    };
                    kernel.run(&tile);
                }
            }
        }
    }
}
