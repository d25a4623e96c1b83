//! A map that remembers the keys used lately and never holds more than it may.
//!
//! Two generations: what is used moves to the young one; when that is full it becomes the old one, and what was in the
//! old one is forgotten. So a key that goes on being used is never forgotten, nothing is ever searched for a victim, and
//! memory is bounded whatever comes.

use std::collections::HashMap;
use std::hash::Hash;

/// At most `entries_max` entries, by last use.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    generation_max: usize,
}

impl<K: Eq + Hash, V> Recent<K, V> {
    /// A map of at most `entries_max` entries; an entry is kept for at least half as many other keys.
    pub(crate) fn new(entries_max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), generation_max: (entries_max / 2).max(1) }
    }

    /// The value of a key, made if it is not remembered.
    pub(crate) fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        if !self.young.contains_key(&key) && self.young.len() >= self.generation_max {
            let kept = self.old.remove_entry(&key);
            self.old = std::mem::take(&mut self.young);
            self.young.extend(kept);
        }
        let old = &mut self.old;
        match self.young.entry(key) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let value = old.remove(entry.key()).unwrap_or_else(make);
                entry.insert(value)
            }
        }
    }

    /// The value of a key, if it is remembered. Not a use: it does not keep the key.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.young.get_mut(key).or_else(|| self.old.get_mut(key))
    }

    /// All that are remembered. Not a use.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.young.iter_mut().chain(&mut self.old)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::Recent;

    #[test]
    fn memory_is_bounded_and_what_is_used_stays() {
        let mut recent = Recent::new(100);
        *recent.get_or_insert_with(u32::MAX, || 0) = 7;
        for n in 0..10_000 {
            recent.get_or_insert_with(n, || 1);
            assert!(recent.len() <= 100, "{}", recent.len());
            assert_eq!(*recent.get_or_insert_with(u32::MAX, || 0), 7, "after {n} others");
        }
        assert!(recent.get_mut(&0).is_none() && recent.get_mut(&9_999).is_some());
    }

    #[test]
    fn a_key_is_in_one_generation() {
        let mut recent = Recent::new(4);
        for n in [1, 2, 3, 1, 2, 3, 1] {
            recent.get_or_insert_with(n, || n);
        }
        assert_eq!(recent.len(), 3);
        recent.get_or_insert_with(4, || 4);
        assert!((1..=4).all(|n| recent.get_mut(&n).is_none_or(|value| *value == n)));
    }
}
