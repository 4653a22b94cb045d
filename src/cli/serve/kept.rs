//! What the server keeps in memory: the values that were used last, limited by number and by bytes.

use std::collections::VecDeque;

/// Limits of what is kept.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub number: usize,
    /// Of all values together.
    pub bytes: usize,
}

/// Values by their keys. Those that were used longest ago are dropped first.
#[derive(Debug)]
pub struct Kept<K, V> {
    limits: Limits,
    /// Key, value and the value's bytes; the last used one last.
    entries: VecDeque<(K, V, usize)>,
    /// Of all entries.
    bytes: usize,
}

impl<K: PartialEq, V> Kept<K, V> {
    /// Nothing, within `limits`.
    pub fn new(limits: Limits) -> Kept<K, V> {
        Kept { limits, entries: VecDeque::new(), bytes: 0 }
    }

    /// Keeps `value`, which takes `bytes`, in place of one with the same key. It is never dropped for itself alone: one
    /// that is larger than the limit is kept until the next one comes.
    pub fn put(&mut self, key: K, value: V, bytes: usize) {
        self.take(&key);
        self.entries.push_back((key, value, bytes));
        self.bytes = self.bytes.saturating_add(bytes);
        while self.entries.len() > 1
            && (self.entries.len() > self.limits.number || self.bytes > self.limits.bytes)
        {
            self.remove(0);
        }
    }

    /// The value of `key`, which is now the last used one.
    pub fn find(&mut self, key: &K) -> Option<&V> {
        let entry = self.remove(self.position(key)?)?;
        self.bytes += entry.2;
        self.entries.push_back(entry);
        self.entries.back().map(|(_, value, _)| value)
    }

    /// Takes the value of `key` out.
    pub fn take(&mut self, key: &K) -> Option<V> {
        self.remove(self.position(key)?).map(|(_, value, _)| value)
    }

    /// Bytes of all values.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }

    fn position(&self, key: &K) -> Option<usize> {
        self.entries.iter().position(|(known, ..)| known == key)
    }

    fn remove(&mut self, at: usize) -> Option<(K, V, usize)> {
        let entry = self.entries.remove(at)?;
        self.bytes -= entry.2;
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(kept: &Kept<u32, &str>) -> Vec<u32> {
        kept.entries.iter().map(|(key, ..)| *key).collect()
    }

    #[test]
    fn the_ones_used_longest_ago_go_by_number_and_by_bytes() {
        let mut kept = Kept::new(Limits { number: 4, bytes: 100 });
        for (key, bytes) in [(1, 10), (2, 10), (3, 10), (4, 10), (5, 10)] {
            kept.put(key, "", bytes);
        }
        assert_eq!((keys(&kept), kept.bytes), (vec![2, 3, 4, 5], 40));
        assert_eq!(kept.find(&3), Some(&""));
        assert_eq!(kept.find(&1), None);
        kept.put(6, "", 75);
        assert_eq!((keys(&kept), kept.bytes), (vec![5, 3, 6], 95));
        // In its own place.
        kept.put(3, "new", 5);
        assert_eq!((keys(&kept), kept.bytes), (vec![5, 6, 3], 90));
        assert_eq!(kept.find(&3), Some(&"new"));
        // The newest stays, whatever its size.
        kept.put(7, "large", 1000);
        assert_eq!((keys(&kept), kept.bytes), (vec![7], 1000));
        kept.put(8, "", 100);
        assert_eq!((keys(&kept), kept.bytes), (vec![8], 100));
        assert_eq!((kept.take(&8), kept.take(&8), kept.bytes, kept.is_empty()), (Some(""), None, 0, true));
        kept.put(9, "", usize::MAX);
        kept.clear();
        assert_eq!((keys(&kept), kept.bytes), (vec![], 0));
    }
}
