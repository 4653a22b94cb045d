//! How the pictures of a run look: `--colormap`, `--style` and what belongs to them.

use crate::imaging::bounding_box;
use crate::imaging::bounding_box::Threshold;
use crate::render::styles::{ToolStyle, article};
use crate::render::{Colormap, OverlayStyle};
use crate::{Error, Result};

/// A look in words.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "How it looks")]
pub struct StyleArgs {
    /// Long side of the overlays, pixels [default: 512]
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u16).range(16..=4096))]
    size: Option<u16>,
    /// Colours of the heat maps: jet, viridis, turbo, inferno, magma, cividis, grey or rdbu_r
    /// [default: jet]
    #[arg(long, value_name = "NAME")]
    colormap: Option<Colormap>,
    /// How much of an overlay is heat, from 0, the photo alone, to 1 [default: 0.5]
    #[arg(long, visible_alias = "alpha", value_name = "SHARE", value_parser = opacity, allow_hyphen_values = true)]
    heat_alpha: Option<f32>,
    /// Whether each exit's map has its own scale, or all exits share one, so that the colours can be
    /// compared [default: own]
    #[arg(long, value_name = "own|shared")]
    scale: Option<Scale>,
    /// Contour lines on the heat maps, at these shares of the scale [default levels: 25%,50%,75%]
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
    /// A box around the largest connected part of each heat map above a threshold, which is a share
    /// of the maximum (the Grad-CAM paper takes 15%) or otsu; drawn, and in the results in the
    /// photo's pixels
    #[arg(long, value_name = "15%|otsu|SHARE", allow_hyphen_values = true)]
    boxes: Option<Threshold>,
    /// The heat maps' pictures as another tool draws them, to the pixel: article (with its file
    /// names, 512 x 512, JPEG), pytorch-grad-cam, torchcam or captum
    #[arg(long, value_name = "NAME")]
    style: Option<ToolStyle>,
}

/// What the ends of the colours stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Scale {
    Own,
    Shared,
}

/// How a run's pictures look.
#[derive(Debug, Clone)]
pub struct PictureOptions {
    pub look: OverlayStyle,
    /// Whether the heat maps of all exits share a scale.
    pub shared: bool,
    pub boxes: Option<Threshold>,
    /// Long side of the overlays.
    pub side: usize,
}

impl StyleArgs {
    /// The look. `magnitudes` says whether maps have such, which fused and smoothed ones have not.
    ///
    /// # Errors
    /// When two of the words contradict each other.
    pub fn looks(&self, magnitudes: bool) -> Result<PictureOptions> {
        let shared = self.scale == Some(Scale::Shared);
        if shared && !magnitudes {
            return Err(Error::usage(
                "scale shared: maps that were fused or smoothed were scaled to [0, 1] before, each on its own",
            ));
        }
        if let Some(style) = self.style {
            let fixed = [
                ("colormap", self.colormap.is_some()),
                ("heat-alpha", self.heat_alpha.is_some()),
                ("scale", self.scale.is_some()),
                ("size", self.size.is_some() && style == ToolStyle::Article),
            ];
            if let Some((flag, _)) = fixed.into_iter().find(|(_, given)| *given) {
                return Err(Error::usage(format!("style {style}: has its own {flag}; leave --{flag} out")));
            }
        }
        let side = match self.style {
            Some(ToolStyle::Article) => article::SIDE,
            _ => self.size.map_or(512, usize::from),
        };
        let default = OverlayStyle::default();
        let look = OverlayStyle {
            style: self.style,
            colormap: self.colormap.unwrap_or(default.colormap),
            heat_alpha: self.heat_alpha.unwrap_or(default.heat_alpha),
            contours: self.contours.clone(),
        };
        Ok(PictureOptions { look, shared, boxes: self.boxes, side })
    }
}

impl PictureOptions {
    /// Adds to a manifest how the pictures look.
    pub fn about(&self, about: &mut serde_json::Value) {
        about["size"] = self.side.into();
        match self.look.style {
            Some(style) => about["style"] = style.name().into(),
            None => {
                about["colormap"] = self.look.colormap.name().into();
                about["heat_alpha"] = short(self.look.heat_alpha).into();
                about["scale"] = if self.shared { "shared" } else { "own" }.into();
            }
        }
        if !self.look.contours.is_empty() {
            about["contours"] = self.look.contours.iter().map(|&level| short(level)).collect();
        }
        match self.boxes {
            Some(Threshold::Share(share)) => about["boxes"] = short(share).into(),
            Some(Threshold::Otsu) => about["boxes"] = "otsu".into(),
            None => {}
        }
    }

    /// What the lines in the pictures mean; empty where there are none.
    pub fn remark(&self) -> String {
        let levels: Vec<String> = self.look.contours.iter().map(|&level| percentage(level)).collect();
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

/// The number that people would write for `x`: 0.15, not what it is in f32.
fn short(x: f32) -> f64 {
    x.to_string().parse().unwrap_or(f64::from(x))
}

fn percentage(share: f32) -> String {
    let text = format!("{:.1}", f64::from(share) * 100.0);
    text.trim_end_matches(".0").into()
}

fn opacity(text: &str) -> Result<f32, String> {
    let given = bounding_box::share(text).filter(|share| (0.0..=1.0).contains(share));
    given.ok_or_else(|| "expected a share from 0 to 1".into())
}

fn level(text: &str) -> Result<f32, String> {
    let given = bounding_box::share(text).filter(|&share| share > 0.0 && share < 1.0);
    given.ok_or_else(|| "expected levels between 0 and 1, such as 0.5 or 25%,50%".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remark_says_what_lines_and_boxes_mean() {
        let remark = |contours: &[f32], boxes| {
            let look = OverlayStyle { contours: contours.to_vec(), ..OverlayStyle::default() };
            PictureOptions { look, shared: false, boxes, side: 512 }.remark()
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
