//! From an image file to what the network reads, and back to a file. The only place that knows the codecs.

pub mod bounding_box;
mod complete;
mod decode;
mod encode;
pub mod heatmap;
mod jpeg;
mod prepare;
mod resample;
pub mod rgb_image;
mod sniff;

pub use decode::{MAX_BYTES, MAX_PIXELS, decode, open};
pub use encode::{encode_jpeg, encode_png};
pub use prepare::{Prepared, ResizePolicy, prepare};
pub use resample::{Filter, Region, resample, resample_map};
pub use sniff::is_image;
