//! The forward pass without gradients: predictions of every exit, with or without early exit.

use std::collections::VecDeque;

use super::batch_runner::{BatchRunner, copy_image, count_images};
use super::prediction::ExitPrediction;
use super::predictions::{ExitSlots, Predictions};
use crate::engine::device::Device;
use crate::engine::graph::Op;
use crate::engine::plan::{Order, Plan, Slot};
use crate::engine::session::{Session, none_in_flight};
use crate::error::RequestError;
use crate::model::Model;
use crate::{Result, Shape};

/// The forward pass of a model on a device, for predictions without explanations.
///
/// ```
/// use msdcam::engine::device::{Device, DeviceChoice};
/// use msdcam::engine::plan::Order;
/// use msdcam::explain::Classifier;
/// use msdcam::model::Model;
///
/// # fn main() -> msdcam::Result<()> {
/// let model = Model::pretrained()?;
/// let device = Device::open(DeviceChoice::Cpu, 1)?;
/// let exits = [1, 2, 3];
/// let mut classifier = Classifier::new(&model, &exits, Order::ByExit, &device, 1)?;
/// let image = vec![0.5; model.input_shape().len()];
/// let predictions = classifier.classify_early_exit(&image, &[Some(0.0), None, None])?;
/// assert_eq!(predictions[0].len(), 1, "every confidence reaches 0");
/// # Ok(())
/// # }
/// ```
pub struct Classifier {
    runner: BatchRunner,
    image: Slot,
    order: Order,
    exits: Vec<ExitSlots>,
    /// Images of each batch in flight, in the order of submission.
    in_flight: VecDeque<usize>,
}

/// The plan of logits and probabilities of `exits`.
fn plan(model: &Model, exits: &[usize], order: Order) -> Result<Plan> {
    let mut graph = model.graph.clone();
    let mut outputs = Vec::with_capacity(2 * exits.len());
    for &exit in exits {
        let logits = model.exits[exit - 1].logits;
        outputs.extend([logits, graph.push(Op::Softmax, &[logits])?]);
    }
    Plan::new(&graph, &outputs, order)
}

impl Classifier {
    /// Plans the forward pass up to `exits`, numbered from 1 and ascending, for batches of up to
    /// `batch` images. With [`Order::ByExit`] a run can stop early; [`Order::Depth`] has fewer levels.
    ///
    /// # Errors
    /// When the model lacks one of the exits, or the device fails.
    pub fn new(
        model: &Model,
        exits: &[usize],
        order: Order,
        device: &Device,
        batch: usize,
    ) -> Result<Classifier> {
        model.check_exits(exits)?;
        let plan = plan(model, exits, order)?;
        let slots = exits.iter().zip(plan.outputs().as_chunks().0);
        let exits = slots.map(|(&exit, &[logits, probabilities])| ExitSlots { exit, logits, probabilities });
        let (exits, image) = (exits.collect(), plan.inputs()[0]);
        let (runner, in_flight) = (BatchRunner::new(plan, device, batch)?, VecDeque::new());
        Ok(Classifier { exits, image, order, runner, in_flight })
    }

    /// Multiply-adds of an image that stops at each of the model's exits, without a device.
    ///
    /// # Errors
    /// When the model's graph cannot be planned.
    #[doc(hidden)]
    pub fn multiply_adds_of(model: &Model) -> Result<Vec<u64>> {
        let exits: Vec<usize> = (1..=model.exits.len()).collect();
        let plan = plan(model, &exits, Order::ByExit)?;
        Ok(exits.iter().map(|&exit| plan.multiply_adds_until(exit)).collect())
    }

    /// The largest batch of one run; larger requests are divided.
    pub fn capacity(&self) -> usize {
        self.runner.capacity()
    }

    /// (3, H, W) of an image.
    pub fn image(&self) -> Shape {
        self.image.shape
    }

    /// The plan on its device.
    pub fn session(&self) -> &dyn Session {
        self.runner.session()
    }

    /// As [`Classifier::session`], for its clock.
    pub fn session_mut(&mut self) -> &mut dyn Session {
        self.runner.session_mut()
    }

    /// Multiply-adds of an image that stops at each of the exits, if the order is by exit; otherwise those of the
    /// levels up to it.
    pub fn multiply_adds(&self) -> Vec<u64> {
        let plan = self.session().plan();
        self.exits.iter().map(|slots| plan.multiply_adds_until(slots.exit)).collect()
    }

