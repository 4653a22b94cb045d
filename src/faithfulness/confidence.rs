//! Increase in confidence: whether what the map shows alone convinces more than the image.

/// Whether the class's probability is larger after the image was multiplied by its map. The share
/// of images of which this is true is the increase in confidence (Chattopadhay et al. 2018, arXiv
/// 1710.11063, section 3.1); high is good.
pub fn increased(before: f64, after: f64) -> bool {
    after > before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_confidence_is_no_increase() {
        assert_eq!([increased(0.5, 0.6), increased(0.5, 0.5), increased(0.5, 0.4)], [true, false, false]);
    }
}
