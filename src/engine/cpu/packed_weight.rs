//! Weights in the order in which a micro-kernel reads them.

use std::ops::Range;

use super::aligned::{PackedSlice, Room};
use super::gemm::TransposedProduct;
use super::simd::Isa;

/// A matrix of weights and a bias, in groups of the micro-kernel's M output channels: for each group
/// (k, M) weights, with zeros where the last group has fewer channels.
pub(crate) struct PackedWeight {
    /// (groups, k, M).
    weight: PackedSlice,
    /// (groups, M).
    bias: PackedSlice,
    /// Terms of each sum.
    pub(crate) k: usize,
    /// Output channels.
    pub(crate) channels: usize,
    /// Output channels of a group, M.
    pub(crate) group_channels: usize,
}

/// A matrix of weights before it is packed.
pub(crate) struct WeightSource<'a, F> {
    /// Output channels.
    pub(crate) channels: usize,
    /// Terms of each sum.
    pub(crate) k: usize,
    /// The weight of (channel, term).
    pub(crate) at: F,
    /// One float a channel; shorter or none where the rest is zero.
    pub(crate) bias: Option<&'a [f32]>,
}

impl PackedWeight {
    /// How many floats weight and bias of `source` take in groups of `group_channels`.
    pub(crate) fn lens<F>(group_channels: usize, source: &WeightSource<F>) -> [usize; 2] {
        let padded = source.channels.next_multiple_of(group_channels);
        [padded * source.k, padded]
    }

    /// Packs `source` in groups of `group_channels` into rooms of [`PackedWeight::lens`].
    pub(crate) fn new<F: Fn(usize, usize) -> f32>(
        [weight, bias]: [Room; 2],
        group_channels: usize,
        source: &WeightSource<F>,
    ) -> Self {
        /// Channels that are read side by side.
        const LANES: usize = 8;
        /// Floats of a group that are written before those after them: they stay in the first cache while all channels
        /// are written.
        const BLOCK: usize = 4096;
        let &WeightSource { channels, k, ref at, bias: given } = source;
        let terms = (BLOCK / group_channels).max(1);
        let weight = weight.write(|packed| {
            let groups = packed.chunks_exact_mut((group_channels * k).max(1));
            for (group, first) in groups.zip((0..channels).step_by(group_channels)) {
                let members = group_channels.min(channels - first);
                for (block, from) in group.chunks_mut(terms * group_channels).zip((0..k).step_by(terms)) {
                    for lane in (0..members).step_by(LANES) {
                        let rows = block.chunks_exact_mut(group_channels).zip(from..k);
                        if members - lane >= LANES {
                            for (row, i) in rows {
                                let lanes = std::array::from_fn::<f32, LANES, _>(|j| at(first + lane + j, i));
                                row[lane..lane + LANES].copy_from_slice(&lanes);
                            }
                        } else {
                            for (row, i) in rows {
                                (lane..members).for_each(|j| row[j] = at(first + j, i));
                            }
                        }
                    }
                }
            }
        });
        let given = given.unwrap_or(&[]);
        let bias = bias.write(|padded| padded[..given.len()].copy_from_slice(given));
        PackedWeight { weight, bias, k, channels, group_channels }
    }

    /// Whether packing `source` in groups of `group_channels` would make the same bits.
    pub(crate) fn is_packed<F: Fn(usize, usize) -> f32>(
        &self,
        group_channels: usize,
        source: &WeightSource<F>,
    ) -> bool {
        let &WeightSource { channels, k, ref at, bias } = source;
        let bias = bias.unwrap_or(&[]);
        (self.channels, self.k, self.group_channels) == (channels, k, group_channels)
            && self.bias[..bias.len()].iter().zip(bias).all(|(a, b)| a.to_bits() == b.to_bits())
            && self.bias[bias.len()..].iter().all(|x| x.to_bits() == 0)
            && (0..channels).all(|channel| {
                let packed = &self.weight[first_of(channel, group_channels, k)..];
                (0..k).all(|i| packed[i * group_channels].to_bits() == at(channel, i).to_bits())
            })
    }

    /// Whether [`PackedWeight::transposed`] can read it: groups are whole vectors.
    pub(crate) fn is_transposable(&self, isa: Isa) -> bool {
        self.group_channels.is_multiple_of(isa.lanes())
    }

    /// How many groups there are.
    pub(crate) fn groups(&self) -> usize {
        self.channels.div_ceil(self.group_channels)
    }

    /// Output channels, those that pad the last group included.
    pub(crate) fn padded_channels(&self) -> usize {
        self.groups() * self.group_channels
    }

    /// Weights, bias and number of real channels of one group.
    pub(crate) fn group(&self, group: usize) -> (&[f32], &[f32], usize) {
        let first = group * self.group_channels;
        (
            &self.weight[first * self.k..][..self.group_channels * self.k],
            &self.bias[first..][..self.group_channels],
            self.group_channels.min(self.channels - first),
        )
    }

    /// The transposed product with these weights; see [`TransposedProduct`].
    pub(crate) fn transposed(
        &self,
        terms: usize,
        units: Range<usize>,
        right: *const f32,
        out: *mut f32,
    ) -> TransposedProduct {
        debug_assert!(
            units.start <= units.end && units.end * terms <= self.k,
            "{units:?} of {terms} of {}",
            self.k
        );
        TransposedProduct {
            weight: self.weight.as_ptr(),
            groups: self.groups(),
            group_len: self.group_channels * self.k,
            group_channels: self.group_channels,
            terms,
            first: units.start,
            end: units.end,
            right,
            out,
        }
    }
}

/// The index of the packed weight of (channel, term 0).
fn first_of(channel: usize, group_channels: usize, k: usize) -> usize {
    channel / group_channels * group_channels * k + channel % group_channels
}
