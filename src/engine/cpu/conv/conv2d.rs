//! Direct convolution. 1x1 windows read the input in place, or a tile's pixels gathered side by side;
//! other windows read packed bands of the input.

use std::sync::Arc;

use super::pack;
use super::pack::{BandLayout, CopyKernel, PackKernel};
use super::residual::Residual;
use crate::engine::cpu::cost;
use crate::engine::cpu::cost::QuarterCycles;
use crate::engine::cpu::gemm::{MicroKernel, MicroTile, OVERREAD, UNBOUNDED, bounds, choose_kernel};
use crate::engine::cpu::kernel::{Kernel, Operands, Tile};
use crate::engine::cpu::packed_weight::{PackedWeight, WeightSource};
use crate::engine::cpu::simd::Isa;
use crate::engine::cpu::weight_cache::WeightCache;
use crate::engine::graph::ops::Conv2d;
use crate::{Result, Shape};

/// Floats of the largest packed band, so that bands stay in the L2 cache.
const MAX_BAND_LEN: usize = 128 * 1024;

/// Groups of output channels from which on a tile's pixels are gathered for vectors along the channels.
const MIN_GATHER_GROUPS: usize = 3;
/// The same for vectors along the pixels.
const MIN_GATHER_GROUPS_OF_PIXELS: usize = 9;
/// Floats of a tile's pixels up to which they are gathered for vectors along the channels, so that they stay in
/// the L1 cache.
const MAX_GATHER_LEN: usize = 8 * 1024;

/// Floats of the terms of the pixels of which one group of output channels is computed before the next. With few terms a
/// result takes little more than its store, and stores into a few channels at a time are faster than into all.
const MAX_CHUNK_LEN: usize = 16 * 1024;

/// How a convolution is cut for one instruction set: everything but its weights.
pub(crate) struct Conv2dTiling {
    kernel: MicroKernel,
    /// Pixels of which one group of output channels is computed before the next.
    chunk: usize,
    /// Terms of each sum.
    k: usize,
    offsets: Vec<u32>,
    source: Source,
    input: Shape,
    output: Shape,
    whole: Tile,
}

/// Where the micro-kernel reads its pixels.
enum Source {
    /// The input in place: the windows are single pixels.
    Input,
    /// The pixels of a chunk's tiles gathered in rows of `row` floats, one row a channel, which stay in a cache for all
    /// groups of output channels.
    Gathered { row: usize, copy: CopyKernel },
    /// Packed bands.
    Bands(BandLayout, PackKernel),
}

impl Conv2dTiling {
    /// The tiling of `op`, which reads `input` and writes `output`.
    pub(crate) fn new(isa: Isa, op: &Conv2d, [input, output]: [Shape; 2]) -> Self {
        let k = op.channels * op.window.area();
        let kernel = choose_kernel(isa, k, op.out, output.plane());
        let groups = op.out.div_ceil(kernel.channels);
        let row = kernel.pixels().next_multiple_of(isa.lanes());
        let chunk = kernel.pixels() * (MAX_CHUNK_LEN / (k * kernel.pixels())).max(1);
        let multiples_of = |step: usize| (0..k).map(|i| (i * step) as u32).collect();
        let (offsets, source) = if op.window.is_pointwise() {
            if gathers(isa, &kernel, groups, k * row) {
                (multiples_of(row), Source::Gathered { row, copy: pack::copy_kernel(isa) })
            } else {
                (multiples_of(input.plane()), Source::Input)
            }
        } else {
            let min = kernel.pixels().div_ceil(output.w).min(output.h);
            let layout = |band: usize| BandLayout::new(isa, op.window, input, output.w, band);
            let max = (min..=output.h).rev().find(|&band| layout(band).len() <= MAX_BAND_LEN).unwrap_or(min);
            let layout = layout(output.h.div_ceil(output.h.div_ceil(max)));
            (layout.offsets(), Source::Bands(layout, pack::kernel(isa)))
        };
        let whole = Tile { groups: 0..groups, pixels: 0..output.plane() };
        Conv2dTiling { kernel, chunk, k, offsets, source, input, output, whole }
    }

    /// Floats of the gathered pixels of a chunk's tiles, in rows of `row`.
    fn gathered_len(&self, row: usize) -> usize {
        self.chunk / self.kernel.pixels() * self.k * row
    }

