//! Index arithmetic: dimensions and strides of operands that are repeated along some axes, and limits of results.

/// Most elements of a result that is larger than every operand.
const MAX_GROWN: usize = 1 << 20;

/// The number of elements of a result of dimensions `dims`, of which the largest operand has `largest`.
///
/// # Errors
/// When it has more than any operand, and than a constant may grow to.
pub(super) fn bounded_count(dims: &[usize], largest: usize) -> Result<usize, String> {
    let limit = largest.max(MAX_GROWN);
    count(dims)
        .filter(|&count| count <= limit)
        .ok_or_else(|| format!("a constant of {dims:?} elements, at most {limit} are computed"))
}

/// The product of dimensions; `None` where it does not fit.
pub(super) fn count(dims: &[usize]) -> Option<usize> {
    if dims.contains(&0) { Some(0) } else { dims.iter().try_fold(1_usize, |count, &n| count.checked_mul(n)) }
}

/// Distance in elements between neighbors in each dimension of a tensor that exists.
pub(super) fn strides(dims: &[usize]) -> Vec<isize> {
    let mut strides = vec![1; dims.len()];
    for i in (1..dims.len()).rev() {
        strides[i - 1] = (dims[i] as isize).wrapping_mul(strides[i]);
    }
    strides
}

/// The dimensions of an elementwise result of operands of `all` dimensions, and for each operand the distance in elements
/// between neighbors, 0 where it is repeated.
///
/// # Errors
/// When they do not fit to each other, or the result would be too large.
pub(super) fn broadcast(all: &[&[usize]]) -> Result<(Vec<usize>, Vec<Vec<isize>>), String> {
    let rank = all.iter().map(|dims| dims.len()).max().unwrap_or(0);
    let padded: Vec<Vec<usize>> =
        all.iter().map(|dims| [vec![1; rank - dims.len()], dims.to_vec()].concat()).collect();
    let mut dims = vec![1; rank];
    for own in &padded {
        for (size, &n) in dims.iter_mut().zip(own).filter(|&(_, &n)| n != 1) {
            if *size != 1 && *size != n {
                return Err(all.iter().map(|dims| format!("{dims:?}")).collect::<Vec<_>>().join(" with "));
            }
            *size = n;
        }
    }
    bounded_count(&dims, all.iter().filter_map(|dims| count(dims)).max().unwrap_or(0))?;
    let steps = padded.iter().map(|own| {
        strides(own).into_iter().zip(own).map(|(stride, &n)| if n == 1 { 0 } else { stride }).collect()
    });
    Ok((dims, steps.collect()))
}

/// Indices of elements in row-major order of `dims`, the first of which is `first` and where a step in dimension `i` is
/// `steps[i]`.
pub(super) struct Places<'a> {
    dims: &'a [usize],
    steps: &'a [isize],
    at: Vec<usize>,
    index: isize,
    left: usize,
}

impl<'a> Places<'a> {
    /// The indices of a result whose number of elements is known to be bounded.
    pub(super) fn new(dims: &'a [usize], first: usize, steps: &'a [isize]) -> Self {
        Places { dims, steps, at: vec![0; dims.len()], index: first as isize, left: count(dims).unwrap_or(0) }
    }
}

impl Iterator for Places<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let here = self.index as usize;
        for i in (0..self.dims.len()).rev() {
            self.at[i] += 1;
            self.index += self.steps[i];
            if self.at[i] < self.dims[i] {
                break;
            }
            self.index -= self.at[i] as isize * self.steps[i];
            self.at[i] = 0;
        }
        Some(here)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}
