//! Operators on constants: arithmetic of shapes, and weights that exporters reshape, transpose or scale.

use super::messages::NodeProto;
use super::tensor::{Elements, Tensor, is_floating_point};

/// Most elements of a result that is larger than every operand.
const MAX_GROWN: usize = 1 << 20;

/// The result of `node` for constant `inputs`; `None` for an operator that is not computed here. An input that is not
/// given is `None`.
///
/// # Errors
/// When the operator does not accept such inputs.
pub fn fold(node: &NodeProto, inputs: &[Option<&Tensor>]) -> Option<Result<Vec<Tensor>, String>> {
    let one = |result: Result<Tensor, String>| Some(result.map(|tensor| vec![tensor]));
    let input =
        |i: usize| inputs.get(i).copied().flatten().ok_or_else(|| format!("input {} is missing", i + 1));
    match node.op.as_str() {
        "Constant" => one(node.constant()),
        "ConstantOfShape" => one(input(0).and_then(|shape| constant_of_shape(node, shape))),
        "Identity" | "Dropout" => one(input(0).cloned()),
        "Cast" => one(input(0).and_then(|x| Ok(cast(x, node.int("to", 1)?)))),
        "Shape" => one(input(0).and_then(|x| shape(node, &x.dims))),
        "Size" => one(input(0).map(|x| Tensor::integers(&[], vec![x.len() as i64]))),
        "Reshape" => one(input(0).and_then(|x| {
            let dims = reshaped(&x.dims, input(1)?.as_integers()?, node.int("allowzero", 0)? != 0)?;
            Ok(Tensor { dims, elements: x.elements.clone() })
        })),
        "Flatten" => one(input(0).and_then(|x| {
            let dims = flattened(&x.dims, node.int("axis", 1)?)?;
            Ok(Tensor { dims, elements: x.elements.clone() })
        })),
        "Transpose" => one(input(0).and_then(|x| transposed(x, &permutation(node, x.dims.len())?))),
        "Squeeze" | "Unsqueeze" => one(input(0).and_then(|x| {
            let axes = axes(node, inputs.get(1).copied().flatten())?;
            let dims =
                if node.op == "Squeeze" { squeezed(&x.dims, axes) } else { unsqueezed(&x.dims, axes) }?;
            Ok(Tensor { dims, elements: x.elements.clone() })
        })),
        "Concat" => one(inputs
            .iter()
            .map(|x| x.ok_or_else(|| "an input is missing".into()))
            .collect::<Result<Vec<_>, String>>()
            .and_then(|parts| concat(&parts, node.int("axis", 0)?))),
        "Gather" => one(input(0).and_then(|x| gather(x, input(1)?, node.int("axis", 0)?))),
        "Slice" => one(input(0).and_then(|x| {
            let ranges = SliceRanges::new(node, inputs)?;
            ranges.of(x)
        })),
        "Range" => one(range(inputs)),
        "Expand" => one(input(0).and_then(|x| {
            let dims = sizes(input(1)?.as_integers()?)?;
            elementwise(x, &Tensor::integers(&dims, Vec::new()).zeros_like(x)?, |a, _| a, |a, _| a)
        })),
        "ReduceProd" => one(input(0).and_then(|x| {
            let product = x.as_integers()?.iter().try_fold(1_i64, |product, &n| product.checked_mul(n));
            Ok(Tensor::integers(&[], vec![product.ok_or("a product of more than 64 bits")?]))
        })),
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Min" | "Max" | "Equal" | "Less" | "Greater" => {
            one(input(0).and_then(|a| binary(&node.op, a, input(1)?)))
        }
        "Neg" | "Sqrt" | "Reciprocal" | "Sigmoid" | "Exp" | "Abs" | "Floor" | "Ceil" | "Tanh" | "Relu" => {
            one(input(0).and_then(|x| unary(&node.op, x)))
        }
        "Where" => one(input(0).and_then(|condition| {
            let (a, b) = (input(1)?, input(2)?);
            let of_a = elementwise(condition, a, |_, _| 0.0, |c, a| if c != 0 { a } else { 0 })?;
            let of_b = elementwise(condition, b, |_, _| 0.0, |c, b| if c != 0 { 0 } else { b })?;
            elementwise(&of_a, &of_b, |_, _| 0.0, |a, b| a + b)
        })),
        _ => None,
    }
}

