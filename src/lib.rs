//! Where each exit of an image classifier looks: Grad-CAM and other explanations, exit by exit.
//!
//! A [`Model`] is an image classifier with one or more exits. An [`Explainer`] plans an
//! [`ExplainRequest`] for a [`Device`] once, and then gives an [`Explanation`] for each image, exit
//! and class. Load, explain, read:
//!
//! ```
//! use msdcam::{Device, ExplainRequest, Explainer, Model, RgbImage};
//!
//! # fn main() -> msdcam::Result<()> {
//! let model = Model::pretrained()?; // or Model::open(path)?
//! let mut explainer = Explainer::new(&model, &ExplainRequest::grad_cam(&model), &Device::auto()?, 1)?;
//! let photo = RgbImage::open("weights/samples/chelsea.png")?;
//! for explanation in &explainer.explain(&model.prepare(&photo).tensor)?[0] {
//!     let (prediction, map) = (&explanation.prediction, &explanation.maps[0]);
//!     println!(
//!         "exit {}: {} {:.1} %, a heatmap of {} x {}",
//!         prediction.exit,
//!         model.labels[prediction.class],
//!         100.0 * prediction.confidence(),
//!         map.heatmap.height,
//!         map.heatmap.width,
//!     );
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Other methods, classes and places are other fields of the request:
//!
//! ```
//! # use msdcam::{ExplainRequest, Model, Target, Taps};
//! # fn main() -> msdcam::Result<()> {
//! # let model = Model::pretrained()?;
//! let request = ExplainRequest {
//!     exits: vec![1, 10],
//!     taps: Taps::AllScales,
//!     target: Target::Final,
//!     ..ExplainRequest::new(&model, &["layer-cam".parse()?, "guided-backprop".parse()?])
//! };
//! # request.check(&model)
//! # }
//! ```
//!
//! # Parts
//!
//! - [`model`]: models, and converting PyTorch checkpoints to weights files
//! - [`explain`]: requests, explanations, and classification with early exit
//! - [`faithfulness`]: whether a model relies on what its maps show
//! - [`imaging`], [`render`]: photos in, heatmaps and overlays out
//! - [`engine`]: tensors, graphs, plans and devices, for research; it changes with any version
//!
//! Tensors are contiguous `f32` in (N, C, H, W) order; exits are numbered from 1. Every fallible
//! function returns [`Error`], which is one line of text. What is public but hidden in this
//! documentation serves the `msdcam` program and the tests of its repository.

#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod dataset;
pub mod engine;
#[doc(hidden)]
pub mod error;
#[doc(hidden)]
pub mod evaluation;
pub mod explain;
pub mod faithfulness;
pub mod imaging;
pub mod model;
pub mod render;
#[doc(hidden)]
pub mod report;
#[doc(hidden)]
pub mod run;
#[doc(hidden)]
pub mod util;

pub use engine::device::{Device, DeviceChoice, DeviceOptions};
pub use engine::plan::Order;
pub use engine::tensor::Shape;
pub use error::{DeviceError, Error, ErrorSource, GraphError, RequestError, Result};
pub use explain::{
    ActivationMap, Classifier, ExitPrediction, ExplainRequest, Explainer, Explanation, ExplanationView,
    Explanations, MapMethod, Method, PixelAttribution, PixelMethod, Predictions, Score, Taps, Target,
};
pub use imaging::{Heatmap, MapStatus, RgbImage};
pub use model::{Exit, Model, Tap};
pub use render::{Colormap, OverlayStyle};
