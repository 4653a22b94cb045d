//! The methods: names, titles, and what each reads.

use std::str::FromStr;

use crate::error::RequestError;
use crate::{Error, Result};

/// A method that gives an activation map at a tap: a sum over the tap's channels.
/// [`crate::explain::methods::cam`] has the formulas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MapMethod {
    /// Channels weighted by the mean of their gradient.
    GradCam,
    /// Channels weighted by their positive gradients, each with a second-order coefficient.
    GradCamPlusPlus,
    /// Gradient times activation, element by element.
    HiResCam,
    /// Channels weighted by the activation-weighted mean of their gradient.
    XGradCam,
    /// Positive gradient times activation, element by element.
    LayerCam,
    /// The positive products of gradient and activation.
    GradCamElementwise,
    /// First principal component of the activations; independent of the class.
    EigenCam,
    /// First principal component of gradient times activation.
    EigenGradCam,
    /// Channels weighted by the score of the image masked by them; no gradient.
    ScoreCam,
    /// Channels weighted by the loss of score without them; no gradient.
    AblationCam,
    /// The class's own weights, where one linear layer reads the pooled tap.
    Cam,
}

impl MapMethod {
    /// Every CAM method.
    pub const ALL: [MapMethod; 11] = [
        MapMethod::GradCam,
        MapMethod::GradCamPlusPlus,
        MapMethod::HiResCam,
        MapMethod::XGradCam,
        MapMethod::LayerCam,
        MapMethod::GradCamElementwise,
        MapMethod::EigenCam,
        MapMethod::EigenGradCam,
        MapMethod::ScoreCam,
        MapMethod::AblationCam,
        MapMethod::Cam,
    ];

    /// Its name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            MapMethod::GradCam => "grad-cam",
            MapMethod::GradCamPlusPlus => "grad-cam++",
            MapMethod::HiResCam => "hires-cam",
            MapMethod::XGradCam => "xgrad-cam",
            MapMethod::LayerCam => "layer-cam",
            MapMethod::GradCamElementwise => "grad-cam-elementwise",
            MapMethod::EigenCam => "eigen-cam",
            MapMethod::EigenGradCam => "eigen-grad-cam",
            MapMethod::ScoreCam => "score-cam",
            MapMethod::AblationCam => "ablation-cam",
            MapMethod::Cam => "cam",
        }
    }

    /// Its name as its authors write it.
    pub fn title(self) -> &'static str {
        match self {
            MapMethod::GradCam => "Grad-CAM",
            MapMethod::GradCamPlusPlus => "Grad-CAM++",
            MapMethod::HiResCam => "HiResCAM",
            MapMethod::XGradCam => "XGrad-CAM",
            MapMethod::LayerCam => "LayerCAM",
            MapMethod::GradCamElementwise => "Element-wise Grad-CAM",
            MapMethod::EigenCam => "Eigen-CAM",
            MapMethod::EigenGradCam => "Eigen-Grad-CAM",
            MapMethod::ScoreCam => "Score-CAM",
            MapMethod::AblationCam => "Ablation-CAM",
            MapMethod::Cam => "CAM",
        }
    }

    /// Whether its formula reads the tap's activations on the host. Grad-CAM runs on the device.
    pub(crate) fn reads_activations(self) -> bool {
        self != MapMethod::GradCam
    }

    /// Whether its formula reads the gradient at the tap on the host.
    pub(crate) fn reads_gradient(self) -> bool {
        use MapMethod::{AblationCam, Cam, EigenCam, GradCam, ScoreCam};
        !matches!(self, GradCam | EigenCam | ScoreCam | AblationCam | Cam)
    }

    /// Whether its map depends on the class that is explained.
    pub(crate) fn depends_on_class(self) -> bool {
        self != MapMethod::EigenCam
    }

    /// Whether the score has to depend on the tap; not where only the tap's activations count.
    pub(crate) fn needs_path(self) -> bool {
        !matches!(self, MapMethod::EigenCam | MapMethod::ScoreCam)
    }
}

