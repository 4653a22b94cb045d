//! The model and its device: `--weights`, `--device`, `--threads`, `--quiet`.

use std::ffi::OsString;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};

use crate::engine::cpu::Isa;
use crate::engine::cuda::Variant;
use crate::engine::device::{Device, DeviceChoice, DeviceOptions};
use crate::error::path_text;
use crate::model::{
    Labels, Model, ModelDigest, Normalization, OpenOptions, Source, open_digested, pretrained,
};

use super::timings::{Stage, Timings};
use super::{isolation, output};

/// Options that select the model and the device.
#[derive(Debug, clap::Args)]
pub struct ModelArgs {
    /// Weights file made by `msdcam convert`, or ONNX file of a convolutional network [default: a built-in
    /// CIFAR-10 network with ten exits]
    #[arg(long, value_name = "FILE", alias = "evaluate-from")]
    weights: Option<PathBuf>,
    #[command(flatten)]
    loading: LoadingArgs,
}

/// How weights are read, and the device.
#[derive(Debug, Clone, clap::Args)]
pub struct LoadingArgs {
    /// Height and width of the input of an ONNX file that takes any, in pixels: HxW, or one number for both
    #[arg(long, value_name = "HxW", value_parser = input_size)]
    input_size: Option<(usize, usize)>,
    /// Input normalization of an ONNX file: none, cifar10, cifar100, imagenet, or mean and standard deviation as
    /// R,G,B/R,G,B [default: that of the JSON file beside it, otherwise imagenet]
    #[arg(long, value_name = "NAME|MEAN/STD", allow_hyphen_values = true)]
    normalize: Option<Normalization>,
    /// Class names of an ONNX file: imagenet, or a text file with one per line [default: those of the JSON file
    /// beside it, for 1000 classes ImageNet's, otherwise numbers]
    #[arg(long, value_name = "imagenet|FILE", value_parser = labels)]
    labels: Option<Labels>,
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
    pub model: Model,
    /// Name of the weights file, printable, or `built-in`.
    pub weights: String,
    /// Of the bytes that the model was made of; `None` for the built-in weights.
    digest: Option<ModelDigest>,
    pub device: Device,
    /// Why `auto` selected the CPU although a GPU driver is installed.
    gpu_error: Option<crate::Error>,
    /// CPU threads for each of reading, computing and drawing.
    pub threads: usize,
    pub quiet: bool,
}

impl ModelArgs {
    /// Reads the weights and opens the device: see [`LoadingArgs::load`].
    ///
    /// # Errors
    /// When the weights or the device cannot be used.
    pub fn load(&self, timings: &Timings) -> crate::Result<LoadedModel> {
        self.loading.load(self.weights.as_deref(), timings)
    }

    /// As [`ModelArgs::load`], with another variant of the CUDA kernels.
    ///
    /// # Errors
    /// As [`ModelArgs::load`], and when `--device` is not a GPU.
    pub fn load_variant(&self, timings: &Timings, variant: Variant) -> crate::Result<LoadedModel> {
        self.loading.load_variant(self.weights.as_deref(), timings, variant)
    }
}

impl LoadingArgs {
    /// Reads `weights`, or the built-in ones, and opens the device; the environment may name the kernels of the
    /// CPU (`MSDCAM_CPU`) and of a GPU (`MSDCAM_NVRTC`, `MSDCAM_CUBIN`).
    ///
    /// # Errors
    /// When the weights or the device cannot be used.
    pub fn load(&self, weights: Option<&Path>, timings: &Timings) -> crate::Result<LoadedModel> {
        self.load_variant(weights, timings, Variant::default())
    }

    /// Those of the CPU with one thread.
    pub fn on_one_thread() -> LoadingArgs {
        LoadingArgs {
            input_size: None,
            normalize: None,
            labels: None,
            device: DeviceChoice::Cpu,
            threads: Some(1),
            quiet: true,
        }
    }

