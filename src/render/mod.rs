//! Rendering: overlays, film strips, figures and charts as images. Nothing here writes a file.
//!
//! An [`OverlayStyle`] draws one map over a photo; [`strip`], [`grid`] and [`figure`] arrange such pictures on
//! a [`sheet`]; [`chart`] draws charts as SVG or pixels; [`styles`] reproduces the pictures of other tools.

mod canvas;
pub mod chart;
pub mod color;
pub mod contour;
pub mod figure;
pub mod grid;
pub mod outlines;
pub mod overlay;
pub mod overlay_style;
pub mod pixels;
pub mod placeholder;
pub mod sheet;
pub mod strip;
pub mod styles;
mod text;

pub use color::Colormap;
pub use overlay_style::OverlayStyle;
