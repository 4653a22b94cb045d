//! What a reader of a method's picture should know: what it shows, and when it misleads.

use super::method::{MapMethod, Method, PixelMethod};

/// On methods that are sharp because they reproduce edges.
const EDGES: &str = "Changes little when the network's upper layers are replaced by random ones (Adebayo et al. \
                     2018): sharp edges are the photo's, not evidence of what the network relies on.";

/// On plain gradients.
const NOISY: &str = "Noisy: the gradient of a deep network changes from pixel to pixel, and says how the score \
                     would change, not what made it.";

impl Method {
    /// Its name as its authors write it.
    pub fn title(self) -> &'static str {
        match self {
            Method::Map(method) => method.title(),
            Method::Pixels(method) => method.title(),
        }
    }

    /// One sentence that says what it shows.
    pub fn about(self) -> &'static str {
        match self {
            Method::Map(method) => about_map(method),
            Method::Pixels(method) => about_pixels(method),
        }
    }

    /// When its picture misleads, if that is known of it in particular.
    pub fn caution(self) -> Option<&'static str> {
        match self {
            Method::Map(method) => caution_of_map(method),
            Method::Pixels(method) => caution_of_pixels(method),
        }
    }

    /// Whether it runs the network many times for an image.
    pub fn takes_many_runs(self) -> bool {
        match self {
            Method::Map(method) => matches!(method, MapMethod::ScoreCam | MapMethod::AblationCam),
            Method::Pixels(method) => method.reads_many_gradients(),
        }
    }
}

fn about_map(method: MapMethod) -> &'static str {
    match method {
        MapMethod::GradCam => {
            "The tap's channels, each weighted by the mean of the score's gradient over it; what is positive raises \
             the score."
        }
        MapMethod::GradCamPlusPlus => {
            "Grad-CAM with weights that give every positive gradient its own coefficient, so that several objects of \
             a class all show."
        }
        MapMethod::HiResCam => {
            "Gradient times activation at every place of the tap, without averaging the gradient first."
        }
        MapMethod::XGradCam => {
            "Grad-CAM with gradients averaged in proportion to the activations, so that the map's sum comes close to \
             the score."
        }
        MapMethod::LayerCam => {
            "Positive gradient times activation at every place; works at fine taps too, where Grad-CAM blurs."
        }
        MapMethod::GradCamElementwise => {
            "The positive products of gradient and activation, place by place, summed over the channels."
        }
        MapMethod::EigenCam => {
            "The strongest pattern of the tap's activations: their first principal component."
        }
        MapMethod::EigenGradCam => "The first principal component of gradient times activation.",
        MapMethod::ScoreCam => {
            "The channels weighted by the score of the photo masked by each of them; no gradient, one run of the \
             network a channel."
        }
        MapMethod::AblationCam => {
            "The channels weighted by how much the score falls without each of them; no gradient, one run of the \
             head a channel."
        }
        MapMethod::Cam => {
            "The class's own weights over the channels, for a head that is pooling and one linear layer."
        }
    }
}

fn caution_of_map(method: MapMethod) -> Option<&'static str> {
    match method {
        MapMethod::GradCam => Some(
            "Averaging the gradient can light places that the score does not depend on (Draelos & Carin 2020); \
             compare HiResCAM.",
        ),
        MapMethod::EigenCam => Some(
            "Does not depend on the class: it shows what is salient in the photo, whichever class is explained.",
        ),
        MapMethod::EigenGradCam => {
            Some("The sign of a principal component is arbitrary; here the largest projection is positive.")
        }
        MapMethod::ScoreCam => Some(
            "Masked photos are unlike any that the network was trained on, and its scores for them may be too.",
        ),
        MapMethod::AblationCam => {
            Some("Removes one channel at a time: channels that stand in for each other look unimportant.")
        }
        MapMethod::LayerCam | MapMethod::GradCamElementwise | MapMethod::GradCamPlusPlus => Some(
            "Ignores what speaks against the class: a place can be bright although it lowers the score as a whole.",
        ),
        MapMethod::HiResCam | MapMethod::XGradCam | MapMethod::Cam => None,
    }
}

fn about_pixels(method: PixelMethod) -> &'static str {
    match method {
        PixelMethod::InputGradient => {
            "How strongly the score changes with each pixel of the network's input."
        }
        PixelMethod::GuidedBackprop => {
            "The gradient at the input, with only positive gradients let through each ReLU."
        }
        PixelMethod::GuidedGradCam => "Guided backpropagation times the exit's Grad-CAM map.",
        PixelMethod::GradientTimesInput => "The gradient at each pixel times the pixel's normalized value.",
        PixelMethod::SmoothGrad => "The mean gradient over 50 copies of the photo with noise.",
        PixelMethod::IntegratedGradients => {
            "The mean gradient on the way from a baseline to the photo, times their difference; adds up to the \
             difference of the scores. The default baseline is the color that becomes zero in the network's input."
        }
    }
}

fn caution_of_pixels(method: PixelMethod) -> Option<&'static str> {
    match method {
        PixelMethod::GuidedBackprop | PixelMethod::GuidedGradCam => Some(EDGES),
        PixelMethod::InputGradient => Some(NOISY),
        PixelMethod::GradientTimesInput | PixelMethod::IntegratedGradients => Some(
            "Pixels whose normalized value is near zero get none, however much they matter: the baseline decides what \
             can show.",
        ),
        PixelMethod::SmoothGrad => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_note_is_sentences() {
        for method in Method::all() {
            for text in [Some(method.about()), method.caution()].into_iter().flatten() {
                assert!(text.ends_with('.') && !text.contains("  "), "{}: {text}", method.name());
            }
        }
    }
}
