//! The objects that a pickle makes: what the calls in it would return, and the states that it sets.

use std::rc::Rc;

use super::machine::{Machine, Step};
use super::view::{TensorView, overlaps};
use super::{Global, Object, Value};
use crate::model::pytorch::globals::is_dictionary;

/// Maximum number of dimensions of a tensor, PyTorch's own.
const MOST_DIMENSIONS: usize = 64;
/// Arguments of the functions that rebuild tensors.
const REBUILD_ARGUMENTS: usize = 8;
/// The defect of a tensor that Python would change after it was made.
const MOVED: &str = "a tensor whose state gives it other elements";
/// Maximum number of attributes of a tensor.
const MOST_ATTRIBUTES: usize = 1024;

impl Machine<'_> {
    /// What a call of `called` would return.
    pub(super) fn result(&mut self, called: &Rc<Global>, arguments: &[Value]) -> Step<Value> {
        let (module, name) = (&*called.module, &*called.name);
        let object = match (module, name) {
            // The attribute of a class, which is how old protocols write nested classes and methods.
            ("builtins" | "__builtin__", "getattr") => match arguments {
                [Value::Global(of), Value::Str(attribute)] => {
                    let name = format!("{}.{attribute}", of.name);
                    return self.global(&of.module.clone(), &name.into());
                }
                _ => instance(called),
            },
            ("builtins" | "__builtin__", "set" | "frozenset" | "list" | "tuple") => {
                Object::List(self.items_of(arguments)?)
            }
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state")
            | ("torch.nn.parameter", "Parameter") => {
                if let Some(data) = arguments.first().filter(|data| self.is_tensor(data)) {
                    return self.with_state(data.clone(), arguments.get(3));
                }
                instance(called)
            }
            // (function, type, arguments, state): the function rebuilds the tensor.
            ("torch._tensor", "_rebuild_from_type_v2") => match arguments {
                [Value::Global(function), _, Value::Object(inner), state @ ..]
                    if &*function.module == "torch._utils" =>
                {
                    let Object::Tuple(inner) = &self.objects[*inner] else {
                        return Err("a tensor without arguments".into());
                    };
                    let inner: Vec<Value> = inner.iter().take(REBUILD_ARGUMENTS).cloned().collect();
                    let tensor = self.result(&function.clone(), &inner)?;
                    return self.with_state(tensor, state.first());
                }
                _ => instance(called),
            },
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_tensor_v3") => {
                self.tensor(name, arguments)?
            }
            _ if is_unsupported(called) => {
                Object::Unsupported(format!("'{called}': this kind of tensor is not supported").into())
            }
            _ if is_dictionary(module, name) => Object::Dict(self.entries_of(arguments)?),
            ("copy_reg" | "copyreg", "_reconstructor") => match arguments {
                // (class, base, state): the state of a class that derives from `dict` is its content.
                [Value::Global(class), _, state] => {
                    let entries = self.entries_of(std::slice::from_ref(state))?;
                    Object::Instance { class: class.clone(), state: None, entries }
                }
                _ => instance(called),
            },
            _ => instance(called),
        };
        Ok(Value::Object(self.allocate(object)?))
    }

    /// Sets the state of an object: the attributes of an instance. Those of a tensor or of a plain
    /// container, such as the `_metadata` of a state dict, are not kept.
    pub(super) fn build(&mut self, object: &Value, new: Value) -> Step {
        let Value::Object(id) = object else {
            return Err("BUILD of something other than an object".into());
        };
        let moves_data = matches!(self.objects[*id], Object::Tensor(_)) && self.moves_data(&new);
        match &mut self.objects[*id] {
            Object::Instance { state, .. } => *state = Some(new),
            tensor if moves_data => *tensor = Object::Unsupported(MOVED.into()),
            Object::Tuple(_) | Object::List(_) => {
                return Err("BUILD of something other than an object".into());
            }
            Object::Dict(_)
            | Object::Storage(_)
            | Object::Tensor(_)
            | Object::Unsupported(_)
            | Object::Persistent(_) => {}
        }
        Ok(())
    }

    fn is_tensor(&self, value: &Value) -> bool {
        use Object::{Persistent, Tensor, Unsupported};
        matches!(value, Value::Object(id) if matches!(self.objects[*id], Tensor(_) | Unsupported(_) | Persistent(_)))
    }

    /// `tensor` with the attributes `state`.
    fn with_state(&mut self, tensor: Value, state: Option<&Value>) -> Step<Value> {
        match state.filter(|state| self.moves_data(state)) {
            Some(_) => Ok(Value::Object(self.allocate(Object::Unsupported(MOVED.into()))?)),
            None => Ok(tensor),
        }
    }

    /// Whether a tensor with this state has other elements than it was made with: `(storage, offset, size, stride)`
    /// of old versions, or an attribute `data`.
    fn moves_data(&self, state: &Value) -> bool {
        let Value::Object(id) = state else { return false };
        match &self.objects[*id] {
            Object::Tuple(fields) if fields.len() >= 4 => true,
            Object::Tuple(parts) => parts.iter().any(|part| self.has_data(part)),
            _ => self.has_data(state),
        }
    }

    fn has_data(&self, attributes: &Value) -> bool {
        let Value::Object(id) = attributes else { return false };
        let (Object::Dict(entries) | Object::Instance { entries, .. }) = &self.objects[*id] else {
            return false;
        };
        entries
            .iter()
            .take(MOST_ATTRIBUTES)
            .any(|(key, _)| matches!(key, Value::Str(key) if &**key == "data"))
            || entries.len() > MOST_ATTRIBUTES
    }

    /// The items of a new list or set: those of the first argument.
    fn items_of(&mut self, arguments: &[Value]) -> Step<Vec<Value>> {
        let Some(Value::Object(id)) = arguments.first() else { return Ok(Vec::new()) };
        let length =
            if let Object::List(items) | Object::Tuple(items) = &self.objects[*id] { items.len() } else { 0 };
        self.count(length)?;
        match &self.objects[*id] {
            Object::List(items) | Object::Tuple(items) => Ok(items.clone()),
            _ => Ok(Vec::new()),
        }
    }

    /// The entries of a new dictionary: those of the first argument, a dictionary or a list of pairs.
    fn entries_of(&mut self, arguments: &[Value]) -> Step<Vec<(Value, Value)>> {
        let Some(Value::Object(id)) = arguments.first() else { return Ok(Vec::new()) };
        let length = match &self.objects[*id] {
            Object::Dict(entries) => entries.len(),
            Object::List(items) | Object::Tuple(items) => items.len(),
            _ => 0,
        };
        self.count(length)?;
        let pair = |value: &Value| match value {
            Value::Object(id) => match &self.objects[*id] {
                Object::Tuple(two) | Object::List(two) => match &two[..] {
                    [key, value] => Some((key.clone(), value.clone())),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        };
        Ok(match &self.objects[*id] {
            Object::Dict(entries) => entries.clone(),
            Object::List(items) | Object::Tuple(items) => items.iter().filter_map(pair).collect(),
            _ => Vec::new(),
        })
    }

    /// The tensor that `torch._utils`' function `name` builds.
    fn tensor(&self, name: &str, arguments: &[Value]) -> Step<Object> {
        let unclear = || format!("{name}: arguments that do not describe a tensor");
        let integers = |value: &Value| -> Option<Vec<i128>> {
            let Value::Object(id) = value else { return None };
            let (Object::Tuple(items) | Object::List(items)) = &self.objects[*id] else { return None };
            let items = Some(items).filter(|items| items.len() <= MOST_DIMENSIONS)?;
            items.iter().map(|item| if let Value::Int(n) = item { Some(*n) } else { None }).collect()
        };
        let [Value::Object(storage), Value::Int(offset), size, stride, ..] = arguments else {
            return Err(unclear());
        };
        let Object::Storage(storage) = &self.objects[*storage] else { return Err(unclear()) };
        let (size, stride) = (integers(size).ok_or_else(unclear)?, integers(stride).ok_or_else(unclear)?);
        if overlaps(&size, &stride) {
            return Err(format!(
                "a tensor of dimensions {size:?} and strides {stride:?}, whose elements overlap"
            ));
        }
        // `_rebuild_tensor_v3(storage, offset, size, stride, requires_grad, hooks, dtype, metadata)`; the
        // second version has no type, and its metadata are the seventh argument.
        let (dtype, metadata) = match name {
            "_rebuild_tensor_v3" => (arguments.get(6), arguments.get(7)),
            _ => (None, arguments.get(6)),
        };
        // PyTorch marks a tensor that is to be conjugated or negated on loading by its metadata.
        if metadata.is_some_and(|metadata| !self.is_empty(metadata)) {
            return Ok(Object::Unsupported(
                "a tensor marked as conjugated or negated is not supported".into(),
            ));
        }
        let dtype = match dtype {
            Some(Value::Global(dtype)) => Some(dtype.name.to_string()),
            Some(_) => return Err(unclear()),
            None => None,
        };
        let view = TensorView::new(storage, *offset, &size, &stride, dtype).ok_or_else(unclear)?;
        Ok(Object::Tensor(Box::new(view)))
    }

    /// Whether `value` is `None` or an empty dictionary.
    fn is_empty(&self, value: &Value) -> bool {
        match value {
            Value::Other => true,
            Value::Object(id) => matches!(&self.objects[*id], Object::Dict(entries) if entries.is_empty()),
            _ => false,
        }
    }
}

/// Whether `function` builds tensors of a kind that is not supported: sparse, quantized, on another device.
fn is_unsupported(function: &Global) -> bool {
    &*function.module == "torch._utils" && function.name.starts_with("_rebuild_")
}

fn instance(class: &Rc<Global>) -> Object {
    Object::Instance { class: class.clone(), state: None, entries: Vec::new() }
}
