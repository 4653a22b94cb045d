//! Bandwidth: reads from the L2 cache and from memory, copies, transfers to and from the host.

use cudarc::driver::{result, sys};
use msdcam::Result;
use serde_json::json;

use crate::gpu::{Gpu, Kind, Memory, said};
use crate::report::{Found, Rows, median, short};

const MB: usize = 1 << 20;
/// Bytes that a block of 512 threads reads at once.
const CHUNK: usize = 512 * 8 * 16;

pub fn rows(rows: &mut Rows) {
    for mb in [16, 32, 48] {
        rows.add(format!("l2_read_{mb}mb"), move |gpu| read(gpu, mb * MB));
    }
    rows.add("hbm_read", |gpu| read(gpu, 4096 * MB));
    rows.add("device_copy", copy);
    rows.add("transfer_up_12_9_kb", |gpu| transfer(gpu, true, 12_900));
    rows.add("transfer_down_55_8_kb", |gpu| transfer(gpu, false, 55_800));
    rows.add("transfer_down_14_3_mb", |gpu| transfer(gpu, false, 14_284_800));
}

/// `bytes` of values, and their sum.
fn filled(gpu: &Gpu, bytes: usize) -> Result<(Memory, u32)> {
    let (memory, words) = (gpu.memory(bytes)?, bytes as u64 / 4);
    gpu.launch("fill", (gpu.pick(4 * gpu.multiprocessors, 4), 256), Kind::Plain, &[memory.at, words])?;
    // A chunk has an even number of words.
    let indices = (words / 2).wrapping_mul(words - 1) as u32;
    Ok((memory, indices.wrapping_mul(2654435761)))
}

/// Submits the sum of `passes` times the `bytes` at `at`, which is added to `total`.
pub fn sum(gpu: &Gpu, at: u64, bytes: usize, passes: usize, total: &Memory) -> Result<()> {
    let arguments = [at, (bytes / CHUNK) as u64, passes as u64, total.at];
    gpu.launch("sum", (gpu.pick(2 * gpu.multiprocessors, 5), 512), Kind::Plain, &arguments)
}

fn read(gpu: &Gpu, bytes: usize) -> Result<Found> {
    let (bytes, passes) = gpu.pick((bytes, 4096 * MB / bytes), (3 * CHUNK, 2));
    let ((data, expected), total) = (filled(gpu, bytes)?, gpu.upload(&[0_u32])?);
    let times = gpu.device_times(gpu.pick(12, 3), || sum(gpu, data.at, bytes, passes, &total))?;
    let times_added = (passes * times.len()) as u32;
    let right = total.read::<u32>(1)?[0] == expected.wrapping_mul(times_added);
    let rates: Vec<f64> = times[2..].iter().map(|time| (bytes * passes) as f64 / time / 1e6).collect();
    Ok(Found::median(&rates, right).with("passes", passes))
}

fn copy(gpu: &Gpu) -> Result<Found> {
    let bytes = gpu.pick(2048 * MB, 3 * CHUNK);
    let ((from, expected), to) = (filled(gpu, bytes)?, gpu.memory(bytes)?);
    let times = gpu.device_times(gpu.pick(8, 3), || {
        // SAFETY: both have that many bytes and live until the stream is done.
        said("a copy", unsafe { result::memcpy_dtod_async(to.at, from.at, bytes, gpu.stream.cu_stream()) })
    })?;
    let total = gpu.upload(&[0_u32])?;
    sum(gpu, to.at, bytes, 1, &total)?;
    let right = total.read::<u32>(1)?[0] == expected;
    let rates: Vec<f64> = times[1..].iter().map(|time| (2 * bytes) as f64 / time / 1e6).collect();
    Ok(Found::median(&rates, right))
}

fn transfer(gpu: &Gpu, up: bool, bytes: usize) -> Result<Found> {
    let pattern: Vec<u8> = (0..bytes).map(|i| (i * 7 + i / 251) as u8).collect();
    let poison = vec![0xff; bytes];
    let device = gpu.upload(if up { &poison } else { &pattern })?;
    // SAFETY: written before it is read.
    let pinned = unsafe { gpu.context.alloc_pinned_with_flags::<u8>(bytes, 0) };
    let mut pinned = said("pinned memory", pinned)?;
    let host = said("pinned memory", pinned.as_mut_ptr())?;
    said("pinned memory", pinned.as_mut_slice())?.copy_from_slice(if up { &pattern } else { &poison });
    let (stream, at) = (gpu.stream.cu_stream(), device.at);
    let submit = || {
        // SAFETY: both have that many bytes and live until the stream is done, for which the timing waits.
        let code = unsafe {
            match up {
                true => sys::cuMemcpyHtoDAsync_v2(at, host.cast(), bytes, stream),
                false => sys::cuMemcpyDtoHAsync_v2(host.cast(), at, bytes, stream),
            }
        };
        said("a transfer", code.result())
    };
    let (repeats, together) = gpu.pick((100, 16), (3, 2));
    let by_host = gpu.host_times(repeats + 20, submit)?;
    let alone = median(&gpu.device_times(20, submit)?);
    let many = || (0..together).try_for_each(|_| submit());
    let each = median(&gpu.device_times(20, many)?) / f64::from(together);
    let right = match up {
        true => device.read::<u8>(bytes)? == pattern,
        false => said("pinned memory", pinned.as_slice())? == pattern,
    };
    let found = Found::median(&by_host[20..], right);
    let rate = |time: f64| short(bytes as f64 / time / 1e3);
    let gigabytes = json!({ "host": rate(found.value), "alone": rate(alone), "each": rate(each) });
    Ok(found.with("alone_us", short(alone)).with("each_us", short(each)).with("gb_per_s", gigabytes))
}
