//! Which pictures of an image are written, and in which format: `--pictures`, `--format-of-pictures`.

use crate::imaging::rgb_image::RgbImage;
use crate::imaging::{encode_jpeg, encode_png, encode_webp};

/// The pictures of an image that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum PictureSet {
    /// Every picture: each layer at each exit, film strips and grids.
    All,
    /// Film strips and grids, which show all exits.
    Strip,
    /// No picture.
    None,
}

/// The format of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum PictureFormat {
    /// PNG.
    Png,
    /// JPEG of quality 90 without chroma subsampling.
    Jpeg,
    /// Lossless WebP.
    Webp,
}

/// Quality at which the letters of a film strip have no visible artifacts; [`PictureFormat::Jpeg`] says it in the help.
const JPEG_QUALITY: u8 = 90;

impl PictureSet {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            PictureSet::All => "all",
            PictureSet::Strip => "strip",
            PictureSet::None => "none",
        }
    }
}

impl PictureFormat {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            PictureFormat::Png => "png",
            PictureFormat::Jpeg => "jpeg",
            PictureFormat::Webp => "webp",
        }
    }

    /// The ending of file names, without the dot.
    pub fn ending(self) -> &'static str {
        match self {
            PictureFormat::Jpeg => "jpg",
            PictureFormat::Png | PictureFormat::Webp => self.name(),
        }
    }

    /// The bytes of a file.
    pub fn encode(self, picture: &RgbImage) -> Vec<u8> {
        match self {
            PictureFormat::Png => encode_png(picture),
            PictureFormat::Jpeg => encode_jpeg(picture, JPEG_QUALITY),
            PictureFormat::Webp => encode_webp(picture),
        }
    }
}
