//! Work on worker threads, results in order, never many at once.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::Scope;

/// The results of [`in_order`].
pub struct InOrder<R> {
    results: Receiver<Receiver<R>>,
}

impl<R> Iterator for InOrder<R> {
    type Item = R;

    fn next(&mut self) -> Option<R> {
        // A worker that panicked sends nothing; its scope passes the panic on.
        self.results.recv().ok()?.recv().ok()
    }
}

/// `work` of each of `items`, in their order, done by `threads` threads of `scope`, which run
/// ahead of whoever takes the results: by `ahead`, and one for each thread. So memory does not
/// depend on how many items there are. The threads end with the items, or when the results are
/// dropped.
pub fn in_order<'scope, T, R: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    threads: usize,
    ahead: usize,
    items: impl Iterator<Item = T> + Send + 'scope,
    work: impl Fn(T) -> R + Send + Sync + 'scope,
) -> InOrder<R> {
    let (promise, results) = sync_channel(ahead);
    let queue = Arc::new(Mutex::new(Queue { items, promise }));
    let work = Arc::new(work);
    for _ in 0..threads.max(1) {
        let (queue, work) = (Arc::clone(&queue), Arc::clone(&work));
        scope.spawn(move || {
            loop {
                // The lock ends before the work begins.
                let next = queue.lock().ok().and_then(|mut queue| queue.next());
                let Some((item, result)) = next else { break };
                // Nobody may be waiting for it any more.
                let _ = result.send(work(item));
            }
        });
    }
    InOrder { results }
}

/// What is still to do, and where the results are awaited.
struct Queue<I, R> {
    items: I,
    promise: SyncSender<Receiver<R>>,
}

impl<T, R, I: Iterator<Item = T>> Queue<I, R> {
    /// The next item and where its result goes; waits while enough results lie about.
    fn next(&mut self) -> Option<(T, SyncSender<R>)> {
        let item = self.items.next()?;
        let (send, receive) = sync_channel(1);
        self.promise.send(receive).ok()?;
        Some((item, send))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn results_come_in_order_though_work_takes_unlike_long() {
        for threads in [1, 2, 7] {
            std::thread::scope(|scope| {
                let slow = |i: u64| {
                    std::thread::sleep(Duration::from_micros(i * 37 % 400));
                    i
                };
                let results: Vec<u64> = in_order(scope, threads, 3, 0..100, slow).collect();
                assert_eq!(results, (0..100).collect::<Vec<_>>(), "{threads} threads");
            });
        }
    }

    #[test]
    fn workers_never_run_far_ahead() {
        let begun = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let results = in_order(scope, 3, 4, 0..50, |_| begun.fetch_add(1, Ordering::SeqCst));
            for (taken, _) in results.enumerate() {
                std::thread::sleep(Duration::from_millis(1));
                let ahead = begun.load(Ordering::SeqCst) - (taken + 1);
                assert!(ahead <= 4 + 3, "{ahead} ahead after {taken}");
            }
        });
        assert_eq!(begun.into_inner(), 50);
    }

    #[test]
    fn a_reader_that_leaves_ends_the_workers() {
        let begun = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let mut results = in_order(scope, 2, 2, 0.., |_: u32| begun.fetch_add(1, Ordering::SeqCst));
            assert!(results.next().is_some());
        });
        assert!(begun.into_inner() <= 1 + 2 + 2 + 2);
    }
}
