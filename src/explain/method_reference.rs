//! What a method computes, where it was published, what it needs and what it costs.

use super::method::{MapMethod, Method, PixelMethod};

/// Where a method was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publication {
    /// The authors as a text cites them: `Selvaraju et al.`
    pub cited: &'static str,
    /// All authors, in the order of the publication.
    pub authors: &'static str,
    /// Its title.
    pub title: &'static str,
    /// The conference or journal; `arXiv` or `software` where it was in none.
    pub venue: &'static str,
    /// Year of the venue.
    pub year: u16,
    /// Where it is found: `arXiv:1610.02391`, `doi:10.1109/TIP.2021.3089943`, or the address of a page.
    pub identifier: &'static str,
}

impl Publication {
    /// Authors, venue and year: `Selvaraju et al., ICCV 2017`.
    pub fn citation(&self) -> String {
        format!("{}, {} {}", self.cited, self.venue, self.year)
    }

    /// The address of its page.
    pub fn address(&self) -> String {
        match self.identifier.split_once(':') {
            Some(("arXiv", number)) => format!("https://arxiv.org/abs/{number}"),
            Some(("doi", name)) => format!("https://doi.org/{name}"),
            _ => self.identifier.into(),
        }
    }
}

impl Method {
    /// The symbols of [`Method::formula`].
    pub const FORMULA_SYMBOLS: &str = "A: the activations of the tap, Aₖ its channel k; G = ∂score/∂A; x: the input of the \
                                       network; g = ∂score/∂x; ⊙: element by element; sums and means without an \
                                       index go over the places of the map.";

    /// Its formula in Unicode, with the symbols of [`Method::FORMULA_SYMBOLS`].
    pub fn formula(self) -> &'static str {
        match self {
            Method::Map(method) => formula_of_map(method),
            Method::Pixels(method) => formula_of_pixels(method),
        }
    }

    /// Where it was published.
    pub fn publication(self) -> Publication {
        match self {
            Method::Map(method) => publication_of_map(method),
            Method::Pixels(method) => publication_of_pixels(method),
        }
    }

    /// Where it reads the gradient of the score: `tap`, `input`, `input, tap` or `none`.
    pub fn gradient(self) -> &'static str {
        match self {
            // The device computes Grad-CAM, the host the others.
            Method::Map(method) if method == MapMethod::GradCam || method.reads_gradient() => "tap",
            Method::Map(_) => "none",
            Method::Pixels(PixelMethod::GuidedGradCam) => "input, tap",
            Method::Pixels(_) => "input",
        }
    }

    /// What the network has to have for it.
    pub fn needs(self) -> &'static str {
        match self {
            Method::Map(MapMethod::EigenCam) => "A tap; neither a gradient nor a class.",
            Method::Map(MapMethod::ScoreCam) => "A tap; no gradient.",
            Method::Map(MapMethod::AblationCam) => "A tap that the score depends on; no gradient.",
            Method::Map(MapMethod::Cam) => {
                "A head that is one linear layer behind the global average of the tap; no gradient."
            }
            Method::Map(_) => "A tap that the score depends on, and the gradient there.",
            Method::Pixels(PixelMethod::GuidedBackprop) => "The gradient at the input, through ReLUs.",
            Method::Pixels(PixelMethod::GuidedGradCam) => {
                "The gradient at the input, through ReLUs, and the gradient at a tap."
            }
            Method::Pixels(_) => "The gradient at the input.",
        }
    }

    /// Forward passes that it takes for an image, an exit and a class, in words. The first one is shared by all exits,
    /// classes and methods.
    pub fn forward_passes(self) -> &'static str {
        match self {
            Method::Map(MapMethod::ScoreCam) => "1 + 1 a channel",
            Method::Map(MapMethod::AblationCam) => "1 + part of 1 a channel",
            Method::Pixels(PixelMethod::SmoothGrad) => "1 + 1 a sample (50)",
            Method::Pixels(PixelMethod::IntegratedGradients) => "1 + 1 a step (50)",
            _ => "1",
        }
    }

    /// Backward passes that it takes for an image, an exit and a class, in words.
    pub fn backward_passes(self) -> &'static str {
        match self {
            Method::Pixels(PixelMethod::GuidedGradCam) => "2",
            Method::Pixels(PixelMethod::SmoothGrad) => "1 a sample",
            Method::Pixels(PixelMethod::IntegratedGradients) => "1 a step",
            _ if self.gradient() == "none" => "0",
            _ => "1",
        }
    }
}

