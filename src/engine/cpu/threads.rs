//! A few threads that work in step: they meet at a spin barrier between levels, and sleep
//! between runs. More threads than cores sleep at the barrier too: one that spins would take a core
//! from one that works.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

/// Spins before a waiting thread lets others run: enough for a level, little enough not to
/// starve whoever holds the core.
const SPINS: usize = 1_000;

/// Work for every thread: called with the thread's number.
type Work = dyn Fn(usize) + Sync;

/// A pointer to the current work, valid while [`Threads::run`] waits for it.
#[derive(Clone, Copy)]
struct Job(*const Work);
// SAFETY: `Work` is Sync, and `Threads::run` outlives every use of the pointer.
unsafe impl Send for Job {}

/// What the threads share.
struct Shared {
    /// Number of the current run, and its work.
    current: Mutex<(usize, Option<Job>)>,
    wake: Condvar,
    /// The run that spinning threads look for.
    started: AtomicUsize,
    /// Threads that have ended the current run.
    ended: AtomicUsize,
    waiting: Waiting,
    quit: AtomicBool,
    panicked: AtomicBool,
}

/// The threads of one session. The caller's thread is number 0.
pub(super) struct Threads {
    shared: Arc<Shared>,
    handles: Vec<JoinHandle<()>>,
    barrier: Barrier,
}

impl Threads {
    /// `count` threads, the caller's included.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub(super) fn new(count: usize) -> std::io::Result<Threads> {
        let shared = Arc::new(Shared {
            current: Mutex::new((0, None)),
            wake: Condvar::new(),
            started: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            waiting: Waiting::of(count),
            quit: AtomicBool::new(false),
            panicked: AtomicBool::new(false),
        });
        let mut threads = Threads { shared, handles: Vec::new(), barrier: Barrier::new(count) };
        for number in 1..count {
            let shared = Arc::clone(&threads.shared);
            let builder = std::thread::Builder::new().name(format!("msdcam-{number}"));
            threads.handles.push(builder.spawn(move || shared.serve(number))?);
        }
        Ok(threads)
    }

    /// How many.
    pub(super) fn count(&self) -> usize {
        self.handles.len() + 1
    }

    /// Waits, inside a run, until every thread is here.
    ///
    /// # Panics
    /// When another thread failed and will never come.
    pub(super) fn meet(&self) {
        self.barrier.wait(&self.shared.waiting, &self.shared.panicked);
    }

    /// Calls `work` on every thread and returns when all have ended.
    ///
    /// # Panics
    /// When `work` does on some thread, in this run or an earlier one: but only after all ended.
    pub(super) fn run(&self, work: &(dyn Fn(usize) + Sync)) {
        if self.handles.is_empty() {
            return work(0);
        }
        let shared = &*self.shared;
        shared.check();
        shared.ended.store(0, Ordering::Relaxed);
        // SAFETY: only the lifetime changes; this function returns after the last use.
        let job =
            Job(unsafe { std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), *const Work>(work) });
        {
            let mut current = shared.current.lock().unwrap_or_else(|e| e.into_inner());
            *current = (current.0 + 1, Some(job));
            shared.started.store(current.0, Ordering::Release);
        }
        shared.wake.notify_all();
        // Leaving before the others would take away from under them what `work` borrows.
        shared.call(|| work(0));
        shared.waiting.until(|| shared.ended.load(Ordering::Acquire) == self.handles.len());
        shared.check();
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.quit.store(true, Ordering::Release);
        {
            let mut current = self.shared.current.lock().unwrap_or_else(|e| e.into_inner());
            current.0 += 1;
            self.shared.started.store(current.0, Ordering::Release);
        }
        self.shared.wake.notify_all();
        for handle in self.handles.drain(..) {
            // A worker catches its own panics; there is nothing to learn here.
            let _ = handle.join();
        }
    }
}

impl Shared {
    /// Calls `work` and notes whether it panicked.
    fn call(&self, work: impl FnOnce()) {
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err() {
            self.panicked.store(true, Ordering::Relaxed);
            self.waiting.end();
        }
    }

    fn check(&self) {
        assert!(!self.panicked.load(Ordering::Relaxed), "a thread failed");
    }

