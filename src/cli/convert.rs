//! `msdcam convert`: PyTorch checkpoint to weights file.

use crate::model::Normalization;
use crate::model::convert::{ConvertOptions, convert};
use crate::model::weights::Precision;
use crate::run::check_not_an_input;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Convert a PyTorch checkpoint to a weights file, without running its code
#[derive(Debug, clap::Args)]
pub struct Args {
    /// PyTorch checkpoint (.pth, .pt, .pth.tar, .ckpt) or safetensors file with the state dict of an MSD-Net,
    /// also inside a .zip or .tar
    checkpoint: PathBuf,
    /// Weights file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// State dict to take if the file has several: its key, with dots if it is nested; a prefix of tensor
    /// names may follow [default: the usual key]
    #[arg(long, value_name = "KEY")]
    state_dict: Option<String>,
    /// Input normalization of the training: none, cifar10, cifar100, imagenet, or mean and standard
    /// deviation as R,G,B/R,G,B [default: none for the `subnets` layout, that of the data set for
    /// `blocks`]
    #[arg(long, value_name = "NAME|MEAN/STD", allow_hyphen_values = true)]
    normalize: Option<Normalization>,
    /// Text file of class names, one per line, also as in `0, tench` or `n01440764 tench`; classes of
    /// the same name get their number, as in `crane (134)` [default: CIFAR-10's for 10 classes, otherwise indices]
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Data type of convolution and linear weights; all other tensors are f32
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    dtype: Dtype,
    /// Height and width of the input in pixels, if not the default of the architecture
    #[arg(long, value_name = "PIXELS")]
    input_size: Option<usize>,
    /// Stride of the first convolution of a network for small images, which the checkpoint does not record
    /// [default: 1]
    #[arg(long, value_name = "1|2", value_parser = clap::value_parser!(u8).range(1..=2))]
    stem_stride: Option<u8>,
    /// Pooling before the linear layer of each exit, which the checkpoint does not record: windows of 2 x 2, or
    /// the whole map [default: average]
    #[arg(long, value_enum)]
    head_pool: Option<Pool>,
    /// Weight with which the logits of the exit before are added to those of an exit, as in Boosted Dynamic
    /// Networks (0.5 there); the checkpoint does not record it [default: 0]
    #[arg(long, value_name = "W", value_parser = finite)]
    boosted: Option<f32>,
    /// Global convolutions share their weights, which the checkpoint does not record
    #[arg(long)]
    shared_global: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Dtype {
    F32,
    F16,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Pool {
    Average,
    Adaptive,
}

fn finite(text: &str) -> Result<f32, String> {
    text.parse().ok().filter(|w: &f32| w.is_finite()).ok_or_else(|| "expected a number".into())
}

/// Converts the checkpoint and reports its content and assumptions on standard error.
pub fn run(args: Args) -> crate::Result<()> {
    let options = ConvertOptions {
        state_dict: args.state_dict,
        normalization: args.normalize,
        labels: args.labels,
        precision: match args.dtype {
            Dtype::F32 => Precision::F32,
            Dtype::F16 => Precision::F16,
        },
        input: args.input_size,
        stem_stride: args.stem_stride.map(usize::from),
        adaptive_pool: args.head_pool.map(|pool| matches!(pool, Pool::Adaptive)),
        boosted: args.boosted,
        shared_global: args.shared_global,
    };
    let inputs = options.labels.iter().chain([&args.checkpoint]).map(PathBuf::as_path);
    check_not_an_input(&args.output, inputs)?;
    let report = convert(&args.checkpoint, &args.output, &options)?;
    let mut text = format!(
        "{}: {} tensors, {} exits, {} classes\n",
        crate::error::path_text(&args.output),
        report.tensors,
        report.config.exits(),
        report.config.classes
    );
    for note in report.notes {
        text.push_str(&format!("note: {}\n", crate::error::printable(&note)));
    }
    for assumed in report.assumed {
        text.push_str(&format!("assumed: {assumed}\n"));
    }
    if report.rounded > 0 {
        text.push_str(&format!("note: {} elements were rounded to f16\n", report.rounded));
    }
    let mut stderr = std::io::stderr();
    stderr.write_all(text.as_bytes()).map_err(|e| crate::Error::cannot_write(Path::new("standard error"), e))
}
