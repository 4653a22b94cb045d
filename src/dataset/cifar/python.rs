//! CIFAR batches as Python pickles, which PyTorch users have: a dictionary with a list of labels and an array of
//! pixels. Nothing of the pickle is executed: the few calls that make an array are understood, any other is
//! refused.

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;

use super::PIXELS;
use crate::util::pickle::{Op, Opcodes};

/// What a batch holds.
#[derive(Debug)]
pub struct PythonBatch<'a> {
    pub labels: PythonLabels,
    /// The red, green and blue planes of each image.
    pub pixels: Cow<'a, [u8]>,
}

/// The labels of a batch.
#[derive(Debug)]
pub enum PythonLabels {
    Ten(Vec<u32>),
    Hundred { coarse: Vec<u32>, fine: Vec<u32> },
}

/// The place in a batch that cannot be used, and why.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    pub place: String,
    pub cause: String,
}

/// Whether a file that starts with these bytes is a pickle of a dictionary; 12 are enough.
pub fn is_pickle(start: &[u8]) -> bool {
    match start {
        [0x80, 4..=5, 0x95, _, _, _, _, _, _, _, _, first, ..] => *first == b'}',
        [0x80, 2..=5, first, ..] => *first == b'}',
        [b'}', b'q' | b'r', ..] | [b'(', b'd', b'p', ..] => true,
        _ => false,
    }
}

/// Reads a batch, whose memory is of the order of its file's.
pub fn read(bytes: &[u8]) -> Result<PythonBatch<'_>, Refused> {
    let mut machine = Machine {
        input: Opcodes::new(bytes, 0),
        limit: bytes.len() / 64 + 4096,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    let value = machine.run();
    let offset = machine.input.op();
    let fields = value.map_err(|cause| Refused { place: format!("pickle byte {offset}"), cause })?;
    fields.batch().map_err(|(place, cause)| Refused { place: place.into(), cause })
}

/// A value on the stack; containers do not nest, so that neither does their end.
#[derive(Debug, Clone)]
enum Value<'a> {
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
enum Callable {
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
struct Array<'a> {
    shape: Vec<u32>,
    /// Whether images come last, as in Fortran.
    columns_first: bool,
    bytes: Rc<Cow<'a, [u8]>>,
}

/// The entries of the dictionary that matter.
#[derive(Debug, Clone, Default)]
struct Fields<'a> {
    labels: Option<Vec<u32>>,
    coarse: Option<Vec<u32>>,
    fine: Option<Vec<u32>>,
    data: Option<Array<'a>>,
}

struct Machine<'a> {
    input: Opcodes<'a>,
    /// Largest number of values on the stack and in the memo: an image of 3072 bytes needs few.
    limit: usize,
    stack: Vec<Value<'a>>,
    marks: Vec<usize>,
    memo: HashMap<u64, Value<'a>>,
}

type Step<T = ()> = Result<T, String>;

