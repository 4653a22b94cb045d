//! The state dict of a checkpoint: its location, and the tensors in it by name.

use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use super::pickle::{Entries, Object, ObjectId, Pickle, TensorView, Value};
use super::storages::Defect;
use crate::util::listed::listed;

/// Keys under which training scripts save a model's state, by precedence.
const USUAL: [&str; 5] = ["state_dict", "model_state_dict", "model", "net", "network"];
/// Maximum number of keys on the way to a state dict.
const DEEPEST: usize = 6;
/// Maximum depth of a whole model's modules.
const DEEPEST_MODULE: usize = 64;
/// Maximum effort of a search: entries that are looked at, and 16 bytes of names.
const MOST_WORK: usize = 1 << 24;

/// A state dict found in a checkpoint.
#[derive(Debug, PartialEq)]
pub struct State {
    /// Keys that lead to it from the root; empty when the root is the state dict.
    pub path: Vec<String>,
    /// Every tensor by its name in the file.
    pub tensors: BTreeMap<String, TensorView>,
    /// The class, if it is a whole model whose tensors are named by its modules.
    pub whole_model: Option<String>,
    /// Paths of the other state dicts in the file, joined by dots.
    pub others: Vec<String>,
}

impl State {
    /// The tensors whose names begin with `prefix` and a dot.
    ///
    /// # Errors
    /// When there are none.
    pub fn under(mut self, prefix: Option<&str>) -> Result<State, Defect> {
        let Some(prefix) = prefix else { return Ok(self) };
        self.tensors.retain(|name, _| name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.')));
        match self.tensors.is_empty() {
            true => Err(refused(format!("a single state dict, without names under '{prefix}'"))),
            false => Ok(self),
        }
    }
}

/// A place where tensors have the names of a model's.
struct Candidate {
    path: Vec<String>,
    value: Value,
    whole_model: Option<String>,
}

impl Candidate {
    fn dotted(&self) -> String {
        self.path.join(".")
    }

    fn is_under(&self, key: &str) -> bool {
        self.path.last().is_some_and(|last| last == key)
    }
}

/// The state dict at `key`, which is its path with dots, the last part of that, or its path and a prefix of
/// names in it; without one the only state dict nearest to the root, or the only one there under a usual key.
///
/// # Errors
/// When there is none, or several to choose from.
pub fn find(pickle: &Pickle, key: Option<&str>) -> Result<State, Defect> {
    let search = Search { pickle, work: Cell::new(0) };
    let mut found = search.candidates()?;
    if found.is_empty() {
        return Err(refused(format!("no state_dict inside, only {}", search.kind())));
    }
    let (at, prefix) = match key {
        Some(key) => search.choose(&found, key)?,
        None => (nearest(&found)?, String::new()),
    };
    let Candidate { path, value, whole_model } = found.remove(at);
    let mut tensors = search.tensors(&value, whole_model.is_some())?;
    tensors.retain(|name, _| name.starts_with(&prefix));
    Ok(State { path, tensors, whole_model, others: found.iter().map(Candidate::dotted).collect() })
}

fn refused(cause: String) -> Defect {
    Defect::new("checkpoint", cause)
}

/// Index of the candidate nearest to the root: the only one of its depth, or the only one there under the first
/// usual key.
fn nearest(found: &[Candidate]) -> Result<usize, Defect> {
    let depth = found.iter().map(|candidate| candidate.path.len()).min().unwrap_or_default();
    let there: Vec<usize> = (0..found.len()).filter(|&i| found[i].path.len() == depth).collect();
    let under = |key: &str| there.iter().copied().filter(|&i| found[i].is_under(key)).collect::<Vec<_>>();
    match (&there[..], USUAL.into_iter().map(under).find(|places| !places.is_empty()).as_deref()) {
        ([only], _) | (_, Some([only])) => Ok(*only),
        _ => Err(refused(format!("several state dicts, choose one with --state-dict: {}", names(found)))),
    }
}

fn names(found: &[Candidate]) -> String {
    listed(found.iter().map(Candidate::dotted))
}

/// A walk over the values of a pickle, whose effort is limited.
struct Search<'a> {
    pickle: &'a Pickle,
    work: Cell<usize>,
}

