//! What is measured, and for how long.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use tidegate::load::parse_duration;
use tidegate::model::{Level, StoredJson};

use super::ask::Length;
use super::common::BATCH_ROWS;

/// What a consumer must keep up with, in events/s.
pub const DELIVERY_RATE: u32 = 20_000;

/// A part of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The reference, raw COPY, HTTP, and three INSERT methods, interleaved
    Compare,
    /// Samples by raw COPY and over HTTP, with dimensions and without
    Samples,
    /// Full load for a minute; then bytes on disk and reads, hot and compacted
    Sustained,
    /// Latency at half the maximum rate
    Latency,
    /// 200 connections, 10 events a request
    Small,
    /// 1,000 small tenants beside 4 busy ones
    Mixed,
    /// A year of history, and the same events as of now
    Backfill,
    /// Newest first and counts of a tenant's open day of 1.5 million events
    Newest,
    /// A million events as CSV and NDJSON beside psql's COPY, and ingestion beside them
    Export,
    /// A million series of one tenant
    Cardinality,
    /// InfluxDB and VictoriaMetrics, where they are installed, fed with the same data
    Peers,
    /// Bombs and oversized bodies beside an honest sender
    Flood,
    /// A tenant at ten times its quota beside others
    Quota,
    /// The comparison where payload and metadata are kept as json, without the INSERT methods
    Json,
    /// Throughput and memory over 100 million rows; only when asked for
    Long,
    /// Dashboards' reads of 50 million events and 50 million samples of a week; only when asked for
    Dashboards,
    /// The same reads of a year of daily chunks; only when asked for
    Year,
    /// Ingestion with all rollups and policies, and without; only when asked for
    Rollups,
    /// What the event processor costs, deployments and rebuilds, nearest embeddings; only when asked for
    Projections,
    /// Throughput per processor second of 1, 2 and 4 nodes on one database; only when asked for
    Nodes,
    /// The same of 1, 2 and 4 workers of Citus; only when asked for
    Workers,
    /// Streams by offset and groups: the log, delivery, catching up, what groups cost, replays; only when asked for
    Streams,
}

/// A question of the part `streams`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Topic {
    /// What giving batches their offsets costs
    Sequencer,
    /// From COMMIT to a consumer at 20,000 events/s
    Delivery,
    /// Reading a million events and more, hot and compacted
    CatchUp,
    /// Ingestion at the full rate beside three groups
    Groups,
    /// Ten thousand dead letters by a filter
    Replay,
}

impl Part {
    /// Takes long, and runs only when it is asked for.
    fn is_long(self) -> bool {
        matches!(
            self,
            Self::Long
                | Self::Dashboards
                | Self::Year
                | Self::Rollups
                | Self::Projections
                | Self::Nodes
                | Self::Workers
                | Self::Streams
        )
    }

    /// Runs on a Tidegate of its own, and leaves none of what it stored.
    pub fn has_its_own_target(self) -> bool {
        matches!(
            self,
            Self::Json
                | Self::Dashboards
                | Self::Year
                | Self::Rollups
                | Self::Projections
                | Self::Nodes
                | Self::Workers
                | Self::Streams
        )
    }

    /// How its Tidegate keeps payload and metadata.
    pub fn stored_json(self) -> StoredJson {
        if matches!(self, Self::Json) { StoredJson::Json } else { StoredJson::Jsonb }
    }

    /// As the command line and the report have it.
    pub fn name(self) -> String {
        name(self)
    }
}

impl Topic {
    pub fn name(self) -> String {
        name(self)
    }
}

fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// Measures Tidegate beside the raw COPY limit of the same machine, the same server and the same run
#[derive(Parser)]
#[command(name = "compare")]
pub struct Options {
    /// Only these parts [default: all but those that say otherwise]
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Those as well: long, dashboards, year, rollups, projections, nodes, workers, streams
    #[arg(long)]
    long: bool,
    /// Only this engine: timescale or postgres
    #[arg(long)]
    engine: Option<String>,
    /// Everything small and short: whether it works, not how fast it is
    #[arg(long)]
    pub quick: bool,
    /// Events of each measurement of the comparison
    #[arg(long, default_value_t = 1_000_000)]
    pub events: u64,
    /// Measurements of each path, interleaved
    #[arg(long, default_value_t = 2)]
    pub rounds: usize,
    /// Length of the sustained run
    #[arg(long, default_value = "60s", value_parser = parse_duration)]
    pub sustained: Duration,
    /// Rows of the long run
    #[arg(long, default_value_t = 100_000_000)]
    pub long_rows: u64,
    /// Most room that the tables of the long run, of dashboards, of the year and of a day of streams may take, in GiB
    #[arg(long, default_value_t = 40)]
    pub disk_gib: u64,
    /// Events, and as many metric samples, of dashboards; fewer where they do not fit
    #[arg(long, default_value_t = 50_000_000)]
    pub dashboard_rows: u64,
    /// Series of an asset, 1 to 5; there are 80,000 assets
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=5))]
    pub dashboard_series: u32,
    /// Which of the optional levels of metrics are made of it; each takes a row for nearly every sample, and long
    #[arg(long, value_delimiter = ',', default_values_t = optional_levels())]
    pub dashboard_levels: Vec<String>,
    /// Rows of a COPY that loads dashboards and the year: as in `batch.rows`, for that is what makes hot segments
    #[arg(long, default_value_t = BATCH_ROWS)]
    pub copy_rows: u64,
    /// Where the data of dashboards and the year stays; a run that finds some there goes on where that one ended, and asks
    /// again. Loading takes most of the time. Without it everything is removed
    #[arg(long, value_name = "FOLDER")]
    pub keep: Option<PathBuf>,
    /// Events, and as many metric samples, of a day of the year
    #[arg(long, default_value_t = 20_000)]
    pub year_rows: u64,
    /// How long each kind of read is asked, with each number of clients
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    pub read_length: Duration,
    /// Or so many answers, whichever is first
    #[arg(long, default_value_t = 100_000)]
    pub read_requests: u64,
    /// Samples a second of the first rate of rollups, and half as many events
    #[arg(long, default_value_t = 20_000)]
    pub rollup_rate: u32,
    /// Multiples of it, until one is not good
    #[arg(long, value_delimiter = ',', default_value = "1,2,4")]
    pub rollup_steps: Vec<f64>,
    /// Series that are sent
    #[arg(long, default_value_t = 80_000)]
    pub rollup_series: u64,
    /// Length of each of its runs; buckets of a minute must close several times
    #[arg(long, default_value = "200s", value_parser = parse_duration)]
    pub rollup_length: Duration,
    /// Events a second that are sent while their delivery is measured; a slow machine's part of it is said in the lines' names
    #[arg(long, default_value_t = DELIVERY_RATE)]
    pub delivery_rate: u32,
    /// Only these questions of streams [default: all]; with --merge the other figures of it stay
    #[arg(long, value_enum, value_delimiter = ',', value_name = "TOPICS")]
    streams: Vec<Topic>,
    /// Events that the tenant's day holds when delivery is measured, besides the empty day, from few to many
    #[arg(long, value_delimiter = ',', default_value = "20000000", value_name = "EVENTS")]
    pub day_events: Vec<u64>,
    /// Events that are caught up with
    #[arg(long, default_value_t = 2_000_000)]
    pub catch_up_events: u64,
    /// Events that a member of a group asks for at once
    #[arg(long, default_value_t = 1000)]
    pub group_limit: u64,
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
    /// Those of the command line; `--quick` makes everything small.
    pub fn read() -> Self {
        let given = Self::parse();
        if !given.quick {
            return given;
        }
        Self {
            events: given.events.min(50_000),
            rounds: 1,
            sustained: Duration::from_secs(5),
            long_rows: given.long_rows.min(2_000_000),
            dashboard_rows: given.dashboard_rows.min(200_000),
            copy_rows: 100,
            year_rows: given.year_rows.min(2000),
            read_length: given.read_length.min(Duration::from_millis(500)),
            rollup_steps: vec![0.2],
            rollup_series: given.rollup_series.min(8000),
            rollup_length: given.rollup_length.min(Duration::from_secs(20)),
            day_events: given.day_events.iter().map(|events| *events.min(&60_000)).collect(),
            catch_up_events: given.catch_up_events.min(60_000),
            ..given
        }
    }

    pub fn engines(&self) -> Vec<String> {
        self.engine.clone().map_or_else(|| vec!["timescale".into(), "postgres".into()], |engine| vec![engine])
    }

    /// The parts that are to run on an engine, in their order.
    pub fn parts(&self, engine: &str) -> Vec<Part> {
        // What does not depend on the engine: once is enough, unless it is asked for.
        let again = self.engines()[0] != engine;
        let wanted = |part: &Part| match self.only.is_empty() {
            true => (self.long || !part.is_long()) && !(matches!(part, Part::Flood | Part::Peers) && again),
            false => self.only.contains(part),
        };
        // Citus has no TimescaleDB beside it.
        let has = |part: &Part| *part != Part::Workers || engine == "postgres";
        Part::value_variants().iter().copied().filter(wanted).filter(has).collect()
    }

    /// The questions of streams, in their order.
    pub fn topics(&self) -> Vec<Topic> {
        let wanted = |topic: &Topic| self.streams.is_empty() || self.streams.contains(topic);
        Topic::value_variants().iter().copied().filter(wanted).collect()
    }

    /// Whether only some of them are asked.
    pub fn is_partial(&self) -> bool {
        !self.streams.is_empty()
    }

    /// Dead letters that are replayed.
    pub fn letters(&self) -> u64 {
        if self.quick { 1000 } else { 10_000 }
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

    /// Events of the open day: at least as many as lie behind its page 500.
    pub fn open_day_events(&self) -> u64 {
        if self.quick { 60_000 } else { 1_500_000 }
    }

    /// Rows of an export, of a year of history, of each run of samples and of each peer; and series of one tenant.
    pub fn million(&self) -> u64 {
        if self.quick { 20_000 } else { 1_000_000 }
    }

    /// How long each kind of read is asked.
    pub fn reads(&self) -> Length {
        Length { time: self.read_length, requests: self.read_requests }
    }
}

fn optional_levels() -> Vec<String> {
    Level::of_metrics().filter(|level| level.optional).filter_map(|level| level.resolution.map(str::to_owned)).collect()
}
