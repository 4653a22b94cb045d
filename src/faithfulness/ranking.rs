//! The order of pixels by their importance.

use std::str::FromStr;

use crate::explain::method::by_name;
use crate::util::rng::mix;
use crate::{Error, Result};

/// Which of equally important pixels comes first. A map of 8 x 8 has many zeros at 32 x 32 pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ties {
    /// The upper one, then the left one: a stable sort, as torchcam's.
    #[default]
    Position,
    /// Any one, by the seed.
    Random,
}

impl Ties {
    /// The word on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Ties::Position => "position",
            Ties::Random => "random",
        }
    }
}

impl FromStr for Ties {
    type Err = Error;

    fn from_str(text: &str) -> Result<Ties> {
        by_name("tie rule", text, &[Ties::Position, Ties::Random], Ties::name)
    }
}

/// The pixels of `values`, the most important first. `seed` counts for [`Ties::Random`] only.
pub fn most_important_first(values: &[f32], ties: Ties, seed: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    let of = |i: u32| values[i as usize];
    match ties {
        Ties::Position => order.sort_by(|&a, &b| of(b).total_cmp(&of(a))),
        Ties::Random => {
            let key = |i: u32| mix(seed ^ mix(u64::from(i)));
            order.sort_by(|&a, &b| of(b).total_cmp(&of(a)).then(key(a).cmp(&key(b))));
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_comes_first_and_equal_ones_by_the_rule() {
        let values = [0.5, 0.0, 1.0, 0.5, 0.0];
        assert_eq!(most_important_first(&values, Ties::Position, 0), [2, 0, 3, 1, 4]);
        let flat = [0.0; 64];
        let random = |seed| most_important_first(&flat, Ties::Random, seed);
        assert_eq!(random(1), random(1));
        assert_ne!(random(1), random(2));
        let mut sorted = random(1);
        assert_ne!(sorted, most_important_first(&flat, Ties::Position, 1));
        sorted.sort_unstable();
        assert_eq!(sorted, most_important_first(&flat, Ties::Position, 1));
    }
}
