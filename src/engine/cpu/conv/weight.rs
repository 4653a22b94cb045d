//! Weights in the order in which the micro-kernel reads them.

use std::ops::Range;
use std::sync::Arc;

use crate::engine::cpu::aligned::{Arena, Numbers};
use crate::engine::cpu::gemm;
use crate::engine::cpu::gemm::{TileKernel, Transposed};
use crate::engine::cpu::simd::Isa;

/// Weights in groups of the kernel's M output channels: for each group, (k, M) numbers, with
/// zeros where the last group has fewer channels.
pub(in crate::engine::cpu) struct PackedWeight {
    /// (groups, k, M).
    weight: Numbers,
    /// (groups, M).
    bias: Numbers,
    /// Terms of each sum.
    pub(in crate::engine::cpu) k: usize,
    /// Output channels.
    pub(in crate::engine::cpu) channels: usize,
    group: usize,
}

impl PackedWeight {
    /// Packs `channels` x `k` weights, given by `at(channel, k)`.
    pub(super) fn new(
        arena: &mut Arena,
        kernel: &TileKernel,
        channels: usize,
        k: usize,
        at: impl Fn(usize, usize) -> f32,
        bias: Option<&[f32]>,
    ) -> Self {
        let group = kernel.channels;
        let padded = channels.next_multiple_of(group);
        let weight = arena.numbers(padded * k, |packed| {
            for channel in 0..channels {
                let start = channel / group * group * k + channel % group;
                for i in 0..k {
                    packed[start + i * group] = at(channel, i);
                }
            }
        });
        let given = bias.unwrap_or(&[]);
        let bias = arena.numbers(padded, |padded| padded[..given.len()].copy_from_slice(given));
        PackedWeight { weight, bias, k, channels, group }
    }

    /// `channels` x `k` weights, given by `at(channel, k)`, packed for their transposed product alone.
    pub(in crate::engine::cpu) fn for_transposed(
        arena: &mut Arena,
        isa: Isa,
        channels: usize,
        k: usize,
        at: impl Fn(usize, usize) -> f32,
    ) -> Arc<PackedWeight> {
        Arc::new(PackedWeight::new(arena, gemm::transposable(isa), channels, k, at, None))
    }

    /// Whether [`PackedWeight::transposed`] can read it: groups are whole vectors.
    pub(in crate::engine::cpu) fn is_transposable(&self, isa: Isa) -> bool {
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
            &self.weight[first * self.k..][..self.group * self.k],
            &self.bias[first..][..self.group],
            self.group.min(self.channels - first),
        )
    }

    /// The transposed product with these weights; see [`Transposed`].
    pub(in crate::engine::cpu) fn transposed(
        &self,
        terms: usize,
        units: Range<usize>,
        right: *const f32,
        out: *mut f32,
    ) -> Transposed {
        Transposed {
            weight: self.weight.as_ptr(),
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
    pub(in crate::engine::cpu) fn padded_channels(&self) -> usize {
        self.groups() * self.group
    }

    /// Output channels of a group.
    pub(super) fn group_channels(&self) -> usize {
        self.group
    }
}

/// What it costs to bring `weights` weights from memory, in quarters of a cycle.
pub(super) fn weight_cost(weights: usize) -> usize {
    weights * 3 / 2
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
