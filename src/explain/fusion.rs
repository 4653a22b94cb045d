//! The fusion of the activation maps of several taps.

use std::str::FromStr;

use super::explanation::{ActivationMap, FusedMap};
use super::method::by_name;
use crate::engine::bilinear::bilinear;
use crate::imaging::heatmap::{Heatmap, MapStatus};
use crate::{Error, Result};

/// How the activation maps of several taps are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fusion {
    /// The mean: each map scaled to [0, 1] at its own size and resized, as pytorch-grad-cam does
    /// with several target layers.
    Mean,
    /// The maximum of the maps, scaled and resized as for the mean.
    Max,
    /// RefineCAM (arXiv 2605.14641): the product of the heatmaps: high only where every tap's is,
    /// with the resolution of the finest scale. The paper applies it to Grad-CAM++.
    Refine,
}

impl Fusion {
    /// Its name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Fusion::Mean => "mean",
            Fusion::Max => "max",
            Fusion::Refine => "refine-cam",
        }
    }

    /// Fuses the maps of one method for one image. A constant map counts as zero; one that is not
    /// finite makes the result zero, with that status.
    pub(crate) fn fuse(self, maps: &[&ActivationMap]) -> Option<FusedMap> {
        let first = maps.first()?;
        let size = (first.heatmap.height, first.heatmap.width);
        let layers = maps.iter().map(|map| match self {
            Fusion::Refine => map.heatmap.values.clone(),
            Fusion::Mean | Fusion::Max => scaled_then_resized(map, size),
        });
        let combine = |a: f32, b: f32| match self {
            Fusion::Mean => a + b,
            Fusion::Max => a.max(b),
            Fusion::Refine => a * b,
        };
        let fused = layers.reduce(|a, b| a.iter().zip(&b).map(|(&a, &b)| combine(a, b)).collect())?;
        let mut heatmap = Heatmap::new(&fused, size, size);
        if self == Fusion::Mean {
            // Scaling to [0, 1] has cancelled the divisor of the sum; its range is left.
            let count = maps.len() as f32;
            (heatmap.min, heatmap.max) = (heatmap.min / count, heatmap.max / count);
        }
        if maps.iter().any(|map| map.heatmap.status == MapStatus::Nonfinite) {
            heatmap.values.fill(0.0);
            heatmap.status = MapStatus::Nonfinite;
        }
        let taps = maps.iter().map(|map| map.tap.to_string()).collect();
        Some(FusedMap { method: first.method, taps, heatmap })
    }
}

impl FromStr for Fusion {
    type Err = Error;

    fn from_str(text: &str) -> Result<Fusion> {
        by_name("fusion", text, &[Fusion::Mean, Fusion::Max, Fusion::Refine], Fusion::name)
    }
}

/// The map scaled to [0, 1] at its own size, then resized to `size`.
fn scaled_then_resized(map: &ActivationMap, size: (usize, usize)) -> Vec<f32> {
    let own = (map.shape.h, map.shape.w);
    bilinear(&Heatmap::new(&map.map, own, own).values, own, size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::method::MapMethod;

    fn map(signed: &[f32]) -> ActivationMap {
        let found = (Vec::new(), signed.to_vec());
        ActivationMap::new(MapMethod::LayerCam, "exit1".into(), (1, signed.len()), found, (1, 3))
    }

    fn fused(fusion: Fusion, maps: &[ActivationMap]) -> Heatmap {
        fusion.fuse(&maps.iter().collect::<Vec<_>>()).unwrap().heatmap
    }

    #[test]
    fn fuses_two_maps_by_mean_maximum_and_product() {
        let maps = [map(&[0.0, 2.0, 4.0]), map(&[0.0, 3.0, 0.0])];
        let mean = fused(Fusion::Mean, &maps);
        assert_eq!((mean.values, mean.min, mean.max), (vec![0.0, 1.0, 1.0 / 1.5], 0.0, 0.75));
        assert_eq!(fused(Fusion::Max, &maps).values, [0.0, 1.0, 1.0]);
        assert_eq!(fused(Fusion::Refine, &maps).values, [0.0, 1.0, 0.0]);
    }

    #[test]
    fn an_empty_map_empties_the_product_and_leaves_the_maximum() {
        let maps = [map(&[0.0, 2.0, 4.0]), map(&[-1.0, -1.0, -2.0])];
        assert_eq!(fused(Fusion::Refine, &maps).status, MapStatus::Empty);
        assert_eq!(fused(Fusion::Max, &maps).values, [0.0, 0.5, 1.0]);
    }

    #[test]
    fn a_map_that_is_not_finite_makes_the_result_zero() {
        let heatmap = fused(Fusion::Mean, &[map(&[0.0, 2.0, 4.0]), map(&[f32::NAN, 0.0, 0.0])]);
        assert_eq!((heatmap.status, heatmap.values), (MapStatus::Nonfinite, vec![0.0; 3]));
    }
}
