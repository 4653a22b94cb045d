//! The network and its device: `--weights`, `--device`, `--threads`.

use std::path::PathBuf;

use crate::engine::cpu::Isa;
use crate::engine::cuda::{Cuda, Variant};
use crate::engine::device::{Device, DeviceChoice, DeviceOptions};
use crate::error::printable;
use crate::model::msdnet;
use crate::model::msdnet::Network;
use crate::model::weights::Weights;
use crate::util::sha256;

use super::output;
use super::timings::{Stage, Timings};

/// Which network runs where.
#[derive(Debug, clap::Args)]
pub struct ModelArgs {
    /// Weights made by `msdcam convert` [default: the built-in ten-exit CIFAR-10 network]
    #[arg(long, value_name = "FILE", alias = "evaluate-from")]
    weights: Option<PathBuf>,
    /// Where to compute: cpu, cuda or cuda:N; auto takes the first GPU if there is one, else the CPU
    #[arg(long, default_value = "auto", value_parser = device_choice)]
    device: DeviceChoice,
    /// Threads on the CPU, for each of reading, computing and drawing [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// No progress, no notes and, where the results are files, no table: only errors
    #[arg(short, long)]
    quiet: bool,
}

/// A network on its device.
pub struct Model {
    pub network: Network,
    /// Class names.
    pub labels: Vec<String>,
    /// Mean and standard deviation of the input's normalisation.
    pub mean: [f32; 3],
    pub std: [f32; 3],
    /// The weights' file, printable, or `built-in`.
    pub weights: String,
    file: Option<PathBuf>,
    /// SHA-256 of the checkpoint that they come from.
    pub source_sha256: String,
    pub device: Device,
    /// Why it is not the GPU, where there seems to be one.
    reason: Option<crate::Error>,
    /// Threads for each thing that runs on the CPU: reading, the network, drawing.
    pub threads: usize,
    pub quiet: bool,
}

impl ModelArgs {
    /// Whether only errors are to be said.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Reads the weights.
    ///
    /// # Errors
    /// When they cannot be used.
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
    pub fn load(&self, timings: &Timings) -> crate::Result<Model> {
        self.load_on(timings, |choice, threads| {
            let isa = if let DeviceChoice::Cuda(_) = choice { None } else { isa_from_environment()? };
            Device::with_options(&DeviceOptions { choice, threads, isa, ..DeviceOptions::default() })
        })
    }

    /// As [`ModelArgs::load`], a GPU as a developer wants to measure it.
    ///
    /// # Errors
    /// As [`ModelArgs::load`], and when `--device` names no GPU.
    pub fn load_variant(&self, timings: &Timings, variant: &Variant) -> crate::Result<Model> {
        self.load_on(timings, |choice, _| match choice {
            DeviceChoice::Cuda(ordinal) => {
                Ok((Device::Cuda(Cuda::with_variant(ordinal, variant.clone())?), None))
            }
            _ => Err(crate::Error::usage("a variant needs --device cuda")),
        })
    }

    /// Reads the weights and opens the device: `open` gives it, and why it is not the GPU.
    fn load_on(
        &self,
        timings: &Timings,
        open: impl FnOnce(DeviceChoice, usize) -> crate::Result<(Device, Option<crate::Error>)>,
    ) -> crate::Result<Model> {
        let weights = timings.time(Stage::Weights, || self.weights())?;
        let network = timings.time(Stage::Network, || msdnet::load(&weights))?;
        let threads = self.threads.map_or(0, usize::from);
        let (device, reason) = open(self.device, threads)?;
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Model {
            network,
            labels: weights.labels,
            mean: weights.mean,
            std: weights.std,
            weights: self.weights.as_ref().map_or("built-in".into(), |f| printable(&f.to_string_lossy())),
            file: self.weights.clone(),
            source_sha256: weights.source_sha256,
            device,
            reason,
            threads: self.threads.map_or_else(cores, usize::from),
            quiet: self.quiet,
        })
    }
}

impl Model {
    /// Says which device it is; once nothing stands against using it.
    pub fn announce(&self) {
        if !self.quiet {
            let reason =
                self.reason.as_ref().map(|e| format!(", for want of a GPU: {e}")).unwrap_or_default();
            output::note(&format!("device: {}{reason}", self.device.description()));
        }
    }

    /// Passes on what a device had to do differently than asked, such as a smaller batch.
    pub fn announce_notes(&self, notes: &[String]) {
        for note in notes.iter().filter(|_| !self.quiet) {
            output::note(note);
        }
    }

    /// SHA-256 of the weights file.
    ///
    /// # Errors
    /// When it cannot be read any more.
    pub fn weights_sha256(&self) -> crate::Result<String> {
        match &self.file {
            Some(file) => Ok(sha256::sha256(&crate::model::source_file::read(file)?.0)),
            None => Ok(crate::model::pretrained::built_in_sha256()),
        }
    }

    /// How many exits the network has.
    pub fn exits(&self) -> usize {
        self.network.exits.len()
    }

    /// Side of the network's input image, pixels.
    pub fn input(&self) -> usize {
        self.network.config.input
    }
}

/// The instruction set that the variable `MSDCAM_CPU` demands: `avx512`, `avx2` or `portable`.
///
/// # Errors
/// When it names one that this machine lacks.
fn isa_from_environment() -> crate::Result<Option<Isa>> {
    let Some(name) = std::env::var_os("MSDCAM_CPU") else { return Ok(None) };
    let available = Isa::available();
    if let Some(isa) = available.iter().find(|isa| name == isa.name()) {
        return Ok(Some(*isa));
    }
    let (name, names) = (name.to_string_lossy(), available.iter().map(|isa| isa.name()).collect::<Vec<_>>());
    Err(crate::Error::device(format!("MSDCAM_CPU is '{name}': this machine has {}", names.join(", "))))
}

fn device_choice(text: &str) -> Result<DeviceChoice, String> {
    let unknown = || "expected auto, cpu, cuda or cuda:N".to_string();
    match text {
        "auto" => Ok(DeviceChoice::Auto),
        "cpu" => Ok(DeviceChoice::Cpu),
        "cuda" => Ok(DeviceChoice::Cuda(0)),
        _ => {
            let number = text.strip_prefix("cuda:").ok_or_else(unknown)?;
            number.parse().map(DeviceChoice::Cuda).map_err(|_| unknown())
        }
    }
}
