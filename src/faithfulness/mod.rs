//! How faithful a map is: metrics, one a file, and what measures them.
//!
//! Everywhere f is a class's softmax probability, M the heat map at the image's size in [0, 1].
//! Where public tools disagree, the default is the paper's definition:
//!
//! - the drop is relative, as in Grad-CAM++'s paper and torchcam; pytorch-grad-cam's is absolute;
//! - an image is masked as a photo, so that what is hidden is black; torchcam and pytorch-grad-cam
//!   mask the normalised input, so that it is the data set's mean ([`Settings::zero`] 0). The two
//!   are one for a network without normalisation;
//! - [`ssim()`] has the Gaussian window of its paper, scikit-image's default is a flat one.
//!
//! An [`Assessor`] makes maps and measures them, a [`Measurer`] measures those of anyone; a
//! [`Cascade`] asks whether maps change when the network's weights do.

pub(crate) mod accumulator;
pub mod adcc;
pub(crate) mod assessment;
pub mod average_drop;
pub mod average_gain;
pub(crate) mod baseline;
pub mod centre_of_mass;
pub mod coherency;
pub mod complexity;
pub mod confidence;
pub mod curve;
pub mod energy_pointing;
pub(crate) mod evaluator;
pub mod imputation;
pub(crate) mod map_evaluator;
pub mod overlap;
pub mod pearson;
pub mod pointing;
pub(crate) mod randomisation;
pub(crate) mod ranking;
pub mod road;
pub(crate) mod saliency;
pub(crate) mod settings;
pub mod similarity;
pub mod ssim;
pub(crate) mod summary;

pub use accumulator::{Pointing, Tally};
pub use assessment::{Agreement, Assessment, Measures, RoadPoint};
pub use baseline::{Baseline, blur};
pub use coherency::coherency;
pub use complexity::complexity;
pub use curve::Curve;
pub use evaluator::{Measurer, Subject};
pub use map_evaluator::Assessor;
pub use overlap::overlap;
pub use pearson::pearson;
pub use randomisation::{Cascade, Similarity};
pub use ranking::{Ties, most_important_first};
pub use saliency::Saliency;
pub use settings::{CurveSettings, RoadSettings, Settings};
pub use similarity::spearman;
pub use ssim::ssim;
pub use summary::{AgreementSummary, MeanCurve, PointingSummary, RoadMean, Summary};
