//! The explainer: a request on a device. Images in, explanations out.

use super::batch_runner::{BatchRunner, bytes_per_image, count_images};
use super::explanation::{ActivationMap, Explanation, PixelAttribution};
use super::lowering::{Lowered, Purpose, TargetSlots, lower};
use super::method::{MapMethod, PixelMethod};
use super::methods::gradient_free::{GradientFree, MapRequest, Runs};
use super::methods::pixels::InputGradients;
use super::methods::{cam, pixels, smoothing};
use super::prediction::ExitPrediction;
use super::request::{ExplainRequest, Smoothing};
use super::target::{Target, best_classes, check_class};
use crate::engine::device::Device;
use crate::engine::graph::ops::TargetInput;
use crate::engine::plan::Slot;
use crate::engine::session::Session;
use crate::error::RequestError;
use crate::model::Model;
use crate::{Result, Shape};

/// An [`ExplainRequest`], planned and loaded on a device.
///
/// ```
/// # fn main() -> msdcam::Result<()> {
/// use msdcam::engine::device::{Device, DeviceChoice};
/// use msdcam::explain::{ExplainRequest, Explainer};
/// use msdcam::model::Model;
///
/// let model = Model::pretrained()?;
/// let request = ExplainRequest {
///     exits: vec![1],
///     ..ExplainRequest::new(&model, &["hires-cam".parse()?])
/// };
/// let device = Device::open(DeviceChoice::Cpu, 1)?;
/// let mut explainer = Explainer::new(&model, &request, &device, 1)?;
/// let explanations = explainer.explain(&[0.5; 3 * 32 * 32])?;
/// assert_eq!(explanations[0][0].maps[0].heatmap.values.len(), 32 * 32);
/// # Ok(())
/// # }
/// ```
pub struct Explainer {
    request: ExplainRequest,
    image: Shape,
    classes: usize,
    main: BatchRunner,
    layout: Layout,
    gradient_free: GradientFree,
    input_gradients: Option<InputGradients>,
}

/// Where values are in the main plan's spaces.
struct Layout {
    targets: Vec<TargetSlots>,
    image: Slot,
    final_logits: Option<Slot>,
}

/// The class explained for each image and each of [`Layout::targets`].
type Classes = Vec<Vec<usize>>;

impl Explainer {
    /// Plans `request` and loads it on `device`, for batches of up to `batch` images.
    ///
    /// # Errors
    /// As [`ExplainRequest::check`]; when one image takes more than
    /// [`ExplainRequest::max_memory`], or the device fails.
    pub fn new(model: &Model, request: &ExplainRequest, device: &Device, batch: usize) -> Result<Explainer> {
        request.check(model)?;
        let Lowered { plan, targets, image, final_logits } = lower(model, request, Purpose::Explanation)?;
        let many = request.pixels.iter().any(|p| p.reads_many_gradients());
        let plans = GradientFree::plans(request, &targets) + usize::from(many);
        let shared = ExplainRequest { max_memory: request.max_memory / plans.max(1), ..request.clone() };
        let gradient_free = GradientFree::new(model, &shared, &targets, device)?;
        let batch = batch.min(request.max_memory / bytes_per_image(&plan)).max(1);
        Ok(Explainer {
            request: request.clone(),
            image: model.input_shape(),
            classes: model.classes(),
            main: BatchRunner::new(plan, device, batch)?,
            layout: Layout { targets, image, final_logits },
            gradient_free,
            input_gradients: if many { Some(InputGradients::new(model, &shared, device)?) } else { None },
        })
    }

    /// The largest batch of one run; larger requests are divided.
    pub fn capacity(&self) -> usize {
        self.main.capacity()
    }

    /// (3, H, W) of an image.
    pub fn image(&self) -> Shape {
        self.image
    }

    /// The plan of the forward pass and the gradients on its device.
    pub fn session(&self) -> &dyn Session {
        self.main.session()
    }

    /// As [`Explainer::session`], for its clock.
    pub fn session_mut(&mut self) -> &mut dyn Session {
        self.main.session_mut()
    }

