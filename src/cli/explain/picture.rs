//! A layer at one exit, as a picture.

use crate::explain::{Explanation, PixelAttribution, PixelMethod};
use crate::imaging::bounding_box::BoundingBox;
use crate::imaging::heatmap::{Heatmap, MapStatus, common_scale};
use crate::imaging::rgb_image::RgbImage;
use crate::imaging::with_longer_side;
use crate::render::overlay::diverging;
use crate::render::overlay_style::OverlayInput;
use crate::render::pixels::{PixelView, enlarged, pixel_picture};
use crate::render::placeholder::{placeholder, placeholder_text};
use crate::render::styles::article;

use super::artifacts::ImageArtifacts;
use super::layers::{HeatmapSource, Layer, LayerKind};

impl ImageArtifacts<'_> {
    /// The region of the photo that the network saw, at the size of the overlays.
    pub fn view(&self) -> &RgbImage {
        self.photo.view.as_ref().expect("explain reads photos with a view")
    }

    /// The layer at the exit at position `i`, drawn over `photo`: the view at the picture's size.
    pub fn picture(&self, layer: &Layer, i: usize, photo: &RgbImage) -> RgbImage {
        let explanation = self.explanations.at(i, layer.rank);
        if let Some(why) = self.placeholder(layer.kind, explanation) {
            return placeholder(photo, why);
        }
        match layer.kind {
            LayerKind::Heatmap(source) => self.heatmap_picture(source, explanation, photo),
            LayerKind::Difference(difference) => {
                let values =
                    self.explanations.difference(difference, explanation, (photo.height, photo.width));
                diverging(photo, &values, self.spec.pictures.overlay.heat_alpha)
            }
            LayerKind::Pixels { method } => {
                self.pixels_picture(&explanation.pixels[method], (photo.height, photo.width))
            }
        }
    }

    /// The two lines of a placeholder, if there is nothing to show: a uniform color would look like
    /// a result.
    fn placeholder(&self, kind: LayerKind, explanation: &Explanation) -> Option<[&'static str; 2]> {
        if !self.explanations.has(kind, explanation) {
            return Some(["no tap", "of this size"]);
        }
        match (self.explanations.status(kind, explanation), kind) {
            (MapStatus::Ok, _) => None,
            (MapStatus::Empty, LayerKind::Difference(_)) => Some(["no", "difference"]),
            (MapStatus::Empty, LayerKind::Pixels { .. }) => Some(["zero", "everywhere"]),
            (status, _) => Some(placeholder_text(status)),
        }
    }

    fn heatmap_picture(
        &self,
        source: HeatmapSource,
        explanation: &Explanation,
        photo: &RgbImage,
    ) -> RgbImage {
        let own = self.explanations.heatmap_at(source, explanation, (photo.height, photo.width));
        if own.status != MapStatus::Ok {
            // Downscaling to a picture smaller than the map may remove all contrast.
            return placeholder(photo, placeholder_text(own.status));
        }
        let (map, size) = self.explanations.raw(source, explanation);
        let shared = self
            .shared_scale(source, explanation.rank)
            .map(|scale| Heatmap::on_scale(map, size, (photo.height, photo.width), scale));
        let heatmap = shared.as_ref().unwrap_or(&own);
        let (seen, found) = (&self.photo.seen, self.bounding_box(source, explanation));
        self.spec.pictures.overlay.draw(OverlayInput { photo, seen, heatmap, map, size, found })
    }

    /// The scale that a heatmap has at all exits, if it is to be shared.
    pub fn shared_scale(&self, source: HeatmapSource, rank: usize) -> Option<(f32, f32)> {
        if !self.spec.pictures.shared_scale {
            return None;
        }
        let explanations = (0..self.explanations.exits()).map(|i| self.explanations.at(i, rank));
        let kind = LayerKind::Heatmap(source);
        let explanations = explanations.filter(|explanation| self.explanations.has(kind, explanation));
        common_scale(explanations.map(|explanation| self.explanations.raw(source, explanation).0))
    }

    /// The box around the most salient region of a heatmap, and the (rows, columns) that its
    /// coordinates count; `None` if boxes are not requested or there is no such region.
    pub fn bounding_box(
        &self,
        source: HeatmapSource,
        explanation: &Explanation,
    ) -> Option<(BoundingBox, (usize, usize))> {
        let threshold = self.spec.pictures.boxes?;
        if self.explanations.heatmap(source, explanation).status != MapStatus::Ok {
            return None;
        }
        let (map, size) = self.explanations.raw(source, explanation);
        let grid = BoundingBox::grid(self.photo.crop);
        Some((BoundingBox::find(&Heatmap::new(map, size, grid), threshold)?, grid))
    }

    fn pixels_picture(&self, pixels: &PixelAttribution, to: (usize, usize)) -> RgbImage {
        let size = (pixels.shape.h, pixels.shape.w);
        if self.spec.article.is_some() && pixels.method == PixelMethod::InputGradient {
            return article::gb(&pixels.values, size, to);
        }
        enlarged(&pixel_picture(&pixels.values, size, pixel_view(pixels.method)), to)
    }

    /// The article's `_cam_gb`: the gradient weighted by a heatmap.
    pub fn cam_gb(&self, explanation: &Explanation, source: HeatmapSource, gradient: usize) -> RgbImage {
        let reason = |kind| self.placeholder(kind, explanation);
        let (cam, gb) = (LayerKind::Heatmap(source), LayerKind::Pixels { method: gradient });
        if let Some(why) = reason(cam).or(reason(gb)) {
            return placeholder(self.view(), why);
        }
        let heatmap = self.explanations.heatmap_at(source, explanation, self.article_size());
        let pixels = &explanation.pixels[gradient];
        article::cam_gb(&pixels.values, (pixels.shape.h, pixels.shape.w), &heatmap)
    }

    /// The article's `_input`.
    pub fn input(&self) -> RgbImage {
        article::input(&self.photo.seen, self.article_size())
    }

    /// (rows, columns) of the article's pictures.
    fn article_size(&self) -> (usize, usize) {
        with_longer_side(self.spec.input, article::SIDE)
    }
}

/// How a method's attribution is drawn: guided backpropagation in color, as in its paper;
/// contributions to the score by their sign; gradients, whose sign depends on whether the object is
/// darker than its background, by their magnitude.
pub fn pixel_view(method: PixelMethod) -> PixelView {
    match method {
        PixelMethod::GuidedBackprop | PixelMethod::GuidedGradCam => PixelView::Color,
        PixelMethod::GradientTimesInput | PixelMethod::IntegratedGradients => PixelView::Signed,
        PixelMethod::InputGradient | PixelMethod::SmoothGrad => PixelView::Magnitude,
    }
}
