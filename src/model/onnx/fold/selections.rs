//! Constants made of elements of others: transposed, joined, picked, repeated.

use super::dimensions::{axis, sizes};
use super::{MAX_GROWN, grown};
use crate::model::onnx::messages::NodeProto;
use crate::model::onnx::tensor::{Elements, Tensor};

/// The tensor whose dimension `i` is dimension `order[i]` of `x`.
///
/// # Errors
/// Never, for a permutation of its dimensions.
pub fn transposed(x: &Tensor, order: &[usize]) -> Result<Tensor, String> {
    let dims: Vec<usize> = order.iter().map(|&axis| x.dims[axis]).collect();
    let strides = strides(&x.dims);
    let steps: Vec<usize> = order.iter().map(|&axis| strides[axis]).collect();
    Ok(x.picked(dims.clone(), Places::new(&dims, &steps)))
}

/// Distance in elements between neighbors in each dimension.
pub(super) fn strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; dims.len()];
    for i in (1..dims.len()).rev() {
        strides[i - 1] = strides[i] * dims[i];
    }
    strides
}

/// Indices of elements in row-major order of `dims`, where a step in dimension `i` is `steps[i]`.
pub(super) struct Places<'a> {
    dims: &'a [usize],
    steps: &'a [usize],
    at: Vec<usize>,
    index: usize,
    left: usize,
}

impl<'a> Places<'a> {
    pub(super) fn new(dims: &'a [usize], steps: &'a [usize]) -> Self {
        Places { dims, steps, at: vec![0; dims.len()], index: 0, left: dims.iter().product() }
    }
}

impl Iterator for Places<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let here = self.index;
        for i in (0..self.dims.len()).rev() {
            self.at[i] += 1;
            self.index += self.steps[i];
            if self.at[i] < self.dims[i] {
                break;
            }
            self.index -= self.at[i] * self.steps[i];
            self.at[i] = 0;
        }
        Some(here)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl Tensor {
    /// The elements at `places`, as a tensor of `dims`.
    pub(super) fn picked(&self, dims: Vec<usize>, places: impl Iterator<Item = usize>) -> Tensor {
        let elements = match &self.elements {
            Elements::Floats(all) => Elements::Floats(places.map(|i| all[i]).collect()),
            Elements::Integers(all, kind) => Elements::Integers(places.map(|i| all[i]).collect(), *kind),
        };
        Tensor { dims, elements }
    }
}

pub(super) fn constant_of_shape(node: &NodeProto, shape: &Tensor) -> Result<Tensor, String> {
    let value = if node.attributes.is_empty() { Tensor::floats(&[1], [0.0]) } else { node.constant()? };
    let dims = sizes(shape.as_integers()?)?;
    let count = grown(&dims)?;
    if value.len() != 1 {
        return Err("a value of several elements".into());
    }
    Ok(value.picked(dims, std::iter::repeat_n(0, count)))
}

pub(super) fn concat(parts: &[&Tensor], along: i64) -> Result<Tensor, String> {
    let first = parts.first().ok_or("no input")?;
    let along = axis(along, first.dims.len())?;
    let mut dims = first.dims.clone();
    dims[along] = 0;
    for part in parts {
        let mut others = part.dims.clone();
        if others.len() != dims.len() {
            return Err(format!("{:?} beside {:?}", part.dims, first.dims));
        }
        let size = std::mem::replace(&mut others[along], dims[along]);
        if others != dims {
            return Err(format!("{:?} beside {:?}", part.dims, first.dims));
        }
        dims[along] += size;
    }
    let outer: usize = dims[..along].iter().product();
    Ok(match &first.elements {
        Elements::Integers(_, kind) => {
            let parts = parts.iter().map(|part| part.as_integers()).collect::<Result<Vec<_>, _>>()?;
            Tensor { elements: Elements::Integers(interleaved(&parts, outer).into(), *kind), dims }
        }
        Elements::Floats(_) => {
            let parts =
                parts.iter().map(|part| Ok(&part.as_floats()?[..])).collect::<Result<Vec<_>, String>>()?;
            Tensor::floats(&dims, interleaved(&parts, outer))
        }
    })
}

/// The rows of all parts, each of which has `rows`: the first of every part, then the second of every part, ...
fn interleaved<T: Copy>(parts: &[&[T]], rows: usize) -> Vec<T> {
    let row = |part: &&[T], i: usize| part.len() / rows * i..part.len() / rows * (i + 1);
    (0..rows).flat_map(|i| parts.iter().flat_map(move |part| part[row(part, i)].iter().copied())).collect()
}

pub(super) fn gather(x: &Tensor, indices: &Tensor, along: i64) -> Result<Tensor, String> {
    let along = axis(along, x.dims.len())?;
    let size = *x.dims.get(along).ok_or("a scalar has no axis")?;
    let picks = indices.as_integers()?.iter().map(|&i| axis(i, size));
    let picks = picks.collect::<Result<Vec<_>, _>>()?;
    if size == 0 && !picks.is_empty() {
        return Err("an index into nothing".into());
    }
    let dims = [&x.dims[..along], &indices.dims, &x.dims[along + 1..]].concat();
    let (outer, inner): (usize, usize) =
        (x.dims[..along].iter().product(), x.dims[along + 1..].iter().product());
    let grown = outer.saturating_mul(inner).saturating_mul(picks.len());
    if grown > MAX_GROWN.max(x.len()) {
        return Err("a constant that is too large".into());
    }
    let places = (0..outer).flat_map(|i| {
        picks.iter().flat_map(move |&pick| (0..inner).map(move |k| (i * size + pick) * inner + k))
    });
    Ok(x.picked(dims, places.collect::<Vec<_>>().into_iter()))
}

