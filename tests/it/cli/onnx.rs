//! ONNX files on the command line.

use std::path::PathBuf;

use crate::cli::explain::arrays;
use crate::cli::program::{Place, repository};
#[cfg(target_os = "linux")]
use crate::common::process::peak;

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
    assert_eq!(manifest["input"]["mean"], serde_json::json!([0.485, 0.456, 0.406]), "{manifest}");

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
    // No checkpoint was converted.
    for file in
        ["out/manifest.json", "run/manifest.json", "eval/evaluation.json", "measured/faithfulness.json"]
    {
        let text = String::from_utf8(place.read(file)).unwrap();
        assert!(!text.contains("source_sha256"), "{file}: {text}");
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
    place
        .msdcam("classify photo.tif --weights net.onnx --labels cifar10")
        .refused(2, &["imagenet, or a file"]);
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
    for part in ["LSTM (1)", "Gelu (1)", "GridSample (1)"] {
        assert!(run.stdout.contains(part), "{part}: {}", run.stdout);
    }
    place.msdcam("explain photo.tif --weights net.onnx").refused(4, &["net.onnx", "LSTM (1)"]);
}

/// Field `number` of a message, with `bytes` as its value.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2], &varint(bytes.len())[..], bytes].concat()
}

/// An integer as protocol buffers have it, the lowest seven bits first.
fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
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
        let hint = if cut > 50 { "is it cut off?" } else { "" };
        place.msdcam("classify photo.tif --weights cut.onnx").refused(4, &["cut.onnx", hint]);
    }
}

/// A network of a convolution and two large fully connected layers: pixels of a 32 x 32 image, `width`, ten classes.
#[cfg(target_os = "linux")]
fn wide(width: usize) -> Vec<u8> {
    let tensor = |name: &str, dims: &[usize], scale: f32| {
        let count: usize = dims.iter().product();
        let elements = (0..count).flat_map(|i| ((i % 13) as f32 * scale).to_le_bytes());
        let dims = dims.iter().flat_map(|&n| [vec![0x08], varint(n)].concat());
        let kind = [0x10, 1];
        let named = field(8, name.as_bytes());
        field(5, &[dims.collect(), kind.to_vec(), named, field(9, &elements.collect::<Vec<u8>>())].concat())
    };
    let node = |op: &str, inputs: &[&str], output: &str| {
        let inputs = inputs.iter().flat_map(|name| field(1, name.as_bytes()));
        // Exporters write fully connected layers with the matrix transposed.
        let transposed = field(5, &[field(1, b"transB"), vec![0x18, 1, 0xa0, 1, 2]].concat());
        let attributes = if op == "Gemm" { transposed } else { Vec::new() };
        field(
            1,
            &[inputs.collect(), field(2, output.as_bytes()), field(4, op.as_bytes()), attributes].concat(),
        )
    };
    let value = |number: u8, name: &str, dims: &[usize]| {
        let dims = dims.iter().flat_map(|&n| field(1, &[vec![0x08], varint(n)].concat()));
        let kind = field(1, &[vec![0x08, 1], field(2, &dims.collect::<Vec<u8>>())].concat());
        field(number, &[field(1, name.as_bytes()), field(2, &kind)].concat())
    };
    let graph = [
        node("Conv", &["image", "w"], "map"),
        node("Relu", &["map"], "features"),
        node("Flatten", &["features"], "flat"),
        node("Gemm", &["flat", "a"], "wide"),
        node("Relu", &["wide"], "relu"),
        node("Gemm", &["relu", "b"], "scores"),
        tensor("w", &[3, 3, 1, 1], 0.1),
        tensor("a", &[width, 3 * 32 * 32], 1e-4),
        tensor("b", &[10, width], 1e-4),
        value(11, "image", &[1, 3, 32, 32]),
        value(12, "scores", &[1, 10]),
    ];
    [&[0x08, 8][..], &field(7, &graph.concat()), &field(8, &[0x10, 17])].concat()
}

/// Weights are read to where they stay, and those of fully connected layers are used there.
#[cfg(target_os = "linux")]
#[test]
fn a_large_network_takes_little_more_memory_than_its_file() {
    let place = with_network("networks/plain_legacy.onnx");
    place.write("small.onnx", &wide(8));
    let file = wide(8192);
    place.write("large.onnx", &file);
    for command in ["inspect", "classify -q photo.tif --device cpu --threads 2 --weights"] {
        let peak = |network: &str| {
            let words: Vec<&str> = command.split(' ').chain([network]).collect();
            peak(place.command(&words).stdout(std::process::Stdio::null()).spawn().unwrap()) as usize * 1024
        };
        let (small, large) = (peak("small.onnx"), peak("large.onnx"));
        let bytes = file.len();
        assert!(
            large > bytes && large - small < bytes / 10 * 13,
            "{command}: {bytes} bytes take {large} bytes of memory, a small file {small}"
        );
    }
}

#[test]
fn a_run_goes_on_only_with_the_same_external_data() {
    let place = with_network("networks/plain_external.onnx");
    let data = "plain_external.onnx.data";
    place.write(data, &std::fs::read(stored("networks").join(data)).unwrap());
    place.write("set/a.tif", &place.read("photo.tif"));
    let line = "explain set --labels-by none --weights net.onnx -o run -q";
    assert_eq!(place.msdcam(line).code, 0);
    let manifest: serde_json::Value = serde_json::from_slice(&place.read("run/manifest.json")).unwrap();
    let digest = manifest["weights"]["external_data_sha256"].as_str().unwrap();
    assert_eq!(digest.len(), 64, "{manifest}");
    let inspected = place.msdcam("inspect net.onnx --json").stdout;
    let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!(inspected["external_data_sha256"], digest);
    let mut other = place.read(data);
    other[1] ^= 1;
    place.write(data, &other);
    place.msdcam(line).refused(2, &["weights.external_data_sha256: the run has", &digest[..40]]);
}
