//! Settings of the metrics.

use super::baseline::Baseline;
use super::ranking::Ties;
use crate::Result;
use crate::error::RequestError;

/// Settings that the metrics depend on, besides the model, the images and the methods. The metrics that
/// take more than two forward passes per image are optional.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Zero of each channel of the normalized input, for masking and for [`Baseline::Zero`]: the value
    /// of a black pixel, or 0, which is the data set's mean.
    pub zero: [f32; 3],
    /// Deletion and insertion; `None` skips them.
    pub curves: Option<CurveSettings>,
    /// ROAD; `None` skips it.
    pub road: Option<RoadSettings>,
    /// Whether coherency, and with it ADCC, is computed.
    pub coherency: bool,
    /// Order of equally important pixels.
    pub ties: Ties,
    /// Seed of the noise and of random ties, which do not depend on the device, the batch size or the
    /// thread count.
    pub seed: u64,
}

/// Settings of deletion and insertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CurveSettings {
    /// Number of equal steps into which the pixels are divided.
    pub steps: usize,
    /// Values of deleted pixels.
    pub deletion: Baseline,
    /// Values of pixels before their insertion.
    pub insertion: Baseline,
}

/// Settings of ROAD.
#[derive(Debug, Clone, PartialEq)]
pub struct RoadSettings {
    /// Percentiles in (0, 100): the shares of the pixels that are kept.
    pub percentiles: Vec<f64>,
    /// Standard deviation of the noise on imputed pixels, in units of the normalized input.
    pub noise: f64,
}

impl Settings {
    /// All metrics with the settings of the papers. RISE: a step for each of `rows` rows of the image,
    /// baseline zero for deletion and blur for insertion. ROAD: percentiles 10 to 90 and noise of 0.01.
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

    /// Checks the values.
    ///
    /// # Errors
    /// When a value is out of its range.
    pub fn check(&self) -> Result<()> {
        if self.curves.is_some_and(|curves| curves.steps == 0) {
            return Err(RequestError::NoCurveSteps.into());
        }
        if let Some(road) = &self.road {
            if road.percentiles.is_empty() {
                return Err(RequestError::NoPercentiles.into());
            }
            // Written so that NaN is rejected.
            if let Some(p) = road.percentiles.iter().find(|p| !(**p > 0.0 && **p < 100.0)) {
                return Err(RequestError::Percentile { percentile: *p }.into());
            }
            if !(road.noise >= 0.0 && road.noise.is_finite()) {
                return Err(RequestError::ImputationNoise { noise: road.noise }.into());
            }
        }
        Ok(())
    }
}
