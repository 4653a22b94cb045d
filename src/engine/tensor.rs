//! Host tensors: contiguous `f32` elements in (N, C, H, W) order, and the shape (C, H, W) of one image.

use std::sync::Arc;

use crate::Result;
use crate::util::allocation;

/// Channels, height and width of a tensor for one image, without the batch dimension N.
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
    /// The shape (C, H, W).
    pub const fn new(c: usize, h: usize, w: usize) -> Self {
        Shape { c, h, w }
    }

    /// The shape of a vector of `c` elements: (C, 1, 1).
    pub const fn vector(c: usize) -> Self {
        Shape { c, h: 1, w: 1 }
    }

    /// Number of elements: C * H * W; `usize::MAX` where that is more.
    pub const fn len(&self) -> usize {
        self.c.saturating_mul(self.h).saturating_mul(self.w)
    }

    /// Whether a dimension is zero.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Elements of one channel: H * W; `usize::MAX` where that is more.
    pub const fn plane(&self) -> usize {
        self.h.saturating_mul(self.w)
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}x{}", self.c, self.h, self.w)
    }
}

/// A shared slice of `len` elements that `fill` writes in place, starting from zeros. Converting a `Vec`
/// into an `Arc` would copy it.
///
/// # Errors
/// When the system has too little memory.
pub(crate) fn filled(len: usize, fill: impl FnOnce(&mut [f32])) -> Result<Arc<[f32]>> {
    let mut elements = allocation::zeros("weights", len)?;
    fill(Arc::get_mut(&mut elements).expect("a new Arc has one owner"));
    Ok(elements)
}

/// A batch: `n` images of `shape`, contiguous, in (N, C, H, W) order.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Number of images.
    pub n: usize,
    /// Shape of one image.
    pub shape: Shape,
    /// `n * shape.len()` elements.
    pub data: Vec<f32>,
}

impl Tensor {
    /// A batch from its elements.
    ///
    /// # Panics
    /// When `data` does not have `n * shape.len()` elements.
    pub fn new(n: usize, shape: Shape, data: Vec<f32>) -> Self {
        assert_eq!(Some(data.len()), n.checked_mul(shape.len()), "elements of a tensor of {n} x {shape}");
        Tensor { n, shape, data }
    }

    /// A batch of zeros.
    ///
    /// # Panics
    /// When memory cannot hold it.
    pub fn zeros(n: usize, shape: Shape) -> Self {
        Tensor { n, shape, data: allocation::vec_or_panic("a tensor", n.saturating_mul(shape.len()), 0.0) }
    }

    /// The elements of image `i`.
    ///
    /// # Panics
    /// When the batch has no such image.
    pub fn image(&self, i: usize) -> &[f32] {
        assert!(i < self.n, "image {i} of a batch of {}", self.n);
        &self.data[i * self.shape.len()..][..self.shape.len()]
    }
}

/// Index of the largest element, the first of several equal ones.
pub(crate) fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (i, &x) in values.iter().enumerate() {
        if x > values[best] {
            best = i;
        }
    }
    best
}

/// The bits of `x` with the sign bit set if it is infinite or NaN: adding 1 to an exponent of ones carries
/// into the sign. Integers, because comparisons of floats that see NaN do not vectorize.
fn overflow_bits(x: f32) -> u32 {
    (x.to_bits() & i32::MAX as u32).wrapping_add(1 << 23)
}

/// Whether every element is finite.
pub(crate) fn all_finite(x: &[f32]) -> bool {
    x.iter().fold(0, |bits, &x| bits | overflow_bits(x)) >> 31 == 0
}

/// Copies `from` to `to`, of the same length, and returns whether every element is finite. An image at a
/// time, so that it is in the cache when it is checked: the system's copy is faster than one that checks.
pub(crate) fn copy_finite(from: &[f32], to: &mut [f32]) -> bool {
    to.copy_from_slice(from);
    all_finite(from)
}

/// Whether every element is zero, of either sign.
pub(crate) fn all_zero(x: &[f32]) -> bool {
    // In parts: most maps are not zero, which their first elements tell.
    x.chunks(64).all(|part| part.iter().fold(0, |bits, x| bits | x.to_bits()) & i32::MAX as u32 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finite_is_found_anywhere_and_zeros_have_two_signs() {
        for at in [0, 1, 36] {
            for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut x = vec![f32::MAX; 37];
                assert!(all_finite(&x) && !all_zero(&x));
                x[at] = bad;
                assert!(!all_finite(&x), "{bad} at {at}");
                let mut copy = [0.0; 37];
                assert!(!copy_finite(&x, &mut copy));
                assert_eq!(copy.map(f32::to_bits)[..], x.iter().map(|x| x.to_bits()).collect::<Vec<_>>()[..]);
                x[at] = f32::MIN_POSITIVE;
                assert!(copy_finite(&x, &mut copy) && copy[..] == x);
            }
        }
        assert!(all_zero(&[0.0, -0.0]) && all_finite(&[]) && !all_zero(&[0.0, f32::from_bits(1)]));
    }
}