    /// Estimated time of a tile.
    pub(crate) fn cost(&self, tile: Option<&Tile>) -> QuarterCycles {
        let Tile { groups, pixels } = tile.unwrap_or(&self.whole);
        let rows = pixels.len().div_ceil(self.output.w);
        let packing = if let Source::Bands(layout, _) = &self.source { layout.cost(rows) } else { 0 };
        let sums = self.kernel.cost(self.k, groups.len(), pixels.len());
        packing + sums.max(cost::weights_from_memory(groups.len() * self.kernel.channels * self.k))
    }
}

/// Whether the `len` floats of a tile's pixels are gathered for `groups` groups of output channels. Vectors along the
/// pixels of AVX2 need it most: a row of two vectors crosses cache lines, and the next row is in another page.
fn gathers(isa: Isa, kernel: &MicroKernel, groups: usize, len: usize) -> bool {
    match kernel.along_channels() {
        true => groups >= MIN_GATHER_GROUPS && len <= MAX_GATHER_LEN,
        false => groups >= MIN_GATHER_GROUPS_OF_PIXELS && isa == Isa::Avx2,
    }
}

/// Direct convolution with packed weights.
pub(crate) struct Conv2dKernel {
    tiling: Conv2dTiling,
    weight: Arc<PackedWeight>,
    bounds: [f32; 2],
    residual: Option<Residual>,
}

