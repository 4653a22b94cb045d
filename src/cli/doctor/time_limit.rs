//! Work that may hang or panic in foreign code, with a limit.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::Builder;
use std::time::Duration;

use crate::util::panic;

/// The result of `work`, which runs in a thread of its own; that is left behind when `limit` is over.
///
/// # Errors
/// In words: a panic, no answer, or no thread.
pub fn within<R: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, String> {
    let (answer, answered) = channel();
    let thread = Builder::new().spawn(move || {
        // Nobody listens any more when the limit is over.
        let _ = answer.send(panic::catch(work));
    });
    thread.map_err(|e| format!("the system refuses a thread: {e}"))?;
    match answered.recv_timeout(limit) {
        Ok(result) => result.map_err(|panic| format!("internal error: {panic}; please report")),
        Err(RecvTimeoutError::Timeout) => Err(format!("no answer within {} seconds", limit.as_secs())),
        Err(RecvTimeoutError::Disconnected) => Err("the thread ended without an answer".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_a_panic_and_none_are_told_apart() {
        assert_eq!(within(Duration::from_secs(60), || 3), Ok(3));
        let panicked = within(Duration::from_secs(60), || -> u8 { panic!("part {}", 2) }).unwrap_err();
        assert!(panicked.contains("part 2"), "{panicked}");
        let late =
            within(Duration::from_millis(10), || std::thread::sleep(Duration::from_secs(1))).unwrap_err();
        assert!(late.contains("no answer"), "{late}");
    }
}
