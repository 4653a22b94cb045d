//! Latencies of dependent accesses by one thread, in cycles of the multiprocessor.

use bytemuck::{Pod, Zeroable};
use msdcam::Result;

use crate::bandwidth::sum;
use crate::gpu::{Gpu, Kind, Memory};
use crate::report::{Found, Rows, median, short};

const KB: usize = 1 << 10;
const MB: usize = 1 << 20;

/// Parameters of a pointer chain through global memory. Neither the 4096 timed loads nor the warm-up loads
/// end at the first cell, so that a load that does not advance would be noticed.
#[derive(Clone, Copy)]
struct Chain {
    kernel: &'static str,
    cells: usize,
    /// Bytes per cell; a cell is within one line of 128 bytes.
    stride: usize,
    /// Number of warm-up loads.
    warm: usize,
    /// Bytes read elsewhere before, to evict the cells from the caches and leave only clean lines there.
    flush: usize,
}

pub fn rows(rows: &mut Rows) {
    let chain = |kernel, cells, stride, warm, flush| Chain { kernel, cells, stride, warm, flush };
    for (name, chain) in [
        ("latency_l1_hit", chain("chase_l1", 120, 128, 256, 0)),
        ("latency_l2_small_set", chain("chase_l2", 500, 128, 512, 0)),
        ("latency_l2_written_elsewhere", chain("chase_l2", 4100, 8 * KB, 0, 0)),
        ("latency_hbm_64mb", chain("chase_l2", 4100, 16 * KB, 0, 512 * MB)),
        ("latency_hbm_1gb", chain("chase_l2", 4100, 256 * KB, 0, 512 * MB)),
    ] {
        rows.add(name, move |gpu| chase(gpu, chain));
    }
    rows.add("latency_l2_by_address", by_address);
    rows.add("latency_shared", |gpu| shared(gpu, "chase_shared", Kind::Plain));
    for (name, kernel) in [
        ("threadfence", "fence_sc"),
        ("threadfence_stored", "fence_sc_stored"),
        ("fence_acq_rel", "fence_acq_rel_alone"),
        ("fence_acq_rel_stored", "fence_acq_rel_stored"),
    ] {
        rows.add(name, move |gpu| fence(gpu, kernel));
    }
    rows.add("atomic_add_relaxed", |gpu| atomics(gpu, "atomics_relaxed"));
    rows.add("atomic_add_acq_rel", |gpu| atomics(gpu, "atomics_acq_rel"));
    rows.add("parameter_cold", |gpu| parameters(gpu, 0));
    rows.add("parameter_warm", |gpu| parameters(gpu, 1));
}

/// Output of the single-thread kernels: time by both clocks, and the result.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct Timed {
    pub cycles: u64,
    pub nanoseconds: u64,
    pub results: [u64; 2],
}

impl Timed {
    /// Calls `launch` with memory for the kernel's output.
    pub fn run(gpu: &Gpu, launch: impl FnOnce(&Memory) -> Result<()>) -> Result<Timed> {
        let out = gpu.memory(size_of::<Timed>())?;
        launch(&out)?;
        Ok(out.read(1)?[0])
    }
}

/// Cycles per operation, of `each` operations, and the clock rate.
fn cycles(runs: &[Timed], each: usize, ok: bool) -> Found {
    let cycles: Vec<f64> = runs.iter().map(|run| run.cycles as f64 / each as f64).collect();
    let clocks = runs.iter().map(|run| 1e3 * run.cycles as f64 / run.nanoseconds.max(1) as f64);
    let megahertz = median(&clocks.collect::<Vec<f64>>());
    let found = Found::median(&cycles, ok);
    let nanoseconds = short(found.value * 1e3 / megahertz);
    found.with("ns", nanoseconds).with("sm_mhz", short(megahertz))
}

/// Addresses of `cells` cells of `memory`, in random order.
fn places(memory: &Memory, cells: usize, stride: usize) -> Vec<u64> {
    let mut seed = 7_u64;
    // A linear congruential generator (Knuth's MMIX).
    let mut below = |limit: usize| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as usize % limit
    };
    let mut places: Vec<u64> =
        (0..cells).map(|cell| memory.at + (cell * stride + below(stride / 128) * 128) as u64).collect();
    for left in (1..cells).rev() {
        places.swap(left, below(left + 1));
    }
    places
}

/// Writes `to[i]` at address `at[i]`, from blocks all over the chip.
fn plant(gpu: &Gpu, at: &[u64], to: &[u64]) -> Result<()> {
    let (count, at, to) = (at.len() as u64, gpu.upload(at)?, gpu.upload(to)?);
    gpu.launch("plant", ((count as u32).div_ceil(32), 32), Kind::Plain, &[at.at, to.at, count])?;
    gpu.wait()
}

fn chase(gpu: &Gpu, chain: Chain) -> Result<Found> {
    let Chain { kernel, cells, stride, warm, flush } = chain;
    let (stride, flush, loads) = gpu.pick((stride, flush, 4096), (stride.min(512), flush >> 9, 4096));
    let (set, elsewhere, total) = (gpu.memory(cells * stride)?, gpu.memory(flush.max(1))?, gpu.memory(4)?);
    let at = places(&set, cells, stride);
    let to: Vec<u64> = (1..=cells).map(|next| at[next % cells]).collect();
    let (mut runs, mut right) = (Vec::new(), true);
    for _ in 0..gpu.pick(5, 2) {
        set.set(0xff)?;
        plant(gpu, &at, &to)?;
        sum(gpu, elsewhere.at, flush, 1, &total)?;
        let run = Timed::run(gpu, |out| {
            gpu.launch(kernel, (1, 1), Kind::Plain, &[at[0], warm as u64, loads as u64, out.at])
        })?;
        right &= run.results[0] == at[(warm + loads) % cells];
        runs.push(run);
    }
    Ok(cycles(&runs, loads, right))
}

