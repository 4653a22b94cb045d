//! Arithmetic of constants, element by element, as numbers of their type have it.

use super::dimensions::axis;
use super::grown;
use super::selections::{Places, broadcast};
use crate::model::onnx::messages::NodeProto;
use crate::model::onnx::tensor::{Elements, IntegerType, Tensor, element_type};

/// `x` as elements of type `to`.
///
/// # Errors
/// When the type is not supported.
pub(super) fn cast(x: &Tensor, to: i64) -> Result<Tensor, String> {
    let (_, _, to) = element_type(to).ok_or_else(|| format!("elements of type {to} are not supported"))?;
    let elements = match (&x.elements, to) {
        (Elements::Integers(elements, _), None) => {
            Elements::Floats(elements.iter().map(|&n| n as f32).collect())
        }
        (Elements::Floats(_), None) => x.elements.clone(),
        (Elements::Floats(elements), Some(IntegerType::BOOL)) => {
            Elements::Integers(elements.iter().map(|&x| (x != 0.0).into()).collect(), IntegerType::BOOL)
        }
        (Elements::Floats(elements), Some(kind)) => {
            Elements::Integers(elements.iter().map(|&x| kind.wrap(x as i64)).collect(), kind)
        }
        (Elements::Integers(elements, _), Some(kind)) => {
            Elements::Integers(elements.iter().map(|&n| kind.wrap(n)).collect(), kind)
        }
    };
    Ok(Tensor { dims: x.dims.clone(), elements })
}

/// The result of operator `op` of two tensors; of `Min` and `Max` of any number.
///
/// # Errors
/// When it is none for such elements or dimensions.
pub(super) fn arithmetic(op: &str, operands: &[&Tensor]) -> Result<Tensor, String> {
    match (operands, op) {
        ([x], "Min" | "Max") => Ok((*x).clone()),
        ([a, b, rest @ ..], _) if rest.is_empty() || matches!(op, "Min" | "Max") => {
            rest.iter().try_fold(binary(op, a, b)?, |result, x| binary(op, &result, x))
        }
        _ => Err(format!("{} inputs", operands.len())),
    }
}

fn binary(op: &str, a: &Tensor, b: &Tensor) -> Result<Tensor, String> {
    let (dims, steps) = broadcast(&[&a.dims, &b.dims])?;
    if dims.iter().product::<usize>() > a.len().max(b.len()) {
        grown(&dims)?;
    }
    let places = Places::new(&dims, &steps[0]).zip(Places::new(&dims, &steps[1]));
    let elements = match (&a.elements, &b.elements) {
        (Elements::Floats(x), Elements::Floats(y)) => {
            let floats: fn(f32, f32) -> f32 = match op {
                "Add" => |a, b| a + b,
                "Sub" => |a, b| a - b,
                "Mul" => |a, b| a * b,
                "Div" => |a, b| a / b,
                "Pow" => f32::powf,
                "Min" => f32::min,
                "Max" => f32::max,
                _ => return Err(format!("{op} of floating-point numbers")),
            };
            Elements::Floats(places.map(|(i, k)| floats(x[i], y[k])).collect())
        }
        (Elements::Integers(x, kind), Elements::Integers(y, other)) => {
            if kind != other && op != "Pow" {
                return Err("integers of different types".into());
            }
            let kind = if matches!(op, "Equal" | "Less" | "Greater") { IntegerType::BOOL } else { *kind };
            let results = places.map(|(i, k)| kind.checked(of_integers(op, x[i], y[k])?));
            Elements::Integers(results.collect::<Result<_, String>>()?, kind)
        }
        _ => return Err("floating-point numbers with integers".into()),
    };
    Ok(Tensor { dims, elements })
}

