//! A walk over the opcodes of one pickle: the globals that it mentions, the storages that it refers to, and
//! its end. It builds no objects; of each value it keeps only what these results depend on.

mod cursor;
#[cfg(test)]
mod tests;
mod view;

use super::globals::{Verdict, judge};
use cursor::Cursor;
use std::collections::HashMap;
use std::rc::Rc;

/// The abstraction of a value on the pickle's stack.
#[derive(Debug, Clone, PartialEq)]
pub enum Atom {
    /// Text.
    Str(Rc<str>),
    /// An integer of up to 128 bits.
    Int(i128),
    /// A mention of `module.name`.
    Global(Rc<(String, String)>),
    /// A tuple or list; containers in it are [`Atom::Integers`] or [`Atom::Other`], so that it never nests.
    Flat(Vec<Atom>),
    /// A tuple or list of integers inside a [`Atom::Flat`], such as the dimensions of a tensor.
    Integers(Vec<i128>),
    /// Anything else.
    Other,
}

/// A storage that the pickle refers to by persistent id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageId {
    /// Its key in the container.
    pub key: String,
    /// Name of its storage class, for example `FloatStorage`.
    pub class: String,
    /// Number of elements.
    pub elements: u64,
}

/// The result of a walk.
#[derive(Debug)]
pub struct Pickle {
    /// Offset of the first byte after the pickle.
    pub end: usize,
    /// Every persistent id of a storage, in order.
    pub storages: Vec<StorageId>,
    /// The value of the pickle.
    pub value: Atom,
}

/// The failure of a walk.
#[derive(Debug)]
pub struct Stop {
    /// Offset in the bytes.
    pub offset: usize,
    /// What is wrong there.
    pub cause: String,
}

/// Walks the pickle that starts at `start`.
///
/// A forbidden global takes precedence over any defect after it.
pub fn walk(bytes: &[u8], start: usize) -> Result<Pickle, Stop> {
    let mut walker = Walker {
        input: Cursor::new(bytes, start),
        op: start,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        storages: Vec::new(),
        refused: None,
        module_tables: false,
    };
    let outcome = walker.run();
    if let Some((offset, global, verdict)) = walker.refused {
        let cause = match verdict {
            Verdict::UnsupportedTensor => format!("'{global}': this kind of tensor is not supported"),
            _ if walker.module_tables => {
                format!("holds a whole model of class '{global}'; save its state_dict() instead")
            }
            _ => format!("global '{global}' is not allowed (possibly malicious; nothing was executed)"),
        };
        return Err(Stop { offset, cause });
    }
    let value = outcome.map_err(|cause| Stop { offset: walker.op, cause })?;
    Ok(Pickle { end: walker.input.at, storages: walker.storages, value })
}

struct Walker<'a> {
    input: Cursor<'a>,
    /// Offset of the opcode being read.
    op: usize,
    stack: Vec<Atom>,
    marks: Vec<usize>,
    memo: HashMap<u64, Atom>,
    storages: Vec<StorageId>,
    refused: Option<(usize, String, Verdict)>,
    /// Whether the tables of a pickled `torch.nn.Module` were mentioned.
    module_tables: bool,
}

type Step<T = ()> = Result<T, String>;