fn formula_of_map(method: MapMethod) -> &'static str {
    match method {
        MapMethod::GradCam => "ReLU(Σₖ wₖ Aₖ), wₖ = mean Gₖ",
        MapMethod::GradCamPlusPlus => {
            "ReLU(Σₖ wₖ Aₖ), wₖ = Σ α ReLU(Gₖ), α = Gₖ² / (2 Gₖ² + (Σ Aₖ) Gₖ³ + 1e-6)"
        }
        MapMethod::HiResCam => "ReLU(Σₖ Gₖ ⊙ Aₖ)",
        MapMethod::XGradCam => "ReLU(Σₖ wₖ Aₖ), wₖ = Σ (Gₖ ⊙ Aₖ) / (Σ Aₖ + 1e-7)",
        MapMethod::LayerCam => "ReLU(Σₖ ReLU(Gₖ) ⊙ Aₖ)",
        MapMethod::GradCamElementwise => "Σₖ ReLU(Gₖ ⊙ Aₖ)",
        MapMethod::EigenCam => {
            "ReLU(B v), B: A minus each channel's mean, a row for each place; v: the first principal axis of B"
        }
        MapMethod::EigenGradCam => {
            "ReLU(B v), B: G ⊙ A minus each channel's mean, a row for each place; v: the first principal axis of B"
        }
        MapMethod::ScoreCam => {
            "ReLU(Σₖ wₖ Aₖ), w = softmax over k of score(x ⊙ Mₖ), Mₖ: Aₖ resized to x and scaled to [0, 1]"
        }
        MapMethod::AblationCam => "ReLU(Σₖ wₖ Aₖ), wₖ = (score − score with Aₖ = 0) / score",
        MapMethod::Cam => "ReLU(Σₖ wₖ Aₖ), wₖ: the class's weight of channel k in the linear layer",
    }
}

fn formula_of_pixels(method: PixelMethod) -> &'static str {
    match method {
        PixelMethod::InputGradient => "g",
        PixelMethod::GuidedBackprop => "g⁺: g, where every ReLU passes back positive gradients only",
        PixelMethod::GuidedGradCam => "g⁺ ⊙ Grad-CAM resized to x, g⁺ as in guided-backprop",
        PixelMethod::GradientTimesInput => "g ⊙ x",
        PixelMethod::SmoothGrad => "mean of g(x + n) over samples of Gaussian noise n",
        PixelMethod::IntegratedGradients => {
            "(x − b) ⊙ mean of g(b + t (x − b)) over t in [0, 1], b: the baseline"
        }
    }
}

/// Selvaraju et al., of Grad-CAM and guided Grad-CAM.
const GRAD_CAM: Publication = Publication {
    cited: "Selvaraju et al.",
    authors: "Ramprasaath R. Selvaraju, Michael Cogswell, Abhishek Das, Ramakrishna Vedantam, Devi Parikh, Dhruv Batra",
    title: "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization",
    venue: "ICCV",
    year: 2017,
    identifier: "arXiv:1610.02391",
};

