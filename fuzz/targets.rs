//! The bodies of the fuzz targets: plain functions of bytes, which the fuzzer and the smoke test both call.
//!
//! Each reads its input as one kind of file or text and asserts what holds of whatever is accepted. Errors are
//! fine, as long as they are one line; panics, hangs and unbounded memory are findings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use msdcam::cli::fuzzing;
use msdcam::dataset::{self, Format};
use msdcam::imaging::photo_memory::PhotoMemory;
use msdcam::imaging::{HeldImage, ResizePolicy, Threshold, decode, encode_png, prepare};
use msdcam::model::msdnet::recognize::recognize;
use msdcam::model::pytorch::Checkpoint;
use msdcam::model::weights::Weights;
use msdcam::model::{ConvertOptions, Normalization, Precision, convert};
use msdcam::report::ImageResult;
use msdcam::run::{RealDisk, RunArrays, Shard, merge, read_results};
use msdcam::util::npz;
use msdcam::{Colormap, Method, Model, Score, Taps};

/// A target: its name, which is also that of its corpus, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 11] = [
    ("arguments", arguments),
    ("boxes", boxes),
    ("checkpoint", checkpoint),
    ("cifar", cifar),
    ("image", image),
    ("npz", npz),
    ("onnx", onnx),
    ("request", request),
    ("run", run),
    ("thresholds", thresholds),
    ("weights", weights),
];

/// A folder of its own for one call, removed when it ends.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a temporary folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file.
    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).expect("a file in a temporary folder");
        path
    }
}

/// The value, or `None` after a look at the message.
fn accepted<T>(result: msdcam::Result<T>) -> Option<T> {
    result.map_err(|error| assert_printable(&error.to_string())).ok()
}

/// Asserts that a message stays on its line, has no control characters, and is not about a mistake of the program.
fn assert_printable(message: &str) {
    assert!(!message.is_empty() && !message.chars().any(char::is_control), "{message:?}");
    assert!(!message.contains("please report"), "{message}");
}

/// A PyTorch checkpoint of any container. What is accepted has finite tensors of their dimensions; what can be
/// converted is read back as the same tensors.
pub fn checkpoint(data: &[u8]) {
    let folder = Folder::new();
    let path = folder.write("a.pth", data);
    let Some(checkpoint) = accepted(Checkpoint::read(&path, None)) else { return };
    checkpoint.notes().iter().for_each(|note| assert!(!note.is_empty()));
    let shapes = checkpoint.shapes();
    for name in shapes.keys() {
        let Some(tensor) = accepted(checkpoint.tensors([name.as_str()])).and_then(|mut t| t.remove(name))
        else {
            continue;
        };
        assert_eq!(
            (&tensor.dims, tensor.data.len()),
            (&shapes[name], tensor.dims.iter().product::<usize>()),
            "{name}"
        );
        assert!(tensor.data.iter().all(|x| x.is_finite()), "{name}");
    }
    let options = ConvertOptions::default();
    let output = folder.path("a.safetensors");
    let Some(conversion) = accepted(convert(&path, &output, &options)) else { return };
    let weights = Weights::read(&output).expect("weights that were just written");
    assert_eq!((&weights.config, weights.tensors.len()), (&conversion.config, conversion.tensors));
    assert_eq!(weights.source_sha256, checkpoint.sha256);
    let network = recognize(&shapes).expect("a network that was just converted");
    for (name, (dims, values)) in &weights.tensors {
        if let Some(source) = network.names.get(name) {
            let tensor =
                &checkpoint.tensors([source.as_str()]).expect("a tensor that was just converted")[source];
            assert_eq!((dims, &values[..]), (&tensor.dims, &tensor.data[..]), "{name}");
        }
    }
}

/// An ONNX file. What is accepted is finite, and its exits have logits and taps.
pub fn onnx(data: &[u8]) {
    let folder = Folder::new();
    let Some(model) = accepted(Model::open(folder.write("a.onnx", data))) else { return };
    for param in model.graph.params() {
        assert_eq!(param.dims.iter().product::<usize>(), param.data.len(), "{}", param.name);
        assert!(param.data.iter().all(|x| x.is_finite()), "{}", param.name);
    }
    let infos = model.tap_infos();
    assert!((1..=model.exits.len()).all(|exit| infos.iter().any(|tap| tap.exits.contains(&exit))));
}