    fn serve(&self, number: usize) {
        let mut seen = 0;
        loop {
            // Runs follow each other closely in a stream of images: spin a little, then sleep.
            let spins = if let Waiting::Spin = self.waiting { SPINS } else { 0 };
            for _ in 0..spins {
                if self.started.load(Ordering::Acquire) != seen {
                    break;
                }
                std::hint::spin_loop();
            }
            let job = {
                let mut current = self.current.lock().unwrap_or_else(|e| e.into_inner());
                while current.0 == seen {
                    current = self.wake.wait(current).unwrap_or_else(|e| e.into_inner());
                }
                seen = current.0;
                current.1
            };
            if self.quit.load(Ordering::Acquire) {
                return;
            }
            if let Some(Job(work)) = job {
                // SAFETY: `Threads::run` waits until `ended` counts this thread.
                self.call(|| unsafe { (*work)(number) });
                self.ended.fetch_add(1, Ordering::Release);
                self.waiting.end();
            }
        }
    }
}

/// A meeting point for a fixed number of threads.
struct Barrier {
    count: usize,
    waiting: AtomicUsize,
    round: AtomicUsize,
}

impl Barrier {
    fn new(count: usize) -> Self {
        Barrier { count, waiting: AtomicUsize::new(0), round: AtomicUsize::new(0) }
    }

    fn wait(&self, waiting: &Waiting, panicked: &AtomicBool) {
        let round = self.round.load(Ordering::Relaxed);
        if self.waiting.fetch_add(1, Ordering::AcqRel) + 1 == self.count {
            self.waiting.store(0, Ordering::Relaxed);
            self.round.store(round.wrapping_add(1), Ordering::Release);
            waiting.end();
        } else {
            let met = || self.round.load(Ordering::Acquire) != round;
            waiting.until(|| met() || panicked.load(Ordering::Relaxed));
            assert!(met(), "another thread failed");
        }
    }
}

/// How threads wait for each other.
enum Waiting {
    /// With a core for each: without sleeping.
    Spin,
    /// Asleep, until what they wait for may have come about.
    Sleep(Mutex<()>, Condvar),
}

impl Waiting {
    fn of(threads: usize) -> Waiting {
        let cores = std::thread::available_parallelism().map_or(threads, usize::from);
        if threads <= cores { Waiting::Spin } else { Waiting::Sleep(Mutex::default(), Condvar::new()) }
    }

    /// Waits until `done`; whoever brings that about calls [`Waiting::end`] afterwards.
    fn until(&self, done: impl Fn() -> bool) {
        match self {
            Waiting::Spin => spin_until(done),
            Waiting::Sleep(lock, ended) => {
                let mut guard = lock.lock().unwrap_or_else(|e| e.into_inner());
                while !done() {
                    guard = ended.wait(guard).unwrap_or_else(|e| e.into_inner());
                }
            }
        }
    }

    fn end(&self) {
        if let Waiting::Sleep(lock, ended) = self {
            // Nobody is between looking and falling asleep while this holds the lock.
            drop(lock.lock().unwrap_or_else(|e| e.into_inner()));
            ended.notify_all();
        }
    }
}

fn spin_until(done: impl Fn() -> bool) {
    let mut spins = 0;
    while !done() {
        spins += 1;
        if spins < SPINS {
            std::hint::spin_loop();
        } else {
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_fails_ends_the_run_instead_of_hanging_it() {
        // Three threads spin where there are as many cores; a hundred sleep.
        for (count, failing) in [(3, 0), (3, 1), (3, 2), (100, 1)] {
            let threads = Threads::new(count).unwrap();
            let run = || {
                threads.run(&|thread| {
                    assert_ne!(thread, failing, "on purpose");
                    threads.meet();
                });
            };
            for _ in 0..2 {
                assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err());
            }
        }
    }

    #[test]
    fn everyone_has_arrived_before_anyone_goes_on() {
        for (count, rounds) in [(3, 200), (100, 20)] {
            let threads = Threads::new(count).unwrap();
            let arrived = AtomicUsize::new(0);
            for round in 1..=rounds {
                threads.run(&|_| {
                    arrived.fetch_add(1, Ordering::Relaxed);
                    threads.meet();
                    assert_eq!(arrived.load(Ordering::Relaxed), count * round);
                    threads.meet();
                });
            }
        }
    }
}
