//! Panics as values: caught, and described in one line.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::io::Write;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};

thread_local! {
    /// Number of calls of [`catch`] in which this thread is.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    /// Description of this thread's last panic, by the hook of [`report_in_one_line`].
    static DESCRIPTION: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Calls `work`; its panic is an error that describes it in one line.
///
/// What `work` changes has to be in order, or not used again, after a panic.
pub(crate) fn catch<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    DEPTH.set(DEPTH.get() + 1);
    let result = catch_unwind(AssertUnwindSafe(work));
    DEPTH.set(DEPTH.get() - 1);
    result.map_err(|payload| DESCRIPTION.take().unwrap_or_else(|| message(&*payload)))
}

/// From now on, a panic of this process that [`catch`] does not return is one line on standard error, and one
/// that it does return is none. With `RUST_BACKTRACE`, panics are reported as they were before.
///
/// For programs: a library leaves the hook alone.
pub(crate) fn report_in_one_line() {
    if std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0") {
        return;
    }
    std::panic::set_hook(Box::new(|panic: &PanicHookInfo| {
        let mut text = message(panic.payload());
        if let Some(place) = panic.location() {
            text += &format!(" ({}:{})", place.file(), place.line());
        }
        if DEPTH.get() > 0 {
            DESCRIPTION.set(Some(text));
        } else {
            let _ = writeln!(std::io::stderr(), "error: internal error: {text}; please report");
        }
    }));
}

/// The message of a panic, on one line.
fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message_on_one_line() {
        assert_eq!(catch(|| 3), Ok(3));
        assert_eq!(catch(|| panic!("plain")), Err::<(), _>("plain".into()));
        let compared = catch(|| assert_eq!(1 + 1, 3, "sum"));
        assert_eq!(compared, Err("assertion `left == right` failed: sum left: 2 right: 3".into()));
        let without = catch(|| std::panic::panic_any(5));
        assert_eq!(without, Err::<(), _>("a panic without a message".into()));
    }

    #[test]
    fn a_panic_within_a_caught_one_is_caught_too() {
        let nested = catch(|| catch::<()>(|| panic!("inner")).unwrap_err() + " and outer");
        assert_eq!(nested, Ok("inner and outer".into()));
    }
}
