//! What is to be done with which chunk, and when: decided from its bounds and its status in the catalogue alone, so that
//! nothing has to be remembered and a crash costs nothing.

use std::time::Duration;

use crate::config::Config;
use crate::limits::CHUNK_CLOSED_AFTER;
use crate::model::Relation;
use crate::storage::{Layout, StoredChunk};

/// What the lifecycle keeps to for one relation.
#[derive(Debug, Clone, Copy)]
pub struct ChunkPlan {
    pub relation: Relation,
    /// Age from which a chunk goes, counted from its end; None: never.
    pub keep: Option<Duration>,
    /// Age from which a chunk is in the columnstore, counted from its end; None: never.
    pub compress_after: Option<Duration>,
}

/// The plan of every relation that is kept in chunks.
pub fn plan(layout: Layout, config: &Config) -> Vec<ChunkPlan> {
    let kept = |relation| ChunkPlan {
        relation,
        keep: config.retention.of(relation),
        compress_after: config.compress_after.of(relation).filter(|_| layout.has_hypertables()),
    };
    Relation::all().map(kept).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    Drop,
    /// To go into the columnstore.
    Compress,
    /// To be put in order: direct compress left it unordered, or there are rows beside its columnstore.
    Recompress,
}

/// Whether live traffic may still write to a chunk.
pub fn is_open(chunk: &StoredChunk, now_us: i64) -> bool {
    !is_older(chunk, CHUNK_CLOSED_AFTER, now_us)
}

/// Whether all of a chunk is older than `age`.
fn is_older(chunk: &StoredChunk, age: Duration, now_us: i64) -> bool {
    now_us.saturating_sub(micros(age)) >= chunk.to_us
}

impl ChunkPlan {
    /// Age from which a chunk goes: longer than it is kept by a grace.
    fn drop_after(&self) -> Option<Duration> {
        self.keep.map(|keep| keep.saturating_add(self.relation.grace()))
    }

    /// Since when a chunk has needed that, in microseconds since 1970.
    pub fn due_since_us(&self, chunk: &StoredChunk, due: Due) -> i64 {
        let age = match due {
            Due::Drop => self.drop_after().unwrap_or_default(),
            Due::Compress => self.compress_after.unwrap_or_default().max(CHUNK_CLOSED_AFTER),
            Due::Recompress => CHUNK_CLOSED_AFTER,
        };
        chunk.to_us.saturating_add(micros(age))
    }

    /// What a chunk needs now, where rows are to be kept from `floor_us` on whatever their age: those before it are in the
    /// rollups for good. An open chunk never needs anything.
    pub fn due(&self, chunk: &StoredChunk, now_us: i64, floor_us: i64) -> Option<Due> {
        let old = self.drop_after().is_some_and(|age| is_older(chunk, age, now_us));
        if old && chunk.to_us <= floor_us {
            return Some(Due::Drop);
        }
        if is_open(chunk, now_us) || chunk.is_frozen() {
            return None;
        }
        if chunk.is_disordered() {
            return Some(Due::Recompress);
        }
        let old = self.compress_after.is_some_and(|age| is_older(chunk, age, now_us));
        (old && !chunk.is_compressed()).then_some(Due::Compress)
    }
}

/// In microseconds; what would not fit is forever.
pub fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::RAW_EXPIRY_GRACE;
    use crate::model::Kind;

    const HOUR: Duration = Duration::from_secs(3600);

    const EVENTS: Relation = Relation::Raw(Kind::Events);

    fn kept() -> ChunkPlan {
        ChunkPlan { relation: EVENTS, keep: Some(48 * HOUR), compress_after: Some(24 * HOUR) }
    }

    /// A chunk that ended so long ago.
    fn chunk(ended: Duration, status: i32) -> (StoredChunk, i64) {
        let now_us = micros(1000 * HOUR);
        let to_us = now_us - micros(ended);
        let name = "c".to_owned();
        let from_us = to_us - micros(HOUR);
        let chunk = StoredChunk { relation: EVENTS, name, from_us, to_us, status, columnstore: None };
        (chunk, now_us)
    }

    fn due(ended: Duration, status: i32) -> Option<Due> {
        let (chunk, now_us) = chunk(ended, status);
        kept().due(&chunk, now_us, i64::MAX)
    }

    #[test]
    fn an_open_chunk_needs_nothing() {
        for status in [0, 1, 3, 9, 11] {
            assert_eq!(due(Duration::ZERO, status), None);
            assert_eq!(due(CHUNK_CLOSED_AFTER - Duration::from_secs(1), status), None);
        }
    }

    #[test]
    fn a_closed_one_is_put_in_order_and_an_old_one_compressed() {
        for disordered in [3, 9, 11] {
            assert_eq!(due(CHUNK_CLOSED_AFTER, disordered), Some(Due::Recompress));
        }
        assert_eq!(due(CHUNK_CLOSED_AFTER, 0), None, "rows stay rows until they are old");
        assert_eq!(due(24 * HOUR, 0), Some(Due::Compress));
        assert_eq!(due(24 * HOUR, 1), None);
        for frozen in [4, 7, 13] {
            assert_eq!(due(24 * HOUR, frozen), None, "somebody froze it on purpose");
        }
    }

    #[test]
    fn an_expired_one_goes_when_its_grace_is_over() {
        assert_eq!(due(48 * HOUR, 1), None);
        assert_eq!(due(48 * HOUR + RAW_EXPIRY_GRACE, 1), Some(Due::Drop));
        let (chunk, now_us) = chunk(48_000 * HOUR, 1);
        assert_eq!(ChunkPlan { keep: None, ..kept() }.due(&chunk, now_us, i64::MAX), None);
        assert_eq!(kept().due(&chunk, now_us, chunk.to_us), Some(Due::Drop));
        assert_eq!(kept().due(&chunk, now_us, chunk.to_us - 1), None, "the rollups still look at it");
    }
}
