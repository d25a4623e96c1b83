//! The table of design figures: must, aim, measured, met or not. Pure: from a report to lines.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::reads::is_recent_of_an_asset;
use super::report::{Measured, Report};
use super::rounds::{HTTP, RAW};

/// What a figure says of an engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The figure, or why there is none.
    pub text: String,
    /// `must` and `aim`: whether each is met; none when there is no figure or no such bound.
    pub must_met: Option<bool>,
    /// The same for the aim.
    pub aim_met: Option<bool>,
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// What is measured.
    pub figure: String,
    /// What must be reached.
    pub must: String,
    /// What is aimed at.
    pub aim: String,
    /// By engine.
    pub cells: BTreeMap<String, Cell>,
}

/// One bound a value.
#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }
}

type Values = Option<Vec<f64>>;

/// One row of the contract.
struct Row {
    figure: &'static str,
    /// The engine that the bounds are for; on others the figure is only shown.
    only: Option<&'static str>,
    must: &'static [Bound],
    aim: &'static [Bound],
    digits: usize,
    unit: &'static str,
    values: fn(&Report, &Measured) -> Values,
}

use Bound::{AtLeast, AtMost};

fn rate_ratio(measured: &Measured) -> Values {
    Some(vec![measured.mean_rate(HTTP)? / measured.mean_rate(RAW)?])
}

fn recent(measured: &Measured, state: &str) -> Values {
    let read = measured.reads.iter().find(|read| is_recent_of_an_asset(read) && read.state == state)?;
    Some(vec![read.p50_ms])
}

const ROWS: [Row; 16] = [
    Row {
        figure: "committed events/s over HTTP / raw COPY limit of the same run (timescale, columnstore)",
        only: Some("timescale"),
        must: &[AtLeast(0.60)],
        aim: &[AtLeast(0.85)],
        digits: 2,
        unit: "",
        values: |_, m| rate_ratio(m),
    },
    Row {
        figure: "the same ratio on the postgres engine",
        only: Some("postgres"),
        must: &[AtLeast(0.70)],
        aim: &[AtLeast(0.90)],
        digits: 2,
        unit: "",
        values: |_, m| rate_ratio(m),
    },
    Row {
        figure: "committed events/s over HTTP, sustained 60 s",
        only: Some("timescale"),
        must: &[AtLeast(100_000.0)],
        aim: &[AtLeast(150_000.0)],
        digits: 0,
        unit: "/s",
        values: |_, m| Some(vec![m.sustained.as_ref()?.rate()]),
    },
    Row {
        figure: "Tidegate's own CPU per event of 400 bytes",
        only: None,
        must: &[AtMost(3.0)],
        aim: &[AtMost(1.2)],
        digits: 2,
        unit: " us",
        values: |_, m| Some(vec![m.tidegate_us()?]),
    },
    Row {
        figure: "decode + validate + encode, one core (criterion)",
        only: None,
        must: &[AtLeast(1e6)],
        aim: &[AtLeast(2e6)],
        digits: 0,
        unit: "/s",
        values: |r, _| Some(vec![r.decode_events_per_second?]),
    },
    Row {
        figure: "resident memory at full load",
        only: None,
        must: &[AtMost(256.0)],
        aim: &[AtMost(128.0)],
        digits: 0,
        unit: " MiB",
        values: |_, m| Some(vec![m.peak_mib()?]),
    },
    Row {
        figure: "acknowledgement at half the maximum rate, batches of 100, p50 / p99",
        only: None,
        must: &[AtMost(20.0), AtMost(100.0)],
        aim: &[AtMost(8.0), AtMost(40.0)],
        digits: 1,
        unit: " ms",
        values: |_, m| {
            let run = &m.latency.as_ref()?.run;
            Some(vec![run.p50_ms, run.p99_ms])
        },
    },
    Row {
        figure: "small senders: 200 connections, 10 events a request",
        only: None,
        must: &[AtLeast(30_000.0)],
        aim: &[AtLeast(80_000.0)],
        digits: 0,
        unit: "/s",
        values: |_, m| Some(vec![m.small.as_ref()?.rate()]),
    },
    Row {
        figure: "recent events of an asset, 24 h, p50, hot",
        only: None,
        must: &[AtMost(25.0)],
        aim: &[AtMost(5.0)],
        digits: 1,
        unit: " ms",
        values: |_, m| recent(m, "hot"),
    },
    Row {
        figure: "the same, compacted",
        only: Some("timescale"),
        must: &[AtMost(25.0)],
        aim: &[AtMost(5.0)],
        digits: 1,
        unit: " ms",
        values: |_, m| recent(m, "compacted"),
    },
    Row {
        figure: HOURLY,
        only: None,
        must: &[AtMost(50.0)],
        aim: &[AtMost(10.0)],
        digits: 1,
        unit: " ms",
        values: |_, _| None,
    },
    Row {
        figure: "stored bytes per event, hot",
        only: Some("timescale"),
        must: &[AtMost(150.0)],
        aim: &[AtMost(95.0)],
        digits: 0,
        unit: "",
        values: |_, m| Some(vec![m.stored.as_ref()?.hot]),
    },
    Row {
        figure: "stored bytes per event, compacted",
        only: Some("timescale"),
        must: &[AtMost(80.0)],
        aim: &[AtMost(45.0)],
        digits: 0,
        unit: "",
        values: |_, m| Some(vec![m.stored.as_ref()?.compacted?]),
    },
    Row {
        figure: "throughput at the end of the long run / at its begin (5 million rows each)",
        only: Some("timescale"),
        must: &[AtLeast(0.90)],
        aim: &[AtLeast(0.97)],
        digits: 2,
        unit: "",
        values: |_, m| Some(vec![m.long.as_ref()?.last_to_first]),
    },
    Row {
        figure: "memory over the long run, farthest from its median",
        only: None,
        must: &[AtMost(0.10)],
        aim: &[],
        digits: 3,
        unit: "",
        values: |_, m| Some(vec![m.long.as_ref()?.run.memory_unevenness?]),
    },
    Row {
        figure: "memory during a flood of bombs, farthest from its median",
        only: None,
        must: &[AtMost(0.10)],
        aim: &[],
        digits: 3,
        unit: "",
        values: |_, m| Some(vec![m.flood.as_ref()?.during.memory_unevenness?]),
    },
];

