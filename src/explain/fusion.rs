//! Several taps' maps as one.

use std::str::FromStr;

use super::explanation::{ActivationMap, FusedMap};
use super::method::by_name;
use crate::engine::bilinear::bilinear;
use crate::imaging::heatmap::{Heatmap, MapStatus};
use crate::{Error, Result};

/// How the maps of several taps become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fusion {
    /// The mean: each map scaled to [0, 1] at its own size and resized, as pytorch-grad-cam does
    /// with several target layers.
    Mean,
    /// The largest, of maps prepared likewise.
    Max,
    /// RefineCAM (arXiv 2605.14641): the product of the heat maps. Only what every tap sees stays;
    /// fine scales lend their sharpness to the deep ones. The paper's own base is Grad-CAM++.
    Refine,
}

impl Fusion {
    /// The word on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Fusion::Mean => "mean",
            Fusion::Max => "max",
            Fusion::Refine => "refine-cam",
        }
    }

    /// One method's maps of one image as one. A map without contrast counts as zero; one that is
    /// not finite leaves nothing to fuse.
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
        // The mean's division by the number of maps is undone by the scaling.
        let mut heat = Heatmap::new(&fused, size, size);
        if maps.iter().any(|map| map.heatmap.status == MapStatus::Nonfinite) {
            heat.values.fill(0.0);
            heat.status = MapStatus::Nonfinite;
        }
        let taps = maps.iter().map(|map| map.tap.clone()).collect();
        Some(FusedMap { method: first.method, taps, heatmap: heat })
    }
}

impl FromStr for Fusion {
    type Err = Error;

    fn from_str(text: &str) -> Result<Fusion> {
        by_name("fusion", text, &[Fusion::Mean, Fusion::Max, Fusion::Refine], Fusion::name)
    }
}

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
        ActivationMap::new(MapMethod::LayerCam, "exit1", (1, signed.len()), found, (1, 3))
    }

    fn fused(fusion: Fusion, maps: &[ActivationMap]) -> Heatmap {
        fusion.fuse(&maps.iter().collect::<Vec<_>>()).unwrap().heatmap
    }

    #[test]
    fn mean_max_and_product_of_two_maps_are_these() {
        let maps = [map(&[0.0, 2.0, 4.0]), map(&[0.0, 3.0, 0.0])];
        assert_eq!(fused(Fusion::Mean, &maps).values, [0.0, 1.0, 1.0 / 1.5]);
        assert_eq!(fused(Fusion::Max, &maps).values, [0.0, 1.0, 1.0]);
        assert_eq!(fused(Fusion::Refine, &maps).values, [0.0, 1.0, 0.0]);
    }

    #[test]
    fn an_empty_map_leaves_a_product_empty_and_a_maximum_as_it_was() {
        let maps = [map(&[0.0, 2.0, 4.0]), map(&[-1.0, -1.0, -2.0])];
        assert_eq!(fused(Fusion::Refine, &maps).status, MapStatus::Empty);
        assert_eq!(fused(Fusion::Max, &maps).values, [0.0, 0.5, 1.0]);
    }

    #[test]
    fn a_map_that_is_not_finite_leaves_nothing_to_fuse() {
        let heat = fused(Fusion::Mean, &[map(&[0.0, 2.0, 4.0]), map(&[f32::NAN, 0.0, 0.0])]);
        assert_eq!((heat.status, heat.values), (MapStatus::Nonfinite, vec![0.0; 3]));
    }
}
