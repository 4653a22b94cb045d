//! Peak multiply-add rate of one core: chains of multiply-adds in registers, enough of them to hide the
//! latency.

use std::hint::black_box;
use std::time::Instant;

use msdcam::engine::cpu::Isa;

/// Multiply-adds per chain.
const LENGTH: usize = 20_000;
/// Number of chains; 2 units x 4 to 5 cycles need at least 10.
const CHAINS: usize = 12;

/// GFLOP/s of one core, with two operations per multiply-add.
pub fn gflops(isa: Isa) -> f64 {
    let start = Instant::now();
    let lanes = match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the CPU has this instruction set.
        Isa::Avx512 => unsafe { x86::avx512() },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx2 => unsafe { x86::avx2() },
        _ => portable(),
    };
    2e-9 * (LENGTH * CHAINS * lanes) as f64 / start.elapsed().as_secs_f64()
}

/// The portable kernels' vectors: separate multiplication and addition.
fn portable() -> usize {
    const LANES: usize = 4;
    let (a, b) = (black_box([0.5_f32; LANES]), black_box([0.25_f32; LANES]));
    let mut chains = [[1.0_f32; LANES]; CHAINS];
    for _ in 0..LENGTH {
        for chain in &mut chains {
            for ((x, a), b) in chain.iter_mut().zip(a).zip(b) {
                *x = *x * a + b;
            }
        }
    }
    black_box(chains);
    LANES
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    use super::{CHAINS, LENGTH};

    /// # Safety
    /// The CPU has AVX-512F.
    #[target_feature(enable = "avx512f")]
    pub fn avx512() -> usize {
        let (a, b) = (black_box(_mm512_set1_ps(0.5)), black_box(_mm512_set1_ps(0.25)));
        let mut chains = [_mm512_set1_ps(1.0); CHAINS];
        for _ in 0..LENGTH {
            for chain in &mut chains {
                *chain = _mm512_fmadd_ps(*chain, a, b);
            }
        }
        black_box(chains);
        16
    }

    /// # Safety
    /// The CPU has AVX2 and FMA.
    #[target_feature(enable = "avx2,fma")]
    pub fn avx2() -> usize {
        let (a, b) = (black_box(_mm256_set1_ps(0.5)), black_box(_mm256_set1_ps(0.25)));
        let mut chains = [_mm256_set1_ps(1.0); CHAINS];
        for _ in 0..LENGTH {
            for chain in &mut chains {
                *chain = _mm256_fmadd_ps(*chain, a, b);
            }
        }
        black_box(chains);
        8
    }
}
