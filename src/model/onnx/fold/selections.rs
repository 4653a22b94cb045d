//! Constants made of elements of others: transposed, concatenated, gathered, sliced, expanded, chosen.

use super::broadcast::{Places, bounded_count, broadcast, count, strides};
use super::dimensions::{axis, sizes};
use crate::model::onnx::messages::NodeProto;
use crate::model::onnx::tensor::{Elements, Tensor};

/// How many times the elements of its largest part a concatenation may have that is larger than other results.
const MAX_PARTS: usize = 4;

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

/// The tensor whose dimension `i` is dimension `order[i]` of `x`, where `order` is a permutation.
pub(super) fn transpose(x: &Tensor, order: &[usize]) -> Tensor {
    let dims: Vec<usize> = order.iter().map(|&axis| x.dims[axis]).collect();
    let strides = strides(&x.dims);
    let steps: Vec<isize> = order.iter().map(|&axis| strides[axis]).collect();
    x.picked(dims.clone(), Places::new(&dims, 0, &steps))
}

/// The parts one behind the other along an axis.
///
/// # Errors
/// When they do not fit to each other, or the result would be too large.
pub(super) fn concat(parts: &[&Tensor], along: i64) -> Result<Tensor, String> {
    let first = parts.first().ok_or("no input")?;
    let along = axis(along, first.dims.len())?;
    let mut dims = first.dims.clone();
    dims[along] = 0;
    for part in parts {
        let mut others = part.dims.clone();
        let size = others.get_mut(along).map(|n| std::mem::replace(n, dims[along]));
        let Some(size) = size.filter(|_| others == dims) else {
            return Err(format!("{:?} beside {:?}", part.dims, first.dims));
        };
        if part.element_name() != first.element_name() {
            let (a, b) = (first.element_name(), part.element_name());
            return Err(format!("elements of type {a} beside {b}"));
        }
        dims[along] = dims[along].saturating_add(size);
    }
    let largest = parts.iter().map(|part| part.len()).max().unwrap_or(0);
    let total = bounded_count(&dims, largest.saturating_mul(MAX_PARTS))?;
    let rows = if total == 0 { 0 } else { count(&dims[..along]).unwrap_or(0) };
    let elements = match &first.elements {
        Elements::Integers(_, kind) => {
            let parts = parts.iter().map(|part| part.as_integers()).collect::<Result<Vec<_>, _>>()?;
            Elements::Integers(interleaved(&parts, rows).into(), *kind)
        }
        Elements::Floats(_) => {
            let parts =
                parts.iter().map(|part| Ok(&part.as_floats()?[..])).collect::<Result<Vec<_>, String>>()?;
            Elements::Floats(interleaved(&parts, rows).into())
        }
    };
    Ok(Tensor { dims, elements })
}

/// The rows of all parts, each of which has `rows`: the first of every part, then the second of every part, ...
fn interleaved<T: Copy>(parts: &[&[T]], rows: usize) -> Vec<T> {
    let row = |part: &&[T], i: usize| part.len() / rows * i..part.len() / rows * (i + 1);
    (0..rows).flat_map(|i| parts.iter().flat_map(move |part| part[row(part, i)].iter().copied())).collect()
}

/// The parts of `x` along an axis that `indices` name.
///
/// # Errors
/// When there is none of such an index, or the result would be too large.
pub(super) fn gather(x: &Tensor, indices: &Tensor, along: i64) -> Result<Tensor, String> {
    let along = axis(along, x.dims.len())?;
    let size = x.dims[along];
    let picks = indices.as_integers()?.iter().map(|&i| axis(i, size));
    let picks = picks.collect::<Result<Vec<_>, _>>()?;
    let dims = [&x.dims[..along], &indices.dims, &x.dims[along + 1..]].concat();
    if bounded_count(&dims, x.len())? == 0 {
        return Ok(x.picked(dims, std::iter::empty()));
    }
    // Not zero, and parts of the tensor.
    let (outer, inner): (usize, usize) =
        (x.dims[..along].iter().product(), x.dims[along + 1..].iter().product());
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
        if dims.contains(&0) {
            return Ok(x.picked(dims, std::iter::empty()));
        }
        let strides = strides(&x.dims);
        let first = ranges.iter().zip(&strides).map(|(&(first, ..), &stride)| first * stride as usize).sum();
        let steps: Vec<isize> = ranges
            .iter()
            .zip(&strides)
            .map(|(&(.., step), &stride)| (step as isize).wrapping_mul(stride))
            .collect();
        Ok(x.picked(dims.clone(), Places::new(&dims, first, &steps)))
    }
}

