//! Every image measured, in groups, with constant memory.

use std::path::Path;

use msdcam::cam::metrics::{self, Assessment, Assessor, Settings};
use msdcam::cam::{Study, Target};
use msdcam::dataset::{Dataset, Item};
use msdcam::{Error, Result};

use super::{Args, report_failure};
use crate::cli::images::{self, Photo};
use crate::cli::model::Model;
use crate::cli::outcome::Tally;
use crate::cli::timings::Timings;

/// What was measured.
pub struct Measured {
    /// How many images could be used.
    pub tally: Tally,
    /// For each exit and method in turn, its numbers.
    pub rows: Vec<(usize, &'static str, metrics::Tally)>,
}

/// Measures all images.
///
/// # Errors
/// When the network cannot be asked or the device fails. A bad image only counts as failed.
pub fn all_images(
    args: &Args,
    model: &Model,
    dataset: &Dataset,
    study: &Study,
    settings: &Settings,
) -> Result<Measured> {
    let count = args.limit.map_or(dataset.len(), |limit| dataset.len().min(limit as usize));
    let group = images::group_size(model, count);
    let mut assessor = Assessor::new(&model.network, study, settings, &model.device, (group, model.threads))?;
    if let Some(folder) = &args.output {
        super::files::open(folder)?;
    }
    model.announce();
    model.announce_notes(assessor.runner().notes());
    let timings = Timings::default();
    let bar = images::progress(model, count);
    let mut measured = Measured { tally: Tally::default(), rows: Vec::new() };
    std::thread::scope(|scope| {
        let items = dataset.items().take(count);
        for (items, photos) in images::groups(scope, model, items, group, None, &timings) {
            let photos: Vec<Result<Photo>> =
                items.iter().zip(photos).map(|(item, photo)| checked(study.target, item, photo)).collect();
            let first = measured.tally.images();
            let numbers: Vec<u64> =
                (first as u64..).zip(&photos).filter(|(_, p)| p.is_ok()).map(|(number, _)| number).collect();
            let assessed = images::answer_group(photos, |inputs, labels| {
                let labels: Vec<usize> = labels.iter().flatten().copied().collect();
                assessor.assess(inputs, &labels, &numbers)
            })?;
            for (item, assessed) in items.iter().zip(assessed) {
                measured.tally.count(&item.id, &assessed);
                match assessed {
                    Ok((_, assessments)) => measured.add(&assessments),
                    Err(error) => bar.suspend(|| report_failure(&error)),
                }
                bar.inc(1);
            }
        }
        Ok::<_, Error>(())
    })?;
    bar.finish_and_clear();
    Ok(measured)
}

/// A photo whose label is to be explained and that has none is an error of its own.
fn checked(target: Target, item: &Item, photo: Result<Photo>) -> Result<Photo> {
    match photo {
        Ok(photo) if target == Target::Label && photo.label.is_none() => Err(Error::refused(
            Path::new(&item.id),
            "label",
            "none is known, and it is to be explained (--class label)",
        )),
        photo => photo,
    }
}

impl Measured {
    /// Adds an image.
    fn add(&mut self, assessments: &[Assessment]) {
        if self.rows.is_empty() {
            let row = |a: &Assessment| (a.exit, a.method.name(), metrics::Tally::default());
            self.rows = assessments.iter().map(row).collect();
        }
        for ((_, _, tally), assessment) in self.rows.iter_mut().zip(assessments) {
            tally.add(assessment);
        }
    }
}