impl<'a> Search<'a> {
    fn count(&self, work: usize) -> Result<(), Defect> {
        self.work.set(self.work.get().saturating_add(work));
        match self.work.get() > MOST_WORK {
            true => Err(refused("too many entries to look for a state dict in".into())),
            false => Ok(()),
        }
    }

    /// The entries of `value`, if it is a kind of dictionary.
    fn entries(&self, value: &Value) -> Result<Option<Entries<'a>>, Defect> {
        let Some(raw) = self.pickle.raw_entries(value) else { return Ok(None) };
        for (key, _) in raw {
            self.count(1 + if let Value::Str(key) = key { key.len() / 16 } else { 0 })?;
        }
        Ok(self.pickle.entries(value))
    }

    /// The candidate at `key`, and the prefix of names that the key ends with.
    fn choose(&self, found: &[Candidate], key: &str) -> Result<(usize, String), Defect> {
        let only = |fits: &dyn Fn(&Candidate) -> bool| {
            let mut fitting = (0..found.len()).filter(|&i| fits(&found[i]));
            fitting.next().filter(|_| fitting.next().is_none())
        };
        let whole = only(&|candidate| candidate.dotted() == key).or_else(|| only(&|c| c.is_under(key)));
        if let Some(at) = whole {
            return Ok((at, String::new()));
        }
        // Behind the path of a candidate, or in the one that would be taken without a key.
        let default = nearest(found).ok();
        for (i, candidate) in found.iter().enumerate() {
            let path = candidate.dotted();
            let behind = if path.is_empty() {
                Some(key)
            } else {
                key.strip_prefix(&path).and_then(|k| k.strip_prefix('.'))
            };
            let rest = behind.or(if default == Some(i) { Some(key) } else { None });
            let Some(rest) = rest else { continue };
            let prefix = format!("{rest}.");
            let tensors = self.tensors(&candidate.value, candidate.whole_model.is_some())?;
            if tensors.keys().any(|name| name.starts_with(&prefix)) {
                return Ok((i, prefix));
            }
        }
        Err(refused(format!("no single state dict under '{key}'; there are {}", names(found))))
    }

    /// Every dictionary that has tensors under dotted names, as models do and optimizers do not, and every whole
    /// model; nearest to the root first.
    fn candidates(&self) -> Result<Vec<Candidate>, Defect> {
        let mut found = Vec::new();
        let mut seen: HashSet<ObjectId> = HashSet::new();
        let mut level = vec![(Vec::new(), self.pickle.value.clone())];
        for _ in 0..=DEEPEST {
            let mut next = Vec::new();
            for (path, value) in level {
                let Value::Object(id) = value else { continue };
                if !seen.insert(id) {
                    continue;
                }
                let inside: Vec<(String, &Value)> = if let Some(entries) = self.entries(&value)? {
                    if entries.iter().any(|(key, value)| key.contains('.') && self.is_array(value)) {
                        found.push(Candidate { path: path.clone(), value: value.clone(), whole_model: None });
                    }
                    entries.into_iter().map(|(key, value)| (key.to_string(), value)).collect()
                } else if let Some(class) = self.module(&value)? {
                    if self.module_tensors(&value)?.keys().any(|name| name.contains('.')) {
                        found.push(Candidate {
                            path: path.clone(),
                            value: value.clone(),
                            whole_model: Some(class),
                        });
                    }
                    continue;
                } else {
                    let items = self.pickle.items(&value).unwrap_or_default();
                    self.count(items.len())?;
                    items.iter().enumerate().map(|(i, item)| (i.to_string(), item)).collect()
                };
                let is_container = |value: &Value| match self.pickle.object(value) {
                    Some(Object::Tensor(_) | Object::Unsupported(_) | Object::Storage(_)) | None => false,
                    Some(_) => true,
                };
                for (key, value) in inside.into_iter().filter(|(_, value)| is_container(value)) {
                    let path: Vec<String> = path.iter().cloned().chain([key]).collect();
                    self.count(path.iter().map(|key| 1 + key.len() / 16).sum())?;
                    next.push((path, value.clone()));
                }
            }
            level = next;
        }
        Ok(found)
    }

    /// The class of `value`, if it is a pickled `torch.nn.Module`.
    fn module(&self, value: &Value) -> Result<Option<String>, Defect> {
        let Some(Object::Instance { class, state: Some(state), .. }) = self.pickle.object(value) else {
            return Ok(None);
        };
        let Some(attributes) = self.pickle.raw_entries(state) else { return Ok(None) };
        self.count(attributes.len())?;
        let has = |name| attributes.iter().any(|(key, _)| matches!(key, Value::Str(key) if &**key == name));
        Ok((has("_modules") && has("_parameters")).then(|| class.to_string()))
    }

    /// Whether `value` is a tensor of at least one dimension.
    fn is_array(&self, value: &Value) -> bool {
        match self.pickle.object(value) {
            Some(Object::Tensor(view)) => !view.dims.is_empty(),
            Some(Object::Unsupported(_)) => true,
            _ => false,
        }
    }

    /// The tensors of a state dict or of a whole model.
    fn tensors(&self, value: &Value, is_model: bool) -> Result<BTreeMap<String, TensorView>, Defect> {
        if is_model {
            return self.module_tensors(value);
        }
        let mut tensors = BTreeMap::new();
        for (name, value) in self.entries(value)?.unwrap_or_default() {
            self.insert(&mut tensors, name.to_string(), value)?;
        }
        Ok(tensors)
    }

    /// Adds `value` to `tensors`, if it is a tensor.
    fn insert(
        &self,
        tensors: &mut BTreeMap<String, TensorView>,
        name: String,
        value: &Value,
    ) -> Result<(), Defect> {
        let place = || format!("tensor '{name}'");
        let view = match self.pickle.object(value) {
            Some(Object::Tensor(view)) => view,
            Some(Object::Unsupported(cause)) => return Err(Defect::new(place(), &**cause)),
            _ => return Ok(()),
        };
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(Defect::new(place(), "not a usable name"));
        }
        tensors.insert(name, (**view).clone());
        Ok(())
    }

    /// The tensors of a whole model under the names that its `state_dict()` would give them.
    fn module_tensors(&self, root: &Value) -> Result<BTreeMap<String, TensorView>, Defect> {
        let mut tensors = BTreeMap::new();
        let mut open: Vec<(String, usize, Value)> = vec![(String::new(), 0, root.clone())];
        while let Some((prefix, depth, value)) = open.pop() {
            let Some(Object::Instance { class, state: Some(state), .. }) = self.pickle.object(&value) else {
                continue;
            };
            if class.module.starts_with("torch.nn.modules.activation") && &*class.name != "ReLU" {
                let cause = format!("is of class '{class}'; no other activation than ReLU is supported");
                return Err(Defect::new(format!("module '{}'", prefix.trim_end_matches('.')), cause));
            }
            let attributes = self.entries(state)?.unwrap_or_default();
            let attribute = |name| attributes.iter().find(|(key, _)| &**key == name).map(|(_, value)| *value);
            let unsaved = attribute("_non_persistent_buffers_set").and_then(|set| self.pickle.items(set));
            let is_saved = |name: &Rc<str>| {
                !unsaved
                    .unwrap_or_default()
                    .iter()
                    .any(|item| matches!(item, Value::Str(text) if text == name))
            };
            for table in ["_parameters", "_buffers"] {
                let entries = attribute(table).map(|table| self.entries(table)).transpose()?.flatten();
                for (key, value) in entries.unwrap_or_default() {
                    self.count(1 + prefix.len() / 16 + unsaved.map_or(0, <[Value]>::len))?;
                    if is_saved(&key) {
                        self.insert(&mut tensors, format!("{prefix}{key}"), value)?;
                    }
                }
            }
            let modules = attribute("_modules").map(|table| self.entries(table)).transpose()?.flatten();
            for (key, value) in modules.unwrap_or_default() {
                let name = format!("{prefix}{key}.");
                self.count(1 + name.len() / 16)?;
                if depth == DEEPEST_MODULE {
                    return Err(Defect::new(
                        format!("module '{name}'"),
                        "too many modules inside each other",
                    ));
                }
                open.push((name, depth + 1, value.clone()));
            }
        }
        Ok(tensors)
    }

    /// A phrase for the value of a pickle without a state dict.
    fn kind(&self) -> String {
        let (pickle, root) = (self.pickle, &self.pickle.value);
        if let Ok(Some(class)) = self.module(root) {
            return format!("a whole model of class '{class}' without the tensors of a network");
        }
        if let Some(entries) = pickle.entries(root) {
            let mut keys: Vec<_> = entries.iter().map(|(key, _)| format!("'{key}'")).collect();
            keys.sort();
            let more = keys.len().saturating_sub(6);
            keys.truncate(6);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            return format!("a dictionary with the keys [{}]{more}", keys.join(", "));
        }
        let values = |n: usize| format!("{n} {}", if n == 1 { "value" } else { "values" });
        match pickle.object(root) {
            Some(Object::Dict(_)) => "an empty dictionary".into(),
            Some(Object::List(items)) => format!("a list of {}", values(items.len())),
            Some(Object::Tuple(items)) => format!("a tuple of {}", values(items.len())),
            Some(Object::Tensor(_) | Object::Unsupported(_) | Object::Persistent(_)) => {
                "a single tensor".into()
            }
            Some(Object::Storage(_)) => "a storage".into(),
            Some(Object::Instance { class, .. }) => format!("an object of class '{class}'"),
            None => "a plain value".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::pytorch::pickle::{Global, StorageId};

    /// A pickle under construction.
    #[derive(Default)]
    struct Builder(Vec<Object>);

    impl Builder {
        fn object(&mut self, object: Object) -> Value {
            self.0.push(object);
            Value::Object(self.0.len() - 1)
        }

        fn dict(&mut self, entries: &[(&str, Value)]) -> Value {
            let entries = entries.iter().map(|(k, v)| (Value::Str((*k).into()), v.clone())).collect();
            self.object(Object::Dict(entries))
        }

        fn tensor(&mut self) -> Value {
            let storage =
                Rc::new(StorageId { key: "0".into(), class: "FloatStorage".into(), elements: 1, start: 0 });
            self.object(Object::Tensor(Box::new(TensorView::new(&storage, 0, &[1], &[1], None).unwrap())))
        }

        fn state(&mut self) -> Value {
            let (a, b) = (self.tensor(), self.tensor());
            let metadata = self.dict(&[]);
            self.dict(&[("module.a.w", a), ("module.a.num_batches_tracked", b), ("_metadata", metadata)])
        }

        fn find(self, root: &Value, key: Option<&str>) -> Result<State, String> {
            let pickle = Pickle { end: 0, value: root.clone(), objects: self.0, foreign: Default::default() };
            find(&pickle, key).map_err(|defect| format!("{}: {}", defect.place, defect.cause))
        }
    }

    #[test]
    fn the_state_dict_is_found_wherever_scripts_put_it() {
        let path = |make: fn(&mut Builder) -> Value| {
            let mut builder = Builder::default();
            let root = make(&mut builder);
            builder.find(&root, None).unwrap().path.join("/")
        };
        assert_eq!(path(|b| b.state()), "");
        let beside = |b: &mut Builder| {
            let (momentum, best, state) = (b.tensor(), b.tensor(), b.state());
            let five = b.dict(&[("momentum_buffer", momentum)]);
            let five = b.dict(&[("5", five)]);
            let optimizer = b.dict(&[("state", five)]);
            b.dict(&[("state_dict", state), ("optimizer", optimizer), ("best", best)])
        };
        assert_eq!(path(beside), "state_dict");
        let nested = |b: &mut Builder| {
            let mut value = b.state();
            for key in ["state_dict", "a", "b", "c"] {
                value = b.dict(&[(key, value)]);
            }
            value
        };
        assert_eq!(path(nested), "c/b/a/state_dict");
        let listed = |b: &mut Builder| {
            let state = b.state();
            b.object(Object::List(vec![Value::Other, state]))
        };
        assert_eq!(path(listed), "1");
    }

    #[test]
    fn others_are_listed_and_can_be_chosen() {
        let found = |key| {
            let mut b = Builder::default();
            let (ema, model) = (b.state(), b.state());
            let root = b.dict(&[("ema", ema), ("model", model)]);
            b.find(&root, key)
        };
        let (model, ema) = (found(None).unwrap(), found(Some("ema")).unwrap());
        assert_eq!((model.path, model.others), (vec!["model".to_string()], vec!["ema".to_string()]));
        assert_eq!((ema.path, ema.others), (vec!["ema".to_string()], vec!["model".to_string()]));
        assert_eq!(found(Some("ema.module.a")).unwrap().tensors.len(), 2);
        assert_eq!(
            found(Some("best")).unwrap_err(),
            "checkpoint: no single state dict under 'best'; there are 'ema', 'model'"
        );
    }

    #[test]
    fn the_tensors_of_a_whole_model_have_the_names_of_its_modules() {
        let mut b = Builder::default();
        let (weight, mean) = (b.tensor(), b.tensor());
        let node =
            |b: &mut Builder, modules: &[(&str, Value)], own: &[(&str, Value)], buffers: &[(&str, Value)]| {
                let (modules, own, buffers) = (b.dict(modules), b.dict(own), b.dict(buffers));
                let state = b.dict(&[("_modules", modules), ("_parameters", own), ("_buffers", buffers)]);
                let class = Rc::new(Global { module: "net".into(), name: "Net".into() });
                b.object(Object::Instance { class, state: Some(state), entries: Vec::new() })
            };
        let inner = node(&mut b, &[], &[("weight", weight), ("bias", Value::Other)], &[("mean", mean)]);
        let outer = node(&mut b, &[("0", inner)], &[], &[]);
        let root = node(&mut b, &[("module", outer)], &[], &[]);
        let state = b.find(&root, None).unwrap();
        assert_eq!(state.whole_model.as_deref(), Some("net.Net"));
        assert_eq!(state.tensors.keys().collect::<Vec<_>>(), ["module.0.mean", "module.0.weight"]);
    }

    /// Each module holds the next one twice: 2^63 ways to the last.
    #[test]
    fn a_maze_of_modules_ends() {
        let mut b = Builder::default();
        let mut value = Value::Other;
        for _ in 0..64 {
            let (modules, none) = (b.dict(&[("a", value.clone()), ("b", value)]), b.dict(&[]));
            let state = b.dict(&[("_modules", modules), ("_parameters", none)]);
            let class = Rc::new(Global { module: "net".into(), name: "Net".into() });
            value = b.object(Object::Instance { class, state: Some(state), entries: Vec::new() });
        }
        let error = b.find(&value, None).unwrap_err();
        assert_eq!(error, "checkpoint: too many entries to look for a state dict in");
    }

    #[test]
    fn what_is_ambiguous_or_absent_is_an_error() {
        let mut b = Builder::default();
        let (one, two) = (b.state(), b.state());
        let root = b.dict(&[("a", one), ("b", two)]);
        assert_eq!(
            b.find(&root, None).unwrap_err(),
            "checkpoint: several state dicts, choose one with --state-dict: 'a', 'b'"
        );
        let mut b = Builder::default();
        let root = b.object(Object::List(vec![]));
        assert_eq!(
            b.find(&root, None).unwrap_err(),
            "checkpoint: no state_dict inside, only a list of 0 values"
        );
        let mut b = Builder::default();
        let tensor = b.tensor();
        let root = b.dict(&[("x.\u{1b}", tensor)]);
        assert_eq!(b.find(&root, None).unwrap_err(), "tensor 'x.\u{1b}': not a usable name");
        // A value that contains itself.
        let mut b = Builder::default();
        let root = b.dict(&[]);
        b.0[0] = Object::Dict(vec![(Value::Str("a".into()), root.clone())]);
        assert_eq!(
            b.find(&root, None).unwrap_err(),
            "checkpoint: no state_dict inside, only a dictionary with the keys ['a']"
        );
    }
}