fn publication_of_map(method: MapMethod) -> Publication {
    match method {
        MapMethod::GradCam => GRAD_CAM,
        MapMethod::GradCamPlusPlus => Publication {
            cited: "Chattopadhay et al.",
            authors: "Aditya Chattopadhay, Anirban Sarkar, Prantik Howlader, Vineeth N. Balasubramanian",
            title: "Grad-CAM++: Generalized Gradient-Based Visual Explanations for Deep Convolutional Networks",
            venue: "WACV",
            year: 2018,
            identifier: "arXiv:1710.11063",
        },
        MapMethod::HiResCam => Publication {
            cited: "Draelos and Carin",
            authors: "Rachel Lea Draelos, Lawrence Carin",
            title: "Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural networks",
            venue: "arXiv",
            year: 2020,
            identifier: "arXiv:2011.08891",
        },
        MapMethod::XGradCam => Publication {
            cited: "Fu et al.",
            authors: "Ruigang Fu, Qingyong Hu, Xiaohu Dong, Yulan Guo, Yinghui Gao, Biao Li",
            title: "Axiom-based Grad-CAM: Towards Accurate Visualization and Explanation of CNNs",
            venue: "BMVC",
            year: 2020,
            identifier: "arXiv:2008.02312",
        },
        MapMethod::LayerCam => Publication {
            cited: "Jiang et al.",
            authors: "Peng-Tao Jiang, Chang-Bin Zhang, Qibin Hou, Ming-Ming Cheng, Yunchao Wei",
            title: "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization",
            venue: "IEEE Transactions on Image Processing",
            year: 2021,
            identifier: "doi:10.1109/TIP.2021.3089943",
        },
        MapMethod::GradCamElementwise => Publication {
            cited: "Pillai and Pirsiavash",
            authors: "Vipin Pillai, Hamed Pirsiavash",
            title: "Explainable Models with Consistent Interpretations",
            venue: "AAAI",
            year: 2021,
            identifier: "doi:10.1609/aaai.v35i3.16344",
        },
        MapMethod::EigenCam => Publication {
            cited: "Bany Muhammad and Yeasin",
            authors: "Mohammed Bany Muhammad, Mohammed Yeasin",
            title: "Eigen-CAM: Class Activation Map using Principal Components",
            venue: "IJCNN",
            year: 2020,
            identifier: "arXiv:2008.00299",
        },
        MapMethod::EigenGradCam => Publication {
            cited: "Gildenblat et al.",
            authors: "Jacob Gildenblat and contributors",
            title: "pytorch-grad-cam, where EigenGradCAM was first",
            venue: "software",
            year: 2021,
            identifier: "https://github.com/jacobgil/pytorch-grad-cam",
        },
        MapMethod::ScoreCam => Publication {
            cited: "Wang et al.",
            authors: "Haofan Wang, Zifan Wang, Mengnan Du, Fan Yang, Zijian Zhang, Sirui Ding, Piotr Mardziel, Xia Hu",
            title: "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks",
            venue: "CVPR Workshops",
            year: 2020,
            identifier: "arXiv:1910.01279",
        },
        MapMethod::AblationCam => Publication {
            cited: "Desai and Ramaswamy",
            authors: "Saurabh Desai, Harish G. Ramaswamy",
            title: "Ablation-CAM: Visual Explanations for Deep Convolutional Network via Gradient-free Localization",
            venue: "WACV",
            year: 2020,
            identifier: "doi:10.1109/WACV45572.2020.9093360",
        },
        MapMethod::Cam => Publication {
            cited: "Zhou et al.",
            authors: "Bolei Zhou, Aditya Khosla, Agata Lapedriza, Aude Oliva, Antonio Torralba",
            title: "Learning Deep Features for Discriminative Localization",
            venue: "CVPR",
            year: 2016,
            identifier: "arXiv:1512.04150",
        },
    }
}

