//! Explanation options: `--method`, `--class` and related ones.

use crate::explain::{ExplainRequest, Fusion, Integration, Method, Noise, Score, Smoothing, Taps, Target};
use crate::{Error, Result};

use super::model::LoadedModel;
use super::values::{bytes, method_name};

/// Explanation options, as given.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Explanation options")]
pub struct MethodArgs {
    /// Methods, separated by commas; all share one forward pass. CAM methods: grad-cam, grad-cam++,
    /// hires-cam, xgrad-cam, layer-cam, grad-cam-elementwise, eigen-cam, eigen-grad-cam, score-cam,
    /// ablation-cam, and cam for a linear layer on the pooled tap. Pixel methods: input-gradient,
    /// guided-backprop, guided-grad-cam, gradient-x-input, smooth-grad, integrated-gradients
    #[arg(
        long = "method",
        value_name = "LIST",
        default_value = "grad-cam",
        value_delimiter = ',',
        value_parser = method_name(),
        hide_possible_values = true
    )]
    methods: Vec<Method>,
    /// Target class: predicted (by each exit), final (predicted by the last exit), label (of the
    /// image), a class by its name or index, or topN (the N likeliest of each exit)
    #[arg(
        long,
        value_name = "predicted|final|label|NAME|INDEX|topN",
        default_value = "predicted",
        allow_hyphen_values = true
    )]
    class: String,
    /// Score of the target that is differentiated: logit, probability, or margin (its logit minus the
    /// largest other one) [default: logit]
    #[arg(long, value_name = "NAME")]
    score: Option<Score>,
    /// Taps at which activation maps are computed: own (the input of each exit's head), all-scales
    /// (the deepest layer of each scale, or of each size), or names such as exit3 or layer12.scale2, separated by
    /// commas; `msdcam inspect` lists them
    #[arg(long, value_name = "LIST", default_value = "own")]
    tap: Taps,
    /// Fuse the maps of several taps: mean, max or refine-cam (their product)
    #[arg(long, value_name = "NAME")]
    fuse: Option<Fusion>,
    /// Test-time smoothing: none, or flips (the mean heatmap of the image and its mirror image, each
    /// multiplied by 0.9, 1 and 1.1)
    #[arg(long, value_name = "none|flips", default_value = "none")]
    smooth: Smoothing,
    /// smooth-grad: number of noisy copies of the image
    #[arg(long, value_name = "N", default_value_t = Noise::default().samples)]
    samples: usize,
    /// smooth-grad: standard deviation of the noise as a fraction of the image's range
    #[arg(long, value_name = "FRACTION", default_value_t = Noise::default().share, allow_hyphen_values = true)]
    noise: f32,
    /// smooth-grad: seed of the noise
    #[arg(long, value_name = "N", default_value_t = Noise::default().seed)]
    seed: u64,
    /// integrated-gradients: number of steps from the baseline to the image
    #[arg(long, value_name = "N", default_value_t = Integration::default().steps)]
    steps: usize,
    /// integrated-gradients: baseline image: zero (of the normalized input, as in captum), black or
    /// white
    #[arg(long, value_name = "zero|black|white", default_value = "zero")]
    baseline: Baseline,
    /// Memory for the batches of score-cam, ablation-cam, smooth-grad and integrated-gradients,
    /// such as 512M or 2G, without the weights
    #[arg(long, value_name = "BYTES", default_value = "1G", value_parser = bytes)]
    max_memory: usize,
}

/// An image of one color.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Baseline {
    Zero,
    Black,
    White,
}

impl MethodArgs {
    /// The request for `exits`, checked against the model. `implied` is the score that another
    /// option implies.
    ///
    /// # Errors
    /// When the model lacks a class or a tap or does not support a method, or `--score` contradicts
    /// the implied score.
    pub fn request(
        &self,
        model: &LoadedModel,
        exits: Vec<usize>,
        implied: Option<Score>,
    ) -> Result<ExplainRequest> {
        let score = match (self.score, implied) {
            (Some(given), Some(implied)) if given != implied => {
                let name = given.name();
                return Err(Error::usage(format!(
                    "score {name}: --minus with a class explains a difference of logits"
                )));
            }
            (given, implied) => given.or(implied).unwrap_or_default(),
        };
        let request = ExplainRequest {
            exits,
            taps: self.tap.clone(),
            target: Target::parse(&self.class, &model.labels)?,
            score,
            fusion: self.fuse,
            smoothing: self.smooth,
            // Only a difference of two classes shows signs.
            signed: implied.is_some(),
            noise: Noise { samples: self.samples, share: self.noise, seed: self.seed },
            integration: Integration { steps: self.steps, baseline: self.baseline.of(model) },
            max_memory: self.max_memory,
            ..ExplainRequest::new(&model.model, &self.methods)
        };
        request.check(&model.model)?;
        match request.fusion {
            Some(fusion) if !request.taps.are_several() => Err(Error::usage(format!(
                "fuse {}: needs several taps; use --tap all-scales or a list",
                fusion.name()
            ))),
            _ => Ok(request),
        }
    }

    /// The settings that determine the results of the request, for the manifest.
    pub fn manifest(&self, request: &ExplainRequest, labels: &[String]) -> serde_json::Value {
        let mut manifest = serde_json::json!({
            "methods": self.methods.iter().map(|m| m.name()).collect::<Vec<_>>(),
            "exits": request.exits,
            "class": request.target.name(labels),
            "score": request.score.name(),
        });
        if !request.maps.is_empty() {
            manifest["tap"] = request.taps.name().into();
            manifest["smooth"] = request.smoothing.name().into();
        }
        if let Some(fusion) = request.fusion {
            manifest["fuse"] = fusion.name().into();
        }
        if request.pixels.contains(&crate::explain::PixelMethod::SmoothGrad) {
            let Noise { samples, share, seed } = request.noise;
            manifest["smooth_grad"] = serde_json::json!({ "samples": samples, "noise": share, "seed": seed });
        }
        if request.pixels.contains(&crate::explain::PixelMethod::IntegratedGradients) {
            let Integration { steps, baseline } = request.integration;
            manifest["integrated_gradients"] =
                serde_json::json!({ "steps": steps, "baseline": baseline, "rule": "midpoint" });
        }
        manifest
    }
}

impl Baseline {
    /// The normalized (red, green, blue) of every pixel.
    fn of(self, model: &LoadedModel) -> [f32; 3] {
        let color = match self {
            Baseline::Zero => return [0.0; 3],
            Baseline::Black => 0.0,
            Baseline::White => 1.0,
        };
        model.input.normalized(color)
    }
}
