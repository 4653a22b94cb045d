//! Text on images, in the bundled font.

use std::borrow::Cow;
use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, GlyphId, Point, PxScale, ScaleFont};

use super::canvas::Rgb;
use super::glyphs::covered;
use crate::error::printable;
use crate::imaging::rgb_image::RgbImage;

static REGULAR: LazyLock<FontRef> = LazyLock::new(|| {
    FontRef::try_from_slice(include_bytes!("font/DejaVuSans.subset.ttf")).expect("the bundled font is valid")
});
static BOLD: LazyLock<FontRef> = LazyLock::new(|| {
    FontRef::try_from_slice(include_bytes!("font/DejaVuSans-Bold.subset.ttf"))
        .expect("the bundled font is valid")
});

/// Font, size and color of text.
#[derive(Debug, Clone, Copy)]
pub(super) struct TextStyle {
    pub bold: bool,
    /// Pixels per em.
    pub size: f32,
    pub color: Rgb,
}

/// Whether the bundled fonts have all letters of `text`, as it is drawn on one line.
pub fn can_draw(text: &str) -> bool {
    printable(text).chars().all(|c| REGULAR.glyph_id(c) != GlyphId(0))
}

/// The glyph of `c`, or that of the replacement character: no letter is left out without a trace.
fn drawn(font: &FontRef, c: char) -> GlyphId {
    match font.glyph_id(c) {
        GlyphId(0) => font.glyph_id(char::REPLACEMENT_CHARACTER),
        glyph => glyph,
    }
}

impl TextStyle {
    fn font(&self) -> &'static FontRef<'static> {
        if self.bold { &BOLD } else { &REGULAR }
    }

    fn scale(&self) -> PxScale {
        // ab_glyph scales by the line height, not by the em.
        let font = self.font();
        PxScale::from(self.size * font.height_unscaled() / font.units_per_em().unwrap_or(1000.0))
    }

    /// Glyphs with their offsets from the start, and the total width, in pixels.
    fn lay_out(&self, text: &str) -> (Vec<(GlyphId, f32)>, f32) {
        let font = self.font().as_scaled(self.scale());
        let (mut glyphs, mut x) = (Vec::new(), 0.0);
        for c in text.chars() {
            let glyph = drawn(self.font(), c);
            if let Some(&(before, _)) = glyphs.last() {
                x += font.kern(before, glyph);
            }
            glyphs.push((glyph, x));
            x += font.h_advance(glyph);
        }
        (glyphs, x)
    }

    /// Width of `text` in pixels.
    pub fn width(&self, text: &str) -> f32 {
        self.lay_out(text).1
    }

    /// `text` as one printable line, truncated with an ellipsis to at most `room` pixels.
    pub fn fit<'t>(&self, text: &'t str, room: f32) -> Cow<'t, str> {
        // No line shows more; a hostile name may be megabytes long.
        const MAX_CHARS: usize = 512;
        let end = text.char_indices().nth(MAX_CHARS).map_or(text.len(), |(at, _)| at);
        let line = printable(&text[..end]);
        if end == text.len() && self.width(&line) <= room {
            return if line == text { Cow::Borrowed(text) } else { Cow::Owned(line) };
        }
        let letters: Vec<char> = line.chars().collect();
        // The longest prefix that fits; the width grows with every character.
        let fits = |n: &usize| self.width(&shortened(&letters[..*n])) <= room;
        let most = (0..=letters.len()).collect::<Vec<_>>().partition_point(fits);
        Cow::Owned(shortened(&letters[..most.saturating_sub(1)]))
    }

    /// `text` wrapped between words: the first line is at most `first` pixels wide, the others at most
    /// `room`. There are at most `max_lines` lines; the last one is truncated if necessary.
    pub fn wrap(&self, text: &str, first: f32, room: f32, max_lines: usize) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let room = if lines.is_empty() { first } else { room };
            let ends = rest.match_indices(' ').map(|(at, _)| at).chain([rest.len()]);
            let fitting = ends.take_while(|&end| self.width(&rest[..end]) <= room).last();
            // A word that is wider than a line is truncated.
            let end = fitting.unwrap_or_else(|| rest.find(' ').unwrap_or(rest.len()));
            let end = if lines.len() + 1 == max_lines { rest.len() } else { end };
            lines.push(self.fit(&rest[..end], room).into_owned());
            rest = rest[end..].trim_start();
        }
        lines
    }

    /// Draws `text` with its start at `x` and its baseline at `y`.
    pub fn draw(&self, on: &mut RgbImage, x: f32, y: f32, text: &str) {
        let (font, scale) = (self.font(), self.scale());
        for (glyph, advance) in self.lay_out(text).0 {
            for pixel in covered((font, self.bold), scale, glyph, Point { x: x + advance, y }).iter() {
                on.blend(pixel.x as usize, pixel.y as usize, self.color, pixel.opacity);
            }
        }
    }

    /// Draws `text` rotated upwards from (`x`, `y`), with its baseline on the right.
    pub fn draw_upwards(&self, on: &mut RgbImage, x: f32, y: f32, text: &str) {
        // Drawn horizontally on a separate image, then rotated.
        let (width, height) = (self.width(text).ceil() as usize + 2, (self.size * 2.0).ceil() as usize);
        let baseline = self.size * 1.4;
        let mut cover = RgbImage::filled(width, height, [0; 3]);
        TextStyle { color: [255; 3], ..*self }.draw(&mut cover, 1.0, baseline, text);
        for row in 0..height {
            for column in 0..width {
                let (px, py) = (x - baseline + row as f32, y + 1.0 - column as f32);
                if px >= 0.0 && py >= 0.0 {
                    let opacity = f32::from(cover.pixel(column, row)[0]) / 255.0;
                    on.blend(px as usize, py as usize, self.color, opacity);
                }
            }
        }
    }

    /// As [`TextStyle::draw`], with the end of the text at `x`.
    pub fn draw_right(&self, on: &mut RgbImage, x: f32, y: f32, text: &str) {
        self.draw(on, x - self.width(text), y, text);
    }

    /// As [`TextStyle::draw`], with the middle of the text at `x`.
    pub fn draw_centered(&self, on: &mut RgbImage, x: f32, y: f32, text: &str) {
        self.draw(on, x - self.width(text) / 2.0, y, text);
    }
}

