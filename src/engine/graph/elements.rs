//! The elements of a parameter: held in single precision, or computed from others when they are read.
//!
//! A network's weights exist in several forms: as its file holds them, in single precision, multiplied by the
//! scales of batch norms, joined with those of sibling convolutions, and packed for a device. Only the first
//! and the last are needed for long, so the others are recipes here, which cost no memory until somebody asks
//! for all elements at once.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::{Arc, OnceLock};

use crate::Result;
use crate::engine::tensor::filled;
use crate::util::allocation;

/// The bytes of a file, shared by the elements that are read from it.
pub(crate) type FileBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// Immutable elements in single precision, shared by their clones. They dereference to a slice; computed ones
/// are then computed once and held.
#[derive(Clone)]
pub struct Elements(Repr);

#[derive(Clone)]
enum Repr {
    Held(Arc<[f32]>),
    Computed(Arc<Computed>),
}

/// Elements that are computed when they are read.
struct Computed {
    recipe: Recipe,
    len: usize,
    /// All of them, once somebody has asked for a slice.
    held: OnceLock<Arc<[f32]>>,
}

/// How elements are computed.
enum Recipe {
    /// Those of half precision, little-endian, in a range of a file.
    Half(FileBytes, Range<usize>),
    /// Those of a matrix with a row for each scale, times the scales, in double precision.
    Scaled(Elements, Vec<f64>),
    /// Those of several, one after another.
    Joined(Vec<Elements>),
}

impl Elements {
    fn computed(recipe: Recipe, len: usize) -> Elements {
        Elements(Repr::Computed(Arc::new(Computed { recipe, len, held: OnceLock::new() })))
    }

    /// The elements in the bytes `range` of `file`: finite numbers of half precision, little-endian.
    ///
    /// # Panics
    /// When the file is shorter.
    pub(crate) fn half(file: FileBytes, range: Range<usize>) -> Elements {
        let bytes = (*file).as_ref().get(range.clone()).expect("a range of the file");
        let len = bytes.len() / 2;
        Elements::computed(Recipe::Half(file, range), len)
    }

    /// These elements, (rows, ...), with each row multiplied by its scale in double precision.
    ///
    /// # Panics
    /// When there is no scale, or the elements are not as many rows of one length.
    pub(crate) fn scaled(self, scales: Vec<f64>) -> Elements {
        let len = self.len();
        assert!(len.is_multiple_of(scales.len()), "{len} elements in {} rows", scales.len());
        Elements::computed(Recipe::Scaled(self, scales), len)
    }

