//! Which chunks are known to be in the columnstore: a chunk must be born there.
//!
//! TimescaleDB (2.28.3, tried) loses sight of rows when the first direct-compress COPY into a chunk overlaps with a
//! plain one: the plain COPY sees a chunk without a columnstore and does not flag it as partial, the direct one
//! commits the columnstore, and from then on readers skip the rows beside it. So a writer that does not know that a
//! chunk is in the columnstore takes the locks of its days (rows that only owner and writer may lock) and writes
//! directly, however few its rows; one that knows writes either way, without a lock. Known is what this process wrote
//! directly and committed. A day has 4 chunks of events and 8 of metrics, unless `partitions` says otherwise, so that a
//! process takes a day's lock that many times at most, however many tenants and assets there are. Under these locks
//! [`crate::storage::Slices`] sees to it that a chunk is what it was planned to be.

use std::collections::{BTreeSet, HashSet};
use std::sync::Mutex;

use tokio_postgres::Client;

use crate::model::Kind;
use crate::storage::{Chunk, Database, StorageError};
use crate::wire::item::space::space;

/// Chunks remembered at most; past it they are forgotten, and learnt again at the cost of a few small segments.
const CHUNKS_MAX: usize = 200_000;

#[derive(Debug, Default)]
pub struct Births {
    known: Mutex<HashSet<Chunk>>,
}

impl Births {
    /// Whether a chunk is known to be in the columnstore.
    pub fn is_known(&self, chunk: Chunk) -> bool {
        // Of a slice that somebody else has cut, one chunk says nothing of another.
        chunk.partitions.is_some() && self.known.lock().expect("no code panics while holding it").contains(&chunk)
    }

    /// Remembers what a committed transaction wrote directly.
    pub fn committed(&self, chunks: BTreeSet<Chunk>) {
        if chunks.is_empty() {
            return;
        }
        let mut known = self.known.lock().expect("no code panics while holding it");
        if known.len() + chunks.len() > CHUNKS_MAX {
            known.clear();
        }
        known.extend(chunks);
    }
}

const DAY_US: i64 = 86_400_000_000;
/// Rows that stand for days, of each kind.
const SLOTS: i64 = 64;

/// The rows that stand for the days of a chunk. By days, whatever chunks are like, so that one process does not make a week
/// while another makes its days.
fn slots(chunk: &Chunk) -> impl Iterator<Item = i32> + use<> {
    let days = chunk.from_us.div_euclid(DAY_US)..=(chunk.to_us - 1).div_euclid(DAY_US);
    days.map(|day| i32::try_from(day.rem_euclid(SLOTS)).expect("less than the slots that there are"))
}

/// Takes the locks of the chunks' days, for the transaction. In order, and before any COPY, so that nobody who holds
/// one waits for a chunk that another holder of one has.
pub async fn lock(client: &Client, kind: Kind, chunks: &BTreeSet<Chunk>) -> Result<(), StorageError> {
    let slots: BTreeSet<i32> = chunks.iter().flat_map(slots).collect();
    let slots: Vec<i32> = slots.into_iter().collect();
    if slots.is_empty() {
        return Ok(());
    }
    let sql = "SELECT FROM birth_locks WHERE kind = $2 AND slot = ANY ($1) ORDER BY slot FOR UPDATE";
    let locked = client.query(sql, &[&slots, &kind.table()]).await?.len();
    if locked == slots.len() {
        return Ok(());
    }
    Err(StorageError::not_ready(format!(
        "the table tidegate.birth_locks has lost rows: it needs slots 0 to {} of each kind; `tidegate migrate`, or a start of \
         `tidegate serve`, puts them back",
        SLOTS - 1
    )))
}

/// Texts of every length around the hash's steps, and beyond ASCII.
const PROBES: [&str; 6] = ["", "gpt-4", "host-0001", "abcdefghijkl", "0123456789abcdefghijklmnopq", "Zürich 😀"];

/// Proves that rows are where [`partition`] says: on a server that hashes otherwise, what is known of one chunk would
/// be believed of another.
pub async fn prove(database: &Database) -> Result<(), StorageError> {
    let spread = Kind::ALL.iter().any(|kind| database.slices.of(*kind).map().partitions > 1);
    if !database.installed.layout.direct_compress() || !spread {
        return Ok(());
    }
    let client = database.writer.get().await?;
    let sql = "SELECT _timescaledb_functions.get_partition_hash(probe) FROM unnest($1::text[]) WITH ORDINALITY AS p (probe, n) \
               ORDER BY n";
    let hashes: Vec<i32> = client.query(sql, &[&&PROBES[..]]).await?.iter().map(|row| row.get(0)).collect();
    if hashes.iter().map(|hash| u32::try_from(*hash).ok()).eq(PROBES.iter().map(|probe| Some(space(probe)))) {
        return Ok(());
    }
    Err(StorageError::not_ready(
        "this server hashes text in another way than servers on little-endian machines, so that Tidegate cannot know a row's \
         chunk; install with storage_profile = rowstore or engine = postgres",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(day: i64, partition: u32) -> Chunk {
        Chunk { from_us: day * DAY_US, to_us: (day + 1) * DAY_US, partition, partitions: Some(4) }
    }

    #[test]
    fn a_chunk_is_known_once_committed() {
        let births = Births::default();
        assert!(!births.is_known(chunk(1, 0)));
        births.committed(BTreeSet::from([chunk(1, 0)]));
        assert!(births.is_known(chunk(1, 0)) && !births.is_known(chunk(2, 0)) && !births.is_known(chunk(1, 1)));
        let of_eight = Chunk { partitions: Some(8), ..chunk(1, 0) };
        let mixed = Chunk { partitions: None, ..chunk(1, 0) };
        assert!(!births.is_known(of_eight));
        births.committed(BTreeSet::from([mixed]));
        assert!(!births.is_known(mixed), "which of its chunks was written to is not known");
    }

    #[test]
    fn a_week_has_the_locks_of_its_days() {
        assert_eq!(slots(&chunk(64, 3)).collect::<Vec<_>>(), [0]);
        let week = Chunk { to_us: 69 * DAY_US, ..chunk(62, 3) };
        assert_eq!(slots(&week).collect::<Vec<_>>(), [62, 63, 0, 1, 2, 3, 4]);
        let hour = Chunk { from_us: 23 * DAY_US / 24, to_us: DAY_US, ..chunk(0, 0) };
        assert_eq!(slots(&hour).collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn memory_is_bounded() {
        let births = Births::default();
        for day in 0..=i64::try_from(CHUNKS_MAX).expect("small") {
            births.committed(BTreeSet::from([chunk(day, 0)]));
        }
        assert_eq!(births.known.lock().expect("not poisoned").len(), 1);
    }
}
