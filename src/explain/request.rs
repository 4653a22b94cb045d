//! The request for an explanation: exits, taps, methods, target and score.

use std::ops::RangeInclusive;
use std::str::FromStr;

use super::fusion::Fusion;
use super::method::{MapMethod, Method, PixelMethod, by_name};
use super::methods::plain_cam::class_weights;
use super::score::Score;
use super::taps::Taps;
use super::target::{Target, check_class};
use crate::error::RequestError;
use crate::model::{Model, Tap};
use crate::{Error, Result};

/// Runs that a pixel method may ask for, for each image: more would take hours.
const RUNS: RangeInclusive<usize> = 1..=100_000;

/// What is to be explained; all methods share one forward pass.
///
/// ```
/// # fn main() -> msdcam::Result<()> {
/// use msdcam::explain::{ExplainRequest, Score, Target};
/// use msdcam::model::Model;
///
/// let model = Model::pretrained()?;
/// let request = ExplainRequest {
///     exits: vec![1, 10],
///     target: Target::Final,
///     score: Score::Margin,
///     ..ExplainRequest::new(&model, &["grad-cam++".parse()?, "guided-backprop".parse()?])
/// };
/// assert_eq!((request.maps.len(), request.pixels.len()), (1, 1));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ExplainRequest {
    /// The exits, numbered from 1, ascending.
    pub exits: Vec<usize>,
    /// Where activation maps are made.
    pub taps: Taps,
    /// The methods that give activation maps.
    pub maps: Vec<MapMethod>,
    /// The methods that give pixel attributions.
    pub pixels: Vec<PixelMethod>,
    /// The class that is explained.
    pub target: Target,
    /// The scalar of it that is differentiated.
    pub score: Score,
    /// How the activation maps of several taps become one heatmap, if at all.
    pub fusion: Option<Fusion>,
    /// Whether heatmaps are smoothed.
    pub smoothing: Smoothing,
    /// Whether activation maps before the ReLU are wanted ([`super::ActivationMap::signed`]). Without
    /// them Grad-CAM runs on the device from the gradient to the heatmap.
    pub signed: bool,
    /// The noise of [`PixelMethod::SmoothGrad`].
    pub noise: Noise,
    /// The path of [`PixelMethod::IntegratedGradients`].
    pub integration: Integration,
    /// Bytes that the batches of all methods with many runs may take together, on the host and on
    /// the device, weights apart. The request's main batch takes no more either, unless one image
    /// does.
    pub max_memory: usize,
}

/// Smoothing of heatmaps over augmented copies of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Smoothing {
    /// None.
    #[default]
    None,
    /// The mean of six heatmaps: of the input and its mirror image, each times 0.9, 1 and 1.1
    /// (`aug_smooth` of pytorch-grad-cam). All six explain the class of the image itself. Activation
    /// maps and pixel attributions stay those of the image itself.
    Flips,
}

impl Smoothing {
    /// Its name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Smoothing::None => "none",
            Smoothing::Flips => "flips",
        }
    }
}

impl FromStr for Smoothing {
    type Err = Error;

    fn from_str(text: &str) -> Result<Smoothing> {
        by_name("smoothing", text, &[Smoothing::None, Smoothing::Flips], Smoothing::name)
    }
}

/// The noisy copies of SmoothGrad.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// Number of copies, at most 100,000.
    pub samples: usize,
    /// Standard deviation as a fraction of the input's range (maximum minus minimum).
    pub share: f32,
    /// Seed of the noise, which depends on neither device nor batch size.
    pub seed: u64,
}

impl Default for Noise {
    /// 50 samples of 15 %: the middle of what the SmoothGrad paper recommends.
    fn default() -> Self {
        Noise { samples: 50, share: 0.15, seed: 0 }
    }
}

/// The path from a baseline to the image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Integration {
    /// Number of intervals, at most 100,000; the gradient is evaluated at the midpoint of each.
    pub steps: usize,
    /// Start of the path: the normalized red, green and blue of every pixel.
    pub baseline: [f32; 3],
}

impl Default for Integration {
    /// 50 steps from zero, as in captum.
    fn default() -> Self {
        Integration { steps: 50, baseline: [0.0; 3] }
    }
}

