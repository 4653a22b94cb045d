//! Winograd's minimal filtering algorithms for filters of three taps, in one dimension.

use crate::engine::cpu::simd::Simd;

/// An algorithm F(M, 3) for one dimension: M results of a filter of three taps by P = M + 2 products.
pub(super) trait Filtering<const M: usize, const P: usize> {
    /// G g.
    fn kernel(g: [f64; 3]) -> [f64; P];

    /// B^T d.
    ///
    /// # Safety
    /// The CPU has the instruction set of `S`.
    unsafe fn patch<S: Simd>(d: [S::V; P]) -> [S::V; P];

    /// A^T m.
    ///
    /// # Safety
    /// The CPU has the instruction set of `S`.
    unsafe fn block<S: Simd>(m: [S::V; P]) -> [S::V; M];

    /// The P columns of patches that are M pixels apart: lane i of column j is the pixel M * i + j from `row`.
    ///
    /// # Safety
    /// The CPU has the instruction set of `S`; the pixels are readable for M vectors and M pixels more.
    unsafe fn columns<S: Simd>(row: *const f32) -> [S::V; P];

    /// Lane i of each vector in turn, then lane i + 1: M vectors of neighbouring pixels.
    ///
    /// # Safety
    /// The CPU has the instruction set of `S`.
    unsafe fn interleave<S: Simd>(pixels: [S::V; M]) -> [S::V; M];
}

/// F(2, 3):
///
/// ```text
/// G^T = 1 1/2  1/2 0    B^T = 1  0 -1  0    A^T = 1 1  1  0
///       0 1/2 -1/2 0          0  1  1  0          0 1 -1 -1
///       0 1/2  1/2 1          0 -1  1  0
///                             0  1  0 -1
/// ```
pub(super) struct F2;

impl Filtering<2, 4> for F2 {
    fn kernel([a, b, c]: [f64; 3]) -> [f64; 4] {
        [a, (a + b + c) / 2.0, (a - b + c) / 2.0, c]
    }

    #[inline(always)]
    unsafe fn patch<S: Simd>(d: [S::V; 4]) -> [S::V; 4] {
        // SAFETY: the CPU has the instruction set.
        unsafe { [S::sub(d[0], d[2]), S::add(d[1], d[2]), S::sub(d[2], d[1]), S::sub(d[1], d[3])] }
    }

    #[inline(always)]
    unsafe fn block<S: Simd>(m: [S::V; 4]) -> [S::V; 2] {
        // SAFETY: the CPU has the instruction set.
        unsafe { [S::add(S::add(m[0], m[1]), m[2]), S::sub(S::sub(m[1], m[2]), m[3])] }
    }

    #[inline(always)]
    unsafe fn columns<S: Simd>(row: *const f32) -> [S::V; 4] {
        // SAFETY: the CPU has the instruction set, and the caller promises that the pixels are there.
        unsafe {
            let (a, b) = (S::load(row), S::load(row.add(S::LANES)));
            let (c, d) = (S::load(row.add(2)), S::load(row.add(2 + S::LANES)));
            [S::even(a, b), S::odd(a, b), S::even(c, d), S::odd(c, d)]
        }
    }

    #[inline(always)]
    unsafe fn interleave<S: Simd>([a, b]: [S::V; 2]) -> [S::V; 2] {
        // SAFETY: the CPU has the instruction set.
        unsafe { S::interleave(a, b) }
    }
}

/// F(4, 3) by interpolation at 0, a, -a, b, -b and infinity:
///
/// ```text
/// G: row of a point p    1 p p^2, divided by the product of p's differences from the other points
///    row of infinity     0 0 1
/// A: row of a point p    1 p p^2 p^3
///    row of infinity     0 0 0 1
/// B^T: row of a point p  coefficients of the product of (x - q) over the points q other than p
///      row of infinity   the same over all points
/// ```
///
/// With a = 11/16 and b = 3/2 the result's error is a third of that of the usual 1 and 2 (2.1 times that of the direct
/// sum of 576 terms one after another, instead of 5 times), and all coefficients are exact in f32.
pub(super) struct F4;

const A: f64 = 11.0 / 16.0;
const B: f64 = 3.0 / 2.0;

impl Filtering<4, 6> for F4 {
    fn kernel([x, y, z]: [f64; 3]) -> [f64; 6] {
        let point = |p: f64, others: f64| [(x + p * p * z) / others, p * y / others];
        let ([even_a, odd_a], [even_b, odd_b]) =
            (point(A, 2.0 * A * A * (A * A - B * B)), point(B, 2.0 * B * B * (B * B - A * A)));
        [x / (A * A * B * B), even_a + odd_a, even_a - odd_a, even_b + odd_b, even_b - odd_b, z]
    }

