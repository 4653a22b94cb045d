//! Images in the binary format of CIFAR-10.

use msdcam::RgbImage;

/// The class of an image of 32 x 32 pixels, then its red, green and blue plane.
pub fn cifar_record(class: u8, image: &RgbImage) -> Vec<u8> {
    assert_eq!((image.width, image.height), (32, 32));
    let planes = (0..3).flat_map(|channel| image.rgb[channel..].iter().step_by(3).copied());
    std::iter::once(class).chain(planes).collect()
}
