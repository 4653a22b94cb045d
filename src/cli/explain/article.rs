//! The names of the article's pictures: `dog_100_5_cam.jpg` is image 100 at exit 5, explained as a dog.

use crate::run::file_stem;

/// The name of the picture `what`, such as `_5_cam`, about the class `label`; the names of the
/// image's other files begin with `stem`. In a data set, whose images have folders, the image's
/// number stands for it. As no label has a `_` in a name, no two images' pictures have the same.
pub fn name(label: &str, stem: &str, what: &str) -> String {
    let (folder, image) = stem.rfind('/').map_or(("", stem), |at| stem.split_at(at + 1));
    let image = if folder.is_empty() { image } else { number(image) };
    // All file systems allow 255 bytes.
    let room = 250_usize.saturating_sub(image.len() + what.len()).clamp(1, 40);
    let label = file_stem(cut(label, room)).replace('_', "-");
    format!("{folder}{label}_{image}{what}.jpg")
}

/// 100 for `000100_test_batch_00100`: the number with which the name of a set's image begins.
fn number(name: &str) -> &str {
    let digits = &name[..name.find(|c: char| !c.is_ascii_digit()).unwrap_or(name.len())];
    match digits.trim_start_matches('0') {
        "" if digits.is_empty() => name,
        "" => "0",
        number => number,
    }
}

/// The first `most` bytes of `text`, or fewer.
fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_label_image_exit_and_picture() {
        assert_eq!(name("dog", "100", "_5_cam"), "dog_100_5_cam.jpg");
        assert_eq!(name("../aquarium_fish", "a", "_1_gb"), "-aquarium-fish_a_1_gb.jpg");
        assert_eq!(name("", "a", "_1_gb"), "image_a_1_gb.jpg");
    }

    #[test]
    fn an_image_of_a_set_is_called_by_its_number() {
        let dog = |stem| name("dog", stem, "_5_cam");
        assert_eq!(dog("images/0001/000100_test_batch_00100"), "images/0001/dog_100_5_cam.jpg");
        assert_eq!(dog("images/0000/000000_rex"), "images/0000/dog_0_5_cam.jpg");
    }

    #[test]
    fn a_long_name_fits_into_file_systems() {
        let (label, stem) = ("\u{1f408}".repeat(99), "\u{732b}".repeat(60));
        let longest = name(&label, &stem, "_10_grad-cam-elementwise_layer12.scale2_top3");
        assert!(longest.len() <= 255, "{longest}");
    }
}
