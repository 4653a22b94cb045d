//! 3x3 convolution of stride 1 by Winograd's minimal filtering F(2x2, 3x3): sixteen products for each
//! tile of 2x2 output pixels instead of thirty-six (Lavin & Gray, CVPR 2016, section 4.1).
//!
//! With U = G g G^T of each kernel g and V = B^T d B of each 4x4 patch d, where patches lie two pixels
//! apart, the tile is A^T (sum over input channels of U * V, number by number) A. Each of the sixteen
//! numbers is a 1x1 convolution over tiles, for the micro-kernel of [`gemm`].

#[cfg(test)]
mod tests;
mod transforms;

use super::pack::{Layout, PackKernel};
use super::weight::{PackedWeight, choose_kernel, weight_cost};
use super::{Part, pack};
use crate::Shape;
use crate::engine::cpu::aligned::{Arena, LINE};
use crate::engine::cpu::gemm;
use crate::engine::cpu::gemm::{OVERREAD, Tile, TileKernel};
use crate::engine::cpu::simd::Isa;
use crate::engine::graph::ops::{Conv2d, Window};
use transforms::{Transforms, kernel_transform, transforms};

/// Numbers of a transformed patch.
const NUMBERS: usize = 16;

/// The one number of a product that adds to every pixel of its tile: the bias goes in there.
const EVERYWHERE: usize = 5;

/// Patches and products of a band are kept below this many numbers. More than the second-level cache holds:
/// to read the weights once for a whole map is worth more than to keep its patches near.
const BAND_LEN: usize = 384 * 1024;

/// Input channels that are packed, then transformed: as many as packing takes together.
const PACKED: usize = pack::TOGETHER;

/// What transforming a vector of tiles costs, in quarters of a cycle, of an input and of an output channel.
const INPUT_COST: usize = 150;
const OUTPUT_COST: usize = 200;

/// How a convolution is cut into tiles on one kind of CPU: everything but its weights.
pub(in crate::engine::cpu) struct WinogradTiles {
    kernel: TileKernel,
    /// Input channels in patches two pixels apart.
    layout: Layout,
    input: Shape,
    output: Shape,
    /// Tiles side by side.
    width: usize,
    /// Rows of tiles in the largest band.
    band: usize,
    lanes: usize,
    whole: Part,
}

impl WinogradTiles {
    /// Tiles for `op`, which reads `input` and writes `output`, if its window is one that the algorithm
    /// serves.
    pub(in crate::engine::cpu) fn new(isa: Isa, op: &Conv2d, [input, output]: [Shape; 2]) -> Option<Self> {
        if op.window.kernel != [3, 3] || op.window.stride != [1, 1] {
            return None;
        }
        let lanes = isa.lanes();
        let (width, height) = (output.w.div_ceil(2), output.h.div_ceil(2));
        let len = |band: usize| (band * width).next_multiple_of(lanes) * (op.channels + op.out) * NUMBERS;
        let most = (1..=height).rev().find(|&band| len(band) <= BAND_LEN).unwrap_or(1);
        let band = height.div_ceil(height.div_ceil(most));
        let kernel = choose_kernel(gemm::kernels(isa), op.channels, op.out, band * width);
        let window = Window { kernel: [4, 4], stride: [2, 2], padding: op.window.padding };
        let layout = Layout::new(isa, window, input, width, band);
        let whole = Part { groups: 0..op.out.div_ceil(kernel.channels), pixels: 0..output.plane() };
        Some(WinogradTiles { kernel, layout, input, output, width, band, lanes, whole })
    }

    /// The one part that is everything.
    pub(in crate::engine::cpu) fn whole(&self) -> &Part {
        &self.whole
    }

    /// Groups of output channels.
    fn groups(&self) -> usize {
        self.whole.groups.end
    }

    /// Numbers between two channels, of patches and of products.
    fn row(&self) -> usize {
        (self.band * self.width).next_multiple_of(self.lanes)
    }

    /// Numbers between two numbers of all input channels' patches; a line more than they need, or all
    /// sixteen would fall on the same lines of the first-level cache.
    fn patches_len(&self) -> usize {
        self.input.c * self.row() + LINE
    }

    /// The same of all output channels' products.
    fn products_len(&self) -> usize {
        self.groups() * self.kernel.channels * self.row() + LINE
    }

    /// Scratch numbers that a run needs.
    pub(in crate::engine::cpu) fn scratch_len(&self) -> usize {
        let transformed = NUMBERS * (self.patches_len() + self.products_len());
        let between = (PACKED * self.layout.channel_len()).max(4 * self.row());
        transformed + between + OVERREAD
    }

    /// At most `parts` parts that make up the whole: some rows of tiles of all channels or all rows of
    /// some channels, whichever has the shorter longest part.
    pub(in crate::engine::cpu) fn parts(&self, parts: usize) -> Vec<Part> {
        self.whole.cut(2 * self.output.w, parts, |part| self.cost(part))
    }

    /// What a part costs, in quarters of a cycle.
    pub(in crate::engine::cpu) fn cost(&self, part: &Part) -> usize {
        let rows = part.pixels.len().div_ceil(2 * self.output.w);
        let tiles = rows * self.width;
        let vectors = tiles.div_ceil(self.lanes);
        let channels = part.groups.len() * self.kernel.channels;
        let sums = NUMBERS * self.kernel.cost(self.input.c, part.groups.len(), tiles);
        let products = sums.max(weight_cost(NUMBERS * channels * self.input.c));
        let inputs = self.layout.cost(rows) + self.input.c * vectors * INPUT_COST;
        products + inputs + channels * vectors * OUTPUT_COST
    }
}

