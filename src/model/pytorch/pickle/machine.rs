//! The machine of a pickle: a stack, a memo, and one rule for each opcode.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use super::{Global, Object, ObjectId, Pickle, Stop, StorageId, Value};
use crate::model::pytorch::globals::{Verdict, is_dictionary, judge};
use crate::util::pickle::{Op, Opcodes};

/// Maximum number of values in containers, on the stack and in the memo, and of marks: far above that of any
/// checkpoint. It bounds the memory that a pickle can ask for, and the time of each call in it.
const MOST_VALUES: usize = 1 << 22;
/// Maximum length of the name of a module or of something in it, and of a persistent id, in bytes.
const LONGEST_NAME: usize = 512;
/// Maximum number of arguments of a call: the longest are those of named tuples.
const MOST_ARGUMENTS: usize = 1 << 16;
/// Fields of a persistent id that are read.
const ID_FIELDS: usize = 6;

/// The state of a walk.
pub struct Machine<'a> {
    input: Opcodes<'a>,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: HashMap<u64, Value>,
    pub(super) objects: Vec<Object>,
    /// Number of values that were put into containers.
    values: usize,
    refused: Option<(usize, String)>,
    foreign: BTreeSet<Rc<Global>>,
    /// The globals that were mentioned, by the addresses of the texts that name them, which are kept: a pickle
    /// mentions most again and again.
    globals: HashMap<(*const u8, *const u8), Rc<Global>>,
}

pub type Step<T = ()> = Result<T, String>;

impl<'a> Machine<'a> {
    /// The machine before the first opcode of the pickle at `start`.
    pub fn new(bytes: &'a [u8], start: usize) -> Self {
        Machine {
            input: Opcodes::new(bytes, start),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            objects: Vec::new(),
            values: 0,
            refused: None,
            foreign: BTreeSet::new(),
            globals: HashMap::new(),
        }
    }

    /// Runs the machine to the end of the pickle.
    pub fn run(mut self) -> Result<Pickle, Stop> {
        let outcome = self.steps();
        if let Some((offset, cause)) = self.refused {
            return Err(Stop { offset, cause });
        }
        let value = outcome.map_err(|cause| Stop { offset: self.input.op(), cause })?;
        Ok(Pickle { end: self.input.at(), value, objects: self.objects, foreign: self.foreign })
    }

