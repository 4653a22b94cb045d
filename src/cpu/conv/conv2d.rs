//! Forward convolution. 1x1 windows read the input where it is; others through packed bands.

use std::sync::Arc;

use super::pack::{self, Layout, PackKernel};
use super::weight::{PackedWeight, choose_kernel};
use super::{Part, cut};
use crate::Shape;
use crate::cpu::gemm::{self, OVERREAD, Tile, TileKernel};
use crate::cpu::simd::Isa;
use crate::graph::ops::Conv2d;

/// Packed bands are kept below this many numbers, so that they stay in the second-level cache.
const BAND_LEN: usize = 128 * 1024;

/// A convolution with its weights packed for one kind of CPU.
pub(in super::super) struct PackedConv2d {
    weight: Arc<PackedWeight>,
    kernel: TileKernel,
    offsets: Vec<u32>,
    bands: Option<(Layout, PackKernel)>,
    output: Shape,
    relu: bool,
    whole: Part,
}

impl PackedConv2d {
    /// Packs `op`, which reads `input` and writes `output`.
    pub(in super::super) fn new(
        isa: Isa,
        op: &Conv2d,
        [input, output]: [Shape; 2],
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Self {
        let kernel =
            choose_kernel(gemm::kernels(isa), op.channels * op.window.area(), op.out, output.plane());
        let k = op.channels * op.window.area();
        let weight = Arc::new(PackedWeight::new(&kernel, op.out, k, |o, i| weight[o * k + i], bias));
        let (offsets, bands) = if op.window.is_pointwise() {
            ((0..k).map(|i| (i * input.plane()) as u32).collect(), None)
        } else {
            let least = kernel.pixels().div_ceil(output.w).min(output.h);
            let fits = |&band: &usize| Layout::new(isa, op.window, input, output.w, band).len() <= BAND_LEN;
            let most = (least..=output.h).rev().find(fits).unwrap_or(least);
            let band = output.h.div_ceil(output.h.div_ceil(most));
            let layout = Layout::new(isa, op.window, input, output.w, band);
            (layout.offsets(), Some((layout, pack::kernel(isa))))
        };
        let whole = Part { groups: 0..weight.groups(), pixels: 0..output.plane() };
        PackedConv2d { weight, kernel, offsets, bands, output, relu: op.relu, whole }
    }

    /// The packed weight, to be shared with the gradient.
    pub(in super::super) fn weight(&self) -> &Arc<PackedWeight> {
        &self.weight
    }

    /// The one part that is everything.
    pub(in super::super) fn whole(&self) -> &Part {
        &self.whole
    }

    /// Scratch numbers that [`PackedConv2d::run`] needs.
    pub(in super::super) fn scratch_len(&self) -> usize {
        self.bands.as_ref().map_or(0, |(layout, _)| layout.len() + OVERREAD)
    }

    /// At most `parts` parts that make up the whole: some pixels of all channels or all pixels
    /// of some channels, whichever has the shorter longest part.
    pub(in super::super) fn parts(&self, parts: usize) -> Vec<Part> {
        let Part { groups, pixels } = self.whole.clone();
        let step = if self.bands.is_some() { self.output.w } else { self.kernel.step };
        let by_pixels = cut(pixels.len(), step, parts).into_iter();
        let by_pixels: Vec<Part> = by_pixels.map(|pixels| Part { groups: groups.clone(), pixels }).collect();
        let by_groups = cut(groups.len(), 1, parts).into_iter();
        let by_groups: Vec<Part> = by_groups.map(|groups| Part { groups, pixels: pixels.clone() }).collect();
        let longest = |parts: &[Part]| parts.iter().map(|part| self.cost(part)).max();
        if longest(&by_groups) < longest(&by_pixels) { by_groups } else { by_pixels }
    }

    /// What a part costs, in quarters of a cycle.
    fn cost(&self, part: &Part) -> usize {
        let rows = part.pixels.len().div_ceil(self.output.w);
        let packing = self.bands.as_ref().map_or(0, |(layout, _)| layout.cost(rows));
        packing + self.kernel.cost(self.weight.k, part.groups.len(), part.pixels.len())
    }

    /// Computes one part for one image.
    ///
    /// # Safety
    /// `input` and `output` are the step's slots, with [`OVERREAD`] readable numbers around the
    /// input; `scratch` has `scratch_len()` numbers; nobody else writes the part.
    pub(in super::super) unsafe fn run(
        &self,
        part: &Part,
        input: *const f32,
        output: *mut f32,
        scratch: *mut f32,
    ) {
        let Some((layout, pack)) = &self.bands else {
            // SAFETY: every pixel of every channel lies in the input.
            unsafe { self.tiles(part, input.add(part.pixels.start), output) };
            return;
        };
        let width = self.output.w;
        let (first, end) = (part.pixels.start / width, part.pixels.end / width);
        for row in (first..end).step_by(layout.band()) {
            let rows = row..(row + layout.band()).min(end);
            let band = Part { groups: part.groups.clone(), pixels: rows.start * width..rows.end * width };
            // SAFETY: the scratch holds a packed band.
            unsafe {
                pack(layout, input, row, scratch);
                self.tiles(&band, scratch, output);
            }
        }
    }

    /// Computes `part`, whose first pixel is at `x`.
    unsafe fn tiles(&self, part: &Part, x: *const f32, output: *mut f32) {
        let plane = self.output.plane();
        for first in part.pixels.clone().step_by(self.kernel.pixels()) {
            for group in part.groups.clone() {
                let (weight, bias, channels) = self.weight.group(group);
                // SAFETY: the tile's channels and pixels lie in the output, its taps in the input.
                unsafe {
                    let tile = Tile {
                        weight: weight.as_ptr(),
                        x: x.add(first - part.pixels.start),
                        offsets: self.offsets.as_ptr(),
                        k: self.weight.k,
                        bias: bias.as_ptr(),
                        out: output.add(group * self.weight.group_channels() * plane + first),
                        out_stride: plane,
                        channels,
                        pixels: self.kernel.pixels().min(part.pixels.end - first),
                        relu: self.relu,
                    };
                    self.kernel.run(&tile);
                }
            }
        }
    }
}
