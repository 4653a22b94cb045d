//! The settings that the numbers depend on.

use crate::explain::{ExplainRequest, Score, Target};
use crate::faithfulness::overlap::BRIGHT;
use crate::faithfulness::{Baseline, CurveSettings, RoadSettings, Settings, Ties};
use crate::{Error, Result};
use serde_json::{Value, json};

use super::Args;
use crate::cli::model::LoadedModel;
use crate::cli::values::bytes;

/// How the metrics are made.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "How the metrics are made")]
pub struct SettingArgs {
    /// Leave out what takes most of the time: curves, road, coherency
    #[arg(long, value_enum, value_name = "LIST", value_delimiter = ',')]
    skip: Vec<Part>,
    /// Insertion and deletion: steps [default: one for each row of the network's input, as in RISE]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    steps: Option<u32>,
    /// What deleted pixels become, and pixels before their insertion: zero, mean (of each channel)
    /// or blur [default: zero for deletion and blur for insertion, as in RISE]
    #[arg(long, value_name = "zero|mean|blur")]
    baseline: Option<Baseline>,
    /// Where zero is, for masks and for the baseline: image (black), or input (of the normalised
    /// input, the training images' mean, as in pytorch-grad-cam and torchcam)
    #[arg(long, value_enum, value_name = "image|input", default_value_t = MaskSpace::Image)]
    mask_space: MaskSpace,
    /// Which of equally important pixels goes first: position (the upper, then the left one) or
    /// random
    #[arg(long, value_name = "position|random", default_value = "position")]
    ties: Ties,
    /// ROAD: percentiles above which, or below which, pixels go
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "10,20,30,40,50,60,70,80,90",
        allow_hyphen_values = true
    )]
    percentiles: Vec<f64>,
    /// ROAD: standard deviation of the noise on imputed pixels, of the normalised input
    #[arg(long, value_name = "X", default_value_t = 0.01, allow_hyphen_values = true)]
    road_noise: f64,
    /// The same seed gives the same noise and the same random ties
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Memory for a batch, such as 512M or 2G; the weights are not counted
    #[arg(long, value_name = "BYTES", default_value = "1G", value_parser = bytes)]
    max_memory: usize,
}

/// What can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Curves,
    Road,
    Coherency,
}

/// Where zero is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum MaskSpace {
    Image,
    Input,
}

/// The study of the methods and exits asked for.
///
/// # Errors
/// When the network lacks an exit or a class, or a method does not suit it.
pub fn study(args: &Args, model: &LoadedModel) -> Result<ExplainRequest> {
    let target = Target::parse(&args.class, &model.labels)?;
    if let Target::Top(_) = target {
        let text = format!("class '{}': faithfulness is measured of one class an exit", args.class);
        return Err(Error::usage(text));
    }
    let study = ExplainRequest {
        exits: args.exits.resolve(model.exits())?,
        target,
        score: Score::Logit,
        max_memory: args.settings.max_memory,
        ..ExplainRequest::of(&model.network, &args.methods)
    };
    study.check(&model.network)?;
    Ok(study)
}

impl SettingArgs {
    /// The settings for `model`.
    ///
    /// # Errors
    /// When one makes no sense.
    pub fn settings(&self, model: &LoadedModel) -> Result<Settings> {
        let zero = match self.mask_space {
            MaskSpace::Image => std::array::from_fn(|c| 0.0 - model.mean[c] / model.std[c]),
            MaskSpace::Input => [0.0; 3],
        };
        let wanted = |part: Part| !self.skip.contains(&part);
        let steps = self.steps.map_or(model.input(), |steps| steps as usize);
        let settings = Settings {
            zero,
            curves: wanted(Part::Curves).then(|| CurveSettings {
                steps,
                deletion: self.baseline.unwrap_or(Baseline::Zero),
                insertion: self.baseline.unwrap_or(Baseline::Blur),
            }),
            road: wanted(Part::Road)
                .then(|| RoadSettings { percentiles: self.percentiles.clone(), noise: self.road_noise }),
            coherency: wanted(Part::Coherency),
            ties: self.ties,
            seed: self.seed,
        };
        settings.check()?;
        Ok(settings)
    }

    /// The settings in words and numbers, for JSON.
    pub fn about(&self, settings: &Settings) -> Value {
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
            "agreement_threshold": (f64::from(BRIGHT) * 1e6).round() / 1e6,
        })
    }
}
