//! Images: photos decoded and prepared for a model, heatmaps, and pictures encoded. The only module that
//! uses image codecs.
//!
//! ```text
//! file ─ sniff ─ complete ─ decode (jpeg) ─ RgbImage ─ prepare (resample) ─ (3, height, width) tensor
//! activation map ─ heatmap ─ bounding_box
//! RgbImage ─ encode ─ file
//! ```

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
