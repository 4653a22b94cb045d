//! A study about a network, planned and loaded: images in, findings out.

use super::batch_runner::{BatchRunner, bytes_an_image};
use super::explanation::{ActivationMap, Explanation, PixelAttribution};
use super::lowering::{Lowered, Purpose, TargetSlots, lower};
use super::method::PixelMethod;
use super::request::{ExplainRequest, Smoothing};
use super::target::{Target, best_classes, check_class};
use crate::engine::device::Device;
use crate::engine::graph::ops::TargetInput;
use crate::engine::plan::Slot;
use crate::engine::session::Session;
use crate::explain::methods::gradient_free::{Asked, GradientFree, Runs};
use crate::explain::methods::pixels::InputGradients;
use crate::explain::methods::{cam, pixels, smoothing};
use crate::model::msdnet::Network;
use crate::{Error, Result, Shape};

/// A [`ExplainRequest`] on its device.
///
/// ```
/// # fn main() -> msdcam::Result<()> {
/// use msdcam::explain::{Explainer, ExplainRequest};
/// use msdcam::engine::device::{Device, DeviceChoice};
/// use msdcam::model::msdnet::{built_in_weights, load};
///
/// let network = load(&built_in_weights()?)?;
/// let study = ExplainRequest { exits: vec![1], ..ExplainRequest::of(&network, &["hires-cam".parse()?]) };
/// let device = Device::open(DeviceChoice::Cpu, 1)?;
/// let mut examiner = Explainer::new(&network, &study, &device, 1)?;
/// let findings = examiner.examine(&[0.5; 3 * 32 * 32], &[])?;
/// assert_eq!(findings[0][0].maps[0].heat.values.len(), 32 * 32);
/// # Ok(())
/// # }
/// ```
pub struct Explainer {
    study: ExplainRequest,
    image: Shape,
    classes: usize,
    main: BatchRunner,
    layout: Layout,
    free: GradientFree,
    many: Option<InputGradients>,
}

/// Where things lie in the main plan's spaces.
struct Layout {
    cells: Vec<TargetSlots>,
    image: Slot,
    final_logits: Option<Slot>,
}

/// The class explained in each cell of each image.
type Classes = Vec<Vec<usize>>;

impl Explainer {
    /// Plans `study` and loads it on `device`, for batches of up to `batch` images.
    ///
    /// # Errors
    /// When the network lacks an exit, a class or a tap asked for, a tap does not reach the score, a
    /// method does not suit the network, one image takes more than [`ExplainRequest::max_memory`], or the
    /// device fails.
    pub fn new(
        network: &Network,
        study: &ExplainRequest,
        device: &Device,
        batch: usize,
    ) -> Result<Explainer> {
        study.check(network)?;
        let Lowered { plan, cells, image, final_logits } = lower(network, study, Purpose::Everything)?;
        let many = study.pixels.iter().any(|p| p.reads_many_gradients());
        let plans = GradientFree::plans(study, &cells) + usize::from(many);
        let shared = ExplainRequest { max_memory: study.max_memory / plans.max(1), ..study.clone() };
        let free = GradientFree::new(network, &shared, &cells, device)?;
        let batch = batch.min(study.max_memory / bytes_an_image(&plan)).max(1);
        Ok(Explainer {
            study: study.clone(),
            image: network.graph.shape(network.input),
            classes: network.config.classes,
            main: BatchRunner::new(plan, device, batch)?,
            layout: Layout { cells, image, final_logits },
            free,
            many: if many { Some(InputGradients::new(network, &shared, device)?) } else { None },
        })
    }

    /// The most images of one run; [`Explainer::examine`] divides what is more.
    pub fn capacity(&self) -> usize {
        self.main.session().capacity()
    }

    /// The plan of the forward pass and the gradients, on its device.
    pub fn session(&self) -> &dyn Session {
        self.main.session()
    }

    /// What the study finds about normalised images, (N, 3, H, W): for each image, each exit's
    /// finding, and for [`Target::Top`] each exit's findings by rank. `labels` holds a class for
    /// each image where the study explains labels, and is not read otherwise.
    ///
    /// # Errors
    /// When `images` is not a whole number of images or holds a number that is not finite, a label
    /// is missing or does not exist, or the device fails.
    pub fn examine(&mut self, images: &[f32], labels: &[usize]) -> Result<Vec<Vec<Explanation>>> {
        let len = self.image.len();
        let n = images.len() / len;
        if n == 0 || images.len() != n * len {
            let (given, shape) = (images.len(), self.image);
            return Err(Error::usage(format!("{given} numbers given: an image of {shape} has {len}")));
        }
        if let Some(i) = images.iter().position(|x| !x.is_finite()) {
            return Err(Error::usage(format!("image {}: number {} is {}", i / len + 1, i % len, images[i])));
        }
        if self.study.target == Target::Label {
            if labels.len() != n {
                return Err(Error::usage(format!("{} labels for {n} images", labels.len())));
            }
            labels.iter().try_for_each(|&label| check_class(label, self.classes))?;
        }
        let mut findings = Vec::with_capacity(n);
        let capacity = self.capacity();
        for (i, images) in images.chunks(capacity * len).enumerate() {
            let labels = labels.get(i * capacity..).unwrap_or_default();
            findings.extend(self.examine_batch(images, labels)?);
        }
        Ok(findings)
    }

