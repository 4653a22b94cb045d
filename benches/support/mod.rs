//! What the benches share: networks to measure, and numbers to feed them.
#![allow(dead_code)] // each bench is a crate of its own and uses a part

use std::path::{Path, PathBuf};
use std::sync::Arc;

use msdcam::Result;
use msdcam::engine::cpu::{Cpu, Isa};
use msdcam::engine::device::Device;
use msdcam::model::Model;
use msdcam::model::msdnet::{Config, build};

/// Numbers in [-scale, scale) from a linear congruential generator (Knuth's MMIX).
pub fn noise(len: usize, seed: &mut u64, scale: f32) -> Vec<f32> {
    let mut next = || {
        *seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (*seed >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next() * scale).collect()
}

/// The CPU with `threads` threads, 0 for one a core; `MSDCAM_CPU` chooses the kernels, as for msdcam.
///
/// # Errors
/// When the system refuses a thread.
pub fn cpu(threads: usize) -> Result<Device> {
    let chosen = std::env::var("MSDCAM_CPU").ok();
    let isa =
        Isa::available().into_iter().find(|isa| chosen.as_deref().is_none_or(|name| name == isa.name()));
    Ok(Device::Cpu(Cpu::with_isa(threads, isa.expect("MSDCAM_CPU is a kind of kernel that runs here"))?))
}

/// The network of `config` with random weights that keep the size of what flows through it.
pub fn random_network(config: &Config) -> Model {
    let seed = std::cell::Cell::new(1_u64);
    build(config, |name, dims| {
        let len: usize = dims.iter().product();
        let mut state = seed.get();
        let fan_in = dims[1..].iter().product::<usize>().max(1);
        let data = if name.ends_with("running_var") {
            vec![1.0; len]
        } else {
            noise(len, &mut state, (2.0 / fan_in as f32).sqrt())
        };
        seed.set(state);
        Ok(Arc::from(data))
    })
    .expect("a published configuration")
}

/// The network in a weights file.
///
/// # Errors
/// When the file cannot be read or is no weights file.
pub fn network(weights: &Path) -> Result<Model> {
    Model::open(weights)
}

/// A file of this repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The trained ten-exit CIFAR-10 network.
///
/// # Panics
/// When the repository is incomplete.
pub fn default_network() -> Model {
    network(&repository("weights/msdnet_cifar10.safetensors")).expect("the default weights are there")
}

/// The middle of numbers that it sorts.
pub fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
