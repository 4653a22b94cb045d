//! The forward pass without gradients: predictions of every exit, with or without early exit.

use super::batch_runner::{BatchRunner, count_images};
use super::prediction::ExitPrediction;
use crate::engine::device::Device;
use crate::engine::graph::Op;
use crate::engine::plan::{Order, Plan, Slot};
use crate::engine::session::Session;
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
}

/// The outputs of one exit.
struct ExitSlots {
    exit: usize,
    logits: Slot,
    probabilities: Slot,
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
        let mut graph = model.graph.clone();
        let mut outputs = Vec::with_capacity(2 * exits.len());
        for &exit in exits {
            let logits = model.exits[exit - 1].logits;
            outputs.extend([logits, graph.push(Op::Softmax, &[logits])?]);
        }
        let plan = Plan::new(&graph, &outputs, order)?;
        let slots = exits.iter().zip(plan.outputs().as_chunks().0);
        let exits = slots.map(|(&exit, &[logits, probabilities])| ExitSlots { exit, logits, probabilities });
        let (exits, image) = (exits.collect(), plan.inputs()[0]);
        Ok(Classifier { exits, image, order, runner: BatchRunner::new(plan, device, batch)? })
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

    /// Multiply-adds of an image that stops at each of the exits, if the order is by exit.
    pub fn multiply_adds(&self) -> Vec<u64> {
        let plan = self.session().plan();
        self.exits.iter().map(|slots| plan.multiply_adds_until(slots.exit)).collect()
    }

    /// The predictions of every exit for each of N normalized images, (N, 3, H, W).
    ///
    /// # Errors
    /// When `images` is not a whole number of images or an element is not finite, or the device
    /// fails.
    pub fn classify(&mut self, images: &[f32]) -> Result<Vec<Vec<ExitPrediction>>> {
        self.in_batches(images, |runner, _, n, fill| {
            runner.run(n, fill)?;
            Ok(vec![usize::MAX; n])
        })
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
        self.in_batches(images, |runner, exits, n, fill| {
            runner.run_early_exit(n, fill, |exit, _, outputs| {
                let Some(i) = exits.iter().position(|slots| slots.exit == exit) else { return true };
                let slot = exits[i].probabilities;
                let probabilities = &outputs[slot.offset..][..slot.shape.len()];
                let confidence = probabilities.iter().copied().fold(0.0, f32::max);
                thresholds[i].is_none_or(|threshold| confidence < threshold)
            })
        })
    }

    /// Runs batch after batch; `run` returns the last exit that each of its images reached.
    fn in_batches(
        &mut self,
        images: &[f32],
        mut run: impl FnMut(
            &mut BatchRunner,
            &[ExitSlots],
            usize,
            &mut dyn FnMut(usize, &mut [f32]),
        ) -> Result<Vec<usize>>,
    ) -> Result<Vec<Vec<ExitPrediction>>> {
        let (shape, offset) = (self.image.shape, self.image.offset);
        let mut predictions = Vec::with_capacity(count_images(images, shape)?);
        for batch in images.chunks(shape.len() * self.capacity()) {
            let n = batch.len() / shape.len();
            let mut fill = |i: usize, space: &mut [f32]| {
                space[offset..][..shape.len()].copy_from_slice(&batch[i * shape.len()..][..shape.len()]);
            };
            let reached = run(&mut self.runner, &self.exits, n, &mut fill)?;
            for (image, last) in reached.into_iter().enumerate() {
                let read = |slot| self.runner.read(image, slot);
                let exits = self.exits.iter().filter(|slots| slots.exit <= last);
                predictions.push(
                    exits
                        .map(|s| ExitPrediction::new(s.exit, read(s.logits), read(s.probabilities)))
                        .collect(),
                );
            }
        }
        Ok(predictions)
    }
}
