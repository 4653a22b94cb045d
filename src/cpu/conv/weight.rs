//! Weights in the order in which the micro-kernel reads them.

use std::ops::Range;
use std::sync::Arc;

use crate::cpu::gemm::{self, TileKernel, Transposed};
use crate::cpu::memory::wish_for_huge_pages;
use crate::cpu::simd::Isa;

/// Numbers in a cache line.
const LINE: usize = 16;

/// Weights in groups of the kernel's M output channels: for each group, (k, M) numbers, with
/// zeros where the last group has fewer channels.
pub(in super::super) struct PackedWeight {
    /// (groups, k, M) from number `start`.
    weight: Vec<f32>,
    /// Where the first cache line begins: vectors that lie across two lines take twice as long to load.
    start: usize,
    /// (groups, M).
    bias: Vec<f32>,
    /// Terms of each sum.
    pub(in super::super) k: usize,
    /// Output channels.
    pub(in super::super) channels: usize,
    group: usize,
}

impl PackedWeight {
    /// Packs `channels` x `k` weights, given by `at(channel, k)`.
    pub(super) fn new(
        kernel: &TileKernel,
        channels: usize,
        k: usize,
        at: impl Fn(usize, usize) -> f32,
        bias: Option<&[f32]>,
    ) -> Self {
        let group = kernel.channels;
        let padded = channels.next_multiple_of(group);
        let mut weight = vec![0.0; padded * k + LINE];
        wish_for_huge_pages(&mut weight);
        let first = weight.as_ptr().align_offset(4 * LINE);
        let packed = &mut weight[first..];
        for channel in 0..channels {
            let start = channel / group * group * k + channel % group;
            for i in 0..k {
                packed[start + i * group] = at(channel, i);
            }
        }
        let mut padded_bias = bias.map_or(Vec::new(), <[f32]>::to_vec);
        padded_bias.resize(padded, 0.0);
        PackedWeight { weight, start: first, bias: padded_bias, k, channels, group }
    }

    /// `channels` x `k` weights, given by `at(channel, k)`, packed for their transposed product alone.
    pub(in super::super) fn for_transposed(
        isa: Isa,
        channels: usize,
        k: usize,
        at: impl Fn(usize, usize) -> f32,
    ) -> Arc<PackedWeight> {
        Arc::new(PackedWeight::new(gemm::transposable(isa), channels, k, at, None))
    }

    /// Whether [`PackedWeight::transposed`] can read it: groups are whole vectors.
    pub(in super::super) fn is_transposable(&self, isa: Isa) -> bool {
        self.group.is_multiple_of(isa.lanes())
    }

    /// Number of groups.
    pub(super) fn groups(&self) -> usize {
        self.channels.div_ceil(self.group)
    }

    /// Weights, bias and number of real channels of one group.
    pub(super) fn group(&self, group: usize) -> (&[f32], &[f32], usize) {
        let first = group * self.group;
        (
            &self.weight[self.start + first * self.k..][..self.group * self.k],
            &self.bias[first..][..self.group],
            self.group.min(self.channels - first),
        )
    }

    /// The transposed product with these weights; see [`Transposed`].
    pub(in super::super) fn transposed(
        &self,
        terms: usize,
        units: Range<usize>,
        right: *const f32,
        out: *mut f32,
    ) -> Transposed {
        Transposed {
            weight: self.weight[self.start..].as_ptr(),
            groups: self.groups(),
            group_len: self.group * self.k,
            group_channels: self.group,
            terms,
            first: units.start,
            end: units.end,
            right,
            out,
        }
    }

    /// Output channels with those that fill the last group.
    pub(in super::super) fn padded_channels(&self) -> usize {
        self.groups() * self.group
    }

    /// Output channels of a group.
    pub(super) fn group_channels(&self) -> usize {
        self.group
    }
}

/// The kernel that is done first with `channels` output channels of `pixels` pixels; padding
/// counts as work.
pub(super) fn choose_kernel(
    kernels: &'static [TileKernel],
    k: usize,
    channels: usize,
    pixels: usize,
) -> TileKernel {
    let cost = |kernel: &&TileKernel| kernel.cost(k, channels.div_ceil(kernel.channels), pixels);
    *kernels.iter().min_by_key(cost).expect("every kind of CPU has a kernel")
}
