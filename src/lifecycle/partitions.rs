//! Partitions: made ahead of what is written, dropped when expired. Where the database makes its chunks itself there is nothing
//! to be done here.

use super::plan::micros;
use super::run::Run;
use crate::config::RollupsConfig;
use crate::model::Relation;
use crate::storage::{StorageError, Store};

const DAY_US: i64 = 86_400_000_000;

/// Makes what will be written to soon, so that no COPY has to wait for it.
pub async fn make_ahead(store: &Store, rollups: &RollupsConfig, now_us: i64) -> Result<u64, StorageError> {
    let is_written = |relation: &Relation| match relation {
        Relation::Raw(_) | Relation::Correlations => true,
        Relation::Rollup(level) => *rollups.of(level),
    };
    let mut made = 0;
    for relation in Relation::all().filter(is_written) {
        let days = (-1..=relation.days_ahead()).map(|day| now_us + day * DAY_US);
        made += store.ensure(relation, days).await?;
    }
    Ok(made as u64)
}

/// Drops what has expired, relation by relation; one that fails does not stop the others.
pub async fn drop_expired(store: &Store, run: &mut Run<'_>) -> u64 {
    let mut dropped = 0;
    for kept in run.plan {
        let Some(keep) = kept.keep else { continue };
        let oldest_us = run.now_us.saturating_sub(micros(keep.saturating_add(kept.relation.grace())));
        let oldest_us = oldest_us.min(run.floor_us(kept.relation, None));
        match store.drop_before(kept.relation, oldest_us).await {
            Ok(number) => dropped += number as u64,
            Err(error) => run.note(&format!("dropping expired partitions of {}", kept.relation.table()), error),
        }
    }
    dropped
}
