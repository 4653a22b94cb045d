//! Photos in groups: read side by side, ahead of the network, and asked about in one batch.

use std::path::Path;
use std::thread::Scope;

use crate::dataset::Item;
use crate::explain::{Explainer, Explanation, Target};
use crate::imaging::Region;
use crate::imaging::rgb_image::RgbImage;
use crate::{Error, Result, dataset};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::model::Model;
use super::timings::{Stage, Timings};

/// A photo, ready for the network.
#[derive(Debug)]
pub struct Photo {
    /// Columns of the file's picture, upright.
    pub width: usize,
    /// Rows of it.
    pub height: usize,
    /// The part that the network sees, in the size asked for.
    pub view: Option<RgbImage>,
    /// What the network sees, as pixels.
    pub seen: RgbImage,
    /// The part of the photo that it sees.
    pub crop: Region,
    /// The class that it shows, where the data set says.
    pub label: Option<usize>,
    tensor: Vec<f32>,
}

/// A photo and what each exit says about it.
pub type Answered<A> = (Photo, Vec<A>);

/// The most threads that read: each has a file open, and a process may open few.
const MOST_READERS: usize = 16;

/// How many photos make a group.
pub fn group_size(model: &Model, images: usize) -> usize {
    model.threads.clamp(4, 16).min(images.max(1))
}

/// Photos of a data set, side by side with what they were read from.
pub type Group = (Vec<Item>, Vec<Result<Photo>>);

/// Reads `items` on threads of `scope`, a little ahead of whoever takes them, and
/// gives them in groups of `group`. An unreadable photo is an error in its own place only. `view`
/// is the side of [`Photo::view`].
pub fn groups<'scope>(
    scope: &'scope Scope<'scope, '_>,
    model: &'scope Model,
    items: impl Iterator<Item = Item> + Send + 'scope,
    group: usize,
    view: Option<usize>,
    timings: &'scope Timings,
) -> impl Iterator<Item = Group> + Send {
    let read = move |item: Item| {
        let photo = read(model, &item, view, timings);
        (item, photo)
    };
    let threads = model.threads.min(MOST_READERS).min(items.size_hint().1.unwrap_or(usize::MAX));
    let mut photos = dataset::in_order(scope, threads, group, items, read);
    std::iter::from_fn(move || {
        let group: Group = photos.by_ref().take(group).unzip();
        (!group.0.is_empty()).then_some(group)
    })
}

/// A photo whose label is to be explained and that has none is an error of its own.
pub fn with_labels(target: Target, items: &[Item], photos: Vec<Result<Photo>>) -> Vec<Result<Photo>> {
    let checked = |(item, photo): (&Item, Result<Photo>)| match photo {
        Ok(photo) if target == Target::Label && photo.label.is_none() => Err(Error::refused(
            Path::new(&item.id),
            "label",
            "none is known, and it is to be explained (--class label)",
        )),
        photo => photo,
    };
    items.iter().zip(photos).map(checked).collect()
}

/// Asks about the photos that could be read: `ask` gets their inputs, one after another, with their
/// labels, and answers for each.
///
/// # Errors
/// Those of `ask`.
pub fn answer_group<A>(
    photos: Vec<Result<Photo>>,
    ask: impl FnOnce(&[f32], &[Option<usize>]) -> Result<Vec<Vec<A>>>,
) -> Result<Vec<Result<Answered<A>>>> {
    let usable = || photos.iter().flatten();
    let inputs: Vec<f32> = usable().flat_map(|photo| &photo.tensor).copied().collect();
    let labels: Vec<Option<usize>> = usable().map(|photo| photo.label).collect();
    let mut answers = if inputs.is_empty() { Vec::new() } else { ask(&inputs, &labels)? }.into_iter();
    let mut answered = |photo| (photo, answers.next().expect("one answer for each input"));
    Ok(photos.into_iter().map(|photo| photo.map(&mut answered)).collect())
}

/// Explains the photos that could be read.
///
/// # Errors
/// When the device fails, or a label is to be explained that a photo does not have: see
/// [`with_labels`].
pub fn explain_group(
    photos: Vec<Result<Photo>>,
    explainer: &mut Explainer,
) -> Result<Vec<Result<Answered<Explanation>>>> {
    answer_group(photos, |inputs, labels| {
        let labels: Vec<usize> = labels.iter().flatten().copied().collect();
        explainer.explain_labeled(inputs, &labels)
    })
}

fn read(model: &Model, item: &Item, view: Option<usize>, timings: &Timings) -> Result<Photo> {
    let picture = timings.time(Stage::Decode, || item.read())?;
    Ok(timings.time(Stage::Resize, || {
        let prepared = model.network.prepare(&picture);
        Photo {
            width: picture.width,
            height: picture.height,
            view: view.map(|size| prepared.view(&picture, size)),
            seen: prepared.seen,
            crop: prepared.crop,
            label: item.label,
            tensor: prepared.tensor,
        }
    }))
}

/// A bar on standard error for several images; indicatif hides it where there is no terminal.
pub fn progress(model: &Model, images: usize) -> ProgressBar {
    if model.quiet || images < 2 {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template("{bar:32} {pos}/{len} images, {eta} left")
        .expect("the template is sound");
    ProgressBar::new(images as u64).with_style(style)
}
