//! The rollups that there are: one row a level, with every fact about it. Who needs another fact adds a field, and each row
//! has to say it.
//!
//! Pure: what the configuration decides (how long, whether at all) is in `config`, by level.

use std::time::Duration;

use super::Kind;
use crate::limits::{CORRELATION_GROUPS_KEPT, EVENT_MINUTES_KEPT};

/// What the buckets of a level hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Statistics of the samples and summaries of a series.
    Statistics,
    /// How many events, by module, type and severity.
    EventCounts,
    /// Which events share a correlation id.
    CorrelationGroups,
}

#[derive(Debug, Clone, Copy)]
pub enum Keep {
    /// As the configuration says under `key`; without a default: forever.
    Configured {
        /// Several levels may share one.
        key: &'static str,
        default: Option<&'static str>,
    },
    Fixed(Duration),
}

#[derive(Debug, Clone, Copy)]
pub struct Level {
    /// The relation that is read.
    pub name: &'static str,
    /// What is computed of rows: a continuous aggregate, or a view over closed and open buckets. Another than `name` where
    /// that adds something to each bucket.
    pub buckets: &'static str,
    /// Where closed buckets are kept by layouts without continuous aggregates.
    pub closed: &'static str,
    pub content: Content,
    /// What a reader of metrics asks for it by; None: its content is no metrics.
    pub resolution: Option<&'static str>,
    /// Of a bucket. Buckets begin at multiples of it since 1970.
    pub width: Duration,
    /// How long after its end a bucket is closed. What is late by less costs nothing; a closed bucket is recomputed whole.
    /// With the pace of the jobs, less than a bucket's width, so that what is open is never as much as two buckets.
    pub settle: Duration,
    /// How long a late row may wait for its neighbours before its bucket is recomputed by itself: the wider the bucket, the
    /// dearer.
    pub debounce: Duration,
    pub keep: Keep,
    /// Whether `rollups.levels` may leave it out; what is not kept is computed from the rows when it is read.
    pub optional: bool,
    /// Whether buckets are recomputed only as far back as they are kept: what is kept for some days is not made for a year's
    /// worth of late rows, to be dropped at once. Otherwise as far as the rows are whole.
    pub recomputed_while_kept: bool,
    /// The age, from its end, at which a chunk of it is compressed. The fine levels have a row for nearly every sample where
    /// samples are sparse; the others are small. A correction rewrites what it touches of a compressed chunk: by then a
    /// sender that was away for a night has caught up.
    pub compress_after: Option<Duration>,
    /// Width of a partition: what expires soon in days, the rest so that years make some dozens.
    pub partition: Duration,
    /// Time that one transaction closes at most: what a downtime left is closed piece by piece.
    pub close_step: Duration,
    /// Late buckets that one transaction recomputes: some hundreds of the small ones, a few of the large.
    pub late_step: i64,
    /// Buckets that one transaction of a refresh takes.
    pub refresh_step: i32,
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 86_400;

/// Hourly counts of events, which reads know by name.
pub const EVENT_COUNTS: &Level = &Level {
    name: "event_counts_hourly",
    buckets: "event_counts_hourly",
    closed: "event_counts_hourly_closed",
    content: Content::EventCounts,
    resolution: None,
    width: seconds(HOUR),
    settle: seconds(10 * MINUTE),
    debounce: seconds(8),
    keep: Keep::Configured { key: "retention.rollups.hourly", default: Some("730d") },
    optional: false,
    recomputed_while_kept: false,
    compress_after: None,
    partition: seconds(30 * DAY),
    close_step: seconds(DAY),
    late_step: 200,
    refresh_step: 12,
};

/// The same by the minute, for the hours that are not closed yet.
pub const EVENT_MINUTES: &Level = &Level {
    name: "event_counts_1m",
    buckets: "event_counts_1m",
    closed: "event_counts_1m_closed",
    content: Content::EventCounts,
    resolution: None,
    width: seconds(MINUTE),
    settle: seconds(10),
    debounce: seconds(1),
    keep: Keep::Fixed(EVENT_MINUTES_KEPT),
    optional: false,
    recomputed_while_kept: true,
    compress_after: None,
    partition: seconds(DAY),
    close_step: seconds(HOUR),
    late_step: 2000,
    refresh_step: 60,
};

/// Which events share a correlation id, which the correlation job knows by name.
pub const CORRELATION_GROUPS: &Level = &Level {
    name: "correlation_groups",
    buckets: "correlation_groups",
    closed: "correlation_groups_closed",
    content: Content::CorrelationGroups,
    resolution: None,
    width: seconds(HOUR),
    settle: seconds(10 * MINUTE),
    debounce: seconds(8),
    keep: Keep::Fixed(CORRELATION_GROUPS_KEPT),
    optional: false,
    recomputed_while_kept: true,
    compress_after: None,
    partition: seconds(DAY),
    close_step: seconds(DAY),
    late_step: 200,
    refresh_step: 12,
};

const COUNT: usize = 7;

/// All rollups, the finest of a content first. Each row says every fact: none has a default that it could be forgotten by.
pub const LEVELS: [Level; COUNT] = [
    Level {
        name: "metrics_1m",
        buckets: "metrics_1m_buckets",
        closed: "metrics_1m_closed",
        content: Content::Statistics,
        resolution: Some("1m"),
        width: seconds(MINUTE),
        settle: seconds(10),
        debounce: seconds(1),
        keep: Keep::Configured { key: "retention.rollups.1m", default: Some("7d") },
        optional: true,
        recomputed_while_kept: true,
        compress_after: Some(seconds(12 * HOUR)),
        partition: seconds(DAY),
        close_step: seconds(HOUR),
        late_step: 2000,
        refresh_step: 60,
    },
    Level {
        name: "metrics_5m",
        buckets: "metrics_5m_buckets",
        closed: "metrics_5m_closed",
        content: Content::Statistics,
        resolution: Some("5m"),
        width: seconds(5 * MINUTE),
        settle: seconds(MINUTE),
        debounce: seconds(3),
        keep: Keep::Configured { key: "retention.rollups.5m", default: Some("7d") },
        optional: true,
        recomputed_while_kept: true,
        compress_after: Some(seconds(12 * HOUR)),
        partition: seconds(DAY),
        close_step: seconds(6 * HOUR),
        late_step: 1000,
        refresh_step: 36,
    },
    Level {
        name: "metrics_hourly",
        buckets: "metrics_hourly_buckets",
        closed: "metrics_hourly_closed",
        content: Content::Statistics,
        resolution: Some("1h"),
        width: seconds(HOUR),
        settle: seconds(10 * MINUTE),
        debounce: seconds(8),
        keep: Keep::Configured { key: "retention.rollups.hourly", default: Some("730d") },
        optional: false,
        recomputed_while_kept: false,
        compress_after: None,
        partition: seconds(30 * DAY),
        close_step: seconds(DAY),
        late_step: 200,
        refresh_step: 12,
    },
    Level {
        name: "metrics_daily",
        buckets: "metrics_daily_buckets",
        closed: "metrics_daily_closed",
        content: Content::Statistics,
        resolution: Some("1d"),
        width: seconds(DAY),
        settle: seconds(2 * HOUR),
        debounce: seconds(15),
        keep: Keep::Configured { key: "retention.rollups.daily", default: None },
        optional: false,
        recomputed_while_kept: false,
        compress_after: None,
        partition: seconds(365 * DAY),
        close_step: seconds(DAY),
        late_step: 10,
        refresh_step: 1,
    },
    *EVENT_MINUTES,
    *EVENT_COUNTS,
    *CORRELATION_GROUPS,
];

impl PartialEq for Level {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Level {}

impl Level {
    /// The levels of metrics, the finest first.
    pub fn of_metrics() -> impl Iterator<Item = &'static Self> {
        LEVELS.iter().filter(|level| level.resolution.is_some())
    }

