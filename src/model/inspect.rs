//! The contents of a model file, checkpoint or weights.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::digest::Digester;
use super::pytorch::{self, Checkpoint, SourceType};
use super::safetensors_header::is_safetensors;
use super::source_file::SourceFile;
use super::weights::Weights;
use super::{Model, Source, onnx};
use crate::engine::graph::Op;
use crate::model::msdnet::check_tensors::differences;
use crate::model::msdnet::config::Config;
use crate::model::msdnet::infer::infer;
use crate::model::msdnet::layers::parts;
use crate::model::msdnet::recognize::recognize;
use crate::model::msdnet::usual_normalization;
use crate::util::sha256;
use crate::{Error, Result, Shape};

/// The description of a model file. Field names are JSON keys.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// File format.
    pub format: String,
    /// File size in bytes.
    pub bytes: usize,
    /// SHA-256 of the file.
    pub sha256: String,
    /// SHA-256 of the tensors in files beside an ONNX file, in the order of their names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_data_sha256: Option<String>,
    /// SHA-256 of the checkpoint that weights were made from.
    pub source_sha256: Option<String>,
    /// Keys that lead to the state dict in a checkpoint.
    pub state_dict: Option<String>,
    /// Number of tensors that the model reads.
    pub tensors: usize,
    /// Number of their elements.
    pub numbers: usize,
    /// Element types in a checkpoint.
    pub stored: Vec<String>,
    /// The architecture; `None` if none follows from the tensors.
    pub architecture: Option<Config>,
    /// Properties of the architecture that are not in the file and were assumed.
    pub assumed: Vec<String>,
    /// Parts of the file that were passed over, and what is unusual about it.
    pub notes: Vec<String>,
    /// Why the tensors are not those of an MSD-Net, or which do not match the architecture; why an ONNX file cannot be
    /// run.
    pub problems: Vec<String>,
    /// The network of an ONNX file, if it can be run.
    #[serde(skip)]
    pub model: Option<Box<Model>>,
    /// Cost of each exit.
    pub exits: Vec<Exit>,
    /// Mean of the normalization: the file's own, or the usual one for a checkpoint.
    pub mean: Option<[f32; 3]>,
    /// Standard deviation of the normalization.
    pub std: Option<[f32; 3]>,
    /// Class names, in a weights file.
    pub labels: Option<Vec<String>>,
}

/// The cost of one exit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exit {
    /// Number, from 1.
    pub exit: usize,
    /// Number of layers up to this exit: dense ones of an MSD-Net, convolutions and linear layers of other networks.
    pub layers: usize,
    /// Channels of its tap.
    pub tap_channels: usize,
    /// Height of its tap.
    pub tap_height: usize,
    /// Width of its tap.
    pub tap_width: usize,
    /// Parameters of its block and head.
    pub parameters: u64,
    /// Multiply-adds of its block.
    pub block: u64,
    /// Multiply-adds of its head.
    pub head: u64,
    /// Multiply-adds from the image to this exit, including all heads up to it.
    pub total: u64,
}

/// Reads and describes the file at `path`; `state_dict` chooses one of several in a checkpoint.
///
/// # Errors
/// When it is neither a valid checkpoint nor a valid weights file. Tensors that are not those of an
/// MSD-Net are not an error, but reported in [`Inspection::problems`].
pub fn inspect(path: &Path, state_dict: Option<&str>) -> Result<Inspection> {
    let source = pytorch::open(path)?;
    if onnx::is_onnx(&source.head()?) {
        return inspect_onnx(&source);
    }
    let bytes = source.bytes()?;
    let size = bytes.len();
    if is_safetensors(&bytes) && Weights::is_written_here(&bytes) {
        let sha256 = sha256::sha256(&bytes);
        let weights = Weights::from_shared(path, Arc::new(bytes))?;
        return Ok(Inspection {
            format: "msdcam weights (safetensors)".into(),
            bytes: size,
            sha256,
            external_data_sha256: None,
            source_sha256: Some(weights.source_sha256),
            state_dict: None,
            tensors: weights.tensors.len(),
            numbers: weights.tensors.values().map(|(_, data)| data.len()).sum(),
            stored: Vec::new(),
            exits: exits(&weights.config)?,
            architecture: Some(weights.config),
            assumed: Vec::new(),
            notes: Vec::new(),
            problems: Vec::new(),
            mean: Some(weights.mean),
            std: Some(weights.std),
            labels: Some(weights.labels),
            model: None,
        });
    }
    drop(bytes);
    let checkpoint = Checkpoint::from_source(&source, state_dict)?;
    let all = checkpoint.shapes();
    let mut notes = checkpoint.notes();
    let (mut architecture, mut assumed, mut problems) = (None, Vec::new(), Vec::new());
    let mut names: Vec<String> = Vec::new();
    match recognize(&all) {
        Ok(network) => {
            notes.extend(network.notes);
            names = network.names.values().cloned().collect();
            match infer(&network.shapes) {
                Ok(inferred) => {
                    problems = differences(&inferred.config, &network.shapes);
                    assumed = inferred.assumed.iter().map(|a| a.to_string()).collect();
                    architecture = Some(inferred.config);
                }
                Err(unclear) => problems.push(format!("{}: {}", unclear.place(), unclear.cause)),
            }
        }
        Err(cause) => problems.push(cause),
    }
    // A network of impossible size has tensors, but no cost.
    let costs = match architecture.as_ref().map(exits) {
        Some(Ok(costs)) => costs,
        Some(Err(error)) => {
            problems.push(error.to_string());
            architecture = None;
            Vec::new()
        }
        None => Vec::new(),
    };
    let tensors = checkpoint.tensors(names.iter().map(String::as_str))?;
    let normalization = architecture.as_ref().map(usual_normalization);
    let mut stored: Vec<String> = [SourceType::F16, SourceType::Bf16, SourceType::F32, SourceType::F64]
        .into_iter()
        .filter(|t| tensors.values().any(|tensor| tensor.stored == *t))
        .map(|t| format!("{t:?}").to_lowercase())
        .collect();
    stored.sort();
    Ok(Inspection {
        format: checkpoint.container.to_string(),
        bytes: size,
        sha256: checkpoint.sha256.clone(),
        external_data_sha256: None,
        source_sha256: None,
        state_dict: Some(checkpoint.path.join(".")),
        tensors: if tensors.is_empty() { all.len() } else { tensors.len() },
        numbers: tensors.values().map(|tensor| tensor.data.len()).sum(),
        stored,
        exits: costs,
        architecture,
        assumed,
        notes,
        problems,
        mean: normalization.map(|n| n.mean),
        std: normalization.map(|n| n.std),
        labels: None,
        model: None,
    })
}

