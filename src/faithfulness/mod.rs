//! Faithfulness metrics: whether a model relies on what a map shows.
//!
//! f is the softmax probability of the explained class, and M the heatmap at the size of the model's
//! input, in [0, 1]. Where public tools disagree, the default is the definition of the paper:
//!
//! - The drop is relative, as in the Grad-CAM++ paper and torchcam; pytorch-grad-cam's is absolute.
//! - Masking multiplies the photo, so hidden pixels are black; torchcam and pytorch-grad-cam mask the
//!   normalized input, so hidden pixels have the data set's mean ([`Settings::zero`] 0). The two agree for
//!   a model without normalization.
//! - [`structural_similarity`] uses the Gaussian window of its paper; scikit-image's default is uniform.
//!
//! | metric | function | paper |
//! |---|---|---|
//! | average drop, increase in confidence | [`confidence_drop`], [`confidence_increases`] | Chattopadhay et al. 2018, arXiv 1710.11063 |
//! | average gain | [`confidence_gain`] | Zhang et al. 2023, arXiv 2301.07002 |
//! | complexity, coherency, ADCC | [`complexity`], [`coherency`], [`adcc_score`] | Poppi et al. 2021, arXiv 2104.10252 |
//! | deletion, insertion | [`Curve::area`] | Petsiuk et al. 2018, arXiv 1806.07421 |
//! | ROAD | [`road_combined`] | Rong et al. 2022, arXiv 2202.00449 |
//! | pointing game | [`pointing_game_hit`] | Zhang et al. 2018, doi 10.1007/s11263-017-1059-x |
//! | energy-based pointing game | [`pointing_energy`] | Wang et al. 2020, arXiv 1910.01279 |
//! | similarity of two maps | [`spearman`], [`salient_iou`], [`center_shift`], [`structural_similarity`] | Spearman 1904; Wang et al. 2004, doi 10.1109/TIP.2003.819861 |
//! | cascading randomization | [`CascadingRandomization`] | Adebayo et al. 2018, arXiv 1810.03292 |
//!
//! ```
//! use msdcam::faithfulness::{FaithfulnessEvaluator, Settings};
//! use msdcam::{Device, DeviceChoice, ExplainRequest, Model};
//!
//! # fn main() -> msdcam::Result<()> {
//! let model = Model::pretrained()?;
//! let request = ExplainRequest { exits: vec![1], ..ExplainRequest::grad_cam(&model) };
//! let black = model.input.normalized(0.0);
//! let settings = Settings { curves: None, road: None, ..Settings::of_the_papers(black, model.input.height) };
//! let device = Device::open(DeviceChoice::Cpu, 1)?;
//! let mut evaluator = FaithfulnessEvaluator::new(&model, &request, &settings, &device, 1, 1)?;
//! let image: Vec<f32> = (0..model.input_shape().len()).map(|i| (i % 97) as f32 / 97.0).collect();
//! let rows = evaluator.evaluate(&image, &[], &[0])?;
//! let drop = rows[0][0].metrics.as_ref().map(|metrics| metrics.drop());
//! # let _ = drop;
//! # Ok(())
//! # }
//! ```
//!
//! A [`FaithfulnessEvaluator`] makes the maps of a request and evaluates them; a [`MapEvaluator`] evaluates
//! given maps. A [`MetricAccumulator`] averages the results over the images.

mod accumulator;
mod adcc;
mod baseline;
mod confidence;
mod curve;
mod faithfulness_evaluator;
mod imputation;
mod map_evaluator;
mod metrics;
mod pointing;
mod randomization;
mod ranking;
mod road;
mod saliency;
mod settings;
mod similarity;
mod ssim;
mod summary;

#[doc(hidden)]
pub use accumulator::MetricAccumulator;
pub use adcc::adcc_score;
#[doc(hidden)]
pub use adcc::{coherency, complexity};
pub use baseline::Baseline;
#[doc(hidden)]
pub use baseline::blur;
#[doc(hidden)]
pub use confidence::absolute_confidence_drop;
pub use confidence::{confidence_drop, confidence_gain, confidence_increases};
pub use curve::Curve;
pub use faithfulness_evaluator::FaithfulnessEvaluator;
pub use map_evaluator::{MapEvaluator, MapSample};
pub use metrics::{Agreement, MapEvaluation, Metrics, RoadPoint};
#[doc(hidden)]
pub use pointing::{POINTING_TOLERANCE_AT_224, object_share};
pub use pointing::{Pointing, pointing_energy, pointing_game_hit};
pub use randomization::{CascadeSimilarity, CascadingRandomization};
pub use ranking::Ties;
#[doc(hidden)]
pub use ranking::most_important_first;
#[doc(hidden)]
pub use road::remove_and_impute;
pub use road::{Removal, road_combined};
pub use saliency::SaliencyMap;
pub use settings::{CurveSettings, RoadSettings, Settings};
#[doc(hidden)]
pub use similarity::{SALIENT_SHARE, center_of_mass, pearson};
pub use similarity::{center_shift, salient_iou, spearman};
pub use ssim::structural_similarity;
pub use summary::{AgreementSummary, MeanCurve, MetricSummary, PointingSummary, RoadMean};
