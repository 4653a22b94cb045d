//! A matrix times a few vectors, with the matrix read row by row as it is stored: what is left of
//! convolution where an output map has only a few pixels, of linear layers, and of sums of rows.
//! Each weight is read once for all P vectors; nothing is packed twice for forward and backward.

use std::sync::Arc;

#[cfg(target_arch = "x86_64")]
use super::simd::{Avx2, Avx512};
use super::simd::{Isa, MAX_LANES, Portable, Simd};

/// The most vectors that one call multiplies by.
pub(super) const COLUMNS: usize = 4;

/// A matrix whose rows are padded with zeros to whole vectors.
#[derive(Clone)]
pub(super) struct Rows {
    data: Arc<[f32]>,
    rows: usize,
    columns: usize,
}

/// `columns` rounded up to whole vectors.
pub(super) fn padded(columns: usize) -> usize {
    columns.next_multiple_of(MAX_LANES)
}

impl Rows {
    /// The matrix of `rows` rows in `data`, shared where its rows are whole vectors already.
    pub(super) fn new(rows: usize, data: &Arc<[f32]>) -> Self {
        let columns = data.len() / rows;
        let stride = padded(columns);
        if stride == columns {
            return Rows { data: Arc::clone(data), rows, columns };
        }
        let mut padded = vec![0.0; rows * stride];
        for (to, from) in padded.chunks_exact_mut(stride).zip(data.chunks_exact(columns)) {
            to[..columns].copy_from_slice(from);
        }
        Rows { data: padded.into(), rows, columns }
    }

    /// Number of rows.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Numbers in a row.
    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// Scratch numbers that [`Rows::times`] and [`Rows::sum`] need.
    pub(super) fn scratch_len(&self) -> usize {
        self.rows.max(padded(self.columns))
    }

    /// out[r] = row r . x.
    pub(super) fn times(&self, kernels: &RowKernels, x: &[f32], out: &mut [f32], scratch: &mut [f32]) {
        assert!(x.len() == self.columns && out.len() == self.rows);
        let padded_x = &mut scratch[..padded(self.columns)];
        padded_x[..x.len()].copy_from_slice(x);
        padded_x[x.len()..].fill(0.0);
        // SAFETY: sizes were checked; x and the rows are padded.
        unsafe {
            (kernels.dots)(&Dots {
                matrix: self.matrix(),
                columns: self.columns,
                first: 0,
                end: self.rows,
                x: padded_x.as_ptr(),
                x_stride: 0,
                vectors: 1,
                out: out.as_mut_ptr(),
                out_row: 1,
                out_column: 0,
            });
        }
    }

    /// out[c] = sum over r of scales[r] * row r[c]; rows whose scale is zero are left out.
    pub(super) fn sum(&self, kernels: &RowKernels, scales: &[f32], out: &mut [f32], scratch: &mut [f32]) {
        assert!(scales.len() == self.rows && out.len() == self.columns);
        let list: &mut [u32] = bytemuck::cast_slice_mut(&mut scratch[..self.rows]);
        let mut count = 0;
        for (row, &scale) in scales.iter().enumerate() {
            list[count] = row as u32;
            count += usize::from(scale != 0.0);
        }
        // SAFETY: sizes were checked; the rows are padded.
        unsafe {
            (kernels.sums)(&Sums {
                matrix: self.matrix(),
                rows: RowList::Some(&list[..count]),
                scales: scales.as_ptr(),
                scale_stride: 1,
                first: 0,
                end: self.columns,
                vectors: 1,
                out: out.as_mut_ptr(),
                out_stride: 0,
            });
        }
    }

    /// As the kernels see it.
    pub(super) fn matrix(&self) -> Matrix {
        Matrix { start: self.data.as_ptr(), stride: padded(self.columns) }
    }
}

/// A matrix somewhere in memory, readable up to a vector beyond each row.
#[derive(Clone, Copy)]
pub(super) struct Matrix {
    pub(super) start: *const f32,
    /// Numbers between two rows.
    pub(super) stride: usize,
}

/// The two products of one kind of CPU.
#[derive(Clone, Copy)]
pub(super) struct RowKernels {
    /// `out[r * out_row + p * out_column] = row r . x[p]` for rows `first..end`.
    ///
    /// # Safety
    /// The CPU is of the kernels' kind; the pointers are good for the call's sizes; rows and
    /// vectors have `padded(columns)` numbers, zero behind the last real one in each x.
    pub(super) dots: unsafe fn(&Dots),
    /// `out[p * out_stride + c]` = sum over the listed rows of their scale number p times `row[c]`,
    /// for columns `first..end`.
    ///
    /// # Safety
    /// As `dots`.
    pub(super) sums: unsafe fn(&Sums),
}

/// One call of [`RowKernels::dots`].
pub(super) struct Dots {
    pub(super) matrix: Matrix,
    pub(super) columns: usize,
    pub(super) first: usize,
    pub(super) end: usize,
    pub(super) x: *const f32,
    pub(super) x_stride: usize,
    /// Vectors, 1 to [`COLUMNS`].
    pub(super) vectors: usize,
    pub(super) out: *mut f32,
    pub(super) out_row: usize,
    pub(super) out_column: usize,
}

/// Rows of a matrix, in order.
#[derive(Clone, Copy)]
pub(super) enum RowList<'a> {
    /// The first so many.
    All(usize),
    /// These.
    Some(&'a [u32]),
}

impl RowList<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        match self {
            RowList::All(rows) => *rows,
            RowList::Some(rows) => rows.len(),
        }
    }

    #[inline(always)]
    fn get(&self, i: usize) -> usize {
        match self {
            RowList::All(_) => i,
            RowList::Some(rows) => rows[i] as usize,
        }
    }
}

