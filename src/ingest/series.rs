//! The series of rows: each has its row in the catalog before its first sample can be seen, because both are written by one
//! transaction. A series that this process has seen lately is known to be there, and costs a look into memory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::Mutex;
use std::time::Instant;

use deadpool_postgres::Object;
use foldhash::quality::RandomState;
use jiff::Timestamp;
use tokio_postgres::Statement;
use uuid::Uuid;

use super::plan::Place;
use super::submission::Submission;
use crate::limits::{SERIES_KNOWN_FOR, SERIES_KNOWN_MAX};
use crate::wire::item::RowRef;
use crate::wire::metric;

pub const INSERT: &str = include_str!("../../sql/queries/series_insert.sql");

/// A hash of a series' tenant, names and id. Two that are equal by chance leave one out of the catalog until its minutes are gone
/// through (`inferred::series`): of a million series with a probability of 3e-8, and senders cannot foresee it.
pub type Key = u64;

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

/// A series that is not known to be in the catalog, by its first row in the batch.
struct Fresh {
    place: Place,
    /// Oldest and newest timestamp of its rows, in microseconds since 1970.
    seen_us: (i64, i64),
    is_new: bool,
}

/// The series of a batch that are not known to be in the catalog.
#[derive(Default)]
pub struct FreshSeries(HashMap<Key, Fresh, foldhash::fast::RandomState>);

impl KnownSeries {
    /// Those of the submissions named by `taking`, which are of metrics.
    pub fn fresh(&self, batch: &[Submission], taking: &[usize]) -> FreshSeries {
        // Hashed before the lock is taken, so that it is held for the look-ups alone.
        let mut rows = Vec::new();
        for &submission in taking {
            let decoded = &batch[submission].decoded.rows;
            let key_of = |(row, found): (usize, &RowRef)| {
                (self.key(decoded.tuple(found)), found.timestamp_us, Place { submission, row })
            };
            rows.extend(decoded.rows.iter().enumerate().map(key_of));
        }
        let mut fresh = FreshSeries::default();
        let mut known = self.generations.lock().expect("no code panics while holding it");
        if known.since.is_none_or(|since| since.elapsed() >= SERIES_KNOWN_FOR) {
            known.turn();
        }
        for (key, us, place) in rows {
            if !known.knows(key) {
                let found = fresh.0.entry(key).or_insert(Fresh { place, seen_us: (us, us), is_new: true });
                found.seen_us = (found.seen_us.0.min(us), found.seen_us.1.max(us));
            }
        }
        fresh
    }

    fn key(&self, tuple: &[u8]) -> Key {
        self.hasher.hash_one(metric::series_key(tuple))
    }

    /// All rows of these series.
    pub fn rows_of(&self, keys: &[Key], batch: &[Submission], taking: &[usize]) -> Vec<Place> {
        let keys: HashSet<Key> = keys.iter().copied().collect();
        let mut places = Vec::new();
        for &submission in taking {
            let rows = &batch[submission].decoded.rows;
            let of_these = |(_, row): &(usize, &RowRef)| keys.contains(&self.key(rows.tuple(row)));
            let found = rows.rows.iter().enumerate().filter(of_these);
            places.extend(found.map(|(row, _)| Place { submission, row }));
        }
        places
    }

    /// Remembers what a committed transaction wrote.
    pub fn committed(&self, fresh: FreshSeries) {
        if !fresh.0.is_empty() {
            let mut known = self.generations.lock().expect("no code panics while holding it");
            fresh.0.into_keys().for_each(|key| known.insert(key));
        }
    }
}

/// Columns of series, side by side.
#[derive(Default)]
struct SeriesColumns<'b> {
    tenants: Vec<&'b str>,
    assets: Vec<&'b str>,
    types: Vec<&'b str>,
    names: Vec<&'b str>,
    ids: Vec<Uuid>,
    dimensions: Vec<Option<&'b str>>,
}

impl<'b> SeriesColumns<'b> {
    fn of(batch: &'b [Submission], places: impl Iterator<Item = Place>) -> Self {
        let mut columns = Self::default();
        for place in places {
            let rows = &batch[place.submission].decoded.rows;
            let series = metric::series(rows.tuple(&rows.rows[place.row]));
            columns.tenants.push(series.tenant_id);
            columns.assets.push(series.asset_id);
            columns.types.push(series.metric_type);
            columns.names.push(series.metric_name);
            columns.ids.push(series.series_id);
            columns.dimensions.push(series.dimensions);
        }
        columns
    }
}

impl FreshSeries {
    /// Looks up which of them are in the catalog.
    pub async fn look_up(&mut self, client: &Object, batch: &[Submission]) -> Result<(), tokio_postgres::Error> {
        if self.0.is_empty() {
            return Ok(());
        }
        let keys: Vec<Key> = self.0.keys().copied().collect();
        let of = SeriesColumns::of(batch, keys.iter().map(|key| self.0[key].place));
        let statement = client.prepare_cached(include_str!("../../sql/queries/series_known.sql")).await?;
        for row in client.query(&statement, &[&of.tenants, &of.assets, &of.types, &of.names, &of.ids]).await? {
            let key = usize::try_from(row.get::<_, i64>(0) - 1).ok().and_then(|at| keys.get(at));
            if let Some(fresh) = key.and_then(|key| self.0.get_mut(key)) {
                fresh.is_new = false;
            }
        }
        Ok(())
    }

    /// Those that are not in the catalog, of each tenant in the order of their first rows.
    pub fn new_of_tenants<'b>(&self, batch: &'b [Submission]) -> BTreeMap<&'b str, Vec<Key>> {
        let mut new: Vec<(Place, Key)> =
            self.0.iter().filter(|(_, fresh)| fresh.is_new).map(|(key, fresh)| (fresh.place, *key)).collect();
        new.sort_unstable_by_key(|(place, _)| (place.submission, place.row));
        let mut of_tenants: BTreeMap<&str, Vec<Key>> = BTreeMap::new();
        for (place, key) in new {
            of_tenants.entry(&batch[place.submission].received.tenant_id).or_default().push(key);
        }
        of_tenants
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
    let new: Vec<&Fresh> = fresh.0.values().filter(|fresh| fresh.is_new).collect();
    if new.is_empty() {
        return Ok(());
    }
    let time = |us: i64| Timestamp::from_microsecond(us).expect("validation keeps timestamps in a window around now");
    let of = SeriesColumns::of(batch, new.iter().map(|fresh| fresh.place));
    let first: Vec<Timestamp> = new.iter().map(|fresh| time(fresh.seen_us.0)).collect();
    let last: Vec<Timestamp> = new.iter().map(|fresh| time(fresh.seen_us.1)).collect();
    client
        .execute(statement, &[&of.tenants, &of.assets, &of.types, &of.names, &of.ids, &of.dimensions, &first, &last])
        .await?;
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
