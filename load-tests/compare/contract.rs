//! The contract: what is measured, what must be reached, what is aimed at, and where a report has it.

use super::analytics::Asked;
use super::ask::{HOURLY, RECENT};
use super::reads::is_recent_of_an_asset;
use super::report::{Measured, Report};
use super::rounds::{HTTP, RAW};

/// One bound a value.
#[derive(Clone, Copy)]
pub enum Bound {
    /// At least so much.
    AtLeast(f64),
    /// At most so much.
    AtMost(f64),
}

impl Bound {
    /// Whether a value keeps it.
    pub fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }
}

/// A figure, which may be two numbers.
pub type Values = Option<Vec<f64>>;

/// Which engines a row is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Engines {
    /// Each must meet the bounds.
    All,
    /// The bounds are this one's; of others the figure is shown.
    Bounds(&'static str),
    /// Others have no such figure.
    Only(&'static str),
}

/// One row of the contract.
pub struct Row {
    /// What is measured.
    pub figure: &'static str,
    /// On which engines.
    pub engines: Engines,
    /// What must be reached, a bound a value.
    pub must: &'static [Bound],
    /// What is aimed at.
    pub aim: &'static [Bound],
    /// Digits behind the point.
    pub digits: usize,
    /// Written behind the values.
    pub unit: &'static str,
    /// The figure; none when it was not measured.
    pub values: fn(&Report, &Measured) -> Values,
    /// How large the measurement was, where that is an option.
    pub size: fn(&Measured) -> Option<String>,
}

use Bound::{AtLeast, AtMost};
use Engines::{All, Bounds, Only};

const TIMESCALE: &str = "timescale";
const POSTGRES: &str = "postgres";

fn rate_ratio(measured: &Measured) -> Values {
    Some(vec![measured.mean_rate(HTTP)? / measured.mean_rate(RAW)?])
}

fn millions(events: u64) -> Option<String> {
    Some(format!("{:.1} M rows", super::as_f64(events) / 1e6))
}

fn recent(measured: &Measured, state: &str) -> Values {
    let read = measured.reads.iter().find(|read| is_recent_of_an_asset(read) && read.state == state)?;
    Some(vec![read.p50_ms])
}

/// The reads of dashboards by many clients; none where some were answered with an error.
fn asked<'m>(measured: &'m Measured, query: &str, state: &str) -> Option<&'m Asked> {
    let reads = &measured.dashboards.as_ref()?.reads;
    reads.iter().find(|read| read.query == query && read.state == state && read.clients > 1 && read.errors == 0)
}

/// Of the throughput without rollups so much must be left with them,
pub const RATIO_MIN: f64 = 0.8;
/// while no rollup is so many buckets behind.
pub const LAG_BUCKETS_MAX: f64 = 2.0;

