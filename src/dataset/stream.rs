//! Ordered parallel map with a bounded number of results in memory.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, Scope};

/// Iterator over the results of [`in_order`].
pub struct InOrder<R> {
    results: Receiver<Receiver<R>>,
}

impl<R> Iterator for InOrder<R> {
    type Item = R;

    fn next(&mut self) -> Option<R> {
        // A worker that panicked sends nothing; its scope propagates the panic.
        self.results.recv().ok()?.recv().ok()
    }
}

/// Applies `work` to `items` on `threads` threads of `scope`; the results keep the order of the items.
/// The threads run at most `ahead` items, and one for each thread, ahead of the consumer, so memory does
/// not depend on the number of items. They end with the items, or when the results are dropped.
///
/// If the system refuses some of the threads, the others do their work.
///
/// # Errors
/// When it refuses all.
pub fn in_order<'scope, T, R: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    threads: usize,
    ahead: usize,
    items: impl Iterator<Item = T> + Send + 'scope,
    work: impl Fn(T) -> R + Send + Sync + 'scope,
) -> std::io::Result<InOrder<R>> {
    let (slots, results) = sync_channel(ahead);
    let queue = Arc::new(Mutex::new(Queue { items, slots }));
    let work = Arc::new(work);
    for started in 0..threads.max(1) {
        let (queue, work) = (Arc::clone(&queue), Arc::clone(&work));
        let thread = move || {
            loop {
                // The lock is released before the work starts.
                let next = queue.lock().ok().and_then(|mut queue| queue.next());
                let Some((item, result)) = next else { break };
                // The consumer may have dropped the results.
                let _ = result.send(work(item));
            }
        };
        match Builder::new().spawn_scoped(scope, thread) {
            Ok(_) => {}
            Err(refused) if started == 0 => return Err(refused),
            Err(_) => break,
        }
    }
    Ok(InOrder { results })
}

/// Remaining items, and the channel of the result slots in the order of the items.
struct Queue<I, R> {
    items: I,
    slots: SyncSender<Receiver<R>>,
}

impl<T, R, I: Iterator<Item = T>> Queue<I, R> {
    /// The next item and the sender of its result; blocks while `ahead` results are pending.
    fn next(&mut self) -> Option<(T, SyncSender<R>)> {
        let item = self.items.next()?;
        let (send, receive) = sync_channel(1);
        self.slots.send(receive).ok()?;
        Some((item, send))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn results_keep_the_order_of_the_items() {
        for threads in [1, 2, 7] {
            std::thread::scope(|scope| {
                let slow = |i: u64| {
                    std::thread::sleep(Duration::from_micros(i * 37 % 400));
                    i
                };
                let results: Vec<u64> = in_order(scope, threads, 3, 0..100, slow).unwrap().collect();
                assert_eq!(results, (0..100).collect::<Vec<_>>(), "{threads} threads");
            });
        }
    }

    #[test]
    fn workers_run_a_bounded_distance_ahead() {
        let begun = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let results = in_order(scope, 3, 4, 0..50, |_| begun.fetch_add(1, Ordering::SeqCst));
            let results = results.unwrap();
            for (taken, _) in results.enumerate() {
                std::thread::sleep(Duration::from_millis(1));
                let ahead = begun.load(Ordering::SeqCst) - (taken + 1);
                assert!(ahead <= 4 + 3, "{ahead} ahead after {taken}");
            }
        });
        assert_eq!(begun.into_inner(), 50);
    }

    #[test]
    fn dropping_the_results_ends_the_workers() {
        let begun = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let mut results =
                in_order(scope, 2, 2, 0.., |_: u32| begun.fetch_add(1, Ordering::SeqCst)).unwrap();
            assert!(results.next().is_some());
        });
        assert!(begun.into_inner() <= 1 + 2 + 2 + 2);
    }
}
