//! Bounding boxes against OpenCV and contour lines against contourpy; see `golden/make_shapes.py`.

use crate::common::golden::Golden;
use msdcam::imaging::bounding_box::{BoundingBox, Threshold};
use msdcam::imaging::heatmap::{Heatmap, MapStatus};
use msdcam::render::contour::contour;

const MAPS: [&str; 3] = ["noise", "blobs", "wide"];

fn heat(golden: &Golden, name: &str) -> Heatmap {
    let (dims, values) = golden.array(&format!("{name}.heat"));
    Heatmap { width: dims[1], height: dims[0], values, status: MapStatus::Ok, min: 0.0, max: 1.0 }
}

#[test]
fn boxes_and_otsus_thresholds_are_opencvs() {
    let golden = Golden::load("shapes");
    let thresholds = [Threshold::Share(0.15), Threshold::Share(0.3), Threshold::Share(0.7), Threshold::Otsu];
    for name in MAPS {
        let heat = heat(&golden, name);
        let (_, expected) = golden.array(&format!("{name}.box"));
        for (threshold, want) in thresholds.iter().zip(expected.chunks_exact(5)) {
            let found = BoundingBox::find(&heat, *threshold).unwrap();
            let place = [found.x, found.y, found.width, found.height].map(|v| v as f32);
            assert_eq!(place, want[..4], "{name} at {threshold}");
            assert!((found.threshold - want[4]).abs() < 1e-6, "{name} at {threshold}: {found:?}");
            let inside: f32 = (found.y..found.y + found.height)
                .flat_map(|y| (found.x..found.x + found.width).map(move |x| (x, y)))
                .map(|(x, y)| heat.values[y * heat.width + x])
                .sum();
            assert!((found.heat - inside / heat.values.iter().sum::<f32>()).abs() < 1e-4, "{found:?}");
        }
    }
}

/// The largest distance of a point in `from` to the nearest in `to`; infinite where one is empty.
fn farthest(from: &[(f32, f32)], to: &[(f32, f32)]) -> f32 {
    let nearest =
        |p: &(f32, f32)| to.iter().map(|q| (p.0 - q.0).hypot(p.1 - q.1)).fold(f32::INFINITY, f32::min);
    from.iter().map(nearest).reduce(f32::max).unwrap_or(f32::INFINITY)
}

#[test]
fn contour_lines_cross_the_grid_where_contourpys_do() {
    let golden = Golden::load("shapes");
    for name in MAPS {
        let heat = heat(&golden, name);
        for level in [0.25, 0.5, 0.75] {
            let ours: Vec<(f32, f32)> = contour(&heat, level).into_iter().flatten().collect();
            let (_, theirs) = golden.array(&format!("{name}.contour.{level}"));
            let theirs: Vec<(f32, f32)> = theirs.chunks_exact(2).map(|p| (p[0], p[1])).collect();
            let apart = farthest(&ours, &theirs).max(farthest(&theirs, &ours));
            assert!(apart < 1e-4, "{name} at {level}: {apart} pixels apart");
        }
    }
}
