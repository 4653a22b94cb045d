//! A walk over the opcodes of one pickle: the globals that it mentions, the storages that it refers to, and
//! its end. It builds no objects; of each value it keeps only what these results depend on.

#[cfg(test)]
mod tests;
mod view;

use super::globals::{Verdict, judge};
use crate::util::pickle::{Op, Opcodes};
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
        input: Opcodes::new(bytes, start),
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
    let value = outcome.map_err(|cause| Stop { offset: walker.input.op(), cause })?;
    Ok(Pickle { end: walker.input.at(), storages: walker.storages, value })
}

struct Walker<'a> {
    input: Opcodes<'a>,
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
            match self.input.next()? {
                Op::Stop => return self.pop(),
                Op::Nothing => {}
                Op::Plain | Op::Bool(_) | Op::Int(None) | Op::Bytes(_) | Op::EmptyDict | Op::EmptySet => {
                    self.push(Atom::Other);
                }
                Op::EmptyList | Op::EmptyTuple => self.push(Atom::Flat(Vec::new())),
                Op::Int(Some(n)) => self.push(Atom::Int(n)),
                Op::Text(text) => self.text(&text),
                Op::Str(bytes) => match std::str::from_utf8(&bytes) {
                    Ok(text) => self.text(text),
                    Err(_) => self.push(Atom::Other),
                },
                Op::Mark => self.marks.push(self.stack.len()),
                Op::TupleToMark | Op::ListToMark => {
                    let items = self.pop_to_mark()?;
                    self.push(flat(items));
                }
                Op::Tuple(n) => {
                    let mut items = (0..n).map(|_| self.pop()).collect::<Step<Vec<_>>>()?;
                    items.reverse();
                    self.push(flat(items));
                }
                Op::DictToMark => {
                    let items = self.pop_to_mark()?;
                    self.check_pairs(&items)?;
                    self.push(Atom::Other);
                }
                Op::FrozenSetToMark => {
                    self.pop_to_mark()?;
                    self.push(Atom::Other);
                }
                Op::Append => {
                    let item = self.pop()?;
                    self.extend(vec![item])?;
                }
                Op::Appends | Op::AddItems => {
                    let items = self.pop_to_mark()?;
                    self.extend(items)?;
                }
                Op::SetItem => {
                    let value = self.pop()?;
                    let key = self.pop()?;
                    self.check_pairs(&[key, value])?;
                    self.top()?;
                }
                Op::SetItems => {
                    let items = self.pop_to_mark()?;
                    self.check_pairs(&items)?;
                    self.top()?;
                }
                Op::Get(index) => self.get(index)?,
                Op::Put(index) => self.put(index)?,
                Op::Memoize => self.put(self.memo.len() as u64)?,
                Op::Global(module, name) => self.global(module, name),
                Op::StackGlobal => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let (Atom::Str(module), Atom::Str(name)) = (module, name) else {
                        return Err("STACK_GLOBAL of something other than two texts".into());
                    };
                    self.global(module.to_string(), name.to_string());
                }
                Op::PersistentId => {
                    let id = self.pop()?;
                    self.persistent_id(id)?;
                    self.push(Atom::Other);
                }
                Op::Call => {
                    let arguments = self.pop()?;
                    let called = self.pop()?;
                    check_view(&called, &arguments)?;
                    self.push(Atom::Other);
                }
                Op::Build => {
                    self.pop()?;
                    match self.top()? {
                        object @ Atom::Other => *object = Atom::Other,
                        _ => return Err("BUILD of something other than an object".into()),
                    }
                }
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
            self.refused = Some((self.input.op(), format!("{module}.{name}"), verdict));
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

    fn text(&mut self, text: &str) {
        self.module_tables |= text == "_modules" || text == "_parameters";
        self.push(Atom::Str(text.into()));
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