/// Whether `node` is computed here where its inputs are constant.
pub fn is_folded(node: &NodeProto) -> bool {
    fold(node, &[]).is_some()
}

/// The place of axis `axis`, which counts from the end if it is negative, among `rank` ones.
///
/// # Errors
/// When there is none.
pub fn axis(axis: i64, rank: usize) -> Result<usize, String> {
    let place = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(place).ok().filter(|&place| place < rank).ok_or_else(|| format!("axis {axis} of {rank}"))
}

/// The axes of `Squeeze`, `Unsqueeze` and reductions: an attribute before opset 13 (reductions: 18), an input since.
///
/// # Errors
/// When they are no integers.
pub fn axes(node: &NodeProto, input: Option<&Tensor>) -> Result<Option<Vec<i64>>, String> {
    match (node.ints("axes")?, input) {
        (Some(axes), _) => Ok(Some(axes.to_vec())),
        (None, Some(axes)) => Ok(Some(axes.as_integers()?.to_vec())),
        (None, None) => Ok(None),
    }
}

/// The dimensions without those of size 1 at `axes`; without axes, without all of size 1.
///
/// # Errors
/// When one is not of size 1.
pub fn squeezed(dims: &[usize], axes: Option<Vec<i64>>) -> Result<Vec<usize>, String> {
    let Some(axes) = axes else { return Ok(dims.iter().copied().filter(|&n| n != 1).collect()) };
    let mut left = dims.to_vec();
    for &given in &axes {
        let place = axis(given, dims.len())?;
        if dims[place] != 1 {
            return Err(format!("axis {given} of {dims:?} is not of size 1"));
        }
        left[place] = 0;
    }
    Ok(left.into_iter().zip(dims).filter(|&(left, &n)| left != 0 || n == 0).map(|(_, &n)| n).collect())
}

/// The dimensions with one of size 1 at each of `axes`.
///
/// # Errors
/// When the axes are missing, or there are no such places.
pub fn unsqueezed(dims: &[usize], axes: Option<Vec<i64>>) -> Result<Vec<usize>, String> {
    let axes = axes.ok_or("the axes are missing")?;
    let rank = dims.len() + axes.len();
    let mut places = axes.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>, _>>()?;
    places.sort_unstable();
    let mut all = dims.to_vec();
    for place in places {
        if place > all.len() {
            return Err(format!("axes {axes:?} of {rank}"));
        }
        all.insert(place, 1);
    }
    Ok(all)
}

/// The two dimensions that `Flatten` makes: those before `axis` and the others.
///
/// # Errors
/// When there is no such axis; the end is one.
pub fn flattened(dims: &[usize], axis: i64) -> Result<Vec<usize>, String> {
    let rank = dims.len() as i64;
    let place =
        usize::try_from(if axis < 0 { axis + rank } else { axis }).ok().filter(|&place| place <= dims.len());
    let place = place.ok_or_else(|| format!("axis {axis} of {rank}"))?;
    Ok(vec![dims[..place].iter().product(), dims[place..].iter().product()])
}

