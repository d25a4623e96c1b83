//! The table of design figures: must, aim, measured, met or not. Pure: from a report to lines.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::contract::Bound::{self, AtLeast, AtMost};
use super::contract::{Engines, ROWS, Row};
use super::report::{Measured, Report};

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
    let bound = match row.engines {
        Engines::All => true,
        Engines::Bounds(name) => name == engine,
        Engines::Only(name) if name == engine => true,
        Engines::Only(_) => return none("-"),
    };
    let Some(values) = (row.values)(report, measured) else { return none("not measured") };
    let met = |bounds: &[Bound]| {
        let all = || bounds.iter().zip(&values).all(|(bound, value)| bound.is_met(*value));
        (bound && !bounds.is_empty()).then(all)
    };
    let size = (row.size)(measured).map(|size| format!(" ({size})")).unwrap_or_default();
    Cell { text: text(&values, row) + &size, must_met: met(row.must), aim_met: met(row.aim) }
}

#[cfg(test)]
mod tests {
    use super::super::analytics::{Asked, Dashboards, Ingested, Lag, Rollups, Step};
    use super::super::ask::{HOURLY, RECENT};
    use super::super::meter::Usage;
    use super::super::report::{Figure, Stored};
    use super::super::rounds::{HTTP, RAW};
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
        assert_eq!((cell.text.as_str(), cell.must_met), ("-", None));
    }

    #[test]
    fn what_was_not_measured_says_so_and_is_not_met() {
        for figure in ["hourly aggregate", "small senders", "rollups"] {
            let cell = Cell { text: "not measured".into(), must_met: None, aim_met: None };
            assert_eq!(cell_of(&report(8.0), figure), cell);
        }
    }

    #[test]
    fn figures_of_dashboards_are_those_of_sixteen_clients() {
        let asked = |query: &str, clients, time_ms| Asked {
            query: query.to_owned(),
            state: "hot".to_owned(),
            clients,
            p50_ms: time_ms,
            p95_ms: 2.0 * time_ms,
            ..Asked::default()
        };
        let reads =
            vec![asked(RECENT, 1, 1.0), asked(RECENT, 16, 20.0), asked(HOURLY, 1, 2.0), asked(HOURLY, 16, 30.0)];
        let mut report = report(8.0);
        report.of("timescale").dashboards = Some(Dashboards { reads, events: 1_000_000, ..Dashboards::default() });
        let cell = cell_of(&report, "recent events of an asset, 24 h, p50, 16 clients, hot");
        assert_eq!(
            (cell.text.as_str(), cell.must_met, cell.aim_met),
            ("20.0 ms (1.0 M rows)", Some(true), Some(false))
        );
        assert_eq!(cell_of(&report, "hourly aggregate of metrics, 7 days, p95, 16 clients, hot").must_met, Some(false));
        assert_eq!(cell_of(&report, "16 clients, compacted").must_met, None);
    }

    #[test]
    fn ingestion_beside_rollups_counts_where_they_keep_up() {
        let usage = || Usage { elapsed_s: 200.0, ..Usage::default() };
        let step = |samples_per_second: f64, with: u64, lag_s| {
            let lag = |bucket_s, max_s| Lag { bucket_s, max_s, ..Lag::default() };
            // The hours' lag is not told by 200 s.
            let lags =
                [("metrics_1m".to_owned(), lag(60.0, lag_s)), ("metrics_hourly".to_owned(), lag(3600.0, 9000.0))];
            Step {
                samples_per_second,
                events_per_second: 5.0,
                without: Ingested { rows: 100, usage: usage(), ..Ingested::default() },
                active: Ingested { rows: with, usage: usage(), lags: lags.into(), ..Ingested::default() },
            }
        };
        let of = |steps: Vec<Step>| {
            let mut report = report(8.0);
            report.of("timescale").rollups = Some(Rollups { series: 7, steps, ..Rollups::default() });
            cell_of(&report, "rollups")
        };
        let cell = of(vec![step(10.0, 95, 100.0), step(20.0, 90, 119.0), step(40.0, 99, 121.0)]);
        let text = "0.90 / 1.98 (20 samples/s and 5 events/s, 7 series)";
        assert_eq!((cell.text.as_str(), cell.must_met), (text, Some(true)));
        // None is good: the last is shown, and it does not meet the bounds.
        assert_eq!(of(vec![step(10.0, 70, 100.0)]).must_met, Some(false));
        assert_eq!(of(vec![step(10.0, 90, 130.0)]).must_met, Some(false));
    }

    #[test]
    fn the_contract_is_complete() {
        let lines = lines(&report(8.0));
        assert_eq!(lines.len(), ROWS.len());
        let latency = lines.iter().find(|line| line.figure.starts_with("acknowledgement")).expect("a row");
        assert_eq!((latency.must.as_str(), latency.aim.as_str()), ("20.0 / 100.0 ms", "8.0 / 40.0 ms"));
    }
}
