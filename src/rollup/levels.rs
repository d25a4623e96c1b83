//! The rollups that there are: their names, how wide a bucket is, when it closes, how long it is kept. One table for both
//! engines, for the jobs that keep them and for whoever reads them.

use std::time::Duration;

use crate::config::{RetentionConfig, RollupsConfig};
use crate::limits::CORRELATION_GROUPS_KEPT;

/// What a rollup is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The relation `metrics`.
    Metrics,
    /// The relation `events`.
    Events,
}

#[derive(Debug)]
pub struct Level {
    /// The relation that is read: a continuous aggregate on the timescale engine, a view on the postgres engine.
    pub name: &'static str,
    /// Where the postgres engine keeps its closed buckets.
    pub closed: &'static str,
    /// What it is made of.
    pub source: Source,
    /// Width of a bucket.
    pub width: Duration,
    /// How long after its end a bucket is closed. What is late by less costs nothing; a closed bucket is made anew whole.
    /// With the pace of the jobs, less than a bucket's width, so that what is open is never as much as two buckets.
    pub settle: Duration,
    /// How long a late row may wait for its neighbours before its bucket is made anew (postgres engine): the wider the
    /// bucket, the dearer.
    pub debounce: Duration,
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 86_400;

/// All rollups, the finest first.
pub const LEVELS: [Level; 6] = [
    Level {
        name: "metrics_1m",
        closed: "metrics_1m_closed",
        source: Source::Metrics,
        width: seconds(MINUTE),
        settle: seconds(10),
        debounce: seconds(1),
    },
    Level {
        name: "metrics_5m",
        closed: "metrics_5m_closed",
        source: Source::Metrics,
        width: seconds(5 * MINUTE),
        settle: seconds(MINUTE),
        debounce: seconds(3),
    },
    Level {
        name: "metrics_hourly",
        closed: "metrics_hourly_closed",
        source: Source::Metrics,
        width: seconds(HOUR),
        settle: seconds(10 * MINUTE),
        debounce: seconds(8),
    },
    Level {
        name: "metrics_daily",
        closed: "metrics_daily_closed",
        source: Source::Metrics,
        width: seconds(DAY),
        settle: seconds(2 * HOUR),
        debounce: seconds(15),
    },
    Level {
        name: "event_counts_hourly",
        closed: "event_counts_hourly_closed",
        source: Source::Events,
        width: seconds(HOUR),
        settle: seconds(10 * MINUTE),
        debounce: seconds(8),
    },
    Level {
        name: "correlation_groups",
        closed: "correlation_groups_closed",
        source: Source::Events,
        width: seconds(HOUR),
        settle: seconds(10 * MINUTE),
        debounce: seconds(8),
    },
];

impl Level {
    /// Whether the configuration wants it kept; what is not kept is computed from the rows when it is read.
    pub fn is_kept(&self, rollups: &RollupsConfig) -> bool {
        match self.name {
            "metrics_1m" => rollups.minute,
            "metrics_5m" => rollups.five_minutes,
            _ => true,
        }
    }

    /// How long its buckets are kept; None: for ever.
    pub fn keep(&self, retention: &RetentionConfig) -> Option<Duration> {
        match self.name {
            "metrics_1m" => Some(retention.rollups.minute),
            "metrics_5m" => Some(retention.rollups.five_minutes),
            "metrics_daily" => retention.rollups.daily,
            "correlation_groups" => Some(CORRELATION_GROUPS_KEPT),
            _ => Some(retention.rollups.hourly),
        }
    }

    /// How far back its buckets are made anew at most; None: as far as the rows are whole. What is kept for some days only
    /// is not made for a year's worth of late rows, to be dropped at once.
    pub fn made_back(&self, retention: &RetentionConfig) -> Option<Duration> {
        let keep = match self.name {
            "metrics_1m" => retention.rollups.minute,
            "metrics_5m" => retention.rollups.five_minutes,
            "correlation_groups" => CORRELATION_GROUPS_KEPT,
            _ => return None,
        };
        Some(keep.saturating_add(seconds(DAY)))
    }

    /// The age, from its end, at which a chunk of materialized buckets is compressed (timescale engine). The fine levels
    /// have a row for nearly every sample where samples are sparse; the others are small.
    pub fn compress_after(&self) -> Option<Duration> {
        // A correction rewrites what it touches of a compressed chunk: by then a sender that was away for a night has
        // caught up.
        matches!(self.name, "metrics_1m" | "metrics_5m").then_some(seconds(12 * HOUR))
    }

    /// How long the rows that it is made of are kept.
    pub fn source_keep(&self, retention: &RetentionConfig) -> Duration {
        match self.source {
            Source::Metrics => retention.metrics,
            Source::Events => retention.events,
        }
    }
}

/// What the lifecycle job does with a rollup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LevelRetention {
    /// Name of the rollup: the continuous aggregate on the timescale engine.
    pub relation: &'static str,
    /// The partitioned table of its closed buckets on the postgres engine.
    pub closed: &'static str,
    /// Chunks and partitions whose end is older are dropped; None: never.
    pub keep: Option<Duration>,
    /// Chunks whose end is older are compressed; None: never (timescale engine).
    pub compress_after: Option<Duration>,
}

/// Retention and compression of every rollup, as configured.
pub fn rollup_retention(retention: &RetentionConfig) -> Vec<LevelRetention> {
    LEVELS
        .iter()
        .map(|level| LevelRetention {
            relation: level.name,
            closed: level.closed,
            keep: level.keep(retention),
            compress_after: level.compress_after(),
        })
        .collect()
}
