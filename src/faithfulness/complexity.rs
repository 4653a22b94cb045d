//! Complexity: how much of the image a map covers.

/// The mean of |M|: the map's L1 norm over its number of pixels (Poppi et al. 2021, arXiv
/// 2104.10252, section 3.2). Of a map in [0, 1] it lies in [0, 1]; low is good.
pub fn complexity(map: &[f32]) -> f64 {
    map.iter().map(|&x| f64::from(x).abs()).sum::<f64>() / map.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_mean_magnitude() {
        assert_eq!(complexity(&[0.0, 0.5, -1.0, 0.5]), 0.5);
    }
}
