//! The pixel methods with their formulas: from gradients at the input to an array (3, H, W).
//!
//! What they show differs. Guided backpropagation and guided Grad-CAM change little when the
//! network's upper layers are replaced by random ones (Adebayo et al. 2018, arXiv 1810.03292):
//! they are sharp because they redraw the image's edges, and say less about the decision than
//! the plain gradient or Grad-CAM.

use crate::engine::bilinear::bilinear;
use crate::engine::device::Device;
use crate::engine::graph::ops::TargetInput;
use crate::engine::plan::Slot;
use crate::explain::batch_runner::{BatchRunner, batch_within};
use crate::explain::lowering::{Lowered, Purpose, TargetSlots, lower};
use crate::explain::method::PixelMethod;
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

/// The array of a method that the study's main run suffices for; `index` is the image's place in it.
pub(crate) fn in_one_pass(
    method: PixelMethod,
    main: &BatchRunner,
    index: usize,
    cell: &TargetSlots,
    image: &[f32],
) -> Vec<f32> {
    let read = |slot: Option<Slot>| slot.map_or(&[][..], |slot| main.read(index, slot));
    let (plain, guided) = (read(cell.input_gradient), read(cell.guided_gradient));
    match method {
        PixelMethod::GradientTimesInput => gradient_times_input(plain, image),
        PixelMethod::GuidedBackprop => guided.to_vec(),
        PixelMethod::GuidedGradCam => {
            let guide = cell.guide.as_ref().expect("lowered for this method").map;
            // The map may be signed. Not `max`: NaN stays NaN.
            let map: Vec<f32> =
                main.read(index, guide).iter().map(|&x| if x < 0.0 { 0.0 } else { x }).collect();
            let shape = cell.guided_gradient.expect("lowered for this method").shape;
            guided_grad_cam(guided, shape, &map, (guide.shape.h, guide.shape.w))
        }
        _ => plain.to_vec(),
    }
}

/// Gradients at the input of many images made from one.
pub(crate) struct InputGradients {
    loaded: BatchRunner,
    layout: Layout,
}

struct Layout {
    cells: Vec<TargetSlots>,
    image: usize,
}

impl InputGradients {
    pub(crate) fn new(model: &Model, study: &ExplainRequest, device: &Device) -> Result<InputGradients> {
        let Lowered { plan, targets: cells, image, .. } = lower(model, study, Purpose::InputGradient)?;
        let batch = batch_within(&plan, study.max_memory, "smooth-grad and integrated-gradients")?;
        let layout = Layout { cells, image: image.offset };
        Ok(InputGradients { loaded: BatchRunner::new(plan, device, batch)?, layout })
    }

    /// SmoothGrad (Smilkov et al. 2017, arXiv 1706.03825): the mean gradient of copies of the image
    /// with normal noise, for each cell's class of `classes`.
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
    /// times the mean gradient on the straight way between them, by the midpoint rule
    /// (`riemann_middle` of captum). They add up to the score's difference, but for the rule's error.
    pub(crate) fn integrated_gradients(
        &mut self,
        image: &[f32],
        classes: &[usize],
        way: Integration,
    ) -> Result<Vec<Vec<f32>>> {
        let plane = image.len() / 3;
        let from = |i: usize| f64::from(way.baseline[i / plane]);
        let mut means = self.mean(classes, way.steps, |step, to| {
            let share = (step as f64 + 0.5) / way.steps as f64;
            for (i, (to, &x)) in to.iter_mut().zip(image).enumerate() {
                *to = (from(i) + share * (f64::from(x) - from(i))) as f32;
            }
        })?;
        for mean in &mut means {
            mean.iter_mut().enumerate().for_each(|(i, g)| *g *= (f64::from(image[i]) - from(i)) as f32);
        }
        Ok(means)
    }

    /// Each cell's mean gradient over `count` images, which `make` writes one after another.
    fn mean(
        &mut self,
        classes: &[usize],
        count: usize,
        mut make: impl FnMut(usize, &mut [f32]),
    ) -> Result<Vec<Vec<f32>>> {
        let Layout { cells, image } = &self.layout;
        let gradient = |cell: &TargetSlots| cell.input_gradient.expect("this plan has it");
        let len = cells.first().map_or(0, |cell| gradient(cell).shape.len());
        let mut sums = vec![vec![0.0_f64; len]; cells.len()];
        let batch = self.loaded.capacity();
        for first in (0..count).step_by(batch) {
            let n = batch.min(count - first);
            self.loaded.run(n, |i, space| {
                make(first + i, &mut space[*image..][..len]);
                cells
                    .iter()
                    .zip(classes)
                    .for_each(|(cell, &c)| space[cell.class.offset] = TargetInput::Class(c).encode());
            })?;
            for i in 0..n {
                for (sum, cell) in sums.iter_mut().zip(cells) {
                    let got = self.loaded.read(i, gradient(cell));
                    sum.iter_mut().zip(got).for_each(|(sum, &g)| *sum += f64::from(g));
                }
            }
        }
        let mean = |sum: Vec<f64>| sum.into_iter().map(|s| (s / count as f64) as f32).collect();
        Ok(sums.into_iter().map(mean).collect())
    }
}
