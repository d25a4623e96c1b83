//! The report for people: Markdown that goes into docs/PERFORMANCE.md as it is.

use std::fmt::{Error, Write};

use super::report::{Figure, Measured, Report, Run};
use super::rounds::RAW;
use super::{analytics_text, as_f64};

/// The whole report.
pub fn render(report: &Report) -> Result<String, Error> {
    let mut out = String::new();
    let machine = &report.machine;
    if report.quick {
        writeln!(
            out,
            "**Made with --quick: this shows that everything is measured, and no figure of it means anything.**\n"
        )?;
    }
    writeln!(
        out,
        "Commit {}, {}; {} cores ({}) that hold PostgreSQL, Tidegate and the load generator together, {:.1} GiB, {}.",
        report.commit, report.at, machine.cores, machine.cpu, machine.memory_gib, machine.kernel
    )?;
    for (engine, measured) in &report.engines {
        let server = &measured.server;
        let timescaledb = server.timescaledb.as_ref().map(|version| format!(" with TimescaleDB {version}"));
        writeln!(out, "\n{engine}: {}{}; {}.", server.postgres, timescaledb.unwrap_or_default(), server.durability())?;
    }
    table(&mut out, report)?;
    for (engine, measured) in &report.engines {
        figures(&mut out, &format!("{engine}: the paths, round by round"), &measured.compare)?;
        figures(&mut out, &format!("{engine}: 1,000 small tenants beside 4 busy ones"), &measured.mixed)?;
        runs(&mut out, engine, measured)?;
        reads(&mut out, engine, measured)?;
        others(&mut out, engine, measured)?;
        if let Some(found) = &measured.dashboards {
            analytics_text::dashboards(&mut out, &format!("{engine}: dashboards"), found)?;
        }
        if let Some(found) = &measured.year {
            analytics_text::dashboards(&mut out, &format!("{engine}: a year of daily chunks"), found)?;
        }
        if let Some(found) = &measured.rollups {
            analytics_text::rollups(&mut out, engine, found)?;
        }
    }
    for (engine, measured) in &report.engines {
        for failure in &measured.failures {
            writeln!(out, "\n{engine}: not measured: {failure}")?;
        }
    }
    Ok(out)
}

