//! The pixel methods and their formulas: from gradients at the input to an attribution (3, H, W).
//!
//! Guided backpropagation and guided Grad-CAM change little when the model's upper layers are replaced
//! by random ones (Adebayo et al. 2018, arXiv 1810.03292): they are sharp because they reproduce the
//! image's edges, and say less about the decision than the plain gradient or Grad-CAM.

use crate::engine::bilinear::bilinear;
use crate::engine::device::Device;
use crate::engine::graph::ops::TargetInput;
use crate::engine::plan::Slot;
use crate::explain::batch_runner::{BatchRunner, Outputs, batch_within};
use crate::explain::lowering::{Lowered, Purpose, TargetSlots, lower};
use crate::explain::method::PixelMethod;
use crate::explain::progress::Progress;
use crate::explain::request::{ExplainRequest, Integration, Noise};
use crate::model::Model;
use crate::util::rng::Normal;
use crate::{Result, Shape};

/// Guided Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391): guided backpropagation (Springenberg
/// et al. 2015, arXiv 1412.6806) times the Grad-CAM map after its ReLU, `map` of (h, w), resized
/// to the image.
pub(crate) fn guided_grad_cam(guided: &[f32], shape: Shape, map: &[f32], size: (usize, usize)) -> Vec<f32> {
    let resized = bilinear(map, size, (shape.h, shape.w));
    guided.iter().zip(resized.iter().cycle()).map(|(g, m)| g * m).collect()
}

/// Gradient times input (Shrikumar et al. 2016, arXiv 1605.01713).
pub(crate) fn gradient_times_input(gradient: &[f32], image: &[f32]) -> Vec<f32> {
    gradient.iter().zip(image).map(|(g, x)| g * x).collect()
}

/// The attribution of a method that needs only the request's main run, for image `index` of its batch.
pub(crate) fn in_one_pass(
    method: PixelMethod,
    main: Outputs,
    index: usize,
    target: &TargetSlots,
    image: &[f32],
) -> Vec<f32> {
    let read = |slot: Option<Slot>| slot.map_or(&[][..], |slot| main.read(index, slot));
    let (plain, guided) = (read(target.input_gradient), read(target.guided_gradient));
    match method {
        PixelMethod::GradientTimesInput => gradient_times_input(plain, image),
        PixelMethod::GuidedBackprop => guided.to_vec(),
        PixelMethod::GuidedGradCam => {
            let guide = target.guide.as_ref().expect("lowered for this method").map;
            // The map may be signed. Not `max`: NaN stays NaN.
            let map: Vec<f32> =
                main.read(index, guide).iter().map(|&x| if x < 0.0 { 0.0 } else { x }).collect();
            let shape = target.guided_gradient.expect("lowered for this method").shape;
            guided_grad_cam(guided, shape, &map, (guide.shape.h, guide.shape.w))
        }
        _ => plain.to_vec(),
    }
}

/// The gradients at the input for many variants of one image.
pub(crate) struct InputGradients {
    runner: BatchRunner,
    layout: Layout,
}

struct Layout {
    targets: Vec<TargetSlots>,
    image: usize,
}

impl InputGradients {
    pub(crate) fn new(model: &Model, request: &ExplainRequest, device: &Device) -> Result<InputGradients> {
        let Lowered { plan, targets, image, .. } = lower(model, request, Purpose::InputGradient)?;
        let batch = batch_within(&plan, device, request.max_memory, "smooth-grad and integrated-gradients")?;
        let layout = Layout { targets, image: image.offset };
        Ok(InputGradients { runner: BatchRunner::new(plan, device, batch)?, layout })
    }

    /// From now on, `progress` counts and stops the runs.
    pub(crate) fn follow(&mut self, progress: &Progress) {
        self.runner.follow(progress);
    }

    /// SmoothGrad (Smilkov et al. 2017, arXiv 1706.03825): the mean gradient over copies of the image
    /// with Gaussian noise, for each target; `classes` are the targets' classes.
    pub(crate) fn smooth_grad(
        &mut self,
        image: &[f32],
        classes: &[usize],
        noise: Noise,
    ) -> Result<Vec<Vec<f32>>> {
        let low = image.iter().copied().fold(f32::INFINITY, f32::min);
        let high = image.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let deviation = f64::from(noise.share) * (f64::from(high) - f64::from(low));
        let mut normal = Normal::new(noise.seed);
        self.mean(classes, noise.samples, |_, to| {
            to.iter_mut()
                .zip(image)
                .for_each(|(to, &x)| *to = (f64::from(x) + deviation * normal.next()) as f32);
        })
    }

    /// Integrated gradients (Sundararajan et al. 2017, arXiv 1703.01365): image minus baseline,
    /// times the mean gradient on the straight line between them, by the midpoint rule
    /// (`riemann_middle` of captum). They add up to the difference of the scores, up to the error of the
    /// rule.
    pub(crate) fn integrated_gradients(
        &mut self,
        image: &[f32],
        classes: &[usize],
        path: Integration,
    ) -> Result<Vec<Vec<f32>>> {
        let plane = image.len() / 3;
        let from = |i: usize| f64::from(path.baseline[i / plane]);
        let mut means = self.mean(classes, path.steps, |step, to| {
            let share = (step as f64 + 0.5) / path.steps as f64;
            for (i, (to, &x)) in to.iter_mut().zip(image).enumerate() {
                *to = (from(i) + share * (f64::from(x) - from(i))) as f32;
            }
        })?;
        for mean in &mut means {
            mean.iter_mut().enumerate().for_each(|(i, g)| *g *= (f64::from(image[i]) - from(i)) as f32);
        }
        Ok(means)
    }

    /// Each target's mean gradient over `count` images, which `make` writes in order.
    fn mean(
        &mut self,
        classes: &[usize],
        count: usize,
        mut make: impl FnMut(usize, &mut [f32]),
    ) -> Result<Vec<Vec<f32>>> {
        let Layout { targets, image } = &self.layout;
        let gradient = |target: &TargetSlots| target.input_gradient.expect("lowered for input gradients");
        let len = targets.first().map_or(0, |target| gradient(target).shape.len());
        let mut sums = vec![vec![0.0_f64; len]; targets.len()];
        let batch = self.runner.capacity();
        for first in (0..count).step_by(batch) {
            let n = batch.min(count - first);
            let outputs = self.runner.run(n, |i, space| {
                make(first + i, &mut space[*image..][..len]);
                targets
                    .iter()
                    .zip(classes)
                    .for_each(|(target, &c)| space[target.class.offset] = TargetInput::Class(c).encode());
                Ok(())
            })?;
            for i in 0..n {
                for (sum, target) in sums.iter_mut().zip(targets) {
                    let got = outputs.read(i, gradient(target));
                    sum.iter_mut().zip(got).for_each(|(sum, &g)| *sum += f64::from(g));
                }
            }
        }
        let mean = |sum: Vec<f64>| sum.into_iter().map(|s| (s / count as f64) as f32).collect();
        Ok(sums.into_iter().map(mean).collect())
    }
}
