//! What layers show of all exits: film strips, grids, and what stands above them.

use crate::explain::PixelMethod;
use crate::imaging::rgb_image::RgbImage;
use crate::imaging::{Filter, Region, resample};
use crate::render;
use crate::render::Colormap;
use crate::render::grid::GridRow;
use crate::render::pixels::PixelView;
use crate::render::sheet::{ExitCell, Legend, SheetOptions};
use crate::render::strip::strip;

use super::artifacts::Drawing;
use super::difference::Minus;
use super::layers::{Grid, Kind, Layer};
use super::picture::pixel_view;

impl Drawing<'_> {
    /// The film strip of `layer`.
    pub fn strip(&self, layer: &Layer) -> RgbImage {
        let options = self.page(layer, &layer.subtitle);
        let photo = self.small_view(options.cell);
        let pictures = self.all_exits(layer, &photo);
        strip(&photo, &self.photo.seen, &self.cells(layer, &pictures), &options)
    }

    /// Several film strips in one picture.
    pub fn grid(&self, grid: &Grid) -> RgbImage {
        let layers: Vec<&Layer> = grid.layers.iter().map(|&layer| &self.style.layers.all[layer]).collect();
        let mut options = self.page(layers[0], &grid.subtitle);
        if self.scale(layers[0]).is_some() {
            // A scale is shared by the exits of a row; the rows' own are not one.
            options.legend =
                Legend { note: "one scale for each row".into(), ..Legend::heatmap(self.colours()) };
        }
        options.legend.note = options.legend.note.replace("each exit", "each map");
        let photo = self.small_view(options.cell);
        let pictures: Vec<Vec<RgbImage>> = layers.iter().map(|layer| self.all_exits(layer, &photo)).collect();
        let rows = layers.iter().zip(&pictures).map(|(layer, pictures)| GridRow {
            title: layer.row.clone(),
            cells: self.cells(layer, pictures),
        });
        render::grid::grid(&photo, &self.photo.seen, &rows.collect::<Vec<_>>(), &options)
    }

    fn page(&self, layer: &Layer, subtitle: &str) -> SheetOptions {
        let is_heat = layer.minus.is_none() && !matches!(layer.kind, Kind::Pixels { .. });
        SheetOptions {
            title: self.title.clone(),
            subtitle: subtitle.into(),
            remark: if is_heat { self.style.looks.remark() } else { String::new() },
            legend: self.legend(layer),
            ..SheetOptions::default()
        }
    }

    /// The part of the photo that the network saw, in the size of a cell.
    fn small_view(&self, cell: usize) -> RgbImage {
        let photo = self.view();
        resample(photo, Region::all(photo), cell, cell, Filter::Bicubic)
    }

    fn all_exits(&self, layer: &Layer, photo: &RgbImage) -> Vec<RgbImage> {
        (0..self.findings.exits()).map(|i| self.picture(layer, i, photo)).collect()
    }

    /// A cell for each exit, which says what the exit predicts; where it explains several classes,
    /// which one it is and how likely.
    fn cells<'a>(&'a self, layer: &Layer, pictures: &'a [RgbImage]) -> Vec<ExitCell<'a>> {
        let cell = |(i, picture): (usize, &'a RgbImage)| {
            let finding = self.findings.at(i, layer.rank);
            let class = if self.style.layers.ranks > 1 { finding.target } else { finding.prediction.class };
            ExitCell {
                exit: finding.prediction.exit,
                label: &self.style.labels[class],
                probability: finding.prediction.probabilities[class],
                picture,
            }
        };
        pictures.iter().enumerate().map(cell).collect()
    }

    fn colours(&self) -> &'static [[u8; 3]; 256] {
        self.style.looks.look.colors()
    }

    fn legend(&self, layer: &Layer) -> Legend {
        let own = "each exit on its own scale";
        let signed = |low: &str, high: &str, note: &str| Legend {
            bar: Some((Colormap::RdBuR.table(), [low.into(), high.into()])),
            note: note.into(),
        };
        match (layer.kind, layer.minus) {
            (_, Some(Minus::Exit(exit))) => {
                signed(&format!("exit {exit}"), "this exit", "each map on its own scale before")
            }
            (_, Some(Minus::RunnerUp)) => signed("next class", "this class", own),
            (_, Some(Minus::Class(class))) => signed(&self.style.labels[class], "this class", own),
            (Kind::Pixels { method }, _) => self.pixels_legend(self.style.pixels[method], signed, own),
            _ => self.heat_legend(layer),
        }
    }

    fn pixels_legend(
        &self,
        method: PixelMethod,
        signed: impl Fn(&str, &str, &str) -> Legend,
        own: &str,
    ) -> Legend {
        if self.is_articles() && method == PixelMethod::InputGradient {
            return Legend { bar: None, note: "twice the gradient, what is negative cut off".into() };
        }
        match pixel_view(method) {
            PixelView::Signed => signed("against", "for", own),
            PixelView::Magnitude => Legend::heatmap(Colormap::Gray.table()),
            PixelView::Color => Legend { bar: None, note: format!("grey: nothing; {own}") },
        }
    }

    fn heat_legend(&self, layer: &Layer) -> Legend {
        let look = &self.style.looks.look;
        let legend = Legend::heatmap(self.colours());
        match (look.style, self.scale(layer)) {
            (Some(style), _) => {
                Legend { note: format!("as {} draws it; {}", style.title(), legend.note), ..legend }
            }
            // The photo alone: no colour stands for anything.
            (None, _) if look.heat_alpha == 0.0 => Legend { bar: None, ..legend },
            (None, Some((low, high))) => {
                let ends = [low, high].map(significant);
                Legend { bar: Some((self.colours(), ends)), note: "one scale for all exits".into() }
            }
            (None, None) => legend,
        }
    }
}

/// Three digits of `x`.
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
    fn three_digits_of_a_number_are_written() {
        let numbers = [0.0, 0.012_345, 1.5, 123.4, 98765.0, 1.234e-7, -0.5].map(significant);
        assert_eq!(numbers, ["0", "0.0123", "1.50", "123", "98765", "1.23e-7", "-0.500"]);
    }
}
