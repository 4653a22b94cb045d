//! Values of a batch's pickle, and the calls that make arrays of bytes.

use std::borrow::Cow;
use std::rc::Rc;

/// A value on the stack; containers do not nest, so that neither does their end.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// Anything that the images do not need.
    Other,
    Bool(bool),
    Int(i128),
    Text(Rc<Cow<'a, str>>),
    Bytes(Rc<Cow<'a, [u8]>>),
    Global(Callable),
    /// A list of numbers, or a tuple of them inside of another one.
    Ints(Vec<u32>),
    Tuple(Vec<Value<'a>>),
    /// An element type, and whether it is bytes.
    Type(bool),
    /// An array; `None` until its state is known.
    Array(Option<Array<'a>>),
    Dict(Box<Fields<'a>>),
}

/// The globals of Python that make arrays of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callable {
    /// `_codecs.encode`: bytes out of text, in the protocols that have none.
    Encode,
    /// `bytes`, which makes none.
    NoBytes,
    Reconstruct,
    FromBuffer,
    Ndarray,
    Dtype,
}

/// An array of bytes.
#[derive(Debug, Clone)]
pub struct Array<'a> {
    pub shape: Vec<u32>,
    /// Whether images come last, as in Fortran.
    pub columns_first: bool,
    pub bytes: Rc<Cow<'a, [u8]>>,
}

/// The entries of the dictionary that matter.
#[derive(Debug, Clone, Default)]
pub struct Fields<'a> {
    pub labels: Option<Vec<u32>>,
    pub coarse: Option<Vec<u32>>,
    pub fine: Option<Vec<u32>>,
    pub data: Option<Array<'a>>,
}

/// A tuple in which other tuples are numbers or nothing of interest.
pub fn tuple(items: Vec<Value<'_>>) -> Value<'_> {
    let leaf = |item| match item {
        Value::Tuple(items) => ints(&items).map_or(Value::Other, Value::Ints),
        item => item,
    };
    Value::Tuple(items.into_iter().map(leaf).collect())
}

/// The values if all are numbers that labels and dimensions may be.
pub fn ints(items: &[Value]) -> Option<Vec<u32>> {
    let int = |item: &Value| if let Value::Int(n) = item { u32::try_from(*n).ok() } else { None };
    items.iter().map(int).collect()
}

/// What a call makes; `None` if the arguments are not those with which NumPy makes arrays of bytes.
pub fn made_by(called: Callable, arguments: Value<'_>) -> Option<Value<'_>> {
    let Value::Tuple(arguments) = arguments else { return None };
    match (called, &arguments[..]) {
        (Callable::Encode, [Value::Text(text), Value::Text(codec)]) if codec.starts_with("latin") => {
            let bytes = text.chars().map(|c| u8::try_from(c).ok()).collect::<Option<Vec<u8>>>()?;
            Some(Value::Bytes(Rc::new(bytes.into())))
        }
        (Callable::NoBytes, []) => Some(Value::Bytes(Rc::new(Cow::Borrowed(&[])))),
        (Callable::Reconstruct, [Value::Global(Callable::Ndarray), ..]) => Some(Value::Array(None)),
        (Callable::Dtype, [Value::Text(name), ..]) => Some(Value::Type(is_byte(name.as_bytes()))),
        (Callable::Dtype, [Value::Bytes(name), ..]) => Some(Value::Type(is_byte(name))),
        (
            Callable::FromBuffer,
            [Value::Bytes(bytes), Value::Type(true), Value::Ints(shape), Value::Text(order)],
        ) => {
            let columns_first = order.as_ref() == "F";
            Some(Value::Array(Some(Array { shape: shape.clone(), columns_first, bytes: Rc::clone(bytes) })))
        }
        _ => None,
    }
}

/// Whether this is NumPy's name of the type `uint8`.
fn is_byte(name: &[u8]) -> bool {
    matches!(name, b"u1" | b"|u1" | b"uint8" | b"B")
}

/// The array with this state: version, shape, type, whether in the order of Fortran, bytes.
pub fn with_state(state: Value<'_>) -> Result<Array<'_>, String> {
    let Value::Tuple(state) = state else { return Err("the state of an array is no tuple".into()) };
    match &state[..] {
        [_, Value::Ints(shape), Value::Type(true), order, Value::Bytes(bytes)] => Ok(Array {
            shape: shape.clone(),
            columns_first: matches!(order, Value::Bool(true) | Value::Int(1)),
            bytes: Rc::clone(bytes),
        }),
        [_, _, Value::Type(false), ..] => Err("an array of other elements than uint8".into()),
        _ => Err("an array without a shape, a type and bytes".into()),
    }
}
