//! A run under way: images are read, asked about, drawn and told about, side by side.

use std::panic::resume_unwind;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};

use indicatif::ProgressBar;
use msdcam::cam::{Finding, Smoothing, Study, Target};
use msdcam::dataset::{Dataset, Item};
use msdcam::run::FlatNames;
use msdcam::{Error, Result};

use super::Args;
use super::draw::{Drawing, File, Style};
use super::folder::Folder;
use super::report;
use super::statuses::Statuses;
use super::view::Findings;
use crate::cli::ask::Asker;
use crate::cli::images::{self, Answered, Photo};
use crate::cli::model::Model;
use crate::cli::outcome::Tally;
use crate::cli::output::{self, Output};
use crate::cli::timings::{Stage, Timings};
use crate::cli::{parallel, records};

/// Some images, and what each exit says about them.
type Group = (Vec<Item>, Vec<Result<Answered<Finding>>>);

/// What all images of a run have in common.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    pub args: &'a Args,
    pub model: &'a Model,
    pub dataset: &'a Dataset,
    pub study: &'a Study,
    pub style: &'a Style,
    pub timings: &'a Timings,
}

/// What a run leaves behind.
pub struct Done {
    pub folder: Folder,
    pub tally: Tally,
    pub statuses: Statuses,
    /// The text of results.jsonl.
    pub results: String,
}

/// Reads, asks and draws side by side: while one group of images is drawn, the network has the next
/// and the one behind it is being read. No more than these three are in memory. The first group is
/// read beside the planning; the folder is touched once nothing stands against the study.
///
/// # Errors
/// When the network cannot be asked, the device fails or a file cannot be written. A bad image is
/// an error of its own, in the results.
pub fn all_images(setting: Setting) -> Result<Done> {
    let Setting { args, model, dataset, study, timings, .. } = setting;
    let group = images::group_size(model, dataset.len());
    std::thread::scope(|scope| {
        // A stage that ends early drops its end of a channel, and its neighbours end too.
        let view = Some(usize::from(args.size));
        let photos = images::groups(scope, model, dataset.items(), group, view, timings);
        let mut asker = timings.time(Stage::Plan, || Asker::new(model, study, group))?;
        let drawer = Drawer::new(setting)?;
        model.announce();
        model.announce_notes(asker.notes());
        let (answer, answered) = sync_channel(0);
        let drawn = scope.spawn(move || drawer.draw_all(answered));
        for (items, photos) in photos {
            let photos = with_labels(study.target, &items, photos);
            let ask = |inputs: &[f32], labels: &[_]| timings.time(Stage::Run, || asker.ask(inputs, labels));
            if answer.send((items, images::answer_group(photos, ask)?)).is_err() {
                break;
            }
        }
        drop(answer);
        drawn.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// A photo whose label is to be explained and that has none is an error of its own.
fn with_labels(target: Target, items: &[Item], photos: Vec<Result<Photo>>) -> Vec<Result<Photo>> {
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

/// Draws and tells about what was found.
struct Drawer<'a> {
    setting: Setting<'a>,
    names: FlatNames,
    bar: ProgressBar,
    output: Output,
    done: Done,
}

impl<'r> Drawer<'r> {
    fn new(setting: Setting<'r>) -> Result<Self> {
        let Setting { args, model, dataset, .. } = setting;
        let folder = Folder::open(&args.output)?;
        Ok(Drawer {
            setting,
            names: FlatNames::default(),
            bar: images::progress(model, dataset.len()),
            output: Output::default(),
            done: Done {
                folder,
                tally: Tally::default(),
                statuses: Statuses::default(),
                results: String::new(),
            },
        })
    }

    /// Draws and tells about every group, in the order in which they come.
    fn draw_all(mut self, groups: Receiver<Group>) -> Result<Done> {
        for (items, answered) in groups {
            let drawings = self.drawings(&items, &answered);
            self.draw(&drawings)?;
            self.tell(&items, &drawings)?;
        }
        self.bar.finish_and_clear();
        Ok(self.done)
    }

    /// How each image is to be drawn, or why it cannot be.
    fn drawings<'a>(
        &mut self,
        items: &[Item],
        answered: &'a [Result<Answered<Finding>>],
    ) -> Vec<Result<Drawing<'a>>>
    where
        'r: 'a,
    {
        let Setting { style, study, .. } = self.setting;
        let drawing = |(item, answered): (&Item, &'a Result<Answered<Finding>>)| {
            let (photo, findings) = answered.as_ref().map_err(Clone::clone)?;
            let path = Path::new(&item.id);
            let title = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let findings = Findings {
                all: findings,
                layers: &style.layers,
                smoothed: study.smoothing != Smoothing::None,
            };
            Ok(Drawing {
                style,
                stem: self.names.stem(&path.file_stem().unwrap_or_default().to_string_lossy()),
                title,
                photo,
                findings,
            })
        };
        items.iter().zip(answered).map(drawing).collect()
    }

    /// Writes all files of a group's images.
    fn draw(&self, drawings: &[Result<Drawing>]) -> Result<()> {
        let files = drawings.iter().flatten().flat_map(|d| d.files().map(move |file| (d, file)));
        let files: Vec<(&Drawing, File)> = files.collect();
        let (folder, timings) = (self.done.folder.path(), self.setting.timings);
        let write = |(drawing, file): &(&Drawing, File)| drawing.write(*file, folder, timings);
        parallel::map(self.setting.model.threads, &files, write).into_iter().collect()
    }

    /// Says what was found, on the terminal and for results.jsonl.
    fn tell(&mut self, items: &[Item], drawings: &[Result<Drawing>]) -> Result<()> {
        let Setting { args, model, .. } = self.setting;
        for (item, drawing) in items.iter().zip(drawings) {
            self.done.tally.count(&item.id, drawing);
            drawing.iter().for_each(|drawing| self.done.statuses.count(drawing));
            self.done.results +=
                &records::line(item, &model.labels, &drawing.as_ref().map(|d| report::found(d, None)));
            let found = drawing.as_ref().map(|d| report::found(d, Some(self.done.folder.path())));
            let text = match &found {
                _ if args.json => records::line(item, &model.labels, &found),
                Ok(found) if !model.quiet => report::for_people(&item.id, found),
                _ => String::new(),
            };
            let output = &mut self.output;
            self.bar.suspend(|| {
                if let Err(error) = &found {
                    output::error(error);
                }
                output.print(&text)
            })?;
            self.bar.inc(1);
        }
        Ok(())
    }
}
