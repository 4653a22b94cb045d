//! Orientation in an XMP packet, which is XML text (ISO 16684-1).

use image::metadata::Orientation;

const NAME: &[u8] = b"tiff:Orientation";

/// The orientation in an XMP `packet`, an attribute or an element: of several, the first. A value that is none of the
/// eight orientations turns nothing.
///
/// As Pillow does, it is found in the text: what precedes the packet or ends it early does not matter.
pub(super) fn orientation(packet: &[u8]) -> Option<Orientation> {
    let starts = (0..packet.len()).filter(|&at| packet[at..].starts_with(NAME));
    let digit = starts.map(|at| &packet[at + NAME.len()..]).find_map(|rest| match rest {
        [b'=', b'"' | b'\'', digit @ b'0'..=b'9', ..] | [b'>', digit @ b'0'..=b'9', ..] => Some(digit - b'0'),
        _ => None,
    })?;
    Some(Orientation::from_exif(digit).unwrap_or(Orientation::NoTransforms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_and_elements_count_and_of_several_the_first() {
        let attribute = b"<rdf:Description tiff:Make=\"x\" tiff:Orientation=\"6\" tiff:Orientation=\"3\"/>";
        assert_eq!(orientation(attribute), Some(Orientation::Rotate90));
        assert_eq!(orientation(b"<a tiff:Orientation='8'>"), Some(Orientation::Rotate270));
        assert_eq!(orientation(b"<tiff:Orientation>3</tiff:Orientation>"), Some(Orientation::Rotate180));
        assert_eq!(
            orientation(b"<tiff:Orientation/><tiff:Orientation>2<"),
            Some(Orientation::FlipHorizontal)
        );
        assert_eq!(orientation(b"tiff:Orientation=\"9\""), Some(Orientation::NoTransforms));
        for none in [
            &b""[..],
            b"tiff:Orientation",
            b"tiff:Orientation=\"",
            b"tiff:Orientation=\"x\"",
            b"Orientation=\"6\"",
        ] {
            assert_eq!(orientation(none), None, "{}", none.escape_ascii());
        }
    }
}
