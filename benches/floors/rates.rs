//! Peak arithmetic rates of the whole chip, and the clock rate meanwhile.

use msdcam::Result;

use crate::gpu::{Gpu, Kind};
use crate::report::{Found, Rows};

pub fn rows(rows: &mut Rows) {
    rows.add("ffma", |gpu| multiply_adds(gpu, false));
    rows.add("sm_clock_ffma", |gpu| multiply_adds(gpu, true));
    rows.add("mma_tf32", |gpu| products(gpu, "mma_tf32", 8));
    rows.add("mma_bf16", |gpu| products(gpu, "mma_bf16", 16));
}

/// Blocks and rounds of kernel `multiply_adds`: 2.4 ms on an H100.
fn shape(gpu: &Gpu) -> (u32, u32) {
    gpu.pick((2 * gpu.multiprocessors, 2048), (2, 2))
}

/// Keeps the chip busy for some launches, to raise its clock.
pub fn warm_up(gpu: &Gpu, launches: usize) -> Result<()> {
    let (blocks, rounds) = shape(gpu);
    let (out, times) = (gpu.memory(blocks as usize * 512 * 4)?, gpu.memory(blocks as usize * 16)?);
    let arguments = [u64::from(rounds), out.at, times.at];
    (0..launches).try_for_each(|_| gpu.launch("multiply_adds", (blocks, 512), Kind::Plain, &arguments))?;
    gpu.wait()
}

fn multiply_adds(gpu: &Gpu, clock: bool) -> Result<Found> {
    let (blocks, rounds) = shape(gpu);
    let threads = blocks as usize * 512;
    let (out, ticks) = (gpu.memory(threads * 4)?, gpu.memory(blocks as usize * 16)?);
    let arguments = [u64::from(rounds), out.at, ticks.at];
    let launch = || gpu.launch("multiply_adds", (blocks, 512), Kind::Plain, &arguments);
    let times = gpu.device_times(gpu.pick(12, 3), launch)?;
    let results: Vec<u32> = out.read(threads)?;
    let mut some = (0..threads).step_by(threads / 16 + 1);
    let right = some.all(|thread| results[thread] == expected_sums(thread % 512, rounds));
    if clock {
        let ticks: Vec<[u64; 2]> = ticks.read(blocks as usize)?;
        let clocks: Vec<f64> = ticks.iter().map(|t| 1e3 * t[0] as f64 / t[1].max(1) as f64).collect();
        return Ok(Found::median(&clocks, right && ticks.iter().flatten().all(|&tick| tick != u64::MAX)));
    }
    let operations = 2.0 * 256.0 * f64::from(rounds) * threads as f64;
    let rates: Vec<f64> = times[2..].iter().map(|time| operations / time / 1e6).collect();
    Ok(Found::median(&rates, right).with("operations", operations))
}

/// Expected output of thread `thread` of a block of kernel `multiply_adds`.
fn expected_sums(thread: usize, rounds: u32) -> u32 {
    let factor = -1.0 + (thread % 32 + 1) as f32 / 16_777_216.0;
    let term = 1.0 / (thread + 3) as f32;
    let last = |k: u8| (0..rounds * 16).fold(f32::from(k) / 7.0, |sum: f32, _| sum.mul_add(factor, term));
    (1..=16).fold(0, |bits: u32, k| bits.wrapping_mul(3).wrapping_add(last(k).to_bits()))
}

fn products(gpu: &Gpu, kernel: &str, depth: u32) -> Result<Found> {
    let (blocks, rounds) = gpu.pick((2 * gpu.multiprocessors, 8192), (2, 3));
    let threads = blocks as usize * 256;
    let out = gpu.memory(threads * 16)?;
    let launch = || gpu.launch(kernel, (blocks, 256), Kind::Plain, &[u64::from(rounds), out.at]);
    let times = gpu.device_times(gpu.pick(12, 3), launch)?;
    let results: Vec<[i32; 4]> = out.read(threads)?;
    let expected: Vec<[i32; 4]> = (0..32).map(|lane| expected_products(lane, depth, rounds)).collect();
    let right = results.iter().enumerate().all(|(thread, sums)| *sums == expected[thread % 32]);
    let operations = 16.0 * f64::from(2 * 16 * 8 * depth) * f64::from(rounds) * (threads / 32) as f64;
    let rates: Vec<f64> = times[2..].iter().map(|time| operations / time / 1e6).collect();
    Ok(Found::median(&rates, right).with("operations", operations))
}

/// Expected output of a lane of the matrix kernels: the sum over its 8 tiles, which start at 0 to 7, after
/// `rounds` pairs of products and one more product.
fn expected_products(lane: u32, depth: u32, rounds: u32) -> [i32; 4] {
    let odd = |seed: u32| (seed.wrapping_mul(2654435761) >> 25) as i32 * 2 - 127;
    let left = |row: u32, k: u32| odd(row * 31 + k * 17 + 3);
    let right = |k: u32, column: u32| odd(k * 13 + column * 29 + 5);
    std::array::from_fn(|j| {
        let (row, column) = (lane / 4 + j as u32 / 2 * 8, lane % 4 * 2 + j as u32 % 2);
        let product: i32 = (0..depth).map(|k| left(row, k) * right(k, column)).sum();
        28 + 8 * (rounds as i32 * 2 * right(0, column) + product)
    })
}
