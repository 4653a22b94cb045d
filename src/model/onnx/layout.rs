//! Layouts: how the axes of an ONNX value are those of the stored tensor (C, H, W).
//!
//! ONNX transposes and reshapes freely; TensorFlow's exporters wrap every convolution in two transposes. A layout
//! follows that without moving an element: each axis behind the batch is a group of stored axes. The channels may be
//! divided into two axes, groups and channels of a group, until they are one axis again: in their order, or in the other,
//! which is a channel shuffle.

use std::collections::VecDeque;

use crate::Shape;

/// The channels, or their groups where they are divided.
const CHANNELS: usize = 0;
/// The channels of a group, where they are divided.
const OF_GROUP: usize = 3;

/// The stored axes (0 is C, 1 is H, 2 is W) of each axis of a value behind the batch, outermost first. Stored axes of
/// size 1 may be in any group or in none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    groups: Vec<Vec<usize>>,
    /// The number of groups into which the channels are divided: then 0 are the groups, and 3 the channels of each.
    divided: Option<usize>,
}

impl Layout {
    fn new<const N: usize>(groups: [&[usize]; N]) -> Layout {
        Layout { groups: groups.map(<[usize]>::to_vec).to_vec(), divided: None }
    }

    /// (N, C, H, W).
    pub fn nchw() -> Layout {
        Layout::new([&[0], &[1], &[2]])
    }

    /// (N, H, W, C), as TensorFlow has it.
    pub fn nhwc() -> Layout {
        Layout::new([&[1], &[2], &[0]])
    }

    /// (N, C * H * W).
    pub fn flat() -> Layout {
        Layout::new([&[0, 1, 2]])
    }

    /// The dimensions behind the batch, for a stored tensor of `shape`.
    pub fn dims(&self, shape: Shape) -> Vec<usize> {
        self.groups.iter().map(|group| group.iter().map(|&axis| self.size(shape, axis)).product()).collect()
    }

    /// Number of axes behind the batch.
    pub fn rank(&self) -> usize {
        self.groups.len()
    }

    /// Whether the channels are divided into two axes.
    pub fn is_divided(&self) -> bool {
        self.divided.is_some()
    }

    /// The same elements with the axes in the order `order`, which counts the batch as axis 0; `None` if that moves
    /// the batch.
    pub fn transposed(&self, order: &[usize]) -> Option<Layout> {
        if order.first() != Some(&0) {
            return None;
        }
        let groups = order[1..].iter().map(|&axis| self.groups[axis - 1].clone()).collect();
        Some(Layout { groups, ..self.clone() })
    }

    /// The same elements in the same order with other dimensions; `None` where a dimension would be a part of a stored
    /// axis, other than one of two parts of the channels, or of several that are not neighbors.
    pub fn reshaped(&self, shape: Shape, dims: &[usize]) -> Option<Layout> {
        let mut left: VecDeque<usize> = self.groups.iter().flatten().copied().collect();
        let mut made = Layout { groups: Vec::new(), divided: self.divided };
        for (i, &dim) in dims.iter().enumerate() {
            let (mut group, mut product) = (Vec::new(), 1);
            while product < dim {
                let axis = left.pop_front()?;
                let rest = dim / product;
                if axis == CHANNELS && !made.is_divided() && rest < shape.c {
                    if !shape.c.is_multiple_of(rest) {
                        return None;
                    }
                    made.divided = Some(rest);
                    left.push_front(OF_GROUP);
                }
                product *= made.size(shape, axis);
                group.push(axis);
            }
            let is_last = i + 1 == dims.len();
            while let Some(&axis) = left.front()
                && made.size(shape, axis) == 1
                && (is_last || dim == 1 && group.is_empty())
            {
                left.pop_front();
                group.push(axis);
            }
            if product != dim {
                return None;
            }
            made.groups.push(group);
        }
        // Leading axes of size 1 of the next group were left for it; none of another size may be left.
        if !left.iter().all(|&axis| made.size(shape, axis) == 1) {
            return None;
        }
        Some(made.joined(shape, [CHANNELS, OF_GROUP]).map_or(made, |(_, whole)| whole))
    }

    /// The same elements with each stored axis of size 1 in the first axis that has no other, rows before columns, and those
    /// left over in the last axis. So layouts of the same dimensions are equal, whatever way axes of size 1 have gone,
    /// and an axis of size 1 that becomes longer has a stored one.
    pub fn settled(mut self, shape: Shape) -> Layout {
        // The only channel stays where it is an axis: before or behind rows and columns.
        let is_axis = |stored: usize| self.groups.iter().any(|group| group[..] == [stored]);
        let is_free =
            |&stored: &usize| self.size(shape, stored) == 1 && (stored != CHANNELS || !is_axis(stored));
        let mut free: VecDeque<usize> = (0..3).filter(is_free).collect();
        for group in &mut self.groups {
            group.retain(|stored| !free.contains(stored));
        }
        for group in self.groups.iter_mut().filter(|group| group.is_empty()) {
            group.extend(free.pop_front());
        }
        if let Some(last) = self.groups.last_mut() {
            last.extend(free);
        }
        self
    }

