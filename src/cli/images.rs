//! Groups of photos: read in parallel and ahead of the model, which processes a group as one batch.

use std::path::Path;
use std::thread::Scope;

use crate::dataset::Item;
use crate::explain::{Explainer, Explanation, Target};
use crate::imaging::Region;
use crate::imaging::rgb_image::RgbImage;
use crate::{Error, Result, dataset};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::model::LoadedModel;
use super::timings::{Stage, Timings};

/// A photo, prepared for the model.
#[derive(Debug)]
pub struct Photo {
    /// Width of the upright photo, pixels.
    pub width: usize,
    /// Height of the upright photo, pixels.
    pub height: usize,
    /// The region that the model sees, at the requested size.
    pub view: Option<RgbImage>,
    /// The model's input before normalization.
    pub seen: RgbImage,
    /// The region of the photo that the model sees.
    pub crop: Region,
    /// The class of the photo, if the data set has labels.
    pub label: Option<usize>,
    tensor: Vec<f32>,
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
/// `group`. An unreadable photo is an error of its own. `view` is the side of [`Photo::view`].
pub fn groups<'scope>(
    scope: &'scope Scope<'scope, '_>,
    model: &'scope LoadedModel,
    items: impl Iterator<Item = Item> + Send + 'scope,
    group: usize,
    view: Option<usize>,
    timings: &'scope Timings,
) -> impl Iterator<Item = Group> + Send {
    let read = move |item: Item| {
        let photo = read(model, &item, view, timings);
        (item, photo)
    };
    let threads = model.threads.min(MAX_READERS).min(items.size_hint().1.unwrap_or(usize::MAX));
    let mut photos = dataset::in_order(scope, threads, group, items, read);
    std::iter::from_fn(move || {
        let group: Group = photos.by_ref().take(group).unzip();
        (!group.0.is_empty()).then_some(group)
    })
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
    let usable = || photos.iter().flatten();
    let inputs: Vec<f32> = usable().flat_map(|photo| &photo.tensor).copied().collect();
    let labels: Vec<Option<usize>> = usable().map(|photo| photo.label).collect();
    let mut results = if inputs.is_empty() { Vec::new() } else { run(&inputs, &labels)? }.into_iter();
    let mut with_results = |photo| (photo, results.next().expect("one result for each input"));
    Ok(photos.into_iter().map(|photo| photo.map(&mut with_results)).collect())
}

/// Explains the photos that could be read.
///
/// # Errors
/// When the device fails, or the target is the label and a photo has none: see [`with_labels`].
pub fn explain_group(
    photos: Vec<Result<Photo>>,
    explainer: &mut Explainer,
) -> Result<Vec<Result<WithResults<Explanation>>>> {
    run_group(photos, |inputs, labels| {
        let labels: Vec<usize> = labels.iter().flatten().copied().collect();
        explainer.explain_labeled(inputs, &labels)
    })
}

fn read(model: &LoadedModel, item: &Item, view: Option<usize>, timings: &Timings) -> Result<Photo> {
    let image = timings.time(Stage::Decode, || item.read())?;
    Ok(timings.time(Stage::Resize, || {
        let prepared = model.prepare(&image);
        Photo {
            width: image.width,
            height: image.height,
            view: view.map(|size| prepared.view(&image, size)),
            seen: prepared.seen,
            crop: prepared.crop,
            label: item.label,
            tensor: prepared.tensor,
        }
    }))
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
