//! The sum of the rows of a matrix, each times its scale.

#[cfg(target_arch = "x86_64")]
use super::simd::{Avx2, Avx512};
use super::simd::{Isa, Portable, Simd};

/// One call: out[c] = sum over r of scales[r] * matrix[r, c].
pub(super) struct RowSum {
    /// Row-major, readable up to a vector beyond its end.
    pub(super) matrix: *const f32,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) scales: *const f32,
    pub(super) out: *mut f32,
}

/// The kernel of one kind of CPU.
///
/// # Safety
/// The CPU is of that kind, and the pointers are good for the call's sizes.
pub(super) type RowSumKernel = unsafe fn(&RowSum);

/// The kernel of `isa`.
pub(super) fn kernel(isa: Isa) -> RowSumKernel {
    macro_rules! kernel {
        ($simd:ty, $wide:literal $(, $feature:literal)?) => {{
            $(#[target_feature(enable = $feature)])?
            unsafe fn compiled(call: &RowSum) {
                // SAFETY: the caller's promise, passed on.
                unsafe { row_sum::<$simd, $wide>(call) }
            }
            compiled
        }};
    }
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => kernel!(Avx512, 4, "avx512f,avx512vl"),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => kernel!(Avx2, 8, "avx2,fma"),
        _ => kernel!(Portable, 4),
    }
}

/// # Safety
/// As [`RowSumKernel`].
#[inline(always)]
unsafe fn row_sum<S: Simd, const V: usize>(call: &RowSum) {
    let mut column = 0;
    while column + V * S::LANES <= call.columns {
        // SAFETY: the columns exist.
        unsafe { tile::<S, V>(call, column) };
        column += V * S::LANES;
    }
    while column < call.columns {
        // SAFETY: the first of these columns exist; behind the last row a vector may be read.
        unsafe { tile::<S, 1>(call, column) };
        column += S::LANES;
    }
}

/// V vectors of columns from `column`.
#[inline(always)]
unsafe fn tile<S: Simd, const V: usize>(call: &RowSum, column: usize) {
    // SAFETY: as in `row_sum`.
    unsafe {
        let mut sums = [S::splat(0.0); V];
        for row in 0..call.rows {
            let from = call.matrix.add(row * call.columns + column);
            let scale = S::splat(*call.scales.add(row));
            for (v, sum) in sums.iter_mut().enumerate() {
                *sum = S::fma(S::load(from.add(v * S::LANES)), scale, *sum);
            }
        }
        for (v, &sum) in sums.iter().enumerate() {
            let column = column + v * S::LANES;
            S::store_first(call.out.add(column), sum, S::LANES.min(call.columns - column));
        }
    }
}
