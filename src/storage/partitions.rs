//! Partitions of a relation on the postgres engine: made ahead and on demand, dropped when expired.
//!
//! The writer has no DDL, so that the owner's connection makes them in its own transaction under a lock:
//! CREATE TABLE LIKE, then ATTACH, which takes a lock that neither readers nor COPY wait for. There is no default
//! partition: a reader on it would block every ATTACH. Ranges are kept here and read again from the catalogue whenever
//! one is missing, so that nodes and changed chunk intervals agree.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use deadpool_postgres::Pool;
use jiff::Timestamp;
use tokio_postgres::Client;

use super::StorageError;
use super::connect::on_connection;
use super::slices::old_week;
use crate::model::Relation;

/// Partitions made in one transaction: bounds the locks held at once.
const PER_TRANSACTION: usize = 32;

/// Lower to upper bound, in microseconds since 1970.
type Ranges = BTreeMap<i64, i64>;

/// The partitions of a relation, as this node knows them.
pub struct Partitions {
    owner: Pool,
    relation: Relation,
    interval_us: i64,
    /// Over the workers of Citus.
    spread: bool,
    known: Arc<RwLock<Ranges>>,
}

/// An ATTACH that waits for a VACUUM or an index build fails soon and is tried again; it must not hold the lock meanwhile.
/// A node that is frozen halfway loses its session, and with it the lock that all nodes wait for, before their wait is over.
const BEGIN: &str = "BEGIN; SET LOCAL lock_timeout = '5s'; SET LOCAL idle_in_transaction_session_timeout = '2s'; \
     LOCK TABLE tidegate.lock_partitions IN EXCLUSIVE MODE";

/// DETACH CONCURRENTLY waits for every transaction that reads the table; a forgotten one must not stop the job. What was
/// begun is finished by a later run.
const DETACH_TIMEOUT: &str = "SET statement_timeout = '30s'";

/// What a partition bears from before it is detached until it is dropped: it tells what an interrupted run left from what an
/// operator detached to archive or repair it.
const EXPIRED: &str = "tidegate: expired, to be dropped";

const LIST: &str = include_str!("../../sql/queries/partitions.sql");

impl Partitions {
    /// Knows nothing yet; `interval` is the width of new partitions.
    pub fn new(owner: Pool, relation: Relation, interval: Duration, spread: bool) -> Self {
        let interval_us = i64::try_from(interval.as_micros()).expect("chunk_interval fits: checked by configuration");
        Self { owner, relation, interval_us, spread, known: Arc::default() }
    }

    pub fn relation(&self) -> Relation {
        self.relation
    }

