//! The methods by name.

use std::str::FromStr;

use crate::{Error, Result};

/// A method that makes a map at a tap: a sum over the tap's channels. [`crate::explain::methods::cam`] has the
/// formulas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MapMethod {
    /// Channels weighed by the mean of their gradient.
    GradCam,
    /// Channels weighed by their positive gradients, each with a second-order share.
    GradCamPlusPlus,
    /// Gradient times activation, place by place.
    HiResCam,
    /// Channels weighed by their gradients' mean over the activation.
    XGradCam,
    /// Positive gradient times activation, place by place.
    LayerCam,
    /// The positive products of gradient and activation.
    GradCamElementwise,
    /// First principal component of the activations; asks for no class.
    EigenCam,
    /// First principal component of gradient times activation.
    EigenGradCam,
    /// Channels weighed by the score of the image seen through them; no gradient.
    ScoreCam,
    /// Channels weighed by what the score loses without them; no gradient.
    AblationCam,
    /// The class's own weights, where one linear layer reads the pooled tap.
    Cam,
}

impl MapMethod {
    /// Every map method.
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

    /// The word on the command line and in files.
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

    /// As its authors write it.
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

    /// Whether it reads the gradient at the tap.
    pub fn needs_gradient(self) -> bool {
        !matches!(self, MapMethod::EigenCam | MapMethod::ScoreCam | MapMethod::AblationCam | MapMethod::Cam)
    }

    /// Whether its map depends on the class that is explained.
    pub fn asks_for_class(self) -> bool {
        self != MapMethod::EigenCam
    }

    /// Whether the tap has to reach the score: not where only its activations count.
    pub fn needs_path(self) -> bool {
        !matches!(self, MapMethod::EigenCam | MapMethod::ScoreCam)
    }
}

/// A method that says something about every pixel of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PixelMethod {
    /// d score / d input.
    InputGradient,
    /// The same, letting only positive gradients through every ReLU.
    GuidedBackprop,
    /// Guided backpropagation times the exit's Grad-CAM map.
    GuidedGradCam,
    /// Gradient times input.
    GradientTimesInput,
    /// The mean gradient of noisy copies of the image.
    SmoothGrad,
    /// The gradient along the way from a baseline to the image.
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

    /// The word on the command line and in files.
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

    /// As its authors write it.
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
    /// One that makes a map at a tap.
    Map(MapMethod),
    /// One that speaks of the input's pixels.
    Pixels(PixelMethod),
}

impl Method {
    /// Every method, maps first.
    pub fn all() -> impl Iterator<Item = Method> {
        let maps = MapMethod::ALL.into_iter().map(Method::Map);
        maps.chain(PixelMethod::ALL.into_iter().map(Method::Pixels))
    }

    /// The word on the command line and in files.
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
    what: &str,
    text: &str,
    choices: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<T> {
    choices.iter().copied().find(|&choice| name(choice) == text).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|&choice| name(choice)).collect();
        Error::usage(format!("{what} '{text}': there are {}", names.join(", ")))
    })
}
