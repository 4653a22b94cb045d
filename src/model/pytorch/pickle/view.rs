//! Views of storages: whether their elements overlap.

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
}