/// A weights file. What is accepted is finite, builds a model, and is the same after it was written and read.
pub fn weights(data: &[u8]) {
    let name = Path::new("a.safetensors");
    let Some(weights) = accepted(Weights::from_bytes(name, data)) else { return };
    for (name, (dims, values)) in &weights.tensors {
        assert_eq!(dims.iter().product::<usize>(), values.len(), "{name}");
        assert!(values.iter().all(|x| x.is_finite()), "{name}");
    }
    let folder = Folder::new();
    let model = accepted(msdcam::Model::open(folder.write("a", data)));
    let model = model.expect("weights that are sound build a model");
    assert_eq!((&model.labels, model.exits.is_empty()), (&weights.labels, false));
    let (bytes, _) = weights.to_bytes(name, Precision::F32).expect("sound weights can be written");
    assert_eq!(Weights::from_bytes(name, &bytes).as_ref(), Ok(&weights));
}

/// A photo. What is accepted has as many pixels as it says, is the same after it was written as PNG and read,
/// and can be prepared for a model. The memory limit is that of the estimate before decoding.
pub fn image(data: &[u8]) {
    let folder = Folder::new();
    let memory = PhotoMemory::new(data.len() as u64 + (6 << 20));
    let Some(held) = accepted(HeldImage::open(&folder.write("a", data), &memory)) else { return };
    let image = held.image;
    assert_eq!(image.rgb.len(), image.width * image.height * 3);
    assert_eq!(decode(&encode_png(&image), Path::new("again")).as_ref(), Ok(&image));
    for policy in [ResizePolicy::CenterCrop, ResizePolicy::Stretch, ResizePolicy::Pad] {
        let prepared = prepare(&image, (24, 32), policy, [0.5; 3], [0.25; 3]);
        assert!(prepared.tensor.len() == 3 * 24 * 32 && prepared.tensor.iter().all(|x| x.abs() <= 2.0));
        let view = prepared.view(&image, 16);
        assert_eq!((view.width, view.height), (16, 12));
    }
}

/// A NumPy archive. An accepted array has as many elements as its shape says, and is the same after it was
/// written and read.
pub fn npz(data: &[u8]) {
    let file = Path::new("a.npz");
    let Some(mut archive) = accepted(npz::Archive::open(file, data)) else { return };
    for name in archive.names().iter().take(8) {
        let Some(floats) = accepted(archive.floats(name)) else { continue };
        assert_eq!(floats.shape.iter().product::<usize>(), floats.values.len());
        let values = npz::Values::F32(&floats.values);
        let bytes = npz::encode(&[npz::Array { name: "a", shape: &floats.shape, values }]);
        let again = npz::Archive::open(file, &bytes).and_then(|mut archive| archive.floats("a"));
        let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        let again = again.expect("an array that was just written");
        assert_eq!((&again.shape, bits(&again.values)), (&floats.shape, bits(&floats.values)));
    }
}

/// A CIFAR file; the first byte says how it is opened. Each image is 32 x 32 and has a label that has a name.
pub fn cifar(data: &[u8]) {
    let Some((&first, data)) = data.split_first() else { return };
    let format = [Format::Cifar10, Format::Cifar100, Format::Auto][usize::from(first) % 3];
    let name = ["test_batch.bin", "a"][usize::from(first / 3) % 2];
    let folder = Folder::new();
    let Some(set) = accepted(dataset::open(&[folder.write(name, data)], format)) else { return };
    for item in set.items().take(16) {
        let Some(held) = accepted(item.read()) else { continue };
        if let Some(label) = item.label {
            assert!(set.classes().is_some_and(|classes| label < classes.len()), "label {label}");
            assert_eq!((held.image.width, held.image.height), (32, 32));
        }
    }
}

/// Files that a run may have beside its arrays; a line `@NAME` begins one.
const RUN_FILES: [&str; 8] = [
    "journal.jsonl",
    "journal-1-of-2.jsonl",
    "journal-2-of-2.jsonl",
    "manifest.json",
    "manifest-1-of-2.json",
    "manifest-2-of-2.json",
    "results.jsonl",
    "evaluation.json",
];

/// Folders of a run's arrays: `@arrays/KEY.npy`.
const ARRAY_FOLDERS: [&str; 3] = ["arrays", "arrays-1-of-2", "arrays-2-of-2"];

