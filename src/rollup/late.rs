//! Late rows: closed buckets that were touched afterwards are made anew from their rows, one tenant's at a time.
//!
//! On the postgres engine that is every closed bucket. On the timescale engine refreshes do it, for all tenants at once,
//! as far back as everybody's rows are whole; what lies before that, and what no policy looks after, is left to this job,
//! which touches nobody else's buckets. A bucket whose raw rows may have expired is left as it is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::{Object, Transaction};
use jiff::Timestamp;

use super::closing::rollup_sql;
use super::floors::seconds;
use super::levels::{LEVELS, Level};
use crate::config::RetentionConfig;
use crate::jobs::{Counts, Job};
use crate::limits::{REFRESH_SLACK, ROLLUP_RUN_MAX};
use crate::storage::{PartitionedTables, StorageError};

/// Buckets of tenants made anew in one transaction: some hundreds of the small ones, a few of the large.
fn step(level: &Level) -> i64 {
    match level.width.as_secs() {
        60 => 2000,
        300 => 1000,
        3600 => 200,
        _ => 10,
    }
}

/// Two buckets of a tenant are read together when no more than this many lie between them.
const GAP_BUCKETS: i64 = 32;
/// Longest stretch of a tenant that is read together, in buckets.
const WINDOW_BUCKETS: i64 = 1440;

/// Makes late buckets anew.
pub struct Late {
    /// The partitioned tables, on the postgres engine.
    pub partitions: Option<Arc<PartitionedTables>>,
    /// How long levels are kept.
    pub retention: RetentionConfig,
}

/// Buckets of a tenant that are read together.
#[derive(Debug, PartialEq, Eq)]
struct Window {
    tenant_id: String,
    buckets: Vec<Timestamp>,
}

impl Job for Late {
    const NAME: &'static str = "late_rollups";
    const INTERVAL: Duration = Duration::from_secs(1);

    async fn run_once(&self, client: &mut Object) -> Result<Counts, StorageError> {
        let deadline = Instant::now() + ROLLUP_RUN_MAX;
        let (mut made, mut expired) = (0, 0);
        // In turn: days of late minutes are no reason for the hours to wait.
        let mut levels: Vec<&Level> = LEVELS.iter().collect();
        while !levels.is_empty() && Instant::now() < deadline {
            let mut more = Vec::new();
            for level in levels {
                let waiting = waiting(client, level).await?;
                if waiting.is_empty() {
                    continue;
                }
                // Perhaps another node dropped a partition.
                let forget =
                    |_: &StorageError| self.partitions.iter().for_each(|tables| tables.of(level.closed).forget());
                let (anew, left) = self.step(client, level, &waiting).await.inspect_err(forget)?;
                made += anew;
                expired += left;
                more.push(level);
            }
            levels = more;
        }
        Ok(vec![("buckets", made), ("expired", expired)])
    }
}

impl Late {
    /// Makes these buckets anew: how many, and how many were left as they are.
    async fn step(&self, client: &mut Object, level: &Level, waiting: &Waiting) -> Result<(u64, u64), StorageError> {
        let table = self.table(client, level, waiting).await?;
        let made_back_s = level.made_back(&self.retention).map(seconds);
        make_anew(client, level, &table, self.partitions.is_none(), made_back_s, waiting).await
    }

    /// The table of the level's closed buckets, with the partitions that these need.
    async fn table(&self, client: &Object, level: &Level, waiting: &Waiting) -> Result<String, StorageError> {
        match &self.partitions {
            Some(partitions) => {
                let at = waiting.iter().map(|(_, bucket)| bucket.as_microsecond());
                partitions.of(level.closed).ensure(at).await?;
                Ok(level.closed.to_owned())
            }
            None => {
                let sql = "SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name) \
                           FROM timescaledb_information.continuous_aggregates \
                           WHERE view_schema = 'tidegate' AND view_name = $1::text";
                Ok(client.query_one(sql, &[&level.name]).await?.get(0))
            }
        }
    }
}

type Waiting = Vec<(String, Timestamp)>;