impl ExplainRequest {
    /// `methods` at every exit's own tap, for the class that the exit predicts.
    pub fn new(model: &Model, methods: &[Method]) -> ExplainRequest {
        let maps = methods.iter().filter_map(|m| if let Method::Map(map) = m { Some(*map) } else { None });
        let pixels =
            methods.iter().filter_map(|m| if let Method::Pixels(pixels) = m { Some(*pixels) } else { None });
        ExplainRequest {
            exits: (1..=model.exits.len()).collect(),
            taps: Taps::Exit,
            maps: maps.collect(),
            pixels: pixels.collect(),
            target: Target::Predicted,
            score: Score::Logit,
            fusion: None,
            smoothing: Smoothing::None,
            signed: false,
            noise: Noise::default(),
            integration: Integration::default(),
            max_memory: 1 << 30,
        }
    }

    /// Grad-CAM at every exit's own tap, for the class that the exit predicts.
    pub fn grad_cam(model: &Model) -> ExplainRequest {
        ExplainRequest::new(model, &[Method::Map(MapMethod::GradCam)])
    }

    /// Its methods: those that make maps, then the pixel methods.
    pub fn methods(&self) -> impl Iterator<Item = Method> {
        let maps = self.maps.iter().map(|&map| Method::Map(map));
        maps.chain(self.pixels.iter().map(|&pixels| Method::Pixels(pixels)))
    }

    /// Checks the request against `model`.
    ///
    /// # Errors
    /// When the model lacks an exit, a class or a tap, the score does not depend on a tap, a method
    /// does not suit the model, or a setting is out of range.
    pub fn check(&self, model: &Model) -> Result<()> {
        model.check_exits(&self.exits)?;
        self.target.check(model.classes())?;
        if let Score::Over(class) = self.score {
            check_class(class, model.classes())?;
        }
        if self.maps.is_empty() && self.pixels.is_empty() {
            return Err(RequestError::NoMethod.into());
        }
        let mut names: Vec<&str> = self.maps.iter().map(|m| m.name()).collect();
        names.extend(self.pixels.iter().map(|p| p.name()));
        names.sort_unstable();
        if let Some(two) = names.windows(2).find(|two| two[0] == two[1]) {
            return Err(RequestError::Duplicate { what: "method", name: two[0].into() }.into());
        }
        if let Taps::Named(taps) = &self.taps
            && let Some(tap) = taps.iter().find(|tap| taps.iter().filter(|other| other == tap).count() > 1)
        {
            return Err(RequestError::Duplicate { what: "tap", name: tap.clone() }.into());
        }
        if self.fusion.is_some() && self.maps.is_empty() {
            return Err(RequestError::FusionWithoutMaps.into());
        }
        self.check_pixel_settings()?;
        for &exit in &self.exits {
            for tap in self.taps_of(model, exit)? {
                if self.maps.contains(&MapMethod::Cam) {
                    class_weights(model, exit, &tap)?;
                }
            }
        }
        Ok(())
    }

    fn check_pixel_settings(&self) -> Result<()> {
        if self.wants(PixelMethod::SmoothGrad) {
            let Noise { samples, share, .. } = self.noise;
            if !RUNS.contains(&samples) || !share.is_finite() || share < 0.0 {
                return Err(RequestError::SmoothGrad { samples, noise: share, limit: *RUNS.end() }.into());
            }
        }
        if self.wants(PixelMethod::IntegratedGradients) {
            let Integration { steps, baseline } = self.integration;
            if !RUNS.contains(&steps) || baseline.iter().any(|b| !b.is_finite()) {
                return Err(RequestError::IntegratedGradients { steps, baseline, limit: *RUNS.end() }.into());
            }
        }
        Ok(())
    }

    pub(crate) fn wants(&self, method: PixelMethod) -> bool {
        self.pixels.contains(&method)
    }

    /// The taps at which exit `exit` is explained, in the request's order; none where no method makes
    /// activation maps.
    ///
    /// # Errors
    /// When there is no such exit, no tap of a name, or the exit's score does not depend on it: names those that
    /// fit.
    pub fn taps_of(&self, model: &Model, exit: usize) -> Result<Vec<Tap>> {
        model.check_exits(&[exit])?;
        if self.maps.is_empty() {
            return Ok(Vec::new());
        }
        self.taps.of(model, exit, self.maps.iter().any(|m| m.needs_path()))
    }

    /// The tap of the Grad-CAM map that guided Grad-CAM multiplies by.
    pub(crate) fn guide_of(&self, model: &Model, exit: usize) -> Option<Tap> {
        self.wants(PixelMethod::GuidedGradCam).then(|| model.exit_tap(exit).clone())
    }
}
