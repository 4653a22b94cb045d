//! The state dict of a checkpoint: its location and the names of its tensors.

use super::storages::Defect;
use pytorch_reader::PickleValue;
use std::collections::{BTreeMap, HashSet};

/// The reader's placeholder for a tensor.
const TENSOR: &str = "torch.Tensor";
/// Keys under which training scripts save a model's state, by precedence.
const USUAL: [&str; 5] = ["state_dict", "model_state_dict", "model", "net", "network"];

/// A state dict found in a checkpoint.
#[derive(Debug, PartialEq)]
pub struct State {
    /// Keys that lead to it from the root; empty when the root is the state dict.
    pub path: Vec<String>,
    /// Tensor name without `module.` -> its dotted path from the root.
    pub tensors: BTreeMap<String, String>,
}

/// The only state dict under `root`, or the only one under a usual key.
pub fn find(root: &PickleValue) -> Result<State, Defect> {
    let PickleValue::Dict(_) = root else {
        return Err(Defect::new("checkpoint", format!("no state_dict inside, only {}", kind(root))));
    };
    unambiguous(root, &mut Vec::new(), &mut HashSet::new())?;
    let mut found = Vec::new();
    candidates(root, &mut Vec::new(), &mut found);
    let usual = |key: &str| found.iter().filter(|p| p.last().is_some_and(|k| k == key)).collect::<Vec<_>>();
    let path = match found.as_slice() {
        [] => return Err(Defect::new("checkpoint", format!("no state_dict inside, only {}", kind(root)))),
        [only] => only.clone(),
        _ => {
            let first = USUAL.into_iter().map(usual).find(|paths| !paths.is_empty());
            match first.as_deref() {
                Some([only]) => (*only).clone(),
                _ => {
                    let all: Vec<_> = found.iter().map(|p| p.join(".")).collect();
                    let cause =
                        format!("several state dicts, cannot tell which is meant: {}", all.join(", "));
                    return Err(Defect::new("checkpoint", cause));
                }
            }
        }
    };
    let tensors = names(root, &path)?;
    Ok(State { path, tensors })
}

fn names(root: &PickleValue, path: &[String]) -> Result<BTreeMap<String, String>, Defect> {
    let mut dict = root;
    for key in path {
        if let PickleValue::Dict(d) = dict {
            dict = &d[key];
        }
    }
    let PickleValue::Dict(dict) = dict else { return Ok(BTreeMap::new()) };
    let mut tensors = BTreeMap::new();
    let mut keys: Vec<_> = dict.iter().filter(|(_, v)| is_tensor(v)).map(|(k, _)| k).collect();
    keys.sort();
    for key in keys {
        let mut name = key.as_str();
        while let Some(rest) = name.strip_prefix("module.") {
            name = rest;
        }
        let place = || format!("tensor '{key}'");
        if name.is_empty() || name == "__metadata__" || name.chars().any(char::is_control) {
            return Err(Defect::new(place(), "not a usable name"));
        }
        if name.rsplit('.').next() == Some("num_batches_tracked") {
            continue;
        }
        let full = path.iter().map(String::as_str).chain([key.as_str()]).collect::<Vec<_>>().join(".");
        if tensors.insert(name.to_string(), full).is_some() {
            return Err(Defect::new(place(), "present with and without 'module.'"));
        }
    }
    Ok(tensors)
}

/// Collects the paths of dictionaries that have tensors under dotted names, as models do and optimizers
/// do not.
fn candidates(value: &PickleValue, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    let PickleValue::Dict(dict) = value else { return };
    if dict.iter().any(|(key, value)| key.contains('.') && is_tensor(value)) {
        found.push(path.clone());
        return;
    }
    if path.len() == 3 {
        return;
    }
    let mut keys: Vec<_> = dict.keys().collect();
    keys.sort();
    for key in keys {
        path.push(key.clone());
        candidates(&dict[key], path, found);
        path.pop();
    }
}

