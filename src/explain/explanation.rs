//! What a study finds. Arrays are contiguous, rows first; no map or pixel is ever NaN: what could
//! not be computed is zero and its status says so. Where a score is not finite, nothing that was
//! made of it is trusted, though the numbers may happen to be.

use super::classifier::ExitPrediction;
use super::method::{MapMethod, PixelMethod};
use super::score::Score;
use super::taps::exit_name;
use super::target::class_rank;
use crate::Shape;
use crate::engine::bilinear::bilinear;
use crate::imaging::heatmap::{Heatmap, MapStatus};

/// What a study finds about one image, one exit and one class.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The exit, from 1.
    pub exit: usize,
    /// Which of the exit's answers this is: 0, or the class's rank for [`super::Target::Top`].
    pub rank: usize,
    /// The class that is explained.
    pub target: usize,
    /// The number that was differentiated: the class's [`super::Score`]. Like the logits and the
    /// probabilities it is what the device gave, and may be infinite or NaN where weights are huge.
    pub score: f32,
    /// The class that the exit predicts.
    pub class: usize,
    /// The exit's class scores before the softmax, as the device gave them.
    pub logits: Vec<f32>,
    /// The exit's class probabilities, as the device gave them.
    pub probabilities: Vec<f32>,
    /// For each method, in the order asked for, a map at each tap.
    pub maps: Vec<ActivationMap>,
    /// For each method the map of all taps together, if the study fuses them.
    pub fused: Vec<FusedMap>,
    /// For each pixel method, in the order asked for, its array.
    pub pixels: Vec<PixelAttribution>,
}

impl Explanation {
    /// What an [`super::Classifier`] answers, in this form: Grad-CAM at the exit's own tap, without
    /// signs, resized to `image` (H, W).
    pub fn of(answer: ExitPrediction, image: (usize, usize)) -> Explanation {
        let ExitPrediction { exit, logits, probabilities, class, map } = answer;
        let target = map.as_ref().map_or(class, |map| map.target);
        let score = Score::Logit.of(&logits, target) as f32;
        let map = map.map(|map| {
            let size = (map.shape.h, map.shape.w);
            let tap = exit_name(exit);
            let mut found = ActivationMap::new(MapMethod::GradCam, &tap, size, (map.weights, map.map), image);
            found.signed.clear();
            if !score.is_finite() {
                found.empty_out();
            }
            found
        });
        Explanation {
            exit,
            rank: 0,
            target,
            score,
            class,
            logits,
            probabilities,
            maps: map.into_iter().collect(),
            fused: Vec::new(),
            pixels: Vec::new(),
        }
    }

    /// As [`ExitPrediction::rank`].
    pub fn class_rank(&self, class: usize) -> usize {
        class_rank(&self.logits, class)
    }
}

/// A method's map at one tap.
#[derive(Debug, Clone, PartialEq)]
pub struct ActivationMap {
    /// The method.
    pub method: MapMethod,
    /// The tap's name.
    pub tap: String,
    /// (1, h, w): the tap's size.
    pub shape: Shape,
    /// The weight of each of the tap's channels, where the method has such weights; else empty.
    pub weights: Vec<f32>,
    /// h x w numbers before the ReLU: what speaks against the class is negative. Empty in
    /// [`Explanation::of`] an answer, which does not have them.
    pub signed: Vec<f32>,
    /// h x w numbers after the ReLU.
    pub map: Vec<f32>,
    /// (H, W): the map resized to the image and scaled to [0, 1]; with
    /// [`super::Smoothing::Flips`] the mean of six such.
    pub heat: Heatmap,
}

impl ActivationMap {
    pub(crate) fn new(
        method: MapMethod,
        tap: &str,
        (h, w): (usize, usize),
        (weights, signed): (Vec<f32>, Vec<f32>),
        image: (usize, usize),
    ) -> ActivationMap {
        // Not `max`: NaN stays NaN, and is seen by the heat map.
        let map: Vec<f32> = signed.iter().map(|&x| if x < 0.0 { 0.0 } else { x }).collect();
        let mut found = ActivationMap {
            method,
            tap: tap.into(),
            shape: Shape::new(1, h, w),
            heat: Heatmap::new(&map, (h, w), image),
            weights,
            signed,
            map,
        };
        let finite = |x: &[f32]| x.iter().all(|x| x.is_finite());
        if !(finite(&found.signed) && finite(&found.weights)) {
            found.empty_out();
        }
        found
    }

    /// All numbers become zero, and the status says why.
    pub(crate) fn empty_out(&mut self) {
        for numbers in [&mut self.weights, &mut self.signed, &mut self.map, &mut self.heat.values] {
            numbers.fill(0.0);
        }
        self.heat = Heatmap { status: MapStatus::Nonfinite, min: 0.0, max: 0.0, ..self.heat.clone() };
    }

