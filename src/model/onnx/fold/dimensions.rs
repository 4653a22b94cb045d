//! Dimensions: of the results of operators that change nothing else, and axes.

use super::broadcast::count;
use crate::model::onnx::messages::NodeProto;
use crate::model::onnx::tensor::Tensor;

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
        if left[place] != 1 {
            return Err(format!("axis {given} of {dims:?} is not of size 1, or is there twice"));
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
    let is_twice = places.windows(2).any(|pair| pair[0] == pair[1]);
    let mut all = dims.to_vec();
    for place in places {
        if is_twice || place > all.len() {
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
    let product = |dims| count(dims).ok_or_else(|| format!("{} axes in one", rank));
    Ok(vec![product(&dims[..place])?, product(&dims[place..])?])
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

/// Integers as dimensions.
///
/// # Errors
/// When one is negative.
pub fn sizes(dims: &[i64]) -> Result<Vec<usize>, String> {
    dims.iter().map(|&n| usize::try_from(n).map_err(|_| format!("dimensions {dims:?}"))).collect()
}