    /// The level of metrics that a reader asks for by this name.
    pub fn parse(resolution: &str) -> Option<&'static Self> {
        Self::of_metrics().find(|level| level.resolution == Some(resolution))
    }

    /// What readers may ask for, as a list in words: `1m, 5m, 1h, 1d`.
    pub fn resolutions() -> String {
        Self::of_metrics().filter_map(|level| level.resolution).collect::<Vec<_>>().join(", ")
    }

    /// The rows that it is computed from.
    pub const fn source(&self) -> Kind {
        match self.content {
            Content::Statistics => Kind::Metrics,
            Content::EventCounts | Content::CorrelationGroups => Kind::Events,
        }
    }

    /// Width of a bucket in microseconds.
    pub const fn width_us(&self) -> i64 {
        // Buckets are at most a day wide.
        self.width.as_secs().cast_signed() * 1_000_000
    }

    /// Width of a bucket, as PostgreSQL reads it.
    pub fn interval(&self) -> String {
        format!("{} seconds", self.width.as_secs())
    }

    /// Start of the bucket that a time is in, in microseconds since 1970.
    pub fn floor(&self, at_us: i64) -> i64 {
        at_us.div_euclid(self.width_us()).saturating_mul(self.width_us())
    }

    /// Start of the first bucket that begins at or after a time.
    pub fn ceil(&self, at_us: i64) -> i64 {
        let floor = self.floor(at_us);
        if floor == at_us { at_us } else { floor.saturating_add(self.width_us()) }
    }