/// The dimensions that `Reshape` asks for: 0 keeps a dimension (unless `zeros` are meant), -1 takes what is left.
///
/// # Errors
/// When they have another number of elements.
pub fn reshaped(dims: &[usize], target: &[i64], zeros: bool) -> Result<Vec<usize>, String> {
    let disagree = || format!("{dims:?} cannot become {target:?}");
    let kept = |(i, &n): (usize, &i64)| match n {
        0 if !zeros => dims.get(i).copied().ok_or_else(disagree),
        -1 => Ok(1),
        n => usize::try_from(n).map_err(|_| disagree()),
    };
    let mut all = target.iter().enumerate().map(kept).collect::<Result<Vec<_>, _>>()?;
    let product = |dims: &[usize]| dims.iter().try_fold(1_usize, |count, &n| count.checked_mul(n));
    let (count, known) = (product(dims).ok_or_else(disagree)?, product(&all).ok_or_else(disagree)?);
    let mut free = target.iter().enumerate().filter(|&(_, &n)| n == -1).map(|(i, _)| i);
    if let Some(place) = free.next() {
        if free.next().is_some() || known == 0 || count % known != 0 {
            return Err(disagree());
        }
        all[place] = count / known;
    } else if known != count {
        return Err(disagree());
    }
    Ok(all)
}

/// The permutation of a `Transpose` of `rank` dimensions.
///
/// # Errors
/// When it is none.
pub fn permutation(node: &NodeProto, rank: usize) -> Result<Vec<usize>, String> {
    let Some(given) = node.ints("perm")? else { return Ok((0..rank).rev().collect()) };
    let order = given.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>, _>>()?;
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if sorted.into_iter().eq(0..rank) {
        Ok(order)
    } else {
        Err(format!("permutation {given:?} of {rank} axes"))
    }
}

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
fn strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; dims.len()];
    for i in (1..dims.len()).rev() {
        strides[i - 1] = strides[i] * dims[i];
    }
    strides
}

/// Indices of elements in row-major order of `dims`, where a step in dimension `i` is `steps[i]`.
struct Places<'a> {
    dims: &'a [usize],
    steps: &'a [usize],
    at: Vec<usize>,
    index: usize,
    left: usize,
}

