//! What the parts about stored time measure, as it is written to the JSON report: reads of weeks and of a year, and
//! ingestion with rollups.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::contract::{LAG_BUCKETS_MAX, RATIO_MIN};
use super::meter::Usage;

/// A data set and its reads.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Dashboards {
    /// Days of events.
    pub event_days: u32,
    /// Days of metrics.
    pub metric_days: u32,
    /// How many tenants.
    pub tenants: usize,
    /// Assets of all tenants.
    pub assets: u64,
    /// Series of all tenants.
    pub series: u64,
    /// Events.
    pub events: u64,
    /// Metric samples.
    pub samples: u64,
    /// Why there are fewer than asked for, if so.
    pub fewer: Option<String>,
    /// Loading.
    pub filled: Vec<Filled>,
    /// Rollups, level by level.
    pub levels: Vec<LevelMade>,
    /// What else is derived.
    pub derived: Vec<Derived>,
    /// Room on disk, by table and state.
    pub sizes: Vec<Size>,
    /// Compacting, by table.
    pub compacted: Vec<Compacted>,
    /// Reads.
    pub reads: Vec<Asked>,
    /// Planning and execution of single statements.
    pub planned: Vec<Planned>,
}

/// A table that was loaded.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Filled {
    /// Which.
    pub table: String,
    /// Its rows.
    pub rows: u64,
    /// Time and processors.
    pub usage: Usage,
}

/// A rollup that was made of the whole data set.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LevelMade {
    /// Its name.
    pub level: String,
    /// Rows that it is made of.
    pub rows: u64,
    /// Buckets that were made.
    pub buckets: u64,
    /// Seconds.
    pub elapsed_s: f64,
    /// Of that, compressing what the product compresses after hours.
    pub compressing_s: f64,
    /// On disk, with indexes.
    pub bytes: u64,
}

/// Something derived from the rows, by one statement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Derived {
    /// The table.
    pub table: String,
    /// Rows made.
    pub rows: u64,
    /// Seconds.
    pub elapsed_s: f64,
}

/// Room on disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Size {
    /// The table.
    pub table: String,
    /// `hot` or `compacted`.
    pub state: String,
    /// Bytes with indexes.
    pub bytes: u64,
    /// The same a row.
    pub bytes_per_row: f64,
    /// Chunks or partitions.
    pub chunks: u64,
}

/// All chunks of a table compacted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Compacted {
    /// The table.
    pub table: String,
    /// Chunks.
    pub chunks: u64,
    /// All of them, in seconds.
    pub elapsed_s: f64,
    /// The slowest, in seconds: so long is a late row for it kept waiting.
    pub slowest_s: f64,
}

/// One kind of read, by so many clients at once.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Asked {
    /// What was asked.
    pub query: String,
    /// `hot` or `compacted`.
    pub state: String,
    /// How many asked at once, each the next when the last was answered.
    pub clients: usize,
    /// Answers.
    pub count: usize,
    /// Answers other than 200; their times are not in the percentiles.
    pub errors: usize,
    /// The first of these.
    pub first_error: Option<String>,
    /// Rows of an answer, median of a sample of answers.
    pub rows: usize,
    /// Answers a second.
    pub per_second: f64,
    /// Milliseconds.
    pub p50_ms: f64,
    /// Milliseconds.
    pub p95_ms: f64,
    /// Milliseconds.
    pub p99_ms: f64,
    /// Milliseconds.
    pub max_ms: f64,
    /// Processor time of an answer in Tidegate, in milliseconds.
    pub tidegate_cpu_ms: f64,
    /// And in PostgreSQL.
    pub postgres_cpu_ms: f64,
}

/// A statement by EXPLAIN ANALYZE as the reader: medians.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Planned {
    /// What it asks.
    pub query: String,
    /// `hot` or `compacted`.
    pub state: String,
    /// Milliseconds.
    pub planning_ms: f64,
    /// Milliseconds.
    pub execution_ms: f64,
    /// Chunks or partitions in the plan.
    pub scans: usize,
}

/// Ingestion with all rollups and policies, and without.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Rollups {
    /// Series that are sent.
    pub series: u64,
    /// Seconds of each run.
    pub length_s: f64,
    /// By rate, rising until one is not good.
    pub steps: Vec<Step>,
}

/// One rate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    /// Samples a second that were offered.
    pub samples_per_second: f64,
    /// Events a second that were offered.
    pub events_per_second: f64,
    /// 1h and 1d alone, and their refreshes paused.
    pub without: Ingested,
    /// All levels and policies.
    pub active: Ingested,
}

/// What went in, and how far the rollups were behind.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Ingested {
    /// Samples and events committed.
    pub rows: u64,
    /// Time and processors.
    pub usage: Usage,
    /// 99th percentile of the answers to samples, in milliseconds.
    pub samples_p99_ms: f64,
    /// And to events.
    pub events_p99_ms: f64,
    /// By level.
    pub lags: BTreeMap<String, Lag>,
}

/// How far a rollup was behind.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Lag {
    /// Width of a bucket, in seconds.
    pub bucket_s: f64,
    /// The most that now was ahead of what is materialized, in seconds.
    pub max_s: f64,
    /// At the end.
    pub last_s: f64,
    /// Every some seconds: since the start, and the lag, in seconds.
    pub over_time: Vec<(f64, f64)>,
}

impl Dashboards {
    /// Forgets what was measured in a state, which is measured anew.
    pub fn forget(&mut self, state: &str) {
        self.sizes.retain(|size| size.state != state);
        self.reads.retain(|read| read.state != state);
        self.planned.retain(|planned| planned.state != state);
    }
}

impl Ingested {
    /// Rows a second.
    pub fn rate(&self) -> f64 {
        super::as_f64(self.rows) / self.usage.elapsed_s
    }
}

impl Lag {
    /// Whether a run of this length tells anything: a level that stands still must come to be too late in it.
    pub fn is_told_in(&self, elapsed_s: f64) -> bool {
        elapsed_s >= self.bucket_s * (LAG_BUCKETS_MAX + 1.0)
    }

    /// The most, in buckets.
    pub fn buckets_max(&self) -> f64 {
        self.max_s / self.bucket_s
    }
}

impl Step {
    /// Throughput with rollups / without.
    pub fn ratio(&self) -> f64 {
        self.active.rate() / self.without.rate()
    }

    /// The worst lag of any level, in buckets; none when the run was too short for any to be told.
    pub fn lag_buckets(&self) -> Option<f64> {
        let told = self.active.lags.values().filter(|lag| lag.is_told_in(self.active.usage.elapsed_s));
        told.map(Lag::buckets_max).reduce(f64::max)
    }

    /// Whether this rate can be kept up.
    pub fn is_good(&self) -> bool {
        self.ratio() >= RATIO_MIN && self.lag_buckets().is_some_and(|lag| lag < LAG_BUCKETS_MAX)
    }
}

impl Rollups {
    /// The highest rate that can be kept up.
    pub fn best(&self) -> Option<&Step> {
        self.steps.iter().rfind(|step| step.is_good())
    }
}