/// The description of an ONNX file.
fn inspect_onnx(source: &SourceFile) -> Result<Inspection> {
    let mut digester = Digester::default();
    let (summary, model) = onnx::inspect(source, &mut digester)?;
    let digest = digester.finish();
    let (model, problems) = match model {
        Ok(model) => (Some(Box::new(model)), Vec::new()),
        Err(Error::Refused { place, cause, .. }) if place == "ONNX" => (None, vec![cause]),
        Err(Error::Refused { place, cause, .. }) => (None, vec![format!("{place}: {cause}")]),
        Err(other) => return Err(other),
    };
    let by = if summary.producer.is_empty() { String::new() } else { format!(" by {}", summary.producer) };
    let opset = summary.opset.map_or("unknown".into(), |version| version.to_string());
    let notes = match model.as_ref().map(|model| &model.source) {
        Some(Source::Onnx { notes }) => notes.clone(),
        _ => Vec::new(),
    };
    let (assumed, notes): (Vec<String>, Vec<String>) =
        notes.into_iter().partition(|note| note.starts_with(ASSUMED));
    let params = || model.iter().flat_map(|model| model.graph.params());
    Ok(Inspection {
        format: format!("ONNX, opset {opset}{by}, {} operators", summary.nodes),
        bytes: source.size() as usize,
        sha256: digest.sha256,
        external_data_sha256: digest.external_data_sha256,
        source_sha256: None,
        state_dict: None,
        tensors: if model.is_some() { params().count() } else { summary.tensors },
        numbers: params().map(|param| param.data.len()).sum(),
        stored: Vec::new(),
        architecture: None,
        assumed: assumed.iter().map(|note| note[ASSUMED.len()..].to_string()).collect(),
        notes,
        problems,
        exits: model.as_deref().map(exits_of_model).unwrap_or_default(),
        mean: model.as_ref().map(|model| model.input.normalization.mean),
        std: model.as_ref().map(|model| model.input.normalization.std),
        labels: model.as_ref().map(|model| model.labels.clone()),
        model,
    })
}

/// What notes about assumptions begin with.
const ASSUMED: &str = "assumed: ";

/// The cost of each exit of any model, exit 1 first.
///
/// # Panics
/// When the graph lacks the node of a tap or of an exit.
pub fn exits_of_model(model: &Model) -> Vec<Exit> {
    let graph = &model.graph;
    let taps: Vec<_> = (1..=model.exits.len()).map(|exit| model.exit_tap(exit).node).collect();
    let in_trunk = graph.ancestors(&taps);
    let logits: Vec<_> = model.exits.iter().map(|exit| exit.logits).collect();
    let needed = graph.ancestors(&logits);
    let mut seen = HashSet::new();
    let (mut layers, mut total) = (0, 0);
    let exits = (1..).zip(&taps).map(|(exit, &tap)| {
        let (mut block, mut head, mut parameters) = (0, 0, 0);
        for id in graph.ids().filter(|id| needed[id.index()] && graph.node(*id).exit == exit) {
            let node = graph.node(id);
            let inputs: Vec<Shape> = node.inputs.iter().map(|&input| graph.shape(input)).collect();
            let cost = node.op.multiply_adds(&inputs, node.shape);
            *if in_trunk[id.index()] { &mut block } else { &mut head } += cost;
            layers += usize::from(matches!(node.op, Op::Conv2d(_) | Op::Linear(_)));
            let params = node.op.params().into_iter().filter(|&id| seen.insert(id));
            parameters += params.map(|id| graph.param(id).data.len() as u64).sum::<u64>();
        }
        total += block + head;
        let Shape { c, h, w } = graph.shape(tap);
        Exit { exit, layers, tap_channels: c, tap_height: h, tap_width: w, parameters, block, head, total }
    });
    exits.collect()
}

/// The cost of each exit.
///
/// # Errors
/// When the configuration is invalid.
pub fn exits(config: &Config) -> Result<Vec<Exit>> {
    let parts = parts(config)?;
    let (mut layers, mut total) = (0, 0);
    let steps = &config.layers;
    let exits = (0..config.exits())
        .map(|exit| {
            let here = || parts.iter().filter(move |p| p.exit == exit);
            let cost = |head| here().filter(|p| p.head == head).map(|p| p.multiply_adds()).sum::<u64>();
            let (block, head) = (cost(false), cost(true));
            layers += steps[exit];
            total += block + head;
            Exit {
                exit: exit + 1,
                layers,
                tap_channels: here().find(|p| p.head).map_or(0, |p| p.channels_in()),
                tap_height: config.tap_size(),
                tap_width: config.tap_size(),
                parameters: here().map(|p| p.parameters()).sum(),
                block,
                head,
                total,
            }
        })
        .collect();
    Ok(exits)
}
