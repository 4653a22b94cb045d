//! The comparison of a file's tensors with those of an architecture.

use super::infer::Shapes;
use super::{Config, layers};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// Tensors of each kind that an error names at most.
const NAMED: usize = 3;

/// Checks that `shapes` has exactly the tensors of `config`, with their dimensions.
///
/// # Errors
/// When it has not; the message counts missing and unexpected tensors and those of another shape, and
/// names the first few of each.
pub fn confirm(file: &Path, config: &Config, shapes: &Shapes) -> Result<()> {
    let differences = differences(config, shapes);
    match differences.is_empty() {
        true => Ok(()),
        false => Err(Error::refused(file, "tensors", differences.join("; "))),
    }
}

/// One phrase for each kind of mismatch; empty if the tensors match.
pub fn differences(config: &Config, shapes: &Shapes) -> Vec<String> {
    let wanted: BTreeMap<String, Vec<usize>> = match layers::tensors(config) {
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
