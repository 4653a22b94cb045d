//! The batches of a folder, as CIFAR's archives unpack it.

use std::path::{Path, PathBuf};

use super::is_batch;
use crate::dataset::Format;
use crate::error::reversible_text;

/// Names of the test batches, in the Python and in the binary version.
const TEN_TEST: [&str; 2] = ["test_batch", "test_batch.bin"];
const HUNDRED_TEST: [&str; 2] = ["test", "test.bin"];

/// The test batch among the files of `folder`, unless `format` is another.
pub fn test_batch(folder: &Path, format: Format) -> Option<PathBuf> {
    let names: &[&[&str]] = match format {
        Format::Auto => &[&TEN_TEST, &HUNDRED_TEST],
        Format::Cifar10 => &[&TEN_TEST],
        Format::Cifar100 => &[&HUNDRED_TEST],
        Format::Folders => &[],
    };
    names.concat().into_iter().map(|name| folder.join(name)).find(|path| is_batch_file(path))
}

/// The message about a `folder` without images and without a test batch of `format`; it names the batches in it,
/// and the folders of batches.
pub fn nothing_found(folder: &Path, format: Format) -> String {
    let message = match format {
        Format::Cifar10 => "no test batch of CIFAR-10: expected test_batch or test_batch.bin",
        Format::Cifar100 => "no test batch of CIFAR-100: expected test or test.bin",
        Format::Auto | Format::Folders => "no images: expected PNG, JPEG, WebP, GIF, BMP, PNM or TIFF files",
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let holds_batch =
        |path: &PathBuf| is_batch_file(path) || path.is_dir() && test_batch(path, Format::Auto).is_some();
    let batches = entries.map(|entry| entry.path()).filter(holds_batch);
    let mut names: Vec<String> =
        batches.map(|path| reversible_text(Path::new(path.file_name().unwrap_or_default()))).collect();
    // The names of the classes are a pickle too.
    names.retain(|name| !matches!(name.as_str(), "batches.meta" | "meta"));
    names.sort();
    match names.is_empty() {
        true => message.into(),
        false => format!("{message}; pass those of CIFAR by name: {}", names.join(", ")),
    }
}

fn is_batch_file(path: &Path) -> bool {
    path.is_file() && is_batch(path, Format::Auto).unwrap_or(false)
}