    fn examine_batch(&mut self, images: &[f32], labels: &[usize]) -> Result<Vec<Vec<Explanation>>> {
        let n = images.len() / self.image.len();
        let given = match self.study.target {
            Target::Class(class) => Some(vec![vec![class; self.layout.cells.len()]; n]),
            Target::Label => Some(labels[..n].iter().map(|&l| vec![l; self.layout.cells.len()]).collect()),
            Target::Predicted | Target::Final | Target::Top(_) => None,
        };
        self.run(images, given.as_ref())?;
        let classes = given.unwrap_or_else(|| (0..n).map(|image| self.chosen(image)).collect());

        let mut findings = self.scores(&classes);
        self.pixels(images, &classes, &mut findings)?;
        self.maps(images, &classes, &mut findings)?;
        if self.study.smoothing == Smoothing::Flips && !self.study.maps.is_empty() {
            self.smooth(images, &classes, &mut findings)?;
        }
        Ok(findings)
    }

    /// Runs the main plan; without `classes` the logits choose.
    fn run(&mut self, images: &[f32], classes: Option<&Classes>) -> Result<()> {
        let (len, layout) = (self.image.len(), &self.layout);
        self.main.run(images.len() / len, |i, space| {
            space[layout.image.offset..][..len].copy_from_slice(&images[i * len..][..len]);
            for (cell, &class) in layout.cells.iter().zip(classes.into_iter().flat_map(|c| &c[i])) {
                space[cell.target.offset] = TargetInput::Class(class).encode();
            }
        })
    }

    /// The class that the logits chose in each cell, by the rule of the graph.
    fn chosen(&self, image: usize) -> Vec<usize> {
        let choose = |cell: &TargetSlots| {
            let deciding = self.layout.final_logits.unwrap_or(cell.logits);
            best_classes(self.main.read(image, deciding), cell.rank + 1)[cell.rank]
        };
        self.layout.cells.iter().map(choose).collect()
    }

    /// What the last run says about each image's classes, without maps and pixels.
    fn scores(&self, classes: &Classes) -> Vec<Vec<Explanation>> {
        let finding = |image: usize, cell: &TargetSlots, target: usize| {
            let logits = self.main.read(image, cell.logits).to_vec();
            Explanation {
                exit: cell.exit,
                rank: cell.rank,
                target,
                score: self.study.score.of(&logits, target) as f32,
                class: best_classes(&logits, 1)[0],
                probabilities: self.main.read(image, cell.probabilities).to_vec(),
                logits,
                maps: Vec::new(),
                fused: Vec::new(),
                pixels: Vec::new(),
            }
        };
        let of_image = |(image, classes): (usize, &Vec<usize>)| {
            let cells = self.layout.cells.iter().zip(classes);
            cells.map(|(cell, &class)| finding(image, cell, class)).collect()
        };
        classes.iter().enumerate().map(of_image).collect()
    }

    /// Makes the maps of the last run.
    fn maps(&mut self, images: &[f32], classes: &Classes, findings: &mut [Vec<Explanation>]) -> Result<()> {
        let size = (self.image.h, self.image.w);
        for (i, (image, findings)) in images.chunks_exact(self.image.len()).zip(findings).enumerate() {
            let mut runs = Runs::new();
            for ((cell, finding), &class) in self.layout.cells.iter().zip(findings).zip(&classes[i]) {
                for &method in &self.study.maps {
                    for tap in &cell.taps {
                        let values = tap.read(&self.main, i);
                        let place = (cell.exit, tap);
                        let found = match cam::in_one_pass(method, values) {
                            Some(found) => found,
                            None => {
                                let logits = self.main.read(i, cell.logits);
                                let asked = Asked { method, image, class, logits, score: self.study.score };
                                self.free.map(asked, place, values, &mut runs)?
                            }
                        };
                        let shape = (values.shape.h, values.shape.w);
                        let mut map = ActivationMap::new(method, &tap.tap.name, shape, found, size);
                        if method.asks_for_class() && !finding.score.is_finite() {
                            map.empty_out();
                        }
                        finding.maps.push(map);
                    }
                }
                finding.fused = match self.study.fusion {
                    Some(fusion) => finding
                        .maps
                        .chunk_by(|a, b| a.method == b.method)
                        .filter_map(|maps| fusion.fuse(&maps.iter().collect::<Vec<_>>()))
                        .collect(),
                    None => Vec::new(),
                };
            }
        }
        Ok(())
    }

    /// Replaces the heat maps by the mean of those of the image's copies.
    fn smooth(&mut self, images: &[f32], classes: &Classes, findings: &mut [Vec<Explanation>]) -> Result<()> {
        let mut copies = Vec::new();
        for copy in smoothing::OTHER_COPIES {
            let changed = copy.apply(images, self.image);
            self.run(&changed, Some(classes))?;
            let mut found = self.scores(classes);
            self.maps(&changed, classes, &mut found)?;
            copies.push((copy, found));
        }
        smoothing::average(findings, &copies);
        Ok(())
    }

    fn pixels(&mut self, images: &[f32], classes: &Classes, findings: &mut [Vec<Explanation>]) -> Result<()> {
        let shape = self.image;
        for (i, (image, findings)) in images.chunks_exact(shape.len()).zip(findings).enumerate() {
            for &method in &self.study.pixels {
                let arrays = match (method, &mut self.many) {
                    (PixelMethod::SmoothGrad, Some(many)) => {
                        many.smooth_grad(image, &classes[i], self.study.noise)?
                    }
                    (PixelMethod::IntegratedGradients, Some(many)) => {
                        many.integrated_gradients(image, &classes[i], self.study.integration)?
                    }
                    _ => {
                        let cells = self.layout.cells.iter();
                        cells
                            .map(|cell| pixels::in_one_pass(method, &self.main, i, cell, image, shape))
                            .collect()
                    }
                };
                for (finding, values) in findings.iter_mut().zip(arrays) {
                    let mut pixels = PixelAttribution::new(method, shape, values);
                    if !finding.score.is_finite() {
                        pixels.empty_out();
                    }
                    finding.pixels.push(pixels);
                }
            }
        }
        Ok(())
    }
}
