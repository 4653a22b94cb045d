//! The weights as the kernels read them, in one array.

use crate::engine::graph::Param;
use crate::engine::graph::ops::{BatchNorm, Conv2d, Conv2dGrad};

use super::abi::CHANNELS;

/// Arrays start at multiples of this many numbers: 64 bytes.
const ALIGNMENT: usize = 16;

/// The array in the making.
#[derive(Default)]
pub(super) struct Weights {
    pub(super) numbers: Vec<f32>,
}

/// Length of a packed row of `channels` numbers.
pub(super) fn row_length(channels: usize) -> usize {
    channels.next_multiple_of(CHANNELS)
}

/// The window taps of one axis that a packed convolution keeps: `first`, `first + step`, ...
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taps {
    pub(super) first: usize,
    pub(super) step: usize,
    pub(super) count: usize,
}

impl Taps {
    /// All `count` of them.
    fn all(count: usize) -> Taps {
        Taps { first: 0, step: 1, count }
    }

    fn each(self) -> impl Iterator<Item = usize> {
        (0..self.count).map(move |i| self.first + i * self.step)
    }
}

impl Weights {
    /// Appends `numbers` and says where they start.
    pub(super) fn add(&mut self, numbers: impl IntoIterator<Item = f32>) -> usize {
        self.numbers.resize(self.numbers.len().next_multiple_of(ALIGNMENT), 0.0);
        let start = self.numbers.len();
        self.numbers.extend(numbers);
        start
    }

    /// A forward convolution: for each tap and input channel a row of output channels.
    pub(super) fn add_conv2d(&mut self, op: &Conv2d, weight: &[f32]) -> usize {
        let [rows, columns] = op.window.kernel;
        let at =
            |o: usize, i: usize, u: usize, v: usize| weight[((o * op.channels + i) * rows + u) * columns + v];
        self.add_rows([Taps::all(rows), Taps::all(columns)], op.channels, op.out, |u, v, i, o| at(o, i, u, v))
    }

    /// A convolution's input gradient, restricted to some taps: for each of them and each gradient
    /// channel a row of input channels.
    pub(super) fn add_conv2d_grad(&mut self, op: &Conv2dGrad, weight: &[f32], taps: [Taps; 2]) -> usize {
        let [rows, columns] = op.window.kernel;
        let at =
            |o: usize, i: usize, u: usize, v: usize| weight[((o * op.input.c + i) * rows + u) * columns + v];
        self.add_rows(taps, op.out, op.input.c, |u, v, o, i| at(o, i, u, v))
    }

    fn add_rows(
        &mut self,
        [rows, columns]: [Taps; 2],
        terms: usize,
        channels: usize,
        at: impl Fn(usize, usize, usize, usize) -> f32,
    ) -> usize {
        let start = self.add([]);
        let padding = row_length(channels) - channels;
        for u in rows.each() {
            for v in columns.each() {
                for term in 0..terms {
                    self.numbers.extend((0..channels).map(|channel| at(u, v, term, channel)));
                    self.numbers.extend(std::iter::repeat_n(0.0, padding));
                }
            }
        }
        start
    }

    /// Scale and shift of each channel: where the scales start, and the shifts.
    pub(super) fn add_batch_norm(
        &mut self,
        op: &BatchNorm,
        params: &[Param],
        gradient: bool,
    ) -> (usize, usize) {
        let affine = op.affine(params);
        let scale = self.add(affine.iter().map(|&(scale, _)| scale as f32));
        let shift = self.add(affine.iter().map(|&(_, shift)| if gradient { 0.0 } else { shift as f32 }));
        (scale, shift)
    }
}
