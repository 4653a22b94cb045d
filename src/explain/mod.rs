//! Explanations: from a request to a graph, from images to class activation maps and pixel
//! attributions.
//!
//! An [`ExplainRequest`] says what is to be explained; an [`Explainer`] lowers it to one graph,
//! plans that for a device and gives an [`Explanation`] for each image, exit and target. A
//! [`Classifier`] is the forward pass alone, with early exit.
//!
//! ```
//! use msdcam::{Device, DeviceChoice, ExplainRequest, Explainer, Model, RgbImage};
//!
//! # fn main() -> msdcam::Result<()> {
//! let model = Model::pretrained()?;
//! let device = Device::open(DeviceChoice::Cpu, 1)?;
//! let mut explainer = Explainer::new(&model, &ExplainRequest::grad_cam(&model), &device, 1)?;
//! let photo = RgbImage::filled(48, 32, [200, 120, 40]);
//! for explanation in &explainer.explain(&model.prepare(&photo).tensor)?[0] {
//!     let class = &model.labels[explanation.prediction.class];
//!     println!("exit {}: {class}", explanation.prediction.exit);
//! }
//! # Ok(())
//! # }
//! ```

mod batch_runner;
mod classifier;
mod explainer;
mod explanation;
mod explanations;
pub(crate) mod forward_batches;
mod fusion;
mod host_methods;
mod layout;
mod lowering;
pub(crate) mod method;
mod method_notes;
mod method_reference;
#[doc(hidden)]
pub mod methods;
mod prediction;
mod predictions;
mod progress;
mod request;
mod score;
mod taps;
mod target;
mod target_nodes;

pub use classifier::Classifier;
pub use explainer::Explainer;
pub use explanation::{ActivationMap, Explanation, FusedMap, PixelAttribution, difference};
pub use explanations::{ExplanationView, Explanations};
pub use fusion::Fusion;
pub use method::{MapMethod, Method, PixelMethod};
pub use method_reference::Publication;
pub use prediction::ExitPrediction;
pub use predictions::Predictions;
pub use progress::Progress;
pub use request::{ExplainRequest, Integration, Noise, Smoothing};
pub use score::Score;
pub use taps::Taps;
pub use target::Target;
pub(crate) use target::check_class;
#[doc(hidden)]
pub use target::class_of;
