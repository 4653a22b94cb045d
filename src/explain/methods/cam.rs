//! The formulas of the CAM methods: from the activations A and the gradients G = d score / d A of a tap, both
//! (C, h, w), to a map (h, w) before its ReLU.
//!
//! Each is defined as pytorch-grad-cam (Gildenblat 2021) computes it, which departs from a paper
//! only where a function says so. Sums are taken in double precision; no result is NaN unless an
//! activation or a gradient is.

use super::eigen_cam::principal_projection;
use crate::Shape;
use crate::explain::method::MapMethod;

/// A tap's activations A and gradients G; empty where a method does not read them. A formula of a tap without
/// places gives an empty map.
#[derive(Debug, Clone, Copy)]
pub struct TapValues<'a> {
    /// (C, h, w).
    pub shape: Shape,
    /// A.
    pub activations: &'a [f32],
    /// G, of the same shape.
    pub gradients: &'a [f32],
}

impl<'a> TapValues<'a> {
    /// Each channel's activations and gradients.
    fn channels(&self) -> impl Iterator<Item = (&'a [f32], &'a [f32])> {
        let plane = self.shape.plane().max(1);
        self.activations.chunks_exact(plane).zip(self.gradients.chunks_exact(plane))
    }

    /// One weight per channel.
    fn channel_weights(&self, weight: impl Fn(&[f32], &[f32]) -> f64) -> Vec<f32> {
        self.channels().map(|(a, g)| weight(a, g) as f32).collect()
    }

    /// The sum over the channels of a function of (a, g), for each position.
    fn sum(&self, product: impl Fn(f64, f64) -> f64) -> Vec<f32> {
        let mut sums = vec![0.0; self.shape.plane()];
        for (a, g) in self.channels() {
            for ((sum, &a), &g) in sums.iter_mut().zip(a).zip(g) {
                *sum += product(f64::from(a), f64::from(g));
            }
        }
        narrow(&sums)
    }
}

/// Channel weights, where the method has them, and the map before its ReLU; `None` where the
/// device computes the map or it takes more than one run.
pub(crate) fn in_one_pass(method: MapMethod, tap: TapValues) -> Option<(Vec<f32>, Vec<f32>)> {
    let weighted = |weights: Vec<f32>| {
        let map = weighted_sum(tap.shape, &weights, tap.activations);
        Some((weights, map))
    };
    let unweighted = |map: Vec<f32>| Some((Vec::new(), map));
    match method {
        MapMethod::GradCamPlusPlus => weighted(grad_cam_plus_plus_weights(tap)),
        MapMethod::XGradCam => weighted(xgrad_cam_weights(tap)),
        MapMethod::HiResCam => unweighted(hires_cam(tap)),
        MapMethod::LayerCam => unweighted(layer_cam(tap)),
        MapMethod::GradCamElementwise => unweighted(grad_cam_elementwise(tap)),
        MapMethod::EigenCam => unweighted(eigen_cam(tap.shape, tap.activations)),
        MapMethod::EigenGradCam => unweighted(eigen_grad_cam(tap)),
        MapMethod::GradCam | MapMethod::ScoreCam | MapMethod::AblationCam | MapMethod::Cam => None,
    }
}

/// Sum over the channels of weight x activation: the last step of every method with channel weights.
pub fn weighted_sum(shape: Shape, weights: &[f32], activations: &[f32]) -> Vec<f32> {
    let mut sums = vec![0.0; shape.plane()];
    for (&weight, a) in weights.iter().zip(activations.chunks_exact(shape.plane().max(1))) {
        for (sum, &a) in sums.iter_mut().zip(a) {
            *sum += f64::from(weight) * f64::from(a);
        }
    }
    narrow(&sums)
}