/// `letters` followed by an ellipsis.
fn shortened(letters: &[char]) -> String {
    let mut text: String = letters.iter().collect();
    text.truncate(text.trim_end().len());
    text.push('\u{2026}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: TextStyle = TextStyle { bold: false, size: 16.0, color: [0; 3] };

    #[test]
    fn a_long_label_is_truncated_with_an_ellipsis() {
        assert_eq!(STYLE.fit("cat", 100.0), "cat");
        let fitted = STYLE.fit("Chesapeake Bay retriever", 140.0);
        assert!(fitted.starts_with("Chesapeake") && fitted.ends_with('\u{2026}'), "{fitted}");
        assert!(STYLE.width(&fitted) <= 140.0);
        // An x takes 0.592 em, the ellipsis one: 2 x 9.5 + 16 pixels fit into 40, 3 x 9.5 + 16 do not.
        assert_eq!(STYLE.fit(&"x".repeat(1_000_000), 40.0), "xx\u{2026}");
    }

    #[test]
    fn lines_wrap_between_words_and_the_last_is_truncated() {
        let width = STYLE.width("the quick brown");
        assert_eq!(STYLE.wrap("the quick brown fox", width, width, 3), ["the quick brown", "fox"]);
        assert_eq!(STYLE.wrap("the quick brown fox", width, width, 1).len(), 1);
        assert_eq!(STYLE.wrap("the quick brown", STYLE.width("the q"), width, 3), ["the", "quick brown"]);
        let long = STYLE.wrap(&format!("a {} b", "x".repeat(1_000_000)), 90.0, 90.0, 3);
        assert_eq!((long.len(), long[2].as_str()), (3, "b"));
        assert!(long.iter().all(|line| STYLE.width(line) <= 90.0), "{long:?}");
        assert!(STYLE.wrap(" ", 9.0, 9.0, 3).is_empty());
    }

    #[test]
    fn text_is_one_printable_line() {
        assert_eq!(STYLE.fit("a\nb\u{202e}", 500.0), "a\\nb\\u{202e}");
    }

    #[test]
    fn letters_are_drawn_at_their_position() {
        let mut page = RgbImage::filled(60, 30, [255; 3]);
        STYLE.draw(&mut page, 10.0, 20.0, "H");
        let dark: Vec<_> = (0..60 * 30).filter(|i| page.rgb[i * 3] < 128).map(|i| (i % 60, i / 60)).collect();
        assert!(dark.len() > 20, "{dark:?}");
        // A capital rests on the baseline and is 0.73 em high.
        assert!(dark.iter().all(|&(x, y)| (10..24).contains(&x) && (8..=20).contains(&y)), "{dark:?}");
    }

    #[test]
    fn upward_text_is_rotated_text() {
        let dark = |page: &RgbImage| page.rgb.chunks(3).filter(|pixel| pixel[0] < 128).count();
        let [mut across, mut up] = [(); 2].map(|()| RgbImage::filled(60, 60, [255; 3]));
        STYLE.draw(&mut across, 4.0, 30.0, "HLF");
        STYLE.draw_upwards(&mut up, 30.0, 50.0, "HLF");
        assert!(dark(&across) > 40);
        assert!(dark(&up).abs_diff(dark(&across)) < dark(&across) / 8, "{} {}", dark(&up), dark(&across));
        let rows = (0..60 * 60).filter(|i| up.rgb[i * 3] < 128).map(|i| (i % 60, i / 60));
        // Letters are to the left of the baseline and start at the bottom.
        assert!(rows.clone().all(|(x, y)| (17..=31).contains(&x) && (10..=51).contains(&y)));
        assert!(rows.map(|(_, y)| y).max() > Some(45));
    }

    #[test]
    fn the_fonts_cover_the_supported_scripts() {
        for font in [&*REGULAR, &*BOLD] {
            for c in "AZaz09\u{e4}\u{df}\u{e9}\u{159}\u{3a9}\u{44f}\u{2026}\u{2013}\u{2192}".chars() {
                assert_ne!(font.glyph_id(c), GlyphId(0), "{c}");
            }
        }
        assert!(can_draw("na\u{ef}ve \u{44f}\n") && !can_draw("a\u{732b}") && !can_draw("\u{5d7}"));
    }

    #[test]
    fn a_letter_that_no_font_has_is_drawn_as_the_replacement_character() {
        let page = |text: &str| {
            let mut page = RgbImage::filled(60, 30, [255; 3]);
            STYLE.draw(&mut page, 10.0, 20.0, text);
            page.rgb
        };
        assert_eq!(page("\u{732b}"), page("\u{fffd}"));
        assert!(page("\u{732b}").iter().any(|&value| value < 128));
    }
}
