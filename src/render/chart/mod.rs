//! Charts. Each kind lays itself out as a [`Drawing`], which becomes SVG text or pixels.

mod axis;
mod bars;
mod drawing;
mod frame;
mod lines;
mod matrix;
mod raster;
mod reliability;
mod svg;

pub(crate) use axis::thousands;
pub use bars::{Bar, Bars};
pub use drawing::Drawing;
pub use frame::Size;
pub use lines::{From, Lines, Series};
pub use matrix::Matrix;
pub use raster::Theme;
pub use reliability::{Bin, Reliability};
