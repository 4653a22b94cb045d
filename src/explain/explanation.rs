//! The explanation of one image, exit and target: predictions, maps and attributions.
//!
//! Arrays are contiguous and row-major; no element of a map or an attribution is ever NaN: what could
//! not be computed is zero, and its status says so. If a score is not finite, everything that depends
//! on it is zero, even where its elements happen to be finite.

use std::sync::Arc;

use super::method::{MapMethod, PixelMethod};
use super::prediction::ExitPrediction;
use crate::Shape;
use crate::engine::bilinear::bilinear;
use crate::engine::tensor::all_finite;
use crate::imaging::heatmap::{Heatmap, MapStatus};

/// The explanation of one image at one exit for one class.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// What the exit predicts.
    pub prediction: ExitPrediction,
    /// 0, or the rank of the explained class for [`super::Target::Top`].
    pub rank: usize,
    /// The class that is explained.
    pub target: usize,
    /// The scalar that was differentiated: the class's [`super::Score`]. Like the logits it is what
    /// the device computed, and may be infinite or NaN where weights are huge.
    pub score: f32,
    /// For each method, in the request's order, an activation map at each tap.
    pub maps: Vec<ActivationMap>,
    /// For each method, in the request's order, the fused heatmap of its taps; empty without fusion.
    pub fused: Vec<FusedMap>,
    /// For each pixel method, in the request's order, its attribution.
    pub pixels: Vec<PixelAttribution>,
}

/// A class activation map at one tap; `V` holds the elements: a `Vec<f32>` of its own, or a `&[f32]` that
/// borrows the results of a batch ([`super::ExplanationView::maps`]).
#[derive(Debug, Clone, PartialEq)]
pub struct ActivationMap<V = Vec<f32>> {
    /// The method.
    pub method: MapMethod,
    /// The tap's name.
    pub tap: Arc<str>,
    /// (1, h, w): the tap's size.
    pub shape: Shape,
    /// The weight of each of the tap's channels, where the method has such weights; else empty.
    pub weights: V,
    /// h x w elements before the ReLU: evidence against the class is negative. Empty unless
    /// [`super::ExplainRequest::signed`].
    pub signed: V,
    /// h x w elements after the ReLU.
    pub map: V,
    /// (H, W): the map resized to the input and scaled to [0, 1]; with
    /// [`super::Smoothing::Flips`] the mean of six such.
    pub heatmap: Heatmap<V>,
}

impl<'a> ActivationMap<&'a [f32]> {
    /// A Grad-CAM that was computed entirely on the device. `zeros` stand for all of it where it, or the
    /// score (`is_score_finite`), is not finite.
    pub(crate) fn from_device(
        tap: Arc<str>,
        (h, w): (usize, usize),
        (weights, map): (&'a [f32], &'a [f32]),
        heatmap: Heatmap<&'a [f32]>,
        (is_score_finite, zeros): (bool, &'a [f32]),
    ) -> Self {
        let (method, shape) = (MapMethod::GradCam, Shape::new(1, h, w));
        let whole = ActivationMap { method, tap, shape, weights, signed: &[], map, heatmap };
        if is_score_finite && all_finite(weights) && all_finite(map) {
            return whole;
        }
        let Heatmap { width, height, values, .. } = heatmap;
        let (status, values) = (MapStatus::Nonfinite, &zeros[..values.len()]);
        let heatmap = Heatmap { width, height, values, status, min: 0.0, max: 0.0 };
        ActivationMap { weights: &zeros[..weights.len()], map: &zeros[..map.len()], heatmap, ..whole }
    }
}

impl From<ActivationMap<&[f32]>> for ActivationMap {
    fn from(view: ActivationMap<&[f32]>) -> Self {
        let ActivationMap { method, tap, shape, weights, signed, map, heatmap } = view;
        let [weights, signed, map] = [weights, signed, map].map(<[f32]>::to_vec);
        ActivationMap { method, tap, shape, weights, signed, map, heatmap: heatmap.into() }
    }
}

impl ActivationMap {
    /// The map as a view of its elements.
    pub(crate) fn view(&self) -> ActivationMap<&[f32]> {
        let Heatmap { width, height, ref values, status, min, max } = self.heatmap;
        ActivationMap {
            method: self.method,
            tap: Arc::clone(&self.tap),
            shape: self.shape,
            weights: &self.weights,
            signed: &self.signed,
            map: &self.map,
            heatmap: Heatmap { width, height, values: values.as_slice(), status, min, max },
        }
    }

