//! Packed weights that the sessions of a device share.
//!
//! Plans of one network are rewritten apart, each with its own copy of a folded weight, so weights are
//! told apart by their elements. A weight is freed with the last session that uses it.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use super::aligned::Arena;
use super::packed_weight::{PackedWeight, WeightSource};
use crate::Result;

/// Elements of a weight that go into its key. The key only finds candidates: all elements are compared
/// then.
const SAMPLES: usize = 64;

/// The packed weights of a device.
#[derive(Default)]
pub(crate) struct WeightCache(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    arena: Arena,
    /// By a hash of layout and sampled elements.
    weights: HashMap<u64, Vec<Weak<PackedWeight>>>,
}

impl WeightCache {
    /// Announces that about `len` weights follow; forgets those that no session uses any more.
    pub(crate) fn expect(&self, len: usize) {
        let mut entries = self.lock();
        entries.arena.expect(len);
        entries.weights.retain(|_, weights| {
            weights.retain(|weight| weight.strong_count() > 0);
            !weights.is_empty()
        });
    }

    /// `source` packed in groups of `group_channels`: shared, where a session has packed the same. Threads pack side by
    /// side: none holds the lock meanwhile. Two that pack the same at the same time both do.
    ///
    /// # Errors
    /// When the system has too little memory.
    pub(crate) fn pack<F: Fn(usize, usize) -> f32>(
        &self,
        group_channels: usize,
        source: &WeightSource<F>,
    ) -> Result<Arc<PackedWeight>> {
        let key = key(group_channels, source);
        let candidates: Vec<_> = {
            let entries = self.lock();
            entries.weights.get(&key).into_iter().flatten().filter_map(Weak::upgrade).collect()
        };
        let [weight, bias] = PackedWeight::lens(group_channels, source);
        if let Some(found) = candidates.into_iter().find(|found| found.is_packed(group_channels, source)) {
            self.lock().arena.skip(weight);
            return Ok(found);
        }
        let rooms = {
            let arena = &mut self.lock().arena;
            [arena.room(weight)?, arena.room(bias)?]
        };
        let packed = Arc::new(PackedWeight::new(rooms, group_channels, source));
        self.lock().weights.entry(key).or_default().push(Arc::downgrade(&packed));
        Ok(packed)
    }

    /// Floats of all weights in use.
    #[cfg(test)]
    pub(crate) fn packed_len(&self) -> usize {
        let entries = self.lock();
        let weights = entries.weights.values().flatten().filter_map(Weak::upgrade);
        weights.map(|weight| weight.k * weight.padded_channels()).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        // Entries are added whole, so that a panic elsewhere leaves them valid.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl std::fmt::Debug for WeightCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("WeightCache").finish_non_exhaustive()
    }
}

/// A hash of the layout and of elements spread over `source`.
fn key<F: Fn(usize, usize) -> f32>(group_channels: usize, source: &WeightSource<F>) -> u64 {
    let &WeightSource { channels, k, ref at, .. } = source;
    let mut hasher = DefaultHasher::new();
    (group_channels, channels, k).hash(&mut hasher);
    let len = channels * k;
    for sample in 0..SAMPLES.min(len) {
        let index = sample * len / SAMPLES.min(len);
        at(index / k, index % k).to_bits().hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(cache: &WeightCache, weights: &[f32], bias: Option<&[f32]>, group: usize) -> Arc<PackedWeight> {
        let k = weights.len() / 3;
        cache.pack(group, &WeightSource { channels: 3, k, at: |o, i| weights[o * k + i], bias }).unwrap()
    }

    #[test]
    fn equal_weights_are_packed_once_and_others_apart() {
        let cache = WeightCache::default();
        let weights: Vec<f32> = (0..3000).map(|i| i as f32).collect();
        let packed = pack(&cache, &weights, None, 4);
        assert!(Arc::ptr_eq(&packed, &pack(&cache, &weights.clone(), None, 4)));
        assert!(Arc::ptr_eq(&packed, &pack(&cache, &weights, Some(&[0.0; 3]), 4)));
        let mut others = Vec::new();
        for i in [0, 1, 2999] {
            let mut other = weights.clone();
            other[i] += 1.0;
            others.push(pack(&cache, &other, None, 4));
        }
        others.push(pack(&cache, &weights, None, 8));
        others.push(pack(&cache, &weights, Some(&[0.0, 0.0, 1.0]), 4));
        others.push(pack(&cache, &weights, Some(&[-0.0, 0.0, 0.0]), 4));
        for (i, other) in others.iter().enumerate() {
            assert!(!Arc::ptr_eq(&packed, other), "weight {i}");
            assert!(others[..i].iter().all(|before| !Arc::ptr_eq(before, other)), "weight {i}");
        }
    }

    #[test]
    fn a_weight_is_freed_with_its_last_user() {
        let cache = WeightCache::default();
        let packed = pack(&cache, &[1.0; 30], None, 4);
        let freed = Arc::downgrade(&packed);
        drop(packed);
        assert!(freed.upgrade().is_none());
        cache.expect(0);
        assert!(cache.lock().weights.is_empty());
    }
}