    /// Those of `parts`, one after another.
    pub(crate) fn joined(parts: Vec<Elements>) -> Elements {
        let len = parts.iter().map(Elements::len).sum();
        Elements::computed(Recipe::Joined(parts), len)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Held(elements) => elements.len(),
            Repr::Computed(computed) => computed.len,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether both are the same elements in memory, as clones are.
    pub(crate) fn is_same(&self, other: &Elements) -> bool {
        match (&self.0, &other.0) {
            (Repr::Held(a), Repr::Held(b)) => Arc::ptr_eq(a, b),
            (Repr::Computed(a), Repr::Computed(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// All elements, held from now on.
    ///
    /// # Errors
    /// When the system has too little memory.
    pub(crate) fn hold(&self) -> Result<&Arc<[f32]>> {
        let computed = match &self.0 {
            Repr::Held(elements) => return Ok(elements),
            Repr::Computed(computed) => computed,
        };
        if let Some(held) = computed.held.get() {
            return Ok(held);
        }
        let made = filled(computed.len, |out| computed.recipe.compute(out))?;
        Ok(computed.held.get_or_init(|| made))
    }

    /// All elements for a short time: where they are not held, in `buffer`, which grows to the longest that it is
    /// used for.
    ///
    /// # Errors
    /// When the system has too little memory.
    pub(crate) fn read<'a>(&'a self, buffer: &'a mut Vec<f32>) -> Result<&'a [f32]> {
        if let Some(elements) = self.held() {
            return Ok(elements);
        }
        let elements = allocation::at_least("weights", self.len(), buffer)?;
        self.compute(elements);
        Ok(elements)
    }

    /// Whether they are computed each time that they are read.
    pub(crate) fn is_computed(&self) -> bool {
        self.held().is_none()
    }

    fn held(&self) -> Option<&[f32]> {
        match &self.0 {
            Repr::Held(elements) => Some(elements),
            Repr::Computed(computed) => computed.held.get().map(|held| &**held),
        }
    }

    /// Writes all elements to `out`, which has as many.
    fn compute(&self, out: &mut [f32]) {
        match &self.0 {
            Repr::Computed(computed) if computed.held.get().is_none() => computed.recipe.compute(out),
            _ => out.copy_from_slice(self),
        }
    }
}

impl Recipe {
    fn compute(&self, out: &mut [f32]) {
        match self {
            Recipe::Half(file, range) => {
                let halves = (**file).as_ref()[range.clone()].as_chunks().0;
                out.iter_mut().zip(halves).for_each(|(x, half)| *x = widened(u16::from_le_bytes(*half)));
            }
            Recipe::Scaled(elements, scales) => {
                elements.compute(out);
                let row = (out.len() / scales.len()).max(1);
                for (row, scale) in out.chunks_exact_mut(row).zip(scales) {
                    row.iter_mut().for_each(|x| *x = (scale * f64::from(*x)) as f32);
                }
            }
            Recipe::Joined(parts) => {
                let mut rest = out;
                for part in parts {
                    let (own, others) = rest.split_at_mut(part.len());
                    part.compute(own);
                    rest = others;
                }
            }
        }
    }
}

/// The finite number of half precision with these bits. Exponent and fraction are moved to their places in single
/// precision, and the product corrects the exponent's bias, also of subnormal numbers: exactly, and in vectors.
fn widened(half: u16) -> f32 {
    /// 2^(127 - 15).
    const BIAS: f32 = f32::from_bits((127 + 112) << 23);
    let [sign, magnitude] = [half & 0x8000, half & 0x7fff].map(u32::from);
    let magnitude = f32::from_bits(magnitude << 13) * BIAS;
    f32::from_bits(sign << 16 | magnitude.to_bits())
}

impl Deref for Elements {
    type Target = [f32];

    /// # Panics
    /// When the system has too little memory for elements that are computed.
    fn deref(&self) -> &[f32] {
        self.hold().unwrap_or_else(|error| panic!("{error}"))
    }
}

impl Default for Elements {
    fn default() -> Self {
        Elements(Repr::Held(Arc::default()))
    }
}

impl From<Arc<[f32]>> for Elements {
    fn from(elements: Arc<[f32]>) -> Self {
        Elements(Repr::Held(elements))
    }
}

impl From<Vec<f32>> for Elements {
    fn from(elements: Vec<f32>) -> Self {
        Arc::<[f32]>::from(elements).into()
    }
}

impl FromIterator<f32> for Elements {
    fn from_iter<I: IntoIterator<Item = f32>>(elements: I) -> Self {
        Arc::<[f32]>::from_iter(elements).into()
    }
}

impl PartialEq for Elements {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

impl fmt::Debug for Elements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} elements", self.len())
    }
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;

    fn halves(numbers: &[f32]) -> Elements {
        let bytes: Vec<u8> = numbers.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect();
        let range = 0..bytes.len();
        Elements::half(Arc::new(bytes), range)
    }

    #[test]
    fn every_finite_half_is_widened_as_the_half_crate_does() {
        let finite = (0..=u16::MAX).map(f16::from_bits).filter(|half| half.is_finite());
        for half in finite {
            let expected = half.to_f32();
            assert_eq!(widened(half.to_bits()).to_bits(), expected.to_bits(), "{expected}");
        }
    }

    #[test]
    fn recipes_nest_and_give_the_same_elements_read_and_held() {
        let scaled = halves(&[1.0, -2.0, 0.5, 3.0]).scaled(vec![0.1, -4.0]);
        let joined = Elements::joined(vec![scaled.clone(), vec![7.0].into(), halves(&[-0.0, 65504.0])]);
        let expected = [0.1, -0.2, -2.0, -12.0, 7.0, -0.0, 65504.0_f32].map(f32::to_bits);
        let bits = |elements: &[f32]| elements.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        let mut buffer = vec![f32::NAN; 3];
        assert_eq!((joined.len(), joined.is_empty()), (7, false));
        assert_eq!(bits(joined.read(&mut buffer).unwrap()), expected);
        assert_eq!(bits(&scaled), expected[..4]);
        assert_eq!(bits(&joined), expected, "computed from a part that is held");
        assert_eq!(bits(joined.read(&mut Vec::new()).unwrap()), expected);
        assert!(joined.is_same(&joined.clone()) && !joined.is_same(&scaled));
        assert!(Elements::default().is_empty() && Elements::joined(Vec::new()).is_empty());
    }
}
