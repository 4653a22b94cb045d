//! Seeded random numbers that are equal on every machine: SplitMix64 (Steele et al. 2014) and the
//! Box-Muller transform (1958).

/// Generator of standard normal values.
pub(crate) struct Normal {
    state: u64,
    spare: Option<f64>,
}

impl Normal {
    /// A generator with this seed.
    pub(crate) fn new(seed: u64) -> Self {
        Normal { state: seed, spare: None }
    }

    /// The next value. Two uniform values u, v give sqrt(-2 ln u) cos(2 pi v) and sqrt(-2 ln u) sin(2 pi v).
    pub(crate) fn next(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        // In (0, 1], because the logarithm of 0 is undefined.
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        let angle = std::f64::consts::TAU * self.uniform();
        self.spare = Some(radius * angle.sin());
        radius * angle.cos()
    }

    /// A uniform value in [0, 1), a multiple of 2^-53.
    fn uniform(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (mix(self.state) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Finalizer of SplitMix64: every bit of the result depends on every bit of `z`.
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_noise_has_mean_zero_and_variance_one() {
        let mut normal = Normal::new(7);
        let x: Vec<f64> = (0..100_000).map(|_| normal.next()).collect();
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02, "mean {mean}, variance {variance}");
    }
}
