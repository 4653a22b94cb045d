//! The state dict of a checkpoint: its location, and the tensors in it by name.

use std::collections::{BTreeMap, HashSet};

use super::pickle::{Object, ObjectId, Pickle, TensorView, Value};
use super::storages::Defect;

/// Keys under which training scripts save a model's state, by precedence.
const USUAL: [&str; 5] = ["state_dict", "model_state_dict", "model", "net", "network"];
/// Maximum number of keys on the way to a state dict.
const DEEPEST: usize = 6;
/// Maximum depth of a whole model's modules.
const DEEPEST_MODULE: usize = 64;
/// Maximum number of modules in a file, and of attributes of one.
const MOST_MODULES: usize = 1 << 16;
const MOST_ATTRIBUTES: usize = 1 << 10;

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
}

/// The state dict at `key`, which is its path with dots, the last part of that, or its path and a prefix of
/// names in it; without one the only state dict, or the only one under a usual key.
pub fn find(pickle: &Pickle, key: Option<&str>) -> Result<State, Defect> {
    let mut found = candidates(pickle);
    let refuse = |cause: String| Err(Defect::new("checkpoint", cause));
    let names = |found: &[Candidate]| {
        let names: Vec<String> = found.iter().map(|c| format!("'{}'", c.dotted())).collect();
        names.join(", ")
    };
    if found.is_empty() {
        return refuse(format!("no state_dict inside, only {}", kind(pickle)));
    }
    // Tensors under this prefix alone.
    let mut prefix = String::new();
    let at = match key {
        Some(key) => {
            let matching = |exact: bool| -> Vec<usize> {
                let fits = |c: &Candidate| match exact {
                    true => c.dotted() == key,
                    false => c.path.last().is_some_and(|last| last == key),
                };
                (0..found.len()).filter(|&i| fits(&found[i])).collect()
            };
            let (exact, last) = (matching(true), matching(false));
            let within = (0..found.len()).find_map(|i| Some((i, prefix_in(pickle, &found[i], key)?)));
            match (&exact[..], &last[..], within) {
                ([only], ..) | ([], [only], _) => *only,
                ([], [], Some((only, names))) => {
                    prefix = names;
                    only
                }
                _ => {
                    return refuse(format!(
                        "no single state dict under '{key}'; there are {}",
                        names(&found)
                    ));
                }
            }
        }
        None if found.len() == 1 => 0,
        None => {
            let under = |key: &str| -> Vec<usize> {
                (0..found.len()).filter(|&i| found[i].path.last().is_some_and(|last| last == key)).collect()
            };
            match USUAL.into_iter().map(under).find(|places| !places.is_empty()).as_deref() {
                Some([only]) => *only,
                _ => {
                    return refuse(format!(
                        "several state dicts, choose one with --state-dict: {}",
                        names(&found)
                    ));
                }
            }
        }
    };
    let Candidate { path, value, whole_model } = found.remove(at);
    let mut tensors = match whole_model {
        Some(_) => module_tensors(pickle, &value, &mut 0)?,
        None => named_tensors(pickle, &value)?,
    };
    tensors.retain(|name, _| name.starts_with(&prefix));
    Ok(State { path, tensors, whole_model, others: found.iter().map(Candidate::dotted).collect() })
}

/// What `key` says behind the path of `candidate`, if names of its tensors begin so.
fn prefix_in(pickle: &Pickle, candidate: &Candidate, key: &str) -> Option<String> {
    let path = candidate.dotted();
    let rest = if path.is_empty() { key } else { key.strip_prefix(&path)?.strip_prefix('.')? };
    let prefix = format!("{rest}.");
    let entries = pickle.entries(&candidate.value)?;
    entries.iter().any(|(name, _)| name.starts_with(&prefix)).then_some(prefix)
}

/// Every dictionary that has tensors under dotted names, as models do and optimizers do not, and every whole
/// model; nearest to the root first.
fn candidates(pickle: &Pickle) -> Vec<Candidate> {
    let mut found = Vec::new();
    let mut seen: HashSet<ObjectId> = HashSet::new();
    let mut modules = 0;
    let mut level = vec![(Vec::new(), pickle.value.clone())];
    for _ in 0..=DEEPEST {
        let mut next = Vec::new();
        for (path, value) in level {
            let Value::Object(id) = value else { continue };
            if !seen.insert(id) {
                continue;
            }
            let inner = |key: String| path.iter().cloned().chain([key]).collect::<Vec<_>>();
            if let Some(entries) = pickle.entries(&value) {
                if entries.iter().any(|(key, value)| key.contains('.') && view(pickle, value).is_some()) {
                    found.push(Candidate { path, value, whole_model: None });
                } else {
                    next.extend(entries.into_iter().map(|(key, value)| (inner(key), value.clone())));
                }
            } else if let Some(class) = module(pickle, &value) {
                if module_tensors(pickle, &value, &mut modules)
                    .is_ok_and(|tensors| tensors.keys().any(|name| name.contains('.')))
                {
                    found.push(Candidate { path, value, whole_model: Some(class) });
                }
            } else if let Some(items) = pickle.items(&value) {
                let containers =
                    items.iter().enumerate().filter(|(_, item)| matches!(item, Value::Object(_)));
                next.extend(containers.map(|(i, item)| (inner(i.to_string()), item.clone())));
            }
        }
        level = next;
    }
    found
}

