//! The model and its device: `--weights`, `--device`, `--threads`, `--quiet`.

use std::path::PathBuf;

use crate::engine::cuda::{Cuda, Variant};
use crate::engine::device::{Device, DeviceChoice};
use crate::error::printable;
use crate::model::msdnet;
use crate::model::msdnet::Network;
use crate::model::weights::Weights;
use crate::util::sha256;

use super::output;
use super::timings::{Stage, Timings};

/// Options that select the model and the device.
#[derive(Debug, clap::Args)]
pub struct ModelArgs {
    /// Weights file made by `msdcam convert` [default: a built-in CIFAR-10 network with ten exits]
    #[arg(long, value_name = "FILE", alias = "evaluate-from")]
    weights: Option<PathBuf>,
    /// Device: cpu, cuda, cuda:N, or auto (the first GPU if there is one, otherwise the CPU)
    #[arg(long, default_value = "auto", value_parser = device_choice)]
    device: DeviceChoice,
    /// CPU threads for each of reading, computing and drawing [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Print errors only: no progress bar, notes or, if the results are files, table
    #[arg(short, long)]
    quiet: bool,
}

/// A model on its device.
pub struct LoadedModel {
    pub network: Network,
    /// Class names.
    pub labels: Vec<String>,
    /// Mean and standard deviation of the input's normalization.
    pub mean: [f32; 3],
    pub std: [f32; 3],
    /// Name of the weights file, printable, or `built-in`.
    pub weights: String,
    file: Option<PathBuf>,
    /// SHA-256 of the checkpoint from which the weights were converted.
    pub source_sha256: String,
    pub device: Device,
    /// Why `auto` selected the CPU although a GPU driver is installed.
    gpu_error: Option<crate::Error>,
    /// CPU threads for each of reading, computing and drawing.
    pub threads: usize,
    pub quiet: bool,
}

impl ModelArgs {
    /// Reads the weights.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn weights(&self) -> crate::Result<Weights> {
        match &self.weights {
            Some(file) => Weights::read(file),
            None => crate::model::pretrained::built_in_weights(),
        }
    }

    /// Reads the weights and opens the device.
    ///
    /// # Errors
    /// When the weights or the device cannot be used.
    pub fn load(&self, timings: &Timings) -> crate::Result<LoadedModel> {
        self.load_on(timings, |choice, threads| match choice {
            DeviceChoice::Auto => Device::auto(threads),
            choice => Ok((Device::open(choice, threads)?, None)),
        })
    }

    /// As [`ModelArgs::load`], with another variant of the CUDA kernels.
    ///
    /// # Errors
    /// As [`ModelArgs::load`], and when `--device` is not a GPU.
    pub fn load_variant(&self, timings: &Timings, variant: &Variant) -> crate::Result<LoadedModel> {
        self.load_on(timings, |choice, _| match choice {
            DeviceChoice::Cuda(ordinal) => {
                Ok((Device::Cuda(Cuda::with_variant(ordinal, variant.clone())?), None))
            }
            _ => Err(crate::Error::usage("a variant needs --device cuda")),
        })
    }

    /// Reads the weights and opens the device with `open`, which also returns why it is not a GPU.
    fn load_on(
        &self,
        timings: &Timings,
        open: impl FnOnce(DeviceChoice, usize) -> crate::Result<(Device, Option<crate::Error>)>,
    ) -> crate::Result<LoadedModel> {
        let weights = timings.time(Stage::Weights, || self.weights())?;
        let network = timings.time(Stage::Network, || msdnet::load(&weights))?;
        let threads = self.threads.map_or(0, usize::from);
        let (device, gpu_error) = open(self.device, threads)?;
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        Ok(LoadedModel {
            network,
            labels: weights.labels,
            mean: weights.mean,
            std: weights.std,
            weights: self.weights.as_ref().map_or("built-in".into(), |f| printable(&f.to_string_lossy())),
            file: self.weights.clone(),
            source_sha256: weights.source_sha256,
            device,
            gpu_error,
            threads: self.threads.map_or_else(cores, usize::from),
            quiet: self.quiet,
        })
    }
}

impl LoadedModel {
    /// Reports the device on standard error.
    pub fn announce(&self) {
        if !self.quiet {
            let reason = self.gpu_error.as_ref().map(|e| format!(" (GPU unavailable: {e})"));
            let reason = reason.unwrap_or_default();
            output::note(&format!("device: {}{reason}", self.device.description()));
        }
    }

    /// Reports deviations of the device from the request, such as a smaller batch.
    pub fn announce_notes(&self, notes: &[String]) {
        for note in notes.iter().filter(|_| !self.quiet) {
            output::note(note);
        }
    }

    /// SHA-256 of the weights file.
    ///
    /// # Errors
    /// When it can no longer be read.
    pub fn weights_sha256(&self) -> crate::Result<String> {
        match &self.file {
            Some(file) => Ok(sha256::sha256(&crate::model::source_file::read(file)?.0)),
            None => Ok(crate::model::pretrained::built_in_sha256()),
        }
    }

    /// The number of exits.
    pub fn exits(&self) -> usize {
        self.network.exits.len()
    }

    /// Side of the model's input, pixels.
    pub fn input(&self) -> usize {
        self.network.config.input
    }
}

fn device_choice(text: &str) -> Result<DeviceChoice, String> {
    let invalid = || "expected auto, cpu, cuda or cuda:N".to_string();
    match text {
        "auto" => Ok(DeviceChoice::Auto),
        "cpu" => Ok(DeviceChoice::Cpu),
        "cuda" => Ok(DeviceChoice::Cuda(0)),
        _ => {
            let number = text.strip_prefix("cuda:").ok_or_else(invalid)?;
            number.parse().map(DeviceChoice::Cuda).map_err(|_| invalid())
        }
    }
}
