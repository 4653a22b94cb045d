//! Tensor lookups of the inference.

use super::{Found, Shapes, Unclear};
use crate::model::msdnet::config::Layout;
use std::collections::BTreeSet;

/// The tensors of a file and their layout.
pub struct Guess<'a> {
    /// Dimensions by name.
    pub shapes: &'a Shapes,
    /// The layout.
    pub layout: Layout,
}

impl Guess<'_> {
    /// The `N` dimensions of tensor `name`, none of which may be zero.
    pub fn dims<const N: usize>(&self, name: &str) -> Found<[usize; N]> {
        let unclear = |cause| Unclear { tensor: name.into(), cause };
        let dims = self.shapes.get(name).ok_or_else(|| unclear("absent".into()))?;
        let array = <[usize; N]>::try_from(dims.as_slice());
        array
            .ok()
            .filter(|dims| !dims.contains(&0))
            .ok_or_else(|| unclear(format!("has dimensions {dims:?}, expected {N} of them, none zero")))
    }

    /// Whether tensor `name` exists.
    pub fn has(&self, name: &str) -> bool {
        self.shapes.contains_key(name)
    }

    /// Whether a tensor's name begins with `prefix`.
    pub fn is_under(&self, prefix: &str) -> bool {
        let next = self.shapes.range(prefix.to_string()..).next();
        next.is_some_and(|(name, _)| name.starts_with(prefix))
    }

    /// The distinct parts of names between `prefix` and the next dot.
    pub fn children(&self, prefix: &str) -> BTreeSet<&str> {
        let after = |name: &&String| name.starts_with(prefix);
        let range = self.shapes.range(prefix.to_string()..).map(|(name, _)| name).take_while(after);
        range.filter_map(|name| name[prefix.len()..].split('.').next()).collect()
    }
}
