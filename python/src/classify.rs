//! Predictions as arrays, with or without early exit.

use msdcam::{Classifier, Error, ExitPrediction, Model, Order};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::arrays::{array, filled, zeros};
use crate::call::{Signals, Stop};
use crate::explain::shifted;
use crate::images::Images;
use crate::runtime::Runtime;

/// The predictions of a call: N images, E exits, K classes.
pub struct Predicted {
    images: usize,
    exits: Vec<usize>,
    classes: usize,
    /// (N, E, K); NaN for exits that were not computed.
    logits: Vec<f32>,
    probabilities: Vec<f32>,
    /// (N): position of the last exit that was computed.
    stopped: Vec<i64>,
    /// Multiply-adds of an image that stops at each exit.
    multiply_adds: Vec<u64>,
    done: usize,
}

impl Predicted {
    fn add<'a, V: AsRef<[f32]> + 'a>(&mut self, predictions: impl Iterator<Item = ExitPrediction<V>>) {
        let (classes, image) = (self.classes, self.done);
        for (exit, prediction) in predictions.enumerate() {
            let at = (image * self.exits.len() + exit) * classes;
            self.logits[at..][..classes].copy_from_slice(prediction.logits.as_ref());
            self.probabilities[at..][..classes].copy_from_slice(prediction.probabilities.as_ref());
            self.stopped[image] = exit as i64;
        }
        self.done += 1;
    }

    /// The predictions as a dictionary of arrays.
    ///
    /// # Errors
    /// When Python has no memory.
    pub fn into_python(self, py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
        let shape = [self.images, self.exits.len(), self.classes];
        let results = PyDict::new(py);
        results.set_item("exits", self.exits)?;
        results.set_item("logits", array(py, &shape, self.logits))?;
        results.set_item("probabilities", array(py, &shape, self.probabilities))?;
        results.set_item("stopped", array(py, &shape[..1], self.stopped))?;
        results.set_item("multiply_adds", self.multiply_adds)?;
        Ok(results)
    }
}

/// Classifies `images` at `exits`; with `thresholds`, one for each exit, an image stops at the first exit whose
/// confidence reaches its threshold.
///
/// # Errors
/// When the model lacks an exit, a photo cannot be read, the device fails, or a signal comes.
pub fn classify(
    (model, runtime): (&Model, &Runtime),
    images: &Images<'_>,
    (exits, thresholds): (&[usize], Option<&[Option<f32>]>),
    (batch, threads): (usize, usize),
    signals: &Signals,
) -> Result<Predicted, Stop> {
    let order = if thresholds.is_some() { Order::ByExit } else { Order::Depth };
    let len = model.input_shape().len();
    let (count, classes) = (images.count(len), model.classes());
    if let Some(thresholds) = thresholds {
        check_thresholds(thresholds, exits.len())?;
    }
    let mut held = runtime.runners(signals)?;
    let classifier = held.classifier(model, exits, order, batch)?;
    let elements = count.saturating_mul(exits.len()).saturating_mul(classes);
    let mut predicted = Predicted {
        images: count,
        exits: exits.into(),
        classes,
        logits: filled("predictions", elements, f32::NAN)?,
        probabilities: filled("predictions", elements, f32::NAN)?,
        stopped: zeros("predictions", count)?,
        multiply_adds: classifier.multiply_adds(),
        done: 0,
    };
    let mut first = 0;
    let done = images.batches(model, (classifier.capacity(), threads), signals, |inputs| {
        match thresholds {
            Some(thresholds) => {
                let found = classifier.classify_early_exit(inputs, thresholds);
                for exits in found.map_err(|error| shifted(error, first))? {
                    predicted.add(exits.into_iter());
                }
            }
            None => {
                classifier.submit(inputs).map_err(|error| shifted(error, first))?;
                if classifier.is_full() {
                    wait(classifier, &mut predicted)?;
                }
            }
        }
        first += inputs.len() / len;
        Ok(())
    });
    let done = done.and_then(|()| {
        while classifier.in_flight() > 0 {
            wait(classifier, &mut predicted)?;
        }
        Ok(())
    });
    // After an error nothing stays in flight.
    while classifier.in_flight() > 0 {
        let _ = classifier.wait();
    }
    done.map(|()| predicted)
}

fn wait(classifier: &mut Classifier, predicted: &mut Predicted) -> Result<(), Stop> {
    let found = classifier.wait()?;
    (0..found.len()).for_each(|image| predicted.add(found.image(image)));
    Ok(())
}

/// Checks thresholds of early exit.
///
/// # Errors
/// When one is not above 0 and at most 1, or there are more or fewer than exits.
pub fn check_thresholds(thresholds: &[Option<f32>], exits: usize) -> Result<(), Error> {
    if thresholds.len() != exits {
        let given = thresholds.len();
        return Err(Error::usage(format!(
            "early_exit: {given} thresholds, expected one for each of {exits} exits"
        )));
    }
    match thresholds.iter().flatten().find(|&&p| !(p > 0.0 && p <= 1.0)) {
        Some(p) => Err(Error::usage(format!("early_exit {p}: expected a number above 0 and at most 1"))),
        None => Ok(()),
    }
}
