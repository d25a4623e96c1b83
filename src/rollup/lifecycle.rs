//! The lifecycle of stored rows that no policy of the database looks after: ledger and dead letters on both engines,
//! partitions on the postgres engine.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Pool;
use jiff::Timestamp;

use super::job::{Counts, Job};
use crate::config::RetentionConfig;
use crate::limits::FUTURE_DAYS_MAX;
use crate::storage::{Partitions, StorageError};

/// Rows deleted in one statement: short transactions, so that vacuum keeps up.
const DELETE_ROWS: i64 = 10_000;
/// Statements of one run and table.
const DELETES_PER_RUN: usize = 100;
const DAY_US: i64 = 86_400_000_000;

/// Makes partitions ahead, drops expired ones, deletes expired ledger rows and dead letters.
pub struct Lifecycle {
    /// The owner's pool.
    pub owner: Pool,
    /// The partitions of events, on the postgres engine.
    pub partitions: Option<Arc<Partitions>>,
    /// How long what is kept.
    pub retention: RetentionConfig,
}

impl Job for Lifecycle {
    const NAME: &'static str = "lifecycle";
    const INTERVAL: Duration = Duration::from_secs(60);

    async fn run_once(&self) -> Result<Counts, StorageError> {
        let now_us = Timestamp::now().as_microsecond();
        let mut counts = Counts::new();
        if let Some(partitions) = &self.partitions {
            let ahead = (-1..=FUTURE_DAYS_MAX).map(|day| now_us + day * DAY_US);
            counts.push(("partitions_made", count(partitions.ensure(ahead).await?)));
            let oldest_us = now_us - i64::try_from(self.retention.events.as_micros()).unwrap_or(i64::MAX);
            counts.push(("partitions_dropped", count(partitions.drop_before(oldest_us).await?)));
        }
        let ledger = self.delete("ingest_ledger", "created_at", self.retention.ledger).await?;
        counts.push(("ledger_rows_deleted", ledger));
        let letters = self.delete("dead_letter_events", "failed_at", self.retention.dead_letters).await?;
        counts.push(("dead_letters_deleted", letters));
        counts.push(("manifests_deleted", self.delete_manifests().await?));
        Ok(counts)
    }
}

impl Lifecycle {
    /// Manifests whose events have expired. Only the oldest are looked at: batch ids grow with time, and there is an
    /// index on nothing else.
    async fn delete_manifests(&self) -> Result<u64, StorageError> {
        let client = self.owner.get().await?;
        let keep_s = i64::try_from(self.retention.events.as_secs()).unwrap_or(i64::MAX);
        let sql = "DELETE FROM ingest_batches WHERE batch_id IN \
                   (SELECT batch_id FROM ingest_batches ORDER BY batch_id LIMIT $2) \
                   AND max_timestamp < now() - make_interval(secs => $1::bigint)";
        Ok(client.execute(sql, &[&keep_s, &DELETE_ROWS]).await?)
    }

    async fn delete(&self, table: &str, column: &str, keep: Duration) -> Result<u64, StorageError> {
        let client = self.owner.get().await?;
        let keep_s = i64::try_from(keep.as_secs()).unwrap_or(i64::MAX);
        let sql = format!(
            "DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} \
             WHERE {column} < now() - make_interval(secs => $1::bigint) LIMIT $2))"
        );
        let mut deleted = 0;
        for _ in 0..DELETES_PER_RUN {
            let rows = client.execute(&sql, &[&keep_s, &DELETE_ROWS]).await?;
            deleted += rows;
            if rows < DELETE_ROWS.unsigned_abs() {
                break;
            }
        }
        Ok(deleted)
    }
}

fn count(number: usize) -> u64 {
    number as u64
}
