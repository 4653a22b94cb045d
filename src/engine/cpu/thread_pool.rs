//! Thread pool of a device: a fixed number of threads that run one task together, and wait for each other
//! at spin barriers between levels: all of them, or teams of equal size by themselves. Between tasks they sleep. More threads than cores sleep at the
//! barrier too: a spinning thread would take a core from a working one.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Spins before a waiting thread yields: long enough for a level, short enough not to starve the thread
/// that it waits for where both share a core.
const SPINS: usize = 1_000;

/// A task of all threads: called with the thread's index.
type Task = dyn Fn(usize) + Sync;

/// A pointer to the current task, valid while [`ThreadPool::run`] waits for it.
#[derive(Clone, Copy)]
struct TaskPointer(*const Task);
// SAFETY: `Task` is Sync, and `ThreadPool::run` outlives every use of the pointer.
unsafe impl Send for TaskPointer {}

/// State that the threads share.
struct Shared {
    /// The index of the current run, and its task.
    current: Mutex<(usize, Option<TaskPointer>)>,
    wake: Condvar,
    /// The index of the current run again, for threads that spin.
    started: AtomicUsize,
    /// Threads that have ended the current run.
    ended: AtomicUsize,
    wait: Wait,
    quit: AtomicBool,
    /// Whether a thread has panicked in the current run.
    panicked: AtomicBool,
}

/// A pool of threads. The thread that calls [`ThreadPool::run`] is thread 0 of its run.
///
/// Sessions on several threads may share a pool: their runs take turns. A pool of one thread has no
/// threads of its own, and its runs do not wait for each other.
pub(crate) struct ThreadPool {
    shared: Arc<Shared>,
    handles: Vec<JoinHandle<()>>,
    /// One for each team that there could be.
    barriers: Vec<Barrier>,
    /// Held during a run.
    turn: Mutex<()>,
}

impl ThreadPool {
    /// A pool of `count` threads, the caller's included.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub(crate) fn new(count: usize) -> std::io::Result<ThreadPool> {
        let shared = Arc::new(Shared {
            current: Mutex::new((0, None)),
            wake: Condvar::new(),
            started: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            wait: Wait::of(count),
            quit: AtomicBool::new(false),
            panicked: AtomicBool::new(false),
        });
        let barriers = (0..count).map(|_| Barrier::default()).collect();
        let mut pool = ThreadPool { shared, handles: Vec::new(), barriers, turn: Mutex::new(()) };
        for index in 1..count {
            let shared = Arc::clone(&pool.shared);
            let builder = std::thread::Builder::new().name(format!("msdcam-{index}"));
            pool.handles.push(builder.spawn(move || shared.serve(index))?);
        }
        Ok(pool)
    }

    /// How many threads there are, the caller's included.
    pub(crate) fn count(&self) -> usize {
        self.handles.len() + 1
    }

    /// Waits, inside a run, until all `size` threads of team `team` are here. Teams of one run have one size.
    ///
    /// # Panics
    /// When another thread has panicked and will never arrive.
    pub(crate) fn barrier(&self, team: usize, size: usize) {
        if size > 1 {
            self.barriers[team].wait(size, &self.shared.wait, &self.shared.panicked);
        }
    }

    /// Calls `task` on every thread, after the runs of other callers, and returns when all have ended. A task
    /// must not call this itself.
    ///
    /// # Panics
    /// When `task` panics on some thread, but only after all threads have ended. Later runs are not affected.
    pub(crate) fn run(&self, task: &(dyn Fn(usize) + Sync)) {
        if self.handles.is_empty() {
            return task(0);
        }
        let turn = lock(&self.turn);
        let shared = &*self.shared;
        // No thread is in a run now, so that the state left by a run that panicked can be reset.
        shared.panicked.store(false, Ordering::Relaxed);
        shared.ended.store(0, Ordering::Relaxed);
        self.barriers.iter().for_each(Barrier::reset);
        // SAFETY: only the lifetime changes; this function returns after the last use.
        let pointer = TaskPointer(unsafe {
            std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), *const Task>(task)
        });
        {
            let mut current = lock(&shared.current);
            *current = (current.0 + 1, Some(pointer));
            shared.started.store(current.0, Ordering::Release);
        }
        shared.wake.notify_all();
        // A panic is caught: unwinding past the other threads would free what `task` borrows.
        shared.call(|| task(0));
        shared.wait.until(|| shared.ended.load(Ordering::Acquire) == self.handles.len());
        let panicked = shared.panicked.load(Ordering::Relaxed);
        drop(turn);
        assert!(!panicked, "a thread of the pool panicked");
    }
}