    /// The partitioned table, in the schema tidegate.
    fn table(&self) -> &'static str {
        self.relation.table()
    }

    /// Makes whatever is missing for these timestamps (microseconds since 1970); returns how many were made.
    pub async fn ensure(&self, timestamps_us: impl Iterator<Item = i64>) -> Result<usize, StorageError> {
        let missing = {
            let known = self.known.read().expect("no code panics while holding it");
            uncovered(&known, timestamps_us)
        };
        if missing.is_empty() {
            return Ok(0);
        }
        // On its own: a caller that gives up at its deadline must not leave a transaction open under the lock.
        let making = Self { owner: self.owner.clone(), known: Arc::clone(&self.known), ..*self };
        let made = tokio::spawn(async move { making.make(missing).await });
        made.await.map_err(|error| StorageError::fatal(format!("making partitions: {error}")))?
    }

    /// Forgets what it knows, after PostgreSQL said that a partition is missing: another node may have dropped one.
    pub fn forget(&self) {
        self.known.write().expect("no code panics while holding it").clear();
    }

    async fn make(&self, mut waiting: Vec<i64>) -> Result<usize, StorageError> {
        let mut made = 0;
        while !waiting.is_empty() {
            let client = self.owner.get().await?;
            let step = async {
                client.batch_execute(BEGIN).await?;
                let step = self.make_some(&client, &mut waiting).await?;
                client.batch_execute("COMMIT").await?;
                Ok::<usize, StorageError>(step)
            };
            match step.await {
                Ok(step) => made += step,
                Err(error) => {
                    // Its transaction is not over: the connection is not given back.
                    drop(deadpool_postgres::Object::take(client));
                    return Err(error.doing(&format!("making partitions of {}", self.table())));
                }
            }
        }
        if made > 0 {
            tracing::info!(table = self.table(), made, "partitions made");
        }
        Ok(made)
    }

    /// Makes up to PER_TRANSACTION partitions and removes the timestamps that they cover from `waiting`.
    async fn make_some(&self, client: &Client, waiting: &mut Vec<i64>) -> Result<usize, StorageError> {
        let mut ranges = list(client, self.table()).await?;
        let mut made = 0;
        waiting.retain(|timestamp_us| !covers(&ranges, *timestamp_us));
        while made < PER_TRANSACTION {
            let Some(timestamp_us) = waiting.pop() else { break };
            if covers(&ranges, timestamp_us) {
                continue;
            }
            let (from, to) = self.range(&ranges, timestamp_us, Timestamp::now().as_microsecond());
            // Each by itself: of several at once Citus makes one for its workers, which they refuse.
            let name = free_name(client, self.table(), from).await?;
            for sql in create_sql(self.table(), &name, from, to)? {
                client.batch_execute(&sql).await?;
            }
            if self.spread {
                // It has no key, and nothing could be deleted of it while its cell is moved.
                client.batch_execute(&format!("ALTER TABLE {name} REPLICA IDENTITY FULL")).await?;
            }
            ranges.insert(from, to);
            made += 1;
        }
        *self.known.write().expect("no code panics while holding it") = ranges;
        Ok(made)
    }

    /// The range of a new partition: of what is written by senders an old week without partitions is one.
    fn range(&self, ranges: &Ranges, timestamp_us: i64, now_us: i64) -> (i64, i64) {
        let week = match self.relation {
            Relation::Raw(_) => old_week(timestamp_us, self.interval_us, now_us),
            Relation::Rollup(_) | Relation::Correlations => None,
        };
        let is_free = |&(from, to): &(i64, i64)| ranges.range(..to).next_back().is_none_or(|(_, end)| *end <= from);
        week.filter(is_free).unwrap_or_else(|| range_around(ranges, timestamp_us, self.interval_us))
    }

    /// Drops every partition whose rows are all older than `oldest_us`; returns how many.
    pub async fn drop_before(&self, oldest_us: i64) -> Result<usize, StorageError> {
        on_connection(&self.owner, async |client| {
            client.batch_execute(DETACH_TIMEOUT).await?;
            let dropped = self.drop_expired(client, oldest_us).await;
            client.batch_execute("SET statement_timeout = 0").await?;
            dropped
        })
        .await
    }

    async fn drop_expired(&self, client: &Client, oldest_us: i64) -> Result<usize, StorageError> {
        // One that somebody's view holds does not keep the others; it is tried again in every run. A detach that fails does:
        // one that is pending refuses the next.
        let mut failed = None;
        // What an interrupted run left: a detach to be finished, or a detached table to be dropped.
        let leftover = include_str!("../../sql/queries/partitions_leftover.sql");
        for row in client.query(leftover, &[&self.table(), &EXPIRED]).await? {
            let (table, pending): (String, bool) = (row.get(0), row.get(1));
            if pending {
                client
                    .batch_execute(&format!("ALTER TABLE tidegate.{} DETACH PARTITION {table} FINALIZE", self.table()))
                    .await?;
            }
            if let Err(error) = client.batch_execute(&format!("DROP TABLE {table}")).await {
                failed.get_or_insert(StorageError::from(error).doing(&format!("dropping {table}")));
            }
        }
        let mut dropped = 0;
        for row in client.query(LIST, &[&qualified(self.table())]).await? {
            let (table, to_us): (String, i64) = (row.get(0), row.get(2));
            if to_us > oldest_us {
                continue;
            }
            self.forget();
            // Citus takes no DETACH CONCURRENTLY; what is dropped there waits, for a moment, for who reads the table.
            if !self.spread {
                client.batch_execute(&format!("COMMENT ON TABLE {table} IS '{EXPIRED}'")).await?;
                let detach = format!("ALTER TABLE tidegate.{} DETACH PARTITION {table} CONCURRENTLY", self.table());
                client.batch_execute(&detach).await?;
            }
            match client.batch_execute(&format!("DROP TABLE {table}")).await {
                Ok(()) => {
                    tracing::info!(table, "expired partition dropped");
                    dropped += 1;
                }
                Err(error) => {
                    failed.get_or_insert(StorageError::from(error).doing(&format!("dropping {table}")));
                }
            }
        }
        failed.map_or(Ok(dropped), Err)
    }
}

