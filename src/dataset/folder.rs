//! Folders of photos: the image files in them, in a reproducible order.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::labels::Labeling;
use super::{Format, ItemSource};
use crate::error::reversible_text;
use crate::util::file_id::FileId;
use crate::{Error, Result};

/// Extensions of image files, in lower case: the supported formats, and unsupported ones that are
/// reported as errors instead of being skipped.
const EXTENSIONS: [&str; 25] = [
    "png", "jpg", "jpeg", "jpe", "jfif", "webp", "bmp", "dib", "gif", "tif", "tiff", "ppm", "pgm", "pbm",
    "pnm", "pam", "avif", "heic", "heif", "hif", "jp2", "j2k", "jpx", "jxl", "exr",
];

/// Folders that systems put among those of their users: what a Mac adds to an archive, the thumbnails and the
/// wastebasket of a Synology disk station, and what Windows and Linux keep on each disk. They hold no images of
/// a data set, whatever is in them.
const SYSTEM_FOLDERS: [&str; 6] =
    ["__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"];

/// A photo, or an entry that could not be listed.
#[derive(Debug)]
pub struct ListedFile {
    /// Path below the folder that was opened.
    pub path: PathBuf,
    /// Known reason why it cannot be read.
    problem: Option<Box<Error>>,
}

impl ListedFile {
    pub fn photo(path: &Path) -> ListedFile {
        ListedFile { path: path.into(), problem: None }
    }

    pub fn source(&self, folder: &Path) -> ItemSource {
        let path = folder.join(&self.path);
        match &self.problem {
            Some(problem) => ItemSource::Unusable(path, problem.as_ref().clone()),
            None => ItemSource::File(path),
        }
    }
}

/// Lists the images of `folder` and, if its subfolders are classes, their labels.
pub fn list(folder: &Path, format: Format) -> Result<(Vec<ListedFile>, Option<Labeling>)> {
    let mut walk = FolderWalk {
        root: folder,
        open: Vec::new(),
        seen: HashSet::new(),
        found: Vec::new(),
        classes: Vec::new(),
    };
    walk.list(Path::new(""))?;
    let FolderWalk { found, classes, .. } = walk;
    let class = |file: &ListedFile| {
        let mut steps = file.path.components();
        let (first, inside) = (steps.next(), steps.next().is_some());
        let name = first.filter(|_| inside)?.as_os_str();
        classes.binary_search_by(|class| class.as_os_str().cmp(name)).ok()
    };
    let labels: Vec<Option<usize>> = found.iter().map(class).collect();
    // A subfolder that cannot be listed, or a link to the folder itself, is no image.
    let is_beside = |(label, file): &(&Option<usize>, &ListedFile)| label.is_none() && file.problem.is_none();
    let beside = labels.iter().zip(&found).find(is_beside).map(|(_, file)| file);
    if let (Format::Folders, Some(file)) = (format, beside) {
        let cause = format!("image beside the class folders: {}", reversible_text(&file.path));
        return Err(Error::refused(folder, "folder", cause));
    }
    let labeling = || Labeling {
        classes: classes.iter().map(|class| reversible_text(class)).collect(),
        labels,
        numbered: false,
    };
    let is_labeled = beside.is_none();
    Ok((found, is_labeled.then(labeling)))
}

/// Recursive listing of a folder, sorted by name, files before subfolders. A folder to which several paths
/// lead is listed under the first of them: links without a loop can be exponentially many paths.
struct FolderWalk<'a> {
    root: &'a Path,
    /// The folders from the root to the current one, to detect cycles.
    open: Vec<FileId>,
    /// All folders so far.
    seen: HashSet<FileId>,
    found: Vec<ListedFile>,
    /// Names of the root's subfolders.
    classes: Vec<PathBuf>,
}

impl FolderWalk<'_> {
    /// Lists the folder at the path `below` the root. A subfolder that cannot be listed becomes an entry
    /// that fails when it is read; for the root it is an error.
    fn list(&mut self, below: &Path) -> Result<()> {
        let folder = self.root.join(below);
        let unreadable =
            |e: std::io::Error| Error::refused(&folder, "folder", format!("cannot list: {e}")).with_source(e);
        let (id, names) = match FileId::of(&folder).and_then(|id| Ok((id, names(&folder)?))) {
            Ok(listed) => listed,
            Err(e) if below.as_os_str().is_empty() => return Err(unreadable(e)),
            Err(e) => return self.fail(below, unreadable(e)),
        };
        if self.open.contains(&id) {
            return self.fail(below, Error::refused(&folder, "folder", "symbolic link to a parent folder"));
        }
        if !self.seen.insert(id.clone()) {
            return Ok(());
        }
        self.open.push(id);
        let holds_run = below.as_os_str().is_empty() && has_results(&folder);
        let mut folders = Vec::new();
        for name in names {
            // Follows symbolic links; a broken one is listed as a file and fails when it is read.
            if fs::metadata(folder.join(&name)).is_ok_and(|metadata| metadata.is_dir()) {
                if has_results(&folder.join(&name)) || holds_run && is_of_run(&folder, &name) {
                    continue;
                }
                folders.push(below.join(&name));
            } else if is_image_name(&name) {
                self.found.push(ListedFile::photo(&below.join(&name)));
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
        self.found.push(ListedFile { path: below.into(), problem: Some(problem.into()) });
        Ok(())
    }
}

/// Whether the subfolder `name` of a data set that is also the output folder of a run holds the run's pictures
/// or its report's charts.
fn is_of_run(folder: &Path, name: &Path) -> bool {
    let path = folder.join(name);
    match name.to_str() {
        Some("images") => path.join("0000").is_dir(),
        Some("plots") => folder.join("report.html").is_file(),
        _ => false,
    }
}

/// Whether `folder` holds the results of a run. Its pictures are not part of the data set, so that a run
/// whose output folder is inside of the data set can be resumed.
fn has_results(folder: &Path) -> bool {
    let has_file = |name: &str| folder.join(name).is_file();
    let is_shard_journal = |name: &str| name.starts_with("journal-") && name.ends_with(".jsonl");
    let has_shard = || {
        let mut entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.any(|entry| entry.file_name().to_str().is_some_and(is_shard_journal))
    };
    has_file("results.jsonl") && has_file("manifest.json") || has_file("journal.jsonl") || has_shard()
}

/// Names of the entries of `folder`, sorted, without hidden ones and [`SYSTEM_FOLDERS`].
fn names(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let is_system = SYSTEM_FOLDERS.iter().any(|&system| name == system);
        if !name.as_encoded_bytes().starts_with(b".") && !is_system {
            names.push(PathBuf::from(name));
        }
    }
    names.sort();
    Ok(names)
}

/// Whether the extension of `name` is that of an image file.
pub fn is_image_name(name: &Path) -> bool {
    let extension =
        name.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_ascii_lowercase();
    EXTENSIONS.contains(&extension.as_str())
}
