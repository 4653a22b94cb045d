//! A network some of whose layers know nothing: weights drawn anew.

use std::sync::Arc;

use crate::Result;
use crate::model::msdnet::layers::{Kind, Part, parts};
use crate::model::weights::Weights;
use crate::util::rng::{Normal, mix};

/// A group of layers that is drawn anew together; exits and blocks count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The classifier of an exit.
    Head(usize),
    /// All layers of the block before an exit.
    Block(usize),
}

impl Stage {
    /// The cascade of exit `exit`: its head, then its block, the block before it and so on, to the
    /// first (Adebayo et al. 2018, arXiv 1810.03292, section 3: from the top down).
    pub fn cascade(exit: usize) -> Vec<Stage> {
        std::iter::once(Stage::Head(exit)).chain((1..=exit).rev().map(Stage::Block)).collect()
    }

    /// `head 3`, `block 2`.
    pub fn name(self) -> String {
        match self {
            Stage::Head(exit) => format!("head {exit}"),
            Stage::Block(block) => format!("block {block}"),
        }
    }

    fn holds(self, part: &Part) -> bool {
        match self {
            Stage::Head(exit) => part.head && part.exit + 1 == exit,
            Stage::Block(block) => !part.head && part.exit + 1 == block,
        }
    }
}

/// `weights` with the layers of `stages` drawn anew: convolutions and linear layers normal with
/// variance 2 / inputs (He et al. 2015, arXiv 1502.01852), which keeps the size of the activations;
/// biases 0; batch norms as they begin. A layer's numbers depend on the seed and its name alone, so
/// that the stages of a cascade build on each other.
///
/// # Errors
/// When the architecture makes no network; never for weights that were read from a file.
pub fn redraw(weights: &Weights, stages: &[Stage], seed: u64) -> Result<Weights> {
    let mut weights = weights.clone();
    for part in parts(&weights.config)?.iter().filter(|part| stages.iter().any(|s| s.holds(part))) {
        for (name, dims) in part.tensors() {
            let numbers = draw(part, &name, dims.iter().product(), seed);
            weights.tensors.insert(name, (dims, numbers));
        }
    }
    Ok(weights)
}

fn draw(part: &Part, name: &str, len: usize, seed: u64) -> Arc<[f32]> {
    let inputs = match part.kind {
        Kind::Conv { cin, kernel: [h, w], .. } => cin * h * w,
        Kind::Linear { cin, .. } => cin,
        Kind::BatchNorm(_) => {
            let one = name.ends_with(".weight") || name.ends_with(".running_var");
            return vec![if one { 1.0 } else { 0.0 }; len].into();
        }
    };
    if name.ends_with(".bias") {
        return vec![0.0; len].into();
    }
    let deviation = (2.0 / inputs as f64).sqrt();
    // FNV-1a.
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
    fn a_cascade_goes_from_the_head_down() {
        let names: Vec<String> = Stage::cascade(2).into_iter().map(Stage::name).collect();
        assert_eq!(names, ["head 2", "block 2", "block 1"]);
    }

    #[test]
    fn only_the_layers_of_the_stages_change_and_the_seed_counts() {
        let trained = built_in_weights().unwrap();
        let changed = |stages: &[Stage], seed: u64| -> Vec<String> {
            let drawn = redraw(&trained, stages, seed).unwrap();
            load(&drawn).unwrap();
            let differ = drawn.tensors.iter().filter(|(name, value)| trained.tensors[*name] != **value);
            differ.map(|(name, _)| name.clone()).collect()
        };
        assert!(changed(&[], 0).is_empty());
        let exits = trained.config.exits;
        let head = changed(&[Stage::Head(2)], 0);
        assert!(!head.is_empty());
        assert!(head.iter().all(|name| name.starts_with(&format!("subnets.{}.", exits + 1))), "{head:?}");
        let block = changed(&[Stage::Block(3)], 0);
        assert!(!block.is_empty() && block.iter().all(|name| name.starts_with("subnets.2.")), "{block:?}");
        assert_eq!(changed(&[Stage::Head(2), Stage::Block(3)], 0).len(), head.len() + block.len());
        let draw = |seed| redraw(&trained, &[Stage::Head(1)], seed).unwrap().tensors;
        assert!(draw(1) == draw(1) && draw(1) != draw(2));
    }
}