fn qualified(table: &str) -> String {
    format!("tidegate.{table}")
}

async fn list(client: &Client, table: &str) -> Result<Ranges, StorageError> {
    let rows = client.query(LIST, &[&qualified(table)]).await?;
    Ok(rows.iter().map(|row| (row.get(1), row.get(2))).collect())
}

fn covers(ranges: &Ranges, timestamp_us: i64) -> bool {
    ranges.range(..=timestamp_us).next_back().is_some_and(|(_, to)| timestamp_us < *to)
}

/// The timestamps that no known range covers. A batch's rows mostly follow each other in time, so that the last range
/// found is looked at first.
fn uncovered(ranges: &Ranges, timestamps_us: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut last = 0..0;
    let mut missing = Vec::new();
    for timestamp_us in timestamps_us {
        if last.contains(&timestamp_us) {
            continue;
        }
        match ranges.range(..=timestamp_us).next_back() {
            Some((from, to)) if timestamp_us < *to => last = *from..*to,
            _ => missing.push(timestamp_us),
        }
    }
    missing
}

/// The aligned range around a timestamp, clipped where partitions of another width already are.
fn range_around(ranges: &Ranges, timestamp_us: i64, interval_us: i64) -> (i64, i64) {
    let start = timestamp_us.div_euclid(interval_us) * interval_us;
    let from = ranges.range(..=timestamp_us).next_back().map_or(start, |(_, to)| start.max(*to));
    let to =
        ranges.range(timestamp_us..).next().map_or(start + interval_us, |(next, _)| (start + interval_us).min(*next));
    (from, to)
}

fn time(us: i64) -> Result<Timestamp, StorageError> {
    Timestamp::from_microsecond(us).map_err(|_| StorageError::fatal(format!("no partition can hold timestamp {us} us")))
}

/// A new partition's name: of its start, and numbered when a detached one has that name.
async fn free_name(client: &Client, table: &str, from_us: i64) -> Result<String, StorageError> {
    let name = format!("tidegate.{table}_p{}", time(from_us)?.strftime("%Y%m%d_%H%M%S"));
    let mut free = name.clone();
    let mut number = 1;
    while client.query_one("SELECT to_regclass($1::text) IS NOT NULL", &[&free]).await?.get(0) {
        number += 1;
        free = format!("{name}_{number}");
    }
    Ok(free)
}

fn create_sql(table: &str, name: &str, from_us: i64, to_us: i64) -> Result<[String; 2], StorageError> {
    let (from, to) = (time(from_us)?, time(to_us)?);
    Ok([
        format!("CREATE TABLE {name} (LIKE tidegate.{table} INCLUDING ALL)"),
        format!("ALTER TABLE tidegate.{table} ATTACH PARTITION {name} FOR VALUES FROM ('{from}') TO ('{to}')"),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000_000;

    #[test]
    fn ranges_are_aligned_also_before_1970() {
        assert_eq!(range_around(&Ranges::new(), DAY + 5, DAY), (DAY, 2 * DAY));
        assert_eq!(range_around(&Ranges::new(), -1, DAY), (-DAY, 0));
    }

    #[test]
    fn a_new_range_never_overlaps_its_neighbours() {
        let ranges = Ranges::from([(0, DAY / 2), (DAY - 10, 3 * DAY)]);
        assert_eq!(range_around(&ranges, DAY / 2, DAY), (DAY / 2, DAY - 10));
    }

    #[test]
    fn only_uncovered_timestamps_are_missing() {
        let ranges = Ranges::from([(0, DAY)]);
        assert_eq!(uncovered(&ranges, [0, DAY - 1, DAY, -1].into_iter()), [DAY, -1]);
        assert!(covers(&ranges, 0) && !covers(&ranges, DAY));
    }

    #[test]
    fn sql_names_the_partition_and_its_bounds() {
        let sql = create_sql("events", "tidegate.events_p19700101_000000", 0, DAY).expect("a valid range");
        assert!(sql[1].contains("PARTITION tidegate.events_p19700101_000000 FOR VALUES FROM ('1970-01-01T00:00:00Z')"));
        assert!(sql[1].contains("TO ('1970-01-02T00:00:00Z')"), "{sql:?}");
    }
}
