//! What the correlation job remembers between runs is given up when it is of no more use, a bounded part of it in a run.

use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use deadpool_postgres::Object;
use jiff::Timestamp;

use super::orphans;
use crate::jobs::minutes::{Tally, minute_of};
use crate::limits::{
    ANOMALY_HISTORY_HOURS, GROUP_EDGES_MINUTES, GROUPS_LOOKED_UP_MINUTES, LIFT_LATE_MINUTES_MAX, UPKEEP_ROWS,
};
use crate::storage::StorageError;

/// Statements of a run about the ends of groups.
const STEPS_PER_RUN: usize = 20;

/// Gives up what is old; `from_minute` is where the ends of groups are gone on with.
pub(super) async fn run(
    client: &Object,
    groups: &str,
    kept: Duration,
    from_minute: &AtomicI32,
    tally: &mut Tally,
) -> Result<(), StorageError> {
    let now = minute_of(Timestamp::now());
    tally.add("edges_given_up", prune_edges(client, groups, from_minute, now).await?);
    let delete = |table: &str, column: &str| {
        format!(
            "DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE {column} < $1 LIMIT {UPKEEP_ROWS}))"
        )
    };
    // A minute bears on the 63 after it.
    let types = client.prepare_cached(&delete("type_minutes", "minute")).await?;
    client.execute(&types, &[&(now - LIFT_LATE_MINUTES_MAX - 64)]).await?;
    let errors = client.prepare_cached(&delete("asset_errors", "hour")).await?;
    let kept_hours = i64::try_from(kept.as_secs() / 3600).unwrap_or(i64::MAX).saturating_add(ANOMALY_HISTORY_HOURS);
    let oldest = i64::from(now / 60).saturating_sub(kept_hours);
    client.execute(&errors, &[&i32::try_from(oldest).unwrap_or(0)]).await?;
    orphans::expire(client).await?;
    Ok(())
}

/// Goes through the ends of groups from the oldest on, and from the start again when it has met all.
async fn prune_edges(client: &Object, groups: &str, from_minute: &AtomicI32, now: i32) -> Result<usize, StorageError> {
    let sql = include_str!("../../sql/queries/edges_prune.sql").replace("{groups}", groups);
    let statement = client.prepare_cached(&sql).await?;
    let until = now - GROUP_EDGES_MINUTES;
    let oldest = now - GROUPS_LOOKED_UP_MINUTES;
    let mut given_up = 0;
    for _ in 0..STEPS_PER_RUN {
        let from = from_minute.load(Ordering::Relaxed);
        let row = client.query_one(&statement, &[&from, &until, &UPKEEP_ROWS, &oldest]).await?;
        let (met, last, gone): (i64, Option<i32>, i64) = (row.get(0), row.get(1), row.get(2));
        given_up += usize::try_from(gone).unwrap_or(0);
        let next = match last {
            // More of this minute than one statement takes, none of which may go.
            Some(last) if met == UPKEEP_ROWS && gone == 0 && last == from => last + 1,
            Some(last) if met == UPKEEP_ROWS => last,
            _ => 0,
        };
        from_minute.store(next, Ordering::Relaxed);
        if next == 0 {
            break;
        }
    }
    Ok(given_up)
}
