//! Cost of synchronization between blocks: cluster barrier, grid barrier, flags.

use msdcam::{Error, Result};
use serde_json::json;

use crate::gpu::{Gpu, Kind, Memory};
use crate::latency::{Timed, cluster_rows};
use crate::report::{Found, Rows, median, short};

/// Number of polls after which a wait times out: about a second.
const POLLS: u64 = 1 << 20;

pub fn rows(rows: &mut Rows) {
    for size in [4, 8] {
        rows.add(format!("cluster_barrier_{size}"), move |gpu| cluster(gpu, true, size));
        rows.add(format!("cluster_barrier_relaxed_{size}"), move |gpu| cluster(gpu, false, size));
    }
    cluster_rows(rows);
    rows.add("grid_barrier", grid);
    rows.add("flag_hop_red_release", |gpu| flag(gpu, "flags_red"));
    rows.add("flag_hop_st_release", |gpu| flag(gpu, "flags_store"));
    rows.add("flag_hop_st_relaxed", |gpu| flag(gpu, "flags_relaxed"));
}

/// Nanoseconds and cycles per operation, of `each` operations.
fn nanoseconds(times: impl Iterator<Item = (u64, u64)>, each: u64, ok: bool) -> Found {
    let (cycles, nanoseconds): (Vec<u64>, Vec<u64>) = times.unzip();
    let written = cycles.iter().chain(&nanoseconds).all(|&time| time != u64::MAX);
    let per = |times: &[u64]| times.iter().map(|&time| time as f64 / each as f64).collect::<Vec<f64>>();
    Found::median(&per(&nanoseconds), ok && written).with("cycles", short(median(&per(&cycles))))
}

/// Whether no kernel found data missing; an error if a wait timed out.
fn all_came(error: &Memory) -> Result<bool> {
    match error.read::<u32>(1)?[0] {
        0 => Ok(true),
        bits if bits & 1 == 0 => Ok(false),
        _ => Err(Error::device("a wait gave up")),
    }
}

/// The cluster barrier. If it orders memory, the first run checks that data written before it is visible after it.
fn cluster(gpu: &Gpu, ordered: bool, size: u32) -> Result<Found> {
    let (clusters, threads, rounds) = gpu.pick((8, 256, 2000), (2, 64, 20));
    let blocks = clusters * size;
    let kernel = if ordered { "cluster_barriers" } else { "cluster_barriers_relaxed" };
    let (error, out) = (gpu.upload(&[0_u32])?, gpu.memory(blocks as usize * 16)?);
    for (rounds, check) in [(rounds / 10, ordered), (rounds, false)] {
        out.set(0xff)?;
        let arguments = [size.into(), rounds, check.into(), error.at, out.at];
        gpu.launch(kernel, (blocks, threads), Kind::Cluster(size), &arguments)?;
    }
    let times: Vec<[u64; 2]> = out.read(blocks as usize)?;
    let right = all_came(&error)?;
    Ok(nanoseconds(times.iter().map(|time| (time[0], time[1])), rounds, right))
}

/// As [`cluster`], for the whole grid.
fn grid(gpu: &Gpu) -> Result<Found> {
    let (blocks, threads, rounds) = gpu.pick((gpu.multiprocessors.min(132), 256, 1000), (6, 32, 20));
    let (arrived, error) = (gpu.memory(4)?, gpu.upload(&[0_u32])?);
    let slots = gpu.memory(blocks as usize * 128)?;
    let run = |rounds: u64, check: u64| {
        arrived.set(0)?;
        Timed::run(gpu, |out| {
            let arguments = [arrived.at, slots.at, rounds, check, POLLS, error.at, out.at];
            gpu.launch("grid_barriers", (blocks, threads), Kind::Cooperative, &arguments)
        })
    };
    run(rounds / 10, 1)?;
    let checked = all_came(&error)?;
    let runs: Vec<Timed> = (0..gpu.pick(5, 2)).map(|_| run(rounds, 0)).collect::<Result<_>>()?;
    let right = checked && all_came(&error)? && arrived.read::<u32>(1)?[0] == blocks * rounds as u32;
    Ok(nanoseconds(runs.iter().map(|run| (run.cycles, run.nanoseconds)), rounds, right)
        .with("blocks", blocks))
}

/// As [`cluster`], for a flag that two blocks pass back and forth.
fn flag(gpu: &Gpu, kernel: &str) -> Result<Found> {
    let (blocks, trips) = gpu.pick((gpu.multiprocessors, 1000), (6, 20));
    let error = gpu.upload(&[0_u32])?;
    let (mut runs, mut pairs, mut right) = (Vec::new(), Vec::new(), true);
    for partner in [1, 2, 3, 16, 17, 33, 66, 100, 131].into_iter().filter(|&partner| partner < blocks) {
        // Different addresses for each flag; the data of the check is 2 KB after the first and 4 KB after the second.
        let memory = gpu.memory(20_480)?;
        let at = memory.at + u64::from(partner) * 64;
        let mut run = |trips: u64, check: bool| -> Result<Timed> {
            memory.set(0)?;
            let run = Timed::run(gpu, |out| {
                let arguments = [at, at + 2048, partner.into(), trips, check.into(), POLLS, error.at, out.at];
                gpu.launch(kernel, (blocks, 32), Kind::Cooperative, &arguments)
            })?;
            right &= all_came(&error)? && run.results[0] != run.results[1];
            Ok(run)
        };
        if kernel != "flags_relaxed" {
            run(trips / 10, true)?;
        }
        let run = run(trips, false)?;
        pairs.push(json!({ "multiprocessors": run.results, "ns": run.nanoseconds / (2 * trips) }));
        runs.push(run);
    }
    Ok(nanoseconds(runs.iter().map(|run| (run.cycles, run.nanoseconds)), 2 * trips, right)
        .with("pairs", pairs))
}
