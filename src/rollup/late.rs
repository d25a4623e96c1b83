//! Late rows: closed buckets that were touched afterwards are recomputed from their rows, one tenant's at a time.
//!
//! Without continuous aggregates that is every closed bucket. Where there are some, refreshes do it, for all tenants at once,
//! as far back as everybody's rows are whole; what lies before that, and what no policy looks after, is left to this job,
//! which touches nobody else's buckets. A bucket whose raw rows may have expired is left as it is.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use deadpool_postgres::{Object, Transaction};
use jiff::Timestamp;

use super::floors::seconds;
use crate::config::{Config, RetentionConfig};
use crate::jobs::{Job, RunCounts};
use crate::limits::{REFRESH_SLACK, ROLLUP_RUN_MAX};
use crate::model::{LEVELS, Level, Relation};
use crate::precedence::Precedence;
use crate::storage::{StorageError, Store};

/// Two buckets of a tenant are read together when no more than this many lie between them.
const GAP_BUCKETS: i64 = 32;
/// Longest stretch of a tenant that is read together, in buckets.
const STRETCH_BUCKETS: i64 = 1440;

pub struct Late {
    store: Store,
    retention: RetentionConfig,
    precedence: Precedence,
}

/// Buckets of a tenant that are read together.
#[derive(Debug, PartialEq, Eq)]
struct BucketRange {
    tenant_id: String,
    buckets: Vec<Timestamp>,
}

impl Job for Late {
    fn name(&self) -> &'static str {
        "late_rollups"
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn run_once(&self, client: &mut Object) -> Result<RunCounts, StorageError> {
        let deadline = Instant::now() + ROLLUP_RUN_MAX;
        let (mut recomputed, mut expired) = (0, 0);
        // In turn: days of late minutes are no reason for the hours to wait.
        let mut levels: Vec<&'static Level> = LEVELS.iter().collect();
        while !levels.is_empty() && Instant::now() < deadline {
            let mut more = Vec::new();
            for level in levels {
                let waiting = waiting(client, level).await?;
                if waiting.is_empty() {
                    continue;
                }
                let begun = Instant::now();
                let (new, left) = self.step(client, level, &waiting).await?;
                self.precedence.give_way(begun.elapsed()).await;
                recomputed += new;
                expired += left;
                more.push(level);
            }
            levels = more;
        }
        Ok(vec![("buckets", recomputed), ("expired", expired)])
    }
}

impl Late {
    pub fn new(store: &Store, config: &Config, precedence: Precedence) -> Self {
        Self { store: store.clone(), retention: config.retention.clone(), precedence }
    }

    /// Takes these buckets from the list and recomputes them, in one transaction: how many, and how many were left as they
    /// are.
    async fn step(
        &self,
        client: &mut Object,
        level: &'static Level,
        waiting: &Waiting,
    ) -> Result<(u64, u64), StorageError> {
        let layout = self.store.layout();
        let table = layout.closed(&***client, level).await?;
        let back_s = self.retention.recomputed_back(level).map(seconds);
        let (tenants, buckets): (Vec<&str>, Vec<Timestamp>) =
            waiting.iter().map(|(tenant, bucket)| (tenant.as_str(), *bucket)).unzip();
        let transaction = client.transaction().await?;
        if layout.has_hypertables() {
            // A refresh deletes and inserts as well, without a lock that would keep another from doing so: the bucket would
            // be there twice.
            transaction.batch_execute(&format!("LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")).await?;
        }
        // Before anything is read, so that what is committed while they are computed is noted again (see touched_spread.sql).
        let taken = transaction
            .query(
                include_str!("../../sql/queries/rollup_dirty_take.sql"),
                &[&level.name, &tenants, &buckets, &level.source().table(), &seconds(REFRESH_SLACK), &back_s],
            )
            .await?;
        let whole: Waiting = taken.iter().filter(|row| row.get(2)).map(|row| (row.get(0), row.get(1))).collect();
        let (made, left) = (whole.len() as u64, (taken.len() - whole.len()) as u64);
        // Only for those: a partition of what has expired would be dropped again at once.
        let at = whole.iter().map(|(_, bucket)| bucket.as_microsecond());
        self.store.ensure(Relation::Rollup(level), at).await?;
        // A compressed chunk of materialized buckets is opened as far as it must be (timescale engine).
        transaction.batch_execute("SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0").await?;
        for stretch in stretches(whole, level.width) {
            replace(&transaction, level, &table, &stretch).await?;
        }
        transaction.commit().await?;
        Ok((made, left))
    }
}

