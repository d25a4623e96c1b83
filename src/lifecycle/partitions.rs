//! Partitions of the postgres engine: made ahead of what is written, dropped when expired.

use super::Run;
use super::plan::micros;
use crate::config::RollupsConfig;
use crate::limits::FUTURE_DAYS_MAX;
use crate::rollup::levels::LEVELS;
use crate::storage::{PartitionedTables, StorageError};

const DAY_US: i64 = 86_400_000_000;
/// Relations that are written as far ahead as timestamps are accepted.
const AHEAD: [&str; 3] = ["events", "metrics", "correlations"];

/// Makes what will be written to soon, so that no COPY has to wait for it.
pub async fn make_ahead(tables: &PartitionedTables, rollups: &RollupsConfig, now_us: i64) -> Result<u64, StorageError> {
    let mut made = 0;
    for table in AHEAD {
        made += tables.of(table).ensure((-1..=FUTURE_DAYS_MAX).map(|day| now_us + day * DAY_US)).await?;
    }
    for level in LEVELS.iter().filter(|level| level.is_kept(rollups)) {
        made += tables.of(level.closed).ensure((-1..=1).map(|day| now_us + day * DAY_US)).await?;
    }
    Ok(made as u64)
}

/// Drops what has expired, relation by relation; one that fails does not stop the others.
pub async fn drop_expired(tables: &PartitionedTables, run: &mut Run<'_>) -> u64 {
    let mut dropped = 0;
    for kept in run.plan {
        let Some(keep) = kept.keep else { continue };
        let oldest_us = run.now_us.saturating_sub(micros(keep.saturating_add(kept.grace)));
        let oldest_us = oldest_us.min(run.floor_us(kept.relation, None));
        match tables.of(kept.table).drop_before(oldest_us).await {
            Ok(number) => dropped += number as u64,
            Err(error) => run.note(&format!("dropping expired partitions of {}", kept.table), error),
        }
    }
    dropped
}