    /// The explanations of N normalized images, (N, 3, H, W): for each image one of each exit, in the
    /// request's order; with [`Target::Top`] one of each exit and rank.
    ///
    /// # Errors
    /// When `images` is not a whole number of images or an element is not finite, the request's
    /// target is [`Target::Label`], or the device fails.
    pub fn explain(&mut self, images: &[f32]) -> Result<Vec<Vec<Explanation>>> {
        if self.request.target == Target::Label {
            return Err(RequestError::NoLabels.into());
        }
        self.explain_with(images, &[])
    }

    /// As [`Explainer::explain`], with the label of each image for [`Target::Label`]; other targets
    /// do not read `labels`.
    ///
    /// # Errors
    /// As [`Explainer::explain`]; when there are more or fewer labels than images, or the model has
    /// no such class.
    pub fn explain_labeled(&mut self, images: &[f32], labels: &[usize]) -> Result<Vec<Vec<Explanation>>> {
        if self.request.target == Target::Label {
            let n = count_images(images, self.image)?;
            if labels.len() != n {
                return Err(RequestError::LabelCount { given: labels.len(), images: n }.into());
            }
            labels.iter().try_for_each(|&label| check_class(label, self.classes))?;
        }
        self.explain_with(images, labels)
    }

    fn explain_with(&mut self, images: &[f32], labels: &[usize]) -> Result<Vec<Vec<Explanation>>> {
        let mut explanations = Vec::with_capacity(count_images(images, self.image)?);
        let capacity = self.capacity();
        for (i, images) in images.chunks(capacity * self.image.len()).enumerate() {
            let labels = labels.get(i * capacity..).unwrap_or_default();
            explanations.extend(self.explain_batch(images, labels)?);
        }
        Ok(explanations)
    }

    fn explain_batch(&mut self, images: &[f32], labels: &[usize]) -> Result<Vec<Vec<Explanation>>> {
        let n = images.len() / self.image.len();
        let count = self.layout.targets.len();
        let given: Option<Classes> = match self.request.target {
            Target::Class(class) => Some(vec![vec![class; count]; n]),
            Target::Label => Some(labels[..n].iter().map(|&label| vec![label; count]).collect()),
            Target::Predicted | Target::Final | Target::Top(_) => None,
        };
        self.run(images, given.as_ref())?;
        let classes = given.unwrap_or_else(|| (0..n).map(|image| self.selected(image)).collect());

        let mut explanations = self.predictions(&classes);
        self.pixels(images, &classes, &mut explanations)?;
        self.maps(images, &classes, &mut explanations)?;
        if self.request.smoothing == Smoothing::Flips && !self.request.maps.is_empty() {
            self.smooth(images, &classes, &mut explanations)?;
        }
        Ok(explanations)
    }

    /// Runs the main plan; without `classes` the logits select.
    fn run(&mut self, images: &[f32], classes: Option<&Classes>) -> Result<()> {
        let (len, layout) = (self.image.len(), &self.layout);
        self.main.run(images.len() / len, |i, space| {
            space[layout.image.offset..][..len].copy_from_slice(&images[i * len..][..len]);
            for (target, &class) in layout.targets.iter().zip(classes.into_iter().flat_map(|c| &c[i])) {
                space[target.class.offset] = TargetInput::Class(class).encode();
            }
        })
    }

    /// The class that the logits selected for each target, by the rule of the graph.
    fn selected(&self, image: usize) -> Vec<usize> {
        let select = |target: &TargetSlots| {
            let deciding = self.layout.final_logits.unwrap_or(target.logits);
            best_classes(self.main.read(image, deciding), target.rank + 1)[target.rank]
        };
        self.layout.targets.iter().map(select).collect()
    }

    /// Explanations of the last run's images, without maps and pixels.
    fn predictions(&self, classes: &Classes) -> Vec<Vec<Explanation>> {
        let explanation = |image: usize, slots: &TargetSlots, target: usize| {
            let read = |slot| self.main.read(image, slot);
            let prediction = ExitPrediction::new(slots.exit, read(slots.logits), read(slots.probabilities));
            Explanation {
                rank: slots.rank,
                target,
                score: self.request.score.of(&prediction.logits, target) as f32,
                prediction,
                maps: Vec::new(),
                fused: Vec::new(),
                pixels: Vec::new(),
            }
        };
        let of_image = |(image, classes): (usize, &Vec<usize>)| {
            let targets = self.layout.targets.iter().zip(classes);
            targets.map(|(slots, &class)| explanation(image, slots, class)).collect()
        };
        classes.iter().enumerate().map(of_image).collect()
    }

