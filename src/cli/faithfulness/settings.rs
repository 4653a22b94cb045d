//! Options that set the metrics.

use crate::Result;
use crate::faithfulness::{Baseline, CurveSettings, RoadSettings, SALIENT_SHARE, Settings, Ties};
use serde_json::{Value, json};

use crate::cli::model::LoadedModel;
use crate::cli::values::bytes;

/// Options of the metrics.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Metric settings")]
pub struct SettingArgs {
    /// Skip the most expensive metrics: curves, road, coherency
    #[arg(long, value_enum, value_name = "LIST", value_delimiter = ',')]
    skip: Vec<SkippableMetric>,
    /// Steps of insertion and deletion [default: one for each row of the model's input, as in RISE]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    steps: Option<u32>,
    /// Values of deleted pixels, and of pixels before their insertion: zero, mean (of each channel)
    /// or blur [default: zero for deletion and blur for insertion, as in RISE]
    #[arg(long, value_name = "zero|mean|blur")]
    baseline: Option<Baseline>,
    /// Zero for masks and the baseline: image (black), or input (0 of the normalized input, the mean
    /// of the training images, as in pytorch-grad-cam and torchcam)
    #[arg(long, value_enum, value_name = "image|input", default_value_t = MaskSpace::Image)]
    mask_space: MaskSpace,
    /// Order of equally important pixels: position (row by row from the top left) or random
    #[arg(long, value_name = "position|random", default_value = "position")]
    ties: Ties,
    /// Percentiles of ROAD, above or below which pixels are removed
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "10,20,30,40,50,60,70,80,90",
        allow_hyphen_values = true
    )]
    percentiles: Vec<f64>,
    /// Standard deviation of ROAD's noise on imputed pixels, in units of the normalized input
    #[arg(long, value_name = "X", default_value_t = 0.01, allow_hyphen_values = true)]
    road_noise: f64,
    /// Seed of the noise and of random ties
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Memory limit per batch, such as 512M or 2G; excludes the weights
    #[arg(long, value_name = "BYTES", default_value = "1G", value_parser = bytes)]
    pub max_memory: usize,
}

/// Metrics that can be skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum SkippableMetric {
    Curves,
    Road,
    Coherency,
}

/// Space in which zero is defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum MaskSpace {
    Image,
    Input,
}

impl SettingArgs {
    /// The settings for `model`.
    ///
    /// # Errors
    /// When one is out of its range.
    pub fn settings(&self, model: &LoadedModel) -> Result<Settings> {
        let zero = match self.mask_space {
            MaskSpace::Image => model.input.normalized(0.0),
            MaskSpace::Input => [0.0; 3],
        };
        let is_computed = |metric: SkippableMetric| !self.skip.contains(&metric);
        let steps = self.steps.map_or(model.input.height, |steps| steps as usize);
        let settings = Settings {
            zero,
            curves: is_computed(SkippableMetric::Curves).then(|| CurveSettings {
                steps,
                deletion: self.baseline.unwrap_or(Baseline::Zero),
                insertion: self.baseline.unwrap_or(Baseline::Blur),
            }),
            road: is_computed(SkippableMetric::Road)
                .then(|| RoadSettings { percentiles: self.percentiles.clone(), noise: self.road_noise }),
            coherency: is_computed(SkippableMetric::Coherency),
            ties: self.ties,
            seed: self.seed,
        };
        settings.check()?;
        Ok(settings)
    }

    /// The settings as JSON, for reports.
    pub fn to_json(&self, settings: &Settings) -> Value {
        let space = if self.mask_space == MaskSpace::Image { "image" } else { "input" };
        json!({
            "mask_space": space,
            "zero": settings.zero,
            "ties": settings.ties.name(),
            "seed": settings.seed,
            "curves": settings.curves.map(|curves| json!({
                "steps": curves.steps,
                "deletion_baseline": curves.deletion.name(),
                "insertion_baseline": curves.insertion.name(),
            })),
            "road": settings.road.as_ref().map(|road| json!({
                "percentiles": road.percentiles,
                "noise": road.noise,
                "imputation": "noisy linear",
            })),
            "drop": "relative",
            "probability": "softmax",
            "agreement_threshold": (f64::from(SALIENT_SHARE) * 1e6).round() / 1e6,
        })
    }
}
