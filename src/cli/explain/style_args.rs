//! Picture options: `--colormap`, `--style` and related ones.

use crate::cli::values::{level, opacity};
use crate::imaging::bounding_box::Threshold;
use crate::render::styles::{ToolStyle, article};
use crate::render::{Colormap, OverlayStyle};
use crate::{Error, Result};

use super::picture_set::{PictureFormat, PictureSet};

/// Picture options, as given.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Picture options")]
pub struct StyleArgs {
    /// Pictures to write: all, strip (the film strips and grids, which show all exits) or none [default:
    /// all; of a data set strip, in the article's style all]
    #[arg(long, value_name = "all|strip|none")]
    pictures: Option<PictureSet>,
    /// Format of the pictures: png, jpeg (quality 90) or webp (lossless) [default: png]
    #[arg(long, value_name = "png|jpeg|webp")]
    format_of_pictures: Option<PictureFormat>,
    /// Longer side of the overlays in pixels; the other follows from the network's input [default: 512]
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u16).range(16..=4096))]
    size: Option<u16>,
    /// Colormap of the heatmaps: jet, viridis, turbo, inferno, magma, cividis, grey or rdbu_r
    /// [default: jet]
    #[arg(long, value_name = "NAME")]
    colormap: Option<Colormap>,
    /// Opacity of the heatmap in an overlay, from 0 (photo only) to 1 [default: 0.5]
    #[arg(long, visible_alias = "alpha", value_name = "FRACTION", value_parser = opacity, allow_hyphen_values = true)]
    heat_alpha: Option<f32>,
    /// Color scale: own (each exit's map has its own) or shared (one for all exits, so that colors
    /// can be compared) [default: own]
    #[arg(long, value_name = "own|shared")]
    scale: Option<Scale>,
    /// Draw contour lines on the heatmaps at these fractions of the scale [default levels: 25%,50%,75%]
    #[arg(
        long,
        value_name = "LEVELS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "25%,50%,75%",
        value_delimiter = ',',
        value_parser = level
    )]
    contours: Vec<f32>,
    /// Draw a box around the largest connected region of each heatmap above a threshold: a fraction
    /// of the maximum (15% in the Grad-CAM paper) or otsu. The results have the box in pixels of
    /// the photo
    #[arg(long, value_name = "15%|otsu|FRACTION", allow_hyphen_values = true)]
    boxes: Option<Threshold>,
    /// Draw heatmaps exactly as another tool does: article (also its file names, of 512 pixels, JPEG),
    /// pytorch-grad-cam, torchcam or captum
    #[arg(long, value_name = "NAME")]
    style: Option<ToolStyle>,
}

/// The extent of a color scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Scale {
    Own,
    Shared,
}

/// Picture options, resolved.
#[derive(Debug, Clone)]
pub struct PictureOptions {
    pub overlay: OverlayStyle,
    /// Whether the heatmaps of all exits share a scale.
    pub shared_scale: bool,
    pub boxes: Option<Threshold>,
    /// Longer side of the overlays, pixels.
    pub side: usize,
}

impl StyleArgs {
    /// Checks the options. `has_magnitudes` is false if the maps are scaled to [0, 1] before they
    /// are drawn, as fused and smoothed ones are.
    ///
    /// # Errors
    /// When two options contradict each other.
    pub fn resolve(&self, has_magnitudes: bool) -> Result<PictureOptions> {
        let shared = self.scale == Some(Scale::Shared);
        if shared && !has_magnitudes {
            return Err(Error::usage(
                "scale shared: each fused or smoothed map is scaled to [0, 1] on its own",
            ));
        }
        if let Some(style) = self.style {
            let fixed = [
                ("colormap", self.colormap.is_some()),
                ("heat-alpha", self.heat_alpha.is_some()),
                ("scale", self.scale.is_some()),
                ("size", self.size.is_some() && style == ToolStyle::Article),
                ("format-of-pictures", self.format_of_pictures.is_some() && style == ToolStyle::Article),
            ];
            if let Some((flag, _)) = fixed.into_iter().find(|(_, given)| *given) {
                return Err(Error::usage(format!("style {style}: sets its own {flag}; omit --{flag}")));
            }
        }
        let side = match self.style {
            Some(ToolStyle::Article) => article::SIDE,
            _ => self.size.map_or(512, usize::from),
        };
        let default = OverlayStyle::default();
        let overlay = OverlayStyle {
            style: self.style,
            colormap: self.colormap.unwrap_or(default.colormap),
            heat_alpha: self.heat_alpha.unwrap_or(default.heat_alpha),
            contours: self.contours.clone(),
        };
        Ok(PictureOptions { overlay, shared_scale: shared, boxes: self.boxes, side })
    }
}

