//! Charts. Each type lays itself out as a [`Drawing`], which is written as SVG or drawn as pixels.

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
pub use bars::{Bar, BarChart};
pub use drawing::Drawing;
pub use frame::ChartSize;
pub use lines::{LineChart, Series, YOrigin};
pub use matrix::MatrixChart;
pub use raster::Theme;
pub use reliability::{ReliabilityBin, ReliabilityDiagram};
