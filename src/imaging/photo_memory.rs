//! Memory that all photos being read share.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// A number of bytes for the photos that are read at once. A reader takes its share before it decodes, and
/// waits for it while others have theirs.
#[derive(Debug)]
pub struct PhotoMemory {
    limit: u64,
    /// Bytes that are taken, at most `limit`.
    taken: Mutex<u64>,
    given_back: Condvar,
}

/// A part of a [`PhotoMemory`], given back when it is dropped.
#[derive(Debug, Default)]
pub struct Share(Option<(Arc<PhotoMemory>, u64)>);

impl PhotoMemory {
    /// `limit` bytes.
    pub fn new(limit: u64) -> Arc<PhotoMemory> {
        Arc::new(PhotoMemory { limit, taken: Mutex::new(0), given_back: Condvar::new() })
    }

    /// As much as the system has.
    pub fn unlimited() -> Arc<PhotoMemory> {
        PhotoMemory::new(u64::MAX)
    }

    /// Takes `bytes`, and waits until there are as many.
    ///
    /// # Errors
    /// The limit, when it is below `bytes`.
    pub fn take(self: &Arc<Self>, bytes: u64) -> Result<Share, u64> {
        if bytes > self.limit {
            return Err(self.limit);
        }
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let too_many = |taken: &mut u64| *taken > self.limit - bytes;
        let mut taken = self.given_back.wait_while(taken, too_many).unwrap_or_else(PoisonError::into_inner);
        *taken += bytes;
        Ok(Share(Some((Arc::clone(self), bytes))))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some((memory, bytes)) = self.0.take() {
            *memory.taken.lock().unwrap_or_else(PoisonError::into_inner) -= bytes;
            memory.given_back.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn shares_never_exceed_the_limit_and_are_given_back() {
        let (memory, taken, most) = (PhotoMemory::new(100), AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for reader in 0..8 {
                let (memory, taken, most) = (&memory, &taken, &most);
                scope.spawn(move || {
                    for i in 0..50 {
                        let bytes = (reader * 13 + i * 7) % 100 + 1;
                        let share = memory.take(bytes).unwrap();
                        most.fetch_max(taken.fetch_add(bytes, Ordering::SeqCst) + bytes, Ordering::SeqCst);
                        std::thread::yield_now();
                        taken.fetch_sub(bytes, Ordering::SeqCst);
                        drop(share);
                    }
                });
            }
        });
        let most = most.into_inner();
        assert!((51..=100).contains(&most), "{most} bytes at once");
        assert_eq!(*memory.taken.lock().unwrap(), 0);
    }

    #[test]
    fn a_photo_that_needs_more_than_there_is_does_not_wait() {
        let memory = PhotoMemory::new(100);
        let _all = memory.take(100).unwrap();
        assert_eq!(memory.take(101).unwrap_err(), 100);
    }
}
