//! The relations that are kept in chunks or partitions of time: all of them, with every fact about them.

use std::time::Duration;

use super::{Kind, LEVELS, Level};
use crate::limits::{FUTURE_DAYS_MAX, RAW_EXPIRY_GRACE};

/// A relation that is kept in chunks or partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// What was sent: `events` or `metrics`.
    Raw(Kind),
    Correlations,
    Rollup(&'static Level),
}

impl Relation {
    /// Every relation: what was sent, what is derived, then the rollups, the finest first.
    pub fn all() -> impl Iterator<Item = Self> {
        let raw = Kind::ALL.into_iter().map(Self::Raw);
        raw.chain([Self::Correlations]).chain(LEVELS.iter().map(Self::Rollup))
    }

    /// Its name in the schema, by which it is read.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw(kind) => kind.table(),
            Self::Correlations => "correlations",
            Self::Rollup(level) => level.name,
        }
    }

    /// The hypertable or continuous aggregate that holds it in layouts of those.
    pub const fn hypertable(self) -> &'static str {
        match self {
            Self::Raw(_) | Self::Correlations => self.name(),
            Self::Rollup(level) => level.buckets,
        }
    }

    /// The partitioned table that holds it in layouts of native partitions.
    pub const fn table(self) -> &'static str {
        match self {
            Self::Raw(_) | Self::Correlations => self.name(),
            Self::Rollup(level) => level.closed,
        }
    }

    /// Width of a new partition.
    pub const fn partition(self, chunk_interval: Duration) -> Duration {
        match self {
            Self::Raw(_) | Self::Correlations => chunk_interval,
            Self::Rollup(level) => level.partition,
        }
    }

    /// How many days ahead partitions are made: as far as timestamps are accepted, or as far as buckets close.
    pub const fn days_ahead(self) -> i64 {
        match self {
            Self::Raw(_) | Self::Correlations => FUTURE_DAYS_MAX,
            Self::Rollup(_) => 1,
        }
    }

    /// How much longer it stays than it is kept: no refresh meets expired rows.
    pub const fn grace(self) -> Duration {
        match self {
            Self::Raw(_) => RAW_EXPIRY_GRACE,
            Self::Correlations | Self::Rollup(_) => Duration::ZERO,
        }
    }

    /// The column of `organizations` that says how many days an organization keeps its own rows; None: as everybody.
    pub const fn retention_column(self) -> Option<&'static str> {
        match self {
            Self::Raw(Kind::Events) => Some("events_retention_days"),
            Self::Raw(Kind::Metrics) => Some("metrics_retention_days"),
            Self::Correlations => Some("correlations_retention_days"),
            Self::Rollup(_) => None,
        }
    }

    /// The rows that rollups are computed from, and that wait for them before they go.
    pub const fn source(self) -> Option<Kind> {
        match self {
            Self::Raw(kind) => Some(kind),
            Self::Correlations | Self::Rollup(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_distinct() {
        let names: BTreeSet<&str> = Relation::all().map(Relation::name).collect();
        assert_eq!(names.len(), Relation::all().count());
    }
}