    /// How many buckets begin in `[from_us, to_us)`.
    pub fn buckets(&self, from_us: i64, to_us: i64) -> i64 {
        (self.ceil(to_us) - self.ceil(from_us)).max(0) / self.width_us()
    }

    /// The SELECT that computes buckets from rows, between two SQL expressions of time: a function of migration 8, 20 or 26.
    pub fn computed(&self, from: &str, to: &str) -> String {
        match self.content {
            Content::Statistics => {
                format!("metrics_rollup(INTERVAL '{}', {from}, {to})", self.interval())
            }
            Content::EventCounts => format!("event_counts_rollup(INTERVAL '{}', {from}, {to})", self.interval()),
            Content::CorrelationGroups => format!("correlation_groups_rollup({from}, {to})"),
        }
    }
}

#[derive(Debug, Clone)]
pub struct PerLevel<T>([T; COUNT]);

impl<T> PerLevel<T> {
    pub fn new(mut make: impl FnMut(&'static Level) -> T) -> Self {
        Self(std::array::from_fn(|index| make(&LEVELS[index])))
    }

    pub fn of(&self, level: &Level) -> &T {
        let index = LEVELS.iter().position(|known| known == level).expect("every level is one of LEVELS");
        &self.0[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_begin_at_multiples_of_their_width() {
        let hour = Level::parse("1h").expect("a level");
        let us = hour.width_us();
        assert_eq!((hour.floor(us + 1), hour.ceil(us + 1), hour.ceil(us)), (us, 2 * us, us));
        assert_eq!((hour.floor(-1), hour.ceil(-1)), (-us, 0));
        assert_eq!((hour.buckets(1, 3 * us), hour.buckets(5, 4)), (2, 0));
        assert_eq!(hour.ceil(i64::MAX), i64::MAX);
    }

    #[test]
    fn the_facts_of_a_level_fit_together() {
        for (index, level) in LEVELS.iter().enumerate() {
            assert!(level.closed == format!("{}_closed", level.name) && level.settle < level.width, "{level:?}");
            assert!(level.width <= level.partition && level.width <= level.close_step, "{level:?}");
            let before = &LEVELS[..index];
            assert!(before.iter().all(|other| other != level), "{level:?} is there twice");
            assert!(before.iter().all(|other| other.resolution.is_none() || other.resolution != level.resolution));
            let finer = before.iter().filter(|other| other.content == level.content);
            assert!(
                finer.map(|other| other.width).all(|width| width < level.width),
                "{level:?}: the finest comes first"
            );
        }
    }
}
