//! Kernels under the real compiler: NVRTC makes machine code for three architectures and reports its
//! resources. No GPU is needed, only the PyPI package `nvidia-cuda-nvrtc`, unpacked or installed under
//! `.cache/` or in the folder that `MSDCAM_NVRTC_DIR` or `MSDCAM_NVRTC` names.

use std::path::{Path, PathBuf};

use msdcam::engine::cuda::nvrtc::{Nvrtc, in_folder};
use msdcam::engine::cuda::{options, source};

/// Two blocks of 256 threads a multiprocessor, of 65,536 registers.
const MOST_REGISTERS: usize = 128;
/// The kernels.
const KERNELS: [&str; 2] = ["level", "transfer"];
/// Shared memory of fixed size, which `kernels::limits` keeps free.
const MOST_SHARED: usize = 1024;

/// The NVRTC whose machine code for sm_90 is built in.
const BUILT_IN_BY: (i32, i32) = (13, 0);

/// What ptxas says about a kernel.
struct Resources {
    registers: usize,
    stack: usize,
    spills: usize,
    shared: usize,
}

fn resources(log: &str) -> Resources {
    // "Used 128 registers, used 1 barriers, 36304 bytes smem", "0 bytes stack frame, ...".
    let before = |word: &str| -> Vec<usize> {
        let ends = log.match_indices(word).map(|(at, _)| &log[..at]);
        ends.map(|text| {
            text.trim_end().rsplit(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
        })
        .collect()
    };
    let only = |word: &str| match before(word)[..] {
        [number] => number,
        _ => panic!("not one '{word}' in:\n{log}"),
    };
    Resources {
        registers: only(" registers"),
        stack: only(" bytes stack frame"),
        spills: only(" bytes spill stores") + only(" bytes spill loads"),
        // Not named where there is none.
        shared: before(" bytes smem").first().copied().unwrap_or(0),
    }
}

/// What ptxas says about `kernel`.
fn part_of<'a>(kernel: &str, log: &'a str) -> &'a str {
    let start = log.find(&format!("Compiling entry function '{kernel}'")).expect("the kernel's part");
    let part = &log[start..];
    let next = part[1..].find("Compiling entry function").map_or(part.len(), |at| at + 1);
    &part[..next]
}

/// NVRTC in `folder` or up to five folders below it.
fn search(folder: &Path, depth: usize) -> Option<PathBuf> {
    let real = |path: &PathBuf| Nvrtc::load(path).is_ok();
    in_folder(folder).into_iter().find(real).or_else(|| {
        let below = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
        let below = below.filter(|path| depth > 0 && path.is_dir());
        below.into_iter().find_map(|path| search(&path, depth - 1))
    })
}

#[test]
fn every_chip_gets_kernels_without_spills_and_within_bounds() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cache = repository.join(".cache");
    let named = ["MSDCAM_NVRTC_DIR", "MSDCAM_NVRTC"].iter().find_map(std::env::var_os).map(PathBuf::from);
    let Some(path) = search(named.as_ref().unwrap_or(&cache), 7) else {
        assert!(named.is_none(), "no NVRTC under '{}'", named.unwrap().display());
        skipped!("the real compilation of the kernels: no NVRTC under {}", cache.display());
        return;
    };
    let nvrtc = Nvrtc::load(&path).unwrap();
    let known = nvrtc.architectures();
    println!("NVRTC {}.{}", nvrtc.version.0, nvrtc.version.1);
    println!("{:12} {:>8} {:>7} {:>7} {:>8}", "kernel", "registers", "stack", "spills", "shared");
    for chip in [80, 90, 100] {
        let mut options = options(chip, &known);
        assert_eq!(options[0], format!("--gpu-architecture=sm_{chip}"));
        options.push("--ptxas-options=-v".into());
        let compiled = nvrtc.compile(&source(), &options).unwrap();
        assert!(compiled.image.starts_with(b"\x7fELF"), "sm_{chip}: no machine code");
        assert!(!compiled.log.contains("warning"), "sm_{chip}: {}", compiled.log);
        for kernel in KERNELS {
            let Resources { registers, stack, spills, shared } = resources(part_of(kernel, &compiled.log));
            println!("{kernel:8}/{chip:<3} {registers:>8} {stack:>7} {spills:>7} {shared:>8}");
            assert_eq!((stack, spills), (0, 0), "{kernel}, sm_{chip}: stack and spills");
            assert!(registers <= MOST_REGISTERS, "{kernel}, sm_{chip}: {registers} registers");
            assert!(shared <= MOST_SHARED, "{kernel}, sm_{chip}: {shared} bytes of shared memory");
        }
        println!("{} bytes", compiled.image.len());
    }
    // The same compiler makes as much code, to a few instructions: the order in which it finds independent
    // ones depends on the addresses of its own memory, and with it the padding between them (128 bytes of
    // 268,632 seen). That the code is of today's source, `sm_90.source` says.
    if nvrtc.version == BUILT_IN_BY {
        let made = nvrtc.compile(&source(), &options(90, &known)).unwrap().image.len();
        let built_in = std::fs::read(repository.join("kernels/sm_90.cubin")).unwrap().len();
        assert!(
            made.abs_diff(built_in) * 200 <= built_in,
            "kernels/sm_90.cubin has {built_in} bytes, NVRTC makes {made}: run `cargo bench --bench cubin -- \
             --built-in`"
        );
    } else {
        skipped!("built-in machine code against the compiler's: NVRTC is not {BUILT_IN_BY:?}");
    }
}

#[test]
fn every_kernel_file_opens_with_what_it_is_for() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|kind| kind != "cu" && kind != "cuh") {
            continue; // built-in machine code
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(text.starts_with("// "), "{name} does not open with a comment");
        assert!(source().contains(&text), "{name} is not part of the program");
        files += 1;
    }
    assert_eq!(files, source().matches("#line 1 ").count());
}