impl<'a> Places<'a> {
    fn new(dims: &'a [usize], steps: &'a [usize]) -> Self {
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
    fn picked(&self, dims: Vec<usize>, places: impl Iterator<Item = usize>) -> Tensor {
        let elements = match &self.elements {
            Elements::Floats(all) => Elements::Floats(places.map(|i| all[i]).collect()),
            Elements::Integers(all) => Elements::Integers(places.map(|i| all[i]).collect()),
        };
        Tensor { dims, elements }
    }

    /// Zeros of its dimensions and of the type of `other`.
    fn zeros_like(&self, other: &Tensor) -> Result<Tensor, String> {
        let count = self.dims.iter().try_fold(1_usize, |count, &n| count.checked_mul(n));
        let count = count.filter(|&count| count <= MAX_GROWN).ok_or("a constant that is too large")?;
        Ok(match other.elements {
            Elements::Floats(_) => Tensor::floats(&self.dims, std::iter::repeat_n(0.0, count)),
            Elements::Integers(_) => Tensor::integers(&self.dims, vec![0; count]),
        })
    }
}

fn cast(x: &Tensor, to: i64) -> Tensor {
    let elements = match (&x.elements, is_floating_point(to)) {
        (Elements::Integers(elements), true) => {
            Elements::Floats(elements.iter().map(|&n| n as f32).collect())
        }
        (Elements::Floats(elements), false) => {
            Elements::Integers(elements.iter().map(|&x| x as i64).collect())
        }
        _ => x.elements.clone(),
    };
    Tensor { dims: x.dims.clone(), elements }
}

/// The result of `Shape` for `dims`: all of them, or since opset 15 those from `start` to `end`.
///
/// # Errors
/// When `start` or `end` is no integer.
pub fn shape(node: &NodeProto, dims: &[usize]) -> Result<Tensor, String> {
    let rank = dims.len() as i64;
    let place = |n: i64| (if n < 0 { n + rank } else { n }).clamp(0, rank) as usize;
    let (start, end) = (place(node.int("start", 0)?), place(node.int("end", rank)?));
    let dims: Vec<i64> = dims[start.min(end)..end].iter().map(|&n| n as i64).collect();
    Ok(Tensor::integers(&[dims.len()], dims))
}

fn sizes(dims: &[i64]) -> Result<Vec<usize>, String> {
    dims.iter().map(|&n| usize::try_from(n).map_err(|_| format!("dimensions {dims:?}"))).collect()
}

fn constant_of_shape(node: &NodeProto, shape: &Tensor) -> Result<Tensor, String> {
    let value = if node.attributes.is_empty() { Tensor::floats(&[1], [0.0]) } else { node.constant()? };
    let dims = sizes(shape.as_integers()?)?;
    let zeros = Tensor::integers(&dims, Vec::new()).zeros_like(&value)?;
    if value.len() != 1 {
        return Err("a value of several elements".into());
    }
    Ok(value.picked(dims, std::iter::repeat_n(0, zeros.len())))
}

fn concat(parts: &[&Tensor], along: i64) -> Result<Tensor, String> {
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
        Elements::Integers(_) => {
            let parts = parts.iter().map(|part| part.as_integers()).collect::<Result<Vec<_>, _>>()?;
            Tensor::integers(&dims, interleaved(&parts, outer))
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

fn gather(x: &Tensor, indices: &Tensor, along: i64) -> Result<Tensor, String> {
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

    fn of(&self, x: &Tensor) -> Result<Tensor, String> {
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

fn range(inputs: &[Option<&Tensor>]) -> Result<Tensor, String> {
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

fn binary(op: &str, a: &Tensor, b: &Tensor) -> Result<Tensor, String> {
    let is_float = |x: &Tensor| matches!(x.elements, Elements::Floats(_));
    if !is_float(a) && op == "Div" && b.as_integers()?.contains(&0) {
        return Err("a division by zero".into());
    }
    let floats: fn(f32, f32) -> f32 = match op {
        "Add" => |a, b| a + b,
        "Sub" => |a, b| a - b,
        "Mul" => |a, b| a * b,
        "Div" => |a, b| a / b,
        "Pow" => f32::powf,
        "Min" => f32::min,
        "Max" => f32::max,
        _ if is_float(a) => return Err(format!("{op} of floating-point numbers")),
        // Not called for integers.
        _ => |_, _| 0.0,
    };
    elementwise(a, b, floats, integers(op))
}

/// The integer operator `op`.
fn integers(op: &str) -> fn(i64, i64) -> i64 {
    match op {
        "Add" => i64::wrapping_add,
        "Sub" => i64::wrapping_sub,
        "Mul" => i64::wrapping_mul,
        "Div" => i64::wrapping_div,
        "Pow" => |a, b| a.wrapping_pow(b.clamp(0, 64) as u32),
        "Min" => i64::min,
        "Max" => i64::max,
        "Equal" => |a, b| (a == b).into(),
        "Less" => |a, b| (a < b).into(),
        _ => |a, b| (a > b).into(),
    }
}

fn unary(op: &str, x: &Tensor) -> Result<Tensor, String> {
    let floats: fn(f32) -> f32 = match op {
        "Neg" => |x| -x,
        "Sqrt" => f32::sqrt,
        "Reciprocal" => |x| 1.0 / x,
        "Sigmoid" => |x| 1.0 / (1.0 + (-x).exp()),
        "Exp" => f32::exp,
        "Abs" => f32::abs,
        "Floor" => f32::floor,
        "Ceil" => f32::ceil,
        "Tanh" => f32::tanh,
        _ => |x| x.max(0.0),
    };
    Ok(match &x.elements {
        Elements::Floats(elements) => Tensor::floats(&x.dims, elements.iter().map(|&x| floats(x))),
        Elements::Integers(elements) if op == "Neg" => {
            Tensor::integers(&x.dims, elements.iter().map(|n| n.wrapping_neg()).collect())
        }
        Elements::Integers(_) => return Err(format!("{op} of integers")),
    })
}

/// Applies an operator to each pair of elements; dimensions of size 1 and missing ones are repeated.
fn elementwise(
    a: &Tensor,
    b: &Tensor,
    floats: fn(f32, f32) -> f32,
    integers: fn(i64, i64) -> i64,
) -> Result<Tensor, String> {
    let rank = a.dims.len().max(b.dims.len());
    let padded = |x: &Tensor| [vec![1; rank - x.dims.len()], x.dims.clone()].concat();
    let (da, db) = (padded(a), padded(b));
    let pair = |(&n, &m): (&usize, &usize)| match (n, m) {
        (1, m) => Ok(m),
        (n, 1) => Ok(n),
        (n, m) if n == m => Ok(n),
        _ => Err(format!("{:?} with {:?}", a.dims, b.dims)),
    };
    let dims = da.iter().zip(&db).map(pair).collect::<Result<Vec<_>, _>>()?;
    let count = dims.iter().try_fold(1_usize, |count, &n| count.checked_mul(n));
    if count.is_none_or(|count| count > MAX_GROWN.max(a.len()).max(b.len())) {
        return Err("a constant that is too large".into());
    }
    let steps = |own: &[usize]| -> Vec<usize> {
        strides(own).into_iter().zip(own).map(|(stride, &n)| if n == 1 { 0 } else { stride }).collect()
    };
    let (sa, sb) = (steps(&da), steps(&db));
    let places = Places::new(&dims, &sa).zip(Places::new(&dims, &sb));
    Ok(match (&a.elements, &b.elements) {
        (Elements::Floats(x), Elements::Floats(y)) => {
            Tensor::floats(&dims, places.map(|(i, k)| floats(x[i], y[k])))
        }
        (Elements::Integers(x), Elements::Integers(y)) => {
            Tensor::integers(&dims, places.map(|(i, k)| integers(x[i], y[k])).collect())
        }
        _ => return Err("floating-point numbers with integers".into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::messages::Attribute;

    fn node(op: &str, attributes: &[(&str, Attribute)]) -> NodeProto {
        let mut node = NodeProto { op: op.into(), ..NodeProto::default() };
        for (name, value) in attributes {
            let value = match value {
                Attribute::Int(n) => Attribute::Int(*n),
                Attribute::Ints(n) => Attribute::Ints(n.clone()),
                _ => unreachable!("not in these tests"),
            };
            node.attributes.insert((*name).into(), value);
        }
        node
    }

    fn run(node: &NodeProto, inputs: &[&Tensor]) -> Result<Tensor, String> {
        let inputs: Vec<Option<&Tensor>> = inputs.iter().copied().map(Some).collect();
        fold(node, &inputs).expect("it is computed here").map(|mut results| results.remove(0))
    }

    fn integers(elements: &[i64]) -> Tensor {
        Tensor::integers(&[elements.len()], elements.to_vec())
    }

    #[test]
    fn the_arithmetic_of_a_view_gives_its_dimensions() {
        let dims = integers(&[1, 8, 4, 4]);
        let batch = run(&node("Gather", &[]), &[&dims, &Tensor::integers(&[], vec![0])]).unwrap();
        assert_eq!(batch, Tensor::integers(&[], vec![1]));
        let batch = run(&node("Unsqueeze", &[("axes", Attribute::Ints(vec![0]))]), &[&batch]).unwrap();
        let target =
            run(&node("Concat", &[("axis", Attribute::Int(0))]), &[&batch, &integers(&[-1])]).unwrap();
        assert_eq!(target, integers(&[1, -1]));
        assert_eq!(reshaped(&[1, 8, 4, 4], &[1, -1], false).unwrap(), [1, 128]);
        assert_eq!(reshaped(&[2, 3], &[0, -1], false).unwrap(), [2, 3]);
        for wrong in [&[-1, -1][..], &[5], &[0, 0, 0], &[-2, 3]] {
            assert!(reshaped(&[2, 3], wrong, false).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn slices_follow_numpy() {
        let x = Tensor::integers(&[2, 3], vec![0, 1, 2, 3, 4, 5]);
        let slice = |starts: &[i64], ends: &[i64], axes: &[i64], steps: &[i64]| {
            run(
                &node("Slice", &[]),
                &[&x, &integers(starts), &integers(ends), &integers(axes), &integers(steps)],
            )
        };
        assert_eq!(
            slice(&[1], &[i64::MAX], &[1], &[1]).unwrap(),
            Tensor::integers(&[2, 2], vec![1, 2, 4, 5])
        );
        assert_eq!(
            slice(&[-1], &[i64::MIN], &[1], &[-1]).unwrap(),
            Tensor::integers(&[2, 3], vec![2, 1, 0, 5, 4, 3])
        );
        assert_eq!(slice(&[0, 0], &[1, 3], &[0, 1], &[1, 2]).unwrap(), Tensor::integers(&[1, 2], vec![0, 2]));
        assert_eq!(slice(&[2], &[1], &[1], &[1]).unwrap().dims, [2, 0]);
        assert!(slice(&[0], &[1], &[1], &[0]).is_err());
        assert!(slice(&[0], &[1], &[2], &[1]).is_err());
    }

    #[test]
    fn tensors_are_transposed_and_broadcast() {
        let x = Tensor::floats(&[2, 3], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let t = run(&node("Transpose", &[]), &[&x]).unwrap();
        assert_eq!(t, Tensor::floats(&[3, 2], [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]));
        let row = Tensor::floats(&[3], [1.0, 10.0, 100.0]);
        let product = run(&node("Mul", &[]), &[&x, &row]).unwrap();
        assert_eq!(product, Tensor::floats(&[2, 3], [0.0, 10.0, 200.0, 3.0, 40.0, 500.0]));
        assert!(run(&node("Mul", &[]), &[&x, &t]).is_err());
        assert!(run(&node("Div", &[]), &[&integers(&[1]), &integers(&[0])]).is_err());
        let large = Tensor::integers(&[2000, 1], vec![1; 2000]);
        assert!(run(&node("Add", &[]), &[&large, &integers(&[1; 2000])]).is_err());
    }

    #[test]
    fn axes_that_do_not_exist_are_refused() {
        let scalar = Tensor::integers(&[], vec![1]);
        assert!(squeezed(&[], Some(vec![0])).is_err());
        assert!(run(&node("Concat", &[("axis", Attribute::Int(0))]), &[&scalar, &scalar]).is_err());
        assert!(run(&node("Gather", &[]), &[&scalar, &scalar]).is_err());
        let bounds = [i64::MAX - 1, i64::MAX, 10].map(|n| Tensor::integers(&[], vec![n]));
        assert_eq!(
            run(&node("Range", &[]), &[&bounds[0], &bounds[1], &bounds[2]]),
            Ok(integers(&[i64::MAX - 1]))
        );
        assert_eq!(squeezed(&[1, 3, 1], Some(vec![0, -1])).unwrap(), [3]);
        assert!(squeezed(&[1, 3], Some(vec![1])).is_err() && squeezed(&[1], Some(vec![4])).is_err());
        assert_eq!(unsqueezed(&[3], Some(vec![0, 2])).unwrap(), [1, 3, 1]);
        assert!(unsqueezed(&[3], None).is_err() && unsqueezed(&[3], Some(vec![9])).is_err());
        let x = integers(&[1, 2]);
        assert!(run(&node("Gather", &[]), &[&x, &integers(&[2])]).is_err());
        assert!(permutation(&node("Transpose", &[("perm", Attribute::Ints(vec![0, 0]))]), 2).is_err());
    }
}