    /// The number of groups by which the channels are shuffled, and the layout of what the shuffle gives, where the two
    /// axes into which they are divided are one again in the other order.
    pub fn shuffled(&self, shape: Shape) -> Option<(usize, Layout)> {
        self.joined(shape, [OF_GROUP, CHANNELS])
    }

    /// The number of groups and the layout of whole channels, where their two parts are neighbors in this order.
    fn joined(&self, shape: Shape, parts: [usize; 2]) -> Option<(usize, Layout)> {
        let groups = self.divided?;
        let mut whole = self.clone();
        whole.divided = None;
        for group in &mut whole.groups {
            let long = |axis: &usize| self.size(shape, *axis) > 1;
            let neighbors: Vec<usize> = group.iter().copied().filter(long).collect();
            if neighbors.windows(2).any(|pair| pair == parts) {
                group.retain(|&axis| axis != parts[1]);
                group.iter_mut().filter(|axis| **axis == parts[0]).for_each(|axis| *axis = CHANNELS);
                return Some((groups, whole));
            }
        }
        None
    }

    /// Whether the elements are in the order in which they are stored.
    pub fn is_stored_order(&self, shape: Shape) -> bool {
        !self.is_divided() && self.order(shape).is_sorted()
    }

    /// The stored axes of more than one element in the order of the value, outermost first.
    pub fn order(&self, shape: Shape) -> Vec<usize> {
        self.groups.iter().flatten().copied().filter(|&axis| self.size(shape, axis) > 1).collect()
    }

    /// The stored axes of axis `axis`, which counts the batch as axis 0.
    pub fn group(&self, axis: usize) -> &[usize] {
        axis.checked_sub(1).and_then(|i| self.groups.get(i)).map_or(&[], Vec::as_slice)
    }

    /// The layout of the axes `axes`, which count the batch as axis 0, alone.
    pub fn picked(&self, axes: &[usize]) -> Layout {
        Layout { groups: axes.iter().map(|&axis| self.group(axis).to_vec()).collect(), ..self.clone() }
    }

    /// Which of rows (0) and columns (1) axis `axis`, which counts the batch as axis 0, is alone, so that it becomes longer
    /// with them.
    pub fn side(&self, axis: usize, shape: Shape) -> Option<usize> {
        (0..2).find(|side| self.group(axis).contains(&(side + 1)) && self.is(axis, side + 1, shape))
    }

    /// Whether the axes have all elements of a stored tensor of `shape`.
    pub fn holds(&self, shape: Shape) -> bool {
        let elements = self.dims(shape).into_iter().try_fold(1_usize, usize::checked_mul);
        elements == Some(shape.len())
    }

    /// Whether axis `axis`, which counts the batch as axis 0, is stored axis `stored` alone, and all of it.
    pub fn is(&self, axis: usize, stored: usize, shape: Shape) -> bool {
        let Some(group) = axis.checked_sub(1).and_then(|i| self.groups.get(i)) else { return false };
        let others = || group.iter().filter(|&&a| a != stored);
        let elsewhere = || self.groups.iter().flatten().any(|&a| a == stored);
        (!self.is_divided() || stored != CHANNELS)
            && others().all(|&a| self.size(shape, a) == 1)
            && (group.contains(&stored) || self.size(shape, stored) == 1 && !elsewhere())
    }

    /// Whether it is (N, C, H, W), but for axes of size 1.
    pub fn is_nchw(&self, shape: Shape) -> bool {
        self.rank() == 3 && (0..3).all(|stored| self.is(stored + 1, stored, shape))
    }

