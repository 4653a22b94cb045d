//! 3x3 convolution of stride 1 by Winograd's minimal filtering F(M x M, 3 x 3) of blocks of 2x2 or 4x4 output
//! pixels: sixteen products for a block instead of 36, or 36 instead of 144 (Lavin & Gray, CVPR 2016, section 4).
//!
//! With U = G g G^T of each kernel g and V = B^T d B of each patch d of P x P pixels, P = M + 2, where patches are
//! M pixels apart, the block is A^T (sum over input channels of U * V, elementwise) A. Each of the P x P elements,
//! called points here, is a 1x1 convolution over the patches, for the micro-kernels of [`gemm`].
//!
//! [`gemm`]: crate::engine::cpu::gemm

mod filtering;
#[cfg(test)]
mod tests;
mod transforms;

use std::ops::Range;
use std::sync::Arc;

use super::pack;
use super::pack::BandLayout;
use super::residual::Residual;
use crate::engine::cpu::aligned::CACHE_LINE_F32;
use crate::engine::cpu::cost;
use crate::engine::cpu::cost::QuarterCycles;
use crate::engine::cpu::gemm::{MicroKernel, MicroTile, OVERREAD, UNBOUNDED, bounds, choose_kernel};
use crate::engine::cpu::kernel::{Kernel, Operands, Tile};
use crate::engine::cpu::packed_weight::{PackedWeight, WeightSource};
use crate::engine::cpu::simd::Isa;
use crate::engine::cpu::weight_cache::WeightCache;
use crate::engine::graph::ops::{Conv2d, Window};
use crate::util::allocation;
use crate::{Result, Shape};
pub(crate) use transforms::Block;
use transforms::{Transforms, transforms};

/// Floats of the patches and products of the largest band, or as many as there are weights, all of which each band reads.
/// More than the L2 cache holds: reading the weights once for a whole map saves more than keeping its patches near.
const MAX_BAND_LEN: usize = 384 * 1024;

/// Input channels whose rows are transformed, then their patches, while the rows are in the L1 cache: as many as packing
/// handles together.
const CHANNELS_PER_BLOCK: usize = pack::CHANNELS_PER_BLOCK;

/// How a convolution is cut for one instruction set: everything but its weights.
pub(crate) struct WinogradTiling {
    kernel: MicroKernel,
    block: Block,
    /// The layout of input channels in patches a block apart.
    layout: BandLayout,
    input: Shape,
    output: Shape,
    /// Patches in a row.
    width: usize,
    /// Rows of patches in the largest band.
    band: usize,
    lanes: usize,
    whole: Tile,
}

impl WinogradTiling {
    /// The tiling of `op`, which reads `input` and writes `output`, in blocks of one size; `None` where its window is
    /// not 3x3 of stride 1 and dilation 1.
    pub(crate) fn new(isa: Isa, op: &Conv2d, [input, output]: [Shape; 2], block: Block) -> Option<Self> {
        if op.window.kernel != [3, 3] || op.window.stride != [1, 1] || op.window.dilation != [1, 1] {
            return None;
        }
        let lanes = isa.lanes();
        let (size, points) = (block.size(), block.points());
        let (width, height) = (output.w.div_ceil(size), output.h.div_ceil(size));
        let len = |band: usize| (band * width).next_multiple_of(lanes) * (op.channels + op.out) * points;
        let max_len = MAX_BAND_LEN.max(op.channels * op.out * points);
        let max = (1..=height).rev().find(|&band| len(band) <= max_len).unwrap_or(1);
        let band = height.div_ceil(height.div_ceil(max));
        let kernel = choose_kernel(isa, op.channels, op.out, band * width);
        let window = Window { kernel: [size + 2; 2], stride: [size; 2], ..op.window };
        let layout = BandLayout::new(isa, window, input, width, band);
        let whole = Tile { groups: 0..op.out.div_ceil(kernel.channels), pixels: 0..output.plane() };
        Some(WinogradTiling { kernel, block, layout, input, output, width, band, lanes, whole })
    }

