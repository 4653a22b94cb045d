//! Samples of a decoded photo as red, green and blue of 8 bits.

/// A 16-bit sample as 8 bits: divided by 257, rounded.
pub(super) fn eight_bits(v: u16) -> u8 {
    ((u32::from(v) + 128) / 257) as u8
}

/// A pixel composited over white.
pub(super) fn rgb_over_white([r, g, b, alpha]: [u8; 4]) -> [u8; 3] {
    [r, g, b].map(|v| over_white(v, alpha))
}

/// A pixel whose colors are multiplied by their opacity, composited over white.
pub(super) fn premultiplied_over_white([r, g, b, alpha]: [u8; 4]) -> [u8; 3] {
    [r, g, b].map(|v| v.saturating_add(255 - alpha))
}

/// `v` with opacity `alpha` composited over white, rounded.
pub(super) fn over_white(v: u8, alpha: u8) -> u8 {
    let (v, alpha) = (u32::from(v), u32::from(alpha));
    ((v * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bits_are_scaled_not_clipped() {
        assert_eq!(
            [0, 128, 129, 257, 32768, 65406, 65407, 65535].map(eight_bits),
            [0, 0, 1, 1, 128, 254, 255, 255]
        );
    }

    #[test]
    fn transparency_is_composited_over_white() {
        assert_eq!(
            [over_white(0, 0), over_white(0, 255), over_white(7, 255), over_white(0, 128)],
            [255, 0, 7, 127]
        );
        assert_eq!(premultiplied_over_white([0, 100, 255, 100]), [155, 255, 255]);
    }
}
