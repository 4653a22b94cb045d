//! Weights of a plan in the order in which the kernels read them, in one array.

use crate::engine::graph::Param;
use crate::engine::graph::ops::{BatchNorm, Conv2d, Conv2dGrad};

use super::abi::SMALL_CHANNELS;
use super::error::unsupported;
use crate::Result;

/// Floats to a multiple of which each part of the array is aligned: 64 bytes.
const ALIGNMENT: usize = 16;

/// The array while it is built.
#[derive(Default)]
pub(super) struct Weights {
    pub(super) elements: Vec<f32>,
}

/// Floats of a packed row of `channels` channels.
pub(super) fn row_length(channels: usize) -> usize {
    channels.next_multiple_of(SMALL_CHANNELS)
}

/// The window taps of one axis that a packed convolution keeps: `first`, `first + step`, ...
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taps {
    pub(super) first: usize,
    pub(super) step: usize,
    pub(super) count: usize,
}

impl Taps {
    /// All taps of an axis of `count`.
    fn all(count: usize) -> Taps {
        Taps { first: 0, step: 1, count }
    }

    /// The tap indices.
    fn indices(self) -> impl Iterator<Item = usize> {
        (0..self.count).map(move |i| self.first + i * self.step)
    }
}

impl Weights {
    /// Appends `elements` and returns the offset of the first.
    ///
    /// # Errors
    /// Here and below, when the kernels cannot hold the offset.
    pub(super) fn add(&mut self, elements: impl IntoIterator<Item = f32>) -> Result<u32> {
        self.elements.resize(self.elements.len().next_multiple_of(ALIGNMENT), 0.0);
        let start = u32::try_from(self.elements.len());
        self.elements.extend(elements);
        start.map_err(|_| unsupported("the weights have more than 2^32 elements".into()))
    }

    /// Appends the weight of a convolution: for each tap and input channel a row of output channels.
    pub(super) fn add_conv2d(&mut self, op: &Conv2d, weight: &[f32]) -> Result<u32> {
        let [rows, columns] = op.window.kernel;
        let at =
            |o: usize, i: usize, u: usize, v: usize| weight[((o * op.channels + i) * rows + u) * columns + v];
        self.add_rows([Taps::all(rows), Taps::all(columns)], op.channels, op.out, |u, v, i, o| at(o, i, u, v))
    }

    /// Appends the weight of a convolution's input gradient, restricted to `taps`: for each of them and each
    /// gradient channel a row of input channels.
    pub(super) fn add_conv2d_grad(
        &mut self,
        op: &Conv2dGrad,
        weight: &[f32],
        taps: [Taps; 2],
    ) -> Result<u32> {
        let [rows, columns] = op.window.kernel;
        let at =
            |o: usize, i: usize, u: usize, v: usize| weight[((o * op.input.c + i) * rows + u) * columns + v];
        self.add_rows(taps, op.out, op.input.c, |u, v, o, i| at(o, i, u, v))
    }

    /// Appends, for each tap and term, a padded row of `channels` channels, given by
    /// `at(row tap, column tap, term, channel)`.
    fn add_rows(
        &mut self,
        [rows, columns]: [Taps; 2],
        terms: usize,
        channels: usize,
        at: impl Fn(usize, usize, usize, usize) -> f32,
    ) -> Result<u32> {
        let start = self.add([])?;
        let padding = row_length(channels) - channels;
        for u in rows.indices() {
            for v in columns.indices() {
                for term in 0..terms {
                    self.elements.extend((0..channels).map(|channel| at(u, v, term, channel)));
                    self.elements.extend(std::iter::repeat_n(0.0, padding));
                }
            }
        }
        Ok(start)
    }

    /// Appends scale and shift of each channel; returns the offset of the scales and that of the shifts.
    pub(super) fn add_batch_norm(
        &mut self,
        op: &BatchNorm,
        params: &[Param],
        gradient: bool,
    ) -> Result<(u32, u32)> {
        let affine = op.affine(params);
        let scale = self.add(affine.iter().map(|&(scale, _)| scale as f32))?;
        let shift = self.add(affine.iter().map(|&(_, shift)| if gradient { 0.0 } else { shift as f32 }))?;
        Ok((scale, shift))
    }
}
