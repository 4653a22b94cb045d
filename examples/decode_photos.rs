//! Photos as they are before they are brought to a network's input: upright, 8 bits of RGB, without transparency.
//!
//! Writes the photo number N of the command line, from 0, to `FOLDER/N.png`. One that cannot be read is an error of its
//! own.
//!
//!     cargo run --release --example decode_photos -- FOLDER PHOTO...

use std::error::Error;
use std::path::PathBuf;

use msdcam::RgbImage;
use msdcam::imaging::encode_png;

fn main() -> Result<(), Box<dyn Error>> {
    let mut paths = std::env::args_os().skip(1).map(PathBuf::from);
    let folder = paths.next().ok_or("expected a folder and photos")?;
    std::fs::create_dir_all(&folder)?;
    for (number, path) in paths.enumerate() {
        match RgbImage::open(&path) {
            Ok(photo) => std::fs::write(folder.join(format!("{number}.png")), encode_png(&photo))?,
            Err(error) => eprintln!("{error}"),
        }
    }
    Ok(())
}
