//! From maps to pictures. Nothing here writes a file.

pub mod chart;
pub mod colour;
pub mod overlay;
pub mod strip;

mod canvas;
mod text;

pub use colour::Colormap;
