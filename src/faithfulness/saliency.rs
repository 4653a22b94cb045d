//! Maps and pixel arrays in the one form that the metrics read.

use crate::engine::bilinear::bilinear;
use crate::explain::{ActivationMap, Explanation, PixelAttribution};
use crate::imaging::heatmap::{Heatmap, MapStatus};

/// What a method says about every pixel of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Saliency {
    /// (H, W) in [0, 1]: the heat map; of a pixel method that of the sum of its three magnitudes.
    pub heat: Heatmap,
    /// (H, W) of either sign: the map before its ReLU, resized to the image; of a pixel method the
    /// sum of its three channels.
    pub signed: Vec<f32>,
}

impl Saliency {
    /// That of a map.
    pub fn of_map(map: &ActivationMap) -> Saliency {
        let (from, to) = ((map.shape.h, map.shape.w), (map.heatmap.height, map.heatmap.width));
        Saliency {
            heat: map.heatmap.clone(),
            signed: if map.signed.is_empty() { Vec::new() } else { bilinear(&map.signed, from, to) },
        }
    }

    /// That of a pixel array. Channels are summed as Adebayo et al. (2018, arXiv 1810.03292) show
    /// them.
    pub fn of_pixels(pixels: &PixelAttribution) -> Saliency {
        let (shape, size) = (pixels.shape, (pixels.shape.h, pixels.shape.w));
        let sum = |of: fn(f32) -> f32| -> Vec<f32> {
            let mut sums = vec![0.0; shape.plane()];
            for plane in pixels.values.chunks_exact(shape.plane()) {
                sums.iter_mut().zip(plane).for_each(|(sum, &x)| *sum += of(x));
            }
            sums
        };
        let mut heat = Heatmap::new(&sum(f32::abs), size, size);
        if pixels.status == MapStatus::Nonfinite {
            heat.status = MapStatus::Nonfinite;
        }
        Saliency { heat, signed: sum(|x| x) }
    }

    /// Those of a finding: its maps', then its pixel arrays'.
    pub fn all(finding: &Explanation) -> Vec<Saliency> {
        let maps = finding.maps.iter().map(Saliency::of_map);
        maps.chain(finding.pixels.iter().map(Saliency::of_pixels)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;
    use crate::explain::PixelMethod;

    #[test]
    fn channels_are_summed_with_and_without_their_signs() {
        let values = vec![1.0, 0.0, -3.0, 0.5, 0.0, 0.5];
        let shape = Shape::new(3, 1, 2);
        let pixels =
            PixelAttribution { method: PixelMethod::InputGradient, shape, values, status: MapStatus::Ok };
        let found = Saliency::of_pixels(&pixels);
        assert_eq!(found.signed, [-2.0, 1.0]);
        assert_eq!((found.heat.values, found.heat.max), (vec![1.0, 0.0], 4.0));
        let bad = PixelAttribution { values: vec![0.0; 6], status: MapStatus::Nonfinite, ..pixels };
        assert_eq!(Saliency::of_pixels(&bad).heat.status, MapStatus::Nonfinite);
    }
}