/// The result of operator `op` of two integers, before it is brought to the range of their type.
fn of_integers(op: &str, a: i64, b: i64) -> Result<i64, String> {
    Ok(match op {
        "Add" => a.wrapping_add(b),
        "Sub" => a.wrapping_sub(b),
        "Mul" => a.wrapping_mul(b),
        "Div" if b == 0 => return Err("a division by zero".into()),
        "Div" => a.wrapping_div(b),
        "Pow" => a.wrapping_pow(u32::try_from(b).map_err(|_| format!("an exponent of {b}"))?),
        "Min" => a.min(b),
        "Max" => a.max(b),
        "Equal" => (a == b).into(),
        "Less" => (a < b).into(),
        "Greater" => (a > b).into(),
        _ => return Err(format!("{op} of integers")),
    })
}

/// The result of operator `op` of each element.
///
/// # Errors
/// When it is none of such elements.
pub(super) fn unary(op: &str, x: &Tensor) -> Result<Tensor, String> {
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
    let elements = match &x.elements {
        Elements::Floats(elements) => Elements::Floats(elements.iter().map(|&x| floats(x)).collect()),
        Elements::Integers(elements, kind) if op == "Neg" => {
            let results = elements.iter().map(|n| kind.checked(n.wrapping_neg()));
            Elements::Integers(results.collect::<Result<_, String>>()?, *kind)
        }
        Elements::Integers(..) => return Err(format!("{op} of integers")),
    };
    Ok(Tensor { dims: x.dims.clone(), elements })
}

/// The elements of `a` where `condition` is true, of `b` elsewhere.
///
/// # Errors
/// When their dimensions or types do not fit to each other.
pub(super) fn chosen(condition: &Tensor, a: &Tensor, b: &Tensor) -> Result<Tensor, String> {
    let (dims, steps) = broadcast(&[&condition.dims, &a.dims, &b.dims])?;
    if dims.iter().product::<usize>() > condition.len().max(a.len()).max(b.len()) {
        grown(&dims)?;
    }
    let condition = condition.as_integers()?;
    let places =
        Places::new(&dims, &steps[0]).zip(Places::new(&dims, &steps[1])).zip(Places::new(&dims, &steps[2]));
    let elements = match (&a.elements, &b.elements) {
        (Elements::Floats(a), Elements::Floats(b)) => {
            Elements::Floats(places.map(|((c, i), k)| if condition[c] != 0 { a[i] } else { b[k] }).collect())
        }
        (Elements::Integers(a, kind), Elements::Integers(b, other)) if kind == other => {
            let results = places.map(|((c, i), k)| if condition[c] != 0 { a[i] } else { b[k] });
            Elements::Integers(results.collect(), *kind)
        }
        _ => return Err("elements of different types".into()),
    };
    Ok(Tensor { dims, elements })
}

/// The product over `axes`, all without any, of a `ReduceProd`.
///
/// # Errors
/// When it does not fit into 64 bits, or is not of integers.
pub(super) fn product(node: &NodeProto, x: &Tensor, axes: Option<Vec<i64>>) -> Result<Tensor, String> {
    let Elements::Integers(elements, kind) = &x.elements else {
        return Err("ReduceProd of floating-point numbers".into());
    };
    let rank = x.dims.len();
    let reduced: Vec<usize> = match axes.filter(|axes| !axes.is_empty()) {
        Some(axes) => axes.iter().map(|&a| axis(a, rank)).collect::<Result<_, _>>()?,
        None if node.int("noop_with_empty_axes", 0)? != 0 => Vec::new(),
        None => (0..rank).collect(),
    };
    let is_kept = |i: &usize| !reduced.contains(i);
    let kept: Vec<usize> = (0..rank).map(|i| if is_kept(&i) { x.dims[i] } else { 1 }).collect();
    let (_, steps) = broadcast(&[&kept, &x.dims])?;
    let count = kept.iter().product();
    let mut products = vec![1_i64; count];
    for (place, &n) in Places::new(&x.dims, &steps[0]).zip(elements.iter()) {
        let product = products[place].checked_mul(n).ok_or("a product of more than 64 bits")?;
        products[place] = kind.checked(product)?;
    }
    let keeps = node.int("keepdims", 1)? != 0;
    let dims = (0..rank).filter(|i| keeps || is_kept(i)).map(|i| kept[i]).collect();
    Ok(Tensor { dims, elements: Elements::Integers(products.into(), *kind) })
}
