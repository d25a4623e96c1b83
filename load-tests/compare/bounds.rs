//! What must be reached and what is aimed at, figure by figure. A figure that no run has measured yet is shown as such.

use serde::{Deserialize, Serialize};

/// Of the throughput without rollups so much must be left with them,
pub const ROLLUPS_RATIO_MIN: f64 = 0.85;
/// while no rollup is so many buckets behind.
pub const LAG_BUCKETS_MAX: f64 = 2.0;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    pub fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }

    pub fn value(self) -> f64 {
        match self {
            Self::AtLeast(value) | Self::AtMost(value) => value,
        }
    }
}

/// The bounds of a figure.
#[derive(Debug)]
pub struct Bounds {
    /// Empty: of each engine.
    engine: &'static str,
    pub part: &'static str,
    pub name: &'static str,
    pub unit: &'static str,
    pub must: Bound,
    pub aim: Option<Bound>,
}

impl Bounds {
    pub fn are_of(&self, engine: &str) -> bool {
        self.engine.is_empty() || self.engine == engine
    }
}

const fn least(engine: &'static str, figure: [&'static str; 3], must: f64, aim: f64) -> Bounds {
    let [part, name, unit] = figure;
    Bounds { engine, part, name, unit, must: Bound::AtLeast(must), aim: Some(Bound::AtLeast(aim)) }
}

const fn most(engine: &'static str, figure: [&'static str; 3], must: f64, aim: f64) -> Bounds {
    let [part, name, unit] = figure;
    Bounds { engine, part, name, unit, must: Bound::AtMost(must), aim: Some(Bound::AtMost(aim)) }
}

const fn without_aim(bounds: Bounds) -> Bounds {
    Bounds { aim: None, ..bounds }
}

const ALL: &str = "";
const TS: &str = "timescale";
const PG: &str = "postgres";

pub const BOUNDS: &[Bounds] = &[
    least(ALL, ["decode", "decode + validate + encode, one core", "events/s"], 1.5e6, 2e6),
    least(TS, ["compare", "over HTTP / raw COPY", "ratio"], 0.60, 0.85),
    least(PG, ["compare", "over HTTP / raw COPY", "ratio"], 0.95, 1.00),
    most(ALL, ["compare", "Tidegate's own CPU", "us/event"], 1.3, 1.0),
    least(TS, ["sustained", "full load", "events/s"], 100_000.0, 150_000.0),
    most(ALL, ["sustained", "full load", "MiB at most"], 96.0, 48.0),
    most(ALL, ["latency", "half the maximum rate", "p50 ms"], 10.0, 7.0),
    most(ALL, ["latency", "half the maximum rate", "p99 ms"], 30.0, 20.0),
    least(ALL, ["small", "200 connections, 10 events a request", "events/s"], 90_000.0, 120_000.0),
    least(ALL, ["mixed", "Tidegate over HTTP", "events/s"], 100_000.0, 140_000.0),
    most(ALL, ["dashboards", "recent events of an asset, 24 h, hot, 1 client", "p50 ms"], 8.0, 3.0),
    most(ALL, ["dashboards", "recent events of an asset, 24 h, hot, 16 clients", "p50 ms"], 25.0, 12.0),
    most(TS, ["dashboards", "recent events of an asset, 24 h, compacted, 1 client", "p50 ms"], 3.0, 2.0),
    most(TS, ["dashboards", "recent events of an asset, 24 h, compacted, 16 clients", "p50 ms"], 20.0, 10.0),
    most(TS, ["dashboards", "hourly aggregate of a series, 7 days, hot, 16 clients", "p95 ms"], 30.0, 12.0),
    most(TS, ["dashboards", "hourly aggregate of a series, 7 days, compacted, 16 clients", "p95 ms"], 30.0, 12.0),
    most(PG, ["year", "hourly aggregate of a series, 7 days, hot, 16 clients", "p95 ms"], 25.0, 12.0),
    most(ALL, ["year", "events of a correlation id, hot, 1 client", "p50 ms"], 40.0, 10.0),
    most(ALL, ["year", "events of a correlation id, hot, 16 clients", "p50 ms"], 300.0, 60.0),
    most(TS, ["dashboards", "events, hot", "bytes/row"], 90.0, 80.0),
    most(TS, ["dashboards", "events, compacted", "bytes/row"], 100.0, 80.0),
    least(TS, ["long", "last 5 million rows / first 5 million", "ratio"], 0.97, 1.00),
    without_aim(most(ALL, ["long", "the whole", "memory, farthest from median"], 0.10, 0.0)),
    most(ALL, ["flood", "honest sender, during", "memory, farthest from median"], 0.15, 0.10),
    without_aim(most(
        ALL,
        ["quota", "p99 of others beside a tenant at ten times its quota / before", "ratio"],
        2.0,
        0.0,
    )),
    least(ALL, ["rollups", "with all rollups / without", "ratio"], ROLLUPS_RATIO_MIN, 0.95),
    without_aim(most(ALL, ["rollups", "lag of the slowest level", "buckets"], LAG_BUCKETS_MAX, 0.0)),
];
