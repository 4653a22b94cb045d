//! Coherency: whether the map of what the map shows is the same map.

use super::pearson::{pearson, widened};

/// (1 + r) / 2, where r is Pearson's correlation of the image's map and the map of the same class
/// for the image multiplied by its map (Poppi et al. 2021, arXiv 2104.10252, section 3.2). In
/// [0, 1], high is good; `None` where one of the maps is the same everywhere.
pub fn coherency(map: &[f32], map_of_masked: &[f32]) -> Option<f64> {
    pearson(&widened(map), &widened(map_of_masked)).map(|r| (1.0 + r) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_map_is_coherent_and_its_opposite_is_not() {
        let map = [0.0, 0.5, 1.0];
        assert_eq!(coherency(&map, &map.map(|x| x / 2.0)), Some(1.0));
        assert_eq!(coherency(&map, &map.map(|x| 1.0 - x)), Some(0.0));
        assert_eq!(coherency(&map, &[0.0; 3]), None);
    }
}