/// The files of a run in `data`, by name. What follows an `@` without a name belongs to the file before.
fn run_files(data: &[u8]) -> BTreeMap<&str, Vec<u8>> {
    let is_array = |name: &str| {
        name.strip_suffix(".npy").and_then(|name| name.split_once('/')).is_some_and(|(folder, key)| {
            ARRAY_FOLDERS.contains(&folder) && !key.is_empty() && key.bytes().all(|c| c.is_ascii_lowercase())
        })
    };
    let named = |part| -> Option<(&str, &[u8])> {
        let (name, content) = <[u8]>::split_at_checked(part, part.iter().position(|&byte| byte == b'\n')?)?;
        let name = std::str::from_utf8(name).ok()?;
        (RUN_FILES.contains(&name) || is_array(name)).then_some((name, &content[1..]))
    };
    let mut files = BTreeMap::new();
    let mut last = None;
    for part in data.split(|&byte| byte == b'@') {
        if let Some((name, content)) = named(part) {
            files.insert(name, content.to_vec());
            last = Some(name);
        } else if let Some(content) = last.and_then(|name| files.get_mut(name)) {
            content.push(b'@');
            content.extend_from_slice(part);
        }
    }
    files
}

/// A journal whose lines have the checksums of their texts, so that changed texts are read.
fn signed(journal: &[u8]) -> Vec<u8> {
    let mut lines = journal.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
    for line in &mut lines {
        let end = line.strip_suffix(b"\n").map_or(line.len(), <[u8]>::len);
        if end > 9 && line[8] == b' ' {
            let checksum = crc32fast::hash(&line[9..end]);
            line[..8].copy_from_slice(format!("{checksum:08x}").as_bytes());
        }
    }
    lines.concat()
}

/// A folder of a run: its files one after another, each after a line `@NAME`. Reading it twice gives the same
/// lines, its arrays have as many elements as their shapes say, its report has no scripts but its own, and what can be
/// merged is then a finished run.
pub fn run(data: &[u8]) {
    let folder = Folder::new();
    let run = folder.path("run");
    std::fs::create_dir(&run).expect("a folder in a temporary folder");
    for (name, content) in run_files(data) {
        let content = if name.starts_with("journal") { signed(&content) } else { content };
        if let Some((arrays, _)) = name.split_once('/') {
            std::fs::create_dir_all(run.join(arrays)).expect("a folder in a temporary folder");
        }
        std::fs::write(run.join(name), content).expect("a file in a temporary folder");
    }
    let lines = || {
        let mut lines = Vec::new();
        let read = read_results(&run, |_, line| {
            lines.push(line.to_string());
            Ok(())
        });
        (lines, read)
    };
    let (first, second) = (lines(), lines());
    assert_eq!(first, second);
    for line in &first.0 {
        if let Err(message) = ImageResult::parse(line) {
            assert!(!message.is_empty());
        }
    }
    accepted(first.1);
    run_arrays(&run);
    if let Some(page) = accepted(fuzzing::report(&run)) {
        // The data's and the program's, or neither without a gallery.
        let scripts = page.to_ascii_lowercase().matches("<script").count();
        assert!(scripts == 0 || scripts == 2, "{scripts} scripts");
    }
    let out = folder.path("merged");
    if let Some(summary) = accepted(merge(&RealDisk, std::slice::from_ref(&run), &out)) {
        let info = read_results(&out, |_, _| Ok(())).expect("a run that was just merged").expect("a run");
        assert_eq!((info.finished, info.images), (true, Some(summary.images)));
        run_arrays(&out);
    }
}

/// Reads the arrays of the run in `folder`: each element type of each array, at a few images.
fn run_arrays(folder: &Path) {
    let Some(arrays) = accepted(RunArrays::open(folder)).flatten() else { return };
    for key in arrays.found() {
        for image in [0, 1, 2, usize::MAX] {
            if let Some(floats) = accepted(arrays.floats(&key, image)) {
                assert_eq!(floats.shape.iter().product::<usize>(), floats.values.len(), "{key}");
            }
            if let Some((shape, bytes)) = accepted(arrays.bytes(&key, image)) {
                assert_eq!(shape.iter().product::<usize>(), bytes.len(), "{key}");
            }
        }
        if let Some((shape, texts)) = accepted(arrays.texts(&key)).flatten() {
            assert_eq!(shape.iter().product::<usize>(), texts.len(), "{key}");
        }
    }
}

/// A file of boxes. Reading it twice gives the same.
pub fn boxes(data: &[u8]) {
    let folder = Folder::new();
    let (file, labels) = (folder.write("boxes.json", data), ["cat", "dog"].map(String::from));
    let boxes = fuzzing::read_boxes(&file, &labels);
    assert_eq!(boxes, fuzzing::read_boxes(&file, &labels));
    accepted(boxes);
}

