//! Host arrays: contiguous `f32` in (N, C, H, W) order, and the shape of one image's share.

use std::sync::Arc;

/// Channels, height and width of one image's value; the batch dimension N is not part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Channels.
    pub c: usize,
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
}

impl Shape {
    /// (C, H, W).
    pub const fn new(c: usize, h: usize, w: usize) -> Self {
        Shape { c, h, w }
    }

    /// A vector of `c` values: (C, 1, 1).
    pub const fn vector(c: usize) -> Self {
        Shape { c, h: 1, w: 1 }
    }

    /// Numbers in one image's value: C * H * W.
    pub const fn len(&self) -> usize {
        self.c * self.h * self.w
    }

    /// True when a dimension is zero.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Numbers in one channel: H * W.
    pub const fn plane(&self) -> usize {
        self.h * self.w
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}x{}", self.c, self.h, self.w)
    }
}

/// `len` shared numbers, written by `fill`, which gets zeros: a `Vec` would be copied once more on
/// its way into an `Arc`.
pub(crate) fn filled(len: usize, fill: impl FnOnce(&mut [f32])) -> Arc<[f32]> {
    let mut numbers: Arc<[f32]> = std::iter::repeat_n(0.0, len).collect();
    fill(Arc::get_mut(&mut numbers).expect("nobody else has it yet"));
    numbers
}

/// A batch of values: `n` images of `shape`, contiguous, (N, C, H, W) order.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Images.
    pub n: usize,
    /// Shape of one image's value.
    pub shape: Shape,
    /// `n * shape.len()` numbers.
    pub data: Vec<f32>,
}

impl Tensor {
    /// A batch from its numbers.
    ///
    /// # Panics
    /// When `data` does not hold `n * shape.len()` numbers.
    pub fn new(n: usize, shape: Shape, data: Vec<f32>) -> Self {
        assert_eq!(data.len(), n * shape.len(), "tensor of {n} x {shape}");
        Tensor { n, shape, data }
    }

    /// A batch of zeros.
    pub fn zeros(n: usize, shape: Shape) -> Self {
        Tensor { n, shape, data: vec![0.0; n * shape.len()] }
    }

    /// One image's numbers.
    pub fn image(&self, i: usize) -> &[f32] {
        &self.data[i * self.shape.len()..][..self.shape.len()]
    }
}

/// The index of the largest number, the first where several are equal.
pub(crate) fn argmax(numbers: &[f32]) -> usize {
    let mut best = 0;
    for (i, &x) in numbers.iter().enumerate() {
        if x > numbers[best] {
            best = i;
        }
    }
    best
}