impl std::fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ThreadPool").field("count", &self.count()).finish_non_exhaustive()
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.shared.quit.store(true, Ordering::Release);
        {
            let mut current = lock(&self.shared.current);
            current.0 += 1;
            self.shared.started.store(current.0, Ordering::Release);
        }
        self.shared.wake.notify_all();
        for handle in self.handles.drain(..) {
            // A worker catches the panics of its tasks, so that there is no result to report.
            let _ = handle.join();
        }
    }
}

impl Shared {
    /// Calls `task` and records whether it panicked.
    fn call(&self, task: impl FnOnce()) {
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(task)).is_err() {
            self.panicked.store(true, Ordering::Relaxed);
            self.wait.notify();
        }
    }

    /// The life of thread `index`.
    fn serve(&self, index: usize) {
        let mut seen = 0;
        loop {
            // Runs follow each other closely in a stream of images: spin a little before sleeping.
            let spins = if let Wait::Spin = self.wait { SPINS } else { 0 };
            for _ in 0..spins {
                if self.started.load(Ordering::Acquire) != seen {
                    break;
                }
                std::hint::spin_loop();
            }
            let task = {
                let mut current = lock(&self.current);
                while current.0 == seen {
                    current = self.wake.wait(current).unwrap_or_else(PoisonError::into_inner);
                }
                seen = current.0;
                current.1
            };
            if self.quit.load(Ordering::Acquire) {
                return;
            }
            if let Some(TaskPointer(task)) = task {
                // SAFETY: `ThreadPool::run` waits until `ended` counts this thread.
                self.call(|| unsafe { (*task)(index) });
                self.ended.fetch_add(1, Ordering::Release);
                self.wait.notify();
            }
        }
    }
}

/// A lock that a panic does not poison: the state behind it is set whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A barrier, in cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
struct Barrier {
    arrived: AtomicUsize,
    round: AtomicUsize,
}

impl Barrier {
    /// Forgets threads that arrived and then gave up. No thread may be waiting.
    fn reset(&self) {
        self.arrived.store(0, Ordering::Relaxed);
    }

    /// Waits until `count` threads are here.
    fn wait(&self, count: usize, wait: &Wait, panicked: &AtomicBool) {
        let round = self.round.load(Ordering::Relaxed);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == count {
            self.arrived.store(0, Ordering::Relaxed);
            self.round.store(round.wrapping_add(1), Ordering::Release);
            wait.notify();
        } else {
            let complete = || self.round.load(Ordering::Acquire) != round;
            wait.until(|| complete() || panicked.load(Ordering::Relaxed));
            assert!(complete(), "another thread of the pool panicked");
        }
    }
}

/// How threads wait for each other.
enum Wait {
    /// Spinning, with a core for each thread.
    Spin,
    /// Asleep until notified that the condition may hold.
    Sleep(Mutex<()>, Condvar),
}

impl Wait {
    /// The way for `threads` threads on this machine.
    fn of(threads: usize) -> Wait {
        let cores = std::thread::available_parallelism().map_or(threads, usize::from);
        if threads <= cores { Wait::Spin } else { Wait::Sleep(Mutex::default(), Condvar::new()) }
    }

