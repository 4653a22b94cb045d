//! Checkpoints in every container compared with PyTorch's reading, and files that are not checkpoints.

use msdcam::Error;
use msdcam::model::pytorch::{Checkpoint, Container, SourceType, Tensor};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/checkpoints").join(name)
}

/// Every tensor of a state dict but the counters, without DataParallel's prefix.
fn tensors(checkpoint: &Checkpoint) -> msdcam::Result<BTreeMap<String, Tensor>> {
    let shapes = checkpoint.shapes();
    let names = shapes.keys().map(String::as_str).filter(|name| !name.ends_with("num_batches_tracked"));
    let tensors = checkpoint.tensors(names)?;
    Ok(tensors
        .into_iter()
        .map(|(name, tensor)| (name.trim_start_matches("module.").to_string(), tensor))
        .collect())
}

/// SHA-256 of all tensors, as in `golden/make_checkpoints.py`.
fn digest(checkpoint: &Checkpoint) -> String {
    let mut hash = Sha256::new();
    for (name, tensor) in &tensors(checkpoint).unwrap() {
        let dims: String = tensor.dims.iter().map(|d| format!(" {d}")).collect();
        hash.update(format!("{name}{dims}\n"));
        tensor.data.iter().for_each(|x| hash.update(x.to_le_bytes()));
    }
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// The error for a file of these bytes, without the file's name.
fn refusal(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pth");
    std::fs::write(&path, bytes).unwrap();
    let error = Checkpoint::read(&path, None).and_then(|c| tensors(&c)).map(drop).expect_err("accepted");
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    let text = error.to_string();
    assert!(!text.contains('\n'), "{text}");
    text.strip_prefix(&format!("{}: ", path.display())).expect("the file is not named").to_string()
}

/// A zip archive of stored entries.
fn zip_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    use std::io::Write;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, data) in entries {
        zip.start_file(*name, stored).unwrap();
        zip.write_all(data).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn reads_the_tensors_of_every_container_like_pytorch() {
    #[derive(serde::Deserialize)]
    struct Expected {
        sha256: BTreeMap<String, String>,
    }
    let text = std::fs::read_to_string(golden("expected.json")).unwrap();
    let expected: Expected = serde_json::from_str(&text).unwrap();
    assert_eq!(expected.sha256.len(), 8);
    for (name, sha256) in expected.sha256 {
        let checkpoint = Checkpoint::read(&golden(&name), None).unwrap();
        assert_eq!(digest(&checkpoint), sha256, "{name}");
        let container = match name.as_str() {
            "old_tar.pth" => Container::Tar,
            _ if name.contains("legacy") => Container::Legacy,
            _ => Container::Zip,
        };
        assert_eq!(checkpoint.container, container, "{name}");
    }
}

#[test]
fn file_names_do_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    std::fs::copy(golden("subnets_legacy.pth.tar"), &path).unwrap();
    let named = Checkpoint::read(&path, None).unwrap();
    let original = Checkpoint::read(&golden("subnets_zip.pth.tar"), None).unwrap();
    assert_eq!(tensors(&named).unwrap(), tensors(&original).unwrap());
    assert_eq!(named.path, ["state_dict"]);
    assert_ne!(named.sha256, original.sha256);
}

#[test]
fn keeps_the_stored_element_type() {
    let stored = |name| {
        let checkpoint = Checkpoint::read(&golden(name), None).unwrap();
        [SourceType::F16, SourceType::Bf16, SourceType::F32, SourceType::F64]
            .map(|t| tensors(&checkpoint).unwrap().values().any(|tensor| tensor.stored == t))
    };
    assert_eq!(stored("awkward_zip.pth"), [true; 4]);
    assert_eq!(stored("awkward_legacy.pth"), [true; 4]);
    assert_eq!(stored("blocks_zip.pt"), [false, false, true, false]);
}

