//! Shared by the benches: models to measure, and their inputs.
#![allow(dead_code)] // each bench is a separate crate and uses a part

use std::path::{Path, PathBuf};

use msdcam::Result;
use msdcam::engine::cpu::{Cpu, Isa};
use msdcam::engine::device::Device;
use msdcam::model::Model;
use msdcam::model::msdnet::{Config, build};

/// Pseudorandom values in [-scale, scale) from a linear congruential generator (Knuth's MMIX).
pub fn noise(len: usize, seed: &mut u64, scale: f32) -> Vec<f32> {
    let mut next = || {
        *seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (*seed >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next() * scale).collect()
}

/// The CPU with `threads` threads, 0 for one per core; `MSDCAM_CPU` chooses the kernels, as for msdcam.
///
/// # Errors
/// When the system refuses a thread.
pub fn cpu(threads: usize) -> Result<Device> {
    let chosen = std::env::var("MSDCAM_CPU").ok();
    let isa =
        Isa::available().into_iter().find(|isa| chosen.as_deref().is_none_or(|name| name == isa.name()));
    Ok(Device::Cpu(Cpu::with_isa(threads, isa.expect("MSDCAM_CPU is a kind of kernel that runs here"))?))
}

/// The model of `config` with random weights that preserve the magnitude of activations.
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
        Ok(data.into())
    })
    .expect("a published configuration")
}

/// The model of a weights file.
///
/// # Errors
/// When the file cannot be read or is not a weights file.
pub fn network(weights: &Path) -> Result<Model> {
    Model::open(weights)
}

/// The path of a file of this repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The built-in ten-exit CIFAR-10 model.
///
/// # Panics
/// When the repository is incomplete.
pub fn default_network() -> Model {
    network(&repository("weights/cifar10/msdnet_cifar10.safetensors")).expect("the default weights are there")
}

/// The median of `numbers`, which are sorted.
pub fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