    /// Waits until `condition` holds; the thread that makes it hold calls [`Wait::notify`] afterwards.
    fn until(&self, condition: impl Fn() -> bool) {
        match self {
            Wait::Spin => spin_until(condition),
            Wait::Sleep(mutex, notified) => {
                let mut guard = lock(mutex);
                while !condition() {
                    guard = notified.wait(guard).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    fn notify(&self) {
        if let Wait::Sleep(mutex, notified) = self {
            // While this holds the lock, no thread is between checking its condition and falling asleep.
            drop(lock(mutex));
            notified.notify_all();
        }
    }
}

fn spin_until(condition: impl Fn() -> bool) {
    let mut spins = 0;
    while !condition() {
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

    /// (threads, rounds): three threads spin where there are as many cores; a hundred sleep.
    const COUNTS: [(usize, usize); 2] = [(3, 200), (100, 20)];

    #[test]
    fn a_panic_ends_the_run_and_spares_the_next() {
        for (count, failing) in [(3, 0), (3, 1), (3, 2), (100, 1)] {
            let pool = ThreadPool::new(count).unwrap();
            let run = |failing: Option<usize>| {
                let arrived = AtomicUsize::new(0);
                pool.run(&|thread| {
                    assert_ne!(Some(thread), failing, "on purpose");
                    arrived.fetch_add(1, Ordering::Relaxed);
                    pool.barrier(0, pool.count());
                    assert_eq!(arrived.load(Ordering::Relaxed), count);
                });
            };
            for _ in 0..2 {
                let panicking = std::panic::AssertUnwindSafe(|| run(Some(failing)));
                assert!(std::panic::catch_unwind(panicking).is_err());
                run(None);
            }
        }
    }

    #[test]
    fn no_thread_passes_the_barrier_before_all_have_arrived() {
        for (count, rounds) in COUNTS {
            let pool = ThreadPool::new(count).unwrap();
            let arrived = AtomicUsize::new(0);
            for round in 1..=rounds {
                pool.run(&|_| {
                    arrived.fetch_add(1, Ordering::Relaxed);
                    pool.barrier(0, pool.count());
                    assert_eq!(arrived.load(Ordering::Relaxed), count * round);
                    pool.barrier(0, pool.count());
                });
            }
        }
    }

    #[test]
    fn a_team_waits_for_its_own_threads_alone() {
        // Of seven threads two teams of three, which pass different numbers of barriers, and one thread without a team.
        const SIZE: usize = 3;
        let pool = ThreadPool::new(7).unwrap();
        for _ in 0..50 {
            let arrived = [const { AtomicUsize::new(0) }; 2];
            pool.run(&|thread| {
                let team = thread / SIZE;
                let Some(arrived) = arrived.get(team) else { return };
                for round in 1..=3 + 4 * team {
                    arrived.fetch_add(1, Ordering::Relaxed);
                    pool.barrier(team, SIZE);
                    assert_eq!(arrived.load(Ordering::Relaxed), SIZE * round);
                    pool.barrier(team, SIZE);
                }
            });
        }
    }

    #[test]
    fn runs_of_several_callers_take_turns() {
        for (count, rounds) in COUNTS {
            let pool = ThreadPool::new(count).unwrap();
            let inside = AtomicUsize::new(0);
            std::thread::scope(|scope| {
                for caller in 0..3 {
                    let (pool, inside) = (&pool, &inside);
                    scope.spawn(move || {
                        for round in 0..rounds {
                            let panics = caller == 0 && round % 5 == 0;
                            let run = || {
                                pool.run(&|thread| {
                                    if thread == 0 {
                                        assert_eq!(inside.swap(caller + 1, Ordering::Relaxed), 0);
                                    }
                                    pool.barrier(0, pool.count());
                                    assert_eq!(inside.load(Ordering::Relaxed), caller + 1);
                                    pool.barrier(0, pool.count());
                                    if thread == 0 {
                                        inside.store(0, Ordering::Relaxed);
                                        assert!(!panics, "on purpose");
                                    }
                                });
                            };
                            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
                            assert_eq!(result.is_err(), panics);
                        }
                    });
                }
            });
        }
    }
}
