//! What is to be done with which chunk, and when: decided from its bounds and its status in the catalogue alone, so that
//! nothing has to be remembered and a crash costs nothing.

use std::time::Duration;

use crate::config::Config;
use crate::limits::{CHUNK_CLOSED_AFTER, RAW_EXPIRY_GRACE};
use crate::rollup::levels::rollup_retention;
use crate::storage::Engine;

/// What the lifecycle keeps to for one relation.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Its name: the hypertable's or partitioned table's, or the rollup's.
    pub relation: &'static str,
    /// The partitioned table that holds it on the postgres engine.
    pub table: &'static str,
    /// Age from which a chunk goes, counted from its end; None: never.
    pub keep: Option<Duration>,
    /// How much longer it stays all the same.
    pub grace: Duration,
    /// Age from which a chunk is in the columnstore, counted from its end; None: never (timescale engine).
    pub compress_after: Option<Duration>,
}

/// The plan of every relation that is kept in chunks.
pub fn plan(engine: Engine, config: &Config) -> Vec<Kept> {
    let Config { retention, compress_after, .. } = config;
    let raw = |relation, keep, compress_after| Kept {
        relation,
        table: relation,
        keep: Some(keep),
        grace: RAW_EXPIRY_GRACE,
        compress_after: Some(compress_after),
    };
    let mut plan = vec![
        raw("events", retention.events, compress_after.events),
        raw("metrics", retention.metrics, compress_after.metrics),
        Kept {
            relation: "correlations",
            table: "correlations",
            keep: Some(retention.correlations),
            grace: Duration::ZERO,
            compress_after: None,
        },
    ];
    plan.extend(rollup_retention(retention).into_iter().map(|level| Kept {
        relation: level.relation,
        table: level.closed,
        keep: level.keep,
        grace: Duration::ZERO,
        compress_after: level.compress_after,
    }));
    if engine == Engine::Postgres {
        plan.iter_mut().for_each(|kept| kept.compress_after = None);
    }
    plan
}

/// A chunk or a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The relation that it is of: the rollup, for chunks of a continuous aggregate.
    pub relation: &'static str,
    /// Its own name, quoted, with its schema.
    pub name: String,
    /// Its first microsecond since 1970.
    pub from_us: i64,
    /// The first one after it.
    pub to_us: i64,
    /// Bits of the catalogue; 0 for a partition.
    pub status: i32,
    /// The relation of what is in the columnstore.
    pub columnstore: Option<String>,
}

/// Bits of `_timescaledb_catalog.chunk.status`.
const COMPRESSED: i32 = 1;
const UNORDERED: i32 = 2;
const FROZEN: i32 = 4;
const PARTIAL: i32 = 8;

/// What a chunk needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    Drop,
    /// To go into the columnstore.
    Compress,
    /// To be put in order: direct compress left it unordered, or there are rows beside its columnstore.
    Recompress,
}

impl Chunk {
    /// Whether any of it is in the columnstore.
    pub fn is_compressed(&self) -> bool {
        self.status & COMPRESSED != 0
    }

    /// Whether its columnstore is not what compressing it whole would make of it.
    pub fn is_disordered(&self) -> bool {
        self.is_compressed() && self.status & (UNORDERED | PARTIAL) != 0
    }

    /// Whether live traffic may still write to it.
    pub fn is_open(&self, now_us: i64) -> bool {
        self.ended(CHUNK_CLOSED_AFTER, now_us).is_none()
    }

    /// How much longer ago than `age` it ended; None: not that long.
    fn ended(&self, age: Duration, now_us: i64) -> Option<i64> {
        let over_us = now_us.saturating_sub(micros(age)).saturating_sub(self.to_us);
        (over_us >= 0).then_some(over_us)
    }

    /// Whether all of it is older than `age`.
    pub fn is_older(&self, age: Duration, now_us: i64) -> bool {
        self.ended(age, now_us).is_some()
    }

    /// Since when it has needed that, in microseconds since 1970.
    pub fn due_since_us(&self, kept: &Kept, due: Due) -> i64 {
        let age = match due {
            Due::Drop => kept.keep.unwrap_or_default().saturating_add(kept.grace),
            Due::Compress => kept.compress_after.unwrap_or_default().max(CHUNK_CLOSED_AFTER),
            Due::Recompress => CHUNK_CLOSED_AFTER,
        };
        self.to_us.saturating_add(micros(age))
    }

    /// What it needs now, where rows are to be kept from `floor_us` on whatever their age: those before it are in the rollups
    /// for good. An open chunk never needs anything.
    pub fn due(&self, kept: &Kept, now_us: i64, floor_us: i64) -> Option<Due> {
        let old = kept.keep.is_some_and(|keep| self.is_older(keep.saturating_add(kept.grace), now_us));
        if old && self.to_us <= floor_us {
            return Some(Due::Drop);
        }
        if self.is_open(now_us) || self.status & FROZEN != 0 {
            return None;
        }
        if self.is_disordered() {
            return Some(Due::Recompress);
        }
        let old = kept.compress_after.is_some_and(|age| self.is_older(age, now_us));
        (old && !self.is_compressed()).then_some(Due::Compress)
    }
}

/// In microseconds; what would not fit is for ever.
pub fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn kept() -> Kept {
        Kept {
            relation: "events",
            table: "events",
            keep: Some(48 * HOUR),
            grace: RAW_EXPIRY_GRACE,
            compress_after: Some(24 * HOUR),
        }
    }

    /// A chunk that ended so long ago.
    fn chunk(ended: Duration, status: i32) -> (Chunk, i64) {
        let now_us = micros(1000 * HOUR);
        let to_us = now_us - micros(ended);
        let name = "c".to_owned();
        let chunk = Chunk { relation: "events", name, from_us: to_us - micros(HOUR), to_us, status, columnstore: None };
        (chunk, now_us)
    }

    fn due(ended: Duration, status: i32) -> Option<Due> {
        let (chunk, now_us) = chunk(ended, status);
        chunk.due(&kept(), now_us, i64::MAX)
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
        assert_eq!(chunk.due(&Kept { keep: None, ..kept() }, now_us, i64::MAX), None);
        assert_eq!(chunk.due(&kept(), now_us, chunk.to_us), Some(Due::Drop));
        assert_eq!(chunk.due(&kept(), now_us, chunk.to_us - 1), None, "the rollups still look at it");
    }
}