/// Grad-CAM++ (Chattopadhay et al. 2018, arXiv 1710.11063, equation 19, for an exponential score):
/// w = sum of alpha x max(G, 0), alpha = G^2 / (2 G^2 + (sum of A) G^3 + 1e-6), 0 where G is 0.
pub fn grad_cam_plus_plus_weights(tap: TapValues) -> Vec<f32> {
    tap.channel_weights(|a, g| {
        let sum = total(a);
        // Negative gradients are not in the sum; their coefficient may not be finite.
        let positive = g.iter().map(|&g| f64::from(g)).filter(|&g| g > 0.0 || g.is_nan());
        positive.map(|g| g * ratio(g * g, 2.0 * g * g + sum * g * g * g + 1e-6)).sum()
    })
}

/// HiResCAM (Draelos and Carin 2020, arXiv 2011.08891): sum of G x A. Where the layers after the
/// tap are linear, it adds up to the score but for the biases.
pub fn hires_cam(tap: TapValues) -> Vec<f32> {
    tap.sum(|a, g| g * a)
}

/// XGrad-CAM (Fu et al. 2020, arXiv 2008.02312): w = sum of G x A / (sum of A + 1e-7).
pub fn xgrad_cam_weights(tap: TapValues) -> Vec<f32> {
    tap.channel_weights(|a, g| {
        let products: f64 = a.iter().zip(g).map(|(&a, &g)| f64::from(a) * f64::from(g)).sum();
        ratio(products, total(a) + 1e-7)
    })
}

/// LayerCAM (Jiang et al. 2021, doi 10.1109/TIP.2021.3089943): sum of max(G, 0) x A.
pub fn layer_cam(tap: TapValues) -> Vec<f32> {
    tap.sum(|a, g| positive(g) * a)
}

/// Grad-CAM element-wise (Pillai and Pirsiavash 2021, doi 10.1609/aaai.v35i3.16344): sum of max(G x A, 0).
pub fn grad_cam_elementwise(tap: TapValues) -> Vec<f32> {
    tap.sum(|a, g| positive(g * a))
}

/// Eigen-CAM (Bany Muhammad and Yeasin 2020, arXiv 2008.00299): the positions, each a vector of C
/// activations minus the channels' means, projected on their first principal axis.
///
/// # Panics
/// When the activations are not those of `shape`.
pub fn eigen_cam(shape: Shape, activations: &[f32]) -> Vec<f32> {
    let rows: Vec<f64> = activations.iter().map(|&a| f64::from(a)).collect();
    narrow(&principal_projection(&rows, shape.c, shape.plane()))
}

/// Eigen-Grad-CAM (pytorch-grad-cam): Eigen-CAM of G x A.
///
/// # Panics
/// When activations or gradients are not those of the shape.
pub fn eigen_grad_cam(tap: TapValues) -> Vec<f32> {
    let product = |(&a, &g): (&f32, &f32)| f64::from(a) * f64::from(g);
    let rows: Vec<f64> = tap.activations.iter().zip(tap.gradients).map(product).collect();
    narrow(&principal_projection(&rows, tap.shape.c, tap.shape.plane()))
}

/// Score-CAM (Wang et al. 2020, arXiv 1910.01279): w = softmax over the channels of the score
/// of the image times each channel's mask. The score of an empty image, which the paper
/// subtracts, is the same for all channels and drops out of the softmax.
pub fn score_cam_weights(scores: &[f64]) -> Vec<f32> {
    let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = scores.iter().map(|s| (s - top).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|p| (p / sum) as f32).collect()
}

/// Ablation-CAM (Desai and Ramaswamy 2020, WACV): w = (score - score without the channel) / score.
///
/// Where the score is 0, the difference itself. A negative score inverts every sign, as in the
/// paper's formula: use `Score::Probability` where that matters.
pub fn ablation_cam_weights(score: f64, without: &[f64]) -> Vec<f32> {
    let scale = if score == 0.0 { 1.0 } else { score };
    without.iter().map(|without| ((score - without) / scale) as f32).collect()
}

fn total(x: &[f32]) -> f64 {
    x.iter().map(|&x| f64::from(x)).sum()
}

/// a / b, with 0 / 0 = 0.
fn ratio(a: f64, b: f64) -> f64 {
    if a == 0.0 && b == 0.0 { 0.0 } else { a / b }
}