/// A convolution with its transformed weights packed for one kind of CPU.
pub(in crate::engine::cpu) struct WinogradConv2d {
    pub(in crate::engine::cpu) tiles: WinogradTiles,
    /// The groups of number 0, then those of number 1, and so on.
    weight: PackedWeight,
    transforms: Transforms,
    pack: PackKernel,
    /// Where each number of a patch begins in a packed channel.
    taps: [u32; NUMBERS],
    /// Where each input channel begins among one number's patches.
    offsets: Vec<u32>,
    relu: bool,
}

impl WinogradConv2d {
    /// Transforms and packs the weights of `op` for its tiles.
    pub(in crate::engine::cpu) fn new(
        arena: &mut Arena,
        isa: Isa,
        op: &Conv2d,
        tiles: WinogradTiles,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Self {
        let padded = tiles.groups() * tiles.kernel.channels;
        let kernels: Vec<[f32; NUMBERS]> = weight.chunks_exact(9).map(kernel_transform).collect();
        let at = |row: usize, i: usize| {
            let (number, channel) = (row / padded, row % padded);
            if channel < op.out { kernels[channel * op.channels + i][number] } else { 0.0 }
        };
        let mut biases = vec![0.0; NUMBERS * padded];
        if let Some(bias) = bias {
            biases[EVERYWHERE * padded..][..op.out].copy_from_slice(bias);
        }
        let rows = NUMBERS * padded;
        let offsets = tiles.layout.offsets();
        WinogradConv2d {
            weight: PackedWeight::new(arena, &tiles.kernel, rows, op.channels, at, Some(&biases)),
            transforms: transforms(isa),
            pack: pack::kernel(isa),
            taps: std::array::from_fn(|number| offsets[number]),
            offsets: (0..op.channels).map(|i| (i * tiles.row()) as u32).collect(),
            relu: op.relu,
            tiles,
        }
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
        let tiles = &self.tiles;
        let rows = 2 * tiles.output.w;
        let (first, end) = (part.pixels.start / rows, part.pixels.end.div_ceil(rows));
        for row in (first..end).step_by(tiles.band) {
            let rows = tiles.band.min(end - row);
            // SAFETY: the scratch holds a band's patches, its products, and a channel on the way to either.
            unsafe {
                let patches = scratch;
                let products = patches.add(NUMBERS * tiles.patches_len());
                let between = products.add(NUMBERS * tiles.products_len());
                self.patches(input, row, rows, patches, between);
                self.products(part, rows, patches, products);
                self.pixels(part, row, rows, products, output, between);
            }
        }
    }

    /// V of every input channel, of `rows` rows of tiles from `row` on.
    unsafe fn patches(
        &self,
        input: *const f32,
        row: usize,
        rows: usize,
        patches: *mut f32,
        packed: *mut f32,
    ) {
        let tiles = &self.tiles;
        let room = tiles.layout.channel_len();
        for first in (0..tiles.input.c).step_by(PACKED) {
            let channels = first..(first + PACKED).min(tiles.input.c);
            // SAFETY: each channel's plane, some packed channels, and each channel's place in each number's
            // patches.
            unsafe {
                let planes = input.add(first * tiles.input.plane());
                (self.pack)(&tiles.layout, channels.len(), planes, row, packed);
                for channel in channels {
                    let packed = packed.add((channel - first) * room);
                    let out = patches.add(channel * tiles.row());
                    (self.transforms.patches)(
                        packed,
                        &self.taps,
                        rows * tiles.width,
                        out,
                        tiles.patches_len(),
                    );
                }
            }
        }
    }

    /// The sums of U * V over the input channels, of the part's output channels.
    unsafe fn products(&self, part: &Part, rows: usize, patches: *const f32, products: *mut f32) {
        let (tiles, count) = (&self.tiles, rows * self.tiles.width);
        for number in 0..NUMBERS {
            for first in (0..count).step_by(tiles.kernel.pixels()) {
                for group in part.groups.clone() {
                    let (weight, bias, channels) = self.weight.group(number * tiles.groups() + group);
                    // SAFETY: the group's channels have their place in this number's products; the taps lie in
                    // its patches.
                    unsafe {
                        let tile = Tile {
                            weight: weight.as_ptr(),
                            x: patches.add(number * tiles.patches_len() + first),
                            offsets: self.offsets.as_ptr(),
                            k: self.weight.k,
                            bias: bias.as_ptr(),
                            out: products
                                .add(number * tiles.products_len() + group * channels * tiles.row() + first),
                            out_stride: tiles.row(),
                            channels,
                            pixels: tiles.kernel.pixels().min(count - first),
                            relu: false,
                        };
                        tiles.kernel.run(&tile);
                    }
                }
            }
        }
    }

    /// The pixels of the part's output channels in `rows` rows of tiles from `row` on.
    unsafe fn pixels(
        &self,
        part: &Part,
        row: usize,
        rows: usize,
        products: *const f32,
        output: *mut f32,
        pixels: *mut f32,
    ) {
        let tiles = &self.tiles;
        let size = tiles.kernel.channels;
        let channels = part.groups.start * size..(part.groups.end * size).min(tiles.output.c);
        for channel in channels {
            // SAFETY: the channel's products and its plane; the output rows of these tiles, which end where
            // the plane does.
            unsafe {
                let call = transforms::Pixels {
                    products: products.add(channel * tiles.row()),
                    stride: tiles.products_len(),
                    width: tiles.width,
                    rows,
                    out: output.add(channel * tiles.output.plane() + 2 * row * tiles.output.w),
                    out_width: tiles.output.w,
                    out_rows: (tiles.output.h - 2 * row).min(2 * rows),
                    relu: self.relu,
                    tiles: pixels,
                    tiles_stride: tiles.row(),
                };
                (self.transforms.pixels)(&call);
            }
        }
    }
}
