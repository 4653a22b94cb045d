//! From images to maps: builds the graph that answers a question about a network, and runs it.
//!
//! Two ways: an [`Explainer`] answers a [`Question`], which is Grad-CAM at each exit and no more,
//! as fast as can be; an [`Examiner`] makes a [`Study`], which is any of the [`Method`]s, at any
//! tap, for any class and score, with one forward pass for all of them.

mod ablation;
mod answer;
mod eigen;
mod examiner;
mod exit_runs;
mod explainer;
mod fusion;
mod grad_cam;
mod gradient_free;
mod loaded;
mod method;
pub mod methods;
pub mod metrics;
mod noise;
mod pixels;
mod plain_cam;
mod score;
mod score_cam;
mod score_graph;
mod smoothing;
mod study;
mod study_graph;
mod taps;
mod target;

pub use answer::{Finding, FusedMap, MethodMap, PixelMap, difference};
pub use examiner::Examiner;
pub use explainer::{ExitAnswer, Explainer, MapAnswer};
pub use fusion::Fusion;
pub use grad_cam::Question;
pub use method::{MapMethod, Method, PixelMethod};
pub use score::Score;
pub use study::{Integration, Noise, Smoothing, Study};
pub use taps::{Tap, TapSize, Taps, all_taps, reaching_taps, tap_sizes};
pub use target::{Target, class_of};