/// The contract, design/performance.md, and what else is to be shown: flat memory, and quotas.
pub const ROWS: [Row; 21] = [
    Row {
        figure: "committed events/s over HTTP / raw COPY limit of the same run (timescale, columnstore)",
        engines: Only(TIMESCALE),
        must: &[AtLeast(0.60)],
        aim: &[AtLeast(0.85)],
        digits: 2,
        unit: "",
        values: |_, m| rate_ratio(m),
        size: |_| None,
    },
    Row {
        figure: "the same ratio on the postgres engine",
        engines: Only(POSTGRES),
        must: &[AtLeast(0.70)],
        aim: &[AtLeast(0.90)],
        digits: 2,
        unit: "",
        values: |_, m| rate_ratio(m),
        size: |_| None,
    },
    Row {
        figure: "committed events/s over HTTP, sustained 60 s",
        engines: Bounds(TIMESCALE),
        must: &[AtLeast(100_000.0)],
        aim: &[AtLeast(150_000.0)],
        digits: 0,
        unit: "/s",
        values: |_, m| Some(vec![m.sustained.as_ref()?.rate()]),
        size: |m| Some(format!("{:.0} s", m.sustained.as_ref()?.usage.elapsed_s)),
    },
    Row {
        figure: "Tidegate's own CPU per event of 400 bytes",
        engines: All,
        must: &[AtMost(3.0)],
        aim: &[AtMost(1.2)],
        digits: 2,
        unit: " us",
        values: |_, m| Some(vec![m.tidegate_us()?]),
        size: |_| None,
    },
    Row {
        figure: "decode + validate + encode, one core (criterion)",
        engines: All,
        must: &[AtLeast(1e6)],
        aim: &[AtLeast(2e6)],
        digits: 0,
        unit: "/s",
        values: |r, _| Some(vec![r.decode_events_per_second?]),
        size: |_| None,
    },
    Row {
        figure: "resident memory at full load",
        engines: All,
        must: &[AtMost(256.0)],
        aim: &[AtMost(128.0)],
        digits: 0,
        unit: " MiB",
        values: |_, m| Some(vec![m.peak_mib()?]),
        size: |_| None,
    },
    Row {
        figure: "acknowledgement at half the maximum rate, batches of 100, p50 / p99",
        engines: All,
        must: &[AtMost(20.0), AtMost(100.0)],
        aim: &[AtMost(8.0), AtMost(40.0)],
        digits: 1,
        unit: " ms",
        values: |_, m| {
            let run = &m.latency.as_ref()?.run;
            Some(vec![run.p50_ms, run.p99_ms])
        },
        size: |_| None,
    },
    Row {
        figure: "small senders: 200 connections, 10 events a request",
        engines: All,
        must: &[AtLeast(30_000.0)],
        aim: &[AtLeast(80_000.0)],
        digits: 0,
        unit: "/s",
        values: |_, m| Some(vec![m.small.as_ref()?.rate()]),
        size: |_| None,
    },
    Row {
        figure: "recent events of an asset, 24 h, p50, hot",
        engines: All,
        must: &[AtMost(25.0)],
        aim: &[AtMost(5.0)],
        digits: 1,
        unit: " ms",
        values: |_, m| recent(m, "hot"),
        size: |m| millions(m.stored.as_ref()?.events),
    },
    Row {
        figure: "the same, compacted",
        engines: Only(TIMESCALE),
        must: &[AtMost(25.0)],
        aim: &[AtMost(5.0)],
        digits: 1,
        unit: " ms",
        values: |_, m| recent(m, "compacted"),
        size: |m| millions(m.stored.as_ref()?.events),
    },
    Row {
        figure: "recent events of an asset, 24 h, p50, 16 clients, hot",
        engines: All,
        must: &[AtMost(25.0)],
        aim: &[AtMost(5.0)],
        digits: 1,
        unit: " ms",
        values: |_, m| Some(vec![asked(m, RECENT, "hot")?.p50_ms]),
        size: |m| millions(m.dashboards.as_ref()?.events),
    },
    Row {
        figure: "the same, 16 clients, compacted",
        engines: Only(TIMESCALE),
        must: &[AtMost(25.0)],
        aim: &[AtMost(5.0)],
        digits: 1,
        unit: " ms",
        values: |_, m| Some(vec![asked(m, RECENT, "compacted")?.p50_ms]),
        size: |m| millions(m.dashboards.as_ref()?.events),
    },
    Row {
        figure: "hourly aggregate of metrics, 7 days, p95, 16 clients, hot",
        engines: All,
        must: &[AtMost(50.0)],
        aim: &[AtMost(10.0)],
        digits: 1,
        unit: " ms",
        values: |_, m| Some(vec![asked(m, HOURLY, "hot")?.p95_ms]),
        size: |m| millions(m.dashboards.as_ref()?.samples),
    },
    Row {
        figure: "hourly aggregate, the same, compacted",
        engines: Only(TIMESCALE),
        must: &[AtMost(50.0)],
        aim: &[AtMost(10.0)],
        digits: 1,
        unit: " ms",
        values: |_, m| Some(vec![asked(m, HOURLY, "compacted")?.p95_ms]),
        size: |m| millions(m.dashboards.as_ref()?.samples),
    },
    Row {
        figure: "rows/s committed with all rollups and policies / without, refresh lag in buckets",
        engines: All,
        must: &[AtLeast(RATIO_MIN), AtMost(LAG_BUCKETS_MAX)],
        aim: &[],
        digits: 2,
        unit: "",
        values: |_, m| {
            let found = m.rollups.as_ref()?;
            let step = found.best().or(found.steps.last())?;
            Some(vec![step.ratio(), step.lag_buckets()?])
        },
        size: |m| {
            let found = m.rollups.as_ref()?;
            let step = found.best().or(found.steps.last())?;
            let (samples, events, series) = (step.samples_per_second, step.events_per_second, found.series);
            Some(format!("{samples:.0} samples/s and {events:.0} events/s, {series} series"))
        },
    },
    Row {
        figure: "stored bytes per event, hot",
        engines: Bounds(TIMESCALE),
        must: &[AtMost(150.0)],
        aim: &[AtMost(95.0)],
        digits: 0,
        unit: "",
        values: |_, m| Some(vec![m.stored.as_ref()?.hot]),
        size: |m| millions(m.stored.as_ref()?.events),
    },
    Row {
        figure: "stored bytes per event, compacted",
        engines: Only(TIMESCALE),
        must: &[AtMost(80.0)],
        aim: &[AtMost(45.0)],
        digits: 0,
        unit: "",
        values: |_, m| Some(vec![m.stored.as_ref()?.compacted?]),
        size: |m| millions(m.stored.as_ref()?.events),
    },
    Row {
        figure: "throughput at the end of the long run / at its begin (5 million rows each)",
        engines: Bounds(TIMESCALE),
        must: &[AtLeast(0.90)],
        aim: &[AtLeast(0.97)],
        digits: 2,
        unit: "",
        values: |_, m| Some(vec![m.long.as_ref()?.last_to_first?]),
        size: |m| millions(m.long.as_ref()?.run.sent.events),
    },
    Row {
        figure: "memory over the long run, farthest from its median",
        engines: All,
        must: &[AtMost(0.10)],
        aim: &[],
        digits: 3,
        unit: "",
        values: |_, m| Some(vec![m.long.as_ref()?.run.memory_unevenness?]),
        size: |m| millions(m.long.as_ref()?.run.sent.events),
    },
    Row {
        figure: "memory during a flood of bombs, farthest from its median",
        engines: All,
        must: &[AtMost(0.10)],
        aim: &[],
        digits: 3,
        unit: "",
        values: |_, m| Some(vec![m.flood.as_ref()?.during.memory_unevenness?]),
        size: |_| None,
    },
    Row {
        figure: "p99 of others beside a tenant at ten times its quota / before",
        engines: All,
        must: &[AtMost(2.0)],
        aim: &[],
        digits: 2,
        unit: "",
        values: |_, m| {
            let quota = m.quota.as_ref()?;
            Some(vec![quota.during.p99_ms / quota.before.p99_ms])
        },
        size: |_| None,
    },
];
