//! The CUDA driver, its GPUs, NVRTC, and the folder of compiled kernels.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::finding::Finding;
use super::machine::gib;
use super::time_limit::within;
use crate::engine::cuda::Variant;
use crate::engine::cuda::nvrtc::Nvrtc;
use crate::engine::cuda::survey::{self, CacheFolder, Driver, Gpu};
use crate::error::path_text;
use crate::util::atomic_file::check_writable;

/// Time for an answer of the driver, or of the search for NVRTC.
const ANSWER: Duration = Duration::from_secs(60);

/// What was found, and the GPUs that are to be tested.
pub struct Found {
    pub findings: Vec<Finding>,
    pub gpus: Vec<Gpu>,
    /// What to do where a GPU does not work.
    pub advice: String,
}

/// The driver, its GPUs and what they need.
pub fn gpus() -> Found {
    let variant = Variant::from_env();
    let answer = within(ANSWER, || (survey::gpus(), survey::driver_version()));
    let (driver, gpus) = match answer {
        Ok((driver, version)) => of_driver(driver, version),
        Err(e) => (Finding::wrong("driver", e, BROKEN_DRIVER), Vec::new()),
    };
    let mut findings = vec![driver];
    let own_code = variant.kernels != crate::engine::cuda::Kernels::Auto;
    findings.extend(gpus.iter().map(|gpu| of_gpu(gpu, own_code || variant.nvrtc.is_some())));
    let needed = !own_code && gpus.iter().any(|gpu| variant.nvrtc.is_some() || !gpu.has_built_in);
    let (nvrtc, advice) = of_nvrtc(variant.nvrtc.clone(), needed, gpus.is_empty());
    findings.push(nvrtc);
    findings.push(of_cache());
    let advice = if own_code { "unset MSDCAM_CUBIN, which names other machine code".into() } else { advice };
    Found { findings, gpus, advice }
}

const BROKEN_DRIVER: &str =
    "run nvidia-smi: if it fails too, update or repair NVIDIA's driver; --device cpu works without it";

fn of_driver(driver: Driver, version: Option<(i32, i32)>) -> (Finding, Vec<Gpu>) {
    let cuda = version.map(|(major, minor)| format!("{major}.{minor}"));
    let supports = cuda.as_ref().map_or(String::new(), |cuda| format!(", for CUDA up to {cuda}"));
    let facts = |found: bool, gpus: usize| json!({ "found": found, "cuda": cuda, "gpus": gpus });
    match driver {
        Driver::Missing => {
            let text = "no NVIDIA driver (libcuda.so) on the loader's path: the CPU computes everything";
            let advice = "if there is an NVIDIA GPU, install NVIDIA's driver; msdcam need not be built again";
            (Finding::note("driver", text, advice).with(facts(false, 0)), Vec::new())
        }
        Driver::Unusable(reason) => {
            (Finding::wrong("driver", reason, BROKEN_DRIVER).with(facts(true, 0)), Vec::new())
        }
        Driver::WithoutGpu(reason) => {
            let advice = "if there is a GPU: CUDA_VISIBLE_DEVICES may hide it, or the container was started without it \
                          (docker run --gpus all)";
            let text = format!("found{supports}; it shows no GPU: {reason}");
            (Finding::note("driver", text, advice).with(facts(true, 0)), Vec::new())
        }
        Driver::Works(gpus) => {
            let plural = if gpus.len() == 1 { "" } else { "s" };
            let text = format!("found{supports}, {} GPU{plural}", gpus.len());
            (Finding::ok("driver", text).with(facts(true, gpus.len())), gpus)
        }
    }
}

fn of_gpu(gpu: &Gpu, other_code: bool) -> Finding {
    let (major, minor) = (gpu.capability / 10, gpu.capability % 10);
    let kernels = match (other_code, gpu.has_built_in) {
        (true, _) => "the environment names its kernels",
        (false, true) => "the built-in kernels fit",
        (false, false) => "the built-in kernels are not for it: NVRTC compiles them, once",
    };
    let memory = gib(gpu.memory as u64);
    let text = format!(
        "cuda:{}: {}, compute capability {major}.{minor}, {memory}; {kernels}",
        gpu.ordinal, gpu.name
    );
    Finding::ok("gpu", text).with(json!({
        "ordinal": gpu.ordinal,
        "name": gpu.name,
        "compute_capability": format!("{major}.{minor}"),
        "memory": gpu.memory,
        "built_in_kernels_fit": gpu.has_built_in,
    }))
}

