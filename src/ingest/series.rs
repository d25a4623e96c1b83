//! The series of rows: each has its row in the catalog before its first sample can be seen, because both are written by one
//! transaction. A series that this process has seen lately is known to be there, and costs a look into memory.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::Mutex;
use std::time::Instant;

use deadpool_postgres::Object;
use foldhash::quality::RandomState;
use jiff::Timestamp;
use tokio_postgres::Statement;

use super::submission::Submission;
use crate::limits::{SERIES_KNOWN_FOR, SERIES_KNOWN_MAX};
use crate::wire::metric;

pub const INSERT: &str = include_str!("../../sql/queries/series_insert.sql");

/// A hash of a series' tenant, names and id. Two that are equal by chance leave one out of the catalog until its minutes are gone
/// through (`inferred::series`): of a million series with a probability of 3e-8, and senders cannot foresee it.
type Key = u64;

/// The series that this process has seen lately.
#[derive(Debug, Default)]
pub struct KnownSeries {
    hasher: RandomState,
    generations: Mutex<Generations>,
}

/// What is used moves to the young one. Both go in time, so that what has expired in the catalog is written there again.
#[derive(Debug, Default)]
struct Generations {
    young: HashSet<Key, foldhash::fast::RandomState>,
    old: HashSet<Key, foldhash::fast::RandomState>,
    since: Option<Instant>,
}

impl Generations {
    fn knows(&mut self, key: Key) -> bool {
        if self.young.contains(&key) {
            return true;
        }
        let known = self.old.contains(&key);
        if known {
            self.insert(key);
        }
        known
    }

    fn insert(&mut self, key: Key) {
        if self.young.len() >= SERIES_KNOWN_MAX {
            self.turn();
        }
        self.young.insert(key);
    }

    fn turn(&mut self) {
        self.old = std::mem::take(&mut self.young);
        self.since = Some(Instant::now());
    }
}

/// A series that is not known to be in the catalog, by one of its rows.
struct Fresh {
    submission: usize,
    row: usize,
    /// Oldest and newest timestamp of its rows, in microseconds since 1970.
    seen_us: (i64, i64),
}

/// The series of a batch that are not known to be in the catalog.
#[derive(Default)]
pub struct FreshSeries(HashMap<Key, Fresh, foldhash::fast::RandomState>);

impl KnownSeries {
    /// Those of the submissions named by `taking`, which are of metrics.
    pub fn fresh(&self, batch: &[Submission], taking: &[usize]) -> FreshSeries {
        let mut fresh = FreshSeries::default();
        let mut known = self.generations.lock().expect("no code panics while holding it");
        if known.since.is_none_or(|since| since.elapsed() >= SERIES_KNOWN_FOR) {
            known.turn();
        }
        for &submission in taking {
            let rows = &batch[submission].decoded.rows;
            for (at, row) in rows.rows.iter().enumerate() {
                let key = self.hasher.hash_one(metric::series_key(rows.tuple(row)));
                if known.knows(key) {
                    continue;
                }
                let us = row.timestamp_us;
                let found = fresh.0.entry(key).or_insert(Fresh { submission, row: at, seen_us: (us, us) });
                found.seen_us = (found.seen_us.0.min(us), found.seen_us.1.max(us));
            }
        }
        fresh
    }

    /// Remembers what a committed transaction wrote.
    pub fn committed(&self, fresh: FreshSeries) {
        if !fresh.0.is_empty() {
            let mut known = self.generations.lock().expect("no code panics while holding it");
            fresh.0.into_keys().for_each(|key| known.insert(key));
        }
    }
}

/// Writes those that are not in the catalog; nothing is sent when there are none. As late in a transaction as can be: another one
/// that brings the same series waits for its end.
pub async fn insert(
    client: &Object,
    statement: &Statement,
    batch: &[Submission],
    fresh: &FreshSeries,
) -> Result<(), tokio_postgres::Error> {
    if fresh.0.is_empty() {
        return Ok(());
    }
    let time = |us: i64| Timestamp::from_microsecond(us).expect("validation keeps timestamps in a window around now");
    let (series, seen): (Vec<_>, Vec<_>) = fresh
        .0
        .values()
        .map(|fresh| {
            let rows = &batch[fresh.submission].decoded.rows;
            (metric::series(rows.tuple(&rows.rows[fresh.row])), fresh.seen_us)
        })
        .unzip();
    let tenants: Vec<&str> = series.iter().map(|series| series.tenant_id).collect();
    let assets: Vec<&str> = series.iter().map(|series| series.asset_id).collect();
    let types: Vec<&str> = series.iter().map(|series| series.metric_type).collect();
    let names: Vec<&str> = series.iter().map(|series| series.metric_name).collect();
    let ids: Vec<_> = series.iter().map(|series| series.series_id).collect();
    let dimensions: Vec<Option<&str>> = series.iter().map(|series| series.dimensions).collect();
    let (first, last): (Vec<Timestamp>, Vec<Timestamp>) =
        seen.into_iter().map(|(first, last)| (time(first), time(last))).unzip();
    client.execute(statement, &[&tenants, &assets, &types, &names, &ids, &dimensions, &first, &last]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_memory_is_bounded() {
        let mut known = Generations::default();
        known.insert(u64::MAX);
        let max = u64::try_from(SERIES_KNOWN_MAX).expect("a number");
        for key in 0..3 * max {
            known.insert(key);
            if key % 1000 == 0 {
                assert!(known.knows(u64::MAX), "it is used");
            }
        }
        assert!(known.young.len() <= SERIES_KNOWN_MAX && known.old.len() <= SERIES_KNOWN_MAX);
        assert!(!known.knows(0) && known.knows(3 * max - 1));
    }
}