/// The ranges of a `Slice`: attributes before opset 10, inputs since.
pub struct SliceRanges {
    /// Axis, first, end, step of each.
    pub ranges: Vec<(i64, i64, i64, i64)>,
}

impl SliceRanges {
    /// The ranges of `node`; its first input is what is sliced.
    ///
    /// # Errors
    /// When they are incomplete.
    pub fn new(node: &NodeProto, inputs: &[Option<&Tensor>]) -> Result<SliceRanges, String> {
        let list = |i: usize, name: &str| -> Result<Option<Vec<i64>>, String> {
            match (node.ints(name)?, inputs.get(i).copied().flatten()) {
                (Some(list), _) => Ok(Some(list.to_vec())),
                (None, Some(input)) => Ok(Some(input.as_integers()?.to_vec())),
                (None, None) => Ok(None),
            }
        };
        let starts = list(1, "starts")?.ok_or("the starts are missing or depend on the image")?;
        let ends = list(2, "ends")?.ok_or("the ends are missing or depend on the image")?;
        let axes = list(3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = list(4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
        if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
            return Err("lists of different lengths".into());
        }
        let ranges = (0..starts.len()).map(|i| (axes[i], starts[i], ends[i], steps[i])).collect();
        Ok(SliceRanges { ranges })
    }

    /// For each dimension of `dims` first, count and step.
    ///
    /// # Errors
    /// When an axis is not one of them, or a step is 0.
    pub fn resolved(&self, dims: &[usize]) -> Result<Vec<(usize, usize, i64)>, String> {
        let mut all: Vec<(usize, usize, i64)> = dims.iter().map(|&n| (0, n, 1)).collect();
        for &(along, start, end, step) in &self.ranges {
            let along = axis(along, dims.len())?;
            let size = *dims.get(along).ok_or("a scalar has no axis")? as i64;
            let from_end = |n: i64| if n < 0 { n.saturating_add(size) } else { n };
            let (first, count) = match step {
                0 => return Err("a step of 0".into()),
                1.. => {
                    let (first, end) = (from_end(start).clamp(0, size), from_end(end).clamp(0, size));
                    (first, ((end - first).max(0) as u64).div_ceil(step.unsigned_abs()))
                }
                _ => {
                    let (first, end) =
                        (from_end(start).clamp(-1, size - 1), from_end(end).clamp(-1, size - 1));
                    (first, ((first - end).max(0) as u64).div_ceil(step.unsigned_abs()))
                }
            };
            all[along] = (first.max(0) as usize, count as usize, step);
        }
        Ok(all)
    }

    /// The part of `x`.
    pub(super) fn of(&self, x: &Tensor) -> Result<Tensor, String> {
        let ranges = self.resolved(&x.dims)?;
        let dims: Vec<usize> = ranges.iter().map(|&(_, count, _)| count).collect();
        let strides = strides(&x.dims);
        let mut places = vec![0_usize];
        for (&(first, count, step), stride) in ranges.iter().zip(strides) {
            let offset = |k: usize| (first as i64 + k as i64 * step) as usize * stride;
            places = places.iter().flat_map(|&base| (0..count).map(move |k| base + offset(k))).collect();
        }
        Ok(x.picked(dims, places.into_iter()))
    }
}

pub(super) fn range(inputs: &[Option<&Tensor>]) -> Result<Tensor, String> {
    let number = |i: usize| -> Result<i64, String> {
        let tensor = inputs.get(i).copied().flatten().ok_or("an input is missing")?;
        Ok(*tensor.as_integers()?.first().ok_or("an empty tensor")?)
    };
    let (start, limit, step) = (number(0)?, number(1)?, number(2)?);
    if step == 0 || limit.abs_diff(start) / step.unsigned_abs() > MAX_GROWN as u64 {
        return Err(format!("a range from {start} to {limit} in steps of {step}"));
    }
    let mut elements = Vec::new();
    let mut at = start;
    while if step > 0 { at < limit } else { at > limit } {
        elements.push(at);
        let Some(next) = at.checked_add(step) else { break };
        at = next;
    }
    Ok(Tensor::integers(&[elements.len()], elements))
}

/// `x` with its dimensions of size 1 and missing ones repeated, as far as `other` ones say.
pub(super) fn expanded(x: &Tensor, other: &[i64]) -> Result<Tensor, String> {
    let (dims, steps) = broadcast(&[&x.dims, &sizes(other)?])?;
    if dims.iter().product::<usize>() > x.len() {
        grown(&dims)?;
    }
    Ok(x.picked(dims.clone(), Places::new(&dims, &steps[0])))
}

/// The dimensions of an elementwise result of operands of `all` dimensions, and for each operand the distance in elements
/// between neighbors, 0 where it is repeated.
///
/// # Errors
/// When they do not fit to each other.
pub(super) fn broadcast(all: &[&[usize]]) -> Result<(Vec<usize>, Vec<Vec<usize>>), String> {
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
    let steps = padded.iter().map(|own| {
        strides(own).into_iter().zip(own).map(|(stride, &n)| if n == 1 { 0 } else { stride }).collect()
    });
    Ok((dims, steps.collect()))
}
