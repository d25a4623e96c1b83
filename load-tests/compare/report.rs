//! Everything that was measured, as it is written to the JSON report.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::analytics::{Dashboards, Rollups};
use super::as_f64;
use super::machine::{Machine, Server};
use super::meter::{Sample, Usage};
use super::sender::Sent;
use super::table::Line;

/// The whole report.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// The commit that was measured.
    pub commit: String,
    /// When the run began, in UTC.
    pub at: String,
    /// The command line.
    pub arguments: Vec<String>,
    /// Made with `--quick`: its figures say nothing but that it works.
    pub quick: bool,
    /// The machine.
    pub machine: Machine,
    /// Decode, validate and encode on one core, from the criterion bench, in events a second.
    pub decode_events_per_second: Option<f64>,
    /// By engine.
    pub engines: BTreeMap<String, Measured>,
    /// The table of figures: must, aim, measured.
    pub table: Vec<Line>,
}

/// What was measured on one engine; a part that did not run is empty.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Measured {
    /// The database server.
    pub server: Server,
    /// All paths, round by round.
    pub compare: Vec<Figure>,
    /// Full load for a minute.
    pub sustained: Option<Run>,
    /// Bytes of an event in that table.
    pub stored: Option<Stored>,
    /// Reads of that table.
    pub reads: Vec<Read>,
    /// Acknowledgement latency at half the maximum rate.
    pub latency: Option<Latency>,
    /// Many connections, few events a request.
    pub small: Option<Run>,
    /// A thousand small tenants beside four busy ones.
    pub mixed: Vec<Figure>,
    /// Bombs and oversized bodies beside an honest sender.
    pub flood: Option<Flood>,
    /// A tenant at ten times its quota beside others.
    pub quota: Option<Quota>,
    /// A hundred million rows.
    pub long: Option<Long>,
    /// Reads of a week.
    #[serde(default)]
    pub dashboards: Option<Dashboards>,
    /// The same of a year of daily chunks.
    #[serde(default)]
    pub year: Option<Dashboards>,
    /// Ingestion with rollups and without.
    #[serde(default)]
    pub rollups: Option<Rollups>,
    /// Parts that failed, and why.
    pub failures: Vec<String>,
}

/// One measurement of one path.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// What was measured.
    pub path: String,
    /// Events.
    pub events: u64,
    /// Rows of a transaction, as offered; Tidegate joins requests by itself.
    pub batch: u64,
    /// Connections of the sender.
    pub connections: usize,
    /// Time, processors, memory.
    pub usage: Usage,
    /// On disk afterwards, with indexes.
    pub bytes_per_event: f64,
    /// Of WAL, an event.
    pub wal_bytes_per_event: f64,
}

/// One measurement over HTTP.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// Events a request.
    pub batch: u64,
    /// Connections.
    pub connections: usize,
    /// The books.
    pub sent: Sent,
    /// Time, processors, memory.
    pub usage: Usage,
    /// 50th percentile of the requests' latency, in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Progress and memory.
    pub samples: Vec<Sample>,
    /// Largest distance of resident memory from its median after a warm-up, as a part of the median.
    pub memory_unevenness: Option<f64>,
    /// The highest of the later half of those samples against that of the earlier half, less 1: what grows shows here.
    pub memory_growth: Option<f64>,
    /// Mean rows of the batches that Tidegate wrote, by its own metrics.
    pub rows_per_batch: Option<f64>,
}

/// Latency at a given rate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Latency {
    /// The maximum that the rate is half of, in events a second.
    pub maximum: f64,
    /// The rate asked for.
    pub rate: f64,
    /// The run.
    pub run: Run,
}

/// Room on disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stored {
    /// Events in the table.
    pub events: u64,
    /// Bytes an event as written.
    pub hot: f64,
    /// The same when every chunk was compacted; none on the engine that does not compact.
    pub compacted: Option<f64>,
    /// How long compacting all chunks took, in seconds.
    pub compacting_s: Option<f64>,
}

/// One kind of read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Read {
    /// What was asked.
    pub query: String,
    /// `hot` or `compacted`.
    pub state: String,
    /// How often.
    pub count: usize,
    /// Rows of the answer, median.
    pub rows: usize,
    /// Milliseconds.
    pub p50_ms: f64,
    /// Milliseconds.
    pub p95_ms: f64,
}

/// The flood.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Flood {
    /// Seconds.
    pub length_s: f64,
    /// GiB a minute that were sent, or came out of decompression, before a body was refused.
    pub taken_gib_per_minute: f64,
    /// GiB a minute that all bodies together would have been.
    pub announced_gib_per_minute: f64,
    /// Answers to the flood by kind of body and status; 0 stands for none.
    pub answers: BTreeMap<String, BTreeMap<u16, u64>>,
    /// The honest sender, before.
    pub before: Run,
    /// The honest sender, during.
    pub during: Run,
}

/// A tenant at ten times its quota.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Quota {
    /// What its key may, in events a second.
    pub limit: f64,
    /// What it sent, in events a second.
    pub offered: f64,
    /// What was accepted of that.
    pub greedy_events_per_second: f64,
    /// Its answers by status.
    pub answers: BTreeMap<u16, u64>,
    /// The others, before.
    pub before: Run,
    /// The others, during.
    pub during: Run,
}

/// The long run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Long {
    /// The run, memory sampled every 5 s.
    pub run: Run,
    /// Events a second of each million.
    pub millions: Vec<f64>,
    /// The last five millions against the first five; none of fewer than ten.
    pub last_to_first: Option<f64>,
    /// Bytes of an event at the end.
    pub bytes_per_event: f64,
    /// Why it ended before its count, if it did.
    pub stopped_early: Option<String>,
}

impl Report {
    /// What is measured of an engine.
    pub fn of(&mut self, engine: &str) -> &mut Measured {
        self.engines.entry(engine.to_owned()).or_default()
    }
}

impl Figure {
    /// Events a second.
    pub fn rate(&self) -> f64 {
        as_f64(self.events) / self.usage.elapsed_s
    }
}

impl Run {
    /// Events a second that were committed.
    pub fn rate(&self) -> f64 {
        as_f64(self.sent.committed) / self.usage.elapsed_s
    }
}

impl Measured {
    /// Mean rate of a path over its rounds.
    pub fn mean_rate(&self, path: &str) -> Option<f64> {
        mean(self.compare.iter().filter(|figure| figure.path == path).map(Figure::rate))
    }

    /// Mean of Tidegate's processor time an event over its rounds, in microseconds.
    pub fn tidegate_us(&self) -> Option<f64> {
        let over_http = self.compare.iter().filter(|figure| figure.path == super::rounds::HTTP);
        mean(over_http.map(|figure| figure.usage.tidegate_cpu_s * 1e6 / as_f64(figure.events)))
    }

    /// Largest resident memory of Tidegate at full load, in MiB.
    pub fn peak_mib(&self) -> Option<f64> {
        let rounds =
            self.compare.iter().filter(|figure| figure.path == super::rounds::HTTP).map(|figure| &figure.usage);
        let runs = [&self.sustained, &self.long.as_ref().map(|long| long.run.clone())];
        let peaks = rounds.map(|usage| usage.tidegate_peak_mib);
        let all: Vec<f64> =
            peaks.chain(runs.iter().filter_map(|run| Some(run.as_ref()?.usage.tidegate_peak_mib))).collect();
        all.into_iter().reduce(f64::max)
    }
}

/// The mean; none of nothing.
pub fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / as_f64(values.len() as u64))
}
