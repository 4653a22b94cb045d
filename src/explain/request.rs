//! What a study asks: which exits, taps, methods, classes and scores.

use std::str::FromStr;

use super::fusion::Fusion;
use super::grad_cam::Question;
use super::method::{MapMethod, Method, PixelMethod, by_name};
use super::score::Score;
use super::taps::{Tap, Taps, own_tap};
use super::target::{Target, check_class};
use crate::engine::plan::Order;
use crate::explain::methods::plain_cam::class_weights;
use crate::model::msdnet::Network;
use crate::{Error, Result};

/// Several methods about the same images, which share one forward pass. An [`super::Classifier`] is
/// the faster way to Grad-CAM alone.
///
/// ```
/// # fn main() -> msdcam::Result<()> {
/// use msdcam::explain::{Score, ExplainRequest, Target};
/// use msdcam::model::msdnet::{built_in_weights, load};
///
/// let network = load(&built_in_weights()?)?;
/// let study = ExplainRequest {
///     exits: vec![1, 10],
///     target: Target::Final,
///     score: Score::Margin,
///     ..ExplainRequest::of(&network, &["grad-cam++".parse()?, "guided-backprop".parse()?])
/// };
/// assert_eq!((study.maps.len(), study.pixels.len()), (1, 1));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ExplainRequest {
    /// The exits to answer for, from 1, ascending.
    pub exits: Vec<usize>,
    /// Where maps are made.
    pub taps: Taps,
    /// The methods that make maps.
    pub maps: Vec<MapMethod>,
    /// The methods that speak of pixels.
    pub pixels: Vec<PixelMethod>,
    /// The class that is explained.
    pub target: Target,
    /// The number of it that is differentiated.
    pub score: Score,
    /// How the maps of several taps become one, if they are to.
    pub fusion: Option<Fusion>,
    /// Whether heat maps are smoothed.
    pub smoothing: Smoothing,
    /// The noise of [`PixelMethod::SmoothGrad`].
    pub noise: Noise,
    /// The way of [`PixelMethod::IntegratedGradients`].
    pub integration: Integration,
    /// Bytes that the batches of all methods with many runs may take together, on the host and on
    /// the device; the weights are not counted. The study's own batch takes no more either, unless
    /// one image does.
    pub max_memory: usize,
}

/// Smoothing by copies of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Smoothing {
    /// None.
    #[default]
    None,
    /// The mean of six heat maps: of the input and its mirror image, each times 0.9, 1 and 1.1
    /// (`aug_smooth` of pytorch-grad-cam). All six explain the class of the image itself. Maps at
    /// the taps' own size, and pixels, stay those of the image itself.
    Flips,
}

impl Smoothing {
    /// The word on the command line and in files.
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
    /// How many.
    pub samples: usize,
    /// Standard deviation, as a share of the range (maximum minus minimum) of the input.
    pub share: f32,
    /// The same seed gives the same noise, whatever the device and the batch.
    pub seed: u64,
}

impl Default for Noise {
    /// 50 samples of 15 %: the middle of what the SmoothGrad paper recommends.
    fn default() -> Self {
        Noise { samples: 50, share: 0.15, seed: 0 }
    }
}

/// The way from a baseline to the image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Integration {
    /// Into how many parts it is divided; the gradient is taken in the middle of each.
    pub steps: usize,
    /// Where it starts: one number for all of red, green and blue each, normalised as the input is.
    pub baseline: [f32; 3],
}

impl Default for Integration {
    /// 50 steps from zero, as in captum.
    fn default() -> Self {
        Integration { steps: 50, baseline: [0.0; 3] }
    }
}

impl ExplainRequest {
    /// `methods` at every exit's own tap, for the class that it predicts.
    pub fn of(network: &Network, methods: &[Method]) -> ExplainRequest {
        let maps = methods.iter().filter_map(|m| if let Method::Map(map) = m { Some(*map) } else { None });
        let pixels =
            methods.iter().filter_map(|m| if let Method::Pixels(pixels) = m { Some(*pixels) } else { None });
        ExplainRequest {
            exits: (1..=network.exits.len()).collect(),
            taps: Taps::Exit,
            maps: maps.collect(),
            pixels: pixels.collect(),
            target: Target::Predicted,
            score: Score::Logit,
            fusion: None,
            smoothing: Smoothing::None,
            noise: Noise::default(),
            integration: Integration::default(),
            max_memory: 1 << 30,
        }
    }

    /// Whether `network` can be asked this.
    ///
    /// # Errors
    /// When it lacks an exit, a class or a tap, a tap does not reach a score, a method does not
    /// suit the network, or settings are out of range.
    pub fn check(&self, network: &Network) -> Result<()> {
        Question { exits: self.exits.clone(), maps: false, order: Order::Depth }.check(network)?;
        self.target.check(network.config.classes)?;
        if let Score::Over(class) = self.score {
            check_class(class, network.config.classes)?;
        }
        if self.maps.is_empty() && self.pixels.is_empty() {
            return Err(Error::usage("no method asked for"));
        }
        let mut names: Vec<&str> = self.maps.iter().map(|m| m.name()).collect();
        names.extend(self.pixels.iter().map(|p| p.name()));
        names.sort_unstable();
        if let Some(two) = names.windows(2).find(|two| two[0] == two[1]) {
            return Err(Error::usage(format!("method '{}' is asked for twice", two[0])));
        }
        if let Taps::Named(taps) = &self.taps
            && let Some(tap) = taps.iter().find(|tap| taps.iter().filter(|other| other == tap).count() > 1)
        {
            return Err(Error::usage(format!("tap '{tap}' is asked for twice")));
        }
        if self.fusion.is_some() && self.maps.is_empty() {
            return Err(Error::usage("maps are to be fused, but no method that makes maps is asked for"));
        }
        self.check_pixel_settings()?;
        for &exit in &self.exits {
            for tap in self.taps_of(network, exit)? {
                if self.maps.contains(&MapMethod::Cam) {
                    class_weights(network, exit, &tap)?;
                }
            }
        }
        Ok(())
    }

    fn check_pixel_settings(&self) -> Result<()> {
        if self.wants(PixelMethod::SmoothGrad) {
            let Noise { samples, share, .. } = self.noise;
            if samples == 0 || !share.is_finite() || share < 0.0 {
                return Err(Error::usage(format!("smooth-grad: {samples} samples with noise of {share}")));
            }
        }
        if self.wants(PixelMethod::IntegratedGradients) {
            let Integration { steps, baseline } = self.integration;
            if steps == 0 || baseline.iter().any(|b| !b.is_finite()) {
                return Err(Error::usage(format!(
                    "integrated-gradients: {steps} steps from a baseline of {baseline:?}"
                )));
            }
        }
        Ok(())
    }

    pub(crate) fn wants(&self, method: PixelMethod) -> bool {
        self.pixels.contains(&method)
    }

    /// The taps of exit `exit`, in the order asked for; none where no method makes maps.
    ///
    /// # Errors
    /// When there is no tap of a name, or it does not reach the score: names those that do.
    pub fn taps_of(&self, network: &Network, exit: usize) -> Result<Vec<Tap>> {
        if self.maps.is_empty() {
            return Ok(Vec::new());
        }
        self.taps.of(network, exit, self.maps.iter().any(|m| m.needs_path()))
    }

    /// The tap whose Grad-CAM map guided Grad-CAM multiplies with.
    pub(crate) fn guide_of(&self, network: &Network, exit: usize) -> Option<Tap> {
        self.wants(PixelMethod::GuidedGradCam).then(|| own_tap(network, exit))
    }
}