impl Walker<'_> {
    fn run(&mut self) -> Step<Atom> {
        loop {
            self.op = self.input.at;
            let op = self.input.take(1)?[0];
            match op {
                b'.' => return self.pop(),
                0x80 => match self.input.take(1)?[0] {
                    0..=5 => {}
                    version => return Err(format!("pickle protocol {version}, expected 0 to 5")),
                },
                0x95 => drop(self.input.take(8)?), // FRAME: its length only helps streams
                b'N' | 0x88 | 0x89 | b'}' | 0x8f => self.push(Atom::Other),
                b']' | b')' => self.push(Atom::Flat(Vec::new())),
                b'I' | b'L' | b'F' => self.number_line()?,
                b'V' => {
                    let text = self.input.line()?;
                    self.text(text)?;
                }
                b'J' => {
                    let b = self.input.take(4)?;
                    self.push(Atom::Int(i32::from_le_bytes([b[0], b[1], b[2], b[3]]).into()));
                }
                b'K' | b'M' => {
                    let n = self.input.unsigned(if op == b'K' { 1 } else { 2 })?;
                    self.push(Atom::Int(n.into()));
                }
                b'G' => {
                    self.input.take(8)?;
                    self.push(Atom::Other);
                }
                0x8a | 0x8b => {
                    let n = self.input.unsigned(if op == 0x8a { 1 } else { 4 })?;
                    let long = self.take_long(n)?;
                    self.push(long);
                }
                b'U' | 0x8c => self.counted_text(1)?,
                b'T' | b'X' => self.counted_text(4)?,
                0x8d => self.counted_text(8)?,
                b'C' | b'B' | 0x8e | 0x96 => {
                    let width = if op == b'C' {
                        1
                    } else if op == b'B' {
                        4
                    } else {
                        8
                    };
                    let n = self.input.unsigned(width)?;
                    self.input.take_counted(n)?;
                    self.push(Atom::Other);
                }
                b'(' => self.marks.push(self.stack.len()),
                b't' | b'l' => {
                    let items = self.pop_to_mark()?;
                    self.push(flat(items));
                }
                0x85..=0x87 => {
                    let mut items = (0x85..=op).map(|_| self.pop()).collect::<Step<Vec<_>>>()?;
                    items.reverse();
                    self.push(flat(items));
                }
                b'd' | 0x91 => {
                    let items = self.pop_to_mark()?;
                    if op == b'd' {
                        self.check_pairs(&items)?;
                    }
                    self.push(Atom::Other);
                }
                b'a' => {
                    let item = self.pop()?;
                    self.extend(vec![item])?;
                }
                b'e' | 0x90 => {
                    let items = self.pop_to_mark()?;
                    self.extend(items)?;
                }
                b's' => {
                    let value = self.pop()?;
                    let key = self.pop()?;
                    self.check_pairs(&[key, value])?;
                    self.top()?;
                }
                b'u' => {
                    let items = self.pop_to_mark()?;
                    self.check_pairs(&items)?;
                    self.top()?;
                }
                b'g' | b'p' => {
                    let line = self.input.line()?;
                    let index = line.parse().map_err(|_| format!("'{line}' is not a memo index"))?;
                    if op == b'g' { self.get(index)? } else { self.put(index)? }
                }
                b'h' | b'j' => {
                    let index = self.input.unsigned(if op == b'h' { 1 } else { 4 })?;
                    self.get(index)?;
                }
                b'q' | b'r' => {
                    let index = self.input.unsigned(if op == b'q' { 1 } else { 4 })?;
                    self.put(index)?;
                }
                0x94 => self.put(self.memo.len() as u64)?,
                b'c' => {
                    let (module, name) = (self.input.line()?, self.input.line()?);
                    self.global(module, name);
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let (Atom::Str(module), Atom::Str(name)) = (module, name) else {
                        return Err("STACK_GLOBAL of something other than two texts".into());
                    };
                    self.global(module.to_string(), name.to_string());
                }
                b'Q' => {
                    let id = self.pop()?;
                    self.persistent_id(id)?;
                    self.push(Atom::Other);
                }
                b'R' | 0x81 => {
                    let arguments = self.pop()?;
                    let called = self.pop()?;
                    check_view(&called, &arguments)?;
                    self.push(Atom::Other);
                }
                b'b' => {
                    self.pop()?;
                    match self.top()? {
                        object @ Atom::Other => *object = Atom::Other,
                        _ => return Err("BUILD of something other than an object".into()),
                    }
                }
                other => return Err(unsupported(other)),
            }
        }
    }

    fn push(&mut self, atom: Atom) {
        self.stack.push(atom);
    }

    fn top(&mut self) -> Step<&mut Atom> {
        match self.marks.last() {
            Some(&mark) if mark == self.stack.len() => Err("expected a value, found a mark".into()),
            _ => self.stack.last_mut().ok_or_else(|| "stack underflow".into()),
        }
    }

    fn pop(&mut self) -> Step<Atom> {
        self.top()?;
        self.stack.pop().ok_or_else(|| "stack underflow".into())
    }

    fn pop_to_mark(&mut self) -> Step<Vec<Atom>> {
        let mark = self.marks.pop().ok_or("no mark on the stack")?;
        Ok(self.stack.split_off(mark))
    }

    fn extend(&mut self, items: Vec<Atom>) -> Step {
        if let Atom::Flat(list) = self.top()? {
            list.extend(items.into_iter().map(leaf));
        }
        Ok(())
    }

    /// Checks keys and values of a dictionary. PyTorch marks a tensor that is to be conjugated or negated on
    /// loading by a key; ignoring it would silently flip signs.
    fn check_pairs(&self, items: &[Atom]) -> Step {
        if !items.len().is_multiple_of(2) {
            return Err("a dictionary key without a value".into());
        }
        for key in items.iter().step_by(2) {
            if let Atom::Str(key) = key
                && (&**key == "conj" || &**key == "neg")
            {
                return Err(format!("a tensor marked '{key}' is not supported"));
            }
        }
        Ok(())
    }

    fn get(&mut self, index: u64) -> Step {
        let atom = self.memo.get(&index).ok_or_else(|| format!("memo {index} was never stored"))?.clone();
        self.push(atom);
        Ok(())
    }

    fn put(&mut self, index: u64) -> Step {
        let atom = match self.top()? {
            Atom::Flat(_) => Atom::Other,
            atom => atom.clone(),
        };
        self.memo.insert(index, atom);
        Ok(())
    }

    fn global(&mut self, module: String, name: String) {
        let verdict = judge(&module, &name);
        if verdict != Verdict::Allowed && self.refused.is_none() {
            self.refused = Some((self.op, format!("{module}.{name}"), verdict));
        }
        self.push(Atom::Global(Rc::new((module, name))));
    }

    fn persistent_id(&mut self, id: Atom) -> Step {
        let Atom::Flat(fields) = id else { return Ok(()) };
        let [Atom::Str(tag), class, Atom::Str(key), Atom::Str(location), Atom::Int(n), ..] =
            fields.as_slice()
        else {
            return Err("a persistent id that does not describe a storage".into());
        };
        if &**tag != "storage" {
            return Err(format!("a persistent id tagged '{tag}', expected 'storage'"));
        }
        if &**location == "meta" {
            return Err(format!("storage '{key}' lies on the meta device and has no data"));
        }
        let class = match class {
            Atom::Global(global) => global.1.clone(),
            Atom::Str(class) => class.to_string(),
            _ => return Err(format!("storage '{key}' has no class")),
        };
        let elements = u64::try_from(*n).map_err(|_| format!("storage '{key}' of {n} elements"))?;
        self.storages.push(StorageId { key: key.to_string(), class, elements });
        Ok(())
    }

    fn take_long(&mut self, n: u64) -> Step<Atom> {
        let bytes = self.input.take_counted(n)?;
        if bytes.len() > 16 {
            return Ok(Atom::Other);
        }
        let fill = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
        let mut le = [fill; 16];
        le[..bytes.len()].copy_from_slice(bytes);
        Ok(Atom::Int(i128::from_le_bytes(le)))
    }

    fn number_line(&mut self) -> Step {
        let line = self.input.line()?;
        let number = line.strip_suffix('L').unwrap_or(&line).parse().map_or(Atom::Other, Atom::Int);
        self.push(number);
        Ok(())
    }

    fn counted_text(&mut self, width: usize) -> Step {
        let n = self.input.unsigned(width)?;
        match std::str::from_utf8(self.input.take_counted(n)?) {
            Ok(text) => {
                let text = text.to_owned();
                self.text(text)
            }
            // A Python 2 `str` may hold raw bytes.
            Err(_) => {
                self.push(Atom::Other);
                Ok(())
            }
        }
    }

    fn text(&mut self, text: String) -> Step {
        self.module_tables |= text == "_modules" || text == "_parameters";
        self.push(Atom::Str(text.into()));
        Ok(())
    }
}

