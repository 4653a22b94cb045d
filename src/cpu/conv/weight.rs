//! Weights in the order in which the micro-kernel reads them.

use crate::cpu::gemm::TileKernel;

/// Weights in groups of the kernel's M output channels: for each group, (k, M) numbers, with
/// zeros where the last group has fewer channels.
pub(super) struct PackedWeight {
    /// (groups, k, M).
    weight: Vec<f32>,
    /// (groups, M).
    bias: Vec<f32>,
    /// Terms of each sum.
    pub(super) k: usize,
    /// Output channels.
    pub(super) channels: usize,
    group: usize,
}

impl PackedWeight {
    /// Packs `channels` x `k` weights, given by `weight(channel, k)`.
    pub(super) fn new(
        kernel: &TileKernel,
        channels: usize,
        k: usize,
        weight: impl Fn(usize, usize) -> f32,
        bias: Option<&[f32]>,
    ) -> Self {
        let group = kernel.channels;
        let padded = channels.next_multiple_of(group);
        let mut packed = vec![0.0; padded * k];
        for channel in 0..channels {
            let start = channel / group * group * k + channel % group;
            for i in 0..k {
                packed[start + i * group] = weight(channel, i);
            }
        }
        let mut padded_bias = bias.map_or(Vec::new(), <[f32]>::to_vec);
        padded_bias.resize(padded, 0.0);
        PackedWeight { weight: packed, bias: padded_bias, k, channels, group }
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

    /// Output channels of a group.
    pub(super) fn group_channels(&self) -> usize {
        self.group
    }
}

/// The kernel that is done first with `channels` output channels of `pixels` pixels; padding
/// counts as work.
pub(super) fn choose_kernel(kernels: &'static [TileKernel], channels: usize, pixels: usize) -> TileKernel {
    let cost = |k: &&TileKernel| k.cost(channels.div_ceil(k.channels), pixels);
    *kernels.iter().min_by_key(cost).expect("every kind of CPU has a kernel")
}
