//! What is measured, and for how long.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use tidegate::load::parse_duration;

use super::ask::Length;
use super::{dashboards, rollups};

/// A part of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Raw COPY, HTTP, and three INSERT methods, interleaved
    Compare,
    /// Full load for a minute; then bytes on disk and reads, hot and compacted
    Sustained,
    /// Latency at half the maximum rate
    Latency,
    /// 200 connections, 10 events a request
    Small,
    /// 1,000 small tenants beside 4 busy ones
    Mixed,
    /// Bombs and oversized bodies beside an honest sender
    Flood,
    /// A tenant at ten times its quota beside others
    Quota,
    /// Throughput and memory over 100 million rows; only when asked for
    Long,
    /// Dashboards' reads of 50 million events and 50 million samples of a week; only when asked for
    Dashboards,
    /// The same reads of a year of daily chunks; only when asked for
    Year,
    /// Ingestion with all rollups and policies, and without; only when asked for
    Rollups,
}

impl Part {
    /// All of them, in the order in which they run.
    pub const ALL: [Self; 11] = [
        Self::Compare,
        Self::Sustained,
        Self::Latency,
        Self::Small,
        Self::Mixed,
        Self::Flood,
        Self::Quota,
        Self::Long,
        Self::Dashboards,
        Self::Year,
        Self::Rollups,
    ];

    /// Takes long, and runs only when it is asked for.
    pub fn is_long(self) -> bool {
        matches!(self, Self::Long) || self.has_its_own_target()
    }

    /// Starts a Tidegate of its own, and leaves none of what it stored.
    pub fn has_its_own_target(self) -> bool {
        matches!(self, Self::Dashboards | Self::Year | Self::Rollups)
    }
}

