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

/// The goals, in their order.
pub const BOUNDS: &[Bounds] = &[
    least(TS, ["compare", "over HTTP / the reference", "ratio"], 1.05, 1.25),
    least(TS, ["json", "over HTTP / the reference", "ratio"], 1.25, 1.50),
    least(PG, ["compare", "over HTTP / the reference", "ratio"], 0.95, 1.00),
    least(ALL, ["samples", "over HTTP / raw COPY, without dimensions", "ratio"], 0.85, 0.95),
    least(ALL, ["samples", "over HTTP / raw COPY, with dimensions", "ratio"], 0.85, 0.95),
    least(TS, ["sustained", "full load / the reference", "ratio"], 1.00, 1.20),
    least(ALL, ["nodes", "nodes_1 / raw COPY, per processor second", "ratio"], 0.85, 0.95),
    least(ALL, ["nodes", "nodes_2 / raw COPY, per processor second", "ratio"], 0.85, 0.95),
    least(ALL, ["nodes", "nodes_4 / raw COPY, per processor second", "ratio"], 0.85, 0.95),
    most(ALL, ["compare", "Tidegate's own CPU", "us/event"], 1.3, 1.0),
    most(ALL, ["samples", "Tidegate's own CPU, without dimensions", "us/sample"], 0.8, 0.6),
    most(ALL, ["samples", "Tidegate's own CPU, with dimensions", "us/sample"], 0.8, 0.6),
    least(ALL, ["decode", "decode + validate + encode, one core", "events/s"], 1.5e6, 2e6),
    most(ALL, ["sustained", "full load", "MiB at most"], 96.0, 48.0),
    most(ALL, ["latency", "half the maximum rate", "p50 ms"], 10.0, 7.0),
    most(ALL, ["latency", "half the maximum rate", "p99 ms"], 30.0, 20.0),
    least(ALL, ["small", "200 connections, 10 events a request", "events/s"], 90_000.0, 120_000.0),
    least(ALL, ["mixed", "Tidegate over HTTP", "events/s"], 100_000.0, 140_000.0),
    least(ALL, ["backfill", "a year of history / live rate", "ratio"], 0.5, 0.8),
    most(ALL, ["newest", "newest 100 of a tenant, hot, 1 client", "p50 ms"], 10.0, 3.0),
    most(ALL, ["newest", "page 500 of a tenant, hot, 1 client", "p50 ms"], 15.0, 5.0),
    most(ALL, ["export", "CSV / psql's COPY", "ratio"], 2.0, 1.2),
    most(ALL, ["export", "NDJSON / psql's COPY", "ratio"], 2.0, 1.2),
    most(ALL, ["dashboards", "recent events of an asset, 24 h, hot, 1 client", "p50 ms"], 8.0, 3.0),
    most(ALL, ["dashboards", "recent events of an asset, 24 h, hot, 16 clients", "p50 ms"], 25.0, 12.0),
    most(TS, ["dashboards", "recent events of an asset, 24 h, compacted, 1 client", "p50 ms"], 3.0, 2.0),
    most(TS, ["dashboards", "recent events of an asset, 24 h, compacted, 16 clients", "p50 ms"], 20.0, 10.0),
    most(TS, ["dashboards", "hourly aggregate of a series, 7 days, hot, 16 clients", "p95 ms"], 30.0, 12.0),
    most(TS, ["dashboards", "hourly aggregate of a series, 7 days, compacted, 16 clients", "p95 ms"], 30.0, 12.0),
    most(PG, ["year", "hourly aggregate of a series, 7 days, hot, 16 clients", "p95 ms"], 25.0, 12.0),
    most(ALL, ["newest", "counts by type of the open hour, hot, 1 client", "p50 ms"], 50.0, 15.0),
    most(ALL, ["year", "events of a correlation id, hot, 1 client", "p50 ms"], 40.0, 10.0),
    most(ALL, ["year", "events of a correlation id, hot, 16 clients", "p50 ms"], 300.0, 60.0),
    most(TS, ["dashboards", "events, hot", "bytes/row"], 90.0, 80.0),
    most(TS, ["dashboards", "events, compacted", "bytes/row"], 100.0, 80.0),
    least(TS, ["dashboards", "events without a columnstore / compacted", "ratio"], 6.0, 8.0),
    least(ALL, ["long", "last 5 million rows / first 5 million", "ratio"], 0.97, 1.00),
    without_aim(most(ALL, ["long", "the whole", "memory, farthest from median"], 0.10, 0.0)),
    most(ALL, ["flood", "honest sender, during", "memory, farthest from median"], 0.15, 0.10),
    without_aim(most(
        ALL,
        ["quota", "p99 of others beside a tenant at ten times its quota / before", "ratio"],
        2.0,
        0.0,
    )),
    least(ALL, ["rollups", "with all rollups / without, at the full rate", "ratio"], ROLLUPS_RATIO_MIN, 0.95),
    without_aim(least(ALL, ["rollups", "with all rollups / without", "ratio"], ROLLUPS_RATIO_MIN, 1.0)),
    without_aim(most(ALL, ["rollups", "lag of the slowest level", "buckets"], LAG_BUCKETS_MAX, 0.0)),
    without_aim(most(ALL, ["streams", "COMMIT to delivery, lines, an empty day", "p99 ms"], 60.0, 0.0)),
    without_aim(most(ALL, ["streams", "COMMIT to delivery, a group, an empty day", "p99 ms"], 60.0, 0.0)),
    without_aim(most(ALL, ["streams", "COMMIT to delivery, lines, a day of 20 million", "p99 ms"], 60.0, 0.0)),
    without_aim(most(ALL, ["streams", "COMMIT to delivery, a group, a day of 20 million", "p99 ms"], 60.0, 0.0)),
    without_aim(least(ALL, ["streams", "catch-up of a group, hot", "events/s"], 150_000.0, 0.0)),
    without_aim(least(TS, ["streams", "catch-up of a group, compacted", "events/s"], 100_000.0, 0.0)),
    without_aim(most(
        ALL,
        ["projections", "the processor at 100,000 events/s of other types", "% of a core"],
        1.0,
        0.0,
    )),
    without_aim(most(ALL, ["streams", "p99 of ingestion during catch-ups / before", "ratio"], 2.0, 0.0)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aims_are_no_less_than_what_must_be_and_no_figure_is_there_twice() {
        for (number, bounds) in BOUNDS.iter().enumerate() {
            assert!(bounds.aim.is_none_or(|aim| bounds.must.is_met(aim.value())), "{bounds:?}");
            let same = |other: &&Bounds| {
                let figure = |bounds: &Bounds| (bounds.part, bounds.name, bounds.unit);
                figure(other) == figure(bounds) && (other.are_of(bounds.engine) || bounds.are_of(other.engine))
            };
            assert_eq!(BOUNDS.iter().position(|other| same(&other)), Some(number), "{bounds:?}");
        }
    }
}
