//! File names in the article's style: `dog_100_5_cam.jpg` is image 100 at exit 5, explained as a dog.

use crate::run::file_stem;

/// The name of a picture with `suffix`, such as `_5_cam`, that explains the class `label`. `stem` is
/// the prefix of the image's other files; in a data set, where it has folders, the image's number
/// replaces it. Names are unique because `_` in a label is replaced.
pub fn name(label: &str, stem: &str, suffix: &str) -> String {
    let (folder, image) = stem.rfind('/').map_or(("", stem), |at| stem.split_at(at + 1));
    let image = if folder.is_empty() { image } else { number(image) };
    // File systems allow at least 255 bytes.
    let room = 250_usize.saturating_sub(image.len() + suffix.len()).clamp(1, 40);
    let label = file_stem(prefix(label, room)).replace('_', "-");
    format!("{folder}{label}_{image}{suffix}.jpg")
}

/// The leading number of an image's name in a data set: 100 for `000100_test_batch_00100`.
fn number(name: &str) -> &str {
    let digits = &name[..name.find(|c: char| !c.is_ascii_digit()).unwrap_or(name.len())];
    match digits.trim_start_matches('0') {
        "" if digits.is_empty() => name,
        "" => "0",
        number => number,
    }
}

/// The longest prefix of `text` of at most `len` bytes.
fn prefix(text: &str, len: usize) -> &str {
    let end = (0..=len.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_label_image_and_suffix() {
        assert_eq!(name("dog", "100", "_5_cam"), "dog_100_5_cam.jpg");
        assert_eq!(name("../aquarium_fish", "a", "_1_gb"), "-aquarium-fish_a_1_gb.jpg");
        assert_eq!(name("", "a", "_1_gb"), "image_a_1_gb.jpg");
    }

    #[test]
    fn images_of_a_data_set_are_named_by_number() {
        let dog = |stem| name("dog", stem, "_5_cam");
        assert_eq!(dog("images/0001/000100_test_batch_00100"), "images/0001/dog_100_5_cam.jpg");
        assert_eq!(dog("images/0000/000000_rex"), "images/0000/dog_0_5_cam.jpg");
    }

    #[test]
    fn long_labels_are_cut_to_the_limit_of_file_systems() {
        let (label, stem) = ("\u{1f408}".repeat(99), "\u{732b}".repeat(60));
        let longest = name(&label, &stem, "_10_grad-cam-elementwise_layer12.scale2_top3");
        assert!(longest.len() <= 255, "{longest}");
    }
}