/// max(x, 0), where NaN stays NaN.
fn positive(x: f64) -> f64 {
    if x < 0.0 { 0.0 } else { x }
}

fn narrow(x: &[f64]) -> Vec<f32> {
    x.iter().map(|&x| x as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two channels of 1 x 2.
    const TAP: TapValues = TapValues {
        shape: Shape::new(2, 1, 2),
        activations: &[1.0, 3.0, 2.0, 0.0],
        gradients: &[2.0, -1.0, 0.0, 4.0],
    };

    #[test]
    fn channels_are_summed_by_their_weights() {
        assert_eq!(weighted_sum(TAP.shape, &[0.5, 2.0], TAP.activations), [0.5 + 4.0, 1.5]);
    }

    #[test]
    fn grad_cam_plus_plus_counts_positive_gradients_by_their_ratio() {
        // Channel 1: sum of A is 4, G = 2: 4 / (8 + 32) * 2. Channel 2: sum 2, G = 4: 16 / (32 + 128) * 4.
        let weights = grad_cam_plus_plus_weights(TAP);
        assert!((weights[0] - 0.2).abs() < 1e-6 && (weights[1] - 0.4).abs() < 1e-6, "{weights:?}");
    }

    #[test]
    fn hires_cam_multiplies_place_by_place() {
        assert_eq!(hires_cam(TAP), [2.0, -3.0]);
    }

    #[test]
    fn layer_cam_leaves_negative_gradients_out() {
        assert_eq!(layer_cam(TAP), [2.0, 0.0]);
    }

    #[test]
    fn elementwise_grad_cam_leaves_negative_products_out() {
        let tap = TapValues { activations: &[-1.0, 3.0, 2.0, 0.0], ..TAP };
        assert_eq!(grad_cam_elementwise(tap), [0.0, 0.0]);
        assert_eq!(grad_cam_elementwise(TapValues { gradients: &[-2.0, 1.0, 3.0, 0.0], ..tap }), [8.0, 3.0]);
    }

    #[test]
    fn xgrad_cam_weighs_by_the_gradient_where_the_activation_is() {
        // (2 - 3) / 4, and 0 / 2.
        let weights = xgrad_cam_weights(TAP);
        assert!((weights[0] + 0.25).abs() < 1e-6 && weights[1] == 0.0, "{weights:?}");
    }

    #[test]
    fn a_dead_channel_weighs_nothing_and_is_never_nan() {
        let dead = TapValues { activations: &[0.0; 4], gradients: &[0.0; 4], ..TAP };
        for weights in [grad_cam_plus_plus_weights(dead), xgrad_cam_weights(dead)] {
            assert_eq!(weights, [0.0, 0.0]);
        }
        assert_eq!(eigen_grad_cam(dead), [0.0, 0.0]);
    }

    #[test]
    fn grad_cam_plus_plus_is_finite_where_a_denominator_vanishes() {
        // 2 G^2 + (sum of A) G^3 is 0 for G = -1 and a sum of 2.
        let tap = TapValues { activations: &[2.0, 0.0, 1.0, 1.0], gradients: &[-1.0, 1.0, -1.0, 0.0], ..TAP };
        assert!(grad_cam_plus_plus_weights(tap).iter().all(|w| w.is_finite()));
    }

    #[test]
    fn score_cam_weights_are_a_softmax() {
        let weights = score_cam_weights(&[1000.0, 1000.0 + 3f64.ln()]);
        assert!((weights[0] - 0.25).abs() < 1e-6 && (weights[1] - 0.75).abs() < 1e-6, "{weights:?}");
    }

    #[test]
    fn ablation_cam_weights_are_the_share_of_the_score_that_is_lost() {
        assert_eq!(ablation_cam_weights(4.0, &[3.0, 4.0, 5.0]), [0.25, 0.0, -0.25]);
        assert_eq!(ablation_cam_weights(0.0, &[-1.0]), [1.0]);
    }
}
