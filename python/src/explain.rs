//! Explanations as arrays of fixed shapes.
//!
//! With N images, E exits, R targets an exit, K classes and an input of H x W pixels; the layers are those of
//! `msdcam::cli::drawing`, in the order of the command line.

use msdcam::cli::drawing::{Drawing, PictureOptions};
use msdcam::error::RequestError;
use msdcam::{Error, ExplainRequest, Explainer, Explanations, MapStatus, Model, OverlayStyle, Target};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::arrays::{array, zeros};
use crate::call::{Signals, Stop};
use crate::images::Images;
use crate::runtime::Runtime;

/// The code of a status in arrays: its position in `msdcam.STATUSES`.
pub fn status_code(status: MapStatus) -> u8 {
    match status {
        MapStatus::Ok => 0,
        MapStatus::Empty => 1,
        MapStatus::Constant => 2,
        MapStatus::Nonfinite => 3,
    }
}

/// The code where an exit has no tap of a column.
pub const ABSENT: u8 = 4;

/// The tap of an exit in a column.
#[derive(Clone)]
struct ExitTap {
    name: String,
    /// (h, w).
    size: (usize, usize),
}

/// The columns of a request's taps, and where each exit's maps are among its own.
#[derive(Clone)]
pub struct Columns {
    /// Names of the columns that are the same for every exit.
    names: Vec<String>,
    /// For each exit: the tap of each column, if the exit has one.
    taps: Vec<Vec<Option<ExitTap>>>,
    /// For each exit, method and column: the position of the map.
    places: Vec<Vec<Vec<Option<usize>>>>,
}

impl Columns {
    /// The columns of `request`.
    ///
    /// # Errors
    /// When the request does not fit the model.
    pub fn new(model: &Model, request: &ExplainRequest) -> Result<Columns, Error> {
        let pictures =
            PictureOptions { overlay: OverlayStyle::default(), shared_scale: false, boxes: None, side: 512 };
        let drawing = Drawing::new(model, request, pictures)?;
        let names = drawing.columns().to_vec();
        let columns = 0..names.len();
        let (mut taps, mut places) = (Vec::new(), Vec::new());
        for &exit in &request.exits {
            let own = request.taps_of(model, exit)?;
            let tap = |column| {
                let tap = &own[drawing.place(exit, 0, column)?];
                let shape = model.graph.shape(tap.node);
                Some(ExitTap { name: tap.name.clone(), size: (shape.h, shape.w) })
            };
            taps.push(columns.clone().map(tap).collect());
            let of_method =
                |method| columns.clone().map(|column| drawing.place(exit, method, column)).collect();
            places.push((0..request.maps.len()).map(of_method).collect());
        }
        Ok(Columns { names, taps, places })
    }

    /// (h, w) of an exit's tap in a column; nothing where it has none.
    fn size(&self, exit: usize, column: usize) -> (usize, usize) {
        self.taps[exit][column].as_ref().map_or((0, 0), |tap| tap.size)
    }
}

/// One method at one column of taps, or fused; the arrays of all images.
struct Layer {
    method: &'static str,
    column: Option<usize>,
    /// (N, E, R, H, W).
    heat: Vec<f32>,
    /// For each exit (N, R, h, w); none where maps are fused.
    cams: Vec<Vec<f32>>,
    /// (N, E, R).
    status: Vec<u8>,
}

/// One pixel method: (N, E, R, 3, H, W) and (N, E, R).
struct Pixels {
    method: &'static str,
    values: Vec<f32>,
    status: Vec<u8>,
}

/// All results of a call.
pub struct Results {
    images: usize,
    exits: Vec<usize>,
    /// Whether the request asks for several targets an exit, if only for one.
    is_ranked: bool,
    ranks: usize,
    classes: usize,
    size: (usize, usize),
    columns: Columns,
    logits: Vec<f32>,
    probabilities: Vec<f32>,
    predicted: Vec<i64>,
    target: Vec<i64>,
    score: Vec<f32>,
    layers: Vec<Layer>,
    pixels: Vec<Pixels>,
    done: usize,
}

