//! The values of one pickle, built without running anything: a class or function that the pickle mentions
//! is a name and never called.
//!
//! Tensors, dictionaries and lists are understood; any other object is an [`Object::Instance`] of its class,
//! whose content is data as well.

mod machine;
mod objects;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{BTreeSet, HashSet};
use std::rc::Rc;

pub use view::{TensorView, overlaps};

/// Maximum length of a key in bytes: no name of a tensor is longer.
pub const LONGEST_KEY: usize = 1024;

/// Keys and values of a dictionary.
pub type Entries<'a> = Vec<(Rc<str>, &'a Value)>;

/// Index of an object of a pickle.
pub type ObjectId = usize;

/// A value of a pickle. Containers and objects are in [`Pickle::objects`], so that values never nest.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `True` or `False`.
    Bool(bool),
    /// An integer of up to 128 bits.
    Int(i128),
    /// Text.
    Str(Rc<str>),
    /// A mention of `module.name`.
    Global(Rc<Global>),
    /// An object.
    Object(ObjectId),
    /// Anything else: `None`, floats, bytes, longer integers, text that is not Unicode.
    Other,
}

/// The name of a class or a function.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Global {
    /// Its module, with dots.
    pub module: Rc<str>,
    /// Its name in the module.
    pub name: Rc<str>,
}

impl std::fmt::Display for Global {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.module, self.name)
    }
}

/// A container or an object.
#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    /// A tuple.
    Tuple(Vec<Value>),
    /// A list or a set.
    List(Vec<Value>),
    /// A dictionary of one of Python's own classes, in the order of insertion; a later entry replaces an
    /// earlier one of the same key.
    Dict(Vec<(Value, Value)>),
    /// A storage in the container.
    Storage(Rc<StorageId>),
    /// A tensor: a view of a storage.
    Tensor(Box<TensorView>),
    /// A tensor of a kind that is not supported, and what kind.
    Unsupported(Box<str>),
    /// An object of another class.
    Instance {
        /// The class, or the function that makes the object.
        class: Rc<Global>,
        /// Its attributes, if it has any: normally a dictionary.
        state: Option<Value>,
        /// Its entries, if it is a kind of dictionary.
        entries: Vec<(Value, Value)>,
    },
    /// An object that the container describes outside the pickle, by its persistent id.
    Persistent(Rc<str>),
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
    /// Index of the first element that this reference starts at: not zero for views of old versions.
    pub start: u64,
}

/// The result of a walk.
#[derive(Debug)]
pub struct Pickle {
    /// Offset of the first byte after the pickle.
    pub end: usize,
    /// The value of the pickle.
    pub value: Value,
    /// Every object, in the order of creation.
    pub objects: Vec<Object>,
    /// Classes and functions that are neither tensors nor plain data.
    pub foreign: BTreeSet<Rc<Global>>,
}

impl Pickle {
    /// Every reference to a storage, in order.
    pub fn storages(&self) -> impl Iterator<Item = &StorageId> {
        self.objects.iter().filter_map(|object| match object {
            Object::Storage(storage) => Some(&**storage),
            _ => None,
        })
    }

    /// The object of `value`, if it is one.
    pub fn object(&self, value: &Value) -> Option<&Object> {
        match value {
            Value::Object(id) => self.objects.get(*id),
            _ => None,
        }
    }

    /// The entries of `value` in the file's order, if it is a kind of dictionary; a key may be there more than once.
    pub fn raw_entries(&self, value: &Value) -> Option<&[(Value, Value)]> {
        match self.object(value)? {
            Object::Dict(entries) => Some(entries),
            Object::Instance { entries, .. } if !entries.is_empty() => Some(entries),
            _ => None,
        }
    }

    /// The entries of `value` whose keys are texts or integers, if it is a kind of dictionary; of those with the
    /// same key only the last, and none with a key longer than [`LONGEST_KEY`].
    pub fn entries(&self, value: &Value) -> Option<Entries<'_>> {
        let entries = self.raw_entries(value)?;
        let mut seen: HashSet<(bool, Rc<str>)> = HashSet::new();
        let mut last: Vec<(Rc<str>, &Value)> = Vec::new();
        for (key, value) in entries.iter().rev() {
            let key = match key {
                Value::Str(text) if text.len() <= LONGEST_KEY => (true, text.clone()),
                Value::Int(n) => (false, n.to_string().into()),
                _ => continue,
            };
            if seen.insert(key.clone()) {
                last.push((key.1, value));
            }
        }
        last.reverse();
        Some(last)
    }

    /// The items of `value`, if it is a list or a tuple.
    pub fn items(&self, value: &Value) -> Option<&[Value]> {
        match self.object(value)? {
            Object::List(items) | Object::Tuple(items) => Some(items),
            _ => None,
        }
    }
}

/// The failure of a walk.
#[derive(Debug)]
pub struct Stop {
    /// Offset in the bytes.
    pub offset: usize,
    /// What is wrong there.
    pub cause: String,
}

/// Reads the pickle that starts at `start`.
///
/// A forbidden global takes precedence over any defect after it.
///
/// # Errors
/// At a forbidden global, an opcode that checkpoints do not need, a defect, and the end of the bytes.
pub fn walk(bytes: &[u8], start: usize) -> Result<Pickle, Stop> {
    machine::Machine::new(bytes, start).run()
}
