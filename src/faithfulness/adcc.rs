//! ADCC: average drop, coherency and complexity in one number.

/// The harmonic mean of coherency, 1 - complexity and 1 - drop of one image: 3 / (1 / coherency +
/// 1 / (1 - complexity) + 1 / (1 - drop)) (Poppi et al. 2021, arXiv 2104.10252, equation 7). In
/// [0, 1], high is good; 0 where one of the three is.
///
/// The authors' published code lacks the inverse, so that its numbers are not those of the paper.
pub fn adcc(drop: f64, coherency: f64, complexity: f64) -> f64 {
    let parts = [coherency, 1.0 - complexity, 1.0 - drop];
    if parts.iter().any(|&part| part <= 0.0) {
        return 0.0;
    }
    3.0 / parts.iter().map(|part| 1.0 / part).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_harmonic_mean() {
        assert_eq!(adcc(0.0, 1.0, 0.0), 1.0);
        assert_eq!(adcc(0.5, 0.5, 0.5), 0.5);
        // 3 / (1 / 1 + 1 / 0.5 + 1 / 0.25)
        assert!((adcc(0.75, 1.0, 0.5) - 3.0 / 7.0).abs() < 1e-15);
        assert_eq!([adcc(1.0, 1.0, 0.0), adcc(0.0, 0.0, 0.0), adcc(0.0, 1.0, 1.0)], [0.0; 3]);
    }
}