    /// From a map before its ReLU; `input` is (H, W) of the heatmap.
    pub(crate) fn new(
        method: MapMethod,
        tap: Arc<str>,
        (h, w): (usize, usize),
        (weights, signed): (Vec<f32>, Vec<f32>),
        input: (usize, usize),
    ) -> ActivationMap {
        // Not `max`: NaN has to stay NaN, so that the heatmap's status reports it.
        let map: Vec<f32> = signed.iter().map(|&x| if x < 0.0 { 0.0 } else { x }).collect();
        let heatmap = Heatmap::new(&map, (h, w), input);
        ActivationMap { method, tap, shape: Shape::new(1, h, w), weights, signed, map, heatmap }.checked()
    }

    /// The map, zeroed if any of its elements is not finite.
    fn checked(mut self) -> ActivationMap {
        if ![&self.signed, &self.weights, &self.map].into_iter().all(|x| all_finite(x)) {
            self.empty_out();
        }
        self
    }

    /// Zeroes every element; the status says why.
    pub(crate) fn empty_out(&mut self) {
        for elements in [&mut self.weights, &mut self.signed, &mut self.map, &mut self.heatmap.values] {
            elements.fill(0.0);
        }
        let heatmap = std::mem::take(&mut self.heatmap.values);
        let (width, height) = (self.heatmap.width, self.heatmap.height);
        self.heatmap =
            Heatmap { width, height, values: heatmap, status: MapStatus::Nonfinite, min: 0.0, max: 0.0 };
    }

    /// The signed map resized to (`height`, `width`) and divided by its largest magnitude: [-1, 1],
    /// for a diverging color map. Under [`super::Score::Margin`] it shows evidence for this class
    /// and for the next one. Zero where the map is.
    ///
    /// # Panics
    /// When there is no signed map, or the size is empty.
    pub fn diverging(&self, height: usize, width: usize) -> Vec<f32> {
        assert!(
            !self.signed.is_empty(),
            "a map of {} without its signs: see `ExplainRequest::signed`",
            self.tap
        );
        let mut values = bilinear(&self.signed, (self.shape.h, self.shape.w), (height, width));
        let largest = values.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
        if largest > 0.0 {
            values.iter_mut().for_each(|v| *v /= largest);
        }
        values
    }
}

/// The activation maps of one method at several taps, fused.
#[derive(Debug, Clone, PartialEq)]
pub struct FusedMap {
    /// The method.
    pub method: MapMethod,
    /// The taps' names.
    pub taps: Vec<String>,
    /// (H, W), scaled to [0, 1].
    pub heatmap: Heatmap,
}

/// An attribution to every element of the input.
#[derive(Debug, Clone, PartialEq)]
pub struct PixelAttribution {
    /// The method.
    pub method: PixelMethod,
    /// (3, H, W).
    pub shape: Shape,
    /// 3 x H x W elements, of either sign and any magnitude.
    pub values: Vec<f32>,
    /// Whether the values are usable.
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

    /// Zeroes every element; the status says why.
    pub(crate) fn empty_out(&mut self) {
        self.values.fill(0.0);
        self.status = MapStatus::Nonfinite;
    }
}

/// The difference of two heatmaps, (H, W) in [-1, 1]: of one image at two exits, for two classes or
/// by two methods.
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
        ActivationMap::new(MapMethod::HiResCam, "exit1".into(), (1, signed.len()), found, (1, signed.len()))
    }

    #[test]
    fn a_map_that_is_not_finite_is_zero_and_says_so() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let found = map(&[1.0, bad]);
            assert_eq!(found.heatmap.status, MapStatus::Nonfinite);
            let elements = [found.weights, found.signed, found.map, found.heatmap.values];
            assert!(elements.concat().iter().all(|&x| x == 0.0));
            assert_eq!((found.heatmap.min, found.heatmap.max), (0.0, 0.0));
        }
    }

    #[test]
    fn a_map_with_nothing_positive_is_empty_but_keeps_its_signs() {
        let found = map(&[-1.0, -3.0]);
        assert_eq!((found.heatmap.status, found.map.as_slice()), (MapStatus::Empty, [0.0, 0.0].as_slice()));
        assert_eq!(found.signed, [-1.0, -3.0]);
        assert_eq!(found.diverging(1, 2), [-1.0 / 3.0, -1.0]);
    }

    #[test]
    fn a_constant_map_says_so() {
        assert_eq!(map(&[2.0, 2.0]).heatmap.status, MapStatus::Constant);
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
        let (a, b) = (map(&[0.0, 1.0, 2.0]).heatmap, map(&[4.0, 2.0, 0.0]).heatmap);
        assert_eq!(difference(&a, &b), Some(vec![-1.0, 0.0, 1.0]));
        assert_eq!(difference(&a, &map(&[1.0]).heatmap), None);
    }
}
