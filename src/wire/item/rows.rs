//! Encoded rows and the streams they belong to: what decoding hands to the lanes.

use std::collections::HashMap;
use std::ops::Range;

use uuid::Uuid;

use super::reject::{RejectedItem, Rejection};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowRef {
    /// Its tuple in [`Rows::bytes`].
    pub bytes: Range<u32>,
    /// Its timestamp, in unix microseconds.
    pub timestamp_us: i64,
    /// 0-based ordinal of its item in the body.
    pub item: u32,
    /// The item's bytes in the body.
    pub raw: Range<u32>,
    /// Index into [`Rows::streams`].
    pub stream: u16,
    /// Hash of what its table is partitioned by beside time, see [`super::space`].
    pub space: u32,
    /// The event's id; nil for a row that has none.
    pub id: Uuid,
    /// What [`super::ItemContext::projections`] says of its type.
    pub projections: i32,
}

impl RowRef {
    /// The event's id, if it has one.
    pub fn event_id(&self) -> Option<Uuid> {
        Some(self.id).filter(|id| !id.is_nil())
    }
}

/// The encoded rows of a request, in the order of its items.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    /// COPY tuples, one after another, without header and trailer.
    pub bytes: Vec<u8>,
    /// Where each is, and what the writer must know of it.
    pub rows: Vec<RowRef>,
    /// The streams, each once, in the order in which they first occur.
    pub streams: Vec<String>,
}

impl Rows {
    pub fn tuple(&self, row: &RowRef) -> &[u8] {
        &self.bytes[row.bytes.start as usize..row.bytes.end as usize]
    }
}

/// A dead letter without what was sent, about, in bytes: ids, codes, reason, index entries.
const DEAD_LETTER_BYTES: usize = 512;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    pub rows: Rows,
    pub rejected: Vec<RejectedItem>,
    /// How many items the body holds; each is rejected, or makes one row or more.
    pub items: u32,
    /// Not one item is JSON: the body as a whole is the one item, rejected.
    pub not_json: bool,
}

impl Decoded {
    pub fn accepted(&self) -> u32 {
        self.items - u32::try_from(self.rejected.len()).expect("items of a request are limited")
    }

    /// What a key is charged for it: its items, or its rows where they are more.
    pub fn work(&self) -> u64 {
        u64::from(self.items).max(self.rows.rows.len() as u64)
    }

    /// Makes an item of which a row cannot be stored a rejected one: with all of its rows, as it is one promise.
    pub fn reject(&mut self, item: u32, rejection: Rejection) {
        let Some(row) = self.rows.rows.iter().find(|row| row.item == item) else { return };
        let rejected = RejectedItem { index: item, raw: row.raw.clone(), event_id: row.event_id(), rejection };
        self.rows.rows.retain(|row| row.item != item);
        let at = self.rejected.partition_point(|other| other.index < item);
        self.rejected.insert(at, rejected);
    }

    /// Makes every item a rejected one.
    pub fn reject_all(&mut self, rejection: &Rejection) {
        let mut rows = std::mem::take(&mut self.rows.rows);
        rows.dedup_by_key(|row| row.item);
        self.rejected.extend(rows.into_iter().map(|row| RejectedItem {
            index: row.item,
            event_id: row.event_id(),
            raw: row.raw,
            rejection: rejection.clone(),
        }));
        self.rejected.sort_by_key(|item| item.index);
    }

    /// What keeping the rejected items takes, in bytes: what was sent, and a dead letter's own columns and reason.
    pub fn rejected_bytes(&self) -> usize {
        self.rejected.iter().map(|item| item.raw.len() + DEAD_LETTER_BYTES).sum()
    }
}

/// Numbers the streams of a request. Most requests name one, so the last one is tried first.
#[derive(Debug, Default)]
pub(crate) struct StreamIndex {
    indexes: HashMap<String, u16>,
    last: u16,
}

impl StreamIndex {
    pub(crate) fn clear(&mut self) {
        self.indexes.clear();
        self.last = 0;
    }

    /// The stream's index; `None` when there are more streams than indexes.
    pub(crate) fn index(&mut self, stream: &str, streams: &mut Vec<String>) -> Option<u16> {
        if streams.get(usize::from(self.last)).is_some_and(|last| last == stream) {
            return Some(self.last);
        }
        self.last = match self.indexes.get(stream) {
            Some(index) => *index,
            None => {
                let index = u16::try_from(streams.len()).ok()?;
                streams.push(stream.to_owned());
                self.indexes.insert(stream.to_owned(), index);
                index
            }
        };
        Some(self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_numbered_once_until_the_numbers_run_out() {
        let (mut index, mut streams) = (StreamIndex::default(), Vec::new());
        let numbers = ["a", "b", "a", "a", "b"].map(|stream| index.index(stream, &mut streams));
        assert_eq!(numbers, [0, 1, 0, 0, 1].map(Some));
        for n in 2..=usize::from(u16::MAX) {
            assert!(index.index(&n.to_string(), &mut streams).is_some());
        }
        assert_eq!(index.index("one too many", &mut streams), None);
        assert_eq!(index.index("a", &mut streams), Some(0));
        assert_eq!(streams.len(), usize::from(u16::MAX) + 1);
    }
}
