//! The objects that a pickle makes: what the calls in it would return, and the states that it sets.

use std::rc::Rc;

use super::machine::{Machine, Step};
use super::view::{TensorView, overlaps};
use super::{Global, Object, Value};

/// Maximum number of dimensions of a tensor, PyTorch's own.
const MOST_DIMENSIONS: usize = 64;
/// Arguments of the functions that rebuild tensors.
const REBUILD_ARGUMENTS: usize = 8;
/// Maximum number of marks of a tensor.
const MOST_MARKS: usize = 64;

impl Machine<'_> {
    /// What a call of `called` would return.
    pub(super) fn result(&mut self, called: &Rc<Global>, arguments: &[Value]) -> Step<Value> {
        let (module, name) = (called.module.as_str(), called.name.as_str());
        let object = match (module, name) {
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state")
            | ("torch.nn.parameter", "Parameter") => {
                if let Some(data) = arguments.first().filter(|data| self.is_tensor(data)) {
                    return Ok(data.clone());
                }
                instance(called)
            }
            // (function, type, arguments, state): the function rebuilds the tensor.
            ("torch._tensor", "_rebuild_from_type_v2") => match arguments {
                [Value::Global(function), _, Value::Object(inner), ..]
                    if function.module == "torch._utils" =>
                {
                    let Object::Tuple(inner) = &self.objects[*inner] else {
                        return Err("a tensor without arguments".into());
                    };
                    let inner: Vec<Value> = inner.iter().take(REBUILD_ARGUMENTS).cloned().collect();
                    return self.result(&function.clone(), &inner);
                }
                _ => instance(called),
            },
            ("torch._utils", _) => self.tensor(name, arguments)?,
            ("collections", "OrderedDict" | "defaultdict" | "Counter")
            | ("builtins" | "__builtin__", "dict") => Object::Dict(self.entries_of(arguments)),
            ("copy_reg" | "copyreg", "_reconstructor") => match arguments {
                // (class, base, state): the state of a class that derives from `dict` is its content.
                [Value::Global(class), _, state] => {
                    let entries = self.entries_of(std::slice::from_ref(state));
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
        match &mut self.objects[*id] {
            Object::Instance { state, .. } => *state = Some(new),
            Object::Tuple(_) | Object::List(_) => {
                return Err("BUILD of something other than an object".into());
            }
            Object::Dict(_) | Object::Storage(_) | Object::Tensor(_) | Object::Persistent(_) => {}
        }
        Ok(())
    }

    fn is_tensor(&self, value: &Value) -> bool {
        matches!(value, Value::Object(id) if matches!(self.objects[*id], Object::Tensor(_) | Object::Persistent(_)))
    }

    /// The entries of a new dictionary: those of the first argument, a dictionary or a list of pairs.
    fn entries_of(&self, arguments: &[Value]) -> Vec<(Value, Value)> {
        let Some(Value::Object(id)) = arguments.first() else { return Vec::new() };
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
        match &self.objects[*id] {
            Object::Dict(entries) => entries.clone(),
            Object::List(items) | Object::Tuple(items) => items.iter().filter_map(pair).collect(),
            _ => Vec::new(),
        }
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
        if let Some(mark) = metadata.and_then(|metadata| self.mark(metadata)) {
            return Err(format!("a tensor marked '{mark}' is not supported"));
        }
        let dtype = match dtype {
            Some(Value::Global(dtype)) => Some(dtype.name.clone()),
            Some(_) => return Err(unclear()),
            None => None,
        };
        let view = TensorView::new(storage, *offset, &size, &stride, dtype).ok_or_else(unclear)?;
        Ok(Object::Tensor(view))
    }

    /// PyTorch marks a tensor that is to be conjugated or negated on loading by a key; ignoring it would
    /// silently flip signs.
    fn mark(&self, metadata: &Value) -> Option<&'static str> {
        let Value::Object(id) = metadata else { return None };
        let Object::Dict(entries) = &self.objects[*id] else { return None };
        if entries.len() > MOST_MARKS {
            return Some("with more than PyTorch does");
        }
        let has =
            |mark: &&str| entries.iter().any(|(key, _)| matches!(key, Value::Str(key) if &**key == *mark));
        ["conj", "neg"].into_iter().find(has)
    }
}

fn instance(class: &Rc<Global>) -> Object {
    Object::Instance { class: class.clone(), state: None, entries: Vec::new() }
}
