//! Handling of SIGINT and SIGTERM: the first signal ends a run gracefully, the second immediately.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::{Error, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Flag that is set when termination is requested.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// Installs the signal handlers: the first SIGINT or SIGTERM sets the flag, the second ends the process.
    ///
    /// # Errors
    /// When a handler cannot be installed.
    pub fn watch() -> Result<Interrupt> {
        let interrupt = Interrupt::default();
        let again = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            let code = exit_code(signal);
            // The order matters: the first signal finds `again` unset, then sets it.
            flag::register_conditional_shutdown(signal, code.into(), Arc::clone(&again))
                .and_then(|_| flag::register(signal, Arc::clone(&again)))
                .and_then(|_| flag::register_usize(signal, Arc::clone(&interrupt.signal), usize::from(code)))
                .map_err(|e| Error::cannot_write(Path::new("signal handler"), e))?;
        }
        watch_file_size()?;
        Ok(interrupt)
    }

    /// Exit code of the process once termination was requested.
    pub fn code(&self) -> Option<u8> {
        u8::try_from(self.signal.load(Ordering::Relaxed)).ok().filter(|&code| code != 0)
    }
}

/// Catches SIGXFSZ, so that a file above its size limit (`ulimit -f`) is a write error, not the end of
/// the process.
#[cfg(unix)]
fn watch_file_size() -> Result<()> {
    let caught = flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
    caught.map(drop).map_err(|e| Error::cannot_write(Path::new("signal handler"), e))
}

/// This platform has no such limit.
#[cfg(not(unix))]
fn watch_file_size() -> Result<()> {
    Ok(())
}

/// Exit code that shells report for a process ended by a signal.
fn exit_code(signal: i32) -> u8 {
    128 + signal as u8
}