/// The oldest dirty buckets of a level that are due.
async fn waiting(client: &Object, level: &Level) -> Result<Waiting, StorageError> {
    let sql = "SELECT d.tenant_id, d.bucket FROM rollup_dirty d JOIN rollup_levels l USING (level) \
               WHERE d.level = $1 AND d.bucket < least(l.closed_until, l.noted_before) \
               AND d.since <= now() - make_interval(secs => $2::float8) ORDER BY d.bucket, d.tenant_id LIMIT $3";
    let statement = client.prepare_cached(sql).await?;
    let rows = client.query(&statement, &[&level.name, &seconds(level.debounce), &step(level)]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Takes these buckets from the list and makes them anew, in one transaction: how many, and how many were left as they are.
async fn make_anew(
    client: &mut Object,
    level: &Level,
    table: &str,
    is_materialized: bool,
    made_back_s: Option<f64>,
    waiting: &Waiting,
) -> Result<(u64, u64), StorageError> {
    let (tenants, buckets): (Vec<&str>, Vec<Timestamp>) =
        waiting.iter().map(|(tenant, bucket)| (tenant.as_str(), *bucket)).unzip();
    let transaction = client.transaction().await?;
    if is_materialized {
        // A refresh deletes and inserts as well, without a lock that would keep another from doing so: the bucket would be
        // there twice.
        transaction.batch_execute(&format!("LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")).await?;
    }
    // Before anything is read, so that what is committed while they are made is noted again (see touched_spread.sql).
    let taken = transaction
        .query(
            include_str!("../../sql/queries/rollup_dirty_take.sql"),
            &[&level.name, &tenants, &buckets, &level.source.as_str(), &seconds(REFRESH_SLACK), &made_back_s],
        )
        .await?;
    let whole: Waiting = taken.iter().filter(|row| row.get(2)).map(|row| (row.get(0), row.get(1))).collect();
    let (made, left) = (whole.len() as u64, (taken.len() - whole.len()) as u64);
    // A compressed chunk of materialized buckets is opened as far as it must be (timescale engine).
    transaction.batch_execute("SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0").await?;
    for window in windows(whole, level.width) {
        replace(&transaction, level, table, &window).await?;
    }
    transaction.commit().await?;
    Ok((made, left))
}

async fn replace(
    transaction: &Transaction<'_>,
    level: &Level,
    table: &str,
    window: &Window,
) -> Result<(), StorageError> {
    let width_us = i64::try_from(level.width.as_micros()).expect("buckets are at most a day wide");
    let Window { tenant_id, buckets } = window;
    let (from, last) = (buckets[0], buckets[buckets.len() - 1]);
    let to = Timestamp::from_microsecond(last.as_microsecond() + width_us)
        .map_err(|_| StorageError::fatal(format!("no bucket ends after {last}")))?;
    let delete = format!(
        "DELETE FROM {table} WHERE tenant_id = $1 AND bucket >= $2 AND bucket < $3 AND bucket = ANY ($4::timestamptz[])"
    );
    transaction.execute(&delete, &[tenant_id, &from, &to, buckets]).await?;
    let insert = format!(
        "INSERT INTO {table} SELECT r.* FROM {} r WHERE r.tenant_id = $1 AND r.bucket = ANY ($4::timestamptz[])",
        rollup_sql(level, "$2", "$3")
    );
    transaction.execute(&insert, &[tenant_id, &from, &to, buckets]).await?;
    Ok(())
}

/// Puts together what lies near each other.
fn windows(waiting: Waiting, width: Duration) -> Vec<Window> {
    let width_us = i64::try_from(width.as_micros()).expect("buckets are at most a day wide");
    let mut of_tenants: BTreeMap<String, Vec<Timestamp>> = BTreeMap::new();
    for (tenant_id, bucket) in waiting {
        of_tenants.entry(tenant_id).or_default().push(bucket);
    }
    let mut windows: Vec<Window> = Vec::new();
    for (tenant_id, mut buckets) in of_tenants {
        buckets.sort_unstable();
        let mut window = Window { tenant_id, buckets: Vec::new() };
        for bucket in buckets {
            let apart = |other: &Timestamp| (bucket.as_microsecond() - other.as_microsecond()) / width_us;
            let near = window.buckets.last().is_none_or(|last| apart(last) <= GAP_BUCKETS)
                && window.buckets.first().is_none_or(|first| apart(first) < WINDOW_BUCKETS);
            if !near {
                let buckets = std::mem::take(&mut window.buckets);
                windows.push(Window { tenant_id: window.tenant_id.clone(), buckets });
            }
            window.buckets.push(bucket);
        }
        windows.push(window);
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(minute * 60).expect("valid")
    }

    #[test]
    fn buckets_near_each_other_are_read_together() {
        let minutes = [("b", 7), ("a", 40), ("a", 3), ("a", 4), ("a", 36), ("a", 73), ("a", 5000)];
        let waiting = minutes.map(|(tenant, minute)| (tenant.to_owned(), at(minute))).to_vec();
        let window = |tenant: &str, minutes: &[i64]| Window {
            tenant_id: tenant.to_owned(),
            buckets: minutes.iter().map(|minute| at(*minute)).collect(),
        };
        let expected = [window("a", &[3, 4, 36, 40]), window("a", &[73]), window("a", &[5000]), window("b", &[7])];
        assert_eq!(windows(waiting, Duration::from_secs(60)), expected);
    }

    #[test]
    fn a_window_is_not_longer_than_its_bound() {
        let waiting = (0..3000).map(|minute| ("a".to_owned(), at(minute))).collect();
        let lengths: Vec<usize> =
            windows(waiting, Duration::from_secs(60)).iter().map(|window| window.buckets.len()).collect();
        assert_eq!(lengths, [1440, 1440, 120]);
    }
}