/// A method that gives an attribution to every element of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PixelMethod {
    /// d score / d input.
    InputGradient,
    /// The same, with only positive gradients passed through every ReLU.
    GuidedBackprop,
    /// Guided backpropagation times the exit's Grad-CAM map.
    GuidedGradCam,
    /// Gradient times input.
    GradientTimesInput,
    /// The mean gradient over noisy copies of the image.
    SmoothGrad,
    /// The mean gradient on the path from a baseline to the image, times their difference.
    IntegratedGradients,
}

impl PixelMethod {
    /// Every pixel method.
    pub const ALL: [PixelMethod; 6] = [
        PixelMethod::InputGradient,
        PixelMethod::GuidedBackprop,
        PixelMethod::GuidedGradCam,
        PixelMethod::GradientTimesInput,
        PixelMethod::SmoothGrad,
        PixelMethod::IntegratedGradients,
    ];

    /// Its name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            PixelMethod::InputGradient => "input-gradient",
            PixelMethod::GuidedBackprop => "guided-backprop",
            PixelMethod::GuidedGradCam => "guided-grad-cam",
            PixelMethod::GradientTimesInput => "gradient-x-input",
            PixelMethod::SmoothGrad => "smooth-grad",
            PixelMethod::IntegratedGradients => "integrated-gradients",
        }
    }

    /// Its name as its authors write it.
    pub fn title(self) -> &'static str {
        match self {
            PixelMethod::InputGradient => "Input gradient",
            PixelMethod::GuidedBackprop => "Guided backpropagation",
            PixelMethod::GuidedGradCam => "Guided Grad-CAM",
            PixelMethod::GradientTimesInput => "Gradient x input",
            PixelMethod::SmoothGrad => "SmoothGrad",
            PixelMethod::IntegratedGradients => "Integrated gradients",
        }
    }

    /// Whether it reads the plain gradient of the image itself.
    pub(crate) fn reads_input_gradient(self) -> bool {
        matches!(self, PixelMethod::InputGradient | PixelMethod::GradientTimesInput)
    }

    /// Whether it reads the guided gradient of the image.
    pub(crate) fn reads_guided_gradient(self) -> bool {
        matches!(self, PixelMethod::GuidedBackprop | PixelMethod::GuidedGradCam)
    }

    /// Whether it reads the plain gradients of many images.
    pub(crate) fn reads_many_gradients(self) -> bool {
        matches!(self, PixelMethod::SmoothGrad | PixelMethod::IntegratedGradients)
    }
}

/// A method of either kind.
///
/// ```
/// use msdcam::explain::{MapMethod, Method, PixelMethod};
///
/// assert_eq!("grad-cam++".parse(), Ok(Method::Map(MapMethod::GradCamPlusPlus)));
/// assert_eq!("smooth-grad".parse(), Ok(Method::Pixels(PixelMethod::SmoothGrad)));
/// assert!("gradcam".parse::<Method>().unwrap_err().to_string().contains("there are grad-cam, "));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// One that gives an activation map at a tap.
    Map(MapMethod),
    /// One that gives a pixel attribution.
    Pixels(PixelMethod),
}

impl Method {
    /// Every method, maps first.
    pub fn all() -> impl Iterator<Item = Method> {
        let maps = MapMethod::ALL.into_iter().map(Method::Map);
        maps.chain(PixelMethod::ALL.into_iter().map(Method::Pixels))
    }

    /// Its name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Method::Map(method) => method.name(),
            Method::Pixels(method) => method.name(),
        }
    }
}

impl FromStr for Method {
    type Err = Error;

    fn from_str(text: &str) -> Result<Method> {
        by_name("method", text, &Method::all().collect::<Vec<_>>(), Method::name)
    }
}

/// The one of `choices` that is called `text`.
pub(crate) fn by_name<T: Copy>(
    what: &'static str,
    text: &str,
    choices: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<T> {
    choices.iter().copied().find(|&choice| name(choice) == text).ok_or_else(|| {
        let expected = choices.iter().map(|&choice| name(choice).into()).collect();
        RequestError::UnknownName { what, name: text.into(), expected }.into()
    })
}
