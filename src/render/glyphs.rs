//! Letters as pixels, kept for the next time that they are drawn at the same place.
//!
//! The film strips of a data set have the same layout, so that most of their letters are those of the strip before, at
//! the same place; drawing the outline of one takes twenty times as long as finding it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use ab_glyph::{Font, FontRef, GlyphId, Point, PxScale};

/// Limit of the letters that are kept, about a kilobyte each; beyond it all are forgotten.
const MOST: usize = 4096;

/// A font, a size, a letter and a place; numbers by their bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    bold: bool,
    size: u32,
    glyph: GlyphId,
    x: u32,
    y: u32,
}

/// A pixel of a letter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Covered {
    pub x: u32,
    pub y: u32,
    /// Above 0, at most 1.
    pub opacity: f32,
}

/// The letters that are kept.
type Kept = HashMap<Key, Arc<[Covered]>>;

static KEPT: LazyLock<Mutex<Kept>> = LazyLock::new(Mutex::default);

/// The pixels of a letter of `font`, of which `bold` tells whether it is the bold one, with its origin at `at`.
pub(super) fn covered(
    (font, bold): (&FontRef, bool),
    scale: PxScale,
    glyph: GlyphId,
    at: Point,
) -> Arc<[Covered]> {
    let key = Key { bold, size: scale.y.to_bits(), glyph, x: at.x.to_bits(), y: at.y.to_bits() };
    // Nothing waits: another thread may have the lock, or may have had it when the process was forked.
    if let Some(found) = KEPT.try_lock().ok().and_then(|kept| kept.get(&key).cloned()) {
        return found;
    }
    let drawn: Arc<[Covered]> = draw(font, scale, glyph, at).into();
    if let Ok(mut kept) = KEPT.try_lock() {
        if kept.len() >= MOST {
            kept.clear();
        }
        kept.insert(key, Arc::clone(&drawn));
    }
    drawn
}

/// The pixels of the outline; none of a space.
fn draw(font: &FontRef, scale: PxScale, glyph: GlyphId, at: Point) -> Vec<Covered> {
    let mut pixels = Vec::new();
    let Some(outline) = font.outline_glyph(glyph.with_scale_and_position(scale, at)) else { return pixels };
    let corner = outline.px_bounds().min;
    outline.draw(|column, row, opacity| {
        let (x, y) = (corner.x + column as f32, corner.y + row as f32);
        if x >= 0.0 && y >= 0.0 && opacity > 0.0 {
            pixels.push(Covered { x: x as u32, y: y as u32, opacity: opacity.min(1.0) });
        }
    });
    pixels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_are_kept_are_those_that_would_be_drawn() {
        let font = FontRef::try_from_slice(include_bytes!("font/DejaVuSans.subset.ttf")).unwrap();
        let scale = PxScale::from(17.0);
        // More than are kept, twice.
        for _ in 0..2 {
            for i in 0..MOST + 100 {
                let (glyph, at) =
                    (font.glyph_id(['a', 'W', ' '][i % 3]), Point { x: i as f32 / 7.0, y: 20.5 });
                let pixels = |of: &[Covered]| -> Vec<(u32, u32, u32)> {
                    of.iter().map(|pixel| (pixel.x, pixel.y, pixel.opacity.to_bits())).collect()
                };
                let [kept, again] = [(); 2].map(|()| covered((&font, false), scale, glyph, at));
                let drawn = pixels(&draw(&font, scale, glyph, at));
                assert!(pixels(&kept) == drawn && pixels(&again) == drawn, "letter {i}");
                assert!(KEPT.try_lock().map_or(0, |kept| kept.len()) <= MOST);
            }
        }
    }
}