    #[inline(always)]
    unsafe fn patch<S: Simd>(d: [S::V; 6]) -> [S::V; 6] {
        // SAFETY: the CPU has the instruction set.
        unsafe {
            let (a, minus_a) = (S::splat(A as f32), S::splat(-A as f32));
            let (b, minus_b) = (S::splat(B as f32), S::splat(-B as f32));
            let (minus_a2, minus_b2) = (S::splat(-(A * A) as f32), S::splat(-(B * B) as f32));
            let (product, minus_sum) = (S::splat((A * A * B * B) as f32), S::splat(-(A * A + B * B) as f32));
            let (even_a, odd_a) = (S::fma(minus_b2, d[2], d[4]), S::fma(minus_b2, d[1], d[3]));
            let (even_b, odd_b) = (S::fma(minus_a2, d[2], d[4]), S::fma(minus_a2, d[1], d[3]));
            [
                S::fma(product, d[0], S::fma(minus_sum, d[2], d[4])),
                S::fma(a, odd_a, even_a),
                S::fma(minus_a, odd_a, even_a),
                S::fma(b, odd_b, even_b),
                S::fma(minus_b, odd_b, even_b),
                S::fma(product, d[1], S::fma(minus_sum, d[3], d[5])),
            ]
        }
    }

    #[inline(always)]
    unsafe fn block<S: Simd>(m: [S::V; 6]) -> [S::V; 4] {
        // SAFETY: the CPU has the instruction set.
        unsafe {
            let (even_a, odd_a) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
            let (even_b, odd_b) = (S::add(m[3], m[4]), S::sub(m[3], m[4]));
            let (a, a2, a3) = (S::splat(A as f32), S::splat((A * A) as f32), S::splat((A * A * A) as f32));
            let (b, b2, b3) = (S::splat(B as f32), S::splat((B * B) as f32), S::splat((B * B * B) as f32));
            let zero = S::splat(0.0);
            [
                S::add(S::add(m[0], even_a), even_b),
                S::fma(b, odd_b, S::fma(a, odd_a, zero)),
                S::fma(b2, even_b, S::fma(a2, even_a, zero)),
                S::fma(b3, odd_b, S::fma(a3, odd_a, m[5])),
            ]
        }
    }

    #[inline(always)]
    unsafe fn columns<S: Simd>(row: *const f32) -> [S::V; 6] {
        // SAFETY: the CPU has the instruction set, and the caller promises that the pixels are there.
        unsafe {
            let (a, b) = (S::load(row), S::load(row.add(S::LANES)));
            let (c, d) = (S::load(row.add(2 * S::LANES)), S::load(row.add(3 * S::LANES)));
            let (even, odd) = ([S::even(a, b), S::even(c, d)], [S::odd(a, b), S::odd(c, d)]);
            let next = row.add(4);
            let (a, b) = (S::load(next), S::load(next.add(S::LANES)));
            let (c, d) = (S::load(next.add(2 * S::LANES)), S::load(next.add(3 * S::LANES)));
            [
                S::even(even[0], even[1]),
                S::even(odd[0], odd[1]),
                S::odd(even[0], even[1]),
                S::odd(odd[0], odd[1]),
                S::even(S::even(a, b), S::even(c, d)),
                S::even(S::odd(a, b), S::odd(c, d)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn interleave<S: Simd>([a, b, c, d]: [S::V; 4]) -> [S::V; 4] {
        // SAFETY: the CPU has the instruction set.
        unsafe {
            let (even, odd) = (S::interleave(a, c), S::interleave(b, d));
            let (first, second) = (S::interleave(even[0], odd[0]), S::interleave(even[1], odd[1]));
            [first[0], first[1], second[0], second[1]]
        }
    }
}

/// U = G g G^T of one kernel, rounded once.
pub(super) fn transform_kernel<F: Filtering<M, P>, const M: usize, const P: usize>(
    kernel: &[f32],
    out: &mut Vec<f32>,
) {
    let rows: [[f64; P]; 3] = std::array::from_fn(|row| {
        F::kernel(std::array::from_fn(|column| f64::from(kernel[3 * row + column])))
    });
    let columns: [[f64; P]; P] = std::array::from_fn(|column| F::kernel(rows.map(|row| row[column])));
    for row in 0..P {
        out.extend(columns.map(|column| column[row] as f32));
    }
}
