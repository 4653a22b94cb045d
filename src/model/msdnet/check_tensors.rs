//! Whether a file's tensors are exactly those of a network.

use super::infer::Shapes;
use super::{Config, tensor_names};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// How many tensors of each kind an error names.
const NAMED: usize = 3;

/// An error unless `shapes` holds every tensor of `config`'s network, with its dimensions, and
/// none besides. The error counts what is missing, unexpected and of another shape, and names
/// the first few of each.
pub fn confirm(file: &Path, config: &Config, shapes: &Shapes) -> Result<()> {
    let differences = differences(config, shapes);
    match differences.is_empty() {
        true => Ok(()),
        false => Err(Error::refused(file, "tensors", differences.join("; "))),
    }
}

/// One phrase for each way in which the tensors do not match; none when they do.
pub fn differences(config: &Config, shapes: &Shapes) -> Vec<String> {
    let wanted: BTreeMap<String, Vec<usize>> = match tensor_names::tensors(config) {
        Ok(tensors) => tensors.into_iter().collect(),
        Err(error) => return vec![error.to_string()],
    };
    let missing: Vec<_> = wanted.keys().filter(|name| !shapes.contains_key(*name)).cloned().collect();
    let extra: Vec<_> = shapes.keys().filter(|name| !wanted.contains_key(*name)).cloned().collect();
    let reshaped: Vec<_> = wanted
        .iter()
        .filter_map(|(name, dims)| {
            let found = shapes.get(name).filter(|found| *found != dims)?;
            Some(format!("{name} is {found:?}, expected {dims:?}"))
        })
        .collect();
    [("missing", missing), ("unexpected", extra), ("of another shape", reshaped)]
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| {
            let more = if names.len() > NAMED { ", ..." } else { "" };
            format!("{} {what}: {}{more}", names.len(), names[..names.len().min(NAMED)].join(", "))
        })
        .collect()
}
