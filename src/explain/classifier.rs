//! A question about a network, planned and loaded: images in, answers out.

use std::sync::Arc;

use super::grad_cam::{ExitNodes, Question, question_graph};
use super::target::{check_class, class_rank};
use crate::engine::device::Device;
use crate::engine::graph::ops::TargetInput;
use crate::engine::plan::{Plan, Slot};
use crate::engine::session::Session;
use crate::engine::tensor::argmax;
use crate::model::msdnet::Network;
use crate::{Error, Result, Shape};

/// What one exit says about one image.
#[derive(Debug, Clone, PartialEq)]
pub struct ExitPrediction {
    /// The exit, from 1.
    pub exit: usize,
    /// Class scores before the softmax.
    pub logits: Vec<f32>,
    /// Class probabilities.
    pub probabilities: Vec<f32>,
    /// The class with the highest score; the first where several are equal.
    pub class: usize,
    /// Its map, if the question wants maps.
    pub map: Option<MapAnswer>,
}

impl ExitPrediction {
    /// How many classes stand before class `label`: 0 where the exit says it, below 5 where it is
    /// among the first five. Of equal scores the first class stands first; a score that is no
    /// number stands before none and behind all.
    pub fn rank(&self, label: usize) -> usize {
        class_rank(&self.logits, label)
    }
}

/// Where one exit looks.
#[derive(Debug, Clone, PartialEq)]
pub struct MapAnswer {
    /// The class that is explained.
    pub target: usize,
    /// The weight of each channel of the tap: spatial mean of the gradient.
    pub weights: Vec<f32>,
    /// (1, h, w) of the map: the tap's size.
    pub shape: Shape,
    /// The map after the ReLU, h x w.
    pub map: Vec<f32>,
    /// Smallest number of the map.
    pub min: f32,
    /// Largest number of the map.
    pub max: f32,
    /// The map resized to the input image, H x W, and scaled to [0, 1].
    pub heat: Vec<f32>,
}

/// Where each part of one exit's answer lies in the output space.
struct ExitSlots {
    exit: usize,
    logits: Slot,
    probabilities: Slot,
    map: Option<[Slot; 4]>,
}

/// See the module's documentation.
pub struct Classifier {
    session: Box<dyn Session>,
    slots: Vec<ExitSlots>,
    classes: usize,
    image: Shape,
    inputs: Vec<f32>,
    outputs: Vec<f32>,
}

impl Classifier {
    /// Plans `question` about `network` and loads it on `device`, for batches of up to `batch` images.
    ///
    /// # Errors
    /// When the network lacks an exit asked for, or the device fails.
    pub fn new(network: &Network, question: &Question, device: &Device, batch: usize) -> Result<Classifier> {
        let (plan, slots) = plan(network, question)?;
        let session = device.session(Arc::new(plan), batch.max(1))?;
        let classes = network.config.classes;
        let image = network.graph.shape(network.input);
        Ok(Classifier { session, slots, classes, image, inputs: Vec::new(), outputs: Vec::new() })
    }

    /// The most images of one batch.
    pub fn capacity(&self) -> usize {
        self.session.capacity()
    }

    /// (C, H, W) of an image.
    pub fn image(&self) -> Shape {
        self.image
    }

    /// The plan on its device.
    pub fn session(&self) -> &dyn Session {
        self.session.as_ref()
    }

    /// As [`Session::device_ms`].
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn device_ms(&mut self, images: usize, repeats: usize) -> Result<Option<f64>> {
        self.session.device_ms(images, repeats)
    }

    /// As [`Session::prefix_ms`].
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn prefix_ms(&mut self, images: usize, repeats: usize) -> Result<Option<Vec<f64>>> {
        self.session.prefix_ms(images, repeats)
    }

    /// Answers for normalised images, (N, 3, H, W), of any number N: they run in batches of
    /// [`Classifier::capacity`]. `target` is the class whose map is wanted; `None`: each exit's own.
    ///
    /// # Errors
    /// When the class does not exist, the numbers are not whole images, or the device fails.
    pub fn explain(&mut self, images: &[f32], target: Option<usize>) -> Result<Vec<Vec<ExitPrediction>>> {
        self.in_batches(images, target.as_slice(), Classifier::run_all)
    }

    /// As [`Classifier::explain`], with a class for each image.
    ///
    /// # Errors
    /// As [`Classifier::explain`], and when there are more or fewer classes than images.
    pub fn explain_each(&mut self, images: &[f32], targets: &[usize]) -> Result<Vec<Vec<ExitPrediction>>> {
        let n = images.len() / self.image.len();
        if targets.len() != n {
            return Err(Error::usage(format!("{} classes for {n} images", targets.len())));
        }
        self.in_batches(images, targets, Classifier::run_all)
    }

    fn run_all(&mut self, n: usize) -> Result<Vec<usize>> {
        self.session.run(&self.inputs, &mut self.outputs)?;
        Ok(vec![usize::MAX; n])
    }

    /// As [`Classifier::explain`], but each image stops at the first exit whose highest probability
    /// reaches the exit's threshold: its later exits are not computed and not in the answer.
    /// `thresholds` has one for each exit of the question; `None` where no image stops.
    ///
    /// # Errors
    /// As [`Classifier::explain`]; and when there are more or fewer thresholds than exits.
    pub fn explain_early_exit(
        &mut self,
        images: &[f32],
        target: Option<usize>,
        thresholds: &[Option<f32>],
    ) -> Result<Vec<Vec<ExitPrediction>>> {
        let (given, exits) = (thresholds.len(), self.slots.len());
        if given != exits {
            return Err(Error::usage(format!("{given} thresholds for {exits} exits")));
        }
        self.in_batches(images, target.as_slice(), |explainer, _| {
            let slots = &explainer.slots;
            let mut unsure = |exit: usize, _image: usize, outputs: &[f32]| {
                let Some(i) = slots.iter().position(|s| s.exit == exit) else { return true };
                let best = read(outputs, slots[i].probabilities).iter().copied().fold(0.0, f32::max);
                thresholds[i].is_none_or(|threshold| best < threshold)
            };
            explainer.session.run_early_exit(&explainer.inputs, &mut explainer.outputs, &mut unsure)
        })
    }