impl Conv2dKernel {
    /// The kernel of `op`, with its (O, I, KH, KW) weight and its bias.
    ///
    /// # Errors
    /// When the system has too little memory.
    pub(crate) fn new(
        weights: &WeightCache,
        isa: Isa,
        op: &Conv2d,
        tiling: Conv2dTiling,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Self> {
        let at = |o: usize, i: usize| weight[o * tiling.k + i];
        let source = WeightSource { channels: op.out, k: tiling.k, at, bias };
        let weight = weights.pack(tiling.kernel.channels, &source)?;
        let residual = op.residual.then(|| Residual::new(isa, op.relu));
        // Where something is added, the ReLU follows that.
        let bounds = if op.residual { UNBOUNDED } else { bounds(op.relu) };
        Ok(Conv2dKernel { tiling, weight, bounds, residual })
    }

    /// Computes `tile` of the convolution of `input` into `output`, from where on `residual` is added if there is one.
    ///
    /// # Safety
    /// As for [`Kernel::run`]; `input` is readable [`OVERREAD`] floats beyond both ends.
    unsafe fn convolve(
        &self,
        tile: Option<&Tile>,
        input: *const f32,
        residual: Option<*const f32>,
        output: *mut f32,
        scratch: *mut f32,
    ) {
        let tile = tile.unwrap_or(&self.tiling.whole);
        let Conv2dTiling { kernel, k, .. } = self.tiling;
        let (layout, pack) = match &self.tiling.source {
            // SAFETY: the tile's pixels are inside the input, whose channels are a plane apart.
            Source::Input => unsafe {
                return self.compute(tile, input.add(tile.pixels.start), kernel.pixels(), residual, output);
            },
            Source::Gathered { row, copy } => {
                let plane = self.tiling.input.plane();
                for start in tile.pixels.clone().step_by(self.tiling.chunk) {
                    let pixels = start..tile.pixels.end.min(start + self.tiling.chunk);
                    // SAFETY: the pixels are inside the input, and the scratch holds k rows of each of the chunk's tiles.
                    unsafe {
                        for (i, first) in pixels.clone().step_by(kernel.pixels()).enumerate() {
                            let count = kernel.pixels().min(pixels.end - first);
                            copy(input.add(first), plane, k, count, scratch.add(i * k * row), *row);
                        }
                        let chunk = Tile { pixels, groups: tile.groups.clone() };
                        self.compute(&chunk, scratch, k * row, residual, output);
                    }
                }
                return;
            }
            Source::Bands(layout, pack) => (layout, pack),
        };
        let width = self.tiling.output.w;
        let (first, end) = (tile.pixels.start / width, tile.pixels.end / width);
        for row in (first..end).step_by(layout.band()) {
            let rows = row..(row + layout.band()).min(end);
            let band = Tile { groups: tile.groups.clone(), pixels: rows.start * width..rows.end * width };
            // SAFETY: the scratch holds a packed band, in which the layout's offsets lead to valid pixels.
            unsafe {
                pack(layout, layout.channels(), input, row, scratch);
                self.compute(&band, scratch, kernel.pixels(), residual, output);
            }
        }
    }

    /// The packed weight, which the gradient may share.
    pub(crate) fn weight(&self) -> &Arc<PackedWeight> {
        &self.weight
    }

    /// Whether the terms of `tile` are inside what the micro-kernel reads, and its results inside the output.
    fn is_inside(&self, tile: &Tile, step: usize) -> bool {
        let Conv2dTiling { kernel, offsets, source, input, output, .. } = &self.tiling;
        let readable = match source {
            Source::Input => input.len() - tile.pixels.start,
            Source::Gathered { row, .. } => self.tiling.gathered_len(*row),
            Source::Bands(layout, _) => layout.len(),
        };
        let furthest = offsets.iter().max().map_or(0, |&offset| offset as usize);
        let last = (tile.pixels.len() - 1) / kernel.pixels();
        furthest + last * step + tile.pixels.len() - last * kernel.pixels() <= readable
            && offsets.len() == self.weight.k
            && tile.pixels.end <= output.plane()
            && tile.groups.end <= self.weight.groups()
            && self.weight.channels == output.c
    }

    /// Computes `tile`, whose first pixel in input channel 0, or in a copy of it, is at `x`, with `step` floats from one
    /// tile of the micro-kernel to the next.
    ///
    /// # Safety
    /// The offsets lead to valid pixels from `x` on, readable [`OVERREAD`] floats beyond the tile's last;
    /// `output` is the step's output, whose part in the tile no other thread touches, and `residual` has its shape.
    unsafe fn compute(
        &self,
        tile: &Tile,
        x: *const f32,
        step: usize,
        residual: Option<*const f32>,
        output: *mut f32,
    ) {
        debug_assert!(self.is_inside(tile, step), "{tile:?} of a convolution to {}", self.tiling.output);
        let Conv2dTiling { kernel, chunk, offsets, .. } = &self.tiling;
        let plane = self.tiling.output.plane();
        for start in tile.pixels.clone().step_by(*chunk) {
            let pixels = start..tile.pixels.end.min(start + chunk);
            for group in tile.groups.clone() {
                let (weight, bias, channels) = self.weight.group(group);
                for first in pixels.clone().step_by(kernel.pixels()) {
                    // SAFETY: the micro-tile's channels and pixels are inside the tile, so that its results are
                    // inside the output and its terms at valid pixels.
                    unsafe {
                        let micro_tile = MicroTile {
                            weight: weight.as_ptr(),
                            x: x.add((first - tile.pixels.start) / kernel.pixels() * step),
                            offsets: offsets.as_ptr(),
                            k: self.weight.k,
                            bias: bias.as_ptr(),
                            out: output.add(group * self.weight.group_channels * plane + first),
                            out_stride: plane,
                            channels,
                            pixels: kernel.pixels().min(pixels.end - first),
                            bounds: self.bounds,
                        };
                        kernel.run(&micro_tile);
                    }
                }
            }
            if let (Some(addition), Some(residual)) = (&self.residual, residual) {
                let size = self.weight.group_channels;
                let channels = tile.groups.start * size..self.weight.channels.min(tile.groups.end * size);
                let start = channels.start * plane + pixels.start;
                // SAFETY: the channels and pixels are those that were computed just now.
                unsafe {
                    let sizes = [channels.len(), pixels.len()];
                    addition.add(residual.add(start), output.add(start), plane, sizes);
                }
            }
        }
    }
}

impl Kernel for Conv2dKernel {
    fn cost(&self, tile: Option<&Tile>) -> QuarterCycles {
        self.tiling.cost(tile)
    }

    fn scratch_len(&self) -> usize {
        match &self.tiling.source {
            Source::Input => 0,
            Source::Gathered { row, .. } => self.tiling.gathered_len(*row) + OVERREAD,
            Source::Bands(layout, _) => layout.len() + OVERREAD,
        }
    }

    fn tiles(&self, max: usize) -> Vec<Tile> {
        let Conv2dTiling { kernel, source, output, whole, .. } = &self.tiling;
        let pixel_step = if let Source::Bands(..) = source { output.w } else { kernel.step };
        whole.cut(pixel_step, max, |tile| self.cost(Some(tile)))
    }

    unsafe fn run(&self, tile: Option<&Tile>, operands: &Operands) {
        // SAFETY: input and output are the step's, of the shapes for which the tiling was made; the input space and
        // the work space are readable beyond both ends, and the scratch has `scratch_len` floats.
        unsafe {
            let (input, residual) = (operands.input(0), operands.optional_input(1));
            self.convolve(tile, input, residual, operands.output(), operands.scratch)
        }
    }
}
