//! Tensors as views of storages: which elements they are, and whether they overlap.

use std::rc::Rc;

use super::StorageId;

/// A tensor: `dims` elements of a storage, from `offset` on and `strides` apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorView {
    /// The storage.
    pub storage: Rc<StorageId>,
    /// Index of the first element in the storage.
    pub offset: u64,
    /// Dimensions, outermost first.
    pub dims: Vec<usize>,
    /// Distance in elements between neighbors in each dimension.
    pub strides: Vec<usize>,
    /// Name of the element type, if the storage has none.
    pub dtype: Option<String>,
}

impl TensorView {
    /// The view of `storage` with these properties; `None` if they are no dimensions and strides.
    pub fn new(
        storage: &Rc<StorageId>,
        offset: i128,
        dims: &[i128],
        strides: &[i128],
        dtype: Option<String>,
    ) -> Option<Self> {
        let sizes =
            |numbers: &[i128]| numbers.iter().map(|&n| usize::try_from(n).ok()).collect::<Option<_>>();
        if dims.len() != strides.len() {
            return None;
        }
        let offset = u64::try_from(offset).ok()?.checked_add(storage.start)?;
        Some(TensorView {
            storage: storage.clone(),
            offset,
            dims: sizes(dims)?,
            strides: sizes(strides)?,
            dtype,
        })
    }

    /// Number of elements; `None` if it overflows.
    pub fn elements(&self) -> Option<usize> {
        self.dims.iter().try_fold(1_usize, |n, &d| n.checked_mul(d))
    }

    /// Number of elements that the storage must have; `None` if it overflows.
    pub fn reach(&self) -> Option<u64> {
        if self.dims.contains(&0) {
            return Some(0);
        }
        self.dims.iter().zip(&self.strides).try_fold(self.offset.checked_add(1)?, |end, (&n, &stride)| {
            end.checked_add((n as u64 - 1).checked_mul(stride as u64)?)
        })
    }
}

/// Whether a view of dimensions `size` may use an element of its storage twice, given its `stride` in each
/// dimension. Dimensions of stride 0, which repeat all others, do not count: that is how PyTorch stores an
/// expanded tensor.
pub fn overlaps(size: &[i128], stride: &[i128]) -> bool {
    let mut dims: Vec<(i128, i128)> = stride
        .iter()
        .copied()
        .zip(size.iter().copied())
        .filter(|&(stride, n)| stride != 0 && n > 1)
        .collect();
    dims.sort_unstable();
    // Offset of the last element in the dimensions of smaller strides.
    let mut last: i128 = 0;
    dims.into_iter().any(|(stride, n)| {
        let overlaps = stride <= last;
        last = last.saturating_add((n - 1).saturating_mul(stride));
        overlaps
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contiguous_transposed_and_expanded_views_do_not_overlap() {
        for (size, stride) in [
            (&[] as &[i128], &[] as &[i128]),
            (&[5], &[1]),
            (&[2, 3, 4, 4], &[48, 16, 4, 1]),
            (&[4, 3], &[1, 4]),
            (&[8, 3, 3, 3], &[1, 0, 0, 0]),
            (&[1, 7], &[1, 1]),
            (&[3], &[10]),
        ] {
            assert!(!overlaps(size, stride), "{size:?} {stride:?}");
        }
        for (size, stride) in [(&[2, 3, 4, 4], &[1, 1, 1, 1]), (&[2, 2, 2, 5], &[20, 10, 4, 1])] {
            assert!(overlaps(size, stride), "{size:?} {stride:?}");
        }
        assert!(!overlaps(&[i128::MAX, 2], &[1, i128::MAX]));
    }

    #[test]
    fn a_view_reaches_to_its_last_element() {
        let storage =
            Rc::new(StorageId { key: "0".into(), class: "FloatStorage".into(), elements: 9, start: 2 });
        let view =
            |offset, dims: &[i128], strides: &[i128]| TensorView::new(&storage, offset, dims, strides, None);
        assert_eq!(view(1, &[2, 3], &[3, 1]).unwrap().reach(), Some(9));
        assert_eq!(view(1, &[], &[]).unwrap().reach(), Some(4));
        assert_eq!(view(1, &[2, 0], &[0, 1]).unwrap().reach(), Some(0));
        assert_eq!(view(0, &[1 << 62, 4], &[4, 1]).unwrap().reach(), None);
        assert_eq!((view(-1, &[1], &[1]), view(0, &[1], &[])), (None, None));
    }
}
