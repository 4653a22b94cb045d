//! Arrays in and out.

use std::alloc::{Layout, alloc_zeroed};

use numpy::ndarray::{ArrayD, IxDyn};
use numpy::{Element, IntoPyArray, PyArrayDyn, PyReadonlyArray, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors;

/// The elements of a contiguous, aligned array.
///
/// # Errors
/// When it is neither: names `what`.
pub fn elements<'a, T: Element, D: numpy::ndarray::Dimension>(
    array: &'a PyReadonlyArray<'_, T, D>,
    what: &str,
) -> PyResult<&'a [T]> {
    let invalid = || PyValueError::new_err(format!("{what}: expected a contiguous, aligned array"));
    let is_aligned = (array.as_array().as_ptr() as usize).is_multiple_of(align_of::<T>());
    if !is_aligned || !array.is_c_contiguous() {
        return Err(invalid());
    }
    array.as_slice().map_err(|_| invalid())
}

/// Elements whose bytes may all be 0.
pub trait Zeroable: Copy {}

impl Zeroable for f32 {}
impl Zeroable for i64 {}
impl Zeroable for u8 {}

/// `count` zeros, in memory that the system provides when it is written.
///
/// # Errors
/// `MemoryError` when the system refuses them.
pub fn zeros<T: Zeroable>(what: &str, count: usize) -> PyResult<Vec<T>> {
    let refused = || errors::memory(what, count.saturating_mul(size_of::<T>()));
    let layout = Layout::array::<T>(count).map_err(|_| refused())?;
    if layout.size() == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the layout has a size.
    let block = unsafe { alloc_zeroed(layout) }.cast::<T>();
    if block.is_null() {
        return Err(refused());
    }
    // SAFETY: the block is of this layout, from the allocator of vectors, and its zeros are elements.
    Ok(unsafe { Vec::from_raw_parts(block, count, count) })
}

/// `count` times `value`.
///
/// # Errors
/// `MemoryError` when the system refuses them.
pub fn filled<T: Copy>(what: &str, count: usize, value: T) -> PyResult<Vec<T>> {
    let mut values = Vec::new();
    let refused = |_| errors::memory(what, count.saturating_mul(size_of::<T>()));
    values.try_reserve_exact(count).map_err(refused)?;
    values.resize(count, value);
    Ok(values)
}

/// A copy of `values`.
///
/// # Errors
/// `MemoryError` when the system refuses it.
pub fn copied<T: Copy>(what: &str, values: &[T]) -> PyResult<Vec<T>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(values.len()).map_err(|_| errors::memory(what, size_of_val(values)))?;
    copy.extend_from_slice(values);
    Ok(copy)
}

/// `values` as an array of `shape`, without a copy.
///
/// # Panics
/// When they are more or fewer than the shape has.
pub fn array<'py, T: Element>(py: Python<'py>, shape: &[usize], values: Vec<T>) -> Bound<'py, PyArrayDyn<T>> {
    ArrayD::from_shape_vec(IxDyn(shape), values).expect("an element for each place").into_pyarray(py)
}
