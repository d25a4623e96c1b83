//! The parts about stored time for people: Markdown that goes into docs/PERFORMANCE.md as it is.

use std::fmt::{Error, Write};

use super::analytics::{Dashboards, Ingested, Rollups};
use super::as_f64;

const MIB: f64 = 1024.0 * 1024.0;

/// A data set and its reads; `part` is its name.
pub fn dashboards(out: &mut String, title: &str, found: &Dashboards) -> Result<(), Error> {
    writeln!(
        out,
        "\n**{title}: {} events over {} days, {} samples over {} days**\n",
        found.events, found.event_days, found.samples, found.metric_days
    )?;
    writeln!(out, "{} tenants, {} assets, {} series.", found.tenants, found.assets, found.series)?;
    if let Some(fewer) = &found.fewer {
        writeln!(out, "Fewer than asked for: {fewer}.")?;
    }
    if !found.filled.is_empty() {
        writeln!(out, "\n| loaded | rows | seconds | rows/s | us a row: PostgreSQL, sender |\n|---|---|---|---|---|")?;
        for filled in &found.filled {
            let (rows, usage) = (as_f64(filled.rows), &filled.usage);
            let us = |seconds: f64| seconds * 1e6 / rows;
            let (rate, postgres, sender) =
                (rows / usage.elapsed_s, us(usage.postgres_cpu_s), us(usage.generator_cpu_s));
            let (table, count, elapsed_s) = (&filled.table, filled.rows, usage.elapsed_s);
            writeln!(out, "| {table} | {count} | {elapsed_s:.0} | {rate:.0} | {postgres:.2}, {sender:.2} |")?;
        }
    }
    if !found.levels.is_empty() {
        writeln!(
            out,
            "\n| rollup | of rows | buckets | seconds (compressing) | us a row | MiB | bytes a bucket |\n|---|---|---|---|---|---|---|"
        )?;
        for made in &found.levels {
            writeln!(
                out,
                "| {} | {} | {} | {:.0} ({:.0}) | {:.2} | {:.0} | {:.0} |",
                made.level,
                made.rows,
                made.buckets,
                made.elapsed_s,
                made.compressing_s,
                made.elapsed_s * 1e6 / as_f64(made.rows.max(1)),
                as_f64(made.bytes) / MIB,
                as_f64(made.bytes) / as_f64(made.buckets.max(1))
            )?;
        }
    }
    for made in &found.derived {
        writeln!(out, "\n{}: {} rows made in {:.1} s.", made.table, made.rows, made.elapsed_s)?;
    }
    if !found.sizes.is_empty() {
        writeln!(out, "\n| table | state | chunks | MiB | bytes a row |\n|---|---|---|---|---|")?;
        for size in &found.sizes {
            let (table, state, chunks, mib) = (&size.table, &size.state, size.chunks, as_f64(size.bytes) / MIB);
            writeln!(out, "| {table} | {state} | {chunks} | {mib:.0} | {:.1} |", size.bytes_per_row)?;
        }
    }
    for done in &found.compacted {
        let (table, chunks, all, slowest) = (&done.table, done.chunks, done.elapsed_s, done.slowest_s);
        writeln!(out, "\n{table}: {chunks} chunks compacted in {all:.1} s, the slowest in {slowest:.2} s.")?;
    }
    reads(out, found)
}

fn reads(out: &mut String, found: &Dashboards) -> Result<(), Error> {
    if !found.reads.is_empty() {
        writeln!(
            out,
            "\n| read | state | clients | answers (errors) | rows | p50 ms | p95 ms | p99 ms | max ms | answers/s | CPU ms an answer: Tidegate, PostgreSQL |"
        )?;
        writeln!(out, "|{}", "---|".repeat(11))?;
        for read in &found.reads {
            writeln!(
                out,
                "| {} | {} | {} | {} ({}) | {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.0} | {:.2}, {:.2} |",
                read.query,
                read.state,
                read.clients,
                read.count,
                read.errors,
                read.rows,
                read.p50_ms,
                read.p95_ms,
                read.p99_ms,
                read.max_ms,
                read.per_second,
                read.tidegate_cpu_ms,
                read.postgres_cpu_ms
            )?;
        }
    }
    if !found.planned.is_empty() {
        writeln!(
            out,
            "\n| statement | state | planning ms | execution ms | scans in the plan |\n|---|---|---|---|---|"
        )?;
        for planned in &found.planned {
            let (query, state, scans) = (&planned.query, &planned.state, planned.scans);
            let (planning, execution) = (planned.planning_ms, planned.execution_ms);
            writeln!(out, "| {query} | {state} | {planning:.1} | {execution:.1} | {scans} |")?;
        }
    }
    Ok(())
}

/// Ingestion with rollups and without.
pub fn rollups(out: &mut String, engine: &str, found: &Rollups) -> Result<(), Error> {
    let (series, length_s) = (found.series, found.length_s);
    writeln!(out, "\n**{engine}: ingestion beside {series} series' rollups, {length_s:.0} s each**\n")?;
    writeln!(
        out,
        "| offered samples/s, events/s | rollups | rows/s committed | / without | us a row: Tidegate, PostgreSQL, sender | p99 ms: samples, events | lag in buckets, at most, at the end |"
    )?;
    writeln!(out, "|{}", "---|".repeat(7))?;
    for step in &found.steps {
        let offered = format!("{:.0}, {:.0}", step.samples_per_second, step.events_per_second);
        let lags = |run: &Ingested| -> String {
            let told = run.lags.iter().filter(|(_, lag)| lag.is_told_in(run.usage.elapsed_s));
            let texts =
                told.map(|(level, lag)| format!("{level} {:.2}, {:.2}", lag.buckets_max(), lag.last_s / lag.bucket_s));
            Some(texts.collect::<Vec<_>>().join("; "))
                .filter(|text| !text.is_empty())
                .unwrap_or_else(|| "too short".into())
        };
        for (run, name, ratio, lags) in [
            (&step.without, "1h, 1d, paused", "-".to_owned(), "-".to_owned()),
            (&step.active, "all", format!("{:.2}", step.ratio()), lags(&step.active)),
        ] {
            let us = |seconds: f64| seconds * 1e6 / as_f64(run.rows.max(1));
            let usage = &run.usage;
            writeln!(
                out,
                "| {offered} | {name} | {:.0} | {ratio} | {:.2}, {:.2}, {:.2} | {:.1}, {:.1} | {lags} |",
                run.rate(),
                us(usage.tidegate_cpu_s),
                us(usage.postgres_cpu_s),
                us(usage.generator_cpu_s),
                run.samples_p99_ms,
                run.events_p99_ms
            )?;
        }
    }
    match found.best() {
        Some(best) => writeln!(
            out,
            "\n{engine}: the highest rate that is kept up is {:.0} samples/s and {:.0} events/s: ratio {:.2}, lag at most {:.2} buckets.",
            best.samples_per_second,
            best.events_per_second,
            best.ratio(),
            best.lag_buckets().unwrap_or_default()
        ),
        None => writeln!(out, "\n{engine}: none of these rates is kept up."),
    }
}