/// The only row that cannot be measured: what it asks for does not exist in this version.
const HOURLY: &str = "hourly aggregate of metrics, 7 days, p95";

/// The table of a report.
pub fn lines(report: &Report) -> Vec<Line> {
    ROWS.iter()
        .map(|row| Line {
            figure: row.figure.to_owned(),
            must: bounds(row.must, row),
            aim: bounds(row.aim, row),
            cells: report.engines.iter().map(|(engine, m)| (engine.clone(), cell(row, report, engine, m))).collect(),
        })
        .collect()
}

fn bounds(bounds: &[Bound], row: &Row) -> String {
    let values: Vec<f64> = bounds
        .iter()
        .map(|bound| match bound {
            AtLeast(value) | AtMost(value) => *value,
        })
        .collect();
    if values.is_empty() { "-".to_owned() } else { text(&values, row) }
}

fn text(values: &[f64], row: &Row) -> String {
    let values: Vec<String> = values.iter().map(|value| format!("{value:.*}", row.digits)).collect();
    values.join(" / ") + row.unit
}

fn cell(row: &Row, report: &Report, engine: &str, measured: &Measured) -> Cell {
    let none = |why: &str| Cell { text: why.to_owned(), must_met: None, aim_met: None };
    if row.figure == HOURLY {
        return none("not built yet");
    }
    let Some(values) = (row.values)(report, measured) else { return none("not measured") };
    let met = |bounds: &[Bound]| {
        let applies = row.only.is_none_or(|only| only == engine) && !bounds.is_empty();
        applies.then(|| bounds.iter().zip(&values).all(|(bound, value)| bound.is_met(*value)))
    };
    Cell { text: text(&values, row), must_met: met(row.must), aim_met: met(row.aim) }
}

#[cfg(test)]
mod tests {
    use super::super::meter::Usage;
    use super::super::report::{Figure, Stored};
    use super::*;

    fn figure(path: &str, events: u64, elapsed_s: f64) -> Figure {
        let usage = Usage { elapsed_s, tidegate_cpu_s: 2.0, ..Usage::default() };
        let path = path.to_owned();
        Figure { path, events, batch: 1000, connections: 4, usage, bytes_per_event: 90.0, wal_bytes_per_event: 100.0 }
    }

    fn report(http_s: f64) -> Report {
        let measured = Measured {
            compare: vec![figure(RAW, 1_000_000, 5.0), figure(HTTP, 1_000_000, http_s)],
            stored: Some(Stored { events: 1, hot: 160.0, compacted: Some(40.0), compacting_s: None }),
            ..Measured::default()
        };
        Report { engines: BTreeMap::from([("timescale".into(), measured)]), ..Report::default() }
    }

    fn cell_of(report: &Report, figure: &str) -> Cell {
        let lines = lines(report);
        lines.iter().find(|line| line.figure.contains(figure)).expect("a row").cells["timescale"].clone()
    }

    #[test]
    fn bounds_are_met_or_not() {
        let cell = cell_of(&report(8.0), "raw COPY limit");
        assert_eq!((cell.text.as_str(), cell.must_met, cell.aim_met), ("0.62", Some(true), Some(false)));
        assert_eq!(cell_of(&report(10.0), "raw COPY limit").must_met, Some(false));
        assert_eq!(cell_of(&report(8.0), "per event, hot").must_met, Some(false));
        assert_eq!(cell_of(&report(8.0), "per event, compacted").aim_met, Some(true));
    }

    #[test]
    fn bounds_of_the_other_engine_do_not_count() {
        let cell = cell_of(&report(8.0), "postgres engine");
        assert_eq!((cell.text.as_str(), cell.must_met), ("0.62", None));
    }

    #[test]
    fn what_was_not_measured_says_so_and_is_not_met() {
        for (figure, why) in [("hourly aggregate", "not built yet"), ("small senders", "not measured")] {
            assert_eq!(cell_of(&report(8.0), figure), Cell { text: why.into(), must_met: None, aim_met: None });
        }
    }

    #[test]
    fn the_contract_is_complete() {
        let lines = lines(&report(8.0));
        assert_eq!(lines.len(), ROWS.len());
        let latency = lines.iter().find(|line| line.figure.starts_with("acknowledgement")).expect("a row");
        assert_eq!((latency.must.as_str(), latency.aim.as_str()), ("20.0 / 100.0 ms", "8.0 / 40.0 ms"));
    }
}