impl Results {
    fn new(model: &Model, request: &ExplainRequest, columns: &Columns, images: usize) -> PyResult<Results> {
        let (exits, ranks, classes) = (request.exits.len(), request.target.ranks(), model.classes());
        let size = (model.input.height, model.input.width);
        let all = images.saturating_mul(exits).saturating_mul(ranks);
        let plane = size.0 * size.1;
        let what = "results";
        let mut layers = Vec::new();
        for (m, method) in request.maps.iter().enumerate() {
            let fused = request.fusion.map(|_| None);
            for column in fused.into_iter().chain((0..columns.names.len()).map(Some)) {
                let cam = |exit: usize| {
                    let (h, w) = column.map_or((0, 0), |column| columns.size(exit, column));
                    zeros(what, images.saturating_mul(ranks * h * w))
                };
                debug_assert!(columns.places.iter().all(|exit| exit.len() > m));
                layers.push(Layer {
                    method: method.name(),
                    column,
                    heat: zeros(what, all.saturating_mul(plane))?,
                    cams: match column {
                        Some(_) => (0..exits).map(cam).collect::<PyResult<_>>()?,
                        None => Vec::new(),
                    },
                    status: zeros(what, all)?,
                });
            }
        }
        let pixels = request.pixels.iter().map(|method| {
            Ok(Pixels {
                method: method.name(),
                values: zeros(what, all.saturating_mul(3 * plane))?,
                status: zeros(what, all)?,
            })
        });
        let each_exit = images.saturating_mul(exits);
        Ok(Results {
            images,
            exits: request.exits.clone(),
            is_ranked: matches!(request.target, Target::Top(_)),
            ranks,
            classes,
            size,
            columns: columns.clone(),
            logits: zeros(what, each_exit.saturating_mul(classes))?,
            probabilities: zeros(what, each_exit.saturating_mul(classes))?,
            predicted: zeros(what, each_exit)?,
            target: zeros(what, all)?,
            score: zeros(what, all)?,
            layers,
            pixels: pixels.collect::<PyResult<_>>()?,
            done: 0,
        })
    }

    /// Copies the results of a batch behind those of the batches before.
    fn add(&mut self, explanations: Explanations<'_>) {
        let plane = self.size.0 * self.size.1;
        let (exits, ranks, classes) = (self.exits.len(), self.ranks, self.classes);
        let columns = self.columns.names.len();
        for i in 0..explanations.len() {
            let image = self.done + i;
            for (n, explanation) in explanations.image(i).enumerate() {
                let (exit, rank) = (n / ranks, n % ranks);
                let (at, at_exit) = ((image * exits + exit) * ranks + rank, image * exits + exit);
                self.target[at] = explanation.target as i64;
                self.score[at] = explanation.score;
                if rank == 0 {
                    let prediction = explanation.prediction;
                    self.predicted[at_exit] = prediction.class as i64;
                    self.logits[at_exit * classes..][..classes].copy_from_slice(prediction.logits);
                    self.probabilities[at_exit * classes..][..classes]
                        .copy_from_slice(prediction.probabilities);
                }
                let maps: Vec<_> = explanation.maps().collect();
                let per_method = columns + usize::from(!explanation.fused.is_empty());
                for (l, layer) in self.layers.iter_mut().enumerate() {
                    let method = l / per_method;
                    let (heatmap, status) = match layer.column {
                        None => {
                            let heatmap = &explanation.fused[method].heatmap;
                            (&heatmap.values[..], heatmap.status)
                        }
                        Some(column) => {
                            let Some(place) = self.columns.places[exit][method][column] else {
                                layer.status[at] = ABSENT;
                                continue;
                            };
                            let map = &maps[place];
                            let len = map.map.len();
                            layer.cams[exit][(image * ranks + rank) * len..][..len].copy_from_slice(map.map);
                            (map.heatmap.values, map.heatmap.status)
                        }
                    };
                    layer.heat[at * plane..][..plane].copy_from_slice(heatmap);
                    layer.status[at] = status_code(status);
                }
                for (pixels, found) in self.pixels.iter_mut().zip(explanation.pixels) {
                    pixels.values[at * 3 * plane..][..3 * plane].copy_from_slice(&found.values);
                    pixels.status[at] = status_code(found.status);
                }
            }
        }
        self.done += explanations.len();
    }

