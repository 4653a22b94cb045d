//! ONNX files on the command line.

use std::path::PathBuf;

use crate::cli::explain::arrays;
use crate::cli::program::{Place, repository};

fn stored(name: &str) -> PathBuf {
    repository("tests/onnx").join(name)
}

/// A place with the network `name`, called `net.onnx`, and a photo of 35 x 27 pixels.
fn with_network(name: &str) -> Place {
    let place = Place::new();
    place.write("net.onnx", &std::fs::read(stored(name)).unwrap());
    place.write("photo.tif", &std::fs::read(repository("tests/golden/odd_images/plain.tif")).unwrap());
    place
}

#[test]
fn every_command_takes_an_onnx_file() {
    let place = with_network("networks/earlyon_legacy.onnx");
    let run = place.msdcam("explain photo.tif --weights net.onnx -o out --json");
    assert_eq!(run.code, 0, "{run:?}");
    let assumed: Vec<&str> = run.stderr.lines().filter(|line| line.starts_with("assumed: ")).collect();
    assert_eq!(assumed.len(), 2, "{}", run.stderr);
    assert!(assumed[0].ends_with("(--normalize)") && assumed[1].ends_with("(--labels)"), "{assumed:?}");
    assert_eq!(run.json()[0]["exits"].as_array().unwrap().len(), 3);
    // The taps differ in size.
    let npz = arrays(&place.read("out/photo.npz"));
    let sizes: Vec<&Vec<usize>> = (1..=3).map(|exit| &npz[&format!("cam.exit{exit}")].0).collect();
    assert!(sizes[0] != sizes[2] && sizes.iter().all(|dims| dims.len() == 2), "{sizes:?}");
    let manifest: serde_json::Value = serde_json::from_slice(&place.read("out/manifest.json")).unwrap();
    assert_eq!(manifest["input"]["mean"][0].as_f64().map(|x| x as f32), Some(0.485), "{manifest}");

    place.write("set/0/a.tif", &place.read("photo.tif"));
    place.write("set/1/a.tif", &place.read("photo.tif"));
    for line in [
        "classify photo.tif --weights net.onnx --early-exit 0.01 -q",
        "evaluate set --weights net.onnx --labels-by number -q -o eval",
        "explain set --weights net.onnx --labels-by none -o run -q --method grad-cam,layer-cam --size 32",
        "report run",
        "faithfulness photo.tif --weights net.onnx -q -o measured",
        "bench --weights net.onnx --seconds 0.1 --exits all -q",
    ] {
        let run = place.msdcam(line);
        assert_eq!(run.code, 0, "{line}: {run:?}");
        assert!(!run.stderr.contains("error"), "{line}: {run:?}");
    }
    let run = place.msdcam("classify photo.tif --weights net.onnx --early-exit 0.01 --json -q");
    assert_eq!(run.json()[0]["exits"].as_array().unwrap().len(), 1, "it stops at the first exit: {run:?}");
}

#[test]
fn options_and_files_beside_it_say_what_the_file_leaves_open() {
    let place = with_network("networks/plain_legacy.onnx");
    place.write("names.txt", b"ant\nbee\ncat\ndog\nelk\nfox\n");
    let run = place
        .msdcam("explain photo.tif --weights net.onnx --labels names.txt --normalize none -o out --json");
    assert_eq!(run.code, 0, "{run:?}");
    assert!(!run.stderr.contains("assumed"), "{}", run.stderr);
    let name = run.json()[0]["exits"][0]["class_name"].as_str().unwrap().to_string();
    assert!(["ant", "bee", "cat", "dog", "elk", "fox"].contains(&name.as_str()), "{name}");
    place.write(
        "net.json",
        br#"{"pretrained_cfg": {"mean": [0, 0, 0], "std": [1, 1, 1]}, "label_names": ["a", "b", "c", "d", "e", "f"]}"#,
    );
    let run = place.msdcam("classify photo.tif --weights net.onnx --json");
    assert!(run.stderr.contains("normalization from net.json"), "{}", run.stderr);
    assert!(run.stderr.contains("class names from net.json"), "{}", run.stderr);
    place.msdcam("classify photo.tif --weights net.onnx --labels imagenet").refused(2, &["6 classes"]);
    place.msdcam("classify photo.tif --weights net.onnx --input-size 64").refused(4, &["32x32", "64x64"]);
    place.msdcam("classify photo.tif --weights net.onnx --input-size 0x3").refused(2, &["expected HxW"]);
    place.msdcam("classify photo.tif --normalize none").refused(2, &["are for ONNX files"]);
}

#[test]
fn inspect_lists_exits_and_taps_or_what_is_not_supported() {
    let place = with_network("networks/earlyon_legacy.onnx");
    let run = place.msdcam("inspect net.onnx");
    assert_eq!(run.code, 0, "{run:?}");
    for part in ["ONNX, opset 17 by pytorch", "3 exits", "multiply-adds", "\nexit1 ", "\nexit3 "] {
        assert!(run.stdout.contains(part), "{part}: {}", run.stdout);
    }
    let place = with_network("bad/three_operators.onnx");
    let run = place.msdcam("inspect net.onnx");
    assert_eq!(run.code, 0, "{run:?}");
    for part in ["LSTM (1)", "Gelu (1)", "Resize (1)"] {
        assert!(run.stdout.contains(part), "{part}: {}", run.stdout);
    }
    place.msdcam("explain photo.tif --weights net.onnx").refused(4, &["net.onnx", "LSTM (1)"]);
}

/// Field `number` of a message, with `bytes` as its value.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut length = bytes.len();
    let mut field = vec![number << 3 | 2];
    while length >= 0x80 {
        field.push(length as u8 | 0x80);
        length >>= 7;
    }
    field.push(length as u8);
    field.extend_from_slice(bytes);
    field
}

#[test]
fn large_and_deep_graphs_end_in_one_line() {
    let place = with_network("networks/plain_legacy.onnx");
    let file = |graph: &[u8]| [&[0x08, 8][..], &field(7, graph), &field(8, &[0x10, 17])].concat();
    place.write("many.onnx", &file(&field(1, &field(4, b"Relu")).repeat(100_000)));
    place
        .msdcam("classify photo.tif --weights many.onnx")
        .refused(4, &["many.onnx", "more than 50000 nodes"]);
    // Attributes of graphs inside each other, which are passed over.
    let mut deep = Vec::new();
    for _ in 0..2_000 {
        deep = field(6, &field(1, &field(5, &deep)));
    }
    place.write("deep.onnx", &file(&field(1, &field(5, &deep))));
    place.msdcam("classify photo.tif --weights deep.onnx").refused(4, &["deep.onnx", "no input"]);
    let whole = place.read("net.onnx");
    for cut in [3, 50, whole.len() / 2, whole.len() - 1] {
        place.write("cut.onnx", &whole[..cut]);
        place.msdcam("classify photo.tif --weights cut.onnx").refused(4, &["cut.onnx"]);
    }
}
