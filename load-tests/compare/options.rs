//! What is measured, and for how long.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use tidegate::load::parse_duration;

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
}

/// Measures Tidegate beside the raw COPY limit of the same machine, the same server and the same run
#[derive(Parser)]
#[command(name = "compare")]
pub struct Options {
    /// Only these parts [default: all but long]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<Part>,
    /// The long run as well
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
    /// Most room that the long run's table may take, in GiB
    #[arg(long, default_value_t = 40)]
    pub disk_gib: u64,
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
        match part {
            Part::Long => self.long || self.only.contains(&part),
            _ => self.only.is_empty() || self.only.contains(&part),
        }
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
}
