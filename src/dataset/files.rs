//! Folders of photos: which files count as images, and in which order.

use std::fs;
use std::path::{Path, PathBuf};

use super::labelling::Labelling;
use super::{Format, Source};
use crate::{Error, Result};

/// Endings of image files in lower case: those that we decode, and those whose refusal must be
/// seen rather than passed over.
const ENDINGS: [&str; 16] = [
    "png", "jpg", "jpeg", "jpe", "jfif", "webp", "bmp", "gif", "tif", "tiff", "ppm", "pgm", "avif", "heic",
    "heif", "jp2",
];

/// A photo, or what stands where one was looked for.
#[derive(Debug)]
pub(super) struct File {
    /// Below the folder that was opened.
    pub(super) path: PathBuf,
    /// Why it cannot be read, where that is known already.
    problem: Option<Box<Error>>,
}

impl File {
    pub(super) fn photo(path: &Path) -> File {
        File { path: path.into(), problem: None }
    }

    pub(super) fn source(&self, folder: &Path) -> Source {
        let path = folder.join(&self.path);
        match &self.problem {
            Some(problem) => Source::Unusable(path, problem.as_ref().clone()),
            None => Source::File(path),
        }
    }
}

/// A path as an id.
pub(super) fn id(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The images of `folder` and, where its folders are classes, their labels.
pub(super) fn folder(folder: &Path, format: Format) -> Result<(Vec<File>, Option<Labelling>)> {
    if matches!(format, Format::Cifar10 | Format::Cifar100) {
        return Err(Error::refused(folder, "folder", "expected a CIFAR binary file"));
    }
    let mut walk = Walk { root: folder, open: Vec::new(), found: Vec::new(), classes: Vec::new() };
    walk.list(Path::new(""))?;
    let Walk { found, classes, .. } = walk;
    if found.is_empty() {
        return Err(Error::refused(folder, "folder", nothing(folder)));
    }
    let class = |file: &File| {
        let mut steps = file.path.components();
        let (first, inside) = (steps.next(), steps.next().is_some());
        let name = first.filter(|_| inside)?.as_os_str();
        classes.binary_search_by(|class| class.as_os_str().cmp(name)).ok()
    };
    let labels: Vec<Option<usize>> = found.iter().map(class).collect();
    let beside = labels.iter().zip(&found).find(|(label, _)| label.is_none()).map(|(_, file)| file);
    let labelled = match (format, beside) {
        (Format::Flat, _) => false,
        (Format::Folders, Some(file)) => {
            let cause = format!("lies beside the folders of the classes: {}", id(&file.path));
            return Err(Error::refused(folder, "folder", cause));
        }
        (_, beside) => beside.is_none(),
    };
    let names = || classes.iter().map(|class| id(class)).collect();
    Ok((found, labelled.then(|| Labelling { classes: names(), labels })))
}

/// Says what else is in a folder without images.
fn nothing(folder: &Path) -> String {
    let none = "no image in it: no PNG, JPEG or WebP file".to_string();
    let Ok(entries) = fs::read_dir(folder) else { return none };
    let mut batches: Vec<String> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "bin"))
        .map(|path| id(Path::new(path.file_name().unwrap_or_default())))
        .collect();
    batches.sort();
    match batches.is_empty() {
        true => none,
        false => format!("{none}; CIFAR files are given by name: {}", batches.join(", ")),
    }
}

/// A walk through a folder, in order of names, files before folders.
struct Walk<'a> {
    root: &'a Path,
    /// The folders that lead to where the walk is, by their real paths.
    open: Vec<PathBuf>,
    found: Vec<File>,
    /// The names of the root's folders.
    classes: Vec<PathBuf>,
}

impl Walk<'_> {
    /// Goes through the folder at `below` the root. What cannot be listed takes an image's place,
    /// to fail as one; but the root must be listed.
    fn list(&mut self, below: &Path) -> Result<()> {
        let folder = self.root.join(below);
        let unreadable = |e| Error::refused(&folder, "folder", format!("cannot list: {e}"));
        let listed = fs::canonicalize(&folder).and_then(|real| Ok((real, names(&folder)?)));
        let (real, names) = match listed {
            Ok(listed) => listed,
            Err(e) if below.as_os_str().is_empty() => return Err(unreadable(e)),
            Err(e) => return self.fail(below, unreadable(e)),
        };
        if self.open.contains(&real) {
            return self
                .fail(below, Error::refused(&folder, "folder", "a symbolic link to a folder it is in"));
        }
        self.open.push(real);
        let mut folders = Vec::new();
        for name in names {
            // Follows symbolic links; one that leads nowhere is read as a file, and fails.
            if fs::metadata(folder.join(&name)).is_ok_and(|about| about.is_dir()) {
                if has_results(&folder.join(&name)) {
                    continue;
                }
                folders.push(below.join(&name));
            } else if is_image_name(&name) {
                self.found.push(File::photo(&below.join(&name)));
            }
        }
        if below.as_os_str().is_empty() {
            self.classes = folders.clone();
        }
        folders.iter().try_for_each(|folder| self.list(folder))?;
        self.open.pop();
        Ok(())
    }

    fn fail(&mut self, below: &Path, problem: Error) -> Result<()> {
        self.found.push(File { path: below.into(), problem: Some(problem.into()) });
        Ok(())
    }
}

/// Whether a run was begun in `folder`: its pictures are no photos, and a run that goes into a folder of
/// the set itself finds the same set when it is started again.
fn has_results(folder: &Path) -> bool {
    let is_there = |name: &str| folder.join(name).is_file();
    let shard = |name: &str| name.starts_with("journal-") && name.ends_with(".jsonl");
    let begun = || {
        let mut entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.any(|entry| entry.file_name().to_str().is_some_and(shard))
    };
    is_there("results.jsonl") && is_there("manifest.json") || is_there("journal.jsonl") || begun()
}

/// The names in `folder`, sorted, without hidden ones.
fn names(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if !name.as_encoded_bytes().starts_with(b".") {
            names.push(PathBuf::from(name));
        }
    }
    names.sort();
    Ok(names)
}

fn is_image_name(name: &Path) -> bool {
    let ending = name.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    ENDINGS.contains(&ending.as_str())
}
