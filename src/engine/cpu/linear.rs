//! Fully connected layers and their gradient, with the weight as the graph holds it: (O, I), row after row.
//!
//! An image reads every weight once, so that another order would be no faster, and a copy in it would double the memory
//! of networks most of whose weights are here.

use std::sync::Arc;

use super::aligned::CACHE_LINE_F32;
use super::cost;
use super::cost::QuarterCycles;
use super::kernel::{Kernel, Operands, Tile};
use super::simd::{Isa, MAX_LANES, Simd, compiled};

/// Rows that are multiplied together, each element of the input being loaded once for all of them.
const ROWS: usize = 4;
/// Columns by which weights are prefetched: 1 KiB of each row. Hardware alone prefetches several rows at once less well.
const AHEAD: usize = 256;
/// Columns of the smallest part of a gradient that a thread computes: 4 KiB of each row, a page, beyond which hardware
/// prefetches nothing.
const MIN_COLUMNS: usize = 1024;

/// Fully connected layer; a tile's group is [`ROWS`] outputs.
pub(crate) struct LinearKernel {
    /// (O, I).
    weight: Arc<[f32]>,
    /// (O).
    bias: Arc<[f32]>,
    columns: usize,
    products: unsafe fn(&RowProducts),
}

impl LinearKernel {
    /// The kernel of a layer with an (O, I) weight and a bias (O).
    pub(crate) fn new(isa: Isa, weight: Arc<[f32]>, bias: Arc<[f32]>) -> LinearKernel {
        let columns = weight.len() / bias.len();
        debug_assert_eq!(weight.len(), columns * bias.len());
        let products = compiled!(isa, S => unsafe fn(call: &RowProducts) { row_products::<S>(call) });
        LinearKernel { weight, bias, columns, products }
    }

    fn whole(&self) -> Tile {
        Tile { groups: 0..self.bias.len().div_ceil(ROWS), pixels: 0..1 }
    }

    /// Computes `tile` of the layer's output at `out` from its input at `x`.
    ///
    /// # Safety
    /// The tile is one of [`Kernel::tiles`]. The CPU has the kernel's instruction set; `x` is valid for the layer's
    /// inputs, and `out` for its outputs, of which no other thread touches those of the tile.
    pub(crate) unsafe fn apply(&self, tile: Option<&Tile>, x: *const f32, out: *mut f32) {
        let groups = tile.map_or(self.whole().groups, |tile| tile.groups.clone());
        let rows = groups.start * ROWS..(groups.end * ROWS).min(self.bias.len());
        let (weight, bias) = (&self.weight[rows.start * self.columns..rows.end * self.columns], &self.bias);
        // SAFETY: weight and bias are those of the rows, the caller promises the rest.
        unsafe {
            (self.products)(&RowProducts {
                weight: weight.as_ptr(),
                bias: bias[rows.clone()].as_ptr(),
                rows: rows.len(),
                columns: self.columns,
                x,
                out: out.add(rows.start),
            });
        }
    }
}

impl Kernel for LinearKernel {
    fn cost(&self, tile: Option<&Tile>) -> QuarterCycles {
        let groups = tile.map_or(self.whole().groups.len(), |tile| tile.groups.len());
        cost::weights_from_memory(groups * ROWS * self.columns)
    }

    fn tiles(&self, max: usize) -> Vec<Tile> {
        self.whole().cut(1, max, |tile| self.cost(Some(tile)))
    }

    unsafe fn run(&self, tile: Option<&Tile>, operands: &Operands) {
        // SAFETY: by the contract of `Kernel::run`; input and output have the layer's lengths.
        unsafe { self.apply(tile, operands.input(0), operands.output()) }
    }
}

/// Operands of one call: `out[o] = bias[o] + sum over i of weight[o, i] * x[i]`.
struct RowProducts {
    weight: *const f32,
    bias: *const f32,
    rows: usize,
    columns: usize,
    x: *const f32,
    out: *mut f32,
}

/// # Safety
/// The CPU has the instruction set, and the pointers are valid for the call's sizes.
#[inline(always)]
unsafe fn row_products<S: Simd>(call: &RowProducts) {
    for first in (0..call.rows).step_by(ROWS) {
        let rows = ROWS.min(call.rows - first);
        // SAFETY: the rows are inside the matrix.
        unsafe {
            let sums = products_of_rows::<S>(call, first, rows);
            for (i, sum) in sums[..rows].iter().enumerate() {
                *call.out.add(first + i) = *call.bias.add(first + i) + sum;
            }
        }
    }
}

