//! The served models, and what the page is told of them, of methods and of scores.

use std::ffi::OsString;
use std::path::Path;

use serde::Serialize;

use crate::Result;
use crate::explain::{Classifier, Method, Score};
use crate::render::Colormap;
use crate::report::colormap_tables;

use crate::cli::explain::one_photo::OnePhotoJob;
use crate::cli::explain_arguments;
use crate::cli::images::ViewSides;
use crate::cli::model::{LoadedModel, LoadingArgs, word};
use crate::cli::timings::Timings;

/// A model that the page can choose.
pub struct ServedModel {
    pub loaded: LoadedModel,
    /// The options of other commands that load it.
    pub arguments: Vec<OsString>,
    /// The views of a photo that its pictures need.
    pub views: ViewSides,
    /// Multiply-adds of an image that leaves at each exit.
    costs: Vec<u64>,
}

impl ServedModel {
    /// Reads `weights`, or the built-in ones.
    ///
    /// # Errors
    /// When the weights or the device cannot be used.
    pub fn load(weights: Option<&Path>, args: &LoadingArgs) -> Result<ServedModel> {
        ServedModel::new(args.load(weights, &Timings::default())?, weights, args)
    }

    /// The built-in one on the CPU.
    ///
    /// # Errors
    /// When the device cannot be used.
    pub fn built_in() -> Result<ServedModel> {
        let args = LoadingArgs::on_one_thread();
        ServedModel::new(args.load(None, &Timings::default())?, None, &args)
    }

    fn new(loaded: LoadedModel, weights: Option<&Path>, args: &LoadingArgs) -> Result<ServedModel> {
        let weights = weights.map(|file| word("--weights=", file));
        let arguments: Vec<OsString> = weights.into_iter().chain(args.arguments()).collect();
        let views = OnePhotoJob::new(&explain_arguments(vec!["photo".into()])?, &loaded)?.views();
        let costs = Classifier::multiply_adds_of(&loaded.model)?;
        Ok(ServedModel { loaded, arguments, views, costs })
    }
}

/// What the page can choose from.
#[derive(Debug, Serialize)]
pub struct Choices<'a> {
    version: &'static str,
    models: Vec<ModelFacts<'a>>,
    methods: Vec<MethodFacts>,
    scores: Vec<ScoreFacts>,
    /// Tables of 256 RGB colors by name, in base64.
    colormaps: serde_json::Map<String, serde_json::Value>,
    /// The initial one: unlike jet, in the order of its brightness, and readable by the color-blind.
    default_colormap: &'static str,
    limits: Limits,
}

#[derive(Debug, Serialize)]
struct ModelFacts<'a> {
    name: String,
    about: String,
    classes: &'a [String],
    exits: Vec<usize>,
    /// Names of taps; the first is each exit's own.
    taps: Vec<&'a str>,
    /// Width of the input divided by its height.
    aspect: f64,
    /// Multiply-adds of an image that leaves at each exit, relative to one that does not leave early.
    shares: Vec<f64>,
}

#[derive(Debug, Serialize)]
struct MethodFacts {
    name: &'static str,
    title: &'static str,
    /// `map` or `pixels`.
    kind: &'static str,
    about: &'static str,
    caution: Option<&'static str>,
    formula: &'static str,
    /// Authors, venue and year.
    paper: String,
    slow: bool,
}

#[derive(Debug, Serialize)]
struct ScoreFacts {
    name: &'static str,
    about: &'static str,
}

#[derive(Debug, Serialize)]
struct Limits {
    /// Of a photo's file.
    bytes: usize,
}

/// What the page can choose from, of `models`; a photo's file may have `largest_file` bytes.
pub fn choices(models: &[ServedModel], largest_file: usize) -> Choices<'_> {
    Choices {
        version: env!("CARGO_PKG_VERSION"),
        models: models.iter().map(model_facts).collect(),
        methods: Method::all().map(method_facts).collect(),
        scores: [Score::Logit, Score::Probability, Score::Margin].map(score_facts).into(),
        colormaps: colormap_tables(),
        default_colormap: Colormap::Viridis.name(),
        limits: Limits { bytes: largest_file },
    }
}

fn model_facts(served: &ServedModel) -> ModelFacts<'_> {
    let (loaded, model) = (&served.loaded, &served.loaded.model);
    let (height, width) = (model.input.height, model.input.width);
    let all = served.costs.last().map_or(1, |&cost| cost.max(1)) as f64;
    let count = |n: usize, one: &str, several: &str| format!("{n} {}", if n == 1 { one } else { several });
    let (exits, classes) = (model.exits.len(), model.classes());
    ModelFacts {
        name: Path::new(&loaded.weights).file_name().unwrap_or_default().to_string_lossy().into_owned(),
        about: format!(
            "{}, {}, {height} × {width} pixels",
            count(exits, "exit", "exits"),
            count(classes, "class", "classes")
        ),
        classes: &model.labels,
        exits: (1..=exits).collect(),
        taps: std::iter::once("own").chain(model.taps.iter().map(|tap| tap.name.as_str())).collect(),
        aspect: width as f64 / height as f64,
        shares: served.costs.iter().map(|&cost| cost as f64 / all).collect(),
    }
}

fn method_facts(method: Method) -> MethodFacts {
    MethodFacts {
        name: method.name(),
        title: method.title(),
        kind: if matches!(method, Method::Map(_)) { "map" } else { "pixels" },
        about: method.about(),
        caution: method.caution(),
        formula: method.formula(),
        paper: method.publication().citation(),
        slow: method.takes_many_runs(),
    }
}

fn score_facts(score: Score) -> ScoreFacts {
    let about = match score {
        Score::Probability => "The class's probability. Its gradient vanishes where the network is sure.",
        Score::Margin => {
            "The class's logit minus the largest other one: why this class rather than the runner-up."
        }
        Score::Logit | Score::Over(_) => {
            "The class's logit, as in the Grad-CAM paper: evidence for the class alone."
        }
    };
    ScoreFacts { name: score.name(), about }
}
