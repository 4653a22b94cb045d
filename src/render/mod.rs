//! From maps to pictures. Nothing here writes a file.

pub mod chart;
pub mod colour;
pub mod heat;
pub mod overlay;
pub mod strip;

mod canvas;
mod text;

pub use colour::Colormap;
pub use heat::{HeatMap, Status};