    /// The results as a dictionary of arrays.
    ///
    /// # Errors
    /// When Python has no memory.
    pub fn into_python(self, py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
        let Results { images, exits, ranks, classes, size, columns, .. } = self;
        let count = exits.len();
        let each = |rest: &[usize]| [&[images, count, ranks], rest].concat();
        let results = PyDict::new(py);
        results.set_item("exits", exits)?;
        results.set_item("is_ranked", self.is_ranked)?;
        results.set_item("logits", array(py, &[images, count, classes], self.logits))?;
        results.set_item("probabilities", array(py, &[images, count, classes], self.probabilities))?;
        results.set_item("predicted", array(py, &[images, count], self.predicted))?;
        results.set_item("target", array(py, &each(&[]), self.target))?;
        results.set_item("score", array(py, &each(&[]), self.score))?;
        let layers = PyList::empty(py);
        for layer in self.layers {
            let fields = PyDict::new(py);
            fields.set_item("method", layer.method)?;
            fields.set_item("column", layer.column.map_or("fused", |column| &columns.names[column]))?;
            fields.set_item("heat", array(py, &each(&[size.0, size.1]), layer.heat))?;
            fields.set_item("status", array(py, &each(&[]), layer.status))?;
            let cams = PyList::empty(py);
            let mut taps = Vec::new();
            if let Some(column) = layer.column {
                for (exit, cam) in layer.cams.into_iter().enumerate() {
                    let (h, w) = columns.size(exit, column);
                    cams.append(array(py, &[images, ranks, h, w], cam))?;
                    taps.push(columns.taps[exit][column].as_ref().map_or("", |tap| tap.name.as_str()));
                }
            }
            fields.set_item("cams", cams)?;
            fields.set_item("taps", taps)?;
            layers.append(fields)?;
        }
        results.set_item("layers", layers)?;
        let pixels = PyList::empty(py);
        for method in self.pixels {
            let fields = PyDict::new(py);
            fields.set_item("method", method.method)?;
            fields.set_item("values", array(py, &each(&[3, size.0, size.1]), method.values))?;
            fields.set_item("status", array(py, &each(&[]), method.status))?;
            pixels.append(fields)?;
        }
        results.set_item("pixels", pixels)?;
        Ok(results)
    }
}

/// Explains `images` by `request`; `labels` has the class of each for [`Target::Label`].
///
/// # Errors
/// When the request does not fit the model or the images, a photo cannot be read, the device fails, or a signal
/// comes. The runtime is usable afterwards.
pub fn explain(
    (model, runtime): (&Model, &Runtime),
    images: &Images<'_>,
    (request, labels): (&ExplainRequest, &[usize]),
    (batch, threads): (usize, usize),
    signals: &Signals,
) -> Result<Results, Stop> {
    let len = model.input_shape().len();
    let count = images.count(len);
    if request.target == Target::Label {
        check_labels(model, labels, count)?;
    }
    let mut held = runtime.runners(signals)?;
    let (explainer, columns) = held.explainer(model, request, batch)?;
    let mut results = Results::new(model, request, columns, count)?;
    let mut first = 0;
    let done = images.batches(model, (explainer.capacity(), threads), signals, |inputs| {
        let n = inputs.len() / len;
        let labels = if labels.is_empty() { labels } else { &labels[first..first + n] };
        explainer.submit(inputs, labels).map_err(|error| shifted(error, first))?;
        first += n;
        if explainer.is_full() {
            results.add(explainer.wait()?);
        }
        Ok(())
    });
    let done = done.and_then(|()| finish(explainer, |explanations| results.add(explanations)));
    // After an error nothing stays in flight.
    while explainer.in_flight() > 0 {
        let _ = explainer.wait();
    }
    done.map(|()| results)
}

fn finish(explainer: &mut Explainer, mut add: impl FnMut(Explanations<'_>)) -> Result<(), Stop> {
    while explainer.in_flight() > 0 {
        add(explainer.wait()?);
    }
    Ok(())
}

/// Checks that there is a label for each of `images` images.
///
/// # Errors
/// When there are more or fewer, or the model has no such class.
pub fn check_labels(model: &Model, labels: &[usize], images: usize) -> Result<(), Error> {
    if labels.len() != images {
        return Err(RequestError::LabelCount { given: labels.len(), images }.into());
    }
    match labels.iter().find(|&&label| label >= model.classes()) {
        Some(&class) => Err(RequestError::UnknownClass { class, classes: model.classes() }.into()),
        None => Ok(()),
    }
}

/// An error about an image of a batch, of which `first` is the first, for the images of the call, which Python counts
/// from 0.
pub fn shifted(error: Error, first: usize) -> Error {
    match error {
        Error::Request(RequestError::NonFinite { image, element, value }) => {
            RequestError::NonFinite { image: first + image - 1, element, value }.into()
        }
        other => other,
    }
}
