//! `msdcam convert`: from a PyTorch checkpoint to weights.

use crate::model::Normalization;
use crate::model::convert::{Options, convert};
use crate::model::weights::Precision;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Make weights of a PyTorch checkpoint, without running any code in it
#[derive(Debug, clap::Args)]
pub struct Args {
    /// PyTorch checkpoint (.pth, .pt, .pth.tar) of an MSD-Net
    checkpoint: PathBuf,
    /// Weights file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// What the network was trained with: none, cifar10, cifar100, imagenet, or mean and standard
    /// deviation as R,G,B/R,G,B [default: none for `subnets` networks, the data set's for `blocks`]
    #[arg(long, value_name = "NAME|MEAN/STD", allow_hyphen_values = true)]
    normalize: Option<Normalization>,
    /// Class names, one a line [default: CIFAR-10's for 10 classes, else numbers]
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Number format of convolution and linear weights; the rest is always f32
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    dtype: Dtype,
    /// Height and width of the input in pixels, if not the usual for this network
    #[arg(long, value_name = "PIXELS")]
    input_size: Option<usize>,
    /// The network's global convolutions share their weights; the checkpoint does not tell
    #[arg(long)]
    shared_global: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Dtype {
    F32,
    F16,
}

/// Converts, and says on standard error what was found and what had to be assumed.
pub fn run(args: Args) -> crate::Result<()> {
    let options = Options {
        normalization: args.normalize,
        labels: args.labels,
        precision: match args.dtype {
            Dtype::F32 => Precision::F32,
            Dtype::F16 => Precision::F16,
        },
        input: args.input_size,
        shared_global: args.shared_global,
    };
    let report = convert(&args.checkpoint, &args.output, &options)?;
    let mut text = format!(
        "{}: {} tensors, {} exits, {} classes\n",
        crate::error::printable(&args.output.to_string_lossy()),
        report.tensors,
        report.config.exits,
        report.config.classes
    );
    for assumed in report.assumed {
        text.push_str(&format!("assumed: {assumed}\n"));
    }
    if report.rounded > 0 {
        text.push_str(&format!("note: {} numbers were rounded to f16\n", report.rounded));
    }
    let mut stderr = std::io::stderr();
    stderr.write_all(text.as_bytes()).map_err(|e| crate::Error::write(Path::new("standard error"), e))
}
