//! A study's maps, measured.

use super::assessment::{Agreement, Assessment};
use super::evaluator::{Measurer, Subject, mask};
use super::saliency::Saliency;
use super::settings::Settings;
use super::{centre_of_mass, coherency, overlap, similarity};
use crate::engine::device::Device;
use crate::engine::session::Session;
use crate::explain::{ExplainRequest, Explainer, Explanation, Method, Taps, Target};
use crate::imaging::heatmap::MapStatus;
use crate::model::Model;
use crate::{Error, Result};

/// A [`ExplainRequest`]'s maps and what is measured of them, on a device.
pub struct Assessor {
    zero: [f32; 3],
    /// The exits asked for; the examiner answers for the last exit too.
    exits: Vec<usize>,
    methods: Vec<Method>,
    examiner: Explainer,
    measurer: Measurer,
    /// For each exit and method in turn, who explains masked images; none where coherency is not
    /// wanted.
    again: Vec<Explainer>,
}

impl Assessor {
    /// Plans and loads everything on `device`, for batches of up to `batch` images; what needs no
    /// network runs on `threads` threads.
    ///
    /// # Errors
    /// As [`Explainer::new`] and [`Measurer::new`]; and when `study` fuses maps, takes them elsewhere
    /// than at each exit's own tap, or has several classes an exit.
    pub fn new(
        model: &Model,
        study: &ExplainRequest,
        settings: &Settings,
        device: &Device,
        (batch, threads): (usize, usize),
    ) -> Result<Assessor> {
        if study.fusion.is_some() || study.taps != Taps::Exit || study.target.ranks() != 1 {
            return Err(Error::usage("faithfulness is measured of one map for each exit and method"));
        }
        let resources = (study.max_memory, threads);
        let measurer = Measurer::new(model, &study.exits, settings, device, resources)?;
        let mut all = study.clone();
        let last = model.exits.len();
        if !all.exits.contains(&last) {
            all.exits.push(last);
        }
        let methods: Vec<Method> = methods_of(study).collect();
        let again = |exit: usize, method: Method| {
            let one = ExplainRequest { exits: vec![exit], target: Target::Label, ..of_method(study, method) };
            Explainer::new(model, &one, device, batch)
        };
        let rows = study.exits.iter().flat_map(|&exit| methods.iter().map(move |&method| (exit, method)));
        let rows = rows.filter(|_| settings.coherency);
        Ok(Assessor {
            zero: settings.zero,
            exits: study.exits.clone(),
            examiner: Explainer::new(model, &all, device, batch)?,
            measurer,
            again: rows.map(|(exit, method)| again(exit, method)).collect::<Result<_>>()?,
            methods,
        })
    }

    /// The plan of the maps on its device.
    pub fn session(&self) -> &dyn Session {
        self.examiner.session()
    }

    /// Measures the maps of normalised images, (N, 3, H, W): for each image, each exit's
    /// assessments by method. `labels` is as for [`Explainer::explain_labeled`]; `numbers` holds each image's
    /// number in its data set, with which its noise is drawn.
    ///
    /// # Errors
    /// As [`Explainer::explain_labeled`].
    ///
    /// # Panics
    /// When there are not as many numbers as images.
    pub fn assess(
        &mut self,
        images: &[f32],
        labels: &[usize],
        numbers: &[u64],
    ) -> Result<Vec<Vec<Assessment>>> {
        let findings = self.examiner.explain_labeled(images, labels)?;
        assert_eq!(findings.len(), numbers.len(), "images and their numbers");
        let mut table: Vec<Vec<Assessment>> = findings.iter().map(|found| self.rows(found)).collect();
        let len = images.len() / numbers.len();
        for row in 0..self.exits.len() * self.methods.len() {
            let mut subjects = Vec::with_capacity(numbers.len());
            for ((image, &number), rows) in images.chunks_exact(len).zip(numbers).zip(&table) {
                let Assessment { target: class, status, saliency, .. } = &rows[row];
                if *status == MapStatus::Ok {
                    subjects.push(Subject { number, image, heat: &saliency.heat.values, class: *class });
                }
            }
            let measures = self.measurer.measure(self.exits[row / self.methods.len()], &subjects)?;
            let coherencies = match self.again.get_mut(row) {
                Some(examiner) => coherencies(examiner, &subjects, self.zero)?,
                None => vec![None; subjects.len()],
            };
            let mut found = measures.into_iter().zip(coherencies);
            let last = findings.iter().map(|found| found.last().expect("an exit is asked for"));
            for (rows, last) in table.iter_mut().zip(last) {
                let assessment = &mut rows[row];
                if assessment.status != MapStatus::Ok {
                    continue;
                }
                let (measures, coherency) = found.next().expect("one for each subject");
                let Some(mut measures) = measures else {
                    assessment.status = MapStatus::Nonfinite;
                    continue;
                };
                measures.coherency = coherency;
                let of_last = &Saliency::all(last)[row % self.methods.len()];
                let same_class = assessment.target == last.target;
                measures.agreement = agreement(&assessment.saliency, of_last, same_class);
                assessment.measures = Some(measures);
            }
        }
        Ok(table)
    }

