//! The self-test: the built-in network explains a picture that is generated, and the answer is compared with a stored one.

use crate::engine::device::Device;
use crate::explain::{ExplainRequest, Explainer, Explanation};
use crate::imaging::RgbImage;
use crate::model::Model;
use crate::{Error, Result};

/// Difference up to which a device counts as correct, relative to the largest element: a hundred times what devices differ
/// by, and far below what a wrong result would be.
pub const TOLERANCE: f64 = 1e-3;

/// Logits of every exit for [`picture`], (10, 10), by the published code of the article in PyTorch:
/// `ramp` of `tests/golden/default.safetensors`.
const LOGITS: [[f64; 10]; 10] = [
    [2.610886, -1.364861, 0.247264, 2.239259, -0.620132, 0.033312, 1.514294, -3.524932, 0.886484, -1.845640],
    [2.707061, -1.721973, 0.636140, 2.126749, 0.396939, 0.066838, 1.668106, -3.046370, -0.097422, -2.623403],
    [2.765983, -2.395945, 0.731115, 1.853523, 1.210512, 0.512617, 1.191018, -2.301054, -0.704728, -2.675045],
    [4.774156, -1.945346, 0.467916, 1.423078, -0.894722, 0.857479, 1.323507, -2.350449, -1.108834, -2.428582],
    [
        4.397897, -1.688628, -0.004067, 1.992206, -0.969176, 0.775819, 1.163697, -2.378882, -1.395334,
        -2.012908,
    ],
    [4.189075, -1.513736, 0.577537, 1.867075, -1.033279, 0.532327, 0.954610, -2.400988, -1.091266, -2.212526],
    [3.786145, -1.530619, 0.160449, 1.901844, -1.206329, 0.716735, 1.319992, -2.098104, -1.099355, -1.960235],
    [3.239015, -1.843562, 0.582326, 2.404468, -1.049381, 1.038389, 1.578855, -2.097781, -1.841869, -2.052104],
    [3.451697, -1.960365, 0.573102, 2.003784, -0.987724, 0.306852, 1.683168, -2.340004, -0.968602, -1.874888],
    [3.742556, -1.495714, 0.251916, 2.211360, -0.984057, 0.360397, 1.129239, -2.191598, -0.873165, -2.095940],
];

/// The largest element of each exit's activation map, from the same source.
const PEAKS: [f64; 10] = [
    0.19395466, 0.12697181, 0.16626351, 0.11062998, 0.09684570, 0.08459669, 0.08437929, 0.04815158,
    0.06387508, 0.07444798,
];

/// Ramps of red to the right, green down and blue along the diagonal, 32 x 32 pixels.
fn picture() -> RgbImage {
    let pixels = (0..32_u8).flat_map(|y| (0..32_u8).flat_map(move |x| [8 * x, 8 * y, 4 * (x + y)]));
    RgbImage::new(32, 32, pixels.collect())
}

/// What makes Grad-CAM's maps at every exit.
///
/// # Errors
/// When the device fails.
pub fn explainer(model: &Model, device: &Device) -> Result<Explainer> {
    Explainer::new(model, &ExplainRequest::grad_cam(model), device, 1)
}

/// The explanations of the generated picture.
///
/// # Errors
/// When the device fails.
pub fn explain(model: &Model, explainer: &mut Explainer) -> Result<Vec<Explanation>> {
    let mut images = explainer.explain(&model.prepare(&picture()).tensor)?;
    images.pop().ok_or_else(|| Error::device("the device explained no image"))
}

/// The largest difference from the stored answer, relative to the largest logit and map; infinite where something is missing
/// or not finite.
pub fn difference_from_stored(found: &[Explanation]) -> f64 {
    let logits = found.iter().flat_map(|exit| exit.prediction.logits.iter().copied());
    let peaks = found.iter().map(|exit| exit.maps.first().map_or(f32::NAN, |map| largest(&map.map)));
    let stored: Vec<f64> = LOGITS.concat();
    difference(logits, &stored).max(difference(peaks, &PEAKS))
}

/// The largest difference of the heatmaps of two devices, in [0, 1]; infinite where something is missing or not finite.
pub fn difference_of_heatmaps(found: &[Explanation], expected: &[Explanation]) -> f64 {
    let all = |exits: &[Explanation]| -> Vec<f32> {
        exits.iter().flat_map(|exit| &exit.maps).flat_map(|map| map.heatmap.values.iter().copied()).collect()
    };
    let expected: Vec<f64> = all(expected).into_iter().map(f64::from).collect();
    difference(all(found).into_iter(), &expected)
}

fn largest(map: &[f32]) -> f32 {
    map.iter().fold(0.0, |m, &x| if x.is_nan() { f32::NAN } else { f32::max(m, x) })
}

/// The largest difference, relative to the largest magnitude of `expected`.
fn difference(found: impl Iterator<Item = f32>, expected: &[f64]) -> f64 {
    let found: Vec<f32> = found.collect();
    if found.len() != expected.len() || found.iter().any(|x| !x.is_finite()) {
        return f64::INFINITY;
    }
    let scale = expected.iter().fold(f64::MIN_POSITIVE, |m, x| m.max(x.abs()));
    found.iter().zip(expected).fold(0.0, |m: f64, (&a, b)| m.max((f64::from(a) - b).abs())) / scale
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::*;

    /// Row `ramp` of the tensor `name` in the golden file.
    fn golden(name: &str) -> Vec<f32> {
        let bytes = include_bytes!("../../../tests/golden/default.safetensors");
        let file = SafeTensors::deserialize(bytes).unwrap();
        let data: Vec<f32> =
            file.tensor(name).unwrap().data().as_chunks().0.iter().map(|&x| f32::from_le_bytes(x)).collect();
        data[data.len() / 4 * 2..][..data.len() / 4].to_vec()
    }

    #[test]
    fn the_stored_answer_and_the_picture_are_those_of_pytorch() {
        for (k, (logits, peak)) in LOGITS.iter().zip(PEAKS).enumerate() {
            let name = |what: &str| format!("{what}.{}", k + 1);
            assert!(difference(golden(&name("logits")).into_iter(), logits) < 1e-6, "exit {}", k + 1);
            assert!(
                difference([largest(&golden(&name("cam")))].into_iter(), &[peak]) < 1e-4,
                "exit {}",
                k + 1
            );
        }
        let input = golden("input");
        let pixels = picture();
        for (i, x) in input.iter().enumerate() {
            let (channel, place) = (i / 1024, i % 1024);
            assert_eq!(
                (x * 255.0).round() as u8,
                pixels.rgb[3 * place + channel],
                "channel {channel}, place {place}"
            );
        }
    }

    #[test]
    fn what_is_missing_or_not_a_number_differs() {
        assert_eq!(difference([1.0].into_iter(), &[1.0, 2.0]), f64::INFINITY);
        assert_eq!(difference([f32::NAN, 2.0].into_iter(), &[1.0, 2.0]), f64::INFINITY);
        assert_eq!(difference([1.0, 3.0].into_iter(), &[1.0, 2.0]), 0.5);
        assert_eq!(difference_from_stored(&[]), f64::INFINITY);
    }
}