/// Measures Tidegate beside the raw COPY limit of the same machine, the same server and the same run
#[derive(Parser)]
#[command(name = "compare")]
pub struct Options {
    /// Only these parts [default: all but those that say otherwise]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<Part>,
    /// Those as well: long, dashboards, year, rollups
    #[arg(long)]
    pub long: bool,
    /// Only this engine: timescale or postgres
    #[arg(long)]
    pub engine: Option<String>,
    /// Everything small and short: whether it works, not how fast it is
    #[arg(long)]
    pub quick: bool,
    /// Events of each measurement of the comparison
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Measurements of each path, interleaved
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// Length of the sustained run
    #[arg(long, default_value = "60s", value_parser = parse_duration)]
    sustained: Duration,
    /// Rows of the long run
    #[arg(long, default_value_t = 100_000_000)]
    long_rows: u64,
    /// Most room that the tables of the long run, of dashboards and of the year may take, in GiB
    #[arg(long, default_value_t = 40)]
    pub disk_gib: u64,
    /// Events, and as many metric samples, of dashboards; fewer where they do not fit
    #[arg(long, default_value_t = 50_000_000)]
    dashboard_rows: u64,
    /// Series of an asset, 1 to 5; there are 80,000 assets
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=5))]
    dashboard_series: u32,
    /// Which of the optional levels of metrics are made of it; each takes a row for nearly every sample, and long
    #[arg(long, value_delimiter = ',', default_value = "1m,5m")]
    dashboard_levels: Vec<String>,
    /// Rows of a COPY that loads dashboards and the year: as in `batch.rows`, for that is what makes hot segments
    #[arg(long, default_value_t = super::BATCH_ROWS)]
    copy_rows: u64,
    /// Where the data of dashboards and the year stays; a run that finds some there goes on where that one ended, and asks
    /// anew. Loading takes most of the time. Without it everything is removed
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// Events, and as many metric samples, of a day of the year
    #[arg(long, default_value_t = 20_000)]
    year_rows: u64,
    /// How long each kind of read is asked, with each number of clients
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    read_length: Duration,
    /// Or so many answers, whichever is first
    #[arg(long, default_value_t = 100_000)]
    read_requests: u64,
    /// Samples a second of the first rate of rollups, and half as many events
    #[arg(long, default_value_t = 20_000)]
    rollup_rate: u32,
    /// Multiples of it, until one is not good
    #[arg(long, value_delimiter = ',', default_value = "1,2,4")]
    rollup_steps: Vec<f64>,
    /// Series that are sent
    #[arg(long, default_value_t = 80_000)]
    rollup_series: u64,
    /// Length of each of its runs; buckets of a minute must close several times
    #[arg(long, default_value = "200s", value_parser = parse_duration)]
    rollup_length: Duration,
    /// Connections of the HTTP sender at full load; twice the writers, so that a batch waits for each
    #[arg(long, default_value_t = 8)]
    pub connections: usize,
    /// Make bodies while they are sent (tidegate::load) instead of before
    #[arg(long)]
    pub live_generator: bool,
    /// Leave the INSERT methods out of the comparison
    #[arg(long)]
    pub without_inserts: bool,
    /// Begin with the figures of the report that is there, and replace what is measured
    #[arg(long)]
    pub merge: bool,
    /// Where the JSON goes [default: bench/report.json in Cargo's target directory]; a table in Markdown goes beside it
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Given by cargo bench
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// Whether a part is to run.
    pub fn wants(&self, part: Part) -> bool {
        if self.only.is_empty() { self.long || !part.is_long() } else { self.only.contains(&part) }
    }

    /// The engines to measure.
    pub fn engines(&self) -> Vec<String> {
        self.engine.clone().map_or_else(|| vec!["timescale".into(), "postgres".into()], |engine| vec![engine])
    }

    /// Events of each measurement of the comparison.
    pub fn events(&self) -> u64 {
        if self.quick { self.events.min(50_000) } else { self.events }
    }

    /// Measurements of each path.
    pub fn rounds(&self) -> usize {
        if self.quick { 1 } else { self.rounds }
    }

    /// Length of the sustained run.
    pub fn sustained(&self) -> Duration {
        if self.quick { Duration::from_secs(5) } else { self.sustained }
    }

    /// Length of the runs of latency, small senders and quota.
    pub fn short(&self) -> Duration {
        Duration::from_secs(if self.quick { 3 } else { 20 })
    }

    /// Length of each half of the flood.
    pub fn flood(&self) -> Duration {
        Duration::from_secs(if self.quick { 20 } else { 60 })
    }

    /// Rounds of the mixed load: 25,500 rows each.
    pub fn mixed_rounds(&self) -> usize {
        if self.quick { 2 } else { 16 }
    }

    /// Rows of the long run.
    pub fn long_rows(&self) -> u64 {
        if self.quick { self.long_rows.min(2_000_000) } else { self.long_rows }
    }

    /// The data set of a week.
    pub fn dashboards(&self) -> dashboards::Plan {
        let rows = if self.quick { self.dashboard_rows.min(200_000) } else { self.dashboard_rows };
        dashboards::Plan {
            name: "dashboards",
            keep: self.keep.clone(),
            event_days: 7,
            metric_days: 7,
            events: rows,
            samples: rows,
            assets: if self.quick { 50 } else { super::ASSETS },
            metrics_per_asset: self.dashboard_series,
            levels: self.dashboard_levels.clone(),
            copy_rows: if self.quick { 100 } else { self.copy_rows.max(1) },
            window_days: 1,
            disk_bytes: self.disk_gib << 30,
            length: self.read_length(),
        }
    }

    /// The data set of a year: as long as events are kept, and metrics as long as those are.
    pub fn year(&self) -> dashboards::Plan {
        let (days, metric_days) = if self.quick { (20, 10) } else { (365, 90) };
        let a_day = if self.quick { self.year_rows.min(2000) } else { self.year_rows };
        dashboards::Plan {
            name: "year",
            event_days: days,
            metric_days,
            events: u64::from(days) * a_day,
            samples: u64::from(metric_days) * a_day,
            // So that an asset has some events a day: 50 a tenant.
            assets: 50,
            metrics_per_asset: 1,
            window_days: 10,
            ..self.dashboards()
        }
    }

    /// Ingestion beside rollups.
    pub fn rollups(&self) -> rollups::Plan {
        let (rate, length) = (f64::from(self.rollup_rate), self.rollup_length);
        rollups::Plan {
            samples_per_second: rate,
            events_per_second: rate / 2.0,
            rates: if self.quick { vec![0.2] } else { self.rollup_steps.clone() },
            series: if self.quick { self.rollup_series.min(8000) } else { self.rollup_series },
            length: if self.quick { length.min(Duration::from_secs(20)) } else { length },
        }
    }

    fn read_length(&self) -> Length {
        let time = if self.quick { self.read_length.min(Duration::from_millis(500)) } else { self.read_length };
        Length { time, requests: self.read_requests }
    }
}
