//! Microbenchmarks of the GPU: launches, latencies, bandwidth, rates and barriers, each a row with a check of
//! the kernels' results. README.md documents arguments and rows.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use cudarc::driver::sys;
use msdcam::engine::cuda::Variant;
use msdcam::engine::cuda::nvrtc::Nvrtc;
use msdcam::engine::cuda::{Cuda, options};
use msdcam::{Error, Result};
use serde_json::json;

use gpu::Gpu;
use report::Rows;

mod bandwidth;
mod barriers;
mod gpu;
mod latency;
mod launches;
mod rates;
mod report;

#[derive(Parser)]
#[command(name = "floors")]
struct Args {
    /// Output file of the rows, rewritten after each.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Machine code that --compile wrote, instead of NVRTC.
    #[arg(long, value_name = "FILE")]
    cubin: Option<PathBuf>,
    /// Writes machine code instead of measuring.
    #[arg(long, value_name = "FILE")]
    compile: Option<PathBuf>,
    /// Prefix of the names of rows to measure.
    #[arg(long, value_name = "START", default_value = "")]
    only: String,
    /// A tiny run.
    #[arg(long)]
    short: bool,
    /// What `cargo bench` passes.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The kernel sources in the order of their dependencies.
const FILES: [(&str, &str); 6] = [
    ("device.cuh", include_str!("device.cuh")),
    ("launches.cu", include_str!("launches.cu")),
    ("latency.cu", include_str!("latency.cu")),
    ("bandwidth.cu", include_str!("bandwidth.cu")),
    ("rates.cu", include_str!("rates.cu")),
    ("barriers.cu", include_str!("barriers.cu")),
];

const KERNELS: &str = "link link_early link_late bump hold \
    plant chase_l1 chase_l2 visit_l2 chase_shared chase_cluster \
    fence_sc fence_sc_stored fence_acq_rel_alone fence_acq_rel_stored \
    atomics_relaxed atomics_acq_rel parameters \
    fill sum multiply_adds mma_tf32 mma_bf16 \
    cluster_barriers cluster_barriers_relaxed grid_barriers flags_red flags_store flags_relaxed";

/// Sources that need clusters.
const LEAST_CAPABILITY: u32 = 90;

/// Machine code for `capability`, and its origin.
fn compile(capability: u32) -> Result<(Vec<u8>, String)> {
    let part = |(file, text): &(&str, &str)| format!("#line 1 \"benches/floors/{file}\"\n{text}");
    let source: String = FILES.iter().map(part).collect();
    let nvrtc = Nvrtc::find(Variant::from_env().nvrtc.as_deref())?;
    let image = nvrtc.compile(&source, &options(capability, &nvrtc.architectures()))?.image;
    Ok((image, format!("nvrtc {}.{}", nvrtc.version.0, nvrtc.version.1)))
}

/// Opens the GPU; a panic of cudarc becomes an error.
fn open(short: bool) -> Result<Gpu> {
    if !Cuda::has_driver() {
        return Err(Error::device("floors: no NVIDIA driver"));
    }
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let gpu = std::panic::catch_unwind(|| Gpu::open(short));
    std::panic::set_hook(hook);
    let gpu = gpu.unwrap_or_else(|_| Err(Error::device("floors: no usable NVIDIA driver")))?;
    if gpu.capability < LEAST_CAPABILITY {
        return Err(Error::device("floors: the GPU has a compute capability below 9.0"));
    }
    Ok(gpu)
}

/// The CUDA version that the driver supports, and the driver's own version if known.
fn driver() -> String {
    let mut version = 0;
    // SAFETY: there is room for one value.
    let _ = unsafe { sys::cuDriverGetVersion(&mut version) };
    let own = std::fs::read_to_string("/sys/module/nvidia/version").unwrap_or_default();
    format!("CUDA {}.{} {}", version / 1000, version % 1000 / 10, own.trim()).trim_end().to_string()
}

/// Measures or compiles. Returns whether all rows are correct.
fn run(args: Args) -> Result<bool> {
    if let Some(file) = &args.compile {
        std::fs::write(file, compile(LEAST_CAPABILITY)?.0).map_err(|e| Error::write(file, e))?;
        return Ok(true);
    }
    let mut gpu = open(args.short)?;
    let (image, source) = match &args.cubin {
        Some(file) => {
            let image = std::fs::read(file).map_err(|e| Error::refused(file, "file", e.to_string()))?;
            (image, "cubin".to_string())
        }
        None => compile(gpu.capability)?,
    };
    gpu.load(image, KERNELS.split_whitespace())?;
    let facts = json!({
        "device": gpu.name, "driver": driver(), "multiprocessors": gpu.multiprocessors,
        "compute_capability": format!("{}.{}", gpu.capability / 10, gpu.capability % 10),
        "l2_bytes": gpu.l2_bytes, "source": source,
    });
    let mut rows = Rows::default();
    rates::rows(&mut rows);
    latency::rows(&mut rows);
    bandwidth::rows(&mut rows);
    launches::rows(&mut rows);
    // Last, because their errors may invalidate the context.
    barriers::rows(&mut rows);
    rates::warm_up(&gpu, gpu.pick(150, 1))?;
    rows.run(&gpu, facts, &args.only, args.json, |gpu| rates::warm_up(gpu, gpu.pick(8, 1)))
}

fn main() -> ExitCode {
    // `cargo bench` without a target runs every bench: without a GPU nothing to do then.
    let idle = std::env::args().skip(1).all(|arg| arg == "--bench");
    match run(Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) if idle && matches!(e, Error::Device(_)) => {
            eprintln!("floors: nothing measured: {e}");
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}
