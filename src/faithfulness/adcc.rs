//! ADCC (average drop, coherency, complexity) and its parts (Poppi et al. 2021, arXiv 2104.10252).

use super::similarity::{pearson, to_f64};

/// Complexity of a map: the mean of |M|, which is its L1 norm divided by its pixel count (section 3.2
/// of the paper). In [0, 1] for a map in [0, 1]; low is good; 0 where there is no pixel.
pub fn complexity(map: &[f32]) -> f64 {
    map.iter().map(|&x| f64::from(x).abs()).sum::<f64>() / map.len().max(1) as f64
}

/// Coherency of a map: (1 + r) / 2, where r is Pearson's correlation of the image's map and the map of
/// the same class for the image multiplied by its map (section 3.2 of the paper). In [0, 1]; high is
/// good. `None` where one of the maps is constant.
///
/// # Panics
/// When the maps have different lengths.
pub fn coherency(map: &[f32], map_of_masked: &[f32]) -> Option<f64> {
    pearson(&to_f64(map), &to_f64(map_of_masked)).map(|r| (1.0 + r) / 2.0)
}

/// ADCC of one image: the harmonic mean of coherency, 1 - complexity and 1 - drop, 3 / (1 / coherency +
/// 1 / (1 - complexity) + 1 / (1 - drop)) (equation 7 of the paper). In [0, 1]; high is good; 0 where
/// one of the three terms is 0.
///
/// The authors' published code lacks the inverse, so its values are not those of the paper.
pub fn adcc_score(drop: f64, coherency: f64, complexity: f64) -> f64 {
    let terms = [coherency, 1.0 - complexity, 1.0 - drop];
    if terms.iter().any(|&term| term <= 0.0) {
        return 0.0;
    }
    3.0 / terms.iter().map(|term| 1.0 / term).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complexity_is_the_mean_magnitude() {
        assert_eq!(complexity(&[0.0, 0.5, -1.0, 0.5]), 0.5);
    }

    #[test]
    fn coherency_is_one_for_proportional_maps_and_zero_for_inverted_maps() {
        let map = [0.0, 0.5, 1.0];
        assert_eq!(coherency(&map, &map.map(|x| x / 2.0)), Some(1.0));
        assert_eq!(coherency(&map, &map.map(|x| 1.0 - x)), Some(0.0));
        assert_eq!(coherency(&map, &[0.0; 3]), None);
    }

    #[test]
    fn adcc_is_a_harmonic_mean() {
        assert_eq!(adcc_score(0.0, 1.0, 0.0), 1.0);
        assert_eq!(adcc_score(0.5, 0.5, 0.5), 0.5);
        // 3 / (1 / 1 + 1 / 0.5 + 1 / 0.25)
        assert!((adcc_score(0.75, 1.0, 0.5) - 3.0 / 7.0).abs() < 1e-15);
        let zeros = [adcc_score(1.0, 1.0, 0.0), adcc_score(0.0, 0.0, 0.0), adcc_score(0.0, 1.0, 1.0)];
        assert_eq!(zeros, [0.0; 3]);
    }
}
