//! The end of an explanation on the host: formulas, fusion, smoothing, and methods with many runs.

use super::batch_runner::BatchRunner;
use super::explanation::{ActivationMap, Explanation, PixelAttribution};
use super::explanations::Classes;
use super::layout::Layout;
use super::lowering::TargetSlots;
use super::method::{MapMethod, PixelMethod};
use super::methods::gradient_free::{GradientFree, MapRequest, Runs};
use super::methods::pixels::InputGradients;
use super::methods::{cam, pixels, smoothing};
use super::prediction::ExitPrediction;
use super::progress::Progress;
use super::request::{ExplainRequest, Smoothing};
use crate::engine::device::Device;
use crate::model::Model;
use crate::{Result, Shape};

/// The methods of a request that do not end on the device.
pub(crate) struct HostMethods {
    request: ExplainRequest,
    image: Shape,
    gradient_free: GradientFree,
    input_gradients: Option<InputGradients>,
    progress: Progress,
}

/// The class of each image and target.
type TargetClasses = Vec<Vec<usize>>;

/// Whether the device computes all that `request` asks for.
pub(crate) fn ends_on_the_device(request: &ExplainRequest) -> bool {
    let grad_cam_alone = request.maps == [MapMethod::GradCam] && request.pixels.is_empty();
    grad_cam_alone && !request.signed && request.fusion.is_none() && request.smoothing == Smoothing::None
}

impl HostMethods {
    /// Plans the methods with many runs of `request`.
    ///
    /// # Errors
    /// When a batch of one image takes more than the memory limit, or the device fails.
    pub(crate) fn new(
        model: &Model,
        request: &ExplainRequest,
        targets: &[TargetSlots],
        device: &Device,
    ) -> Result<HostMethods> {
        let many = request.pixels.iter().any(|p| p.reads_many_gradients());
        let plans = GradientFree::plans(request, targets) + usize::from(many);
        let shared = ExplainRequest { max_memory: request.max_memory / plans.max(1), ..request.clone() };
        let mut methods = HostMethods {
            request: request.clone(),
            image: model.input_shape(),
            gradient_free: GradientFree::new(model, &shared, targets, device)?,
            input_gradients: if many { Some(InputGradients::new(model, &shared, device)?) } else { None },
            progress: Progress::default(),
        };
        methods.gradient_free.follow(&methods.progress);
        methods.input_gradients.iter_mut().for_each(|gradients| gradients.follow(&methods.progress));
        Ok(methods)
    }

    /// The progress of the runs.
    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The number of runs for an image besides the main one.
    fn runs(&self, targets: &[TargetSlots]) -> usize {
        let gradients = |pixels: &PixelMethod| match pixels {
            PixelMethod::SmoothGrad => self.request.noise.samples,
            PixelMethod::IntegratedGradients => self.request.integration.steps,
            _ => 0,
        };
        let maps = self.gradient_free.runs(targets);
        let copies = if self.runs_again() { smoothing::OTHER_COPIES.len() } else { 0 };
        self.request.pixels.iter().map(gradients).sum::<usize>() + maps + copies * (1 + maps)
    }

    /// Whether they run the main plan again, so that no other batch may be in flight.
    pub(crate) fn runs_again(&self) -> bool {
        self.request.smoothing == Smoothing::Flips && !self.request.maps.is_empty()
    }

    /// The explanations of a batch of `images`, whose outputs `main` has.
    pub(crate) fn explain(
        &mut self,
        main: &mut BatchRunner,
        layout: &Layout,
        images: &[f32],
        classes: Classes,
    ) -> Result<Vec<Vec<Explanation>>> {
        let outputs = main.outputs();
        let of_image = |image: usize| -> Vec<usize> {
            let given = classes.of(image);
            let select = |target| given.unwrap_or_else(|| layout.selected(outputs, image, target));
            layout.targets.iter().map(select).collect()
        };
        let classes: TargetClasses = (0..images.len() / self.image.len()).map(of_image).collect();
        self.progress.begin(classes.len() * self.runs(&layout.targets));
        let mut explanations = self.predictions(main, layout, &classes);
        self.pixels(main, layout, images, &classes, &mut explanations)?;
        self.maps(main, layout, images, &classes, &mut explanations)?;
        if self.runs_again() {
            self.smooth(main, layout, images, &classes, &mut explanations)?;
        }
        Ok(explanations)
    }

