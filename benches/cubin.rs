//! Machine code of the kernels, compiled by NVRTC without a GPU.
//!
//!     cubin CHIP FILE [OPTION...]      for compute capability CHIP (90 for 9.0), with NVRTC's OPTIONs
//!     cubin --built-in                 kernels/sm_90.cubin and kernels/sm_90.source
//!
//! `MSDCAM_NVRTC` names the folder of NVRTC; without it, NVRTC is searched for as by msdcam.

use std::path::Path;
use std::process::ExitCode;

use msdcam::engine::cuda::nvrtc::Nvrtc;
use msdcam::engine::cuda::{Variant, built_in_source, options, source};
use msdcam::{Error, Result};

mod support;

/// Machine code of the kernels for compute capability `chip`, with options in addition to the default ones.
fn machine_code(chip: u32, more: &[String]) -> Result<Vec<u8>> {
    let nvrtc = Nvrtc::find(Variant::from_env().nvrtc.as_deref())?;
    let mut options = options(chip, &nvrtc.architectures());
    options.extend_from_slice(more);
    eprintln!("NVRTC {}.{}: {}", nvrtc.version.0, nvrtc.version.1, options.join(" "));
    Ok(nvrtc.compile(&source(), &options)?.image)
}

fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(file, bytes).map_err(|e| Error::write(file, e))?;
    eprintln!("{}: {} bytes", file.display(), bytes.len());
    Ok(())
}

fn run(args: &[String]) -> Result<()> {
    match args {
        [word] if word == "--built-in" => {
            write(&support::repository("kernels/sm_90.cubin"), &machine_code(90, &[])?)?;
            write(&support::repository("kernels/sm_90.source"), format!("{}\n", built_in_source()).as_bytes())
        }
        [chip, file, more @ ..] => {
            let chip =
                chip.parse().map_err(|_| Error::usage(format!("'{chip}' is no compute capability")))?;
            write(Path::new(file), &machine_code(chip, more)?)
        }
        _ => Err(Error::usage("usage: cubin CHIP FILE [OPTION...], or cubin --built-in")),
    }
}

fn main() -> ExitCode {
    // `cargo bench` without a target runs every bench with this flag alone: nothing to do then.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if args.is_empty() {
        eprintln!("cubin: makes machine code of the kernels; see benches/cubin.rs");
        return ExitCode::SUCCESS;
    }
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}
