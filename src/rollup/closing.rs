//! Closing buckets where there are no continuous aggregates: what is over moves from being computed at each read into the level's table.
//!
//! Buckets and the watermark `closed_until` move in one transaction, so that the view is right at every moment. The other
//! watermark, `noted_before`, moves before: a row that is committed while its bucket closes is then noted as late, and the
//! bucket recomputed (see [`super::late`]).

use std::time::Instant;

use deadpool_postgres::Object;
use jiff::Timestamp;
use tokio_postgres::types::ToSql;

use super::floors::seconds;
use crate::config::{RetentionConfig, RollupsConfig};
use crate::limits::ROLLUP_RUN_MAX;
use crate::model::{LEVELS, Level, Relation};
use crate::storage::{StorageError, Store};

/// Closes what is over, of each level that is kept, for at most [`ROLLUP_RUN_MAX`]; returns how many steps it took.
pub(super) async fn close(
    client: &mut Object,
    store: &Store,
    retention: &RetentionConfig,
    rollups: &RollupsConfig,
) -> Result<u64, StorageError> {
    let deadline = Instant::now() + ROLLUP_RUN_MAX;
    let mut steps = 0;
    for level in LEVELS.iter().filter(|level| *rollups.of(level)) {
        while Instant::now() < deadline {
            if !close_some(client, store, retention, level).await? {
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
    store: &Store,
    retention: &RetentionConfig,
    level: &'static Level,
) -> Result<bool, StorageError> {
    let keep = retention.rollups.of(level).map(seconds);
    let row = client
        .query_opt(
            include_str!("../../sql/queries/rollup_step.sql"),
            &[&level.name, &seconds(level.settle), &keep, &seconds(level.close_step)],
        )
        .await?;
    let row = row.ok_or_else(|| {
        StorageError::not_ready(format!(
            "the table tidegate.rollup_levels has lost its row of {}: put it back from a backup of that table",
            level.name
        ))
    })?;
    let (was, from, to): (Timestamp, Timestamp, Timestamp) = (row.get(0), row.get(1), row.get(2));
    if to <= from {
        return Ok(false);
    }
    let ends = [from.as_microsecond(), to.as_microsecond() - 1];
    store.ensure(Relation::Rollup(level), ends.into_iter()).await?;
    let noted = "UPDATE rollup_levels SET noted_before = greatest(noted_before, $2) WHERE level = $1";
    client.execute(noted, &[&level.name, &to]).await?;

    let transaction = client.transaction().await?;
    let moved = "UPDATE rollup_levels SET closed_until = $2 WHERE level = $1 AND closed_until = $3";
    if transaction.execute(moved, &[&level.name, &to, &was]).await? == 1 {
        let insert = format!("INSERT INTO {} SELECT * FROM {}", level.closed, level.computed("$1", "$2"));
        let bounds: [&(dyn ToSql + Sync); 2] = [&from, &to];
        transaction.execute(&insert, &bounds).await?;
    }
    transaction.commit().await?;
    Ok(true)
}
