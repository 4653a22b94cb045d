//! `--fit`: the part of a photo that the network's input shows.

use serde_json::Value;

use crate::cli::explain::arrays;
use crate::cli::program::{Place, repository};

/// A photo of 35 x 27 pixels.
fn with_photo() -> Place {
    let place = Place::new();
    place.write("photo.tif", &std::fs::read(repository("tests/golden/odd_images/plain.tif")).unwrap());
    place
}

fn numbers(region: &Value) -> [f64; 4] {
    ["x", "y", "width", "height"].map(|key| region[key].as_f64().unwrap())
}

#[test]
fn the_region_of_the_input_is_in_the_results_and_in_the_arrays() {
    let place = with_photo();
    // 41 x 32 pixels of which columns 4 to 35 stay; 32 x 25 pixels with 4 rows above (3.5) and 3 below.
    let (column, row) = (35.0 / 41.0, 27.0 / 25.0);
    for (fit, expected) in [
        ("crop", [4.0 * column, 0.0, 32.0 * column, 27.0]),
        ("stretch", [0.0, 0.0, 35.0, 27.0]),
        ("pad", [0.0, -4.0 * row, 35.0, 32.0 * row]),
    ] {
        let line = format!("explain photo.tif -o {fit} --exits 1 --size 16 --json --fit {fit} --boxes 10%");
        let run = place.msdcam(&line);
        assert_eq!(run.code, 0, "{run:?}");
        let result = &run.json()[0];
        let near = |found: [f64; 4]| found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(near(numbers(&result["region"])), "{fit}: {result}");
        let npz = arrays(&place.read(&format!("{fit}/photo.npz")));
        let region: [f64; 4] = npz["region"].1[..].try_into().unwrap();
        assert!(near(region), "{fit}: {region:?}");
        let found = &result["exits"][0]["box"];
        let side = |at: &str, length: &str| found[at].as_u64().unwrap() + found[length].as_u64().unwrap();
        assert!(side("x", "width") <= 35 && side("y", "height") <= 27, "{fit}: {found}");
    }
}

#[test]
fn every_command_that_reads_photos_fits_them() {
    let place = with_photo();
    place.write("set/cat/photo.tif", &place.read("photo.tif"));
    for command in ["classify photo.tif --exits 10 --json", "faithfulness photo.tif --exits 10 --json"] {
        let fits =
            ["crop", "stretch", "pad"].map(|fit| place.msdcam(&format!("{command} --fit {fit}")).stdout);
        assert!(fits[0] != fits[1] && fits[1] != fits[2] && fits[0] != fits[2], "{command}");
        let default = place.msdcam(command).json();
        let crop = place.msdcam(&format!("{command} --fit crop")).json();
        assert_eq!(default[0]["exits"], crop[0]["exits"], "{command}");
    }
    let run = place.msdcam("evaluate set --json --fit pad");
    assert_eq!((run.code, run.json()[0]["fit"].as_str()), (0, Some("pad")), "{run:?}");
    place
        .msdcam("classify photo.tif --fit squash")
        .refused(2, &["squash", "expected crop, crop256, stretch or pad"]);
}
