//! The lifecycle of stored rows that no policy of the database looks after: ledger and dead letters on both engines,
//! partitions on the postgres engine.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Object;
use jiff::Timestamp;

use super::job::{Counts, Job};
use crate::config::RetentionConfig;
use crate::limits::FUTURE_DAYS_MAX;
use crate::storage::{PartitionedTables, StorageError};

/// Rows deleted in one statement: short transactions, so that vacuum keeps up.
const DELETE_ROWS: i64 = 10_000;
/// Statements of one run and table.
const DELETES_PER_RUN: usize = 100;
const DAY_US: i64 = 86_400_000_000;

/// Makes partitions ahead, drops expired ones, deletes expired ledger rows and dead letters.
pub struct Lifecycle {
    /// The partitioned relations, on the postgres engine.
    pub partitions: Option<Arc<PartitionedTables>>,
    /// How long what is kept.
    pub retention: RetentionConfig,
}

impl Job for Lifecycle {
    const NAME: &'static str = "lifecycle";
    const INTERVAL: Duration = Duration::from_secs(60);

    async fn run_once(&self, client: &mut Object) -> Result<Counts, StorageError> {
        let mut counts = Counts::new();
        let mut failed = None;
        // Each step on its own: a partition that cannot be dropped is no reason to keep expired ledger rows.
        let steps = [
            ("partitions_made", self.make_partitions().await),
            ("partitions_dropped", self.drop_partitions().await),
            ("ledger_rows_deleted", self.delete(client, "ingest_ledger", "created_at", self.retention.ledger).await),
            (
                "dead_letters_deleted",
                self.delete(client, "dead_letter_events", "failed_at", self.retention.dead_letters).await,
            ),
            ("manifests_deleted", self.delete_manifests(client).await),
        ];
        for (what, result) in steps {
            match result {
                Ok(count) => counts.push((what, count)),
                Err(error) => {
                    tracing::warn!(what, %error, "a step of the lifecycle job failed");
                    failed = Some(error);
                }
            }
        }
        failed.map_or(Ok(counts), Err)
    }
}

impl Lifecycle {
    async fn make_partitions(&self) -> Result<u64, StorageError> {
        let Some(partitions) = &self.partitions else { return Ok(0) };
        let now_us = Timestamp::now().as_microsecond();
        partitions.of("events").ensure((-1..=FUTURE_DAYS_MAX).map(|day| now_us + day * DAY_US)).await.map(count)
    }

    async fn drop_partitions(&self) -> Result<u64, StorageError> {
        let Some(partitions) = &self.partitions else { return Ok(0) };
        let keep_us = i64::try_from(self.retention.events.as_micros()).unwrap_or(i64::MAX);
        partitions.of("events").drop_before(Timestamp::now().as_microsecond().saturating_sub(keep_us)).await.map(count)
    }

    /// Manifests whose events have expired. Only the oldest are looked at: batch ids grow with time, and there is an
    /// index on nothing else.
    async fn delete_manifests(&self, client: &Object) -> Result<u64, StorageError> {
        delete_in_steps(
            client,
            "DELETE FROM ingest_batches WHERE batch_id IN (SELECT batch_id FROM ingest_batches ORDER BY batch_id LIMIT $2) \
             AND max_timestamp < now() - make_interval(secs => $1::bigint)",
            self.retention.events,
        )
        .await
    }

    async fn delete(&self, client: &Object, table: &str, column: &str, keep: Duration) -> Result<u64, StorageError> {
        let sql = format!(
            "DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} \
             WHERE {column} < now() - make_interval(secs => $1::bigint) LIMIT $2))"
        );
        delete_in_steps(client, &sql, keep).await
    }
}

/// Runs a DELETE of at most $2 rows older than $1 seconds until it finds fewer.
async fn delete_in_steps(client: &Object, sql: &str, keep: Duration) -> Result<u64, StorageError> {
    let keep_s = i64::try_from(keep.as_secs()).unwrap_or(i64::MAX);
    let mut deleted = 0;
    for _ in 0..DELETES_PER_RUN {
        let rows = client.execute(sql, &[&keep_s, &DELETE_ROWS]).await?;
        deleted += rows;
        if rows < DELETE_ROWS.unsigned_abs() {
            break;
        }
    }
    Ok(deleted)
}

fn count(number: usize) -> u64 {
    number as u64
}
