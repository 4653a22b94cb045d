//! Predictions of a batch that borrow what the device computed.

use super::batch_runner::Outputs;
use super::prediction::ExitPrediction;
use crate::engine::plan::Slot;

/// The outputs of one exit.
pub(crate) struct ExitSlots {
    pub(crate) exit: usize,
    pub(crate) logits: Slot,
    pub(crate) probabilities: Slot,
}

/// The predictions of a batch's images: views of the memory that the device wrote, made when they are asked
/// for. [`Predictions::to_vec`] copies them.
#[derive(Clone, Copy)]
pub struct Predictions<'a> {
    pub(crate) outputs: Outputs<'a>,
    pub(crate) exits: &'a [ExitSlots],
    pub(crate) images: usize,
    /// The last exit of each image, unless all images went through all exits.
    pub(crate) reached: Option<&'a [usize]>,
}

impl<'a> Predictions<'a> {
    /// The number of images.
    #[allow(clippy::len_without_is_empty)] // a batch is never empty
    pub fn len(&self) -> usize {
        self.images
    }

    /// The predictions of image `image`, one of each exit that it reached.
    ///
    /// # Panics
    /// When the batch has no such image.
    pub fn image(&self, image: usize) -> impl Iterator<Item = ExitPrediction<&'a [f32]>> + use<'a> {
        let Predictions { outputs, exits, images, reached } = *self;
        assert!(image < images, "image {image} of a batch of {images}");
        let last = reached.map_or(usize::MAX, |reached| reached[image]);
        exits.iter().take_while(move |slots| slots.exit <= last).map(move |slots| {
            let [logits, probabilities] =
                [slots.logits, slots.probabilities].map(|slot| outputs.read(image, slot));
            ExitPrediction::new(slots.exit, logits, probabilities)
        })
    }

    /// Copies of the predictions of all images.
    pub fn to_vec(&self) -> Vec<Vec<ExitPrediction>> {
        (0..self.images).map(|image| self.image(image).map(ExitPrediction::from).collect()).collect()
    }
}