    fn steps(&mut self) -> Step<Value> {
        loop {
            if self.stack.len().max(self.memo.len()).max(self.marks.len()) > MOST_VALUES {
                return Err(format!("a pickle of over {MOST_VALUES} values"));
            }
            match self.input.next()? {
                Op::Stop => return self.pop(),
                Op::Nothing => {}
                Op::Plain | Op::Int(None) | Op::Bytes(_) => self.push(Value::Other),
                Op::Bool(value) => self.push(Value::Bool(value)),
                Op::Int(Some(n)) => self.push(Value::Int(n)),
                Op::Text(text) => self.push(Value::Str((*text).into())),
                // A Python 2 `str` may hold raw bytes.
                Op::Str(bytes) => {
                    let text = std::str::from_utf8(&bytes);
                    self.push(text.map_or(Value::Other, |text| Value::Str(text.into())));
                }
                Op::EmptyDict => self.make(Object::Dict(Vec::new()))?,
                Op::EmptyList | Op::EmptySet => self.make(Object::List(Vec::new()))?,
                Op::EmptyTuple => self.make(Object::Tuple(Vec::new()))?,
                Op::Mark => self.marks.push(self.stack.len()),
                Op::Pop => match self.marks.last() {
                    Some(&mark) if mark == self.stack.len() => drop(self.marks.pop()),
                    _ => drop(self.pop()?),
                },
                Op::PopToMark => drop(self.pop_to_mark()?),
                Op::Duplicate => {
                    let top = self.top()?.clone();
                    self.push(top);
                }
                Op::TupleToMark => {
                    let items = self.pop_to_mark()?;
                    self.make(Object::Tuple(items))?;
                }
                Op::ListToMark | Op::FrozenSetToMark => {
                    let items = self.pop_to_mark()?;
                    self.make(Object::List(items))?;
                }
                Op::Tuple(n) => {
                    let mut items = (0..n).map(|_| self.pop()).collect::<Step<Vec<_>>>()?;
                    items.reverse();
                    self.make(Object::Tuple(items))?;
                }
                Op::DictToMark => {
                    let entries = pairs(self.pop_to_mark()?)?;
                    self.make(Object::Dict(entries))?;
                }
                Op::Append => {
                    let item = self.pop()?;
                    self.append(vec![item])?;
                }
                Op::Appends | Op::AddItems => {
                    let items = self.pop_to_mark()?;
                    self.append(items)?;
                }
                Op::SetItem => {
                    let value = self.pop()?;
                    let key = self.pop()?;
                    self.set_items(vec![(key, value)])?;
                }
                Op::SetItems => {
                    let entries = pairs(self.pop_to_mark()?)?;
                    self.set_items(entries)?;
                }
                Op::Get(index) => self.get(index)?,
                Op::Put(index) => self.put(index)?,
                Op::Memoize => self.put(self.memo.len() as u64)?,
                Op::Global(module, name) => {
                    let global = self.global(&module.into(), &name.into())?;
                    self.push(global);
                }
                Op::StackGlobal => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let (Value::Str(module), Value::Str(name)) = (module, name) else {
                        return Err("STACK_GLOBAL of something other than two texts".into());
                    };
                    let global = self.global(&module, &name)?;
                    self.push(global);
                }
                Op::PersistentId => {
                    let id = self.pop()?;
                    let object = self.persistent(&id)?;
                    self.push(object);
                }
                Op::PersistentText(id) => {
                    let object = self.persistent(&Value::Str(id.into()))?;
                    self.push(object);
                }
                Op::Call => {
                    let (arguments, called) = (self.pop()?, self.pop()?);
                    self.call(&called, &arguments)?;
                }
                // `__new__` of a dictionary makes an empty one, whatever it is given.
                Op::New => {
                    let (arguments, called) = (self.pop()?, self.pop()?);
                    match &called {
                        Value::Global(class) if is_dictionary(&class.module, &class.name) => {
                            self.make(Object::Dict(Vec::new()))?
                        }
                        _ => self.call(&called, &arguments)?,
                    }
                }
                Op::NewWithNames => {
                    let (_names, arguments, called) = (self.pop()?, self.pop()?, self.pop()?);
                    self.call(&called, &arguments)?;
                }
                Op::CallGlobal(module, name) => {
                    let called = self.global(&module.into(), &name.into())?;
                    let arguments = self.pop_to_mark()?;
                    self.call_with(&called, arguments)?;
                }
                Op::CallToMark => {
                    let mut arguments = self.pop_to_mark()?;
                    if arguments.is_empty() {
                        return Err("OBJ without a class".into());
                    }
                    let called = arguments.remove(0);
                    self.call_with(&called, arguments)?;
                }
                Op::Build => {
                    let state = self.pop()?;
                    let object = self.top()?.clone();
                    self.build(&object, state)?;
                }
            }
        }
    }

    fn push(&mut self, value: Value) {
        self.stack.push(value);
    }

    /// Pushes a new object.
    fn make(&mut self, object: Object) -> Step {
        let id = self.allocate(object)?;
        self.push(Value::Object(id));
        Ok(())
    }

    /// Adds an object to the list.
    pub(super) fn allocate(&mut self, object: Object) -> Step<ObjectId> {
        let held = match &object {
            Object::Tuple(items) | Object::List(items) => items.len(),
            Object::Dict(entries) | Object::Instance { entries, .. } => 2 * entries.len(),
            _ => 0,
        };
        self.count(held + 1)?;
        self.objects.push(object);
        Ok(self.objects.len() - 1)
    }

    /// Counts `more` values against [`MOST_VALUES`].
    pub(super) fn count(&mut self, more: usize) -> Step {
        self.values += more;
        if self.values > MOST_VALUES {
            return Err(format!("a pickle of over {MOST_VALUES} values"));
        }
        Ok(())
    }

    fn top(&mut self) -> Step<&mut Value> {
        match self.marks.last() {
            Some(&mark) if mark == self.stack.len() => Err("expected a value, found a mark".into()),
            _ => self.stack.last_mut().ok_or_else(|| "stack underflow".into()),
        }
    }

    fn pop(&mut self) -> Step<Value> {
        self.top()?;
        self.stack.pop().ok_or_else(|| "stack underflow".into())
    }

    fn pop_to_mark(&mut self) -> Step<Vec<Value>> {
        let mark = self.marks.pop().ok_or("no mark on the stack")?;
        if mark > self.stack.len() {
            return Err("a mark above the stack".into());
        }
        Ok(self.stack.split_off(mark))
    }

    /// Appends to a list; items of other kinds of collections are not kept.
    fn append(&mut self, items: Vec<Value>) -> Step {
        self.count(items.len())?;
        match self.top()?.clone() {
            Value::Object(id) => {
                if let Object::List(list) = &mut self.objects[id] {
                    list.extend(items);
                }
                Ok(())
            }
            _ => Err("an item for something other than a list".into()),
        }
    }

    fn set_items(&mut self, new: Vec<(Value, Value)>) -> Step {
        self.count(2 * new.len())?;
        let Value::Object(id) = self.top()?.clone() else {
            return Err("an entry for something other than a dictionary".into());
        };
        match &mut self.objects[id] {
            Object::Dict(entries) | Object::Instance { entries, .. } => entries.extend(new),
            _ => return Err("an entry for something other than a dictionary".into()),
        }
        Ok(())
    }

    fn get(&mut self, index: u64) -> Step {
        let value = self.memo.get(&index).ok_or_else(|| format!("memo {index} was never stored"))?.clone();
        self.push(value);
        Ok(())
    }

    fn put(&mut self, index: u64) -> Step {
        let value = self.top()?.clone();
        self.memo.insert(index, value);
        Ok(())
    }

    /// The global `module.name`.
    pub(super) fn global(&mut self, module: &Rc<str>, name: &Rc<str>) -> Step<Value> {
        if module.len().max(name.len()) > LONGEST_NAME {
            return Err(format!("the name of a class or a function of over {LONGEST_NAME} bytes"));
        }
        let addresses = (module.as_ptr(), name.as_ptr());
        if let Some(known) = self.globals.get(&addresses) {
            return Ok(Value::Global(known.clone()));
        }
        self.count(1)?; // it is kept
        let global = Rc::new(Global { module: module.clone(), name: name.clone() });
        match judge(module, name) {
            Verdict::Data => {}
            Verdict::Foreign => drop(self.foreign.insert(global.clone())),
            Verdict::Refused => {
                let cause = format!(
                    "global '{global}' is not allowed (possibly malicious; nothing was executed); if you trust the file, \
                     load it with PyTorch and save the state_dict() alone"
                );
                self.refused.get_or_insert((self.input.op(), cause));
            }
        }
        self.globals.insert(addresses, global.clone());
        Ok(Value::Global(global))
    }

    /// The object of a persistent id: a storage, the class of a module, or another object of the container.
    fn persistent(&mut self, id: &Value) -> Step<Value> {
        let fields = match id {
            Value::Str(id) if id.len() > LONGEST_NAME => {
                return Err(format!("a persistent id of over {LONGEST_NAME} bytes"));
            }
            Value::Str(id) => return Ok(Value::Object(self.allocate(Object::Persistent(id.clone()))?)),
            Value::Int(id) => {
                return Ok(Value::Object(self.allocate(Object::Persistent(id.to_string().into()))?));
            }
            Value::Object(id) => match &self.objects[*id] {
                Object::Tuple(fields) => fields.iter().take(ID_FIELDS).cloned().collect(),
                _ => Vec::new(),
            },
            _ => Vec::new(),
        };
        let [Value::Str(tag), class, rest @ ..] = &fields[..] else {
            return Err("a persistent id that does not describe a storage".into());
        };
        if &**tag == "module" {
            return Ok(class.clone()); // a class with its source code, which is not read
        }
        if &**tag != "storage" {
            return Err(format!("a persistent id tagged '{tag}', expected 'storage'"));
        }
        let [Value::Str(key), Value::Str(location), Value::Int(n), view @ ..] = rest else {
            return Err("a persistent id that does not describe a storage".into());
        };
        if key.len() > LONGEST_NAME {
            return Err(format!("a storage with a key of over {LONGEST_NAME} bytes"));
        }
        if &**location == "meta" {
            return Err(format!("storage '{key}' lies on the meta device and has no data"));
        }
        let class = match class {
            Value::Global(global) => global.name.to_string(),
            Value::Str(class) if class.len() <= LONGEST_NAME => class.to_string(),
            _ => return Err(format!("storage '{key}' has no class")),
        };
        let elements = u64::try_from(*n).map_err(|_| format!("storage '{key}' of {n} elements"))?;
        let start = match view.first() {
            Some(Value::Object(view)) => match &self.objects[*view] {
                Object::Tuple(view) => match &view[..] {
                    [_, Value::Int(offset), ..] => u64::try_from(*offset)
                        .map_err(|_| format!("a view of storage '{key}' from element {offset}"))?,
                    _ => return Err(format!("a view of storage '{key}' without an offset")),
                },
                _ => 0,
            },
            _ => 0,
        };
        let storage = StorageId { key: key.to_string(), class, elements, start };
        Ok(Value::Object(self.allocate(Object::Storage(Rc::new(storage)))?))
    }

    /// Calls `called` with the tuple `arguments`, and pushes the result.
    fn call(&mut self, called: &Value, arguments: &Value) -> Step {
        let mut given = Vec::new();
        if let Value::Object(id) = arguments
            && let Object::Tuple(items) = &self.objects[*id]
        {
            if items.len() > MOST_ARGUMENTS {
                return Err(format!("a call with {} arguments, at most {MOST_ARGUMENTS}", items.len()));
            }
            given.clone_from(items);
        }
        self.call_with(called, given)
    }

    fn call_with(&mut self, called: &Value, arguments: Vec<Value>) -> Step {
        let Value::Global(called) = called else {
            return Err("a call of something other than a class or a function".into());
        };
        self.count(arguments.len())?;
        let result = self.result(called, &arguments)?;
        self.push(result);
        Ok(())
    }
}

/// Keys and values in turn as entries.
fn pairs(values: Vec<Value>) -> Step<Vec<(Value, Value)>> {
    if !values.len().is_multiple_of(2) {
        return Err("a dictionary key without a value".into());
    }
    let mut values = values.into_iter();
    Ok(std::iter::from_fn(|| Some((values.next()?, values.next()?))).collect())
}