    /// The signed map at another size, (H, W), divided by its largest magnitude: [-1, 1], for a
    /// diverging colour map. Under [`super::Score::Margin`] it shows why this class, and where
    /// rather the next one. Zero where the map is.
    ///
    /// # Panics
    /// When there is no signed map, or the size is empty.
    pub fn diverging(&self, height: usize, width: usize) -> Vec<f32> {
        let mut values = bilinear(&self.signed, (self.shape.h, self.shape.w), (height, width));
        let largest = values.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
        if largest > 0.0 {
            values.iter_mut().for_each(|v| *v /= largest);
        }
        values
    }
}

/// A method's maps at several taps as one.
#[derive(Debug, Clone, PartialEq)]
pub struct FusedMap {
    /// The method.
    pub method: MapMethod,
    /// The taps' names.
    pub taps: Vec<String>,
    /// (H, W), scaled to [0, 1].
    pub heat: Heatmap,
}

/// A number for each number of the input.
#[derive(Debug, Clone, PartialEq)]
pub struct PixelAttribution {
    /// The method.
    pub method: PixelMethod,
    /// (3, H, W).
    pub shape: Shape,
    /// 3 x H x W numbers, of either sign and any size.
    pub values: Vec<f32>,
    /// Whether the values mean anything.
    pub status: MapStatus,
}

impl PixelAttribution {
    pub(crate) fn new(method: PixelMethod, shape: Shape, mut values: Vec<f32>) -> PixelAttribution {
        let status = if values.iter().any(|x| !x.is_finite()) {
            values.fill(0.0);
            MapStatus::Nonfinite
        } else if values.iter().all(|&x| x == 0.0) {
            MapStatus::Empty
        } else if values.iter().all(|&x| x == values[0]) {
            MapStatus::Constant
        } else {
            MapStatus::Ok
        };
        PixelAttribution { method, shape, values, status }
    }

    /// All numbers become zero, and the status says why.
    pub(crate) fn empty_out(&mut self) {
        self.values.fill(0.0);
        self.status = MapStatus::Nonfinite;
    }
}

/// Where `a` looks and `b` does not, and the reverse: the difference of two heat maps, (H, W) in
/// [-1, 1]. For one image at two exits, two classes or under two methods.
///
/// `None` where the two have different sizes.
pub fn difference(a: &Heatmap, b: &Heatmap) -> Option<Vec<f32>> {
    let same = (a.width, a.height) == (b.width, b.height);
    same.then(|| a.values.iter().zip(&b.values).map(|(a, b)| a - b).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(signed: &[f32]) -> ActivationMap {
        let found = (vec![1.0], signed.to_vec());
        ActivationMap::new(MapMethod::HiResCam, "exit1", (1, signed.len()), found, (1, signed.len()))
    }

    #[test]
    fn a_map_that_is_not_finite_is_zero_and_says_so() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let found = map(&[1.0, bad]);
            assert_eq!(found.heat.status, MapStatus::Nonfinite);
            let numbers = [found.weights, found.signed, found.map, found.heat.values];
            assert!(numbers.concat().iter().all(|&x| x == 0.0));
            assert_eq!((found.heat.min, found.heat.max), (0.0, 0.0));
        }
    }

    #[test]
    fn a_map_with_nothing_positive_is_empty_but_keeps_its_signs() {
        let found = map(&[-1.0, -3.0]);
        assert_eq!((found.heat.status, found.map.as_slice()), (MapStatus::Empty, [0.0, 0.0].as_slice()));
        assert_eq!(found.signed, [-1.0, -3.0]);
        assert_eq!(found.diverging(1, 2), [-1.0 / 3.0, -1.0]);
    }

    #[test]
    fn a_constant_map_says_so() {
        assert_eq!(map(&[2.0, 2.0]).heat.status, MapStatus::Constant);
    }

    #[test]
    fn pixels_that_are_not_finite_are_zero_and_say_so() {
        let shape = Shape::new(3, 1, 1);
        let of = |values: [f32; 3]| PixelAttribution::new(PixelMethod::InputGradient, shape, values.to_vec());
        assert_eq!(of([1.0, f32::NAN, 2.0]).values, [0.0; 3]);
        assert_eq!(of([1.0, f32::NAN, 2.0]).status, MapStatus::Nonfinite);
        assert_eq!(of([0.0; 3]).status, MapStatus::Empty);
        assert_eq!(of([-1.0, 0.0, 2.0]).status, MapStatus::Ok);
    }

    #[test]
    fn a_difference_is_positive_where_only_the_first_looks() {
        let (a, b) = (map(&[0.0, 1.0, 2.0]).heat, map(&[4.0, 2.0, 0.0]).heat);
        assert_eq!(difference(&a, &b), Some(vec![-1.0, 0.0, 1.0]));
        assert_eq!(difference(&a, &map(&[1.0]).heat), None);
    }
}