/// Checks that no two tensors get the same name when the reader flattens nested dictionaries.
fn unambiguous(
    value: &PickleValue,
    path: &mut Vec<String>,
    seen: &mut HashSet<String>,
) -> Result<(), Defect> {
    let mut descend = |key: String, value| {
        path.push(key);
        let result = unambiguous(value, path, seen);
        path.pop();
        result
    };
    match value {
        PickleValue::Dict(dict) => dict.iter().try_for_each(|(key, value)| descend(key.clone(), value)),
        PickleValue::List(list) => {
            list.iter().enumerate().try_for_each(|(i, value)| descend(i.to_string(), value))
        }
        _ if is_tensor(value) => {
            let name = path.join(".");
            if seen.contains(&name) {
                return Err(Defect::new(format!("tensor '{name}'"), "two tensors share this dotted name"));
            }
            seen.insert(name);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn is_tensor(value: &PickleValue) -> bool {
    matches!(value, PickleValue::Unsupported(name) if name == TENSOR)
}

fn kind(value: &PickleValue) -> String {
    match value {
        PickleValue::Dict(dict) => {
            let mut keys: Vec<_> = dict.keys().map(|k| format!("'{k}'")).collect();
            keys.sort();
            let more = keys.len().saturating_sub(6);
            keys.truncate(6);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("a dictionary with the keys [{}]{more}", keys.join(", "))
        }
        PickleValue::List(list) => format!("a list of {} values", list.len()),
        PickleValue::Unsupported(name) => format!("a {name}"),
        _ => "a plain value".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dict(entries: &[(&str, PickleValue)]) -> PickleValue {
        PickleValue::Dict(entries.iter().map(|(k, v)| (k.to_string(), v.clone())).collect())
    }

    fn tensor() -> PickleValue {
        PickleValue::Unsupported(TENSOR.into())
    }

    fn state() -> PickleValue {
        dict(&[
            ("module.a.w", tensor()),
            ("module.a.num_batches_tracked", tensor()),
            ("_metadata", dict(&[])),
        ])
    }

    fn path(root: &PickleValue) -> String {
        find(root).map_or_else(|defect| format!("{}: {}", defect.place, defect.cause), |s| s.path.join("/"))
    }

    #[test]
    fn the_state_dict_is_found_wherever_scripts_put_it() {
        let optimizer = dict(&[("state", dict(&[("5", dict(&[("momentum_buffer", tensor())]))]))]);
        assert_eq!(path(&state()), "");
        assert_eq!(
            path(&dict(&[("state_dict", state()), ("optimizer", optimizer), ("best", tensor())])),
            "state_dict"
        );
        assert_eq!(path(&dict(&[("model", dict(&[("state_dict", state())]))])), "model/state_dict");
        assert_eq!(path(&dict(&[("ema", state()), ("model", state())])), "model");
        assert_eq!(path(&dict(&[("anything", state())])), "anything");
        assert_eq!(find(&state()).unwrap().tensors, [("a.w".into(), "module.a.w".into())].into());
    }

    #[test]
    fn what_is_ambiguous_or_absent_is_an_error() {
        assert_eq!(
            path(&dict(&[("a", state()), ("b", state())])),
            "checkpoint: several state dicts, cannot tell which is meant: a, b"
        );
        assert_eq!(
            path(&PickleValue::List(vec![])),
            "checkpoint: no state_dict inside, only a list of 0 values"
        );
        assert_eq!(
            path(&dict(&[("x.y", tensor()), ("module.x.y", tensor())])),
            "tensor 'x.y': present with and without 'module.'"
        );
        assert_eq!(
            path(&dict(&[("x.y", tensor()), ("x", dict(&[("y", tensor())]))])),
            "tensor 'x.y': two tensors share this dotted name"
        );
        assert_eq!(path(&dict(&[("x.\u{1b}", tensor())])), "tensor 'x.\u{1b}': not a usable name");
    }
}
