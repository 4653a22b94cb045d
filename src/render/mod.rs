//! Rendering: overlays, film strips, figures and charts as images. Nothing here writes a file.
//!
//! An [`OverlayStyle`] draws one map over a photo; [`strip`], [`grid`] and [`figure`] arrange such pictures on
//! a [`sheet`]; [`chart`] draws charts as SVG or pixels; [`styles`] reproduces the pictures of other tools.

mod canvas;
#[doc(hidden)]
pub mod chart;
#[doc(hidden)]
pub mod color;
#[doc(hidden)]
pub mod contour;
#[doc(hidden)]
pub mod figure;
mod glyphs;
#[doc(hidden)]
pub mod grid;
#[doc(hidden)]
pub mod outlines;
#[doc(hidden)]
pub mod overlay;
#[doc(hidden)]
pub mod overlay_style;
#[doc(hidden)]
pub mod pixels;
#[doc(hidden)]
pub mod placeholder;
#[doc(hidden)]
pub mod sheet;
#[doc(hidden)]
pub mod strip;
#[doc(hidden)]
pub mod styles;
mod text;

pub use color::Colormap;
pub use overlay_style::{OverlayInput, OverlayStyle};
#[doc(hidden)]
pub use text::can_draw;