    /// Size of a stored axis, or of one of the two of divided channels.
    fn size(&self, shape: Shape, axis: usize) -> usize {
        match (axis, self.divided) {
            (CHANNELS, None) => shape.c,
            (CHANNELS, Some(groups)) => groups,
            (OF_GROUP, groups) => shape.c / groups.unwrap_or(1),
            (1, _) => shape.h,
            _ => shape.w,
        }
    }
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
        assert!(Layout::nchw().reshaped(MAP, &[32, 5]).is_some());
        // A part of the rows.
        assert!(Layout::nchw().reshaped(MAP, &[8, 2, 2, 5]).is_none());
    }

    #[test]
    fn channels_that_were_divided_are_whole_again_or_shuffled() {
        for (whole, parts) in [(Layout::nchw(), [2, 4, 4, 5]), (Layout::nhwc(), [4, 5, 2, 4])] {
            let (dims, place) = (whole.dims(MAP), parts.iter().position(|&n| n == 2).unwrap());
            let divided = whole.reshaped(MAP, &parts).unwrap();
            assert_eq!((divided.dims(MAP), divided.is_divided()), (parts.to_vec(), true));
            assert!((1..5).all(|axis| !divided.is(axis, 0, MAP)) && !divided.is_stored_order(MAP));
            assert_eq!((divided.reshaped(MAP, &dims), divided.shuffled(MAP)), (Some(whole.clone()), None));
            let mut order: Vec<usize> = (0..5).collect();
            order.swap(place + 1, place + 2);
            let swapped = divided.transposed(&order).unwrap();
            assert_eq!((swapped.dims(MAP)[place], swapped.shuffled(MAP)), (4, None));
            let joined = swapped.reshaped(MAP, &dims).unwrap();
            assert_eq!(joined.shuffled(MAP), Some((2, whole)));
            // Divided in other places than before.
            assert!(swapped.reshaped(MAP, &[2, 4, 4, 5]).is_none());
        }
        // Three parts, or parts that are none.
        assert!(Layout::nchw().reshaped(MAP, &[2, 2, 2, 4, 5]).is_none());
        assert!(Layout::nchw().reshaped(MAP, &[3, 4, 4, 5]).is_none());
    }

    #[test]
    fn a_vector_is_shuffled_too() {
        let vector = Shape::vector(6);
        let divided = Layout::nchw().reshaped(vector, &[3, 2]).unwrap();
        let swapped = divided.transposed(&[0, 2, 1]).unwrap().reshaped(vector, &[6]).unwrap();
        let (groups, whole) = swapped.shuffled(vector).unwrap();
        assert_eq!((groups, whole.dims(vector), whole.is_stored_order(vector)), (3, vec![6], true));
    }

    #[test]
    fn axes_that_become_longer_have_a_stored_axis() {
        let pooled = Shape { c: 8, h: 1, w: 1 };
        let resized = Shape { c: 8, h: 2, w: 3 };
        let swapped = Layout::nchw().transposed(&[0, 1, 3, 2]).unwrap();
        for map in [Layout::nchw(), Layout::nhwc(), Layout::flat(), swapped] {
            assert_eq!(map.reshaped(pooled, &[8, 1, 1]).unwrap().settled(pooled), Layout::nchw());
            // Without rows and columns, by leaving them out or by joining them.
            let channels: Vec<usize> = (1..=map.rank()).filter(|&a| map.dims(pooled)[a - 1] > 1).collect();
            for vector in [map.picked(&channels), map.reshaped(pooled, &[8]).unwrap()] {
                let vector = vector.settled(pooled);
                assert_eq!(vector, Layout::flat());
                for dims in [[8, 1, 1], [1, 8, 1], [1, 1, 8]] {
                    let again = vector.reshaped(pooled, &dims).unwrap().settled(pooled);
                    let sides: Vec<_> = (1..4).filter_map(|axis| again.side(axis, pooled)).collect();
                    assert_eq!(sides, [0, 1], "{again:?}");
                    assert!(again.holds(resized), "{again:?}");
                    let longer = again.dims(resized).into_iter().filter(|&n| n != 8);
                    assert_eq!(longer.collect::<Vec<_>>(), [2, 3], "{again:?}");
                }
                let again = vector.reshaped(pooled, &[1, 8]).unwrap().settled(pooled);
                let one = Shape { h: 5, ..pooled };
                assert_eq!((again.side(1, pooled), again.dims(one)), (Some(0), vec![5, 8]));
            }
        }
        // What no axis has cannot become longer.
        assert!(!Layout::nchw().picked(&[1]).holds(resized));
        // A single channel, whose axis has come back; a single row behind the columns.
        let gray = Shape { c: 1, h: 4, w: 5 };
        let plane = Layout::nchw().picked(&[2, 3]).settled(gray);
        assert!(plane.reshaped(gray, &[1, 4, 5]).unwrap().settled(gray).is_nchw(gray));
        assert_eq!(plane.reshaped(gray, &[4, 5, 1]).unwrap().settled(gray), Layout::nhwc());
        let row = Shape { c: 8, h: 1, w: 5 };
        let column = Layout::nchw().reshaped(row, &[8, 5, 1]).unwrap().settled(row);
        assert_eq!(
            (column.side(2, row), column.side(3, row), column.is_nchw(row)),
            (Some(1), Some(0), false)
        );
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
