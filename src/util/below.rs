//! Paths made of a folder and a name that came out of a file, kept inside of the folder.

use std::path::{Component, Path, PathBuf};

use crate::{Error, Result};

/// The path of `name` below `folder`. Every name that was read from a file or given as the id of an image
/// is joined here: joined as it is, an absolute name or `..` would lead out of the folder.
///
/// # Errors
/// [`Error::Refused`] unless `name` consists of names of folders and files alone.
pub fn below(folder: &Path, name: &str) -> Result<PathBuf> {
    let inside = |part| matches!(part, Component::Normal(_));
    if !name.is_empty() && Path::new(name).components().all(inside) {
        return Ok(folder.join(name));
    }
    Err(Error::refused(folder, "file name", format!("'{name}' is outside of the folder")))
}

/// Refuses to write `name` below `folder` when one of the folders between them is a symbolic link, which
/// leads somewhere else. `folder` itself may be a link: the user named it.
///
/// # Errors
/// As [`below`], and [`Error::Write`] that names the link.
pub fn without_links(folder: &Path, name: &str) -> Result<PathBuf> {
    let path = below(folder, name)?;
    let folders = path.ancestors().skip(1).take_while(|parent| *parent != folder);
    match folders.into_iter().find(|parent| parent.is_symlink()) {
        Some(link) => Err(Error::write(link, "is a symbolic link, expected a folder")),
        None => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside_of_their_folder() {
        let folder = Path::new("run");
        assert_eq!(below(folder, "images/0000/1.png").unwrap(), Path::new("run/images/0000/1.png"));
        for name in ["", "..", "../evil", "a/../../evil", "/etc/passwd", "./a", "a/.."] {
            let error = below(folder, name).unwrap_err().to_string();
            assert_eq!(error, format!("run: file name: '{name}' is outside of the folder"));
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_inside_of_a_folder_are_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let [run, elsewhere] = ["run", "elsewhere"].map(|name| place.path().join(name));
        std::fs::create_dir_all(run.join("real")).unwrap();
        std::fs::create_dir(&elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, run.join("images")).unwrap();
        let error = without_links(&run, "images/0000/1.png").unwrap_err().to_string();
        assert!(error.ends_with("images: cannot write: is a symbolic link, expected a folder"), "{error}");
        assert!(without_links(&run, "real/0000/1.png").is_ok());
        // The folder that the user names may be one.
        let named = place.path().join("named");
        std::os::unix::fs::symlink(&run, &named).unwrap();
        assert!(without_links(&named, "real/1.png").is_ok());
    }
}
