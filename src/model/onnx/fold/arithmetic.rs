//! Arithmetic of constants, element by element: floating-point numbers in single precision, integers in the range of
//! their type.

use super::broadcast::{Places, bounded_count, broadcast};
use super::dimensions::axis;
use crate::model::onnx::messages::NodeProto;
use crate::model::onnx::tensor::{Elements, IntegerType, Tensor, element_type};

/// The first number that is too large for signed integers of 64 bits.
const TWO_63: f32 = 9_223_372_036_854_775_808.0;

/// `x` as elements of type `to`.
///
/// # Errors
/// When the type is not supported, or it has not the number that an element is.
pub(super) fn cast(x: &Tensor, to: i64) -> Result<Tensor, String> {
    let (name, _, to) = element_type(to).ok_or_else(|| format!("elements of type {to} are not supported"))?;
    let to_integer = |&x: &f32, kind: IntegerType| {
        let n = x as i64;
        let fits_64_bits = (-TWO_63..TWO_63).contains(&x);
        let is_in_range = fits_64_bits && kind.wrap(n) == n && kind.checked(n).is_ok();
        if is_in_range { Ok(n) } else { Err(format!("{x} as element of type {name}")) }
    };
    let elements = match (&x.elements, to) {
        (Elements::Integers(elements, _), None) => {
            Elements::Floats(elements.iter().map(|&n| n as f32).collect())
        }
        (Elements::Floats(_), None) => x.elements.clone(),
        (Elements::Floats(elements), Some(IntegerType::BOOL)) => {
            Elements::Integers(elements.iter().map(|&x| (x != 0.0).into()).collect(), IntegerType::BOOL)
        }
        (Elements::Floats(elements), Some(kind)) => {
            let elements = elements.iter().map(|x| to_integer(x, kind));
            Elements::Integers(elements.collect::<Result<_, String>>()?, kind)
        }
        (Elements::Integers(elements, _), Some(kind)) => {
            Elements::Integers(elements.iter().map(|&n| kind.checked(n)).collect::<Result<_, _>>()?, kind)
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
        _ => Err(format!("{} inputs, expected 2", operands.len())),
    }
}

fn binary(op: &str, a: &Tensor, b: &Tensor) -> Result<Tensor, String> {
    let (dims, steps) = broadcast(&[&a.dims, &b.dims])?;
    let places = Places::new(&dims, 0, &steps[0]).zip(Places::new(&dims, 0, &steps[1]));
    let elements = match (&a.elements, &b.elements) {
        (Elements::Floats(x), Elements::Floats(y)) => {
            let floats = of_floats(op)?;
            Elements::Floats(places.map(|(i, k)| floats(x[i], y[k])).collect())
        }
        (Elements::Floats(x), Elements::Integers(y, _)) if op == "Pow" => {
            Elements::Floats(places.map(|(i, k)| x[i].powf(y[k] as f32)).collect())
        }
        (Elements::Integers(x, kind), Elements::Integers(y, other)) if kind == other || op == "Pow" => {
            let kind = if matches!(op, "Equal" | "Less" | "Greater") { IntegerType::BOOL } else { *kind };
            let results = places.map(|(i, k)| kind.checked(of_integers(op, x[i], y[k])?));
            Elements::Integers(results.collect::<Result<_, String>>()?, kind)
        }
        _ => return Err(format!("elements of type {} with {}", a.element_name(), b.element_name())),
    };
    Ok(Tensor { dims, elements })
}

/// Operator `op` of two floating-point numbers.
fn of_floats(op: &str) -> Result<fn(f32, f32) -> f32, String> {
    Ok(match op {
        "Add" => |a, b| a + b,
        "Sub" => |a, b| a - b,
        "Mul" => |a, b| a * b,
        "Div" => |a, b| a / b,
        "Pow" => f32::powf,
        // What is no number stays none.
        "Min" => |a, b| if a.is_nan() || b.is_nan() { f32::NAN } else { a.min(b) },
        "Max" => |a, b| if a.is_nan() || b.is_nan() { f32::NAN } else { a.max(b) },
        _ => return Err(format!("{op} of floating-point numbers")),
    })
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
    let elements = match (&x.elements, op) {
        (Elements::Integers(elements, kind), "Neg") => {
            let results = elements.iter().map(|n| kind.checked(n.wrapping_neg()));
            Elements::Integers(results.collect::<Result<_, String>>()?, *kind)
        }
        (Elements::Integers(..), _) => return Err(format!("{op} of integers")),
        (Elements::Floats(elements), _) => {
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
                "Relu" => |x| if x < 0.0 { 0.0 } else { x },
                _ => return Err(format!("{op} of floating-point numbers")),
            };
            Elements::Floats(elements.iter().map(|&x| floats(x)).collect())
        }
    };
    Ok(Tensor { dims: x.dims.clone(), elements })
}

/// The product over `axes`, all without any, of a `ReduceProd`.
///
/// # Errors
/// When it is not of integers, or there are no such axes.
pub(super) fn reduce_prod(node: &NodeProto, x: &Tensor, axes: Option<Vec<i64>>) -> Result<Tensor, String> {
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
    let mut products = vec![1_i64; bounded_count(&kept, x.len())?];
    let (_, steps) = broadcast(&[&kept, &x.dims])?;
    for (place, &n) in Places::new(&x.dims, 0, &steps[0]).zip(elements.iter()) {
        products[place] = kind.checked(products[place].wrapping_mul(n))?;
    }
    let keeps = node.int("keepdims", 1)? != 0;
    let dims = (0..rank).filter(|i| keeps || is_kept(i)).map(|i| kept[i]).collect();
    Ok(Tensor { dims, elements: Elements::Integers(products.into(), *kind) })
}
