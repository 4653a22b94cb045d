//! Division of a convolution into tiles: one block for each tile, or for each tile and group of slices.

use super::abi::{
    ConvRow, Divisor, Mode, QUAD, SMALL_CHANNELS, SMALL_SUMS, STAGES, THREADS, TILED_CHANNELS,
    TILED_READS_VECTORS, TILED_TWO_QUADS,
};
use super::cut::{Cut, CutKind, Limits, Needs};
use super::lower::Conv;
use super::variant::Tiling;

const LANES: usize = THREADS as usize;

/// A division, and its cost.
struct Tiles {
    row: ConvRow,
    mode: Mode,
    /// Blocks that share a tile: one, or one for each group of slices.
    groups: usize,
    tiles: usize,
    /// Partial sums of a tile and group.
    results: usize,
    /// Bytes of shared memory.
    shared: usize,
    /// Estimated cycles of a block.
    cycles: usize,
}

impl Tiles {
    fn blocks(&self) -> usize {
        self.tiles * self.groups
    }

    /// Estimated cycles until the last block ends: those of an even schedule, and a part of a block's, since the
    /// blocks of the level's other jobs fill most of the gaps at the end.
    fn time(&self, limits: &Limits) -> usize {
        self.blocks() * self.cycles / limits.multiprocessors.max(1) + self.cycles / 4
    }
}

/// The division of `conv` for `images` images that is estimated to be the fastest. The results' bits do not
/// depend on it.
pub(super) fn cut(conv: &Conv, images: usize, tiling: Tiling, limits: &Limits, needs: &mut Needs) -> Cut {
    let row = ConvRow { pixels: (images as u32) * conv.row.by_positions.divisor, ..conv.row };
    let small = (tiling != Tiling::Large).then(|| small_tiles(&row)).into_iter().flatten();
    let large = (tiling != Tiling::Small).then(|| large_tiles(&row, limits)).into_iter().flatten();
    let best = small.chain(large).min_by_key(|tiles| tiles.time(limits));
    let tiles = best.expect("a GPU has shared memory for the smallest large tile");
    let (scratch, counter) = (needs.scratch, needs.counters);
    if tiles.groups > 1 {
        needs.scratch += tiles.blocks() * tiles.results;
        needs.counters += tiles.tiles;
    }
    let kind = CutKind::Conv {
        conv: Box::new(Conv { row: tiles.row, ..*conv }),
        mode: tiles.mode,
        scratch,
        counter,
    };
    Cut { kind, blocks: tiles.blocks(), shared: tiles.shared, cycles: tiles.cycles }
}

/// Groups of slices of a sum, at least one.
fn groups(conv: &ConvRow) -> usize {
    conv.slices.div_ceil(conv.group).max(1) as usize
}

/// 2^16 / `lanes`, rounded up: what the kernels divide a thread's index by.
fn by_lanes(lanes: usize) -> u32 {
    (1_u32 << 16).div_ceil(lanes as u32)
}

/// Small tiles (`kernels/conv2d_small.cu`) in every shape.
fn small_tiles(conv: &ConvRow) -> Vec<Tiles> {
    /// Estimated cycles of a block, and more where several blocks share a tile.
    const CYCLES: usize = 2900;
    const SHARED_TILE_CYCLES: usize = 1300;
    let (pixels, channels) = (conv.pixels as usize, conv.out_c as usize);
    let groups = groups(conv);
    let lanes = LANES / conv.group as usize;
    let shapes = 1..=lanes.min(channels.div_ceil(SMALL_CHANNELS));
    shapes
        .map(|channel_lanes| {
            let pixel_lanes = lanes / channel_lanes;
            let across = channels.div_ceil(SMALL_CHANNELS * channel_lanes);
            let row = ConvRow {
                pixel_lanes: pixel_lanes as u32,
                by_pixel_lanes: by_lanes(pixel_lanes),
                channel_lanes: channel_lanes as u32,
                by_channel_lanes: by_lanes(channel_lanes),
                by_groups: Divisor::new(groups),
                by_across: Divisor::new(across),
                ..*conv
            };
            Tiles {
                row,
                mode: Mode::ConvSmall,
                groups,
                tiles: pixels.div_ceil(pixel_lanes) * across,
                results: SMALL_CHANNELS * pixel_lanes * channel_lanes,
                shared: size_of::<f32>() * SMALL_SUMS,
                cycles: CYCLES + if groups > 1 { SHARED_TILE_CYCLES } else { 0 },
            }
        })
        .collect()
}

/// Large tiles (`kernels/conv2d_tiled.cu`) in all shapes worth considering.
fn large_tiles(conv: &ConvRow, limits: &Limits) -> Vec<Tiles> {
    const MOST_LANES: usize = 16;
    const MOST_PIXEL_LANES: usize = 128;
    let lanes = (conv.out_c as usize).div_ceil(TILED_CHANNELS);
    let across = lanes.div_ceil(MOST_LANES);
    let wide = lanes.div_ceil(across);
    let mut all = Vec::new();
    for lanes in [wide, wide.div_ceil(2)] {
        for quads in [2, 1] {
            let shared =
                |pixel_lanes: usize| size_of::<f32>() * STAGES * QUAD * (quads * pixel_lanes + lanes);
            let most = (LANES / lanes).min(MOST_PIXEL_LANES);
            let Some(most) = (1..=most).rev().find(|&n| shared(n) <= limits.shared) else { continue };
            for groups in [1, groups(conv)] {
                all.push(large_tile(conv, lanes, quads, most, groups, shared(most)));
            }
        }
    }
    all
}

fn large_tile(
    conv: &ConvRow,
    lanes: usize,
    quads: usize,
    pixel_lanes: usize,
    groups: usize,
    shared: usize,
) -> Tiles {
    /// Estimated cycles of a block apart from its slices.
    const CYCLES: usize = 3500;
    let vectors = conv.tiled & TILED_READS_VECTORS != 0;
    let tile_pixels = 4 * quads * pixel_lanes;
    let across = (conv.out_c as usize).div_ceil(TILED_CHANNELS * lanes);
    let row = ConvRow {
        pixel_lanes: pixel_lanes as u32,
        channel_lanes: lanes as u32,
        by_channel_lanes: by_lanes(lanes),
        tiled: conv.tiled | if quads == 2 { TILED_TWO_QUADS } else { 0 },
        by_groups: Divisor::new(groups),
        by_across: Divisor::new(across),
        by_units: Divisor::new(if vectors { tile_pixels / 4 } else { tile_pixels }),
        ..*conv
    };
    // Of a slice, as the machine code's emulation shows them, whatever the lanes.
    let slice = if quads == 2 { 2300 + 3 * tile_pixels / 2 } else { 1650 + tile_pixels / 2 };
    // The sums are over whole quarters of a slice.
    let quarters = (conv.in_c as usize).div_ceil(4);
    let share = (6 + 10 * quarters / (4 * conv.by_chunks.divisor as usize)).min(16);
    let slices = (conv.slices as usize).min(if groups > 1 { conv.group as usize } else { usize::MAX });
    let cycles = CYCLES + slices * slice * share / 16;
    let tiles = (conv.pixels as usize).div_ceil(tile_pixels) * across;
    let results = 4 * quads * TILED_CHANNELS * LANES;
    Tiles { row, mode: Mode::ConvTiled, groups, tiles, results, shared, cycles }
}