fn leaf(atom: Atom) -> Atom {
    let Atom::Flat(items) = atom else { return atom };
    let integers = items.iter().map(|item| if let Atom::Int(n) = item { Some(*n) } else { None });
    integers.collect::<Option<_>>().map_or(Atom::Other, Atom::Integers)
}

/// Refuses to build a tensor whose elements overlap in its storage: no training makes one.
fn check_view(called: &Atom, arguments: &Atom) -> Step {
    let (Atom::Global(global), Atom::Flat(fields)) = (called, arguments) else { return Ok(()) };
    let [_, _, Atom::Integers(size), Atom::Integers(stride), ..] = &fields[..] else { return Ok(()) };
    if global.0 == "torch._utils" && view::overlaps(size, stride) {
        return Err(format!(
            "a tensor of dimensions {size:?} and strides {stride:?}, whose elements overlap"
        ));
    }
    Ok(())
}

fn flat(items: Vec<Atom>) -> Atom {
    Atom::Flat(items.into_iter().map(leaf).collect())
}

/// The error for an opcode that checkpoints do not need.
fn unsupported(op: u8) -> String {
    let name = match op {
        b'0' => "POP",
        b'1' => "POP_MARK",
        b'2' => "DUP",
        b'i' => "INST",
        b'o' => "OBJ",
        b'P' => "PERSID",
        b'S' => "STRING",
        0x82..=0x84 => "EXT",
        0x92 => "NEWOBJ_EX",
        0x97 => "NEXT_BUFFER",
        0x98 => "READONLY_BUFFER",
        _ => return format!("byte 0x{op:02x} is not a pickle opcode"),
    };
    format!("pickle opcode {name} is not supported")
}
