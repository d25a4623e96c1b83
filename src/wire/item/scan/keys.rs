//! Finds keys that occur twice in one object. Small objects are compared as they are read, larger ones sorted once
//! they are complete, so that no object costs more than n log n.

use super::text::unescape;
use crate::limits::JSON_DEPTH_MAX;

/// Most containers open at once: the item itself, and a field's value at its greatest depth.
pub(super) const MAX_OPEN: usize = JSON_DEPTH_MAX + 1;
const _: () = assert!(MAX_OPEN < u128::BITS as usize, "one bit of a u128 for each open container");

/// Up to this many keys every new one is compared with those before it.
const LINEAR_MAX: usize = 16;

/// Where a key's unescaped bytes are.
#[derive(Debug, Clone, Copy)]
struct Key {
    hash: u64,
    start: usize,
    end: usize,
    /// In the arena, not in the item's text.
    unescaped: bool,
}

/// The keys of all objects that are open.
#[derive(Debug)]
pub(super) struct Keys {
    keys: Vec<Key>,
    arena: Vec<u8>,
    /// For each nesting level, where its object's keys begin.
    begins: [usize; MAX_OPEN + 1],
}

impl Keys {
    pub(super) fn new() -> Self {
        Self { keys: Vec::new(), arena: Vec::new(), begins: [0; MAX_OPEN + 1] }
    }

    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.arena.clear();
    }

    #[inline]
    pub(super) fn open(&mut self, level: usize) {
        self.begins[level] = self.keys.len();
    }

    /// The key between `start` and `end` (without quotes) as its sender means it.
    #[inline]
    pub(super) fn insert<'a>(
        &'a mut self,
        level: usize,
        text: &'a [u8],
        (start, end): (usize, usize),
        escaped: bool,
    ) -> Inserted<'a> {
        let mut key = Key { hash: 0, start, end, unescaped: escaped };
        if escaped {
            key.start = self.arena.len();
            unescape(&text[start..end], &mut self.arena);
            key.end = self.arena.len();
        }
        let name = bytes(&self.arena, text, key);
        key.hash = hash(name);
        let siblings = &self.keys[self.begins[level]..];
        let duplicate = siblings.len() < LINEAR_MAX
            && siblings.iter().any(|other| other.hash == key.hash && bytes(&self.arena, text, *other) == name);
        self.keys.push(key);
        Inserted { name, duplicate }
    }

    /// Ends an object; says whether a key of a large one occurs twice.
    #[inline]
    pub(super) fn close(&mut self, level: usize, text: &[u8]) -> bool {
        let begin = self.begins[level];
        let duplicate = self.keys.len() - begin > LINEAR_MAX && self.sorted_duplicate(begin, text);
        self.keys.truncate(begin);
        duplicate
    }

    #[cold]
    fn sorted_duplicate(&mut self, begin: usize, text: &[u8]) -> bool {
        let arena = &self.arena;
        let keys = &mut self.keys[begin..];
        keys.sort_unstable_by(|a, b| {
            a.hash.cmp(&b.hash).then_with(|| bytes(arena, text, *a).cmp(bytes(arena, text, *b)))
        });
        keys.windows(2)
            .any(|pair| pair[0].hash == pair[1].hash && bytes(arena, text, pair[0]) == bytes(arena, text, pair[1]))
    }
}

pub(super) struct Inserted<'a> {
    pub name: &'a [u8],
    pub duplicate: bool,
}

#[inline]
fn bytes<'a>(arena: &'a [u8], text: &'a [u8], key: Key) -> &'a [u8] {
    if key.unescaped { &arena[key.start..key.end] } else { &text[key.start..key.end] }
}

/// Of a key's length and its first and last eight bytes. Keys that collide cost a comparison, nothing worse.
#[inline]
fn hash(name: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let (head, tail) = match (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
        _ => (name.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)), 0),
    };
    let mixed = (head ^ (name.len() as u64)).wrapping_mul(FACTOR) ^ tail.rotate_left(32);
    mixed.wrapping_mul(FACTOR)
}
