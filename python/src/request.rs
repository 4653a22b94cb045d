//! Requests from Python's keywords, which have the names of the command line's options.

use msdcam::error::RequestError;
use msdcam::explain::{Integration, Noise, Smoothing};
use msdcam::{Error, ExplainRequest, Method, Model, Result, Score, Target};
use pyo3::prelude::*;

/// A target as Python gives it.
#[derive(FromPyObject, Clone)]
pub enum TargetArgument {
    /// A class.
    Class(usize),
    /// As [`Target::parse`] reads it.
    Text(String),
}

impl TargetArgument {
    /// The target.
    ///
    /// # Errors
    /// When the text names none.
    pub fn target(&self, model: &Model) -> Result<Target> {
        match self {
            TargetArgument::Class(class) => Ok(Target::Class(*class)),
            TargetArgument::Text(text) => Target::parse(text, &model.labels),
        }
    }
}

/// The settings of a request, as a dictionary.
#[derive(FromPyObject, Clone)]
#[pyo3(from_item_all)]
pub struct RequestArguments {
    exits: Option<Vec<usize>>,
    methods: Vec<String>,
    target: TargetArgument,
    tap: String,
    score: String,
    fuse: Option<String>,
    smooth: String,
    samples: usize,
    noise: f32,
    seed: u64,
    steps: usize,
    baseline: String,
    max_memory: usize,
}

impl RequestArguments {
    /// The request, checked against the model.
    ///
    /// # Errors
    /// When a name is unknown, or the request does not fit the model.
    pub fn request(&self, model: &Model) -> Result<ExplainRequest> {
        let fusion = self.fuse.as_deref().map(str::parse).transpose()?;
        let request = ExplainRequest {
            exits: exits(self.exits.clone(), model),
            taps: self.tap.parse()?,
            target: self.target.target(model)?,
            score: self.score.parse::<Score>()?,
            fusion,
            smoothing: self.smooth.parse::<Smoothing>()?,
            noise: Noise { samples: self.samples, share: self.noise, seed: self.seed },
            integration: Integration { steps: self.steps, baseline: baseline(&self.baseline, model)? },
            max_memory: self.max_memory,
            ..ExplainRequest::new(model, &methods(&self.methods)?)
        };
        request.check(model)?;
        match request.fusion {
            Some(fusion) if !request.taps.are_several() => Err(Error::usage(format!(
                "fuse '{}': needs several taps; give tap='all-scales' or a list",
                fusion.name()
            ))),
            _ => Ok(request),
        }
    }
}

/// The given exits, or all.
pub fn exits(given: Option<Vec<usize>>, model: &Model) -> Vec<usize> {
    given.unwrap_or_else(|| (1..=model.exits.len()).collect())
}

/// Whether a method of the request takes many runs of the model for an image.
pub fn is_slow(request: &ExplainRequest) -> bool {
    request.methods().any(Method::takes_many_runs)
}

/// Methods from their names.
///
/// # Errors
/// When one is unknown.
pub fn methods(names: &[String]) -> Result<Vec<Method>> {
    names.iter().map(|name| name.parse()).collect()
}

/// The normalized (red, green, blue) of the baseline of integrated gradients.
fn baseline(name: &str, model: &Model) -> Result<[f32; 3]> {
    match name {
        "zero" => Ok([0.0; 3]),
        "black" => Ok(model.input.normalized(0.0)),
        "white" => Ok(model.input.normalized(1.0)),
        _ => {
            let expected = ["zero", "black", "white"].map(String::from).to_vec();
            Err(RequestError::UnknownName { what: "baseline", name: name.into(), expected }.into())
        }
    }
}
