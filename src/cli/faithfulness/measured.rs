//! Results of all images of a `msdcam faithfulness` run.

use crate::faithfulness::{MapEvaluation, MetricAccumulator, Pointing};

use crate::cli::exit_status::Tally;

/// Metrics accumulated over the images, and the sample for the randomization check.
pub struct Measured {
    /// Used and failed images.
    pub tally: Tally,
    /// For each exit and method, exits first: the exit, the method's name and its metrics.
    pub rows: Vec<(usize, &'static str, MetricAccumulator)>,
    /// The first images, for the randomization check.
    pub sample: Sample,
}

/// Inputs of the first images.
pub struct Sample {
    /// Maximum number of images.
    pub capacity: usize,
    /// Normalized images, (N, 3, H, W).
    pub inputs: Vec<f32>,
    /// Their labels; complete where the label is the explained class.
    pub labels: Vec<usize>,
}

impl Sample {
    /// Adds images until the sample is full. `inputs` holds `images` images.
    pub fn add(&mut self, inputs: &[f32], labels: &[usize], images: usize) {
        let len = inputs.len() / images;
        let missing = self.capacity.saturating_sub(self.inputs.len() / len).min(images);
        self.inputs.extend(&inputs[..missing * len]);
        self.labels.extend(labels.iter().take(missing));
    }
}

impl Measured {
    /// No images yet; the sample takes up to `capacity` images.
    pub fn new(capacity: usize) -> Measured {
        let sample = Sample { capacity, inputs: Vec::new(), labels: Vec::new() };
        Measured { tally: Tally::default(), rows: Vec::new(), sample }
    }

    /// Adds the maps of an image with their pointing games; see [`super::objects::Objects::point`].
    pub fn add(&mut self, evaluations: &[MapEvaluation], points: &[Option<Option<Pointing>>]) {
        if self.rows.is_empty() {
            let row = |e: &MapEvaluation| (e.exit, e.method.name(), MetricAccumulator::default());
            self.rows = evaluations.iter().map(row).collect();
        }
        for (((.., row), evaluation), pointing) in self.rows.iter_mut().zip(evaluations).zip(points) {
            row.add(evaluation);
            if let Some(pointing) = pointing {
                row.add_pointing(evaluation.target, *pointing);
            }
        }
    }
}