    /// An image's maps, not measured yet.
    fn rows(&self, findings: &[Explanation]) -> Vec<Assessment> {
        let asked = findings.iter().filter(|finding| self.exits.contains(&finding.prediction.exit));
        let of_exit = |finding: &Explanation| {
            let (exit, target, class) = (finding.prediction.exit, finding.target, finding.prediction.class);
            let assessment = |(saliency, &method): (Saliency, &Method)| {
                let status = saliency.heat.status;
                Assessment { exit, method, target, class, saliency, status, measures: None }
            };
            Saliency::all(finding).into_iter().zip(&self.methods).map(assessment).collect::<Vec<_>>()
        };
        asked.flat_map(of_exit).collect()
    }
}

/// The coherency of each subject: `examiner` explains the masked images.
fn coherencies(examiner: &mut Explainer, subjects: &[Subject], zero: [f32; 3]) -> Result<Vec<Option<f64>>> {
    if subjects.is_empty() {
        return Ok(Vec::new());
    }
    let len = subjects[0].image.len();
    let mut masked = vec![0.0; subjects.len() * len];
    for (subject, out) in subjects.iter().zip(masked.chunks_exact_mut(len)) {
        mask(subject.image, subject.heat, zero, out);
    }
    let classes: Vec<usize> = subjects.iter().map(|subject| subject.class).collect();
    let findings = examiner.explain_labeled(&masked, &classes)?;
    let of_subject = |(subject, found): (&Subject, &Vec<Explanation>)| {
        let heat = &Saliency::all(&found[0])[0].heat;
        if heat.status == MapStatus::Ok { coherency::coherency(subject.heat, &heat.values) } else { None }
    };
    Ok(subjects.iter().zip(&findings).map(of_subject).collect())
}

fn agreement(map: &Saliency, of_last: &Saliency, same_class: bool) -> Option<Agreement> {
    let (a, b) = (&map.heat.values, &of_last.heat.values);
    if of_last.heat.status != MapStatus::Ok {
        return None;
    }
    Some(Agreement {
        same_class,
        spearman: similarity::spearman(a, b)?,
        overlap: overlap::overlap(a, b, overlap::BRIGHT)?,
        shift: centre_of_mass::shift(a, b, map.heat.width)?,
    })
}

/// The study's methods, in the order of [`Saliency::all`].
fn methods_of(study: &ExplainRequest) -> impl Iterator<Item = Method> {
    let maps = study.maps.iter().map(|&map| Method::Map(map));
    maps.chain(study.pixels.iter().map(|&pixels| Method::Pixels(pixels)))
}

/// `study` with one of its methods.
fn of_method(study: &ExplainRequest, method: Method) -> ExplainRequest {
    let (maps, pixels) = match method {
        Method::Map(map) => (vec![map], Vec::new()),
        Method::Pixels(pixels) => (Vec::new(), vec![pixels]),
    };
    ExplainRequest { maps, pixels, ..study.clone() }
}
