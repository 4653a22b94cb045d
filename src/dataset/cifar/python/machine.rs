//! The stack machine of pickles, as far as a batch needs it.

use std::collections::HashMap;
use std::rc::Rc;

use super::value::{Callable, Fields, Value, ints, made_by, tuple, with_state};
use crate::util::pickle::{Op, Opcodes};

/// The entries of the dictionary that `bytes` are the pickle of; `Err` is the offset of the opcode that cannot be
/// used, and why.
pub fn fields(bytes: &[u8]) -> Result<Fields<'_>, (usize, String)> {
    let mut machine = Machine {
        input: Opcodes::new(bytes, 0),
        limit: bytes.len() / 64 + 4096,
        left: bytes.len(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    let value = machine.run();
    value.map_err(|cause| (machine.input.op(), cause))
}

/// The stack, the marks on it, and the memo.
struct Machine<'a> {
    input: Opcodes<'a>,
    /// Largest number of values on the stack and in the memo: an image of 3072 bytes needs few.
    limit: usize,
    /// Bytes that texts may still become. Each is meant to be encoded once.
    left: usize,
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
                Op::NewWithNames
                | Op::CallGlobal(..)
                | Op::CallToMark
                | Op::Pop
                | Op::PopToMark
                | Op::Duplicate => {
                    return Err("an opcode that no array needs".into());
                }
                Op::Call | Op::New => {
                    let arguments = self.pop()?;
                    let Value::Global(called) = self.pop()? else {
                        return Err("a call of something other than a global".into());
                    };
                    let made = made_by(called, arguments);
                    let made = made.ok_or_else(|| format!("{called:?} with arguments that no array has"))?;
                    if let Value::Bytes(bytes) = &made {
                        let left = self.left.checked_sub(bytes.len());
                        self.left = left.ok_or("its texts become more bytes than it has")?;
                    }
                    self.push(made)?;
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
