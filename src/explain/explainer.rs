//! The explainer: a request on a device. Images in, explanations out.

use std::collections::VecDeque;

use super::batch_runner::{BatchRunner, bytes_per_image, count_images, non_finite};
use super::explanation::Explanation;
use super::explanations::{Classes, DeviceResults, Explanations, Source};
use super::host_methods::{HostMethods, ends_on_the_device};
use super::layout::Layout;
use super::lowering::{Lowered, Purpose, lower};
use super::progress::Progress;
use super::request::ExplainRequest;
use super::score::Score;
use super::target::{Target, check_class};
use crate::engine::device::Device;
use crate::engine::session::{Session, none_in_flight};
use crate::error::{GraphError, RequestError};
use crate::model::Model;
use crate::{Result, Shape};

/// An [`ExplainRequest`], planned and loaded on a device.
///
/// [`Explainer::explain`] returns explanations that own their elements:
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
///
/// Where many batches follow one another, [`Explainer::submit`] and [`Explainer::wait`] give views of the
/// memory that the device wrote, and a GPU computes the next batch while one is read:
///
/// ```
/// # use msdcam::{Device, DeviceChoice, ExplainRequest, Explainer, Explanations, Model};
/// # fn main() -> msdcam::Result<()> {
/// # let model = Model::pretrained()?;
/// # let device = Device::open(DeviceChoice::Cpu, 1)?;
/// # let request = ExplainRequest { exits: vec![1], ..ExplainRequest::grad_cam(&model) };
/// let mut explainer = Explainer::new(&model, &request, &device, 2)?;
/// let batches = [vec![0.5; 2 * 3 * 32 * 32], vec![0.0; 3 * 32 * 32]]; // two images, then one
/// let mut brightest = Vec::new();
/// let mut read = |explanations: Explanations| {
///     for explanation in (0..explanations.len()).flat_map(|image| explanations.image(image)) {
///         for map in explanation.maps() {
///             brightest.push(map.heatmap.values.iter().copied().fold(0.0, f32::max)); // (H, W)
///         }
///     }
/// };
/// for images in &batches {
///     explainer.submit(images, &[])?;
///     if explainer.is_full() {
///         read(explainer.wait()?);
///     }
/// }
/// while explainer.in_flight() > 0 {
///     read(explainer.wait()?);
/// }
/// assert_eq!(brightest.len(), 3);
/// # Ok(())
/// # }
/// ```
pub struct Explainer {
    target: Target,
    score: Score,
    image: Shape,
    classes: usize,
    main: BatchRunner,
    layout: Layout,
    /// `None` where the device computes all that is requested.
    host: Option<HostMethods>,
    /// In the order of submission.
    in_flight: VecDeque<Batch>,
    /// The batch that was last waited for.
    last: Batch,
    /// Its explanations, where they end on the host.
    explanations: Vec<Vec<Explanation>>,
    /// Batches that are over, for their memory.
    spare: Vec<Batch>,
}

/// What the explanation of a batch needs besides the results of the main plan.
#[derive(Default)]
struct Batch {
    images: usize,
    /// Of each image, for [`Target::Label`].
    labels: Vec<usize>,
    /// The images themselves, for the methods that end on the host.
    inputs: Vec<f32>,
}

