//! For how long pairs are kept, and the partitions that they are written to.

use std::time::Duration;

use jiff::Timestamp;

use crate::jobs::minutes::MinuteRange;
use crate::limits::CHAIN_GAP_MAX;
use crate::model::Relation;
use crate::storage::{StorageError, Store};

const HOUR_US: i64 = 3_600_000_000;

/// What every rule knows of the relation `correlations`.
#[derive(Clone)]
pub(super) struct KeptPairs {
    pub store: Store,
    /// How long pairs are kept: older ones are not made.
    pub kept: Duration,
}

impl KeptPairs {
    /// Whether pairs of a time are kept at all.
    pub fn keeps(&self, until: Timestamp) -> bool {
        let age = Timestamp::now().duration_since(until);
        age.as_secs() < i64::try_from(self.kept.as_secs()).unwrap_or(i64::MAX)
    }

    /// Makes the partitions in which pairs of a range may lie: those of its own time, and of a day after it, when one of its
    /// events turns out to be the earlier one.
    pub async fn make_partitions(&self, range: &MinuteRange) -> Result<(), StorageError> {
        let from_us = range.starts_at().as_microsecond();
        let hours = i64::try_from(CHAIN_GAP_MAX.as_secs() / 3600).unwrap_or(0) + 1;
        self.make_partitions_at(range, (0..=hours).map(|hour| from_us + hour * HOUR_US)).await
    }

    /// Makes the partitions of pairs of a range that lie at these times, in microseconds since 1970.
    pub async fn make_partitions_at(
        &self,
        range: &MinuteRange,
        at_us: impl Iterator<Item = i64>,
    ) -> Result<(), StorageError> {
        if !self.keeps(range.ends_at()) {
            return Ok(());
        }
        self.store.ensure(Relation::Correlations, at_us).await.map(drop)
    }
}