#[test]
fn refuses_other_file_formats_by_name() {
    let mut tarred = vec![0; 600];
    tarred[257..262].copy_from_slice(b"ustar");
    for (bytes, said) in [
        (&b""[..], "content: the file is empty"),
        (b"\x80", "content: 1 bytes are too short for a checkpoint"),
        (b"<!DOCTYPE html><title>404</title>", "content: this is a web page, not a PyTorch checkpoint"),
        (b"\n <html><body>Sign in</body>", "content: this is a web page, not a PyTorch checkpoint"),
        (b"{\"error\": \"not found\"}", "content: this is a JSON text, not a PyTorch checkpoint"),
        (
            b"\x1f\x8b\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            "content: this file is compressed with gzip; decompress it first",
        ),
        (b"BZh91AY&SY\0\0\0\0\0\0\0\0", "content: this file is compressed with bzip2; decompress it first"),
        (
            b"\x28\xb5\x2f\xfd\0\0\0\0\0\0\0\0\0\0\0\0",
            "content: this file is compressed with zstd; decompress it first",
        ),
        (b"\xfd7zXZ\0\0\0\0\0\0\0\0\0\0\0", "content: this file is compressed with xz; decompress it first"),
        (
            b"7z\xbc\xaf\x27\x1c\0\0\0\0\0\0\0\0\0\0",
            "content: this file is compressed with 7-Zip; decompress it first",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\n",
            "content: this is a Git LFS pointer, not the file itself; fetch it with `git lfs pull`",
        ),
        (b"\x02\0\0\0\0\0\0\0{}      ", "header: its tensors take 0 bytes, the file has 6"),
        (
            b"\x04\0\0\0\x01\0\0\0\x03\0\0\0V 1\x0d\0\0\0",
            "content: this is a file of Lua Torch (.t7), not a PyTorch checkpoint",
        ),
        (
            b"\x89HDF\r\n\x1a\n\0\0\0\0\0\0\0\0",
            "content: this is an HDF5 (Keras) file, not a PyTorch checkpoint",
        ),
        (b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0\0\0", "content: this is a GGUF file, not a PyTorch checkpoint"),
        (
            b"\x08\x07\x12\x07pytorch\x1a\x051.9.0:\0",
            "content: this looks like an ONNX model, which --weights takes as it is",
        ),
        (
            b"\xef\xbb\xbf<!doctype html><html></html>",
            "content: this is a web page, not a PyTorch checkpoint",
        ),
        (b"\x93NUMPY\x01\0v\0{'descr': '<f8'}", "content: this is a NumPy array, not a PyTorch checkpoint"),
        (
            b"\x80\x02}q\0X\x01\0\0\0aK\x01s...........",
            "content: a plain pickle without PyTorch's magic number, not a PyTorch checkpoint",
        ),
        (
            b"just some text that is long enough",
            "content: not a PyTorch checkpoint: no zip, legacy or tar container begins here",
        ),
    ] {
        assert_eq!(refusal(bytes), said);
    }
    assert!(refusal(&tarred).starts_with("tar archive: "), "{}", refusal(&tarred));
    assert_eq!(
        refusal(&zip_of(&[("readme.txt", b"hello")])),
        "zip archive: a zip archive without data.pkl, not a PyTorch checkpoint"
    );
    assert_eq!(
        refusal(&std::fs::read(golden("torchscript.pt")).unwrap()),
        "zip archive: a TorchScript program, not a checkpoint; save its state_dict(), or an ONNX file with torch.onnx.export"
    );
}

#[test]
fn refuses_folders_missing_files_and_pipes_without_blocking() {
    let folder = tempfile::tempdir().unwrap();
    let said = |path: &Path| Checkpoint::read(path, None).unwrap_err().to_string();
    assert!(said(folder.path()).ends_with(": file: cannot read: is a folder, not a file"));
    assert!(said(&folder.path().join("absent.pth")).contains(": file: cannot read: "));
    let pipe = folder.path().join("pipe.pth");
    let no_file = ": file: cannot read: is a pipe or a device, not a file";
    if std::process::Command::new("mkfifo").arg(&pipe).status().is_ok_and(|s| s.success()) {
        assert!(said(&pipe).ends_with(no_file), "{}", said(&pipe));
    }
    assert!(said(Path::new("/dev/null")).ends_with(no_file));
    let sparse = std::fs::File::create(folder.path().join("sparse.pth")).unwrap();
    sparse.set_len(20 << 30).unwrap();
    assert!(
        said(&folder.path().join("sparse.pth"))
            .ends_with(": file: 21474836480 bytes, the limit is 4294967296")
    );
}

#[test]
fn names_a_malicious_global_and_runs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let canary = folder.path().join("canary");
    let command = format!("touch {}", canary.display());
    let mut pickle = b"\x80\x02cos\nsystem\nX".to_vec();
    pickle.extend((command.len() as u32).to_le_bytes());
    pickle.extend(command.as_bytes());
    pickle.extend(b"\x85R.");
    let not_allowed = "global 'os.system' is not allowed (possibly malicious; nothing was executed); if you trust the file, load it with PyTorch and save the state_dict() alone";

    let zip = zip_of(&[("archive/data.pkl", &pickle), ("archive/version", b"3\n")]);
    assert_eq!(refusal(&zip), format!("archive/data.pkl, offset 2: {not_allowed}"));

    // In each of the legacy stream's pickles.
    let head: [&[u8]; 3] = [
        b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.",
        b"\x80\x02M\xe9\x03.",
        b"\x80\x02}X\x0d\0\0\0little_endian\x88s.",
    ];
    for (before, place) in
        [(1, "protocol version, offset 17"), (2, "system information, offset 23"), (3, "pickle, offset")]
    {
        let bytes = [&head[..before].concat()[..], &pickle].concat();
        let said = refusal(&bytes);
        assert!(said.starts_with(place) && said.ends_with(not_allowed), "{said}");
    }
    // The magic number as the result of a call, with the number in a later text.
    let eval = b"\x80\x02cbuiltins\neval\nX\x18\0\0\x00119547037146038801333356\x85R.";
    assert!(refusal(eval).contains("'builtins.eval' is not allowed"));
    assert!(!canary.exists(), "the command ran");
}

