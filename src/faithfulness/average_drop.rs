//! Average drop: how much of the confidence is lost when only what the map shows is left.

/// max(0, before - after) / before, of the class's probability before and after the image was
/// multiplied by its map; 0 where there was none to lose. In [0, 1], low is good; its mean over
/// the images is the average drop (Chattopadhay et al. 2018, arXiv 1710.11063, section 3.1).
///
/// torchcam computes it so; pytorch-grad-cam's `DropInConfidence` is [`absolute_drop`].
pub fn drop(before: f64, after: f64) -> f64 {
    if before > 0.0 { (before - after).max(0.0) / before } else { 0.0 }
}

/// max(0, before - after): not divided by the confidence.
pub fn absolute_drop(before: f64, after: f64) -> f64 {
    (before - after).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drop_is_a_share_of_what_there_was() {
        assert_eq!([drop(0.8, 0.4), drop(0.2, 0.8), drop(0.5, 0.0)], [0.5, 0.0, 1.0]);
        assert_eq!([drop(0.0, 0.5), drop(0.0, 0.0)], [0.0, 0.0]);
        assert_eq!([absolute_drop(0.75, 0.25), absolute_drop(0.25, 0.75)], [0.5, 0.0]);
    }
}
