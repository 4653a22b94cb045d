//! Isolation of the images of a command from each other, and threads that the system may refuse.

use std::io;
use std::path::Path;
use std::thread::{Builder, Scope, ScopedJoinHandle};

use crate::dataset::Item;
use crate::error::{DeviceError, ErrorSource};
use crate::util::panic;
use crate::{Error, Result};

/// Calls `work`, which is for `item` alone: its panic is an error of that image.
pub fn isolated<R>(item: &Item, work: impl FnOnce() -> Result<R>) -> Result<R> {
    panic::catch(work).unwrap_or_else(|panic| {
        Err(Error::refused(Path::new(&item.id), "internal error", format!("{panic}; please report")))
    })
}

/// Spawns a thread of `scope`.
///
/// # Errors
/// [`Error::Device`] when the system refuses it.
pub fn spawn<'scope, R: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> R + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, R>> {
    Builder::new().spawn_scoped(scope, work).map_err(|refused| no_threads(1, refused))
}

/// The error for `threads` threads that the system refuses.
pub fn no_threads(threads: usize, refused: io::Error) -> Error {
    DeviceError::Threads { threads, source: ErrorSource::new(refused) }.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{Format, open};

    #[test]
    fn a_panic_is_an_error_that_names_the_image_and_asks_for_a_report() {
        let item = open(&[std::path::PathBuf::from("a\nb.png")], Format::Auto).unwrap().item(0);
        assert_eq!(isolated(&item, || Ok(1)), Ok(1));
        let error = isolated(&item, || -> Result<()> { panic!("part 3 of {}", 2) }).unwrap_err();
        assert_eq!(error.to_string(), "a\\nb.png: internal error: part 3 of 2; please report");
    }
}
