//! Ctrl-C and `kill`: the first ends a run in good order, the second at once.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::{Error, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Whether somebody asked for the end.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// From now on SIGINT and SIGTERM only ask for the end, once; again, they bring it.
    ///
    /// # Errors
    /// When the system does not let signals be caught.
    pub fn watch() -> Result<Interrupt> {
        let interrupt = Interrupt::default();
        let again = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            let code = exit_code(signal);
            // In this order: the first signal finds `again` unset, and sets it.
            flag::register_conditional_shutdown(signal, code.into(), Arc::clone(&again))
                .and_then(|_| flag::register(signal, Arc::clone(&again)))
                .and_then(|_| flag::register_usize(signal, Arc::clone(&interrupt.signal), usize::from(code)))
                .map_err(|e| Error::write(Path::new("signal handler"), e))?;
        }
        watch_file_size()?;
        Ok(interrupt)
    }

    /// The exit code to end with, once the end was asked for.
    pub fn code(&self) -> Option<u8> {
        u8::try_from(self.signal.load(Ordering::Relaxed)).ok().filter(|&code| code != 0)
    }
}

/// A file that outgrows its limit (`ulimit -f`) is an error like a full disk, not the end at once.
#[cfg(unix)]
fn watch_file_size() -> Result<()> {
    let caught = flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
    caught.map(drop).map_err(|e| Error::write(Path::new("signal handler"), e))
}

/// There is no such limit here.
#[cfg(not(unix))]
fn watch_file_size() -> Result<()> {
    Ok(())
}

/// As shells report a process that a signal ended.
fn exit_code(signal: i32) -> u8 {
    128 + signal as u8
}
