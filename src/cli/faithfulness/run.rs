//! Every image measured, in groups, with constant memory.

use crate::dataset::Dataset;
use crate::explain::ExplainRequest;
use crate::faithfulness::{Assessment, Assessor, Pointing, Settings};
use crate::{Error, Result, faithfulness};

use super::objects::Objects;
use super::{Args, report_failure};
use crate::cli::exit_status::Tally;
use crate::cli::images;
use crate::cli::model::LoadedModel;
use crate::cli::timings::Timings;

/// What was measured.
pub struct Measured {
    /// How many images could be used.
    pub tally: Tally,
    /// For each exit and method in turn, its numbers.
    pub rows: Vec<(usize, &'static str, faithfulness::Tally)>,
    /// The first images, for the randomisation check: their inputs and, where they are to be
    /// explained, their labels.
    pub sample: (Vec<f32>, Vec<usize>),
}

/// Measures all images.
///
/// # Errors
/// When the network cannot be asked or the device fails. A bad image only counts as failed.
pub fn all_images(
    args: &Args,
    model: &LoadedModel,
    dataset: &Dataset,
    study: &ExplainRequest,
    settings: &Settings,
    mut objects: Option<&mut Objects>,
) -> Result<Measured> {
    let count = dataset.len();
    let group = images::group_size(model, count);
    let mut assessor = Assessor::new(&model.network, study, settings, &model.device, (group, model.threads))?;
    if let Some(folder) = &args.output {
        super::files::open(folder)?;
    }
    model.announce();
    model.announce_notes(assessor.session().notes());
    let timings = Timings::default();
    let bar = images::progress(model, count);
    let mut measured = Measured { tally: Tally::default(), rows: Vec::new(), sample: Default::default() };
    std::thread::scope(|scope| {
        for (items, photos) in images::groups(scope, model, dataset.items(), group, None, &timings) {
            let photos = images::with_labels(study.target, &items, photos);
            let first = measured.tally.images();
            let numbers: Vec<u64> =
                (first as u64..).zip(&photos).filter(|(_, p)| p.is_ok()).map(|(number, _)| number).collect();
            let assessed = images::answer_group(photos, |inputs, labels| {
                let labels: Vec<usize> = labels.iter().flatten().copied().collect();
                measured.keep(args, inputs, &labels, numbers.len());
                assessor.assess(inputs, &labels, &numbers)
            })?;
            for (item, assessed) in items.iter().zip(assessed) {
                let pointed = assessed.and_then(|(photo, assessments)| {
                    let points = match &mut objects {
                        Some(objects) => objects.point(item, &photo, &assessments)?,
                        None => vec![None; assessments.len()],
                    };
                    Ok((assessments, points))
                });
                measured.tally.count(&item.id, &pointed);
                match pointed {
                    Ok((assessments, points)) => measured.add(&assessments, &points),
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

impl Measured {
    /// Keeps as many of `images` as the randomisation check still wants.
    fn keep(&mut self, args: &Args, inputs: &[f32], labels: &[usize], images: usize) {
        let (kept, kept_labels) = &mut self.sample;
        let len = inputs.len() / images;
        let wanted = args.randomise.map_or(0, usize::from).saturating_sub(kept.len() / len).min(images);
        kept.extend(&inputs[..wanted * len]);
        kept_labels.extend(labels.iter().take(wanted));
    }

    /// Adds an image, and how its maps point.
    fn add(&mut self, assessments: &[Assessment], points: &[Option<Option<Pointing>>]) {
        if self.rows.is_empty() {
            let row = |a: &Assessment| (a.exit, a.method.name(), faithfulness::Tally::default());
            self.rows = assessments.iter().map(row).collect();
        }
        for (((_, _, tally), assessment), pointing) in self.rows.iter_mut().zip(assessments).zip(points) {
            tally.add(assessment);
            if let Some(pointing) = pointing {
                tally.add_pointing(assessment.target, *pointing);
            }
        }
    }
}