type Waiting = Vec<(String, Timestamp)>;

/// The oldest dirty buckets of a level that are due: also those that were noted later than now, before the clock was set back.
async fn waiting(client: &Object, level: &Level) -> Result<Waiting, StorageError> {
    let sql = "SELECT d.tenant_id, d.bucket FROM rollup_dirty d JOIN rollup_levels l USING (level) \
               WHERE d.level = $1 AND d.bucket < least(l.closed_until, l.noted_before) \
               AND d.since NOT BETWEEN now() - make_interval(secs => $2::float8) AND now() + make_interval(secs => $2::float8) \
               ORDER BY d.bucket, d.tenant_id LIMIT $3";
    let statement = client.prepare_cached(sql).await?;
    let rows = client.query(&statement, &[&level.name, &seconds(level.debounce), &level.late_step]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

async fn replace(
    transaction: &Transaction<'_>,
    level: &Level,
    table: &str,
    stretch: &BucketRange,
) -> Result<(), StorageError> {
    let width_us = level.width_us();
    let BucketRange { tenant_id, buckets } = stretch;
    let (from, last) = (buckets[0], buckets[buckets.len() - 1]);
    let to = Timestamp::from_microsecond(last.as_microsecond() + width_us)
        .map_err(|_| StorageError::fatal(format!("no bucket ends after {last}")))?;
    let delete = format!(
        "DELETE FROM {table} WHERE tenant_id = $1 AND bucket >= $2 AND bucket < $3 AND bucket = ANY ($4::timestamptz[])"
    );
    transaction.execute(&delete, &[tenant_id, &from, &to, buckets]).await?;
    let insert = format!(
        "INSERT INTO {table} SELECT r.* FROM {} r WHERE r.tenant_id = $1 AND r.bucket = ANY ($4::timestamptz[])",
        level.computed("$2", "$3")
    );
    transaction.execute(&insert, &[tenant_id, &from, &to, buckets]).await?;
    Ok(())
}

/// Puts together what lies near each other.
fn stretches(waiting: Waiting, width: Duration) -> Vec<BucketRange> {
    let width_us = i64::try_from(width.as_micros()).expect("buckets are at most a day wide");
    let mut of_tenants: BTreeMap<String, Vec<Timestamp>> = BTreeMap::new();
    for (tenant_id, bucket) in waiting {
        of_tenants.entry(tenant_id).or_default().push(bucket);
    }
    let mut stretches: Vec<BucketRange> = Vec::new();
    for (tenant_id, mut buckets) in of_tenants {
        buckets.sort_unstable();
        let mut stretch = BucketRange { tenant_id, buckets: Vec::new() };
        for bucket in buckets {
            let apart = |other: &Timestamp| (bucket.as_microsecond() - other.as_microsecond()) / width_us;
            let near = stretch.buckets.last().is_none_or(|last| apart(last) <= GAP_BUCKETS)
                && stretch.buckets.first().is_none_or(|first| apart(first) < STRETCH_BUCKETS);
            if !near {
                let buckets = std::mem::take(&mut stretch.buckets);
                stretches.push(BucketRange { tenant_id: stretch.tenant_id.clone(), buckets });
            }
            stretch.buckets.push(bucket);
        }
        stretches.push(stretch);
    }
    stretches
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
        let stretch = |tenant: &str, minutes: &[i64]| BucketRange {
            tenant_id: tenant.to_owned(),
            buckets: minutes.iter().map(|minute| at(*minute)).collect(),
        };
        let expected = [stretch("a", &[3, 4, 36, 40]), stretch("a", &[73]), stretch("a", &[5000]), stretch("b", &[7])];
        assert_eq!(stretches(waiting, Duration::from_secs(60)), expected);
    }

    #[test]
    fn a_window_is_not_longer_than_its_bound() {
        let waiting = (0..3000).map(|minute| ("a".to_owned(), at(minute))).collect();
        let lengths: Vec<usize> =
            stretches(waiting, Duration::from_secs(60)).iter().map(|stretch| stretch.buckets.len()).collect();
        assert_eq!(lengths, [1440, 1440, 120]);
    }
}