/// The products of x and the `rows` rows from `first` on, of which there is one to [`ROWS`]; fewer are filled up with
/// the last one. A row's sum does not depend on the others.
///
/// # Safety
/// As for [`row_products`]; the rows are inside the matrix.
#[inline(always)]
unsafe fn products_of_rows<S: Simd>(call: &RowProducts, first: usize, rows: usize) -> [f32; MAX_LANES] {
    let &RowProducts { weight, columns, x, .. } = call;
    // SAFETY: all loads are inside the rows and the input.
    unsafe {
        let row: [*const f32; ROWS] =
            std::array::from_fn(|i| weight.add((first + i.min(rows - 1)) * columns));
        let zero = S::splat(0.0);
        let (mut sums, mut odd) = ([zero; ROWS], [zero; ROWS]);
        let mut column = 0;
        while column + 2 * S::LANES <= columns {
            let (a, b) = (S::load(x.add(column)), S::load(x.add(column + S::LANES)));
            for ahead in (AHEAD..AHEAD + 2 * S::LANES).step_by(CACHE_LINE_F32) {
                row.iter().for_each(|row| S::prefetch(row.wrapping_add(column + ahead)));
            }
            for i in 0..ROWS {
                sums[i] = S::fma(S::load(row[i].add(column)), a, sums[i]);
                odd[i] = S::fma(S::load(row[i].add(column + S::LANES)), b, odd[i]);
            }
            column += 2 * S::LANES;
        }
        for i in 0..ROWS {
            sums[i] = S::add(sums[i], odd[i]);
        }
        // Up to two vectors are left. The last one ends with the row; what it shares with the one before is zero.
        while column < columns && columns >= S::LANES {
            let from = column.min(columns - S::LANES);
            let x = S::keep(S::load(x.add(from)), u32::MAX << (column - from));
            for i in 0..ROWS {
                sums[i] = S::fma(S::load(row[i].add(from)), x, sums[i]);
            }
            column = from + S::LANES;
        }
        let mut totals = [0.0; MAX_LANES];
        let fours = [S::sums_of_four(sums), zero, zero, zero];
        S::store(totals.as_mut_ptr(), S::sums_of_fours(fours));
        // Rows shorter than a vector.
        for column in column..columns {
            for i in 0..ROWS {
                totals[i] += *row[i].add(column) * *x.add(column);
            }
        }
        totals
    }
}

/// Gradient of a fully connected layer with respect to its input; a tile's group is [`MIN_COLUMNS`] inputs.
pub(crate) struct LinearGradKernel {
    /// (O, I).
    weight: Arc<[f32]>,
    columns: usize,
    /// Rows that a run is expected to read: of a one-hot gradient, one.
    rows: usize,
}

impl LinearGradKernel {
    /// The kernel of a layer with an (O, I) weight and `columns` inputs, where at most `rows` elements of the gradient
    /// are expected not to be zero.
    pub(crate) fn new(weight: Arc<[f32]>, columns: usize, rows: usize) -> LinearGradKernel {
        LinearGradKernel { weight, columns, rows }
    }

    fn whole(&self) -> Tile {
        Tile { groups: 0..self.columns.div_ceil(MIN_COLUMNS), pixels: 0..1 }
    }
}

impl Kernel for LinearGradKernel {
    fn cost(&self, tile: Option<&Tile>) -> QuarterCycles {
        let columns = tile.map_or(self.columns, |tile| tile.groups.len() * MIN_COLUMNS);
        match self.rows {
            1 => cost::multiply_adds(columns),
            rows => cost::weights_from_memory(rows * columns),
        }
    }

    fn tiles(&self, max: usize) -> Vec<Tile> {
        self.whole().cut(1, max, |tile| self.cost(Some(tile)))
    }

    unsafe fn run(&self, tile: Option<&Tile>, operands: &Operands) {
        let groups = tile.map_or(self.whole().groups, |tile| tile.groups.clone());
        let first = groups.start * MIN_COLUMNS;
        let len = (groups.end * MIN_COLUMNS).min(self.columns) - first;
        // SAFETY: by the contract of `Kernel::run`; the columns are inside the output, and the tile's.
        let (grad, out) = unsafe {
            (operands.input_slice(0), std::slice::from_raw_parts_mut(operands.output().add(first), len))
        };
        sum_of_rows(&self.weight, self.columns, first, grad, out);
    }
}

/// out = sum of the rows of `columns` weights, each times its gradient, in the columns from `first` on; rows of zero
/// gradient are not read.
pub(crate) fn sum_of_rows(weight: &[f32], columns: usize, first: usize, grad: &[f32], out: &mut [f32]) {
    out.fill(0.0);
    for (row, &g) in weight.chunks_exact(columns).zip(grad).filter(|&(_, &g)| g != 0.0) {
        for (out, w) in out.iter_mut().zip(&row[first..]) {
            *out += g * w;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_any_size_are_those_of_a_plain_loop() {
        for isa in Isa::available() {
            for columns in [1, 7, 8, 15, 16, 17, 31, 32, 33, 48, 63, 100] {
                for rows in [1, 3, 4, 5, 10] {
                    // Small integers: every order of the sums gives the same.
                    let weight: Arc<[f32]> = (0..rows * columns).map(|i| (i * 7 % 13) as f32 - 6.0).collect();
                    let bias: Arc<[f32]> = (0..rows).map(|i| i as f32).collect();
                    let x: Vec<f32> = (0..columns).map(|i| (i * 5 % 11) as f32 - 5.0).collect();
                    let kernel = LinearKernel::new(isa, weight.clone(), bias.clone());
                    let expected: Vec<f32> = weight
                        .chunks_exact(columns)
                        .zip(bias.iter())
                        .map(|(row, b)| b + row.iter().zip(&x).map(|(w, x)| w * x).sum::<f32>())
                        .collect();
                    let mut out = vec![f32::NAN; rows];
                    for tile in kernel.tiles(2) {
                        // SAFETY: this machine has the instruction set; the lengths are the layer's.
                        unsafe { kernel.apply(Some(&tile), x.as_ptr(), out.as_mut_ptr()) };
                    }
                    assert_eq!(out, expected, "{isa:?}: {rows} x {columns}");
                }
            }
        }
    }

    #[test]
    fn columns_of_a_gradient_are_computed_apart() {
        let weight: Vec<f32> = (0..30).map(|i| i as f32).collect();
        let mut out = vec![f32::NAN; 10];
        let (a, b) = out.split_at_mut(4);
        sum_of_rows(&weight, 10, 0, &[1.0, 0.0, -2.0], a);
        sum_of_rows(&weight, 10, 4, &[1.0, 0.0, -2.0], b);
        let expected: Vec<f32> = (0..10).map(|i| (i - 2 * (20 + i)) as f32).collect();
        assert_eq!(out, expected);
    }
}