impl<'a> Machine<'a> {
    fn run(&mut self) -> Step<Fields<'a>> {
        loop {
            match self.input.next()? {
                Op::Stop => {
                    let Value::Dict(fields) = self.pop()? else { return Err("not a dictionary".into()) };
                    return Ok(*fields);
                }
                Op::Nothing => {}
                Op::Plain | Op::EmptySet | Op::Int(None) => self.push(Value::Other)?,
                Op::Bool(b) => self.push(Value::Bool(b))?,
                Op::Int(Some(n)) => self.push(Value::Int(n))?,
                Op::Text(text) => self.push(Value::Text(Rc::new(text)))?,
                Op::Str(bytes) => self.push(Value::Bytes(Rc::new(bytes)))?,
                Op::Bytes(bytes) => self.push(Value::Bytes(Rc::new(bytes.into())))?,
                Op::EmptyDict => self.push(Value::Dict(Box::default()))?,
                Op::EmptyList => self.push(Value::Ints(Vec::new()))?,
                Op::EmptyTuple => self.push(Value::Tuple(Vec::new()))?,
                Op::Mark => {
                    self.check_limit(self.marks.len())?;
                    self.marks.push(self.stack.len());
                }
                Op::TupleToMark => {
                    let items = self.pop_to_mark()?;
                    self.push(tuple(items))?;
                }
                Op::Tuple(n) => {
                    let mut items = (0..n).map(|_| self.pop()).collect::<Step<Vec<_>>>()?;
                    items.reverse();
                    self.push(tuple(items))?;
                }
                Op::ListToMark => {
                    let items = self.pop_to_mark()?;
                    self.push(ints(&items).map_or(Value::Other, Value::Ints))?;
                }
                Op::DictToMark => {
                    let items = self.pop_to_mark()?;
                    self.push(Value::Dict(Box::default()))?;
                    self.set(items)?;
                }
                Op::FrozenSetToMark => {
                    self.pop_to_mark()?;
                    self.push(Value::Other)?;
                }
                Op::Append => {
                    let item = self.pop()?;
                    self.extend(&[item])?;
                }
                Op::Appends | Op::AddItems => {
                    let items = self.pop_to_mark()?;
                    self.extend(&items)?;
                }
                Op::SetItem => {
                    let value = self.pop()?;
                    let key = self.pop()?;
                    self.set(vec![key, value])?;
                }
                Op::SetItems => {
                    let items = self.pop_to_mark()?;
                    self.set(items)?;
                }
                Op::Get(index) => {
                    let value = self.memo.get(&index);
                    let value = value.ok_or_else(|| format!("memo {index} was never stored"))?.clone();
                    self.push(value)?;
                }
                Op::Put(index) => self.put(index)?,
                Op::Memoize => self.put(self.memo.len() as u64)?,
                Op::Global(module, name) => self.global(&module, &name)?,
                Op::StackGlobal => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let (Value::Text(module), Value::Text(name)) = (module, name) else {
                        return Err("STACK_GLOBAL of something other than two texts".into());
                    };
                    self.global(&module, &name)?;
                }
                Op::PersistentId | Op::PersistentText(_) => return Err("refers to another file".into()),
                Op::CallWithNames
                | Op::CallGlobal(..)
                | Op::CallToMark
                | Op::Pop
                | Op::PopToMark
                | Op::Duplicate => {
                    return Err("an opcode that no array needs".into());
                }
                Op::Call => {
                    let arguments = self.pop()?;
                    let Value::Global(called) = self.pop()? else {
                        return Err("a call of something other than a global".into());
                    };
                    let made = made_by(called, arguments);
                    self.push(made.ok_or_else(|| format!("{called:?} with arguments that no array has"))?)?;
                }
                Op::Build => {
                    let state = self.pop()?;
                    match self.top()? {
                        Value::Type(_) => {}
                        Value::Array(array) => *array = Some(with_state(state)?),
                        _ => return Err("a state of something other than an array or its type".into()),
                    }
                }
            }
        }
    }

    fn check_limit(&self, values: usize) -> Step {
        if values < self.limit { Ok(()) } else { Err(format!("more than {} values at once", self.limit)) }
    }

    fn push(&mut self, value: Value<'a>) -> Step {
        self.check_limit(self.stack.len())?;
        self.stack.push(value);
        Ok(())
    }

    fn top(&mut self) -> Step<&mut Value<'a>> {
        match self.marks.last() {
            Some(&mark) if mark == self.stack.len() => Err("expected a value, found a mark".into()),
            _ => self.stack.last_mut().ok_or_else(|| "stack underflow".into()),
        }
    }

    fn pop(&mut self) -> Step<Value<'a>> {
        self.top()?;
        self.stack.pop().ok_or_else(|| "stack underflow".into())
    }

    fn pop_to_mark(&mut self) -> Step<Vec<Value<'a>>> {
        let mark = self.marks.pop().ok_or("no mark on the stack")?;
        Ok(self.stack.split_off(mark))
    }

    /// Appends to the list on top, which is of no use with anything but numbers.
    fn extend(&mut self, items: &[Value<'a>]) -> Step {
        let list = self.top()?;
        match (&mut *list, ints(items)) {
            (Value::Ints(all), Some(more)) => all.extend(more),
            _ => *list = Value::Other,
        }
        Ok(())
    }

    /// Sets the entries of the dictionary on top.
    fn set(&mut self, items: Vec<Value<'a>>) -> Step {
        if !items.len().is_multiple_of(2) {
            return Err("a dictionary key without a value".into());
        }
        let Value::Dict(fields) = self.top()? else {
            return Err("an entry of something other than a dictionary".into());
        };
        let mut items = items.into_iter();
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            let key = match &key {
                Value::Text(text) => text.as_bytes(),
                Value::Bytes(bytes) => bytes,
                _ => continue,
            };
            match (key, value) {
                (b"labels", Value::Ints(labels)) => fields.labels = Some(labels),
                (b"coarse_labels", Value::Ints(labels)) => fields.coarse = Some(labels),
                (b"fine_labels", Value::Ints(labels)) => fields.fine = Some(labels),
                (b"data", Value::Array(array)) => fields.data = array,
                _ => {}
            }
        }
        Ok(())
    }

    /// Stores the value on top under `index`. What can still change or is large is not needed again.
    fn put(&mut self, index: u64) -> Step {
        self.check_limit(self.memo.len())?;
        let value = match self.top()? {
            Value::Ints(_) | Value::Tuple(_) | Value::Dict(_) | Value::Array(_) => Value::Other,
            value => value.clone(),
        };
        self.memo.insert(index, value);
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) -> Step {
        let callable = match (module, name) {
            ("_codecs", "encode") => Callable::Encode,
            ("__builtin__" | "builtins", "bytes") => Callable::NoBytes,
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Callable::Reconstruct,
            ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Callable::FromBuffer,
            ("numpy", "ndarray") => Callable::Ndarray,
            ("numpy", "dtype") => Callable::Dtype,
            _ => {
                let refused = "is not allowed (possibly malicious; nothing was executed)";
                return Err(format!("global '{module}.{name}' {refused}"));
            }
        };
        self.push(Value::Global(callable))
    }
}