    /// Multiply-adds of an image that stops at each exit of the question, if it is ordered by exit.
    pub fn multiply_adds(&self) -> Vec<u64> {
        let plan = self.session.plan();
        self.slots.iter().map(|slots| plan.multiply_adds_until(slots.exit)).collect()
    }

    /// Runs batch after batch; `run` returns the last exit that each of its n images reached.
    /// `targets` holds a class for each image, one for all, or none.
    fn in_batches(
        &mut self,
        images: &[f32],
        targets: &[usize],
        mut run: impl FnMut(&mut Self, usize) -> Result<Vec<usize>>,
    ) -> Result<Vec<Vec<ExitPrediction>>> {
        let len = self.image.len();
        if images.is_empty() || !images.len().is_multiple_of(len) {
            let (given, image) = (images.len(), self.image);
            return Err(Error::usage(format!("{given} numbers given: an image of {image} has {len}")));
        }
        targets.iter().try_for_each(|&class| check_class(class, self.classes))?;
        let capacity = self.capacity();
        let mut answers = Vec::with_capacity(images.len() / len);
        for (i, batch) in images.chunks(len * capacity).enumerate() {
            let n = batch.len() / len;
            let target = |image: usize| match targets {
                [] | [_] => targets.first().copied(),
                each => Some(each[i * capacity + image]),
            };
            self.fill_inputs(batch, target);
            let reached = run(self, n)?;
            answers.extend((0..n).map(|image| self.answers(image, reached[image], target(image))));
        }
        Ok(answers)
    }

    fn fill_inputs(&mut self, images: &[f32], target: impl Fn(usize) -> Option<usize>) {
        let (plan, len) = (self.session.plan(), self.image.len());
        let n = images.len() / len;
        self.inputs.clear();
        self.inputs.resize(n * plan.input_len, 0.0);
        self.outputs.resize(n * plan.output_len, 0.0);
        let spaces = self.inputs.chunks_exact_mut(plan.input_len);
        for (i, (space, image)) in spaces.zip(images.chunks_exact(len)).enumerate() {
            space[plan.inputs[0].offset..][..len].copy_from_slice(image);
            for slot in &plan.inputs[1..] {
                space[slot.offset] = target(i).map_or(TargetInput::Predicted, TargetInput::Class).encode();
            }
        }
    }

    fn answers(&self, image: usize, last_exit: usize, target: Option<usize>) -> Vec<ExitPrediction> {
        let len = self.session.plan().output_len;
        let outputs = &self.outputs[image * len..][..len];
        let reached = self.slots.iter().filter(|s| s.exit <= last_exit);
        reached.map(|slots| slots.answer(outputs, target)).collect()
    }
}

impl ExitSlots {
    fn answer(&self, outputs: &[f32], target: Option<usize>) -> ExitPrediction {
        let logits = read(outputs, self.logits).to_vec();
        let class = argmax(&logits);
        let map = self.map.map(|[weights, map, range, heat]| MapAnswer {
            target: target.unwrap_or(class),
            weights: read(outputs, weights).to_vec(),
            shape: map.shape,
            map: read(outputs, map).to_vec(),
            min: read(outputs, range)[0],
            max: read(outputs, range)[1],
            heat: read(outputs, heat).to_vec(),
        });
        let probabilities = read(outputs, self.probabilities).to_vec();
        ExitPrediction { exit: self.exit, logits, probabilities, class, map }
    }
}

/// The plan of a question and where its answers lie.
fn plan(network: &Network, question: &Question) -> Result<(Plan, Vec<ExitSlots>)> {
    let (graph, nodes) = question_graph(network, question)?;
    let wanted = |exit: &ExitNodes| {
        let map = exit.map.map(|m| [m.weights, m.map, m.range, m.heat]);
        [exit.logits, exit.probabilities].into_iter().chain(map.into_iter().flatten())
    };
    let outputs: Vec<_> = nodes.iter().flat_map(wanted).collect();
    let plan = Plan::new(&graph, &outputs, question.order)?;
    let per_exit = outputs.len() / nodes.len();
    let slots = question.exits.iter().zip(plan.outputs.chunks_exact(per_exit));
    let slots = slots
        .map(|(&exit, slots)| ExitSlots {
            exit,
            logits: slots[0],
            probabilities: slots[1],
            map: slots[2..].try_into().ok(),
        })
        .collect();
    Ok((plan, slots))
}

fn read(outputs: &[f32], slot: Slot) -> &[f32] {
    &outputs[slot.offset..][..slot.shape.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rank_counts_the_classes_before() {
        let ranks = |logits: &[f32]| {
            let answer = ExitPrediction {
                exit: 1,
                logits: logits.to_vec(),
                probabilities: vec![],
                class: argmax(logits),
                map: None,
            };
            (0..logits.len()).map(|label| answer.rank(label)).collect::<Vec<_>>()
        };
        assert_eq!(ranks(&[1.0, 3.0, 2.0]), [2, 0, 1]);
        assert_eq!(ranks(&[1.0, 1.0, 2.0, 1.0]), [1, 2, 0, 3]);
        assert_eq!(ranks(&[0.0, f32::NAN, 2.0]), [2, 2, 1], "no number is right nowhere");
    }
}
