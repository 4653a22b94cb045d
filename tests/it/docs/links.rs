//! Where the links of the documents lead.

use std::path::{Path, PathBuf};

use super::markdown::anchors;

/// Folders that hold no document of the repository.
const NOT_OURS: [&str; 4] = ["target", ".git", ".cache", "node_modules"];

/// Every Markdown file below `folder`, sorted.
pub fn documents(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() && !NOT_OURS.contains(&name.as_str()) {
                folders.push(entry.path());
            } else if kind.is_file() && name.ends_with(".md") {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    assert!(found.len() > 30, "{found:?}");
    found
}

/// Whether `target`, a link of `document` at `path`, leads somewhere; addresses on the web are not asked.
pub fn check(path: &Path, document: &str, target: &str) -> Result<(), String> {
    if ["http://", "https://", "mailto:"].iter().any(|scheme| target.starts_with(scheme)) {
        return Ok(());
    }
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let place = path.parent().expect("a file is in a folder").join(file);
    if !file.is_empty() && !place.exists() {
        return Err("no such file".into());
    }
    let Some(anchor) = anchor else { return Ok(()) };
    let headings = match file {
        "" => anchors(document),
        _ if file.ends_with(".md") => anchors(&std::fs::read_to_string(&place).map_err(|e| e.to_string())?),
        _ => return Ok(()),
    };
    match headings.iter().any(|heading| heading == anchor) {
        true => Ok(()),
        false => Err(format!("no such heading; there are {}", headings.join(", "))),
    }
}
