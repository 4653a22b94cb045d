//! A run under way: images are read, asked about, drawn and told about, side by side.

use std::panic::resume_unwind;
use std::sync::mpsc::sync_channel;

use crate::Result;
use crate::dataset::{Dataset, Item};
use crate::explain::{ExplainRequest, Explainer};
use crate::run::Summary;

use super::Args;
use super::artifacts::Style;
use super::difference::Minus;
use super::selected::{Choosing, Seen};
use super::sink::{Store, Work};
use super::statuses::Statuses;
use super::writer::Drawer;
use crate::cli::exit_status::Tally;
use crate::cli::images;
use crate::cli::images::Photo;
use crate::cli::model::Model;
use crate::cli::run::{Interrupt, ResolvedSelection};
use crate::cli::timings::{Stage, Timings};

/// Some images, and what is known of each.
pub type Group = (Vec<Item>, Vec<Result<(Photo, Seen)>>);

/// What all images of a run have in common.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    pub args: &'a Args,
    pub model: &'a Model,
    pub dataset: &'a Dataset,
    /// Whether it is a set, and not photos by name.
    pub is_set: bool,
    pub study: &'a ExplainRequest,
    /// What is taken away from its maps, if there are to be differences.
    pub minus: Option<Minus>,
    pub style: &'a Style,
    pub timings: &'a Timings,
}

/// What a run leaves behind.
pub struct Done {
    pub store: Store,
    pub tally: Tally,
    pub statuses: Statuses,
    /// The exit code, if a signal ended it.
    pub stopped: Option<u8>,
}

/// When the work was done.
pub enum Ended {
    Now(Box<Done>),
    /// By an earlier start.
    Before(Summary),
}

/// Reads, asks and draws side by side: while one group of images is drawn, the network has the next
/// and the one behind it is being read. No more than these three are in memory. The first group of
/// photos is read beside the planning; the folder is touched once nothing stands against the study.
///
/// # Errors
/// When the network cannot be asked, the device fails or a file cannot be written. A bad image is
/// an error of its own, in the results.
pub fn all_images(setting: Setting, chooser: Option<ResolvedSelection>) -> Result<Ended> {
    let Setting { model, dataset, study, timings, .. } = setting;
    let group = images::group_size(model, dataset.len());
    std::thread::scope(|scope| {
        // A stage that ends early drops its end of a channel, and its neighbours end too.
        let read = |numbers: Vec<usize>| {
            let items = numbers.into_iter().map(|number| dataset.item(number));
            images::groups(scope, model, items, group, Some(setting.style.looks.side), timings)
        };
        let early = (!setting.is_set).then(|| read((0..dataset.len()).collect()));
        let mut explainer =
            timings.time(Stage::Plan, || Explainer::new(&model.network, study, &model.device, group))?;
        let choosing = chooser.map(|chooser| Choosing::new(model, chooser, &study.exits, group));
        let mut choosing = choosing.transpose()?;
        let (numbers, store) = match Store::open(setting)? {
            Work::Finished(summary) => return Ok(Ended::Before(summary)),
            Work::Pending(numbers, store) => (numbers, store),
        };
        let interrupt = if setting.is_set { Interrupt::watch()? } else { Interrupt::default() };
        let drawer = Drawer::new(setting, store, numbers.len());
        model.announce();
        model.announce_notes(explainer.session().notes());
        let photos = early.unwrap_or_else(|| read(numbers));
        let (answer, answered) = sync_channel(0);
        let drawn = scope.spawn(move || drawer.draw_all(answered));
        for (items, photos) in photos {
            if interrupt.code().is_some() {
                break;
            }
            let photos = images::with_labels(study.target, &items, photos);
            let seen = timings.time(Stage::Run, || match &mut choosing {
                Some(choosing) => choosing.ask(photos, &mut explainer),
                None => explained(photos, &mut explainer),
            });
            if answer.send((items, seen?)).is_err() {
                break;
            }
        }
        drop(answer);
        let done = drawn.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        Ok(Ended::Now(Box::new(Done { stopped: interrupt.code(), ..done })))
    })
}

/// What is found in all of `photos`.
fn explained(photos: Vec<Result<Photo>>, explainer: &mut Explainer) -> Result<Vec<Result<(Photo, Seen)>>> {
    let answered = images::explain_group(photos, explainer)?;
    let explained = |(photo, findings)| (photo, Seen::Explained(findings));
    Ok(answered.into_iter().map(|answered| answered.map(explained)).collect())
}
