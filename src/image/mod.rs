//! From an image file to what the network reads, and back to a file. The only place that knows the codecs.

mod complete;
mod decode;
mod jpeg;
mod png;
mod prepare;
mod resample;
mod sniff;

pub use decode::{MAX_BYTES, MAX_PIXELS, decode, open};
pub use png::encode_png;
pub use prepare::{Prepared, prepare};
pub use resample::{Filter, Region, resample};
pub use sniff::is_image;