fn table(out: &mut String, report: &Report) -> Result<(), Error> {
    let engines: Vec<&String> = report.engines.keys().collect();
    writeln!(
        out,
        "\n| figure | must | aim |{} |",
        engines.iter().map(|e| format!(" {e} |")).collect::<String>().trim_end_matches(" |")
    )?;
    writeln!(out, "|---|---|---|{}", "---|".repeat(engines.len()))?;
    for line in &report.table {
        write!(out, "| {} | {} | {} |", line.figure, line.must, line.aim)?;
        for engine in &engines {
            let cell = line.cells.get(*engine);
            let text = cell.map_or("", |cell| cell.text.as_str());
            let met = match cell.map(|cell| (cell.must_met, cell.aim_met)) {
                Some((Some(false), _)) => ", **must not met**",
                Some((Some(true), Some(true))) => ", aim met",
                Some((Some(true), _)) => ", must met",
                _ => "",
            };
            write!(out, " {text}{met} |")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn figures(out: &mut String, title: &str, figures: &[Figure]) -> Result<(), Error> {
    if figures.is_empty() {
        return Ok(());
    }
    let raw = super::report::mean(figures.iter().filter(|figure| figure.path == RAW).map(Figure::rate));
    writeln!(out, "\n**{title}**\n")?;
    writeln!(
        out,
        "| path | events | rows a transaction | connections | events/s | / raw | Tidegate CPU s (us an event) | PostgreSQL CPU s (us) | sender CPU s (us) | Tidegate MiB, peak | bytes an event | WAL bytes an event |"
    )?;
    writeln!(out, "|{}", "---|".repeat(12))?;
    for figure in figures {
        let usage = &figure.usage;
        let ratio = raw.map_or_else(|| "-".to_owned(), |raw| format!("{:.2}", figure.rate() / raw));
        let cpu = |seconds: f64| format!("{seconds:.2} ({:.2})", seconds * 1e6 / as_f64(figure.events));
        writeln!(
            out,
            "| {} | {} | {} | {} | {:.0} | {ratio} | {} | {} | {} | {:.0} | {:.0} | {:.0} |",
            figure.path,
            figure.events,
            figure.batch,
            figure.connections,
            figure.rate(),
            cpu(usage.tidegate_cpu_s),
            cpu(usage.postgres_cpu_s),
            cpu(usage.generator_cpu_s),
            usage.tidegate_peak_mib,
            figure.bytes_per_event,
            figure.wal_bytes_per_event
        )?;
    }
    Ok(())
}

fn runs(out: &mut String, engine: &str, measured: &Measured) -> Result<(), Error> {
    let flood = measured.flood.as_ref();
    let runs = [
        ("sustained, full load", measured.sustained.as_ref()),
        ("half the maximum rate", measured.latency.as_ref().map(|latency| &latency.run)),
        ("small senders", measured.small.as_ref()),
        ("honest sender before the flood", flood.map(|flood| &flood.before)),
        ("honest sender during the flood", flood.map(|flood| &flood.during)),
        ("others, before a tenant's excess", measured.quota.as_ref().map(|quota| &quota.before)),
        ("others, during it", measured.quota.as_ref().map(|quota| &quota.during)),
        ("long run", measured.long.as_ref().map(|long| &long.run)),
    ];
    let runs: Vec<(&str, &Run)> = runs.into_iter().filter_map(|(name, run)| Some((name, run?))).collect();
    if runs.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n**{engine}: over HTTP**\n")?;
    writeln!(
        out,
        "| run | events a request | connections | seconds | events/s committed | spooled | retries | p50 ms | p99 ms | us an event: Tidegate, PostgreSQL, sender | MiB, peak | MiB: farthest from median, growth | rows a batch |"
    )?;
    writeln!(out, "|{}", "---|".repeat(13))?;
    for (name, run) in runs {
        let per_event_us = |seconds: f64| seconds * 1e6 / as_f64(run.sent.events.max(1));
        let optional =
            |value: Option<f64>, digits: usize| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.digits$}"));
        writeln!(
            out,
            "| {name} | {} | {} | {:.1} | {:.0} | {} | {} | {:.1} | {:.1} | {:.2}, {:.2}, {:.2} | {:.0} | {} | {} |",
            run.batch,
            run.connections,
            run.usage.elapsed_s,
            run.rate(),
            run.sent.spooled,
            run.sent.retries,
            run.p50_ms,
            run.p99_ms,
            per_event_us(run.usage.tidegate_cpu_s),
            per_event_us(run.usage.postgres_cpu_s),
            per_event_us(run.usage.generator_cpu_s),
            run.usage.tidegate_peak_mib,
            [run.memory_unevenness, run.memory_growth].map(|part| optional(part, 3)).join(", "),
            optional(run.rows_per_batch, 0)
        )?;
    }
    Ok(())
}

fn reads(out: &mut String, engine: &str, measured: &Measured) -> Result<(), Error> {
    if measured.reads.is_empty() {
        return Ok(());
    }
    let rows = measured.stored.as_ref().map_or(0, |stored| stored.events);
    writeln!(out, "\n**{engine}: reads of {rows} events, one at a time**\n")?;
    writeln!(out, "| query | table | times | rows | p50 ms | p95 ms |\n|---|---|---|---|---|---|")?;
    for read in &measured.reads {
        let (query, state, count) = (&read.query, &read.state, read.count);
        writeln!(out, "| {query} | {state} | {count} | {} | {:.1} | {:.1} |", read.rows, read.p50_ms, read.p95_ms)?;
    }
    Ok(())
}

fn others(out: &mut String, engine: &str, measured: &Measured) -> Result<(), Error> {
    if let Some(latency) = &measured.latency {
        writeln!(out, "\n{engine}: the maximum that the latency's rate is half of: {:.0} events/s.", latency.maximum)?;
    }
    if let Some(stored) = &measured.stored {
        write!(out, "\n{engine}: {} events take {:.0} bytes each as written", stored.events, stored.hot)?;
        if let (Some(compacted), Some(seconds)) = (stored.compacted, stored.compacting_s) {
            write!(out, ", {compacted:.0} compacted ({seconds:.1} s for all chunks)")?;
        }
        writeln!(out, ".")?;
    }
    if let Some(flood) = &measured.flood {
        write!(
            out,
            "\n{engine}: the flood was {:.1} GiB a minute sent or decompressed before it was refused ({:.0} announced); answers by status:",
            flood.taken_gib_per_minute, flood.announced_gib_per_minute
        )?;
        for (kind, statuses) in &flood.answers {
            write!(out, " {kind} {statuses:?};")?;
        }
        writeln!(out)?;
    }
    if let Some(quota) = &measured.quota {
        writeln!(
            out,
            "\n{engine}: a key that may send {:.0} events/s sent {:.0}, of which {:.0} were accepted; its answers by status: {:?}.",
            quota.limit, quota.offered, quota.greedy_events_per_second, quota.answers
        )?;
    }
    if let Some(long) = &measured.long {
        let lowest = long.millions.iter().copied().fold(f64::INFINITY, f64::min);
        write!(
            out,
            "\n{engine}: long run of {} events, {:.0} bytes each; slowest million {lowest:.0} events/s.",
            long.run.sent.events, long.bytes_per_event
        )?;
        writeln!(out, " {}", long.stopped_early.as_deref().unwrap_or_default())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::table::lines;
    use super::*;

    #[test]
    fn a_report_without_figures_says_so() {
        let engines = [("postgres".to_owned(), Measured::default()), ("timescale".to_owned(), Measured::default())];
        let mut report = Report { engines: engines.into(), quick: true, ..Report::default() };
        report.engines.entry("postgres".into()).or_default().failures.push("Small: no answer".into());
        report.table = lines(&report);
        let text = render(&report).expect("a String takes everything");
        assert!(text.contains("| figure | must | aim | postgres | timescale |\n|---|---|---|---|---|\n"), "{text}");
        assert!(text.contains("| not measured | not measured |") && text.contains("Made with --quick"), "{text}");
        assert!(text.contains("postgres: not measured: Small: no answer") && !text.contains("met |"), "{text}");
    }
}
