//! Division of a convolution into tiles: one block for each tile, or for each tile and group of slices.

use super::abi::{
    ConvRow, Divisor, Mode, SLICE, SMALL_CHANNELS, SMALL_WEIGHTS, STAGES, THREADS, TILED_CHANNELS,
    TILED_READS_VECTORS, TILED_TWO_QUADS,
};
use super::conv2d::Conv;
use super::cut::{Cut, CutKind, Limits, Needs};
use super::variant::Tiling;

const LANES: usize = THREADS as usize;
/// Blocks that a multiprocessor has room for: the kernel's launch bounds.
const RESIDENT: usize = 2;
/// Floats of the description of a unit of pixels, `Source` in `kernels/conv2d_tiled.cu`.
const SOURCE: usize = 4;
/// Bytes of shared memory that a block takes apart from what it uses.
const RESERVED_SHARED: usize = 2048;

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
    /// Estimated cycles of a multiprocessor for a block: half of its duration beside another.
    cycles: usize,
}

impl Tiles {
    fn blocks(&self) -> usize {
        self.tiles * self.groups
    }

    /// Estimated cycles until the last block ends: those of an even schedule, and half of a block's duration, since the
    /// blocks of the level's other jobs fill a part of the gaps at the end.
    fn time(&self, limits: &Limits) -> usize {
        self.blocks() * self.cycles / limits.multiprocessors.max(1) + self.cycles
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
    /// Estimated cycles of a block apart from its loads and sums, and more where several blocks share a tile.
    const CYCLES: usize = 1500;
    const SHARED_TILE_CYCLES: usize = 1300;
    /// Bytes of shared memory of a block that leave room for others.
    const MOST_SHARED: usize = 56 << 10;
    let (pixels, channels) = (conv.pixels as usize, conv.out_c as usize);
    let groups = groups(conv);
    let lanes = LANES / conv.group as usize;
    // Shapes of one number of channels and a fraction of the threads; at least two lanes along the pixels.
    let all = 1..=(lanes / 2).min(channels.div_ceil(SMALL_CHANNELS));
    let shapes = all.flat_map(|channel_lanes| {
        let most = lanes / channel_lanes;
        [most, most / 2, most / 4, most / 8].map(|pixel_lanes| (channel_lanes, pixel_lanes))
    });
    // Of the weights and the slices' sums.
    let shared = |channel_lanes: usize, pixel_lanes: usize| {
        let columns = channel_lanes * pixel_lanes;
        let sums = conv.group as usize * (SMALL_CHANNELS * columns + 32);
        size_of::<f32>() * (conv.group as usize * channel_lanes * SMALL_WEIGHTS + sums)
    };
    shapes
        .filter(|&(channel_lanes, pixel_lanes)| {
            pixel_lanes >= 2 && shared(channel_lanes, pixel_lanes) <= MOST_SHARED
        })
        .map(|(channel_lanes, pixel_lanes)| {
            let group = conv.group as usize;
            let warps = (group * channel_lanes * pixel_lanes).div_ceil(32);
            let weights = group * SLICE * (1 + channel_lanes / 4);
            let values = warps * SLICE * (1 + 32usize.div_ceil(pixel_lanes));
            let cycles = CYCLES + weights + values + 50 * warps;
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
                shared: shared(channel_lanes, pixel_lanes),
                cycles: cycles + if groups > 1 { SHARED_TILE_CYCLES } else { 0 },
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
            for blocks in [1, groups(conv)] {
                let shared = |pixel_lanes: usize| large_shared(conv, lanes, quads, pixel_lanes, blocks);
                let most = (LANES / lanes).min(MOST_PIXEL_LANES);
                let room = limits.shared / RESIDENT - RESERVED_SHARED;
                let Some(most) = (1..=most).rev().find(|&n| shared(n) <= room) else { continue };
                all.push(large_tile(conv, lanes, quads, most, blocks, shared(most)));
            }
        }
    }
    all
}

/// Bytes of shared memory of a large tile: stages of inputs and weights, and the sums of its groups.
fn large_shared(conv: &ConvRow, lanes: usize, quads: usize, pixel_lanes: usize, blocks: usize) -> usize {
    let quad = 4 * (conv.in_c as usize).min(SLICE).next_multiple_of(4) + 4;
    let stages = STAGES * quad * (quads * pixel_lanes + lanes);
    let sources = SOURCE * units(conv, quads, pixel_lanes);
    let sums = if groups(conv) > blocks { large_results(quads) } else { 0 };
    size_of::<f32>() * (stages + sources + sums)
}

/// Units of pixels of a large tile that are copied at once.
fn units(conv: &ConvRow, quads: usize, pixel_lanes: usize) -> usize {
    quads * pixel_lanes * if conv.tiled & TILED_READS_VECTORS == 0 { 4 } else { 1 }
}

/// Results of a large tile, those of idle threads included.
fn large_results(quads: usize) -> usize {
    4 * quads * TILED_CHANNELS * LANES
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
    const CYCLES: usize = 2500;
    let tile_pixels = 4 * quads * pixel_lanes;
    let across = (conv.out_c as usize).div_ceil(TILED_CHANNELS * lanes);
    let row = ConvRow {
        pixel_lanes: pixel_lanes as u32,
        channel_lanes: lanes as u32,
        by_channel_lanes: by_lanes(lanes),
        tiled: conv.tiled | if quads == 2 { TILED_TWO_QUADS } else { 0 },
        by_groups: Divisor::new(groups),
        by_across: Divisor::new(across),
        by_units: Divisor::new(units(conv, quads, pixel_lanes)),
        ..*conv
    };
    // Of a whole slice, as the machine code's emulation shows them; a part does not depend on the slice's channels.
    let slice = if quads == 2 { 1500 + 3 * tile_pixels / 2 } else { 950 + tile_pixels };
    let share = 48 + 13 * conv.in_c as usize / conv.by_chunks.divisor as usize;
    let slices = (conv.slices as usize).min(if groups > 1 { conv.group as usize } else { usize::MAX });
    let cycles = CYCLES + slices * slice * share / 256;
    let tiles = (conv.pixels as usize).div_ceil(tile_pixels) * across;
    Tiles { row, mode: Mode::ConvTiled, groups, tiles, results: large_results(quads), shared, cycles }
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;

    use super::*;
    use crate::engine::cuda::abi::MAX_GROUP;
    use crate::engine::cuda::conv2d::{Extra, Place};
    use crate::engine::plan::Space;

    fn conv(positions: usize, channels: usize, in_c: usize, taps: usize, vectors: u32) -> Conv {
        let chunks = in_c.div_ceil(16);
        let slices = taps * chunks;
        let row = ConvRow {
            in_c: in_c as i32,
            out_c: channels as i32,
            slices: slices as u32,
            group: slices.div_ceil(slices.div_ceil(MAX_GROUP).max(1)).max(1) as u32,
            tiled: vectors,
            by_positions: Divisor::new(positions),
            by_chunks: Divisor::new(chunks),
            ..ConvRow::zeroed()
        };
        let place = Place { space: Space::Work, offset: 0 };
        Conv { row, input: place, out: place, weight: 0, extra: Extra::Nothing }
    }

    #[test]
    fn every_division_has_room_for_its_threads_copies_and_results() {
        let limits = Limits { multiprocessors: 132, shared: 226 << 10 };
        for tiling in [Tiling::Auto, Tiling::Small, Tiling::Large] {
            for (positions, channels) in [(1, 1), (4, 128), (64, 12), (1024, 6), (1020, 2048), (50176, 3)] {
                for (in_c, taps) in [(1, 0), (1, 1), (6, 9), (38, 1), (300, 9), (2048, 49)] {
                    for (images, vectors) in [(1, 0), (3, 0), (256, TILED_READS_VECTORS)] {
                        let mut needs = Needs::default();
                        let of = conv(positions, channels, in_c, taps, vectors);
                        let cut = cut(&of, images, tiling, &limits, &mut needs);
                        let CutKind::Conv { conv, mode, .. } = cut.kind else { panic!("not a convolution") };
                        let (row, case) = (conv.row, (tiling, positions, channels, in_c, taps, images));
                        let lanes = row.pixel_lanes * row.channel_lanes;
                        let groups = row.slices.div_ceil(row.group).max(1);
                        let (channels_of_tile, pixels_of_tile) = match mode {
                            Mode::ConvSmall => {
                                assert!(
                                    lanes * row.group <= 256 && row.by_groups.divisor == groups,
                                    "{case:?}"
                                );
                                (8 * row.channel_lanes, row.pixel_lanes)
                            }
                            _ => {
                                let quads = if row.tiled & TILED_TWO_QUADS != 0 { 2 } else { 1 };
                                let width = if vectors == 0 { 1 } else { 4 };
                                let pixels = 4 * quads * row.pixel_lanes;
                                assert_eq!(row.by_units.divisor * width, pixels, "{case:?}");
                                assert!(lanes <= 256, "{case:?}");
                                assert!(
                                    row.channel_lanes <= 16 && [1, groups].contains(&row.by_groups.divisor)
                                );
                                (4 * row.channel_lanes, pixels)
                            }
                        };
                        let across = row.by_across.divisor;
                        let tiles = (row.pixels.div_ceil(pixels_of_tile) * across) as usize;
                        assert!(
                            across * channels_of_tile >= channels as u32,
                            "{case:?}: every channel has a tile"
                        );
                        assert_eq!(cut.blocks, tiles * row.by_groups.divisor as usize, "{case:?}");
                        assert!(cut.shared <= limits.shared, "{case:?}: {} bytes", cut.shared);
                        assert_eq!(
                            needs.counters,
                            if row.by_groups.divisor > 1 { tiles } else { 0 },
                            "{case:?}"
                        );
                        let results = (channels_of_tile * pixels_of_tile) as usize;
                        assert!(
                            needs.scratch >= if needs.counters > 0 { cut.blocks * results } else { 0 },
                            "{case:?}"
                        );
                    }
                }
            }
        }
    }
}