impl StyleArgs {
    /// Which pictures are written, of a data set or of photos given by name.
    pub fn picture_set(&self, is_set: bool) -> PictureSet {
        let is_article = self.style == Some(ToolStyle::Article);
        self.pictures.unwrap_or(if is_set && !is_article { PictureSet::Strip } else { PictureSet::All })
    }

    /// The format of the pictures.
    pub fn picture_format(&self) -> PictureFormat {
        self.format_of_pictures.unwrap_or(PictureFormat::Png)
    }
}

impl PictureOptions {
    /// Adds the options to a manifest.
    pub fn add_to_manifest(&self, manifest: &mut serde_json::Value) {
        manifest["size"] = self.side.into();
        match self.overlay.style {
            Some(style) => manifest["style"] = style.name().into(),
            None => {
                manifest["colormap"] = self.overlay.colormap.name().into();
                manifest["heat_alpha"] = short(self.overlay.heat_alpha).into();
                manifest["scale"] = if self.shared_scale { "shared" } else { "own" }.into();
            }
        }
        if !self.overlay.contours.is_empty() {
            manifest["contours"] = self.overlay.contours.iter().map(|&level| short(level)).collect();
        }
        match self.boxes {
            Some(Threshold::Share(share)) => manifest["boxes"] = short(share).into(),
            Some(Threshold::Otsu) => manifest["boxes"] = "otsu".into(),
            None => {}
        }
    }

    /// The meaning of contour lines and boxes, for the header of a sheet; empty without them.
    pub fn remark(&self) -> String {
        let levels: Vec<String> = self.overlay.contours.iter().map(|&level| percentage(level)).collect();
        let lines = match &levels[..] {
            [] => None,
            [level] => Some(format!("Lines: {level} % of the scale.")),
            [levels @ .., last] => Some(format!("Lines: {} and {last} % of the scale.", levels.join(", "))),
        };
        let part = "Box: the largest part of each map above";
        let found = self.boxes.map(|threshold| match threshold {
            Threshold::Share(share) => format!("{part} {} % of its maximum.", percentage(share)),
            Threshold::Otsu => format!("{part} Otsu's threshold."),
        });
        lines.into_iter().chain(found).collect::<Vec<_>>().join(" ")
    }
}

/// `x` as the f64 with the same shortest decimal form: 0.15, not 0.15000000596.
fn short(x: f32) -> f64 {
    x.to_string().parse().unwrap_or(f64::from(x))
}

fn percentage(share: f32) -> String {
    let text = format!("{:.1}", f64::from(share) * 100.0);
    text.trim_end_matches(".0").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remark_explains_contours_and_boxes() {
        let remark = |contours: &[f32], boxes| {
            let overlay = OverlayStyle { contours: contours.to_vec(), ..OverlayStyle::default() };
            PictureOptions { overlay, shared_scale: false, boxes, side: 512 }.remark()
        };
        assert_eq!(remark(&[], None), "");
        assert_eq!(remark(&[0.5], None), "Lines: 50 % of the scale.");
        assert_eq!(
            remark(&[0.25, 0.5, 0.125], Some(Threshold::Share(0.15))),
            "Lines: 25, 50 and 12.5 % of the scale. \
             Box: the largest part of each map above 15 % of its maximum."
        );
    }
}
