//! Placeholder picture of a map without information.

use super::text::TextStyle;
use crate::imaging::heatmap::MapStatus;
use crate::imaging::rgb_image::RgbImage;

/// Two lines that explain why a map is not shown.
pub fn placeholder_text(status: MapStatus) -> [&'static str; 2] {
    match status {
        MapStatus::Ok => ["", ""],
        MapStatus::Empty => ["no positive", "evidence"],
        MapStatus::Constant => ["the same", "everywhere"],
        MapStatus::Nonfinite => ["not a finite", "number"],
    }
}

/// The photo, faded to light gray, with two lines that explain why there is no map.
pub fn placeholder(photo: &RgbImage, lines: [&str; 2]) -> RgbImage {
    let size = photo.width;
    let mut pale = photo.clone();
    for pixel in pale.rgb.chunks_exact_mut(3) {
        // Rec. 601 luma, compressed towards white.
        let luma = 0.299 * f32::from(pixel[0]) + 0.587 * f32::from(pixel[1]) + 0.114 * f32::from(pixel[2]);
        pixel.fill((178.0 + luma * 0.28) as u8);
    }
    let placeholder_text = TextStyle { bold: true, size: 15.0, color: [0x1c, 0x1e, 0x21] };
    for (line, text) in lines.iter().enumerate() {
        placeholder_text.draw_centered(
            &mut pale,
            size as f32 / 2.0,
            size as f32 / 2.0 - 4.0 + 20.0 * line as f32,
            text,
        );
    }
    pale
}
