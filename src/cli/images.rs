//! Groups of photos: read in parallel and ahead of the model, which processes a group as one batch.

use std::collections::VecDeque;
use std::path::Path;
use std::thread::Scope;

use crate::dataset::Item;
use crate::explain::{Classifier, ExitPrediction, Explainer, Explanation, Target};
use crate::imaging::Region;
use crate::imaging::rgb_image::RgbImage;
use crate::model::Model;
use crate::{Error, Result, dataset};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::isolation::{isolated, no_threads};
use super::model::LoadedModel;
use super::timings::{Stage, Timings};

/// A photo, prepared for the model.
#[derive(Debug)]
pub struct Photo {
    /// Width of the upright photo, pixels.
    pub width: usize,
    /// Height of the upright photo, pixels.
    pub height: usize,
    /// The region that the model sees, at the size of an exit's picture.
    pub view: Option<RgbImage>,
    /// The same at the size of the pictures in a sheet.
    pub small_view: Option<RgbImage>,
    /// The model's input before normalization.
    pub seen: RgbImage,
    /// The region of the photo that the model sees.
    pub crop: Region,
    /// The class of the photo, if the data set has labels.
    pub label: Option<usize>,
    tensor: Vec<f32>,
}

/// Longer sides of the views of a photo that pictures are drawn over, in pixels; `None` for those not needed.
#[derive(Debug, Clone, Copy, Default)]
pub struct ViewSides {
    /// That of [`Photo::view`].
    pub picture: Option<usize>,
    /// That of [`Photo::small_view`].
    pub sheet: Option<usize>,
}

/// A photo and the result of each exit for it.
pub type WithResults<A> = (Photo, Vec<A>);

/// Maximum number of reading threads. Each has a file open, and systems limit open files.
const MAX_READERS: usize = 16;

/// The number of photos in a group.
pub fn group_size(model: &LoadedModel, images: usize) -> usize {
    model.threads.clamp(4, 16).min(images.max(1))
}

/// The items of a data set and their photos.
pub type Group = (Vec<Item>, Vec<Result<Photo>>);

/// Reads `items` on threads of `scope`, ahead of the consumer, and yields them in groups of
/// `group`. An unreadable photo is an error of its own.
///
/// # Errors
/// When the system refuses every thread.
pub fn groups<'scope>(
    scope: &'scope Scope<'scope, '_>,
    model: &'scope LoadedModel,
    items: impl Iterator<Item = Item> + Send + 'scope,
    group: usize,
    views: ViewSides,
    timings: &'scope Timings,
) -> Result<impl Iterator<Item = Group> + Send> {
    let read = move |item: Item| {
        let photo = isolated(&item, || read(model, &item, views, timings));
        (item, photo)
    };
    let threads = model.threads.min(MAX_READERS).min(items.size_hint().1.unwrap_or(usize::MAX));
    let photos = dataset::in_order(scope, threads, group, items, read);
    let mut photos = photos.map_err(|refused| no_threads(threads, refused))?;
    Ok(std::iter::from_fn(move || {
        let group: Group = photos.by_ref().take(group).unzip();
        (!group.0.is_empty()).then_some(group)
    }))
}

/// Replaces photos without a label by errors if the target is the label.
pub fn with_labels(target: Target, items: &[Item], photos: Vec<Result<Photo>>) -> Vec<Result<Photo>> {
    let checked = |(item, photo): (&Item, Result<Photo>)| match photo {
        Ok(photo) if target == Target::Label && photo.label.is_none() => {
            Err(Error::refused(Path::new(&item.id), "label", "unknown, but it is the target (--class label)"))
        }
        photo => photo,
    };
    items.iter().zip(photos).map(checked).collect()
}

/// Runs the model on the photos that could be read: `run` gets their concatenated inputs and their
/// labels, and returns the result of each.
///
/// # Errors
/// Those of `run`.
pub fn run_group<A>(
    photos: Vec<Result<Photo>>,
    run: impl FnOnce(&[f32], &[Option<usize>]) -> Result<Vec<Vec<A>>>,
) -> Result<Vec<Result<WithResults<A>>>> {
    let inputs = inputs(&photos);
    let labels: Vec<Option<usize>> = photos.iter().flatten().map(|photo| photo.label).collect();
    let results = if inputs.is_empty() { Vec::new() } else { run(&inputs, &labels)? };
    Ok(with_results(photos, results))
}

/// Each photo that could be read with its results.
fn with_results<A>(photos: Vec<Result<Photo>>, results: Vec<Vec<A>>) -> Vec<Result<WithResults<A>>> {
    let mut results = results.into_iter();
    let mut with_results = |photo| (photo, results.next().expect("one result for each input"));
    photos.into_iter().map(|photo| photo.map(&mut with_results)).collect()
}

/// Explains the photos that could be read.
///
/// # Errors
/// When the device fails, or the target is the label and a photo has none: see [`with_labels`].
pub fn explain_group(
    photos: Vec<Result<Photo>>,
    explainer: &mut Explainer,
) -> Result<Vec<Result<WithResults<Explanation>>>> {
    run_group(photos, |inputs, labels| explainer.run(inputs, labels))
}

/// What runs a model on groups, of which it may have several in flight.
pub trait Runner {
    /// The result of each exit for an image.
    type Found;

    /// The largest group that can be in flight.
    fn capacity(&self) -> usize;

    /// Runs a group of any size to its end: see [`run_group`].
    ///
    /// # Errors
    /// When the device fails.
    fn run(&mut self, inputs: &[f32], labels: &[Option<usize>]) -> Result<Vec<Vec<Self::Found>>>;