/// A tuple in which other tuples are numbers or nothing of interest.
fn tuple(items: Vec<Value<'_>>) -> Value<'_> {
    let leaf = |item| match item {
        Value::Tuple(items) => ints(&items).map_or(Value::Other, Value::Ints),
        item => item,
    };
    Value::Tuple(items.into_iter().map(leaf).collect())
}

/// The values if all are numbers that labels and dimensions may be.
fn ints(items: &[Value]) -> Option<Vec<u32>> {
    let int = |item: &Value| if let Value::Int(n) = item { u32::try_from(*n).ok() } else { None };
    items.iter().map(int).collect()
}

/// What a call makes; `None` if the arguments are not those with which NumPy makes arrays of bytes.
fn made_by(called: Callable, arguments: Value<'_>) -> Option<Value<'_>> {
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
fn with_state(state: Value<'_>) -> Step<Array<'_>> {
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

impl<'a> Fields<'a> {
    /// The batch, or the entry that is wrong and why.
    fn batch(self) -> Result<PythonBatch<'a>, (&'static str, String)> {
        let missing =
            || ("data", "expected a NumPy array of the images; is it a batch of CIFAR?".to_string());
        let Array { shape, columns_first, bytes } = self.data.ok_or_else(missing)?;
        let images = bytes.len() / PIXELS;
        if images == 0 || images * PIXELS != bytes.len() || shape != [images as u32, PIXELS as u32] {
            let cause = format!("{} bytes in dimensions {shape:?}, expected [images, {PIXELS}]", bytes.len());
            return Err(("data", cause));
        }
        let pixels = match columns_first {
            false => Rc::unwrap_or_clone(bytes),
            true => {
                (0..bytes.len()).map(|i| bytes[i % PIXELS * images + i / PIXELS]).collect::<Vec<_>>().into()
            }
        };
        let checked = |place, labels: Vec<u32>| match labels.len() == images {
            true => Ok(labels),
            false => Err((place, format!("{} labels for {images} images", labels.len()))),
        };
        let labels = match (self.labels, self.coarse, self.fine) {
            (Some(labels), None, None) => PythonLabels::Ten(checked("labels", labels)?),
            (None, Some(coarse), Some(fine)) => PythonLabels::Hundred {
                coarse: checked("coarse_labels", coarse)?,
                fine: checked("fine_labels", fine)?,
            },
            _ => {
                let expected = "expected a list 'labels', or 'coarse_labels' and 'fine_labels'";
                return Err(("labels", expected.into()));
            }
        };
        Ok(PythonBatch { labels, pixels })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pickle of a dictionary with these entries, each a key and opcodes.
    fn pickle(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let entry = |(key, value): &(&str, &[u8])| {
            [&[b'U', key.len() as u8][..], key.as_bytes(), value, b"s"].concat()
        };
        [b"\x80\x02}q\0", &entries.iter().flat_map(entry).collect::<Vec<u8>>()[..], b"."].concat()
    }

    /// Opcodes of an array of `n` bytes in dimensions (`images`, 3072), of a type called `kind`.
    fn array(n: usize, images: u8, kind: &str) -> Vec<u8> {
        [
            b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\x01b\x87R(K\x01K",
            &[images][..],
            b"M\0\x0c\x86cnumpy\ndtype\nU",
            &[kind.len() as u8],
            kind.as_bytes(),
            b"K\0K\x01\x87R\x89T",
            &(n as u32).to_le_bytes(),
            &vec![7; n],
            b"tb",
        ]
        .concat()
    }

    const TWO: &[u8] = b"](K\x03K\x09e";

    /// `place: cause`.
    fn refused(bytes: &[u8]) -> String {
        let Refused { place, cause } = read(bytes).unwrap_err();
        format!("{place}: {cause}")
    }

    #[test]
    fn a_batch_is_labels_and_planes() {
        let data = array(2 * PIXELS, 2, "u1");
        let bytes = pickle(&[("other", b"N"), ("labels", TWO), ("data", &data)]);
        let batch = read(&bytes).unwrap();
        assert!(
            matches!(&batch.labels, PythonLabels::Ten(labels) if labels[..] == [3, 9]),
            "{:?}",
            batch.labels
        );
        assert!(matches!(batch.pixels, Cow::Borrowed(pixels) if *pixels == [7; 2 * PIXELS]), "not copied");
        let entries: [(&str, &[u8]); 3] = [("coarse_labels", TWO), ("fine_labels", TWO), ("data", &data)];
        assert!(matches!(read(&pickle(&entries)).unwrap().labels, PythonLabels::Hundred { .. }));
        assert!(is_pickle(&bytes[..12]));
    }

    #[test]
    fn what_is_no_batch_is_refused_and_nothing_is_run() {
        let data = array(2 * PIXELS, 2, "u1");
        for (entries, error) in [
            (&[("labels", TWO)][..], "data: expected a NumPy array of the images; is it a batch of CIFAR?"),
            (&[("data", &data)], "labels: expected a list 'labels', or 'coarse_labels' and 'fine_labels'"),
            (&[("data", &data), ("labels", b"](K\x01e")], "labels: 1 labels for 2 images"),
            (
                &[("data", &array(2 * PIXELS - 1, 2, "u1"))],
                "data: 6143 bytes in dimensions [2, 3072], expected [images, 3072]",
            ),
            (
                &[("data", &array(0, 0, "u1"))],
                "data: 0 bytes in dimensions [0, 3072], expected [images, 3072]",
            ),
        ] {
            assert_eq!(refused(&pickle(entries)), error);
        }
        for (entry, error) in [
            (&array(PIXELS, 1, "f4")[..], "an array of other elements than uint8"),
            (
                b"cos\nsystem\nU\x02ls\x85R",
                "global 'os.system' is not allowed (possibly malicious; nothing was exe",
            ),
            (b"\x8c\x02os\x8c\x06system\x93", "global 'os.system' is not allowed"),
            (b"c_codecs\nencode\nU\x01aU\x04utf8\x86R", "Encode with arguments that no array has"),
            (b"U\x01aQ", "refers to another file"),
            (b"T\xff\xff\xff\xffab", "a value longer than the 4 bytes left"),
            (b"h\x63", "memo 99 was never stored"),
            (b"e", "no mark on the stack"),
        ] {
            let text = refused(&pickle(&[("data", entry)]));
            assert!(text.starts_with("pickle byte ") && text.contains(error), "{error}: {text}");
        }
        assert_eq!(refused(b"\x80\x02N."), "pickle byte 3: not a dictionary");
        assert_eq!(refused(b"\x80\x02}"), "pickle byte 3: the file ends inside the pickle: 1 bytes wanted");
    }

    #[test]
    fn a_pickle_takes_no_more_memory_than_its_length_allows() {
        for (op, what) in [(b'N', "stack"), (b'(', "marks"), (b'}', "nested")] {
            let error = refused(&vec![op; 1 << 20]);
            assert!(error.ends_with("more than 20480 values at once"), "{what}: {error}");
        }
        let deep = [b"\x80\x02}U\x04data]".as_slice(), &[0x85; 1 << 20], b"s."].concat();
        assert!(refused(&deep).starts_with("data: expected a NumPy array"), "{}", refused(&deep));
        let memo = [b"\x80\x02U\x01a".as_slice(), &[0x94; 1 << 20]].concat();
        assert!(refused(&memo).ends_with("more than 20480 values at once"));
    }
}
