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
    let mut pale = photo.clone();
    for pixel in pale.rgb.chunks_exact_mut(3) {
        // Rec. 601 luma, compressed towards white.
        let luma = 0.299 * f32::from(pixel[0]) + 0.587 * f32::from(pixel[1]) + 0.114 * f32::from(pixel[2]);
        pixel.fill((178.0 + luma * 0.28) as u8);
    }
    let style = TextStyle { bold: true, size: 15.0, color: [0x1c, 0x1e, 0x21] };
    // Smaller letters on a picture that is too narrow or too low for these.
    let widest = lines.iter().map(|text| style.width(text)).fold(1.0, f32::max);
    let (width, height) = (photo.width as f32, photo.height as f32);
    let scale = (width / widest).min(height / 40.0).min(1.0);
    let style = TextStyle { size: scale * style.size, ..style };
    for (line, text) in lines.iter().enumerate() {
        let y = height / 2.0 + scale * (20.0 * line as f32 - 4.0);
        style.draw_centered(&mut pale, width / 2.0, y, text);
    }
    pale
}
