//! Matrix-vector product: the sum of the rows of a matrix, each times its scale.

#[cfg(target_arch = "x86_64")]
use super::simd::{Avx2, Avx512};
use super::simd::{Isa, Portable, Simd};

/// Operands of one call: `out[c] = sum over r of scales[r] * matrix[r, c]`.
pub(crate) struct RowSum {
    /// Row-major, readable up to a vector beyond its end.
    pub(crate) matrix: *const f32,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) scales: *const f32,
    pub(crate) out: *mut f32,
}

/// The product compiled for one instruction set.
///
/// # Safety
/// The CPU has that instruction set, and the pointers are valid for the call's sizes.
pub(crate) type RowSumKernel = unsafe fn(&RowSum);

/// The product for `isa`.
pub(crate) fn kernel(isa: Isa) -> RowSumKernel {
    macro_rules! kernel {
        ($simd:ty, $wide:literal $(, $feature:literal)?) => {{
            /// # Safety
            /// As for [`RowSumKernel`].
            $(#[target_feature(enable = $feature)])?
            unsafe fn compiled(call: &RowSum) {
                // SAFETY: this function is enabled for the instruction set of `$simd`, which the CPU has; the caller
                // promises that the pointers are valid for the call's sizes.
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

/// All columns, V vectors at a time and the rest one at a time.
///
/// # Safety
/// As for [`RowSumKernel`].
#[inline(always)]
unsafe fn row_sum<S: Simd, const V: usize>(call: &RowSum) {
    let mut column = 0;
    while column + V * S::LANES <= call.columns {
        // SAFETY: all V vectors of columns are inside the matrix.
        unsafe { tile::<S, V>(call, column) };
        column += V * S::LANES;
    }
    while column < call.columns {
        // SAFETY: the first of these columns are inside the matrix; a vector may be read beyond its end.
        unsafe { tile::<S, 1>(call, column) };
        column += S::LANES;
    }
}

/// V vectors of columns from `column` on.
///
/// # Safety
/// As for [`RowSumKernel`]; the columns begin inside the matrix.
#[inline(always)]
unsafe fn tile<S: Simd, const V: usize>(call: &RowSum, column: usize) {
    // SAFETY: rows are read at most a vector beyond the matrix; only existing columns are stored.
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