/// One call of [`RowKernels::sums`].
pub(super) struct Sums<'a> {
    pub(super) matrix: Matrix,
    /// The rows that count.
    pub(super) rows: RowList<'a>,
    /// Scales of row 0: `vectors` numbers, readable up to [`COLUMNS`].
    pub(super) scales: *const f32,
    /// Numbers between the scales of two rows.
    pub(super) scale_stride: usize,
    /// First column, a multiple of 16, and end.
    pub(super) first: usize,
    pub(super) end: usize,
    /// Vectors, 1 to [`COLUMNS`].
    pub(super) vectors: usize,
    pub(super) out: *mut f32,
    pub(super) out_stride: usize,
}

/// The kernels of one kind of CPU.
pub(super) fn kernels(isa: Isa) -> RowKernels {
    macro_rules! kernels {
        ($simd:ty, $rows:literal, $wide:literal $(, $feature:literal)?) => {{
            $(#[target_feature(enable = $feature)])?
            unsafe fn dots(call: &Dots) {
                // SAFETY: the caller's promise, passed on.
                unsafe {
                    match call.vectors {
                        1 => dots_of::<$simd, $rows, 1>(call),
                        _ => dots_of::<$simd, $rows, COLUMNS>(call),
                    }
                }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn sums(call: &Sums) {
                // SAFETY: the caller's promise, passed on.
                unsafe {
                    match call.vectors {
                        1 => sums_of::<$simd, $wide, 1>(call),
                        _ => sums_of::<$simd, $rows, COLUMNS>(call),
                    }
                }
            }
            RowKernels { dots, sums }
        }};
    }
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => kernels!(Avx512, 6, 12, "avx512f,avx512vl"),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => kernels!(Avx2, 3, 12, "avx2,fma"),
        _ => kernels!(Portable, 2, 6),
    }
}

/// # Safety
/// As [`RowKernels::dots`].
#[inline(always)]
unsafe fn dots_of<S: Simd, const R: usize, const P: usize>(call: &Dots) {
    let mut row = call.first;
    while row + R <= call.end {
        // SAFETY: the rows exist.
        unsafe { dots_tile::<S, R, P>(call, row) };
        row += R;
    }
    for row in row..call.end {
        // SAFETY: the row exists.
        unsafe { dots_tile::<S, 1, P>(call, row) };
    }
}

/// The products of R rows from `row` with P vectors; vectors beyond the call's are the first again.
#[inline(always)]
unsafe fn dots_tile<S: Simd, const R: usize, const P: usize>(call: &Dots, row: usize) {
    // SAFETY: rows and vectors have `padded(columns)` numbers.
    unsafe {
        let rows: [*const f32; R] =
            std::array::from_fn(|r| call.matrix.start.add((row + r) * call.matrix.stride));
        let xs: [*const f32; P] =
            std::array::from_fn(|p| call.x.add(if p < call.vectors { p * call.x_stride } else { 0 }));
        let mut acc = [[S::splat(0.0); P]; R];
        for c in (0..padded(call.columns)).step_by(S::LANES) {
            let mut x = [S::splat(0.0); P];
            for (x, from) in x.iter_mut().zip(xs) {
                *x = S::load(from.add(c));
            }
            for (sums, from) in acc.iter_mut().zip(rows) {
                let weight = S::load(from.add(c));
                for (sum, &x) in sums.iter_mut().zip(&x) {
                    *sum = S::fma(weight, x, *sum);
                }
            }
        }
        for (r, sums) in acc.iter().enumerate() {
            for (p, &sum) in sums.iter().enumerate().take(call.vectors) {
                call.out.add((row + r) * call.out_row + p * call.out_column).write(S::sum(sum));
            }
        }
    }
}

/// # Safety
/// As [`RowKernels::sums`].
#[inline(always)]
unsafe fn sums_of<S: Simd, const V: usize, const P: usize>(call: &Sums) {
    let mut column = call.first;
    while column + V * S::LANES <= call.end {
        // SAFETY: the columns exist.
        unsafe { sums_tile::<S, V, P>(call, column) };
        column += V * S::LANES;
    }
    while column < call.end {
        // SAFETY: the columns exist; rows are padded to whole vectors.
        unsafe { sums_tile::<S, 1, P>(call, column) };
        column += S::LANES;
    }
}

/// V vectors of columns from `column`, for P scales; scales beyond the call's are not stored.
#[inline(always)]
unsafe fn sums_tile<S: Simd, const V: usize, const P: usize>(call: &Sums, column: usize) {
    // SAFETY: the columns exist, padded to whole vectors; each row has COLUMNS scales.
    unsafe {
        let mut acc = [[S::splat(0.0); V]; P];
        // No closures here: the vector functions are inlined only into functions of their kind.
        for i in 0..call.rows.len() {
            let row = call.rows.get(i);
            let from = call.matrix.start.add(row * call.matrix.stride + column);
            let mut weight = [S::splat(0.0); V];
            for (v, weight) in weight.iter_mut().enumerate() {
                *weight = S::load(from.add(v * S::LANES));
            }
            for (p, sums) in acc.iter_mut().enumerate() {
                let scale = S::splat(*call.scales.add(row * call.scale_stride + p));
                for (sum, &weight) in sums.iter_mut().zip(&weight) {
                    *sum = S::fma(weight, scale, *sum);
                }
            }
        }
        for (p, sums) in acc.iter().enumerate().take(call.vectors) {
            for (v, &sum) in sums.iter().enumerate() {
                let column = column + v * S::LANES;
                let out = call.out.add(p * call.out_stride + column);
                S::store_first(out, sum, S::LANES.min(call.end - column));
            }
        }
    }
}
