//! The last stage of a run: pictures, rows of the results, and what is said on the terminal.

use std::path::Path;
use std::sync::mpsc::Receiver;

use crate::dataset::Item;
use crate::explain::{ExitPrediction, Smoothing};
use crate::run::WrittenFile;
use crate::{Error, Result};
use indicatif::ProgressBar;

use super::artifacts::{Drawing, File};
use super::layer_view::Explanations;
use super::pipeline::{Done, Group, Setting};
use super::record;
use super::record::Found;
use super::selected::Seen;
use super::sink::Store;
use super::statuses::Statuses;
use crate::cli::exit_status::Tally;
use crate::cli::images::Photo;
use crate::cli::output::Output;
use crate::cli::timings::Stage;
use crate::cli::{images, output, parallel, records};

/// Draws and tells about what was found.
pub struct Drawer<'a> {
    setting: Setting<'a>,
    bar: ProgressBar,
    output: Output,
    done: Done,
}

/// What an image's row is about.
enum Shown<'a> {
    Drawing(Drawing<'a>),
    PassedOver(&'a Photo, &'a [ExitPrediction]),
}

impl<'r> Drawer<'r> {
    /// Draws `images` images into `store`.
    pub fn new(setting: Setting<'r>, store: Store, images: usize) -> Self {
        let done = Done { store, tally: Tally::default(), statuses: Statuses::default(), stopped: None };
        Drawer { setting, bar: images::progress(setting.model, images), output: Output::default(), done }
    }

    /// Draws and tells about every group, in the order in which they come.
    ///
    /// # Errors
    /// When something cannot be written.
    pub fn draw_all(mut self, groups: Receiver<Group>) -> Result<Done> {
        for (items, seen) in groups {
            let shown = self.shown(&items, &seen);
            let files = self.draw(&shown);
            for ((item, shown), files) in items.iter().zip(shown).zip(files) {
                self.tell(item, &shown, files?)?;
            }
        }
        self.bar.finish_and_clear();
        Ok(self.done)
    }

    /// What is to be shown of each image, or why nothing can be.
    fn shown<'a>(&mut self, items: &[Item], seen: &'a [Result<(Photo, Seen)>]) -> Vec<Result<Shown<'a>>>
    where
        'r: 'a,
    {
        let Setting { style, study, .. } = self.setting;
        let shown = |(item, seen): (&Item, &'a Result<(Photo, Seen)>)| {
            // Named whatever became of it, so that the names depend on the set alone.
            let stem = self.done.store.stem(item);
            let (photo, seen) = seen.as_ref().map_err(Clone::clone)?;
            let findings = match seen {
                Seen::Explained(findings) => findings,
                Seen::PassedOver(answers) => return Ok(Shown::PassedOver(photo, answers)),
            };
            let title = Path::new(&item.id).file_name().unwrap_or_default().to_string_lossy().into_owned();
            let findings = Explanations {
                all: findings,
                layers: &style.layers,
                smoothed: study.smoothing != Smoothing::None,
            };
            Ok(Shown::Drawing(Drawing { style, stem, title, photo, findings }))
        };
        items.iter().zip(seen).map(shown).collect()
    }

    /// Writes all files of a group's images.
    fn draw(&self, shown: &[Result<Shown>]) -> Vec<Result<Vec<WrittenFile>>> {
        let drawings = || {
            shown.iter().map(|shown| match shown {
                Ok(Shown::Drawing(drawing)) => Some(drawing),
                _ => None,
            })
        };
        let files = drawings().flatten().flat_map(|d| d.files().into_iter().map(move |file| (d, file)));
        let files: Vec<(&Drawing, File)> = files.collect();
        let (store, timings) = (&self.done.store, self.setting.timings);
        let write = |(drawing, file): &(&Drawing, File)| {
            let bytes = drawing.bytes(*file, timings);
            timings.time(Stage::Write, || store.write(drawing.name(*file), &bytes))
        };
        let mut written = parallel::map(self.setting.model.threads, &files, write).into_iter();
        let files_of = |drawing: Option<&Drawing>| drawing.map_or(0, |drawing| drawing.files().len());
        // All of them, also after an error: each image has its own.
        let take = |count| written.by_ref().take(count).collect::<Vec<_>>().into_iter().collect();
        drawings().map(files_of).map(take).collect()
    }

    /// Says what was found in an image whose `files` are written, in the results and on the terminal.
    fn tell(&mut self, item: &Item, shown: &Result<Shown>, files: Vec<WrittenFile>) -> Result<()> {
        let Setting { args, model, is_set, .. } = self.setting;
        self.done.tally.count(&item.id, shown);
        if let Ok(Shown::Drawing(drawing)) = shown {
            self.done.statuses.count(drawing);
        }
        let line = |found: &Result<Found, &Error>| records::line(item, &model.labels, found);
        let row = line(&self.found(shown, None));
        self.done.store.record(item, shown.is_err(), files, &row)?;
        let found = self.found(shown, Some(self.done.store.path()));
        let text = match &found {
            _ if args.json => line(&found),
            Ok(found) if !model.quiet && !is_set => record::for_people(&item.id, found),
            _ => String::new(),
        };
        let output = &mut self.output;
        self.bar.suspend(|| {
            if let Err(error) = found {
                output::error(error);
            }
            output.print(&text)
        })?;
        self.bar.inc(1);
        Ok(())
    }

    /// What was found; file names with the folder where `folder` is given.
    fn found<'e>(&self, shown: &'e Result<Shown>, folder: Option<&Path>) -> Result<Found, &'e Error> {
        shown.as_ref().map(|shown| match shown {
            Shown::Drawing(drawing) => record::found(drawing, folder),
            Shown::PassedOver(photo, answers) => {
                record::passed_over(photo, answers, &self.setting.model.labels)
            }
        })
    }
}
