//! Images: photos decoded and prepared for a model, heatmaps, and pictures encoded. The only module that
//! uses image codecs.
//!
//! ```text
//! file ─ sniff ─ complete ─ decode (jpeg, png, raster) ─ RgbImage ─ prepare (resample) ─ (3, height, width) tensor
//! activation map ─ heatmap ─ bounding_box
//! RgbImage ─ encode ─ file
//! ```

#[doc(hidden)]
pub mod bounding_box;
mod complete;
mod decode;
mod encode;
mod exif;
#[doc(hidden)]
pub mod heatmap;
mod jpeg;
#[doc(hidden)]
pub mod photo_memory;
mod png;
mod prepare;
mod raster;
mod resample;
#[doc(hidden)]
pub mod rgb_image;
mod samples;
mod sniff;
mod tiff;
mod xmp;

/// What to do with a file that is not supported, in errors.
const CONVERT: &str = "convert it, e.g. to PNG with ImageMagick";

pub use bounding_box::{BoundingBox, Threshold};
pub use decode::decode;
#[doc(hidden)]
pub use decode::{HeldImage, MAX_BYTES, MAX_PIXELS};
pub use encode::{encode_jpeg, encode_png, encode_webp};
pub use heatmap::{Heatmap, MapStatus, common_scale};
pub use prepare::{Prepared, ResizePolicy};
#[doc(hidden)]
pub use prepare::{prepare, with_longer_side};
pub use resample::Region;
#[doc(hidden)]
pub use resample::{Filter, resample, resample_map};
pub use rgb_image::RgbImage;
#[doc(hidden)]
pub use sniff::is_image;
