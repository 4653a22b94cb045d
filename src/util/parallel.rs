//! Parallel map over a slice.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{Builder, Scope};

/// Applies `work` to every item on up to `threads` threads; results are in the order of the items. Where the
/// system refuses a thread, those that there are do the work: the caller's is one of them.
pub fn map<T: Sync, R: Send>(threads: usize, items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    if threads <= 1 || items.len() <= 1 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(items.len()));
    let worker = || {
        while let Some((i, item)) = {
            let i = next.fetch_add(1, Ordering::Relaxed);
            items.get(i).map(|item| (i, item))
        } {
            let result = work(item);
            done.lock().expect("workers do not panic while they hold the lock").push((i, result));
        }
    };
    std::thread::scope(|scope| {
        let helpers = threads.min(items.len()) - 1;
        let _ = (0..helpers).take_while(|_| spawn(scope, worker)).count();
        worker();
    });
    let mut done = done.into_inner().expect("the scope propagates panics");
    done.sort_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Runs `work` on a thread of `scope`; returns whether the system had one.
fn spawn<'scope>(scope: &'scope Scope<'scope, '_>, work: impl FnOnce() + Send + 'scope) -> bool {
    #[cfg(test)]
    if tests::REFUSED.get() {
        return false;
    }
    Builder::new().spawn_scoped(scope, work).is_ok()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        /// Whether this thread's maps find no other thread.
        pub(super) static REFUSED: Cell<bool> = const { Cell::new(false) };
    }

    #[test]
    fn results_are_in_the_order_of_the_items() {
        let items: Vec<u64> = (0..100).collect();
        for (threads, refused) in [(1, false), (2, false), (7, false), (200, false), (7, true)] {
            REFUSED.set(refused);
            let squares = map(threads, &items, |x| x * x);
            assert!(squares.iter().zip(&items).all(|(s, x)| *s == x * x), "{threads}: {squares:?}");
            assert_eq!(squares.len(), 100);
        }
        REFUSED.set(false);
        assert!(map(4, &[] as &[u64], |x| *x).is_empty());
    }
}