    fn load_variant(
        &self,
        weights: Option<&Path>,
        timings: &Timings,
        variant: Variant,
    ) -> crate::Result<LoadedModel> {
        let on_gpu = matches!(self.device, DeviceChoice::Cuda(_));
        if variant != Variant::default() && !on_gpu {
            return Err(crate::Error::usage("a variant needs --device cuda"));
        }
        let read = || match weights {
            Some(file) => {
                let (model, digest) = open_digested(file, &self.options())?;
                Ok::<_, crate::Error>((model, Some(digest)))
            }
            None => {
                if self.options() != OpenOptions::default() {
                    return Err(crate::Error::usage(
                        "--input-size, --normalize and --labels are for ONNX files",
                    ));
                }
                Ok((Model::pretrained()?, None))
            }
        };
        let open = || {
            Device::with_options(&DeviceOptions {
                choice: self.device,
                threads: self.threads.map_or(0, usize::from),
                isa: if on_gpu { None } else { Isa::from_env()? },
                variant: variant.with_env(),
            })
        };
        // The device is opened meanwhile, a GPU's driver for longer than the weights are read.
        let (model, device) = std::thread::scope(|scope| {
            let device = isolation::spawn(scope, open);
            let model = timings.time(Stage::Model, read);
            (model, device.map(|device| device.join().unwrap_or_else(|panic| resume_unwind(panic))))
        });
        let (model, digest) = model?;
        let (device, gpu_error) = device??;
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        Ok(LoadedModel {
            model,
            weights: weights.map_or("built-in".into(), path_text),
            digest,
            device,
            gpu_error,
            threads: self.threads.map_or_else(cores, usize::from),
            quiet: self.quiet,
        })
    }

    fn options(&self) -> OpenOptions {
        OpenOptions {
            input_size: self.input_size,
            normalization: self.normalize,
            labels: self.labels.clone(),
        }
    }

    /// The options as arguments of another command.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = Vec::new();
        if let Some((height, width)) = self.input_size {
            arguments.push(format!("--input-size={height}x{width}").into());
        }
        if let Some(Normalization { mean, std }) = self.normalize {
            let [mean, std] = [mean, std].map(|of| of.map(|x| x.to_string()).join(","));
            arguments.push(format!("--normalize={mean}/{std}").into());
        }
        match &self.labels {
            Some(Labels::ImageNet) => arguments.push("--labels=imagenet".into()),
            Some(Labels::File(file)) => arguments.push(word("--labels=", file)),
            None => {}
        }
        match self.device {
            DeviceChoice::Auto => {}
            DeviceChoice::Cpu => arguments.push("--device=cpu".into()),
            DeviceChoice::Cuda(ordinal) => arguments.push(format!("--device=cuda:{ordinal}").into()),
        }
        arguments
    }
}

impl LoadedModel {
    /// SHA-256 of the checkpoint that the weights come from, if there is one.
    pub fn source_sha256(&self) -> Option<&str> {
        Some(self.model.source.checkpoint_sha256()).filter(|sha256| !sha256.is_empty())
    }

    /// What a manifest says of the weights beside their digest.
    pub fn weights_fields(&self) -> serde_json::Value {
        let mut fields = serde_json::json!({ "file": self.weights });
        if let Some(sha256) = self.source_sha256() {
            fields["source_sha256"] = sha256.into();
        }
        fields
    }

    /// Reports on standard error what was assumed of the model, and the device.
    pub fn announce(&self) {
        if !self.quiet {
            if let Source::Onnx { notes } = &self.source {
                notes.iter().for_each(|note| output::note(note));
            }
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

    /// SHA-256 of the weights.
    pub fn digest(&self) -> ModelDigest {
        self.digest.clone().unwrap_or_else(pretrained::digest)
    }
}

/// An option and its file in one word, which may begin with a dash.
pub fn word(option: &str, file: &Path) -> OsString {
    let mut word = OsString::from(option);
    word.push(file);
    word
}

/// A loaded model is used as the model that it holds.
impl std::ops::Deref for LoadedModel {
    type Target = Model;

    fn deref(&self) -> &Model {
        &self.model
    }
}

fn labels(text: &str) -> Result<Labels, String> {
    if text.eq_ignore_ascii_case("imagenet") {
        return Ok(Labels::ImageNet);
    }
    let looks_like_a_file = text.contains(['.', '/', '\\']) || std::path::Path::new(text).exists();
    if looks_like_a_file { Ok(Labels::File(text.into())) } else { Err("expected imagenet, or a file".into()) }
}

fn input_size(text: &str) -> Result<(usize, usize), String> {
    let side = |text: &str| text.parse().ok().filter(|side| (1..=1 << 16).contains(side));
    let size = match text.split_once('x') {
        Some((height, width)) => side(height).zip(side(width)),
        None => side(text).map(|side| (side, side)),
    };
    size.ok_or_else(|| "expected HxW, such as 224x224".into())
}

fn device_choice(text: &str) -> Result<DeviceChoice, String> {
    DeviceChoice::parse(text).ok_or_else(|| "expected auto, cpu, cuda or cuda:N".into())
}
