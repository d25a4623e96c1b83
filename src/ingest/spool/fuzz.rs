//! Recovery over any bytes, for fuzzing.

use std::sync::Arc;

use super::memory::InMemory;
use super::read::Taken;
use super::record::{HEADER_BYTES, Header};
use super::state::{Position, Shared, SpoolState, Totals};
use super::survey::survey_file;

/// Recovers any bytes as if they were the file of the last segment of a spool, and reads what was recovered. Returns
/// the records and their payloads' bytes.
///
/// # Panics
///
/// If reading gives anything else than recovery counted, or sequences do not ascend: a bug, for a fuzzer to find.
pub fn recover_bytes(bytes: &[u8]) -> Totals {
    let first = Header::decode(bytes).map_or(1, |header| header.first);
    let file = Arc::new(InMemory(bytes.to_vec()));
    let surveyed = survey_file(file, first, bytes.len() as u64, u64::MAX, 0);
    let (counted, next) = (surveyed.undrained, surveyed.segment.next);
    let begin = Position { first, offset: HEADER_BYTES as u64, sequence: first };
    let shared = Shared::new(SpoolState {
        segments: [surveyed.segment].into(),
        next,
        read: surveyed.undrained_from.unwrap_or(begin),
        delivered: Default::default(),
        undrained: counted,
        quarantined: Default::default(),
        closed: false,
    });
    let (mut read, mut last) = (Totals::default(), None);
    loop {
        let entries = match shared.take(shared.look(4096)) {
            Taken::Entries(entries) => entries,
            Taken::Again => continue,
            Taken::Nothing => break,
        };
        for entry in entries {
            assert!(last < Some(entry.sequence), "sequences ascend");
            last = Some(entry.sequence);
            read += Totals { records: 1, items: entry.meta.items.into(), bytes: entry.payload.len() as u64 };
        }
    }
    assert_eq!((read.records, read.items), (counted.records, counted.items), "what was counted is read");
    read
}