    /// Groups of output channels.
    fn groups(&self) -> usize {
        self.whole.groups.end
    }

    /// Floats from one channel to the next, of patches and of products.
    fn channel_stride(&self) -> usize {
        (self.band * self.width).next_multiple_of(self.lanes)
    }

    /// Floats from one point to the next of all input channels' patches. A cache line more than they need:
    /// otherwise all points would map to the same sets of the L1 cache.
    fn patches_len(&self) -> usize {
        self.input.c * self.channel_stride() + CACHE_LINE_F32
    }

    /// The same of all output channels' products.
    fn products_len(&self) -> usize {
        self.groups() * self.kernel.channels * self.channel_stride() + CACHE_LINE_F32
    }

    /// Estimated time of a tile.
    pub(crate) fn cost(&self, tile: Option<&Tile>) -> QuarterCycles {
        let Tile { groups, pixels } = tile.unwrap_or(&self.whole);
        let points = self.block.points();
        let rows = pixels.len().div_ceil(self.block.size() * self.output.w);
        let patches = rows * self.width;
        let vectors = patches.div_ceil(self.lanes);
        let channels = groups.len() * self.kernel.channels;
        let sums = points * self.kernel.cost(self.input.c, groups.len(), patches);
        let weights = rows.div_ceil(self.band) * points * channels * self.input.c;
        let products = sums.max(cost::weights_from_memory(weights));
        let row_vector = match self.layout.is_short() {
            true => cost::WINOGRAD_SHORT_ROW_VECTOR,
            false => cost::WINOGRAD_ROW_VECTOR,
        };
        let inputs =
            row_vector * self.layout.vectors(rows) + self.input.c * vectors * self.block.input_cost();
        products + inputs + channels * vectors * self.block.output_cost()
    }
}

/// Winograd convolution with transformed, packed weights.
pub(crate) struct WinogradKernel {
    tiling: WinogradTiling,
    /// The groups of point 0, then those of point 1, and so on.
    weight: Arc<PackedWeight>,
    transforms: Transforms,
    /// Of each output channel, in whole groups.
    bias: Vec<f32>,
    /// Offset of each element of a patch in a packed channel.
    taps: Vec<u32>,
    /// Offset of each input channel in one point's patches.
    offsets: Vec<u32>,
    bounds: [f32; 2],
    residual: Option<Residual>,
}