/// NVRTC, and what to do where a GPU does not work.
fn of_nvrtc(place: Option<PathBuf>, needed: bool, no_gpu: bool) -> (Finding, String) {
    let usual = BROKEN_DRIVER.to_string();
    let named = place.is_some();
    let found = within(ANSWER, move || {
        let nvrtc = Nvrtc::find(place.as_deref())?;
        Ok::<_, crate::Error>((nvrtc.path.clone(), nvrtc.version, nvrtc.architectures()))
    });
    let problem = match found {
        Ok(Ok((path, (major, minor), capabilities))) => {
            let place = if path.is_absolute() {
                path_text(&path)
            } else {
                format!("{} on the loader's path", path_text(&path))
            };
            let range = match (capabilities.first(), capabilities.last()) {
                (Some(first), Some(last)) => format!(
                    ", for compute capabilities {}.{} to {}.{}",
                    first / 10,
                    first % 10,
                    last / 10,
                    last % 10
                ),
                _ => String::new(),
            };
            let text = format!("{major}.{minor}, {place}{range}");
            let facts = json!({
                "found": true,
                "version": format!("{major}.{minor}"),
                "path": path_text(&path),
                "compute_capabilities": capabilities,
                "needed": needed,
            });
            return (Finding::ok("nvrtc", text).with(facts), usual);
        }
        Ok(Err(e)) => e.to_string(),
        Err(e) => e,
    };
    let facts = json!({ "found": false, "needed": needed });
    let correct = "unset MSDCAM_NVRTC, or set it to the folder of libnvrtc.so";
    let install = "pip install nvidia-cuda-nvrtc, or set MSDCAM_NVRTC to the folder of libnvrtc.so";
    let finding = match (needed, named) {
        (true, true) => return (Finding::wrong("nvrtc", problem, correct).with(facts), correct.into()),
        (true, false) => return (Finding::wrong("nvrtc", problem, install).with(facts), install.into()),
        (false, true) => Finding::note("nvrtc", problem, correct),
        (false, false) => {
            let why = if no_gpu { "there is no GPU to compile for" } else { "no GPU here needs it" };
            let advice = format!("nothing to do here; a GPU without built-in kernels needs it: {install}");
            Finding::note("nvrtc", format!("not found; {why}"), advice)
        }
    };
    (finding.with(facts), usual)
}

fn of_cache() -> Finding {
    const TOPIC: &str = "kernel cache";
    const CONSEQUENCE: &str = "GPU kernels that are not built in would be compiled at every start";
    let Some(CacheFolder { path, problem, exists, files, bytes }) = survey::cache_folder() else {
        let text = format!("neither XDG_CACHE_HOME nor HOME is an absolute path: {CONSEQUENCE}");
        return Finding::note(TOPIC, text, "set XDG_CACHE_HOME to a folder of yours");
    };
    let shown = path_text(&path);
    let unwritable = check_writable(&path).err().map(|e| e.to_string());
    let facts = json!({
        "path": shown,
        "exists": exists,
        "private": exists && problem.is_none(),
        "writable": unwritable.is_none(),
        "mode": mode(&path),
        "files": files,
        "bytes": bytes,
    });
    let finding = match (problem, unwritable) {
        (Some(problem), _) => {
            let advice = format!("chmod 700 {shown} if it is yours, or set XDG_CACHE_HOME to another folder");
            Finding::note(TOPIC, format!("{shown}: {problem}, so it is not used: {CONSEQUENCE}"), advice)
        }
        (None, Some(unwritable)) => {
            let advice = "set XDG_CACHE_HOME to a folder of yours";
            Finding::note(TOPIC, format!("{unwritable}: {CONSEQUENCE}"), advice)
        }
        (None, None) if exists => {
            let mode = mode(&path).map_or(String::new(), |mode| format!(", mode {mode}"));
            let plural = if files == 1 { "" } else { "s" };
            Finding::ok(TOPIC, format!("{shown}{mode}, {files} file{plural}, {:.1} MB", bytes as f64 / 1e6))
        }
        (None, None) => Finding::ok(TOPIC, format!("{shown}, made with mode 0700 when kernels are compiled")),
    };
    finding.with(facts)
}

/// Permissions of a folder: `0700`.
#[cfg(unix)]
fn mode(path: &std::path::Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let about = path.symlink_metadata().ok()?;
    Some(format!("{:04o}", about.mode() & 0o7777))
}

#[cfg(not(unix))]
fn mode(_: &std::path::Path) -> Option<String> {
    None
}