fn by_address(gpu: &Gpu) -> Result<Found> {
    let (cells, stride) = gpu.pick((2048, 16 * KB), (64, 512));
    let (set, out) = (gpu.memory(cells * stride)?, gpu.memory(cells * 8)?);
    let at = places(&set, cells, stride);
    plant(gpu, &at, &at)?;
    let list = gpu.upload(&at)?;
    gpu.launch("visit_l2", (1, 1), Kind::Plain, &[list.at, cells as u64, out.at])?;
    let taken: Vec<u64> = out.read(cells)?;
    // 0: a load read a wrong address.
    let right = taken.iter().all(|&cycles| cycles != 0 && cycles != u64::MAX);
    let mut each: Vec<f64> = taken.iter().map(|&cycles| cycles as f64 / 16.0).collect();
    each.sort_by(f64::total_cmp);
    let deciles: Vec<f64> = (0..=10).map(|tenth| short(each[(cells - 1) * tenth / 10])).collect();
    Ok(Found::median(&each, right).with("deciles", deciles))
}

/// A chain through 1024 words of shared memory, with a stride of 17 words.
fn shared(gpu: &Gpu, kernel: &str, kind: Kind) -> Result<Found> {
    let loads = gpu.pick(4096, 64);
    let blocks = if let Kind::Cluster(size) = kind { size } else { 1 };
    let run = |_| Timed::run(gpu, |out| gpu.launch(kernel, (blocks, 1), kind, &[loads as u64, out.at]));
    let runs: Vec<Timed> = (0..gpu.pick(5, 2)).map(run).collect::<Result<_>>()?;
    let right = |run: &Timed| {
        // The last block of a cluster counts the words that the first one wrote.
        run.results[0] == 17 * loads as u64 % 1024 && (kind == Kind::Plain || run.results[1] == 1024)
    };
    Ok(cycles(&runs, loads, runs.iter().all(right)))
}

/// Distributed shared memory: these rows need clusters.
pub fn cluster_rows(rows: &mut Rows) {
    for size in [2, 8] {
        let name = format!("latency_distributed_shared_{size}");
        rows.add(name, move |gpu| shared(gpu, "chase_cluster", Kind::Cluster(size)));
    }
}

fn fence(gpu: &Gpu, kernel: &str) -> Result<Found> {
    let rounds = gpu.pick(256, 16);
    let words = gpu.memory(rounds * 128)?;
    let arguments = |out: &Memory| [words.at, rounds as u64, out.at];
    let run = |_| Timed::run(gpu, |out| gpu.launch(kernel, (1, 1), Kind::Plain, &arguments(out)));
    let runs: Vec<Timed> = (0..gpu.pick(10, 2)).map(run).collect::<Result<_>>()?;
    let stored: Vec<u32> = words.read(rounds * 32)?;
    let expected = |i: usize| if kernel.ends_with("stored") { i as u32 } else { u32::MAX };
    let right = (0..rounds).all(|i| stored[i * 32] == expected(i));
    Ok(cycles(&runs, rounds, right && runs.iter().all(|run| run.results[0] == rounds as u64)))
}

fn atomics(gpu: &Gpu, kernel: &str) -> Result<Found> {
    /// Stride of the measured words.
    const APART: usize = 1088;
    let rounds = gpu.pick(256, 16);
    let words = gpu.upload(&vec![1_u32; 16 * APART])?;
    let (mut word, mut before) = (1_u32, 1_u32);
    for _ in 0..rounds {
        (before, word) = (word, word.wrapping_add(before));
    }
    let run = |place: usize| {
        let at = words.at + (place * APART * 4) as u64;
        Timed::run(gpu, |out| gpu.launch(kernel, (1, 1), Kind::Plain, &[at, rounds as u64, out.at]))
    };
    let runs: Vec<Timed> = (0..16).map(run).collect::<Result<_>>()?;
    let sums: Vec<u32> = words.read(16 * APART)?;
    let right = sums.iter().step_by(APART).all(|&sum| sum == word);
    Ok(cycles(&runs, rounds, right && runs.iter().all(|run| run.results[0] == u64::from(before))))
}

/// Size of the kernel's parameter and stride of the reads, in words.
const TABLE: (usize, usize) = (960, 16);

fn parameters(gpu: &Gpu, pass: usize) -> Result<Found> {
    let (words, step) = TABLE;
    let count = words / step;
    let table: Vec<u32> = (0..words).map(|word| (word + step) as u32).collect();
    let (mut medians, mut right, mut last) = (Vec::new(), true, Vec::new());
    for _ in 0..gpu.pick(9, 2) {
        let out = gpu.memory(2 * count * 8)?;
        let arguments = vec![table.as_ptr().cast_mut().cast(), std::ptr::from_ref(&out.at).cast_mut().cast()];
        gpu.launch_on(&gpu.stream, "parameters", (1, 1), Kind::Plain, arguments)?;
        let taken: Vec<u64> = out.read(2 * count)?;
        // 0: a wrong word.
        right &= taken.iter().all(|&cycles| cycles != 0 && cycles != u64::MAX);
        last = taken[pass * count..][..count].to_vec();
        medians.push(median(&last.iter().map(|&cycles| cycles as f64).collect::<Vec<_>>()));
    }
    Ok(Found::median(&medians, right).with("last_launch_each_64_bytes", last))
}
