//! The program, the CPU and its memory.

use std::io::Read;
use std::path::Path;

use serde_json::json;

use super::finding::Finding;
use crate::engine::cpu::Isa;
use crate::engine::cuda::survey;
use crate::model::{Model, pretrained};
use crate::util::input_file;

/// Most bytes that are read of a file of the kernel.
const LONGEST: u64 = 4 << 20;

/// A text file of the kernel, such as those in /proc, whose size it does not tell.
fn kernel_text(path: &str) -> Option<String> {
    let mut text = Vec::new();
    input_file::open(Path::new(path)).ok()?.take(LONGEST).read_to_end(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// The value of `key` in lines of `key: value`.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim())
}

/// The program itself.
pub fn program() -> Finding {
    let (version, target) =
        (env!("CARGO_PKG_VERSION"), format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS));
    let build = if cfg!(debug_assertions) { "with debug assertions, slow" } else { "release" };
    let (major, minor) = (survey::BUILT_IN / 10, survey::BUILT_IN % 10);
    let text = format!(
        "msdcam {version}, {target}, {build}; GPU kernels for compute capability {major}.{minor} are built in"
    );
    let facts = json!({
        "version": version,
        "target": target,
        "debug_assertions": cfg!(debug_assertions),
        "built_in_compute_capability": format!("{major}.{minor}"),
    });
    if cfg!(debug_assertions) {
        let advice = "build it with `cargo build --release` for full speed";
        return Finding::note("program", text, advice).with(facts);
    }
    Finding::ok("program", text).with(facts)
}

/// The CPU and the threads that are used of it.
pub fn cpu() -> Finding {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let about = kernel_text("/proc/cpuinfo").unwrap_or_default();
    let name = value(&about, "model name").unwrap_or(std::env::consts::ARCH);
    let [vendor, family, model] = ["vendor_id", "cpu family", "model"].map(|key| value(&about, key));
    let kind = match (vendor, family, model) {
        (Some(vendor), Some(family), Some(model)) => format!(" ({vendor}, family {family}, model {model})"),
        _ => String::new(),
    };
    let plural = if cores == 1 { "" } else { "s" };
    let text = format!("{name}{kind}, {cores} core{plural}, as many threads unless --threads says otherwise");
    Finding::ok("cpu", text).with(json!({
        "name": name, "vendor": vendor, "family": family, "model": model, "cores": cores, "threads": cores,
    }))
}

/// The kernels of the CPU, and whether they can be used.
pub fn cpu_kernels() -> (Finding, Option<Isa>) {
    let available = Isa::available();
    let names: Vec<&str> = available.iter().map(|isa| isa.name()).collect();
    let lacks: Vec<&str> = [Isa::Avx512, Isa::Avx2]
        .iter()
        .filter(|isa| !available.contains(isa))
        .map(|isa| isa.name())
        .collect();
    let facts = |chosen: Option<&str>| {
        let asked = std::env::var_os("MSDCAM_CPU").map(|value| value.to_string_lossy().into_owned());
        json!({ "chosen": chosen, "available": names, "MSDCAM_CPU": asked })
    };
    match Isa::from_env() {
        Err(e) => {
            let advice = format!("unset MSDCAM_CPU, or set it to one of {}", names.join(", "));
            (Finding::wrong("cpu kernels", e.to_string(), advice).with(facts(None)), None)
        }
        Ok(Some(isa)) => {
            let finding = if isa == Isa::detect() {
                Finding::ok(
                    "cpu kernels",
                    format!("{}, as MSDCAM_CPU says; the fastest of this CPU too", isa.name()),
                )
            } else {
                let (text, best) = (format!("{}, because MSDCAM_CPU says so", isa.name()), names[0]);
                Finding::note("cpu kernels", text, format!("unset MSDCAM_CPU for {best}, which is faster"))
            };
            (finding.with(facts(Some(isa.name()))), Some(isa))
        }
        Ok(None) => {
            let isa = Isa::detect();
            let why = match lacks[..] {
                [] => "the fastest".to_string(),
                _ => format!("the fastest that this CPU runs, which lacks {}", lacks.join(" and ")),
            };
            let text = format!("{}, {why}; MSDCAM_CPU={} forces one", isa.name(), names.join("|"));
            (Finding::ok("cpu kernels", text).with(facts(Some(isa.name()))), Some(isa))
        }
    }
}

/// Memory of the machine, or of the container if that is less.
pub fn memory() -> Finding {
    /// An explanation of the built-in network on all threads, with the program itself, bytes.
    const ENOUGH: u64 = 512 << 20;
    let about = kernel_text("/proc/meminfo").unwrap_or_default();
    let kib = |key| value(&about, key)?.strip_suffix(" kB")?.trim().parse::<u64>().ok();
    let [total, free] = ["MemTotal", "MemAvailable"].map(|key| kib(key).map(|kib| kib << 10));
    let limit = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .find_map(|path| kernel_text(path)?.trim().parse::<u64>().ok())
        .filter(|&limit| total.is_some_and(|total| limit < total));
    let facts = json!({ "total": total, "available": free, "container_limit": limit });
    let (Some(total), Some(free)) = (total, free) else {
        return Finding::ok("memory", "this system does not say how much there is").with(facts);
    };
    let limited =
        limit.map_or(String::new(), |limit| format!(", limited to {} for this container", gib(limit)));
    let text = format!("{}{limited}, {} available", gib(total), gib(free));
    let finding = if free.min(limit.unwrap_or(free)) < ENOUGH {
        Finding::note("memory", text, "close other programs, or use --threads 1 and --photo-memory 256M")
    } else {
        Finding::ok("memory", text)
    };
    finding.with(facts)
}

/// A number of bytes in GiB.
pub fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / (1_u64 << 30) as f64)
}

/// Transparent huge pages, of which long buffers consist where the system has them.
pub fn huge_pages() -> Option<Finding> {
    let text = kernel_text("/sys/kernel/mm/transparent_hugepage/enabled")?;
    let setting = text.split_once('[')?.1.split_once(']')?.0;
    let facts = json!({ "transparent_huge_pages": setting });
    let finding = match setting {
        "never" => Finding::note(
            "huge pages",
            "off on this system (never): weights and activations are read somewhat more slowly",
            "an administrator can set /sys/kernel/mm/transparent_hugepage/enabled to madvise",
        ),
        _ => Finding::ok("huge pages", format!("on for what asks for them ({setting})")),
    };
    Some(finding.with(facts))
}

/// The built-in network.
pub fn network() -> (Finding, Option<Model>) {
    match Model::pretrained() {
        Ok(model) => {
            let (shape, sha256) = (model.input_shape(), pretrained::digest().sha256);
            let (exits, classes) = (model.exits.len(), model.classes());
            let text = format!(
                "built in, {} x {} input, {exits} exits, {classes} classes; sha256 {}...",
                shape.h,
                shape.w,
                &sha256[..16]
            );
            let facts = json!({ "sha256": sha256, "exits": exits, "classes": classes });
            (Finding::ok("network", text).with(facts), Some(model))
        }
        Err(e) => (Finding::wrong("network", e.to_string(), "build or install the program again"), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_whole_key() {
        let text = "model name\t: A\nmodel\t\t: 17\nMemTotal:  100 kB\n";
        assert_eq!((value(text, "model"), value(text, "MemTotal")), (Some("17"), Some("100 kB")));
        assert_eq!(value(text, "mode"), None);
    }
}
