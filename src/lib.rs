//! Where each exit of an image classifier looks: Grad-CAM and other explanations, exit by exit.
//!
//! A tour in seven steps. Each is a program of its own; photos and networks are files of the repository.
//!
//! **1. Load and explain.** A [`Model`] is an image classifier with one or more exits. An [`Explainer`] plans an
//! [`ExplainRequest`] for a [`Device`] once, and then gives an [`Explanation`] for each image, exit and class.
//!
//! ```
//! use msdcam::{Device, ExplainRequest, Explainer, Model, RgbImage};
//!
//! let model = Model::pretrained()?; // or Model::open(path)?
//! let mut explainer = Explainer::new(&model, &ExplainRequest::grad_cam(&model), &Device::auto()?, 1)?;
//! let photo = RgbImage::open("weights/samples/chelsea.png")?;
//! for explanation in &explainer.explain(&model.prepare(&photo).tensor)?[0] {
//!     let (prediction, map) = (&explanation.prediction, &explanation.maps[0]);
//!     let (class, sure) = (&model.labels[prediction.class], 100.0 * prediction.confidence());
//!     println!("exit {}: {class} {sure:.1} %, a map of {}", prediction.exit, map.shape);
//! }
//! # Ok::<(), msdcam::Error>(())
//! ```
//!
//! **2. Other methods, classes and places** are other fields of the request; all share one forward pass.
//!
//! ```
//! # use msdcam::{ExplainRequest, Model, Target, Taps};
//! # let model = Model::pretrained()?;
//! let request = ExplainRequest {
//!     exits: vec![1, 10],
//!     taps: Taps::AllScales,
//!     target: Target::Final,
//!     ..ExplainRequest::new(&model, &["layer-cam".parse()?, "guided-backprop".parse()?])
//! };
//! request.check(&model)?;
//! # Ok::<(), msdcam::Error>(())
//! ```
//!
//! **3. Draw and save a picture.** [`render`] draws, [`imaging`] encodes; neither writes a file.
//!
//! ```
//! use msdcam::imaging::encode_png;
//! use msdcam::render::{OverlayInput, OverlayStyle};
//! # use msdcam::{Colormap, Device, ExplainRequest, Explainer, Model, RgbImage};
//!
//! # let model = Model::pretrained()?;
//! # let mut explainer = Explainer::new(&model, &ExplainRequest::grad_cam(&model), &Device::auto()?, 1)?;
//! # let photo = RgbImage::open("weights/samples/chelsea.png")?;
//! let prepared = model.prepare(&photo);
//! let map = &explainer.explain(&prepared.tensor)?[0][9].maps[0]; // of the first image, exit 10
//! let (view, seen) = (prepared.view(&photo, 512), &prepared.seen); // 512 pixels on the longer side
//! let heatmap = map.heatmap.resized(view.height, view.width);
//! let size = (map.shape.h, map.shape.w);
//! let input = OverlayInput { photo: &view, seen, heatmap: &heatmap, map: &map.map, size, found: None };
//! let picture = OverlayStyle { colormap: Colormap::Viridis, ..OverlayStyle::default() }.draw(input);
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("overlay.png");
//! std::fs::write(path, encode_png(&picture))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **4. Early exit.** A [`Classifier`] computes predictions alone, and nothing after the exit at which an image stops.
//!
//! ```
//! # use msdcam::{Classifier, Device, Model, Order, RgbImage};
//! # let model = Model::pretrained()?;
//! # let photo = RgbImage::open("weights/samples/chelsea.png")?;
//! let exits: Vec<usize> = (1..=model.exits.len()).collect();
//! let mut classifier = Classifier::new(&model, &exits, Order::ByExit, &Device::auto()?, 1)?;
//! let found = classifier.classify_early_exit(&model.prepare(&photo).tensor, &[Some(0.7); 10])?;
//! assert_eq!(found[0].len(), 4); // exits 1 to 4 were computed: the fourth is sure enough
//! # Ok::<(), msdcam::Error>(())
//! ```
//!
//! **5. A network of your own**: an ONNX file, or a PyTorch checkpoint that [`model`] has converted.
//!
//! ```
//! # use msdcam::Model;
//! let model = Model::open("tests/onnx/networks/shallow_deep_legacy.onnx")?;
//! assert_eq!((model.exits.len(), model.classes(), model.input_shape().h), (3, 6, 32));
//! # Ok::<(), msdcam::Error>(())
//! ```
//!
//! **6. Is the map faithful?** [`faithfulness`] measures whether the model relies on what the map shows.
//!
//! ```
//! use msdcam::faithfulness::{FaithfulnessEvaluator, Settings};
//! # use msdcam::{Device, ExplainRequest, Model, RgbImage};
//!
//! # let model = Model::pretrained()?;
//! # let image = model.prepare(&RgbImage::open("weights/samples/chelsea.png")?).tensor;
//! let request = ExplainRequest { exits: vec![10], ..ExplainRequest::grad_cam(&model) };
//! let settings = Settings::of_the_papers(model.input.normalized(0.0), model.input.height);
//! let mut evaluator = FaithfulnessEvaluator::new(&model, &request, &settings, &Device::auto()?, 1, 1)?;
//! let metrics = evaluator.evaluate(&image, &[], &[0])?[0][0].metrics.clone();
//! let drop = metrics.expect("a map with evidence").drop(); // of the class's probability, where the map hides the rest
//! assert!((0.0..1.0).contains(&drop));
//! # Ok::<(), msdcam::Error>(())
//! ```
//!
//! **7. A graph of your own**: [`engine`] differentiates by appending nodes, and plans what it computes.
//!
//! ```
//! use msdcam::engine::graph::ops::{AvgPool, Linear, ReluRule, WeightedSum, Window};
//! use msdcam::engine::graph::{Graph, Op, grad::gradients};
//! # use msdcam::{Device, Order, Shape, engine::plan::Plan};
//!
//! let mut graph = Graph::new();
//! let tap = graph.push(Op::Input(Shape::new(2, 2, 2)), &[])?;
//! let (weight, bias) = (graph.add_param("w", &[1, 2], vec![2.0, -1.0]), graph.add_param("b", &[1], vec![0.0]));
//! let pool = AvgPool { window: Window::square(2, 2, 0), counted: [[0; 2]; 2] };
//! let mean = graph.push(Op::AvgPool(pool), &[tap])?;
//! let score = graph.push(Linear { weight, bias }, &[mean])?;
//! let one = graph.push(Op::Input(Shape::vector(1)), &[])?;
//! let gradient = gradients(&mut graph, score, one, &[tap], ReluRule::Plain)?[0];
//! let weights = graph.push(Op::SpatialMean, &[gradient])?;
//! let map = graph.push(Op::WeightedSum(WeightedSum { relu: true }), &[weights, tap])?;
//!
//! let plan = Plan::new(&graph, &[weights, map], Order::Depth)?;
//! let (mut inputs, mut outputs) = (vec![0.0; plan.input_len()], vec![0.0; plan.output_len()]);
//! let [from, to] = [plan.inputs(), plan.outputs()].map(|slots| [slots[0].offset(), slots[1].offset()]);
//! inputs[from[0]..][..8].copy_from_slice(&[1.0, 2.0, 3.0, 4.0, 0.0, 4.0, 4.0, 0.0]); // two channels of 2 x 2
//! inputs[from[1]] = 1.0;
//! Device::auto()?.session(plan.into(), 1)?.run(&inputs, &mut outputs)?;
//! assert_eq!((&outputs[to[0]..][..2], &outputs[to[1]..][..4]), (&[0.5, -0.25][..], &[0.5, 0.0, 0.5, 2.0][..]));
//! # Ok::<(), msdcam::Error>(())
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