    /// The predictions of every exit for each of N normalized images, (N, 3, H, W).
    ///
    /// # Errors
    /// When `images` is not a whole number of images or an element is not finite, a batch is in flight, or the
    /// device fails.
    pub fn classify(&mut self, images: &[f32]) -> Result<Vec<Vec<ExitPrediction>>> {
        let mut predictions = Vec::with_capacity(count_images(images, self.image.shape)?);
        none_in_flight(self.in_flight())?;
        let done = self.classify_in_batches(images, &mut predictions);
        // After an error nothing stays in flight.
        while self.in_flight() > 0 {
            let _ = self.wait();
        }
        done.map(|()| predictions)
    }

    fn classify_in_batches(
        &mut self,
        images: &[f32],
        predictions: &mut Vec<Vec<ExitPrediction>>,
    ) -> Result<()> {
        let capacity = self.capacity();
        for (i, images) in images.chunks(capacity.saturating_mul(self.image.shape.len())).enumerate() {
            self.start(images, i * capacity)?;
            if self.is_full() {
                predictions.append(&mut self.wait()?.to_vec());
            }
        }
        while self.in_flight() > 0 {
            predictions.append(&mut self.wait()?.to_vec());
        }
        Ok(())
    }

    /// Starts the classification of a batch of normalized images, (N, 3, H, W), N at most
    /// [`Classifier::capacity`]; see [`super::Explainer::submit`]. Nothing is allocated after the first batches.
    ///
    /// # Errors
    /// As [`Classifier::classify`]; when [`Classifier::is_full`].
    pub fn submit(&mut self, images: &[f32]) -> Result<()> {
        count_images(images, self.image.shape)?;
        self.start(images, 0)
    }

    /// Waits for the batch that was submitted first, and returns its predictions.
    ///
    /// # Errors
    /// When no batch is in flight, or the device fails.
    pub fn wait(&mut self) -> Result<Predictions<'_>> {
        let images = self.in_flight.pop_front().unwrap_or_default();
        let outputs = self.runner.wait()?;
        Ok(Predictions { outputs, exits: &self.exits, images, reached: None })
    }

    /// Batches that were submitted and not yet waited for.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether a batch has to be waited for before another is submitted: see [`super::Explainer::is_full`].
    pub fn is_full(&self) -> bool {
        self.in_flight() >= self.session().depth()
    }

    /// As [`Classifier::classify`], but each image stops at the first exit whose confidence reaches
    /// the exit's threshold: later exits are not computed, and not in the result. `thresholds` has an
    /// element for each exit; `None` where no image stops.
    ///
    /// # Errors
    /// As [`Classifier::classify`]; when there are more or fewer thresholds than exits, or the order
    /// is not [`Order::ByExit`].
    pub fn classify_early_exit(
        &mut self,
        images: &[f32],
        thresholds: &[Option<f32>],
    ) -> Result<Vec<Vec<ExitPrediction>>> {
        if self.order != Order::ByExit {
            return Err(RequestError::ExitOrder.into());
        }
        let (given, count) = (thresholds.len(), self.exits.len());
        if given != count {
            return Err(RequestError::ThresholdCount { given, exits: count }.into());
        }
        let Classifier { runner, image: Slot { shape, offset, .. }, exits, .. } = self;
        let mut predictions = Vec::with_capacity(count_images(images, *shape)?);
        let capacity = runner.capacity();
        for (batch, images) in images.chunks(capacity.saturating_mul(shape.len())).enumerate() {
            let n = images.len() / shape.len();
            let fill = |i: usize, space: &mut [f32]| {
                let (from, to) = (&images[i * shape.len()..], &mut space[*offset..]);
                copy_image(&from[..shape.len()], &mut to[..shape.len()], batch * capacity + i)
            };
            runner.run_early_exit(n, fill, |exit, _, outputs| {
                let Some(i) = exits.iter().position(|slots| slots.exit == exit) else { return true };
                let slot = exits[i].probabilities;
                let probabilities = &outputs[slot.offset..][..slot.shape.len()];
                let confidence = probabilities.iter().copied().fold(0.0, f32::max);
                thresholds[i].is_none_or(|threshold| confidence < threshold)
            })?;
            let (outputs, reached) = (runner.outputs(), Some(runner.session().reached()));
            predictions.extend(Predictions { outputs, exits, images: n, reached }.to_vec());
        }
        Ok(predictions)
    }

    /// Starts a batch; `first` is the index of its first image in the request.
    fn start(&mut self, images: &[f32], first: usize) -> Result<()> {
        let Slot { shape, offset, .. } = self.image;
        let (len, n) = (shape.len(), images.len() / shape.len());
        self.runner.submit(n, |i, space| {
            copy_image(&images[i * len..][..len], &mut space[offset..][..len], first + i)
        })?;
        self.in_flight.push_back(n);
        Ok(())
    }
}