impl Explainer {
    /// Plans `request` and loads it on `device`, for batches of up to `batch` images.
    ///
    /// # Errors
    /// As [`ExplainRequest::check`]; when one image takes more than
    /// [`ExplainRequest::max_memory`], or the device fails.
    pub fn new(model: &Model, request: &ExplainRequest, device: &Device, batch: usize) -> Result<Explainer> {
        request.check(model)?;
        let Lowered { plan, targets, image, final_logits } = lower(model, request, Purpose::Explanation)?;
        let host = match ends_on_the_device(request) {
            true => None,
            false => Some(HostMethods::new(model, request, &targets, device)?),
        };
        let batch = batch.min(request.max_memory / bytes_per_image(&plan)).max(1);
        let mut main = BatchRunner::new(plan, device, batch)?;
        host.iter().for_each(|host| main.follow(host.progress()));
        Ok(Explainer {
            target: request.target,
            score: request.score,
            image: model.input_shape(),
            classes: model.classes(),
            main,
            layout: Layout::new(targets, image, final_logits),
            host,
            in_flight: VecDeque::new(),
            last: Batch::default(),
            explanations: Vec::new(),
            spare: Vec::new(),
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
    /// target is [`Target::Label`], a batch is in flight, or the device fails.
    pub fn explain(&mut self, images: &[f32]) -> Result<Vec<Vec<Explanation>>> {
        self.explain_labeled(images, &[])
    }

    /// As [`Explainer::explain`], with the label of each image for [`Target::Label`]; other targets
    /// do not read `labels`.
    ///
    /// # Errors
    /// As [`Explainer::explain`]; when there are more or fewer labels than images, or the model has
    /// no such class.
    pub fn explain_labeled(&mut self, images: &[f32], labels: &[usize]) -> Result<Vec<Vec<Explanation>>> {
        let n = count_images(images, self.image)?;
        self.check_labels(n, labels)?;
        none_in_flight(self.in_flight())?;
        let mut explanations = Vec::with_capacity(n);
        let done = self.explain_in_batches(images, labels, &mut explanations);
        // After an error nothing stays in flight.
        while !self.in_flight.is_empty() {
            let _ = self.finish();
        }
        done.map(|()| explanations)
    }

    fn explain_in_batches(
        &mut self,
        images: &[f32],
        labels: &[usize],
        explanations: &mut Vec<Vec<Explanation>>,
    ) -> Result<()> {
        let capacity = self.capacity();
        for (i, images) in images.chunks(capacity.saturating_mul(self.image.len())).enumerate() {
            let labels = labels.get(i * capacity..).unwrap_or_default();
            self.start(images, labels, i * capacity)?;
            if self.is_full() {
                explanations.append(&mut self.finish()?);
            }
        }
        while !self.in_flight.is_empty() {
            explanations.append(&mut self.finish()?);
        }
        Ok(())
    }

    /// Starts the explanation of a batch of normalized images, (N, 3, H, W), N at most
    /// [`Explainer::capacity`]. `labels` has the class of each image for [`Target::Label`]; other targets do not
    /// read it. Nothing is allocated after the first batches, unless methods end on the host.
    ///
    /// # Errors
    /// As [`Explainer::explain_labeled`]; when [`Explainer::is_full`].
    pub fn submit(&mut self, images: &[f32], labels: &[usize]) -> Result<()> {
        self.check_labels(count_images(images, self.image)?, labels)?;
        self.start(images, labels, 0)
    }

    /// Waits for the batch that was submitted first, and returns its explanations.
    ///
    /// # Errors
    /// When no batch is in flight, or the device fails.
    pub fn wait(&mut self) -> Result<Explanations<'_>> {
        self.end()?;
        Ok(self.results())
    }

    /// The progress of methods that run the model many times for an image.
    pub fn progress(&self) -> Progress {
        self.host.as_ref().map_or_else(Progress::default, |host| host.progress().clone())
    }

    /// Batches that were submitted and not yet waited for.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether a batch has to be waited for before another is submitted. A GPU has room for two, so that it
    /// computes one while the other is prepared or read; the CPU, and smoothing, have room for one.
    pub fn is_full(&self) -> bool {
        let again = self.host.as_ref().is_some_and(HostMethods::runs_again);
        self.in_flight() >= if again { 1 } else { self.session().depth() }
    }

    fn check_labels(&self, images: usize, labels: &[usize]) -> Result<()> {
        if self.target != Target::Label {
            return Ok(());
        }
        if labels.is_empty() {
            return Err(RequestError::NoLabels.into());
        }
        if labels.len() != images {
            return Err(RequestError::LabelCount { given: labels.len(), images }.into());
        }
        labels.iter().try_for_each(|&label| check_class(label, self.classes))
    }

    /// Starts a batch; `first` is the index of its first image in the request.
    fn start(&mut self, images: &[f32], labels: &[usize], first: usize) -> Result<()> {
        let (len, n) = (self.image.len(), images.len() / self.image.len());
        if self.is_full() {
            return Err(GraphError::BatchesInFlight { in_flight: self.in_flight() }.into());
        }
        let mut batch = self.spare.pop().unwrap_or_default();
        batch.images = n;
        batch.labels.clear();
        if self.target == Target::Label {
            batch.labels.extend_from_slice(&labels[..n]);
        }
        if self.host.is_some() {
            batch.inputs.clear();
            batch.inputs.extend_from_slice(images);
        }
        let (classes, layout) = (classes(self.target, &batch), &self.layout);
        let count = layout.targets.len();
        self.main.submit(n, |i, space| {
            let (image, class) = (&images[i * len..][..len], classes.of(i));
            let classes = class.into_iter().flat_map(|class| std::iter::repeat_n(class, count));
            if layout.fill(image, classes, space) { Ok(()) } else { Err(non_finite(image, first + i)) }
        })?;
        self.in_flight.push_back(batch);
        Ok(())
    }

    /// Ends the oldest batch in flight.
    fn end(&mut self) -> Result<()> {
        let Some(batch) = self.in_flight.pop_front() else { return Err(GraphError::NoBatch.into()) };
        self.spare.push(std::mem::replace(&mut self.last, batch));
        self.main.wait()?;
        if let Some(host) = &mut self.host {
            let (main, layout, batch) = (&mut self.main, &self.layout, &self.last);
            self.explanations = host.explain(main, layout, &batch.inputs, classes(self.target, batch))?;
        }
        Ok(())
    }

    /// As [`Explainer::wait`], with explanations that own their elements.
    pub(crate) fn finish(&mut self) -> Result<Vec<Vec<Explanation>>> {
        self.end()?;
        Ok(match self.host {
            Some(_) => std::mem::take(&mut self.explanations),
            None => self.results().to_vec(),
        })
    }

    /// The explanations of the last batch.
    fn results(&self) -> Explanations<'_> {
        let source = match self.host {
            Some(_) => Source::Host(&self.explanations),
            None => Source::Device(DeviceResults {
                outputs: self.main.outputs(),
                layout: &self.layout,
                classes: classes(self.target, &self.last),
                score: self.score,
                size: (self.image.h, self.image.w),
            }),
        };
        Explanations { source, images: self.last.images }
    }
}

/// The class that `target` means for each image of a batch.
fn classes(target: Target, batch: &Batch) -> Classes<'_> {
    match target {
        Target::Class(class) => Classes::Same(class),
        Target::Label => Classes::Given(&batch.labels),
        Target::Predicted | Target::Final | Target::Top(_) => Classes::Selected,
    }
}