impl WinogradKernel {
    /// The kernel of `op`, with its (O, I, 3, 3) weight and its bias.
    ///
    /// # Errors
    /// When the system has too little memory.
    pub(crate) fn new(
        weights: &WeightCache,
        isa: Isa,
        op: &Conv2d,
        tiling: WinogradTiling,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Self> {
        let (padded, points) = (tiling.groups() * tiling.kernel.channels, tiling.block.points());
        let mut kernels: Vec<f32> =
            allocation::with_capacity("transformed weights", weight.len() / 9 * points)?;
        for kernel in weight.chunks_exact(9) {
            tiling.block.transform_kernel(kernel, &mut kernels);
        }
        let at = |row: usize, i: usize| {
            let (point, channel) = (row / padded, row % padded);
            if channel < op.out { kernels[(channel * op.channels + i) * points + point] } else { 0.0 }
        };
        let source = WeightSource { channels: points * padded, k: op.channels, at, bias: None };
        let mut padded_bias = vec![0.0; padded];
        if let Some(bias) = bias {
            padded_bias[..op.out].copy_from_slice(bias);
        }
        let offsets = tiling.layout.offsets();
        Ok(WinogradKernel {
            weight: weights.pack(tiling.kernel.channels, &source)?,
            transforms: transforms(isa, tiling.block),
            bias: padded_bias,
            taps: offsets[..points].to_vec(),
            offsets: (0..op.channels).map(|i| (i * tiling.channel_stride()) as u32).collect(),
            // Where something is added, the ReLU follows that.
            bounds: if op.residual { UNBOUNDED } else { bounds(op.relu) },
            residual: op.residual.then(|| Residual::new(isa, op.relu)),
            tiling,
        })
    }

    /// Computes a tile for one image.
    ///
    /// # Safety
    /// As for [`Kernel::run`]: `input` and `output` are the step's, `scratch` has
    /// [`Kernel::scratch_len`] floats.
    unsafe fn compute(
        &self,
        tile: &Tile,
        input: *const f32,
        residual: Option<*const f32>,
        output: *mut f32,
        scratch: *mut f32,
    ) {
        let tiling = &self.tiling;
        let size = tiling.block.size();
        let row_pixels = size * tiling.output.w;
        let (first, end) = (tile.pixels.start / row_pixels, tile.pixels.end.div_ceil(row_pixels));
        debug_assert!(
            tile.groups.end <= tiling.groups() && end <= tiling.output.h.div_ceil(size),
            "{tile:?}"
        );
        for row in (first..end).step_by(tiling.band) {
            let rows = tiling.band.min(end - row);
            // SAFETY: the scratch holds a band's patches, its products, and a block of channels before or
            // after its transform.
            unsafe {
                let patches = scratch;
                let products = patches.add(tiling.block.points() * tiling.patches_len());
                let buffer = products.add(tiling.block.points() * tiling.products_len());
                self.patches(input, row, rows, patches, buffer);
                self.products(tile, rows, patches, products);
                self.pixels(tile, row..row + rows, products, residual, output, buffer);
            }
        }
    }

    /// Writes V of every input channel, of `rows` rows of patches from `row` on.
    ///
    /// # Safety
    /// As for [`WinogradKernel::compute`], whose parts of the scratch `patches` and `packed` are.
    unsafe fn patches(
        &self,
        input: *const f32,
        row: usize,
        rows: usize,
        patches: *mut f32,
        packed: *mut f32,
    ) {
        let tiling = &self.tiling;
        let channel_len = tiling.layout.channel_len();
        // The last element of the last patch is in its packed channel.
        debug_assert!(self.taps[self.taps.len() - 1] as usize + rows * tiling.width <= channel_len);
        for first in (0..tiling.input.c).step_by(CHANNELS_PER_BLOCK) {
            let channels = first..(first + CHANNELS_PER_BLOCK).min(tiling.input.c);
            // SAFETY: the planes of the block's channels, which fit in `packed`, and each channel's place
            // among each point's patches.
            unsafe {
                let planes = input.add(first * tiling.input.plane());
                (self.transforms.rows)(&tiling.layout, channels.len(), planes, row, packed);
                for channel in channels {
                    let packed = packed.add((channel - first) * channel_len);
                    let out = patches.add(channel * tiling.channel_stride());
                    (self.transforms.patches)(
                        packed,
                        &self.taps,
                        rows * tiling.width,
                        out,
                        tiling.patches_len(),
                    );
                }
            }
        }
    }

    /// Writes the sums of U * V over the input channels, of the tile's output channels.
    ///
    /// # Safety
    /// As for [`WinogradKernel::compute`], whose parts of the scratch `patches` and `products` are.
    unsafe fn products(&self, tile: &Tile, rows: usize, patches: *const f32, products: *mut f32) {
        let (tiling, count) = (&self.tiling, rows * self.tiling.width);
        debug_assert!(count <= tiling.channel_stride() && self.weight.k == self.offsets.len());
        let micro_tile = |point: usize, first: usize, group: usize| {
            let (weight, bias, channels) = self.weight.group(point * tiling.groups() + group);
            let group_start = group * channels * tiling.channel_stride();
            // SAFETY: the results are among this point's products, the terms among its patches.
            unsafe {
                let micro_tile = MicroTile {
                    weight: weight.as_ptr(),
                    x: patches.add(point * tiling.patches_len() + first),
                    offsets: self.offsets.as_ptr(),
                    k: self.weight.k,
                    bias: bias.as_ptr(),
                    out: products.add(point * tiling.products_len() + group_start + first),
                    out_stride: tiling.channel_stride(),
                    channels,
                    pixels: tiling.kernel.pixels().min(count - first),
                    bounds: UNBOUNDED,
                };
                tiling.kernel.run(&micro_tile);
            }
        };
        let firsts = || (0..count).step_by(tiling.kernel.pixels());
        // The smaller of a point's weights and its patches is read again and again.
        let weights_stay = tile.groups.len() * tiling.kernel.channels <= count;
        for point in 0..tiling.block.points() {
            if weights_stay {
                for first in firsts() {
                    tile.groups.clone().for_each(|group| micro_tile(point, first, group));
                }
            } else {
                for group in tile.groups.clone() {
                    firsts().for_each(|first| micro_tile(point, first, group));
                }
            }
        }
    }

    /// Writes the pixels of the tile's output channels in these rows of blocks.
    ///
    /// # Safety
    /// As for [`WinogradKernel::compute`], whose parts of the scratch `products` and `buffer` are.
    unsafe fn pixels(
        &self,
        tile: &Tile,
        rows: Range<usize>,
        products: *const f32,
        residual: Option<*const f32>,
        output: *mut f32,
        buffer: *mut f32,
    ) {
        let tiling = &self.tiling;
        let size = tiling.block.size();
        let (start, rows) = (size * rows.start, rows.len());
        let group = tiling.kernel.channels;
        let channels = tile.groups.start * group..(tile.groups.end * group).min(tiling.output.c);
        for channel in channels {
            // SAFETY: the channel's products, and its plane, beyond whose last row nothing is written.
            unsafe {
                let first = channel * tiling.output.plane() + start * tiling.output.w;
                let call = transforms::Pixels {
                    products: products.add(channel * tiling.channel_stride()),
                    stride: tiling.products_len(),
                    width: tiling.width,
                    rows,
                    bias: self.bias[channel],
                    out: output.add(first),
                    out_width: tiling.output.w,
                    out_rows: (tiling.output.h - start).min(size * rows),
                    bounds: self.bounds,
                    tiles: buffer,
                    tiles_stride: tiling.channel_stride(),
                };
                (self.transforms.pixels)(&call);
                if let (Some(addition), Some(residual)) = (&self.residual, residual) {
                    let sizes = [1, call.out_rows * call.out_width];
                    addition.add(residual.add(first), call.out, 0, sizes);
                }
            }
        }
    }
}

impl Kernel for WinogradKernel {
    fn cost(&self, tile: Option<&Tile>) -> QuarterCycles {
        self.tiling.cost(tile)
    }

    fn scratch_len(&self) -> usize {
        let tiling = &self.tiling;
        let size = tiling.block.size();
        let transformed = tiling.block.points() * (tiling.patches_len() + tiling.products_len());
        let buffer =
            (CHANNELS_PER_BLOCK * tiling.layout.channel_len()).max(size * size * tiling.channel_stride());
        transformed + buffer + OVERREAD
    }

    fn tiles(&self, max: usize) -> Vec<Tile> {
        let row_pixels = self.tiling.block.size() * self.tiling.output.w;
        self.tiling.whole.cut(row_pixels, max, |tile| self.cost(Some(tile)))
    }

    unsafe fn run(&self, tile: Option<&Tile>, operands: &Operands) {
        let tile = tile.unwrap_or(&self.tiling.whole);
        // SAFETY: input and output are the step's, of the shapes for which the tiling was made, and the scratch has
        // `scratch_len` floats.
        unsafe {
            let (input, residual) = (operands.input(0), operands.optional_input(1));
            self.compute(tile, input, residual, operands.output(), operands.scratch)
        };
    }
}
