//! What is asked of the network: `--method`, `--class` and what belongs to them.

use crate::explain::{ExplainRequest, Fusion, Integration, Method, Noise, Score, Smoothing, Taps, Target};
use crate::{Error, Result};

use super::model::Model;

/// A study in words.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "What is explained, and how")]
pub struct MethodArgs {
    /// Methods, with commas between them; all share one forward pass. Heat maps: grad-cam,
    /// grad-cam++, hires-cam, xgrad-cam, layer-cam, grad-cam-elementwise, eigen-cam,
    /// eigen-grad-cam, score-cam, ablation-cam, and cam where one linear layer reads the pooled
    /// tap. To the pixels: input-gradient, guided-backprop, guided-grad-cam, gradient-x-input,
    /// smooth-grad, integrated-gradients
    #[arg(long = "method", value_name = "LIST", default_value = "grad-cam", value_delimiter = ',')]
    methods: Vec<Method>,
    /// The class that is explained: predicted (by each exit itself), final (predicted by the last
    /// exit), label (the image's own), a class by its name or number, or top3 for each exit's
    /// three likeliest
    #[arg(
        long,
        value_name = "predicted|final|label|NAME|INDEX|topN",
        default_value = "predicted",
        allow_hyphen_values = true
    )]
    class: String,
    /// The number of the class that is explained: logit, probability, or margin, its logit minus the
    /// best other class's [default: logit]
    #[arg(long, value_name = "NAME")]
    score: Option<Score>,
    /// Where maps are made: own (what each exit's classifier reads), all-scales (the deepest layer
    /// of each scale), or names with commas between them such as exit3 or layer12.scale2, which
    /// `msdcam inspect` lists
    #[arg(long, value_name = "LIST", default_value = "own")]
    tap: Taps,
    /// One map of the maps of several taps: mean, max or refine-cam (their product)
    #[arg(long, value_name = "NAME")]
    fuse: Option<Fusion>,
    /// flips: each heat map is the mean of six, of the image and its mirror image, each times 0.9,
    /// 1 and 1.1
    #[arg(long, value_name = "none|flips", default_value = "none")]
    smooth: Smoothing,
    /// smooth-grad: noisy copies of the image
    #[arg(long, value_name = "N", default_value_t = Noise::default().samples)]
    samples: usize,
    /// smooth-grad: standard deviation of the noise, as a share of the image's range
    #[arg(long, value_name = "SHARE", default_value_t = Noise::default().share, allow_hyphen_values = true)]
    noise: f32,
    /// smooth-grad: the same seed gives the same noise
    #[arg(long, value_name = "N", default_value_t = Noise::default().seed)]
    seed: u64,
    /// integrated-gradients: steps on the way from the baseline to the image
    #[arg(long, value_name = "N", default_value_t = Integration::default().steps)]
    steps: usize,
    /// integrated-gradients: where the way begins: zero in the normalised input, as captum has it,
    /// black or white
    #[arg(long, value_name = "zero|black|white", default_value = "zero")]
    baseline: Baseline,
    /// Memory for the batches of score-cam, ablation-cam, smooth-grad and integrated-gradients
    /// together, such as 512M or 2G; the weights are not counted
    #[arg(long, value_name = "BYTES", default_value = "1G", value_parser = bytes)]
    max_memory: usize,
}

/// An image of one colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Baseline {
    Zero,
    Black,
    White,
}

impl MethodArgs {
    /// The study of `exits`; the network can be asked it. `implied` is the score that something
    /// else asks for.
    ///
    /// # Errors
    /// When the network lacks a class or a tap, or cannot be asked this; when two scores are asked
    /// for.
    pub fn study(&self, model: &Model, exits: Vec<usize>, implied: Option<Score>) -> Result<ExplainRequest> {
        let score = match (self.score, implied) {
            (Some(asked), Some(implied)) if asked != implied => {
                let name = asked.name();
                return Err(Error::usage(format!("score {name}: --minus with a class explains two logits")));
            }
            (asked, implied) => asked.or(implied).unwrap_or_default(),
        };
        let study = ExplainRequest {
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
            ..ExplainRequest::new(&model.network, &self.methods)
        };
        study.check(&model.network)?;
        let several = match &study.taps {
            Taps::Exit => false,
            Taps::Named(names) => names.len() > 1,
            Taps::AllScales => true,
        };
        match study.fusion {
            Some(fusion) if !several => Err(Error::usage(format!(
                "fuse {}: there is one tap; --tap all-scales or a list has several",
                fusion.name()
            ))),
            _ => Ok(study),
        }
    }

    /// How `study`, made of these words, was made, for a manifest: every setting that the results
    /// depend on.
    pub fn about(&self, study: &ExplainRequest, labels: &[String]) -> serde_json::Value {
        let mut about = serde_json::json!({
            "methods": self.methods.iter().map(|m| m.name()).collect::<Vec<_>>(),
            "exits": study.exits,
            "class": study.target.name(labels),
            "score": study.score.name(),
        });
        if !study.maps.is_empty() {
            about["tap"] = study.taps.name().into();
            about["smooth"] = study.smoothing.name().into();
        }
        if let Some(fusion) = study.fusion {
            about["fuse"] = fusion.name().into();
        }
        if study.pixels.contains(&crate::explain::PixelMethod::SmoothGrad) {
            let Noise { samples, share, seed } = study.noise;
            about["smooth_grad"] = serde_json::json!({ "samples": samples, "noise": share, "seed": seed });
        }
        if study.pixels.contains(&crate::explain::PixelMethod::IntegratedGradients) {
            let Integration { steps, baseline } = study.integration;
            about["integrated_gradients"] =
                serde_json::json!({ "steps": steps, "baseline": baseline, "rule": "midpoint" });
        }
        about
    }
}

impl Baseline {
    /// Red, green, blue, as the network's input is normalised.
    fn of(self, model: &Model) -> [f32; 3] {
        let colour = match self {
            Baseline::Zero => return [0.0; 3],
            Baseline::Black => 0.0,
            Baseline::White => 1.0,
        };
        model.network.input.normalized(colour)
    }
}

/// `1000`, `64K`, `512M`, `2G`: powers of 1024.
pub fn bytes(text: &str) -> Result<usize, String> {
    let unknown = || "expected a number of bytes such as 1000000, 512M or 2G".to_string();
    let (number, unit) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1 << 10),
        Some((at, 'm' | 'M')) => (&text[..at], 1 << 20),
        Some((at, 'g' | 'G')) => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    let number: usize = number.parse().map_err(|_| unknown())?;
    number.checked_mul(unit).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn bytes_have_units_of_1024() {
        assert_eq!(bytes("1000"), Ok(1000));
        assert_eq!(["3k", "512M", "2G"].map(|text| bytes(text).unwrap()), [3072, 512 << 20, 2 << 30]);
        for text in ["", "G", "-1", "1.5G", "2T", "99999999999999999999", "99999999999999G"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
