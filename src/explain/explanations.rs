//! Explanations of a batch that borrow what the device computed.

use super::batch_runner::Outputs;
use super::explanation::{ActivationMap, Explanation, FusedMap, PixelAttribution};
use super::layout::Layout;
use super::lowering::TargetSlots;
use super::prediction::ExitPrediction;
use super::score::Score;

/// The explanations of a batch's images, in the order of the request: for each image one of each exit, with
/// [`super::Target::Top`] one of each exit and rank.
///
/// They are views, made when they are asked for. Where Grad-CAM is all that the request asks for, neither
/// signed nor fused nor smoothed, their elements are in the memory that the device wrote: nothing is copied or
/// allocated. Other methods end on the host, in memory of the [`super::Explainer`].
/// [`Explanations::to_vec`] copies all of them.
#[derive(Clone, Copy)]
pub struct Explanations<'a> {
    pub(crate) source: Source<'a>,
    pub(crate) images: usize,
}

/// Where the explanations are.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// In the outputs of the main plan.
    Device(DeviceResults<'a>),
    /// In the explainer, by image.
    Host(&'a [Vec<Explanation>]),
}

/// A batch of a request for Grad-CAM alone.
#[derive(Clone, Copy)]
pub(crate) struct DeviceResults<'a> {
    pub(crate) outputs: Outputs<'a>,
    pub(crate) layout: &'a Layout,
    pub(crate) classes: Classes<'a>,
    pub(crate) score: Score,
    /// (H, W) of a heatmap.
    pub(crate) size: (usize, usize),
}

/// The class explained for each image.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Classes<'a> {
    /// The same for all.
    Same(usize),
    /// Given for each image.
    Given(&'a [usize]),
    /// Those that the logits select.
    Selected,
}

impl Classes<'_> {
    /// The class of every target of image `image`, unless the logits select it.
    pub(crate) fn of(self, image: usize) -> Option<usize> {
        match self {
            Classes::Same(class) => Some(class),
            Classes::Given(classes) => Some(classes[image]),
            Classes::Selected => None,
        }
    }
}

/// The explanation of one image at one exit for one class: as [`Explanation`], but its elements are borrowed.
/// [`Explanation::from`] copies it.
#[derive(Clone, Copy)]
pub struct ExplanationView<'a> {
    /// What the exit predicts.
    pub prediction: ExitPrediction<&'a [f32]>,
    /// 0, or the rank of the explained class for [`super::Target::Top`].
    pub rank: usize,
    /// The class that is explained.
    pub target: usize,
    /// The scalar that was differentiated: see [`Explanation::score`].
    pub score: f32,
    /// For each method, the fused heatmap of its taps; empty without fusion.
    pub fused: &'a [FusedMap],
    /// For each pixel method, its attribution.
    pub pixels: &'a [PixelAttribution],
    maps: Maps<'a>,
}

/// Where the maps of a view are.
#[derive(Clone, Copy)]
enum Maps<'a> {
    Device { results: DeviceResults<'a>, image: usize, target: &'a TargetSlots },
    Host(&'a [ActivationMap]),
}

impl<'a> Explanations<'a> {
    /// The number of images.
    #[allow(clippy::len_without_is_empty)] // a batch is never empty
    pub fn len(&self) -> usize {
        self.images
    }

    /// The explanations of image `image`.
    ///
    /// # Panics
    /// When the batch has no such image.
    pub fn image(&self, image: usize) -> impl ExactSizeIterator<Item = ExplanationView<'a>> + use<'a> {
        let Explanations { source, images } = *self;
        assert!(image < images, "image {image} of a batch of {images}");
        let count = match source {
            Source::Device(results) => results.layout.targets.len(),
            Source::Host(explanations) => explanations[image].len(),
        };
        (0..count).map(move |i| match source {
            Source::Device(results) => results.view(image, &results.layout.targets[i]),
            Source::Host(explanations) => ExplanationView::of(&explanations[image][i]),
        })
    }

    /// Copies of the explanations of all images.
    pub fn to_vec(&self) -> Vec<Vec<Explanation>> {
        (0..self.images).map(|image| self.image(image).map(Explanation::from).collect()).collect()
    }
}

impl<'a> DeviceResults<'a> {
    fn view(self, image: usize, target: &'a TargetSlots) -> ExplanationView<'a> {
        let [logits, probabilities] =
            [target.logits, target.probabilities].map(|slot| self.outputs.read(image, slot));
        let class =
            self.classes.of(image).unwrap_or_else(|| self.layout.selected(self.outputs, image, target));
        ExplanationView {
            prediction: ExitPrediction::new(target.exit, logits, probabilities),
            rank: target.rank,
            target: class,
            score: self.score.of(logits, class) as f32,
            fused: &[],
            pixels: &[],
            maps: Maps::Device { results: self, image, target },
        }
    }
}

impl<'a> ExplanationView<'a> {
    fn of(explanation: &'a Explanation) -> Self {
        let ExitPrediction { exit, class, logits, probabilities } = &explanation.prediction;
        ExplanationView {
            prediction: ExitPrediction { exit: *exit, class: *class, logits, probabilities },
            rank: explanation.rank,
            target: explanation.target,
            score: explanation.score,
            fused: &explanation.fused,
            pixels: &explanation.pixels,
            maps: Maps::Host(&explanation.maps),
        }
    }

    /// For each method, in the request's order, an activation map at each tap. Making one reads its elements
    /// once: they are zero, with a status, if any of them is not finite.
    pub fn maps(&self) -> impl ExactSizeIterator<Item = ActivationMap<&'a [f32]>> + use<'a> {
        let (maps, is_score_finite) = (self.maps, self.score.is_finite());
        let count = match maps {
            Maps::Device { target, .. } => target.taps.len(),
            Maps::Host(maps) => maps.len(),
        };
        (0..count).map(move |i| match maps {
            Maps::Device { results, image, target } => {
                let (outputs, zeros) = (results.outputs, (is_score_finite, &results.layout.zeros[..]));
                let (tap, size) = (&target.taps[i], results.size);
                let map = tap.grad_cam.and_then(|cam| cam.read((outputs, image), &tap.name, size, zeros));
                map.expect("lowered whole")
            }
            Maps::Host(maps) => maps[i].view(),
        })
    }
}

impl From<ExplanationView<'_>> for Explanation {
    fn from(view: ExplanationView) -> Self {
        Explanation {
            prediction: view.prediction.into(),
            rank: view.rank,
            target: view.target,
            score: view.score,
            maps: view.maps().map(ActivationMap::from).collect(),
            fused: view.fused.to_vec(),
            pixels: view.pixels.to_vec(),
        }
    }
}
