//! The contents of a model file, checkpoint or weights.

use super::pytorch::{self, Checkpoint, SourceType};
use super::safetensors_header::is_safetensors;
use super::weights::Weights;
use crate::Result;
use crate::model::msdnet::check_tensors::differences;
use crate::model::msdnet::config::Config;
use crate::model::msdnet::infer::infer;
use crate::model::msdnet::layers::parts;
use crate::model::msdnet::recognize::recognize;
use crate::model::msdnet::usual_normalization;
use crate::util::sha256;
use serde::Serialize;
use std::path::Path;

/// The description of a model file. Field names are JSON keys.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// File format.
    pub format: String,
    /// File size in bytes.
    pub bytes: usize,
    /// SHA-256 of the file.
    pub sha256: String,
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
    /// Why the tensors are not those of an MSD-Net, or which do not match the architecture.
    pub problems: Vec<String>,
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
    /// Number of dense layers up to this exit.
    pub layers: usize,
    /// Channels of its tap.
    pub tap_channels: usize,
    /// Height and width of its tap.
    pub tap_size: usize,
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
    let bytes = source.bytes()?;
    let size = bytes.len();
    if is_safetensors(&bytes) && Weights::is_written_here(&bytes) {
        let weights = Weights::from_bytes(path, &bytes)?;
        return Ok(Inspection {
            format: "msdcam weights (safetensors)".into(),
            bytes: size,
            sha256: sha256::sha256(&bytes),
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
    })
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
                tap_size: config.tap_size(),
                parameters: here().map(|p| p.parameters()).sum(),
                block,
                head,
                total,
            }
        })
        .collect();
    Ok(exits)
}
