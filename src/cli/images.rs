//! Photos in groups: read side by side, asked about in one batch.

use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use msdcam::cam::ExitAnswer;
use msdcam::picture::Picture;
use msdcam::{Result, image};

use super::model::Model;
use super::parallel;
use super::timings::{Stage, Timings};

/// A photo, ready for the network.
#[derive(Debug)]
pub struct Photo {
    /// Columns of the file's picture, upright.
    pub width: usize,
    /// Rows of it.
    pub height: usize,
    /// The part that the network sees, in the size asked for.
    pub view: Option<Picture>,
    tensor: Vec<f32>,
}

/// A photo and what each exit says about it.
pub type Answered = (Photo, Vec<ExitAnswer>);

/// How many photos make a group.
pub fn group_size(model: &Model, images: usize) -> usize {
    model.threads.clamp(4, 16).min(images.max(1))
}

/// Reads `paths`; an unreadable photo is an error in its own place only. `view` is the side of
/// [`Photo::view`].
pub fn read_group(
    model: &Model,
    paths: &[PathBuf],
    view: Option<usize>,
    timings: &Timings,
) -> Vec<Result<Photo>> {
    parallel::map(model.threads, paths, |path| read(model, path, view, timings))
}

/// Asks about the photos that could be read: `ask` gets their inputs, one after another, and
/// answers for each.
///
/// # Errors
/// Those of `ask`.
pub fn answer_group(
    photos: Vec<Result<Photo>>,
    ask: impl FnOnce(&[f32]) -> Result<Vec<Vec<ExitAnswer>>>,
) -> Result<Vec<Result<Answered>>> {
    let inputs: Vec<f32> = photos.iter().flatten().flat_map(|photo| &photo.tensor).copied().collect();
    let mut answers = if inputs.is_empty() { Vec::new() } else { ask(&inputs)? }.into_iter();
    let mut answered = |photo| (photo, answers.next().expect("one answer for each input"));
    Ok(photos.into_iter().map(|photo| photo.map(&mut answered)).collect())
}

fn read(model: &Model, path: &Path, view: Option<usize>, timings: &Timings) -> Result<Photo> {
    let picture = timings.time(Stage::Decode, || image::open(path))?;
    Ok(timings.time(Stage::Resize, || {
        let prepared = image::prepare(&picture, model.input(), model.mean, model.std);
        Photo {
            width: picture.width,
            height: picture.height,
            view: view.map(|size| prepared.view(&picture, size)),
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
