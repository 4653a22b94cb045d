//! What a layer shows of an exit, as a picture.

use crate::explain::{PixelAttribution, PixelMethod};
use crate::imaging::bounding_box::BoundingBox;
use crate::imaging::heatmap::{Heatmap, MapStatus, common_scale};
use crate::imaging::rgb_image::RgbImage;
use crate::render::overlay::diverging;
use crate::render::overlay_style::OverlayInput;
use crate::render::pixels::{PixelView, enlarged, pixel_picture};
use crate::render::placeholder::{placeholder, placeholder_text};
use crate::render::styles::article;

use super::artifacts::Drawing;
use super::layer_view::View;
use super::layers::{Kind, Layer};

impl Drawing<'_> {
    /// The part of the photo that the network saw, in the overlays' size.
    pub fn view(&self) -> &RgbImage {
        self.photo.view.as_ref().expect("explain asks for a view")
    }

    /// What `layer` shows of the exit at position `i` over `photo`, the view in the picture's size.
    pub fn picture(&self, layer: &Layer, i: usize, photo: &RgbImage) -> RgbImage {
        if let Some(why) = self.reason(layer, i) {
            return placeholder(photo, why);
        }
        match self.findings.view(layer, i, photo.width) {
            // A picture smaller than the map may skip what differs.
            View::Heat(heat) if heat.status != MapStatus::Ok => {
                placeholder(photo, placeholder_text(heat.status))
            }
            View::Heat(heat) => self.heat_picture(layer, i, photo, &heat),
            View::Signed(heat) => diverging(photo, &heat, self.style.looks.look.heat_alpha),
            View::Pixels(pixels) => self.pixels_picture(pixels, photo.width),
        }
    }

    /// Why there is nothing to see, in two lines: one even colour would look like an answer.
    fn reason(&self, layer: &Layer, i: usize) -> Option<[&'static str; 2]> {
        match (self.findings.status(layer, i), layer) {
            (MapStatus::Ok, _) => None,
            (MapStatus::Empty, Layer { minus: Some(_), .. }) => Some(["no", "difference"]),
            (MapStatus::Empty, Layer { kind: Kind::Pixels { .. }, .. }) => Some(["zero", "everywhere"]),
            (status, _) => Some(placeholder_text(status)),
        }
    }

    fn heat_picture(&self, layer: &Layer, i: usize, photo: &RgbImage, own: &Heatmap) -> RgbImage {
        let (map, size) = self.findings.raw(layer.kind, self.findings.at(i, layer.rank));
        let shared =
            self.scale(layer).map(|scale| Heatmap::on_scale(map, size, (photo.height, photo.width), scale));
        let heat = shared.as_ref().unwrap_or(own);
        let (seen, found) = (&self.photo.seen, self.found(layer, i));
        self.style.looks.look.draw(OverlayInput { photo, seen, heatmap: heat, map, size, found })
    }

    /// The scale that the heat maps of `layer` share, if they do.
    pub fn scale(&self, layer: &Layer) -> Option<(f32, f32)> {
        let heat = layer.minus.is_none() && !matches!(layer.kind, Kind::Pixels { .. });
        let findings = (0..self.findings.exits()).map(|i| self.findings.at(i, layer.rank));
        let maps = findings.filter(|_| heat).map(|finding| self.findings.raw(layer.kind, finding).0);
        if self.style.looks.shared { common_scale(maps) } else { None }
    }

    /// The box in what `layer` shows of the exit at position `i`, and the rows and columns that it
    /// counts; `None` where there is none or none was asked for.
    pub fn found(&self, layer: &Layer, i: usize) -> Option<(BoundingBox, (usize, usize))> {
        let threshold = self.style.looks.boxes.filter(|_| layer.minus.is_none())?;
        if matches!(layer.kind, Kind::Pixels { .. }) || self.findings.status(layer, i) != MapStatus::Ok {
            return None;
        }
        let (map, size) = self.findings.raw(layer.kind, self.findings.at(i, layer.rank));
        let grid = BoundingBox::grid(self.photo.crop);
        Some((BoundingBox::find(&Heatmap::new(map, size, grid), threshold)?, grid))
    }

    fn pixels_picture(&self, pixels: &PixelAttribution, side: usize) -> RgbImage {
        let size = (pixels.shape.h, pixels.shape.w);
        if self.is_articles() && pixels.method == PixelMethod::InputGradient {
            return article::gb(&pixels.values, size, (side, side));
        }
        enlarged(&pixel_picture(&pixels.values, size, pixel_view(pixels.method)), side)
    }

    /// The article's `_cam_gb`, of the first heat map.
    pub fn cam_gb(&self, i: usize, rank: usize) -> RgbImage {
        let layers = &self.style.layers.all;
        let of = |wanted: &dyn Fn(&Kind) -> bool| layers.iter().find(|l| l.rank == rank && wanted(&l.kind));
        let is_gradient = |method: usize| self.style.pixels[method] == PixelMethod::InputGradient;
        let cam = of(&|kind| !matches!(kind, Kind::Pixels { .. })).expect("there is a heat map");
        let gb = of(&|kind| matches!(kind, Kind::Pixels { method } if is_gradient(*method)));
        let gb = gb.expect("the article's style asks for the gradient");
        if let Some(why) = self.reason(cam, i).or(self.reason(gb, i)) {
            return placeholder(self.view(), why);
        }
        match (self.findings.view(cam, i, article::SIDE), self.findings.view(gb, i, article::SIDE)) {
            (View::Heat(heat), View::Pixels(pixels)) => {
                article::cam_gb(&pixels.values, (pixels.shape.h, pixels.shape.w), &heat)
            }
            _ => unreachable!("a heat map and pixels"),
        }
    }

    /// The article's `_input`.
    pub fn input(&self) -> RgbImage {
        article::input(&self.photo.seen, (article::SIDE, article::SIDE))
    }
}

/// How a method's array is drawn: guided backpropagation in colours, as its paper has it; what is
/// a share of the score by its sign; gradients, whose sign depends on what the network takes for
/// dark, by their magnitude.
pub fn pixel_view(method: PixelMethod) -> PixelView {
    match method {
        PixelMethod::GuidedBackprop | PixelMethod::GuidedGradCam => PixelView::Color,
        PixelMethod::GradientTimesInput | PixelMethod::IntegratedGradients => PixelView::Signed,
        PixelMethod::InputGradient | PixelMethod::SmoothGrad => PixelView::Magnitude,
    }
}
