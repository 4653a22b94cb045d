//! What the numbers depend on besides the network, the images and the methods.

use super::baseline::Baseline;
use super::ranking::Ties;
use crate::{Error, Result};

/// Which metrics are wanted that take more than one run an image, and how they are made.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The value of each channel of the normalised input that counts as zero where a map masks the
    /// image, and for [`Baseline::Zero`]: that of a black pixel, or 0, which is the data set's mean.
    pub zero: [f32; 3],
    /// Deletion and insertion.
    pub curves: Option<CurveSettings>,
    /// ROAD.
    pub road: Option<RoadSettings>,
    /// Coherency, and with it ADCC.
    pub coherency: bool,
    /// Which of equal pixels goes first.
    pub ties: Ties,
    /// The same seed gives the same numbers, whatever the device, the threads and the batch.
    pub seed: u64,
}

/// How deletion and insertion curves are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CurveSettings {
    /// Into how many equal steps the pixels are divided.
    pub steps: usize,
    /// What deleted pixels become.
    pub deletion: Baseline,
    /// What pixels are before their insertion.
    pub insertion: Baseline,
}

/// How ROAD is made.
#[derive(Debug, Clone, PartialEq)]
pub struct RoadSettings {
    /// The percentiles, in (0, 100): the shares of pixels that stay.
    pub percentiles: Vec<f64>,
    /// Standard deviation of the noise on imputed pixels, in units of the normalised input.
    pub noise: f64,
}

impl Settings {
    /// Everything, as the papers have it: RISE's steps (one for each of `rows` rows), zero for
    /// deletion and blur for insertion; ROAD's percentiles 10 to 90 and noise of 0.01.
    pub fn of_the_papers(zero: [f32; 3], rows: usize) -> Settings {
        Settings {
            zero,
            curves: Some(CurveSettings { steps: rows, deletion: Baseline::Zero, insertion: Baseline::Blur }),
            road: Some(RoadSettings {
                percentiles: (1..10).map(|tens| f64::from(tens) * 10.0).collect(),
                noise: 0.01,
            }),
            coherency: true,
            ties: Ties::default(),
            seed: 0,
        }
    }

    /// # Errors
    /// When a setting makes no sense.
    pub fn check(&self) -> Result<()> {
        if self.curves.is_some_and(|curves| curves.steps == 0) {
            return Err(Error::usage("deletion and insertion in 0 steps"));
        }
        if let Some(road) = &self.road {
            if road.percentiles.is_empty() {
                return Err(Error::usage("road: no percentile"));
            }
            // Written so that NaN is refused.
            if let Some(p) = road.percentiles.iter().find(|p| !(**p > 0.0 && **p < 100.0)) {
                return Err(Error::usage(format!("road: percentile {p}: above 0 and below 100 expected")));
            }
            if !(road.noise >= 0.0 && road.noise.is_finite()) {
                return Err(Error::usage(format!("road: noise of {}", road.noise)));
            }
        }
        Ok(())
    }
}
