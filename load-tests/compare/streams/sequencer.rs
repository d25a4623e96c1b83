//! What giving batches their offsets costs: ingestion with the sequencer at work and with it held back, in turn on fresh
//! tables; and what the sequencer says of its ticks.

use std::time::Instant;

use tidegate::storage::embedded::DATABASE;

use super::super::common::{BATCH_ROWS, Result, as_f64, mean, per_row};
use super::super::feed::{Feed, Until};
use super::super::figures::Figures;
use super::super::options::Options;
use super::super::pause::{What, pause};
use super::super::runs::{Run, SMALL_BATCH, SMALL_CONNECTIONS};
use super::super::scrape::Scrape;
use super::super::target::Target;
use super::until_logged;

const TICKS: &str = "tidegate_log_tick_seconds";
/// Time of the ticks' statement as the database counts it, empty ticks included, in ms; none where nobody counts it.
const STATEMENT_MS: &str = "SELECT sum(total_exec_time) FROM public.pg_stat_statements \
     WHERE query LIKE '%INTO batch_log%' AND query LIKE '%FROM batch_queue%'";
const IS_COUNTED: &str = "SELECT count(*) FROM pg_extension WHERE extname = 'pg_stat_statements'";

/// Events a request, and connections.
struct Load {
    name: &'static str,
    batch: u64,
    connections: usize,
}

/// What one run gave.
#[derive(Clone, Copy)]
struct Ran {
    rate: f64,
    postgres_us: f64,
}

pub async fn run(target: &mut Target, options: &Options, figures: &mut Figures) -> Result<()> {
    let loads = [
        Load { name: "full load", batch: BATCH_ROWS, connections: options.connections },
        Load { name: "10 events a request", batch: SMALL_BATCH, connections: SMALL_CONNECTIONS },
    ];
    for load in &loads {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for round in 1..=options.rounds {
            without.push(ingest(target, options, load, round, false, figures).await?);
            with.push(ingest(target, options, load, round, true, figures).await?);
        }
        let of = |runs: &[Ran], what: fn(&Ran) -> f64| mean(&runs.iter().map(what).collect::<Vec<_>>());
        let name = format!("{}, the sequencer's part", load.name);
        let postgres_us = of(&with, |ran| ran.postgres_us) - of(&without, |ran| ran.postgres_us);
        figures.add(&name, "PostgreSQL us/event", postgres_us);
        let ratio = of(&with, |ran| ran.rate) / of(&without, |ran| ran.rate);
        figures.add(&format!("{}, with the sequencer / without", load.name), "ratio", ratio);
    }
    Ok(())
}

async fn ingest(
    target: &mut Target,
    options: &Options,
    load: &Load,
    round: usize,
    with: bool,
    figures: &mut Figures,
) -> Result<Ran> {
    target.fresh().await?;
    let paused = if with { None } else { Some(pause(target, What::Sequencer).await?) };
    let is_counted = target.count(IS_COUNTED).await? > 0;
    if is_counted {
        let reset = "SELECT public.pg_stat_statements_reset()";
        target.superuser(DATABASE).await?.batch_execute(reset).await?;
    }
    let feed = Feed::pool(load.batch, Until::Elapsed(options.short()));
    let run = Run::of(target, feed, load.connections).await?;
    let state = if with { "at work" } else { "held back" };
    let name = format!("{}, sequencer {state}, round {round}", load.name);
    run.add(figures, &name);
    if with {
        let ended = Instant::now();
        until_logged(target, "", run.sent.accepted()).await?;
        let behind_ms = ended.elapsed().as_secs_f64() * 1000.0;
        figures.add(&format!("{name}: the log"), "ms behind at the end", behind_ms);
        ticks(target, run.usage.elapsed_s, is_counted, &format!("{name}: the sequencer"), figures).await?;
    }
    drop(paused);
    target.check_stored("events", run.sent.accepted()).await?;
    Ok(Ran { rate: run.rate(), postgres_us: per_row(run.usage.postgres_cpu_s * 1e6, run.sent.committed) })
}

async fn ticks(target: &Target, elapsed_s: f64, is_counted: bool, name: &str, figures: &mut Figures) -> Result<()> {
    let said = Scrape::of(target).await?;
    let of = |metric: &str| said.value(metric).ok_or_else(|| format!("there is no metric {metric}"));
    let (batches, events) = (of("tidegate_log_batches_total")?, of("tidegate_log_events_total")?);
    let (ticks, tick_s) = (of(&format!("{TICKS}_count"))?, of(&format!("{TICKS}_sum"))?);
    let quantile = |part| said.quantile(TICKS, part).ok_or_else(|| format!("{TICKS} has no buckets"));
    let values = [
        ("manifests", batches),
        ("manifests/s", batches / elapsed_s),
        ("ticks", ticks),
        ("tick p50 ms", quantile(0.5)? * 1000.0),
        ("tick p99 ms", quantile(0.99)? * 1000.0),
        ("tick us/manifest", tick_s * 1e6 / batches),
        ("tick us/event", tick_s * 1e6 / events),
    ];
    figures.add_all(name, &values);
    if is_counted {
        let client = target.superuser(DATABASE).await?;
        if let Some(ms) = client.query_one(STATEMENT_MS, &[]).await?.get::<_, Option<f64>>(0) {
            let us = ms * 1000.0;
            let values = [
                ("statement us/manifest", us / batches),
                ("statement us/event", us / events),
                ("statement's part of a core", us / 1e6 / elapsed_s),
            ];
            figures.add_all(name, &values);
        }
    }
    let kept = as_f64(target.count("SELECT count(*) FROM batch_log").await?);
    if (kept - batches).abs() > 0.5 {
        return Err(format!("{batches} manifests were counted and {kept} are in the log").into());
    }
    Ok(())
}
