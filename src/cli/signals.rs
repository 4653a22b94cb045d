//! Signals: SIGINT and SIGTERM end the program without leftovers, and a file above its size limit is an
//! error of writing.
//!
//! A thread waits for the signals, because a signal handler may neither take locks nor remove files.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// Whether the command ends by itself after a first signal.
static GRACEFUL: AtomicBool = AtomicBool::new(false);

/// Exit code of the process once termination was requested; 0 before.
static REQUESTED: AtomicU8 = AtomicU8::new(0);

/// Catches the signals from now on. The first SIGINT or SIGTERM ends the process, unless there is an
/// [`Interrupt`]; the second always does. Where handlers or threads are refused, the system's own handling
/// stays.
#[cfg(unix)]
pub fn watch() {
    use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
    use signal_hook::iterator::Signals;

    // A caught SIGXFSZ makes the write fail (`ulimit -f`); nobody looks at the flag.
    let _ = signal_hook::flag::register(SIGXFSZ, std::sync::Arc::default());
    let thread = std::thread::Builder::new().name("signals".into()).stack_size(64 << 10);
    // The handlers are installed by the thread: without it, they would swallow the signals.
    let _ = thread.spawn(|| {
        let Ok(mut signals) = Signals::new([SIGINT, SIGTERM]) else { return };
        for signal in signals.forever() {
            // The code that shells report for a process ended by a signal.
            let code = 128 + signal as u8;
            if REQUESTED.swap(code, Ordering::Relaxed) != 0 || !GRACEFUL.load(Ordering::Relaxed) {
                crate::util::temporary::remove_all();
                // Without the destructors of a process whose threads are still at work.
                signal_hook::low_level::exit(code.into());
            }
        }
    });
}

/// This platform ends the process itself, as a kill does.
#[cfg(not(unix))]
pub fn watch() {}

/// A command's promise to end soon after termination was requested.
#[derive(Debug, Clone, Copy)]
pub struct Interrupt(());

impl Interrupt {
    /// From now on, the first signal only requests termination.
    pub fn expect() -> Interrupt {
        GRACEFUL.store(true, Ordering::Relaxed);
        Interrupt(())
    }

    /// Exit code of the process once termination was requested.
    pub fn code(self) -> Option<u8> {
        Some(REQUESTED.load(Ordering::Relaxed)).filter(|&code| code != 0)
    }
}
