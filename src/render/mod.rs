//! From maps to pictures. Nothing here writes a file.

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