/// A file of thresholds. Those accepted are one for each exit, from 0 to 1, and the same after they were written
/// and read.
pub fn thresholds(data: &[u8]) {
    let folder = Folder::new();
    let Some(thresholds) = accepted(fuzzing::read_thresholds(&folder.write("a.json", data), 3)) else {
        return;
    };
    assert!(thresholds.0.iter().flatten().all(|share| (0.0..=1.0).contains(share)));
    let text = serde_json::to_string(&thresholds).expect("numbers have a JSON form");
    let again = fuzzing::read_thresholds(&folder.write("b.json", text.as_bytes()), 3);
    assert_eq!(again, Ok(thresholds));
}

/// Words of a command line, one a line: alone as the value of each option that has a grammar, and together as
/// arguments. A value that has a text form is the same after it was written and parsed.
pub fn arguments(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let words: Vec<&str> = text.lines().take(12).collect();
    for &word in &words {
        if let Ok(exits) = word.parse::<fuzzing::Exits>()
            && let Some(exits) = accepted(exits.resolve(12))
        {
            assert!(exits.is_sorted() && exits.iter().all(|exit| (1..=12).contains(exit)), "{exits:?}");
            let again = fuzzing::ranges(&exits).parse::<fuzzing::Exits>().map(|again| again.resolve(12));
            assert_eq!(again, Ok(Ok(exits)), "{word}");
        }
        let _ = word.parse::<fuzzing::Selection>();
        let _ = word.parse::<fuzzing::ShardArg>();
        if let Some(shard) = round_trip::<Shard>(word, |shard| shard.to_string()) {
            assert!((1..=shard.count()).contains(&shard.index()), "{word}");
            let part = shard.range(1000);
            assert!(part.start <= part.end && part.end <= 1000, "{word}: {part:?}");
        }
        round_trip::<Colormap>(word, Colormap::to_string);
        round_trip::<Method>(word, |method| method.name().into());
        round_trip::<Score>(word, |score| score.name().into());
        round_trip::<Taps>(word, Taps::name);
        if let Some(Threshold::Share(share)) = round_trip::<Threshold>(word, Threshold::to_string) {
            assert!(share > 0.0 && share <= 1.0, "{word}");
        }
        if let Ok(Normalization { mean, std }) = word.parse() {
            assert!(mean.iter().all(|x| x.is_finite()) && std.iter().all(|x| *x > 0.0), "{word}");
        }
        let shares = [fuzzing::probability(word), fuzzing::opacity(word), fuzzing::level(word)];
        assert!(shares.iter().flatten().all(|share| (0.0..=1.0).contains(share)), "{word}");
        let amounts = [fuzzing::seconds(word), fuzzing::multiply_adds(word)];
        assert!(amounts.iter().flatten().all(|amount| *amount > 0.0 && amount.is_finite()), "{word}");
        if let Ok(bytes) = fuzzing::bytes(word) {
            assert_eq!(fuzzing::bytes(&bytes.to_string()), Ok(bytes), "{word}");
        }
    }
    fuzzing::is_command_line(&words);
    for ended_by_nul in [false, true] {
        if let Some(paths) = accepted(dataset::parse_path_list(data.to_vec(), ended_by_nul)) {
            assert!(paths.iter().all(|path| !path.as_os_str().is_empty()));
        }
    }
}

/// The value of `text`, if it has one; its own text form has the same value.
fn round_trip<T: FromStr + PartialEq + std::fmt::Debug>(
    text: &str,
    form: impl Fn(&T) -> String,
) -> Option<T> {
    let value = text.parse::<T>().ok()?;
    let again = form(&value).parse::<T>().ok();
    assert_eq!(again.as_ref(), Some(&value), "{text}");
    Some(value)
}

/// A request to `msdcam serve`: the head, and as body a question about a photo. A question that is accepted becomes the
/// arguments of a command, and no others than those of its settings.
pub fn request(data: &[u8]) {
    let Some(request) = fuzzing::request(data) else { return };
    assert!(request.status.is_none_or(|status| (400..500).contains(&status)), "{request:?}");
    if let Some(name) = &request.file {
        assert!(!name.contains(['\r', '\n', '"']) && name.is_ascii(), "{name:?}");
    }
    for option in request.options.iter().flatten() {
        let known = [
            "method",
            "tap",
            "class",
            "score",
            "smooth",
            "exits",
            "colormap",
            "heat-alpha",
            "scale",
            "boxes",
        ];
        let name = option.strip_prefix("--").and_then(|option| option.split('=').next());
        assert!(name.is_some_and(|name| known.contains(&name) || name == "contours"), "{option:?}");
    }
}
