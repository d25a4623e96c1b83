//! Closing buckets on the postgres engine: what is over moves from being computed at each read into the level's table.
//!
//! Buckets and the watermark `closed_until` move in one transaction, so that the view is right at every moment. The other
//! watermark, `noted_before`, moves before: a row that is committed while its bucket closes is then noted as late, and the
//! bucket made anew (see [`super::late`]).

use std::time::{Duration, Instant};

use deadpool_postgres::Object;
use jiff::Timestamp;
use tokio_postgres::types::ToSql;

use super::floors::seconds;
use super::levels::{LEVELS, Level, Source};
use crate::config::{RetentionConfig, RollupsConfig};
use crate::limits::ROLLUP_RUN_MAX;
use crate::storage::{PartitionedTables, StorageError};

/// Time that one transaction closes at most, for each width: what a downtime left is closed piece by piece.
fn step(level: &Level) -> Duration {
    const HOUR: u64 = 3600;
    let hours = match level.width.as_secs() {
        60 => 1,
        300 => 6,
        _ => 24,
    };
    Duration::from_secs(hours * HOUR)
}

/// The SELECT that computes a level's buckets from rows; two parameters say from when to when.
pub(super) fn rollup_sql(level: &Level, from: &str, to: &str) -> String {
    match (level.source, level.name) {
        (Source::Metrics, _) => {
            format!("metrics_rollup(INTERVAL '{} seconds', {from}, {to})", level.width.as_secs())
        }
        (Source::Events, "correlation_groups") => format!("correlation_groups_rollup({from}, {to})"),
        (Source::Events, _) => format!("event_counts_rollup({from}, {to})"),
    }
}

/// Closes what is over, of each level that is kept, for at most [`ROLLUP_RUN_MAX`]; returns how many steps it took.
pub(super) async fn close(
    client: &mut Object,
    partitions: &PartitionedTables,
    retention: &RetentionConfig,
    rollups: &RollupsConfig,
) -> Result<u64, StorageError> {
    let deadline = Instant::now() + ROLLUP_RUN_MAX;
    let mut steps = 0;
    for level in LEVELS.iter().filter(|level| level.is_kept(rollups)) {
        while Instant::now() < deadline {
            let closed = close_some(client, partitions, retention, level).await;
            // Perhaps another node dropped a partition.
            if !closed.inspect_err(|_| partitions.of(level.closed).forget())? {
                break;
            }
            steps += 1;
        }
    }
    Ok(steps)
}

/// One step of one level; false when there is nothing to close.
async fn close_some(
    client: &mut Object,
    partitions: &PartitionedTables,
    retention: &RetentionConfig,
    level: &Level,
) -> Result<bool, StorageError> {
    let keep = level.keep(retention).map(seconds);
    let row = client
        .query_one(
            include_str!("../../sql/queries/rollup_step.sql"),
            &[&level.name, &seconds(level.settle), &keep, &seconds(step(level))],
        )
        .await?;
    let (was, from, to): (Timestamp, Timestamp, Timestamp) = (row.get(0), row.get(1), row.get(2));
    if to <= from {
        return Ok(false);
    }
    let ends = [from.as_microsecond(), to.as_microsecond() - 1];
    partitions.of(level.closed).ensure(ends.into_iter()).await?;
    let noted = "UPDATE rollup_levels SET noted_before = greatest(noted_before, $2) WHERE level = $1";
    client.execute(noted, &[&level.name, &to]).await?;

    let transaction = client.transaction().await?;
    let moved = "UPDATE rollup_levels SET closed_until = $2 WHERE level = $1 AND closed_until = $3";
    if transaction.execute(moved, &[&level.name, &to, &was]).await? == 1 {
        let insert = format!("INSERT INTO {} SELECT * FROM {}", level.closed, rollup_sql(level, "$1", "$2"));
        let bounds: [&(dyn ToSql + Sync); 2] = [&from, &to];
        transaction.execute(&insert, &bounds).await?;
    }
    transaction.commit().await?;
    Ok(true)
}
