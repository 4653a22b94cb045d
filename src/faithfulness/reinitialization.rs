//! Reinitialization of layer groups with random weights.

use std::sync::Arc;

use crate::Result;
use crate::model::msdnet::layers::{Kind, Part, parts};
use crate::model::weights::Weights;
use crate::util::rng::{Normal, mix};

/// A group of layers that is reinitialized together; exits and blocks are numbered from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LayerGroup {
    /// The head of an exit.
    Head(usize),
    /// All trunk layers between the previous exit and this one.
    Block(usize),
}

impl LayerGroup {
    /// The groups of exit `exit` from the output to the input: its head, its block, and the blocks before
    /// it down to the first (Adebayo et al. 2018, arXiv 1810.03292, section 3).
    pub fn cascade(exit: usize) -> Vec<LayerGroup> {
        std::iter::once(LayerGroup::Head(exit)).chain((1..=exit).rev().map(LayerGroup::Block)).collect()
    }

    /// Its name in files: `head 3`, `block 2`.
    pub fn name(self) -> String {
        match self {
            LayerGroup::Head(exit) => format!("head {exit}"),
            LayerGroup::Block(block) => format!("block {block}"),
        }
    }

    fn contains(self, part: &Part) -> bool {
        match self {
            LayerGroup::Head(exit) => part.head && part.exit + 1 == exit,
            LayerGroup::Block(block) => !part.head && part.exit + 1 == block,
        }
    }
}

/// Reinitializes the layers of `groups`. Convolutions and linear layers are normal with variance
/// 2 / inputs (He et al. 2015, arXiv 1502.01852), which preserves the scale of the activations; biases are
/// 0; batch norms are the identity. The values of a layer depend only on the seed and its name, so each
/// step of a cascade keeps those of the steps before it.
///
/// # Errors
/// When the architecture is invalid, which cannot happen for weights that were read from a file.
pub fn reinitialize(weights: &Weights, groups: &[LayerGroup], seed: u64) -> Result<Weights> {
    let mut weights = weights.clone();
    for part in parts(&weights.config)?.iter().filter(|part| groups.iter().any(|group| group.contains(part)))
    {
        for (name, dims) in part.tensors() {
            let values = random_values(part, &name, dims.iter().product(), seed);
            weights.tensors.insert(name, (dims, values));
        }
    }
    Ok(weights)
}

/// Values of the tensor `name`, with `len` elements.
fn random_values(part: &Part, name: &str, len: usize, seed: u64) -> Arc<[f32]> {
    let inputs = match part.kind {
        Kind::Conv { cin, kernel: [h, w], .. } => cin * h * w,
        Kind::Linear { cin, .. } => cin,
        Kind::BatchNorm(_) => {
            let is_one = name.ends_with(".weight") || name.ends_with(".running_var");
            return vec![if is_one { 1.0 } else { 0.0 }; len].into();
        }
    };
    if name.ends_with(".bias") {
        return vec![0.0; len].into();
    }
    let deviation = (2.0 / inputs as f64).sqrt();
    // FNV-1a hash.
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let mut normal = Normal::new(mix(seed ^ mix(hash)));
    (0..len).map(|_| (deviation * normal.next()) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::msdnet::load;
    use crate::model::pretrained::built_in_weights;

    #[test]
    fn cascade_runs_from_the_head_to_the_first_block() {
        let names: Vec<String> = LayerGroup::cascade(2).into_iter().map(LayerGroup::name).collect();
        assert_eq!(names, ["head 2", "block 2", "block 1"]);
    }

    #[test]
    fn reinitializes_only_the_given_groups_and_depends_on_the_seed() {
        let trained = built_in_weights().unwrap();
        let changed = |groups: &[LayerGroup], seed: u64| -> Vec<String> {
            let random = reinitialize(&trained, groups, seed).unwrap();
            load(&random).unwrap();
            let differ = random.tensors.iter().filter(|(name, value)| trained.tensors[*name] != **value);
            differ.map(|(name, _)| name.clone()).collect()
        };
        assert!(changed(&[], 0).is_empty());
        let exits = trained.config.exits;
        let head = changed(&[LayerGroup::Head(2)], 0);
        assert!(!head.is_empty());
        assert!(head.iter().all(|name| name.starts_with(&format!("subnets.{}.", exits + 1))), "{head:?}");
        let block = changed(&[LayerGroup::Block(3)], 0);
        assert!(!block.is_empty() && block.iter().all(|name| name.starts_with("subnets.2.")), "{block:?}");
        assert_eq!(changed(&[LayerGroup::Head(2), LayerGroup::Block(3)], 0).len(), head.len() + block.len());
        let tensors = |seed| reinitialize(&trained, &[LayerGroup::Head(1)], seed).unwrap().tensors;
        assert!(tensors(1) == tensors(1) && tensors(1) != tensors(2));
    }
}
