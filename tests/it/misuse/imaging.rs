//! Wrong calls of pictures, heatmaps and archives.

use std::path::Path;

use msdcam::imaging::{BoundingBox, MapStatus, Region, Threshold, encode_jpeg, encode_png};
use msdcam::render::{OverlayInput, OverlayStyle};
use msdcam::util::npz;
use msdcam::{Heatmap, Result, RgbImage};

use super::Gives::{Panic, Refused, Value};
use super::{VAST, check, shown, small_model};

/// A heatmap of `width` x `height` pixels with these values.
fn heatmap(width: usize, height: usize, values: &[f32]) -> Heatmap {
    Heatmap { width, height, values: values.to_vec(), status: MapStatus::Ok, min: 0.0, max: 1.0 }
}

#[test]
fn pictures_and_heatmaps_have_bounds() {
    check(&[
        ("on_scale of no range", Value("[0.0, 0.0, 1.0, 1.0]"), || {
            shown(Heatmap::on_scale(&[0.0, 0.25, 0.5, 1.0], (1, 4), (1, 4), (0.5, 0.5)).values)
        }),
        ("on_scale of NaN", Value("[0.0, 0.0]"), || {
            shown(Heatmap::on_scale(&[0.0, 1.0], (1, 2), (1, 2), (f32::NAN, f32::NAN)).values)
        }),
        ("on_scale of everything", Value("[0.0, 0.0]"), || {
            shown(Heatmap::on_scale(&[0.0, 1.0], (1, 2), (1, 2), (f32::MIN, f32::MAX)).values)
        }),
        ("Heatmap::new of nothing", Panic("map of 0 x 0 with 0 elements"), || {
            shown(Heatmap::new(&[], (0, 0), (2, 2)))
        }),
        ("Heatmap::new, beyond memory", Panic("not enough memory for a map"), || {
            shown(Heatmap::new(&[0.0], (1, 1), (VAST, 1)).width)
        }),
        ("resized, of other elements", Panic("map of 3 x 2 with 1 elements"), || {
            shown(heatmap(2, 3, &[1.0]).resized(2, 2))
        }),
        ("a box in a map without width", Panic("elements of a heatmap of 2 x 0"), || {
            shown(BoundingBox::find(&heatmap(0, 2, &[1.0, 0.5]), Threshold::Otsu))
        }),
        ("a box in an empty map", Value("None"), || {
            shown(BoundingBox::find(&heatmap(0, 0, &[]), Threshold::Otsu))
        }),
        ("a box in a map of values above 1", Value("Some"), || {
            shown(BoundingBox::find(&heatmap(2, 1, &[7.0, f32::NAN]), Threshold::Otsu))
        }),
        ("a box at no threshold", Value("None"), || {
            shown(BoundingBox::find(&heatmap(2, 1, &[1.0, 0.0]), Threshold::Share(f32::NAN)))
        }),
        ("a box in a photo of no rows", Panic("a heatmap of 0 rows and 4 columns"), || {
            let part = Region { left: 0.0, top: 0.0, right: 4.0, bottom: 4.0 };
            let found = BoundingBox { x: 0, y: 0, width: 1, height: 1, heatmap_share: 1.0, threshold: 0.5 };
            shown(found.in_photo(part, (0, 4), (4, 4)))
        }),
        ("a box of any size", Value("None"), || {
            let part = Region { left: 0.0, top: 0.0, right: 4.0, bottom: 4.0 };
            let (x, width) = (usize::MAX, usize::MAX);
            let found = BoundingBox { x, y: 0, width, height: 1, heatmap_share: 1.0, threshold: 0.5 };
            shown(found.in_photo(part, (4, 4), (4, 4)))
        }),
        ("the view of a wide photo", Value("9 x 9"), || view_of(20_000_000, 1, 9)),
        ("the view of a high photo", Value("9 x 9"), || view_of(1, 20_000_001, 9)),
        ("a view of no size", Panic("0..0 of 0 pixels"), || view_of(7, 5, 0)),
        ("a view beyond memory", Panic("at most 210000000"), || view_of(7, 5, usize::MAX)),
        ("a picture with fewer bytes", Panic("bytes of a picture of 2 x 2"), || {
            shown(RgbImage::new(2, 2, vec![0; 3]))
        }),
        ("a picture whose bytes overflow", Panic("bytes of a picture of"), || {
            shown(RgbImage::new(1 << 33, 1 << 33, Vec::new()))
        }),
        ("a picture beyond memory", Panic("not enough memory for pixels"), || {
            shown(RgbImage::filled(VAST, 1, [0; 3]).width)
        }),
        ("a pixel outside", Panic("pixel (2, 0) of a picture of 2 x 2"), || {
            shown(RgbImage::filled(2, 2, [0; 3]).pixel(2, 0))
        }),
        ("a PNG of nothing", Panic("a picture of 0 x 0"), || {
            shown(encode_png(&RgbImage { width: 0, height: 0, rgb: Vec::new() }).len())
        }),
        ("a JPEG that is too wide", Panic("a picture of 65536 x 1, sides 1 to 65535"), || {
            shown(encode_jpeg(&RgbImage::filled(65536, 1, [0; 3]), 90).len())
        }),
        ("a JPEG of no quality", Panic("a quality of 0"), || {
            shown(encode_jpeg(&RgbImage::filled(2, 2, [0; 3]), 0).len())
        }),
        ("bytes that are no picture", Refused("looks like"), || {
            shown(msdcam::imaging::decode(&[0; 64], Path::new("zeros"))?.width)
        }),
        ("an overlay of another size", Panic("sizes of photo and heatmap"), || {
            let (photo, map) = (RgbImage::filled(3, 3, [0; 3]), [1.0; 4]);
            let heatmap = &Heatmap::new(&[0.0, 1.0], (1, 2), (2, 2));
            let input =
                OverlayInput { photo: &photo, seen: &photo, heatmap, map: &map, size: (2, 2), found: None };
            shown(OverlayStyle::default().draw(input).width)
        }),
        ("an array with a long name", Panic("the name of an array has 70004 bytes"), || {
            let name = "n".repeat(70_000);
            let array = npz::Array { name: &name, shape: &[1], values: npz::Values::F32(&[0.0]) };
            shown(npz::encode(&[array]).len())
        }),
    ]);
}

/// The size of the view of a photo of this size.
fn view_of(width: usize, height: usize, size: usize) -> Result<String> {
    let photo = RgbImage::filled(width, height, [9; 3]);
    let view = small_model().prepare(&photo).view(&photo, size);
    Ok(format!("{} x {}", view.width, view.height))
}
