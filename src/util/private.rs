//! Private files and folders: nobody but the user of this process can have written them.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::Path;

/// Creates `folder` and its parents for this user alone if they are missing.
///
/// # Errors
/// When it cannot be created, is a link, belongs to another user, or others can write into it.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    check_folder(folder)
}

/// Checks a folder that is there.
///
/// # Errors
/// When it is not, is a link, belongs to another user, or others can write into it.
pub fn check_folder(folder: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(folder)?;
    if !metadata.is_dir() {
        return Err(io::Error::other("is not a folder"));
    }
    check(&metadata)
}

/// Opens a regular file for reading. What is checked is the open file itself.
///
/// # Errors
/// When it cannot be opened, is a link or no regular file, belongs to another user, or others can write it.
pub fn open(path: &Path) -> io::Result<File> {
    let mut options = fs::OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("is not a regular file"));
    }
    check(&metadata)?;
    Ok(file)
}

/// Takes the right to read and to write `file` from everybody but its owner.
///
/// # Errors
/// Those of the operating system.
pub fn restrict(file: &File) -> io::Result<()> {
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let _ = file;
    Ok(())
}

#[cfg(unix)]
fn check(metadata: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    /// The right to write, of the group and of others.
    const OTHERS_WRITE: u32 = 0o022;
    // SAFETY: the call takes nothing and always succeeds.
    let user = unsafe { libc::geteuid() };
    if metadata.uid() != user {
        return Err(io::Error::other("belongs to another user"));
    }
    if metadata.mode() & OTHERS_WRITE != 0 {
        return Err(io::Error::other("other users can write to it"));
    }
    Ok(())
}

/// The folders of a user are private on this platform.
#[cfg(not(unix))]
fn check(_: &Metadata) -> io::Result<()> {
    Ok(())
}
