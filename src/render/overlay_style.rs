//! Overlay options: how a map is drawn over the photo.

use super::color::Colormap;
use super::outlines::{draw_box, draw_contours};
use super::overlay::{HEAT_ALPHA, overlay};
use super::styles::ToolStyle;
use crate::imaging::bounding_box::BoundingBox;
use crate::imaging::heatmap::Heatmap;
use crate::imaging::rgb_image::RgbImage;
use crate::render::styles::{article, captum, pytorch_grad_cam, torchcam};

/// Options of an overlay.
///
/// ```
/// use msdcam::render::{Colormap, OverlayInput, OverlayStyle};
/// use msdcam::{Heatmap, RgbImage};
///
/// let photo = RgbImage::filled(64, 48, [90, 120, 60]);
/// let map = [0.0, 0.5, 0.25, 1.0];
/// let heatmap = Heatmap::new(&map, (2, 2), (48, 64));
/// let style = OverlayStyle { colormap: Colormap::Viridis, contours: vec![0.5], ..OverlayStyle::default() };
/// let input =
///     OverlayInput { photo: &photo, seen: &photo, heatmap: &heatmap, map: &map, size: (2, 2), found: None };
/// assert_eq!(style.draw(input).width, 64);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct OverlayStyle {
    /// Reproduce the picture of another tool, with its own colors, opacity and scale.
    pub style: Option<ToolStyle>,
    /// Colormap of the heatmap.
    pub colormap: Colormap,
    /// Opacity of the heatmap, in [0, 1].
    pub heat_alpha: f32,
    /// Levels of contour lines, in (0, 1).
    pub contours: Vec<f32>,
}

impl Default for OverlayStyle {
    fn default() -> Self {
        OverlayStyle {
            style: None,
            colormap: Colormap::default(),
            heat_alpha: HEAT_ALPHA,
            contours: Vec::new(),
        }
    }
}

/// A map with a status of ok, and the photo that it is drawn over.
#[derive(Debug, Clone, Copy)]
pub struct OverlayInput<'a> {
    /// The model's view of the photo, at the size of the picture.
    pub photo: &'a RgbImage,
    /// The model's input as an image.
    pub seen: &'a RgbImage,
    /// The heatmap, at the size of the picture.
    pub heatmap: &'a Heatmap,
    /// The activation map after its ReLU, at the size of its tap.
    pub map: &'a [f32],
    /// Rows and columns of the activation map.
    pub size: (usize, usize),
    /// Bounding box to draw, with the rows and columns of the heatmap that it was found in.
    pub found: Option<(BoundingBox, (usize, usize))>,
}

impl OverlayStyle {
    /// Draws the overlay of `input`.
    ///
    /// # Panics
    /// When the sizes of the input disagree, or the opacity is outside [0, 1].
    pub fn draw(&self, input: OverlayInput) -> RgbImage {
        let OverlayInput { photo, seen, heatmap, map, size, found } = input;
        let mut picture = match self.style {
            None => overlay(photo, heatmap, self.colormap, self.heat_alpha),
            Some(ToolStyle::Article) => article::cam(seen, heatmap),
            Some(ToolStyle::PytorchGradCam) => pytorch_grad_cam::cam(photo, map, size),
            Some(ToolStyle::TorchCam) => torchcam::cam(photo, map, size),
            Some(ToolStyle::Captum) => captum::blended(photo, map, size),
        };
        draw_contours(&mut picture, heatmap, &self.contours);
        if let Some((found, grid)) = found {
            draw_box(&mut picture, found, grid);
        }
        picture
    }

    /// Colors of the heatmap from 0 to 1.
    pub fn colors(&self) -> &'static [[u8; 3]; 256] {
        match self.style {
            None => self.colormap.table(),
            Some(ToolStyle::Article | ToolStyle::PytorchGradCam) => Colormap::Jet.table(),
            Some(ToolStyle::TorchCam) => torchcam::colors(),
            Some(ToolStyle::Captum) => captum::colors(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::bounding_box::Threshold;

    const SIDE: usize = 128;

    /// A heatmap with its maximum in the middle, over a uniform photo.
    fn drawn(style: &OverlayStyle, color: [u8; 3], boxes: bool) -> RgbImage {
        let map = [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0];
        let heatmap = Heatmap::new(&map, (3, 3), (SIDE, SIDE));
        let found = BoundingBox::find(&heatmap, Threshold::Share(0.5)).map(|found| (found, (SIDE, SIDE)));
        let (photo, seen) = (RgbImage::filled(SIDE, SIDE, color), RgbImage::filled(8, 8, color));
        style.draw(OverlayInput {
            photo: &photo,
            seen: &seen,
            heatmap: &heatmap,
            map: &map,
            size: (3, 3),
            found: found.filter(|_| boxes),
        })
    }

    /// Green channel along the middle row.
    fn middle_row(picture: &RgbImage) -> Vec<u8> {
        (0..SIDE).map(|x| picture.pixel(x, SIDE / 2)[1]).collect()
    }

    #[test]
    fn lines_are_visible_on_any_photo_and_colormap() {
        for color in [[0; 3], [255; 3], [128; 3]] {
            for heat_alpha in [0.0, 0.5, 1.0] {
                for colormap in Colormap::ALL {
                    let style =
                        OverlayStyle { heat_alpha, colormap, contours: vec![0.5], ..OverlayStyle::default() };
                    for boxes in [false, true] {
                        let row = middle_row(&drawn(&style, color, boxes));
                        // From the border to the middle there is one line, light between dark edges.
                        let line = row[..SIDE / 2].windows(9).map(|w| {
                            let dark = |side: &[u8]| side.iter().copied().min().unwrap_or(255);
                            w[4].saturating_sub(dark(&w[..4]).max(dark(&w[5..])))
                        });
                        let contrast = line.max();
                        assert!(contrast > Some(80), "{color:?} {colormap} {heat_alpha}: {row:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_style_draws_the_same_lines() {
        for style in [None, Some(ToolStyle::Article), Some(ToolStyle::TorchCam), Some(ToolStyle::Captum)] {
            let style = OverlayStyle { style, contours: vec![0.5], ..OverlayStyle::default() };
            let plain = drawn(&OverlayStyle { contours: Vec::new(), ..style.clone() }, [90; 3], false);
            let lined = drawn(&style, [90; 3], true);
            let changed = plain.rgb.iter().zip(&lined.rgb).filter(|(a, b)| a != b).count();
            assert!(changed > 3 * SIDE, "{style:?}: {changed} bytes");
            assert_eq!(plain.pixel(1, 1), lined.pixel(1, 1), "{style:?}");
        }
    }

    #[test]
    fn a_tiny_picture_can_be_drawn() {
        let (photo, map) = (RgbImage::filled(1, 1, [9; 3]), [0.0, 1.0]);
        let heatmap = Heatmap::new(&map, (1, 2), (1, 2));
        let found = BoundingBox::find(&heatmap, Threshold::Otsu).map(|found| (found, (1, 2)));
        let wide = RgbImage::filled(2, 1, [9; 3]);
        for style in
            [None, Some(ToolStyle::Article), Some(ToolStyle::PytorchGradCam), Some(ToolStyle::Captum)]
        {
            let style = OverlayStyle { style, contours: vec![0.5], ..OverlayStyle::default() };
            let size = (1, 2);
            style.draw(OverlayInput {
                photo: &wide,
                seen: &photo,
                heatmap: &heatmap,
                map: &map,
                size,
                found,
            });
        }
    }
}
