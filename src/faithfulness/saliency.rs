//! Saliency maps: activation maps and pixel attributions in the common form that the metrics read.

use crate::engine::bilinear::bilinear;
use crate::explain::{ActivationMap, Explanation, PixelAttribution};
use crate::imaging::heatmap::{Heatmap, MapStatus};

/// Relevance of every pixel of an image, by any method.
#[derive(Debug, Clone, PartialEq)]
pub struct SaliencyMap {
    /// The heatmap, (H, W) in [0, 1]; for a pixel attribution, of the sum of the magnitudes of its three
    /// channels.
    pub heatmap: Heatmap,
    /// The signed map, (H, W): an activation map before its ReLU, resized to the input, and
    /// empty where the request has none; for a pixel attribution, the sum of its three channels.
    pub signed: Vec<f32>,
}

impl SaliencyMap {
    /// Converts an activation map.
    ///
    /// # Panics
    /// When it has signs that are not of its shape.
    pub fn of_map(map: &ActivationMap) -> SaliencyMap {
        let (from, to) = ((map.shape.h, map.shape.w), (map.heatmap.height, map.heatmap.width));
        let signed = if map.signed.is_empty() { Vec::new() } else { bilinear(&map.signed, from, to) };
        SaliencyMap { heatmap: map.heatmap.clone(), signed }
    }

    /// Converts a pixel attribution; its channels are summed as in Adebayo et al. (2018, arXiv
    /// 1810.03292).
    ///
    /// # Panics
    /// When its shape is empty.
    pub fn of_pixels(pixels: &PixelAttribution) -> SaliencyMap {
        let (shape, size) = (pixels.shape, (pixels.shape.h, pixels.shape.w));
        assert!(!shape.is_empty(), "a pixel attribution of {shape}");
        let sum = |of: fn(f32) -> f32| -> Vec<f32> {
            let mut sums = vec![0.0; shape.plane()];
            for plane in pixels.values.chunks_exact(shape.plane()) {
                sums.iter_mut().zip(plane).for_each(|(sum, &x)| *sum += of(x));
            }
            sums
        };
        let mut heatmap = Heatmap::new(&sum(f32::abs), size, size);
        if pixels.status == MapStatus::Nonfinite {
            heatmap.status = MapStatus::Nonfinite;
        }
        SaliencyMap { heatmap, signed: sum(|x| x) }
    }

    /// All maps of an explanation: its activation maps, then its pixel attributions.
    ///
    /// # Panics
    /// As [`SaliencyMap::of_map`] and [`SaliencyMap::of_pixels`].
    pub fn all(explanation: &Explanation) -> Vec<SaliencyMap> {
        let maps = explanation.maps.iter().map(SaliencyMap::of_map);
        maps.chain(explanation.pixels.iter().map(SaliencyMap::of_pixels)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;
    use crate::explain::PixelMethod;

    #[test]
    fn sums_channels_with_and_without_signs() {
        let values = vec![1.0, 0.0, -3.0, 0.5, 0.0, 0.5];
        let shape = Shape::new(3, 1, 2);
        let pixels =
            PixelAttribution { method: PixelMethod::InputGradient, shape, values, status: MapStatus::Ok };
        let found = SaliencyMap::of_pixels(&pixels);
        assert_eq!(found.signed, [-2.0, 1.0]);
        assert_eq!((found.heatmap.values, found.heatmap.max), (vec![1.0, 0.0], 4.0));
        let bad = PixelAttribution { values: vec![0.0; 6], status: MapStatus::Nonfinite, ..pixels };
        assert_eq!(SaliencyMap::of_pixels(&bad).heatmap.status, MapStatus::Nonfinite);
    }
}
