//! Detection of a checkpoint's container, by content and never by file name.

use std::collections::BTreeMap;

use super::pickle::{Pickle, TensorView};
use super::storages::Storages;
use crate::model::safetensors_header::is_safetensors;

/// The content of a container.
pub enum Content {
    /// A checkpoint: its object and its storages.
    Checkpoint(Pickle, Storages),
    /// Tensors by name, and their storages.
    Tensors(Storages, BTreeMap<String, TensorView>),
    /// An archive around a single checkpoint: the checkpoint's name and bytes.
    Packed(String, Vec<u8>),
}

/// A container format of `torch.save`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// PyTorch 1.6 and later: a zip archive.
    Zip,
    /// PyTorch 0.1.10 to 1.5: pickles followed by raw storages.
    Legacy,
    /// Before 0.1.10: a tar archive.
    Tar,
    /// Tensors in the safetensors format, under PyTorch's names.
    Safetensors,
}

impl std::fmt::Display for Container {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Container::Zip => "PyTorch checkpoint (zip)",
            Container::Legacy => "PyTorch checkpoint (legacy stream)",
            Container::Tar => "PyTorch checkpoint (old tar)",
            Container::Safetensors => "state dict (safetensors)",
        })
    }
}

/// Minimum size of a checkpoint in bytes.
const SHORTEST: usize = 16;
/// Magic number of a legacy stream, as pickled by protocols 2 and up.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// The same number in decimal, as pickled by protocols 0 and 1.
const MAGIC_TEXT: &[u8] = b"119547037146038801333356";

/// The container of a file; an error is a phrase that says what the file is instead.
pub fn sniff(bytes: &[u8]) -> Result<Container, String> {
    let has = |magic: &[u8]| bytes.starts_with(magic);
    let head = &bytes[..bytes.len().min(64)];
    let mentions = |needle: &[u8]| head.windows(needle.len()).any(|w| w == needle);
    let refuse = |what: &str| Err(format!("{what}, not a PyTorch checkpoint"));
    if bytes.is_empty() {
        return Err("the file is empty".into());
    }
    if is_safetensors(bytes) {
        return Ok(Container::Safetensors);
    }
    for (magic, tool) in [
        (&b"\x1f\x8b"[..], "gzip"),
        (b"BZh", "bzip2"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\xfd7zXZ\0", "xz"),
        (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    ] {
        if has(magic) {
            return Err(format!("this file is compressed with {tool}; decompress it first"));
        }
    }
    if has(b"version https://git-lfs") {
        return Err("this is a Git LFS pointer, not the file itself; fetch it with `git lfs pull`".into());
    }
    if has(b"\x89HDF\r\n\x1a\n") {
        return refuse("this is an HDF5 (Keras) file");
    }
    if has(b"GGUF") {
        return refuse("this is a GGUF file");
    }
    if has(b"PYTORCH1") {
        return Err(
            "this is an archive of a preview release of PyTorch 1.0; save it again with a release".into()
        );
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    let opens = |word: &[u8]| text.len() >= word.len() && text[..word.len()].eq_ignore_ascii_case(word);
    if opens(b"<!doctype") || opens(b"<html") || opens(b"<head") || opens(b"<?xml") {
        return refuse("this is a web page");
    }
    if (opens(b"{") || opens(b"[")) && serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok() {
        return refuse("this is a JSON text");
    }
    if bytes.len() < SHORTEST {
        return Err(format!("{} bytes are too short for a checkpoint", bytes.len()));
    }
    if has(b"PK\x03\x04") {
        return Ok(Container::Zip);
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return Ok(Container::Tar);
    }
    if mentions(&MAGIC) || mentions(MAGIC_TEXT) {
        return Ok(Container::Legacy);
    }
    if has(b"\x08") && mentions(b"\x12") && (mentions(b"pytorch") || mentions(b"onnx") || mentions(b"torch"))
    {
        return Err("this looks like an ONNX model, which --weights takes as it is".into());
    }
    if has(b"\x93NUMPY") {
        return refuse("this is a NumPy array");
    }
    if has(b"\x80") {
        return Err("a plain pickle without PyTorch's magic number, not a PyTorch checkpoint".into());
    }
    if has(b"\x04\0\0\0") && (mentions(b"torch.") || mentions(b"V 1")) {
        return refuse("this is a file of Lua Torch (.t7)");
    }
    Err("not a PyTorch checkpoint: no zip, legacy or tar container begins here".into())
}