#[test]
fn refuses_misleading_archives() {
    let good = std::fs::read(golden("blocks_zip.pt")).unwrap();
    let prefixed = [&b"PK\x03\x04 and more"[..], &good].concat();
    assert!(refusal(&prefixed).starts_with("zip "), "{}", refusal(&prefixed));
    let twice = [&good[..], &good].concat();
    assert!(refusal(&twice).starts_with("zip "), "{}", refusal(&twice));
    let empty: &[u8] = b"\x80\x02}.";
    assert!(refusal(&zip_of(&[("a/data.pkl", empty), ("b/data.pkl", empty)])).contains("second data.pkl"));
    assert!(refusal(&zip_of(&[("a/data.pkl", empty), ("../x", b"y")])).contains("leaves the archive"));
    assert_eq!(
        refusal(&zip_of(&[("a/data.pkl", empty)])),
        "checkpoint: no state_dict inside, only a dictionary with the keys []"
    );
    let trailing: &[u8] = b"\x80\x02}.more";
    assert_eq!(refusal(&zip_of(&[("data.pkl", trailing)])), "data.pkl: 4 bytes behind the pickle's end");
}

/// A pickle of a state dict with one float tensor `a.b`.
fn one_tensor(numbers: &[u8], declared: u8, shape: u8, stride: u8) -> Vec<u8> {
    let mut pickle = b"\x80\x02}X\x03\0\0\0a.bctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK".to_vec();
    pickle.push(declared);
    pickle.extend(b"tQK\0K");
    pickle.push(shape);
    pickle.extend(b"\x85K");
    pickle.push(stride);
    pickle.extend(b"\x85\x89ccollections\nOrderedDict\n)RtRs.");
    zip_of(&[("data.pkl", &pickle), ("data/0", numbers)])
}

#[test]
fn storages_must_have_the_size_in_the_pickle() {
    let four = [0u8; 16];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("good.pth");
    std::fs::write(&path, one_tensor(&four, 4, 2, 2)).unwrap();
    let good = Checkpoint::read(&path, None).unwrap();
    assert_eq!(tensors(&good).unwrap()["a.b"].data, [0.0; 2]);

    assert_eq!(
        refusal(&one_tensor(&four, 5, 4, 1)),
        "storage '0': the archive holds 16 bytes, the pickle says 20"
    );
    assert_eq!(
        refusal(&one_tensor(&four, 3, 3, 1)),
        "storage '0': the archive holds 16 bytes, the pickle says 12"
    );
    assert!(refusal(&one_tensor(&four, 4, 5, 1)).contains("needs 5 elements of storage '0', which has 4"));
    assert!(refusal(&one_tensor(&four, 4, 4, 2)).contains("needs 7 elements"));
}

#[test]
fn counts_and_names_elements_that_are_not_finite() {
    let numbers: Vec<u8> = [1.0, f32::NAN, f32::INFINITY, 2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    assert_eq!(refusal(&one_tensor(&numbers, 4, 4, 1)), "tensor 'a.b': 2 of 4 numbers are NaN or infinite");
}

#[test]
fn refuses_huge_expanded_views_before_allocating() {
    // One element expanded to 2^28: 1 GiB from a file of a few hundred bytes.
    let mut pickle = b"\x80\x02}X\x03\0\0\0a.bctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x01tQK\0J".to_vec();
    pickle.extend((1i32 << 28).to_le_bytes());
    pickle.extend(b"\x85K\0\x85\x89ccollections\nOrderedDict\n)RtRs.");
    let said = refusal(&zip_of(&[("data.pkl", &pickle), ("data/0", &[0; 4])]));
    assert!(said.starts_with("tensor 'a.b': the tensors take up over 4 times the file's"), "{said}");
}

#[test]
fn errors_have_the_exit_code_of_refused_input() {
    assert!(matches!(Checkpoint::read(Path::new("/dev/null"), None), Err(Error::Refused { .. })));
}
