//! Layouts: how the axes of an ONNX value are those of the stored tensor (C, H, W).
//!
//! ONNX transposes and reshapes freely; TensorFlow's exporters wrap every convolution in two transposes. A layout
//! follows that without moving an element: each axis behind the batch is a group of stored axes.

use crate::Shape;

/// The stored axes (0 is C, 1 is H, 2 is W) of each axis of a value behind the batch, outermost first. Stored axes of
/// size 1 may be in any group or in none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    groups: Vec<Vec<usize>>,
}

impl Layout {
    /// (N, C, H, W).
    pub fn nchw() -> Layout {
        Layout { groups: vec![vec![0], vec![1], vec![2]] }
    }

    /// (N, H, W, C), as TensorFlow has it.
    pub fn nhwc() -> Layout {
        Layout { groups: vec![vec![1], vec![2], vec![0]] }
    }

    /// (N, C * H * W).
    pub fn flat() -> Layout {
        Layout { groups: vec![vec![0, 1, 2]] }
    }

    /// The dimensions behind the batch, for a stored tensor of `shape`.
    pub fn dims(&self, shape: Shape) -> Vec<usize> {
        self.groups.iter().map(|group| group.iter().map(|&axis| size(shape, axis)).product()).collect()
    }

    /// Number of axes behind the batch.
    pub fn rank(&self) -> usize {
        self.groups.len()
    }

    /// The same elements with the axes in the order `order`, which counts the batch as axis 0; `None` if that moves
    /// the batch.
    pub fn transposed(&self, order: &[usize]) -> Option<Layout> {
        if order.first() != Some(&0) {
            return None;
        }
        Some(Layout { groups: order[1..].iter().map(|&axis| self.groups[axis - 1].clone()).collect() })
    }

    /// The same elements in the same order with other dimensions; `None` where a dimension would be a part of a stored
    /// axis, or of several that are not neighbors.
    pub fn reshaped(&self, shape: Shape, dims: &[usize]) -> Option<Layout> {
        let mut left = self.groups.iter().flatten().copied().peekable();
        let mut groups = Vec::new();
        for (i, &dim) in dims.iter().enumerate() {
            let (mut group, mut product) = (Vec::new(), 1);
            while product < dim {
                let axis = left.next()?;
                product *= size(shape, axis);
                group.push(axis);
            }
            let is_last = i + 1 == dims.len();
            while let Some(axis) =
                left.next_if(|&axis| size(shape, axis) == 1 && (is_last || dim == 1 && group.is_empty()))
            {
                group.push(axis);
            }
            if product != dim {
                return None;
            }
            groups.push(group);
        }
        // Leading axes of size 1 of the next group were left for it; none of another size may be left.
        left.all(|axis| size(shape, axis) == 1).then_some(Layout { groups })
    }

    /// Whether the elements are in the order in which they are stored.
    pub fn is_stored_order(&self, shape: Shape) -> bool {
        let order: Vec<usize> =
            self.groups.iter().flatten().copied().filter(|&axis| size(shape, axis) > 1).collect();
        order.is_sorted()
    }

    /// The stored axes of more than one element in the order of the value, outermost first.
    pub fn order(&self, shape: Shape) -> Vec<usize> {
        self.groups.iter().flatten().copied().filter(|&axis| size(shape, axis) > 1).collect()
    }

    /// The stored axes of axis `axis`, which counts the batch as axis 0.
    pub fn group(&self, axis: usize) -> &[usize] {
        axis.checked_sub(1).and_then(|i| self.groups.get(i)).map_or(&[], Vec::as_slice)
    }

    /// The layout of the axes `axes`, which count the batch as axis 0, alone.
    pub fn picked(&self, axes: &[usize]) -> Layout {
        Layout { groups: axes.iter().map(|&axis| self.group(axis).to_vec()).collect() }
    }

    /// Whether axis `axis`, which counts the batch as axis 0, is stored axis `stored` alone.
    pub fn is(&self, axis: usize, stored: usize, shape: Shape) -> bool {
        let Some(group) = axis.checked_sub(1).and_then(|i| self.groups.get(i)) else { return false };
        let others = || group.iter().filter(|&&a| a != stored);
        let elsewhere = || self.groups.iter().flatten().any(|&a| a == stored);
        others().all(|&a| size(shape, a) == 1)
            && (group.contains(&stored) || size(shape, stored) == 1 && !elsewhere())
    }

    /// Whether it is (N, C, H, W), but for axes of size 1.
    pub fn is_nchw(&self, shape: Shape) -> bool {
        self.rank() == 3 && (0..3).all(|stored| self.is(stored + 1, stored, shape))
    }
}

/// Size of a stored axis.
fn size(shape: Shape, axis: usize) -> usize {
    [shape.c, shape.h, shape.w][axis]
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: Shape = Shape { c: 8, h: 4, w: 5 };

    #[test]
    fn transposes_and_reshapes_follow_the_elements() {
        let nhwc = Layout::nchw().transposed(&[0, 2, 3, 1]).unwrap();
        assert_eq!((nhwc.clone(), nhwc.dims(MAP)), (Layout::nhwc(), vec![4, 5, 8]));
        let flat = nhwc.reshaped(MAP, &[160]).unwrap();
        assert_eq!((flat.order(MAP), flat.is_stored_order(MAP)), (vec![1, 2, 0], false));
        assert_eq!(flat.reshaped(MAP, &[4, 5, 8]).unwrap(), nhwc);
        assert!(Layout::flat().is_stored_order(MAP));
        assert_eq!(Layout::nchw().reshaped(MAP, &[8, 20]).unwrap().dims(MAP), [8, 20]);
        assert!(Layout::nchw().transposed(&[1, 0, 2, 3]).is_none());
        // A part of the channels.
        assert!(Layout::nchw().reshaped(MAP, &[2, 4, 4, 5]).is_none());
        assert!(Layout::nchw().reshaped(MAP, &[32, 5]).is_some());
    }

    #[test]
    fn axes_of_size_one_come_and_go() {
        let pooled = Shape { c: 8, h: 1, w: 1 };
        let flat = Layout::nchw().reshaped(pooled, &[8]).unwrap();
        assert_eq!(flat.dims(pooled), [8]);
        let map = flat.reshaped(pooled, &[8, 1, 1]).unwrap();
        assert!(map.is_nchw(pooled));
        let column = flat.reshaped(pooled, &[1, 8]).unwrap();
        assert_eq!(column.dims(pooled), [1, 8]);
        assert!(!column.is_nchw(pooled) && column.is(2, 0, pooled));
        let gray = Shape { c: 1, h: 4, w: 5 };
        assert!(
            Layout::nchw().is_nchw(gray) && Layout::nchw().is(1, 0, gray) && !Layout::nchw().is(2, 0, gray)
        );
    }
}