    /// Starts a group.
    ///
    /// # Errors
    /// When the device fails.
    fn submit(&mut self, inputs: &[f32], labels: &[Option<usize>]) -> Result<()>;

    /// Whether a group has to end before another starts.
    fn is_full(&self) -> bool;

    /// The results of the oldest group in flight.
    ///
    /// # Errors
    /// When the device fails.
    fn finish(&mut self) -> Result<Vec<Vec<Self::Found>>>;
}

impl Runner for Explainer {
    type Found = Explanation;

    fn capacity(&self) -> usize {
        Explainer::capacity(self)
    }

    fn run(&mut self, inputs: &[f32], labels: &[Option<usize>]) -> Result<Vec<Vec<Explanation>>> {
        self.explain_labeled(inputs, &labels.iter().flatten().copied().collect::<Vec<_>>())
    }

    fn submit(&mut self, inputs: &[f32], labels: &[Option<usize>]) -> Result<()> {
        Explainer::submit(self, inputs, &labels.iter().flatten().copied().collect::<Vec<_>>())
    }

    fn is_full(&self) -> bool {
        Explainer::is_full(self)
    }

    fn finish(&mut self) -> Result<Vec<Vec<Explanation>>> {
        Explainer::finish(self)
    }
}

impl Runner for Classifier {
    type Found = ExitPrediction;

    fn capacity(&self) -> usize {
        Classifier::capacity(self)
    }

    fn run(&mut self, inputs: &[f32], _: &[Option<usize>]) -> Result<Vec<Vec<ExitPrediction>>> {
        self.classify(inputs)
    }

    fn submit(&mut self, inputs: &[f32], _: &[Option<usize>]) -> Result<()> {
        Classifier::submit(self, inputs)
    }

    fn is_full(&self) -> bool {
        Classifier::is_full(self)
    }

    fn finish(&mut self) -> Result<Vec<Vec<ExitPrediction>>> {
        Ok(self.wait()?.to_vec())
    }
}

/// A group that has been through the model.
pub type Finished<A> = (Vec<Item>, Vec<Result<WithResults<A>>>);

/// Groups on their way through the model: a GPU computes one while the next is prepared and the one before is
/// used. They come out in the order in which they go in.
#[derive(Debug, Default)]
pub struct InFlight {
    groups: VecDeque<Group>,
}

impl InFlight {
    /// Sends a group to `runner` and returns the groups that have ended.
    ///
    /// # Errors
    /// When the device fails.
    pub fn push<R: Runner>(
        &mut self,
        (items, photos): Group,
        runner: &mut R,
    ) -> Result<Vec<Finished<R::Found>>> {
        let usable = photos.iter().flatten();
        let (inputs, labels): (Vec<&[f32]>, Vec<Option<usize>>) =
            usable.map(|photo| (&photo.tensor[..], photo.label)).unzip();
        if inputs.is_empty() || inputs.len() > runner.capacity() {
            let mut finished = self.drain(runner)?;
            finished.push((items, run_group(photos, |inputs, labels| runner.run(inputs, labels))?));
            return Ok(finished);
        }
        runner.submit(&inputs.concat(), &labels)?;
        self.groups.push_back((items, photos));
        if runner.is_full() { Ok(self.pop(runner)?.into_iter().collect()) } else { Ok(Vec::new()) }
    }

    /// Waits for all groups.
    ///
    /// # Errors
    /// When the device fails.
    pub fn drain<R: Runner>(&mut self, runner: &mut R) -> Result<Vec<Finished<R::Found>>> {
        std::iter::from_fn(|| self.pop(runner).transpose()).collect()
    }

    fn pop<R: Runner>(&mut self, runner: &mut R) -> Result<Option<Finished<R::Found>>> {
        let Some((items, photos)) = self.groups.pop_front() else { return Ok(None) };
        Ok(Some((items, with_results(photos, runner.finish()?))))
    }
}

/// The inputs of the photos that could be read, one after another.
pub fn inputs(photos: &[Result<Photo>]) -> Vec<f32> {
    photos.iter().flatten().flat_map(|photo| &photo.tensor).copied().collect()
}

fn read(model: &LoadedModel, item: &Item, views: ViewSides, timings: &Timings) -> Result<Photo> {
    let held = timings.time(Stage::Decode, || item.read())?;
    Ok(timings.time(Stage::Resize, || Photo::new(model, &held.image, item.label, views)))
}

impl Photo {
    /// The model's input, (3, H, W).
    pub fn input(&self) -> &[f32] {
        &self.tensor
    }

    /// `image` prepared for `model`.
    pub fn new(model: &Model, image: &RgbImage, label: Option<usize>, views: ViewSides) -> Photo {
        let prepared = model.prepare(image);
        Photo {
            width: image.width,
            height: image.height,
            view: views.picture.map(|side| prepared.view(image, side)),
            small_view: views.sheet.map(|side| prepared.view(image, side)),
            seen: prepared.seen,
            crop: prepared.crop,
            label,
            tensor: prepared.tensor,
        }
    }
}

/// A progress bar on standard error for several images. Indicatif hides it without a terminal.
pub fn progress(model: &LoadedModel, images: usize) -> ProgressBar {
    if model.quiet || images < 2 {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template("{bar:32} {pos}/{len} images, {eta} left")
        .expect("the template is valid");
    ProgressBar::new(images as u64).with_style(style)
}