fn publication_of_pixels(method: PixelMethod) -> Publication {
    match method {
        PixelMethod::InputGradient => Publication {
            cited: "Simonyan et al.",
            authors: "Karen Simonyan, Andrea Vedaldi, Andrew Zisserman",
            title: "Deep Inside Convolutional Networks: Visualising Image Classification Models and Saliency Maps",
            venue: "ICLR Workshop",
            year: 2014,
            identifier: "arXiv:1312.6034",
        },
        PixelMethod::GuidedBackprop => Publication {
            cited: "Springenberg et al.",
            authors: "Jost Tobias Springenberg, Alexey Dosovitskiy, Thomas Brox, Martin Riedmiller",
            title: "Striving for Simplicity: The All Convolutional Net",
            venue: "ICLR Workshop",
            year: 2015,
            identifier: "arXiv:1412.6806",
        },
        PixelMethod::GuidedGradCam => GRAD_CAM,
        PixelMethod::GradientTimesInput => Publication {
            cited: "Shrikumar et al.",
            authors: "Avanti Shrikumar, Peyton Greenside, Anna Shcherbina, Anshul Kundaje",
            title: "Not Just a Black Box: Learning Important Features Through Propagating Activation Differences",
            venue: "arXiv",
            year: 2016,
            identifier: "arXiv:1605.01713",
        },
        PixelMethod::SmoothGrad => Publication {
            cited: "Smilkov et al.",
            authors: "Daniel Smilkov, Nikhil Thorat, Been Kim, Fernanda Viégas, Martin Wattenberg",
            title: "SmoothGrad: removing noise by adding noise",
            venue: "arXiv",
            year: 2017,
            identifier: "arXiv:1706.03825",
        },
        PixelMethod::IntegratedGradients => Publication {
            cited: "Sundararajan et al.",
            authors: "Mukund Sundararajan, Ankur Taly, Qiqi Yan",
            title: "Axiomatic Attribution for Deep Networks",
            venue: "ICML",
            year: 2017,
            identifier: "arXiv:1703.01365",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::request::{Integration, Noise};

    #[test]
    fn the_cost_says_what_the_method_reads() {
        for method in Method::all() {
            let name = method.name();
            assert_eq!(method.backward_passes() == "0", method.gradient() == "none", "{name}");
            assert_eq!(method.forward_passes() != "1", method.takes_many_runs(), "{name}");
            let without =
                ["no gradient", "neither a gradient"].iter().any(|words| method.needs().contains(words));
            assert_eq!(without, method.gradient() == "none", "{name}");
        }
        let forward = |method| Method::Pixels(method).forward_passes();
        let samples = format!("({})", Noise::default().samples);
        assert!(forward(PixelMethod::SmoothGrad).contains(&samples));
        let steps = format!("({})", Integration::default().steps);
        assert!(forward(PixelMethod::IntegratedGradients).contains(&steps));
    }

    #[test]
    fn a_publication_has_all_its_facts_in_their_form() {
        for method in Method::all() {
            let (name, from) = (method.name(), method.publication());
            assert!((2014..=2021).contains(&from.year), "{name}");
            let first = from.authors.split([',', '&']).next().unwrap();
            let family = from.cited.split(" et al").next().unwrap().split(" and ").next().unwrap();
            assert!(first.contains(family), "{name}: {first}, {}", from.cited);
            let count = from.authors.split(", ").count();
            assert_eq!(from.cited.contains(" and "), count == 2, "{name}: {count} authors");
            match from.identifier.split_once(':').unwrap() {
                ("arXiv", number) => {
                    let (month, paper) = number.split_once('.').unwrap();
                    assert!(month.len() == 4 && (4..=5).contains(&paper.len()), "{name}: {number}");
                    let year = 2000 + month[..2].parse::<u16>().unwrap();
                    // A paper is on arXiv in the year of its venue, or up to two years before.
                    assert!((year..=year + 2).contains(&from.year), "{name}: {number} in {}", from.year);
                }
                ("doi", doi) => assert!(doi.starts_with("10.") && doi.contains('/'), "{name}: {doi}"),
                (scheme, _) => assert_eq!(scheme, "https", "{name}"),
            }
            assert!(from.address().starts_with("https://"), "{name}");
        }
    }
}