/// The lengths of the parts of a `Split` of `size` elements: an attribute before opset 13, input `asked` since; without
/// them as many parts as the node has results, of the same length, but a shorter last one if `num_outputs` says how many.
///
/// # Errors
/// When they are not all elements.
pub fn split_sizes(node: &NodeProto, size: usize, asked: Option<&Tensor>) -> Result<Vec<usize>, String> {
    let count = node.outputs.len();
    let asked = match (node.ints("split")?, asked) {
        (Some(list), _) => Some(list.to_vec()),
        (None, Some(list)) => Some(list.as_integers()?.to_vec()),
        (None, None) => None,
    };
    let Some(asked) = asked else {
        let parts = node.int("num_outputs", count as i64)?;
        let is_even = !node.attributes.contains_key("num_outputs");
        if parts != count as i64 || count == 0 || is_even && !size.is_multiple_of(count) {
            return Err(format!("{size} elements in {parts} parts, {count} results"));
        }
        let part = size.div_ceil(count);
        return Ok((0..count).map(|i| size.min((i + 1) * part) - size.min(i * part)).collect());
    };
    let lengths = sizes(&asked)?;
    let total = lengths.iter().try_fold(0_usize, |sum, &n| sum.checked_add(n));
    if total != Some(size) || lengths.len() != count {
        return Err(format!("{size} elements in parts of {asked:?}, {count} results"));
    }
    Ok(lengths)
}

/// The parts of `x` along an axis, one behind the other.
///
/// # Errors
/// When they are not all of it.
pub(super) fn split(node: &NodeProto, x: &Tensor, asked: Option<&Tensor>) -> Result<Vec<Tensor>, String> {
    let along = axis(node.int("axis", 0)?, x.dims.len())?;
    let mut first = 0;
    let mut parts = Vec::new();
    for size in split_sizes(node, x.dims[along], asked)? {
        let end = first + size;
        let ranges = SliceRanges { ranges: vec![(along as i64, first as i64, end as i64, 1)] };
        parts.push(ranges.of(x)?);
        first = end;
    }
    Ok(parts)
}

/// `x` with its dimensions of size 1 and missing ones repeated, as far as `other` ones say.
///
/// # Errors
/// When they do not fit to each other, or the result would be too large.
pub(super) fn expand(x: &Tensor, other: &[i64]) -> Result<Tensor, String> {
    let other = sizes(other)?;
    bounded_count(&other, x.len())?;
    let (dims, steps) = broadcast(&[&x.dims, &other])?;
    Ok(x.picked(dims.clone(), Places::new(&dims, 0, &steps[0])))
}

/// The elements of `a` where `condition` is true, of `b` elsewhere: a `Where`.
///
/// # Errors
/// When their dimensions or types do not fit to each other.
pub(super) fn choose(condition: &Tensor, a: &Tensor, b: &Tensor) -> Result<Tensor, String> {
    let (dims, steps) = broadcast(&[&condition.dims, &a.dims, &b.dims])?;
    let condition = condition.as_integers()?;
    let places = |i: usize| Places::new(&dims, 0, &steps[i]);
    let places = places(0).zip(places(1)).zip(places(2));
    let elements = match (&a.elements, &b.elements) {
        (Elements::Floats(a), Elements::Floats(b)) => {
            Elements::Floats(places.map(|((c, i), k)| if condition[c] != 0 { a[i] } else { b[k] }).collect())
        }
        (Elements::Integers(a, kind), Elements::Integers(b, other)) if kind == other => {
            let results = places.map(|((c, i), k)| if condition[c] != 0 { a[i] } else { b[k] });
            Elements::Integers(results.collect(), *kind)
        }
        _ => return Err(format!("elements of type {} beside {}", a.element_name(), b.element_name())),
    };
    Ok(Tensor { dims, elements })
}
