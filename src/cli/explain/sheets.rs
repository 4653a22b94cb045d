//! Sheets of all exits: film strips and grids, with their headers.

use crate::explain::PixelMethod;
use crate::imaging::rgb_image::RgbImage;
use crate::render;
use crate::render::Colormap;
use crate::render::grid::GridRow;
use crate::render::pixels::PixelView;
use crate::render::sheet::{ExitCell, Legend, SheetOptions};
use crate::render::strip::strip;

use super::artifacts::ImageArtifacts;
use super::difference::{OtherClass, Subtrahend};
use super::layers::{Grid, HeatmapSource, Layer, LayerKind};
use super::picture::pixel_view;

impl ImageArtifacts<'_> {
    /// The film strip of `layer`.
    pub fn strip(&self, layer: &Layer) -> RgbImage {
        let options = self.options(layer, &layer.subtitle);
        let photo = self.small_view();
        let pictures = self.pictures(layer, photo);
        strip(photo, &self.photo.seen, &self.cells(layer, &pictures), &options)
    }

    /// Several film strips in one sheet.
    pub fn grid(&self, grid: &Grid) -> RgbImage {
        let layers: Vec<&Layer> = grid.layers.iter().map(|&layer| &self.spec.layers.all[layer]).collect();
        let mut options = self.options(layers[0], &grid.subtitle);
        if let LayerKind::Heatmap(source) = layers[0].kind
            && self.shared_scale(source, layers[0].rank).is_some()
        {
            // The exits of a row share a scale, but not the rows.
            options.legend =
                Legend { note: "one scale for each row".into(), ..Legend::heatmap(self.colors()) };
        }
        options.legend.note = options.legend.note.replace("each exit", "each map");
        let photo = self.small_view();
        let pictures: Vec<Vec<RgbImage>> = layers.iter().map(|layer| self.pictures(layer, photo)).collect();
        let rows = layers.iter().zip(&pictures).map(|(layer, pictures)| GridRow {
            title: layer.row.clone(),
            cells: self.cells(layer, pictures),
        });
        render::grid::grid(photo, &self.photo.seen, &rows.collect::<Vec<_>>(), &options)
    }

    fn options(&self, layer: &Layer, subtitle: &str) -> SheetOptions {
        let is_heatmap = matches!(layer.kind, LayerKind::Heatmap(_));
        SheetOptions {
            title: self.title.clone(),
            subtitle: subtitle.into(),
            remark: if is_heatmap { self.spec.pictures.remark() } else { String::new() },
            legend: self.legend(layer),
            ..SheetOptions::default()
        }
    }

    /// The region of the photo that the network saw, at the size of a sheet's pictures.
    fn small_view(&self) -> &RgbImage {
        self.photo.small_view.as_ref().expect("explain reads photos with a view for its sheets")
    }

    fn pictures(&self, layer: &Layer, photo: &RgbImage) -> Vec<RgbImage> {
        (0..self.explanations.exits()).map(|i| self.picture(layer, i, photo)).collect()
    }

    /// A cell for each exit, labeled with its predicted class, or with the target if the job
    /// explains several targets of each exit.
    fn cells<'a>(&'a self, layer: &Layer, pictures: &'a [RgbImage]) -> Vec<ExitCell<'a>> {
        let cell = |(i, picture): (usize, &'a RgbImage)| {
            let explanation = self.explanations.at(i, layer.rank);
            let class =
                if self.spec.layers.ranks > 1 { explanation.target } else { explanation.prediction.class };
            ExitCell {
                exit: explanation.prediction.exit,
                label: &self.spec.drawn_labels[class],
                probability: explanation.prediction.probabilities[class],
                picture,
            }
        };
        pictures.iter().enumerate().map(cell).collect()
    }

    fn colors(&self) -> &'static [[u8; 3]; 256] {
        self.spec.pictures.overlay.colors()
    }

    fn legend(&self, layer: &Layer) -> Legend {
        let own = "each exit on its own scale";
        let signed = |low: &str, high: &str, note: &str| Legend {
            bar: Some((Colormap::RdBuR.table(), [low.into(), high.into()])),
            note: note.into(),
        };
        match layer.kind {
            LayerKind::Heatmap(source) => self.heatmap_legend(source, layer.rank),
            LayerKind::Difference(difference) => match difference.subtrahend() {
                Subtrahend::Exit(exit) => {
                    signed(&format!("exit {exit}"), "this exit", "each map on its own scale before")
                }
                Subtrahend::Class(OtherClass::RunnerUp) => signed("next class", "this class", own),
                Subtrahend::Class(OtherClass::Index(class)) => {
                    signed(&self.spec.drawn_labels[class], "this class", own)
                }
            },
            LayerKind::Pixels { method } => self.pixels_legend(self.spec.pixels[method], signed, own),
        }
    }

    fn pixels_legend(
        &self,
        method: PixelMethod,
        signed: impl Fn(&str, &str, &str) -> Legend,
        own: &str,
    ) -> Legend {
        if self.spec.article.is_some() && method == PixelMethod::InputGradient {
            return Legend { bar: None, note: "twice the gradient, what is negative cut off".into() };
        }
        match pixel_view(method) {
            PixelView::Signed => signed("against", "for", own),
            PixelView::Magnitude => Legend::heatmap(Colormap::Gray.table()),
            PixelView::Color => Legend { bar: None, note: format!("grey: nothing; {own}") },
        }
    }

    fn heatmap_legend(&self, source: HeatmapSource, rank: usize) -> Legend {
        let overlay = &self.spec.pictures.overlay;
        let legend = Legend::heatmap(self.colors());
        match (overlay.style, self.shared_scale(source, rank)) {
            (Some(style), _) => {
                Legend { note: format!("as {} draws it; {}", style.title(), legend.note), ..legend }
            }
            // The photo alone: colors have no meaning.
            (None, _) if overlay.heat_alpha == 0.0 => Legend { bar: None, ..legend },
            (None, Some((low, high))) => {
                let ends = [low, high].map(significant);
                Legend { bar: Some((self.colors(), ends)), note: "one scale for all exits".into() }
            }
            (None, None) => legend,
        }
    }
}

/// `x` with three significant digits.
fn significant(x: f32) -> String {
    match x.abs() {
        0.0 => "0".into(),
        size if !(1e-3..1e6).contains(&size) => format!("{x:.2e}"),
        size => format!("{x:.*}", (2 - size.log10().floor() as i32).max(0) as usize),
    }
}

#[cfg(test)]
mod tests {
    use super::significant;

    #[test]
    fn three_significant_digits_are_written() {
        let numbers = [0.0, 0.012_345, 1.5, 123.4, 98765.0, 1.234e-7, -0.5].map(significant);
        assert_eq!(numbers, ["0", "0.0123", "1.50", "123", "98765", "1.23e-7", "-0.500"]);
    }
}