/// The class of `value`, if it is a pickled `torch.nn.Module`.
fn module(pickle: &Pickle, value: &Value) -> Option<String> {
    let Object::Instance { class, state: Some(state), .. } = pickle.object(value)? else { return None };
    if !matches!(pickle.object(state)?, Object::Dict(entries) if entries.len() <= MOST_ATTRIBUTES) {
        return None;
    }
    let attributes = pickle.entries(state)?;
    let has = |name| attributes.iter().any(|(key, _)| key == name);
    (has("_modules") && has("_parameters")).then(|| class.to_string())
}

/// The tensor `value`.
fn view<'a>(pickle: &'a Pickle, value: &Value) -> Option<&'a TensorView> {
    match pickle.object(value)? {
        Object::Tensor(view) => Some(view),
        _ => None,
    }
}

fn named_tensors(pickle: &Pickle, dict: &Value) -> Result<BTreeMap<String, TensorView>, Defect> {
    let mut tensors = BTreeMap::new();
    for (name, value) in pickle.entries(dict).unwrap_or_default() {
        let Some(view) = view(pickle, value) else { continue };
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(Defect::new(format!("tensor '{name}'"), "not a usable name"));
        }
        tensors.insert(name, view.clone());
    }
    Ok(tensors)
}

/// The tensors of a whole model under the names that its `state_dict()` would give them; `modules` counts those
/// that were visited.
fn module_tensors(
    pickle: &Pickle,
    root: &Value,
    modules: &mut usize,
) -> Result<BTreeMap<String, TensorView>, Defect> {
    let mut tensors = BTreeMap::new();
    let mut open: Vec<(String, usize, Value)> = vec![(String::new(), 0, root.clone())];
    while let Some((prefix, depth, value)) = open.pop() {
        *modules += 1;
        if *modules > MOST_MODULES {
            return Err(Defect::new("checkpoint", format!("whole models of over {MOST_MODULES} modules")));
        }
        let Some(Object::Instance { state: Some(state), .. }) = pickle.object(&value) else { continue };
        for (attribute, content) in pickle.entries(state).unwrap_or_default() {
            let is_module = match attribute.as_str() {
                "_parameters" | "_buffers" => false,
                "_modules" => true,
                _ => continue,
            };
            for (key, value) in pickle.entries(content).unwrap_or_default() {
                let name = format!("{prefix}{key}");
                if name.chars().any(char::is_control) {
                    return Err(Defect::new(format!("tensor '{name}'"), "not a usable name"));
                }
                if is_module {
                    if depth == DEEPEST_MODULE {
                        return Err(Defect::new(
                            format!("module '{name}'"),
                            "too many modules inside each other",
                        ));
                    }
                    open.push((name + ".", depth + 1, value.clone()));
                } else if let Some(view) = view(pickle, value) {
                    tensors.insert(name, view.clone());
                }
            }
        }
    }
    Ok(tensors)
}

/// A phrase for the value of a pickle without a state dict.
fn kind(pickle: &Pickle) -> String {
    if let Some(entries) = pickle.entries(&pickle.value) {
        let mut keys: Vec<_> = entries.iter().map(|(k, _)| format!("'{k}'")).collect();
        keys.sort();
        let more = keys.len().saturating_sub(6);
        keys.truncate(6);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        return format!("a dictionary with the keys [{}]{more}", keys.join(", "));
    }
    if let Some(class) = module(pickle, &pickle.value) {
        return format!("a whole model of class '{class}' without the tensors of a network");
    }
    match pickle.object(&pickle.value) {
        Some(Object::Dict(_)) => "an empty dictionary".into(),
        Some(Object::List(items)) => format!("a list of {} values", items.len()),
        Some(Object::Tuple(items)) => format!("a tuple of {} values", items.len()),
        Some(Object::Tensor(_) | Object::Persistent(_)) => "a single tensor".into(),
        Some(Object::Storage(_)) => "a storage".into(),
        Some(Object::Instance { class, .. }) => format!("an object of class '{class}'"),
        None => "a plain value".into(),
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

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
            let storage = StorageId { key: "0".into(), class: "FloatStorage".into(), elements: 1, start: 0 };
            self.object(Object::Tensor(TensorView::new(&storage, 0, &[1], &[1], None).unwrap()))
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
        assert!(
            error.ends_with("a whole model of class 'net.Net' without the tensors of a network"),
            "{error}"
        );
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
