//! From maps to pictures. Nothing here writes a file.

pub mod chart;
pub mod colour;
pub mod contour;
pub mod figure;
pub mod grid;
pub mod lines;
pub mod look;
pub mod overlay;
pub mod page;
pub mod pixels;
pub mod reason;
pub mod strip;
pub mod styles;

mod canvas;
mod text;

pub use colour::Colormap;
pub use look::Look;
