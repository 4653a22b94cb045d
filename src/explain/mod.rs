//! From images to maps: builds the graph that answers a question about a network, and runs it.
//!
//! Two ways: an [`Classifier`] answers a [`Question`], which is Grad-CAM at each exit and no more,
//! as fast as can be; an [`Explainer`] makes a [`ExplainRequest`], which is any of the [`Method`]s, at any
//! tap, for any class and score, with one forward pass for all of them.

pub(crate) mod batch_runner;
pub(crate) mod classifier;
pub(crate) mod explainer;
pub(crate) mod explanation;
pub(crate) mod forward_batches;
pub(crate) mod fusion;
pub(crate) mod grad_cam;
pub(crate) mod lowering;
pub(crate) mod method;
pub mod methods;
pub(crate) mod request;
pub(crate) mod score;
pub(crate) mod score_graph;
pub(crate) mod taps;
pub(crate) mod target;

pub use classifier::{Classifier, ExitPrediction, MapAnswer};
pub use explainer::Explainer;
pub use explanation::{ActivationMap, Explanation, FusedMap, PixelAttribution, difference};
pub use fusion::Fusion;
pub use grad_cam::Question;
pub use method::{MapMethod, Method, PixelMethod};
pub use request::{ExplainRequest, Integration, Noise, Smoothing};
pub use score::Score;
pub use taps::{Tap, TapSize, Taps, all_taps, reaching_taps, tap_sizes};
pub use target::{Target, class_of};