    /// Explanations without maps and pixels.
    fn predictions(
        &self,
        main: &BatchRunner,
        layout: &Layout,
        classes: &TargetClasses,
    ) -> Vec<Vec<Explanation>> {
        let outputs = main.outputs();
        let explanation = |image: usize, slots: &TargetSlots, target: usize| {
            let [logits, probabilities] =
                [slots.logits, slots.probabilities].map(|slot| outputs.read(image, slot));
            Explanation {
                rank: slots.rank,
                target,
                score: self.request.score.of(logits, target) as f32,
                prediction: ExitPrediction::new(slots.exit, logits, probabilities).into(),
                maps: Vec::new(),
                fused: Vec::new(),
                pixels: Vec::new(),
            }
        };
        let of_image = |(image, classes): (usize, &Vec<usize>)| {
            let targets = layout.targets.iter().zip(classes);
            targets.map(|(slots, &class)| explanation(image, slots, class)).collect()
        };
        classes.iter().enumerate().map(of_image).collect()
    }

    /// Adds the activation maps.
    fn maps(
        &mut self,
        main: &BatchRunner,
        layout: &Layout,
        images: &[f32],
        classes: &TargetClasses,
        all: &mut [Vec<Explanation>],
    ) -> Result<()> {
        for (i, (image, explanations)) in images.chunks_exact(self.image.len()).zip(all).enumerate() {
            let mut runs = Runs::new();
            for (target, explanation) in explanations.iter_mut().enumerate() {
                let class = classes[i][target];
                for number in 0..self.request.maps.len() {
                    let method = self.request.maps[number];
                    for tap in 0..layout.targets[target].taps.len() {
                        let place = (target, tap);
                        let mut map =
                            self.map(method, (main, layout), (i, image), place, class, &mut runs)?;
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
        (main, layout): (&BatchRunner, &Layout),
        (i, image): (usize, &[f32]),
        (target, tap): (usize, usize),
        class: usize,
        runs: &mut Runs,
    ) -> Result<ActivationMap> {
        let (size, outputs, target) = ((self.image.h, self.image.w), main.outputs(), &layout.targets[target]);
        let tap = &target.taps[tap];
        let shape = (tap.shape.h, tap.shape.w);
        if let (MapMethod::GradCam, Some(grad_cam)) = (method, &tap.grad_cam) {
            return Ok(match grad_cam.read((outputs, i), &tap.name, size, (true, &layout.zeros)) {
                Some(map) => map.into(),
                None => {
                    let found = grad_cam.read_signed(outputs, i);
                    ActivationMap::new(method, tap.name.clone(), shape, found, size)
                }
            });
        }
        let values = tap.read(outputs, i);
        let found = match cam::in_one_pass(method, values) {
            Some(found) => found,
            None => {
                let logits = outputs.read(i, target.logits);
                let request = MapRequest { method, image, class, logits, score: self.request.score };
                self.gradient_free.map(request, (target.exit, tap), values, runs)?
            }
        };
        Ok(ActivationMap::new(method, tap.name.clone(), shape, found, size))
    }

    /// Replaces the heatmaps by the mean of those of the image's copies.
    fn smooth(
        &mut self,
        main: &mut BatchRunner,
        layout: &Layout,
        images: &[f32],
        classes: &TargetClasses,
        explanations: &mut [Vec<Explanation>],
    ) -> Result<()> {
        let (len, mut copies) = (self.image.len(), Vec::new());
        for copy in smoothing::OTHER_COPIES {
            let changed = copy.apply(images, self.image);
            main.run(classes.len(), |i, space| {
                // Where a factor makes an element infinite, so are the map and its status.
                layout.fill(&changed[i * len..][..len], classes[i].iter().copied(), space);
                Ok(())
            })?;
            let mut found = self.predictions(main, layout, classes);
            self.maps(main, layout, &changed, classes, &mut found)?;
            copies.push((copy, found));
        }
        smoothing::average(explanations, &copies);
        Ok(())
    }

    /// Adds the pixel attributions.
    fn pixels(
        &mut self,
        main: &BatchRunner,
        layout: &Layout,
        images: &[f32],
        classes: &TargetClasses,
        all: &mut [Vec<Explanation>],
    ) -> Result<()> {
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
                        let (targets, outputs) = (layout.targets.iter(), main.outputs());
                        targets.map(|target| pixels::in_one_pass(method, outputs, i, target, image)).collect()
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