    /// Adds the activation maps of the last run.
    fn maps(&mut self, images: &[f32], classes: &Classes, all: &mut [Vec<Explanation>]) -> Result<()> {
        for (i, (image, explanations)) in images.chunks_exact(self.image.len()).zip(all).enumerate() {
            let mut runs = Runs::new();
            for (target, explanation) in explanations.iter_mut().enumerate() {
                let class = classes[i][target];
                for number in 0..self.request.maps.len() {
                    let method = self.request.maps[number];
                    for tap in 0..self.layout.targets[target].taps.len() {
                        let mut map = self.map(method, (i, image), (target, tap), class, &mut runs)?;
                        if method.depends_on_class() && !explanation.score.is_finite() {
                            map.empty_out();
                        }
                        if !self.request.signed {
                            map.signed = Vec::new();
                        }
                        explanation.maps.push(map);
                    }
                }
                if let Some(fusion) = self.request.fusion {
                    let by_method = explanation.maps.chunk_by(|a, b| a.method == b.method);
                    let fused = by_method.filter_map(|maps| fusion.fuse(&maps.iter().collect::<Vec<_>>()));
                    explanation.fused = fused.collect();
                }
            }
        }
        Ok(())
    }

    /// The map of `method` for image `i` of the batch, at a target's tap.
    fn map(
        &mut self,
        method: MapMethod,
        (i, image): (usize, &[f32]),
        (target, tap): (usize, usize),
        class: usize,
        runs: &mut Runs,
    ) -> Result<ActivationMap> {
        let size = (self.image.h, self.image.w);
        let target = &self.layout.targets[target];
        let tap = &target.taps[tap];
        if let (MapMethod::GradCam, Some(grad_cam)) = (method, &tap.grad_cam) {
            return Ok(grad_cam.read(&self.main, i, &tap.tap, size));
        }
        let values = tap.read(&self.main, i);
        let found = match cam::in_one_pass(method, values) {
            Some(found) => found,
            None => {
                let logits = self.main.read(i, target.logits);
                let request = MapRequest { method, image, class, logits, score: self.request.score };
                self.gradient_free.map(request, (target.exit, tap), values, runs)?
            }
        };
        let shape = (values.shape.h, values.shape.w);
        Ok(ActivationMap::new(method, &tap.tap.name, shape, found, size))
    }

    /// Replaces the heatmaps by the mean of those of the image's copies.
    fn smooth(
        &mut self,
        images: &[f32],
        classes: &Classes,
        explanations: &mut [Vec<Explanation>],
    ) -> Result<()> {
        let mut copies = Vec::new();
        for copy in smoothing::OTHER_COPIES {
            let changed = copy.apply(images, self.image);
            self.run(&changed, Some(classes))?;
            let mut found = self.predictions(classes);
            self.maps(&changed, classes, &mut found)?;
            copies.push((copy, found));
        }
        smoothing::average(explanations, &copies);
        Ok(())
    }

    /// Adds the pixel attributions of the last run.
    fn pixels(&mut self, images: &[f32], classes: &Classes, all: &mut [Vec<Explanation>]) -> Result<()> {
        let shape = self.image;
        for (i, (image, explanations)) in images.chunks_exact(shape.len()).zip(all).enumerate() {
            for &method in &self.request.pixels {
                let arrays = match (method, &mut self.input_gradients) {
                    (PixelMethod::SmoothGrad, Some(gradients)) => {
                        gradients.smooth_grad(image, &classes[i], self.request.noise)?
                    }
                    (PixelMethod::IntegratedGradients, Some(gradients)) => {
                        gradients.integrated_gradients(image, &classes[i], self.request.integration)?
                    }
                    _ => {
                        let targets = self.layout.targets.iter();
                        targets
                            .map(|target| pixels::in_one_pass(method, &self.main, i, target, image))
                            .collect()
                    }
                };
                for (explanation, values) in explanations.iter_mut().zip(arrays) {
                    let mut pixels = PixelAttribution::new(method, shape, values);
                    if !explanation.score.is_finite() {
                        pixels.empty_out();
                    }
                    explanation.pixels.push(pixels);
                }
            }
        }
        Ok(())
    }
}
