//! Tidegate over HTTP beside the raw COPY limit of the same machine, the same server and the same run.
//!
//! `cargo bench --bench compare -- [--events N] [--rounds N] [--engine timescale|postgres] [--report FILE.json]`. For
//! each engine the real binary is started with a durable private server; then, interleaved and on emptied tables, the
//! same events go in as pre-encoded binary COPY on as many connections as Tidegate has writers, with one ledger row per
//! COPY, and over HTTP. Prints one table; figures are ratios of one run, because machines are noisy.

mod raw;
mod target;

use std::error::Error;
use std::time::Duration;

use clap::Parser;
use serde::Serialize;
use tidegate::load::{Format, LoadOptions, Rate, Source, check_conservation, run};

use target::{Target, cpu_seconds};

/// As in `batch.rows` and `writers`: both paths get the same.
const BATCH_ROWS: usize = 1000;
const CONNECTIONS: usize = 4;
const TENANTS: usize = 40;
const ASSETS: u32 = 2000;
const SEED: u64 = 7;

#[derive(Parser)]
struct Args {
    /// Events of each measurement
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Measurements of each path, interleaved
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// Only this engine
    #[arg(long)]
    engine: Option<String>,
    /// Write the figures as JSON
    #[arg(long)]
    report: Option<std::path::PathBuf>,
    /// Given by cargo bench
    #[arg(long, hide = true)]
    bench: bool,
}

/// One measurement.
#[derive(Debug, Clone, Serialize)]
struct Figure {
    engine: String,
    path: &'static str,
    events: u64,
    events_per_second: f64,
    /// User and system time of the tidegate process, in seconds; 0 on the raw path.
    tidegate_cpu_s: f64,
    /// Of all PostgreSQL processes.
    postgres_cpu_s: f64,
    /// Largest resident size of the tidegate process, in MiB.
    tidegate_rss_mib: f64,
    /// On disk after the measurement, indexes and all, divided by the events.
    bytes_per_event: f64,
}

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let engines: Vec<String> = match &args.engine {
        Some(engine) => vec![engine.clone()],
        None => vec!["timescale".into(), "postgres".into()],
    };
    let mut figures = Vec::new();
    for engine in engines {
        match runtime.block_on(measure(&engine, &args)) {
            Ok(measured) => figures.extend(measured),
            Err(error) => println!("{engine}: not measured: {error}"),
        }
    }
    show(&figures);
    if let Some(path) = args.report {
        std::fs::write(path, serde_json::to_vec_pretty(&figures)?)?;
    }
    Ok(())
}

async fn measure(engine: &str, args: &Args) -> Result<Vec<Figure>> {
    let target = Target::start(engine, TENANTS).await?;
    println!("{engine}: {}", target.describe().await?);
    let mut figures = Vec::new();
    for _ in 0..args.rounds {
        target.empty().await?;
        let batches = raw::batches(&target.tenants, args.events, BATCH_ROWS, SEED, ASSETS)?;
        figures.push(
            timed(engine, "raw COPY", &target, args.events, raw::run(&target, &batches, BATCH_ROWS, CONNECTIONS))
                .await?,
        );
        drop(batches);
        target.empty().await?;
        figures.push(timed(engine, "HTTP", &target, args.events, over_http(&target, args.events)).await?);
    }
    target.stop().await?;
    Ok(figures)
}

/// Measures one path: `work` returns the seconds that it took.
async fn timed(
    engine: &str,
    path: &'static str,
    target: &Target,
    events: u64,
    work: impl Future<Output = Result<f64>>,
) -> Result<Figure> {
    let (tidegate_before, postgres_before) = (target.tidegate_cpu_s(), target.postgres_cpu_s());
    let elapsed_s = work.await?;
    let figure = Figure {
        engine: engine.to_owned(),
        path,
        events,
        events_per_second: target::as_f64(events) / elapsed_s,
        tidegate_cpu_s: target.tidegate_cpu_s() - tidegate_before,
        postgres_cpu_s: target.postgres_cpu_s() - postgres_before,
        tidegate_rss_mib: target.tidegate_peak_mib(),
        bytes_per_event: target.stored_bytes().await? / target::as_f64(events),
    };
    println!("  {path:<9} {:>9.0} events/s", figure.events_per_second);
    Ok(figure)
}

async fn over_http(target: &Target, events: u64) -> Result<f64> {
    let options = LoadOptions {
        url: target.url.clone(),
        keys: target.keys.clone(),
        rate: Rate::Max,
        duration: Duration::from_secs(600),
        batch: BATCH_ROWS,
        // Twice the writers, so that a batch is always waiting for each.
        connections: 2 * CONNECTIONS,
        format: Format::Ndjson,
        gzip: false,
        source: Source::Generate { seed: SEED, assets: ASSETS },
        progress: false,
        max_events: Some(events),
        no_keys: false,
    };
    let report = run(options, std::future::pending()).await?;
    let kept = check_conservation(&report, &target.owner).await?;
    if report.committed != events || !kept.ok {
        return Err(format!("not conserved: {} of {events} committed, {kept:?}", report.committed).into());
    }
    println!("  HTTP latency p50 {:.1} ms, p99 {:.1} ms", report.latency_ms.p50, report.latency_ms.p99);
    Ok(report.elapsed_s)
}

fn show(figures: &[Figure]) {
    println!(
        "\n{:<10} {:<9} {:>10} {:>13} {:>13} {:>9} {:>8}",
        "engine", "path", "events/s", "tidegate us", "postgres us", "RSS MiB", "B/event"
    );
    let per_event_us = |seconds: f64, events: u64| seconds * 1e6 / target::as_f64(events);
    for figure in figures {
        println!(
            "{:<10} {:<9} {:>10.0} {:>13.2} {:>13.2} {:>9.0} {:>8.0}",
            figure.engine,
            figure.path,
            figure.events_per_second,
            per_event_us(figure.tidegate_cpu_s, figure.events),
            per_event_us(figure.postgres_cpu_s, figure.events),
            figure.tidegate_rss_mib,
            figure.bytes_per_event
        );
    }
    let mut engines: Vec<&str> = figures.iter().map(|figure| figure.engine.as_str()).collect();
    engines.dedup();
    for engine in engines {
        let mean = |path: &str| {
            let rates: Vec<f64> =
                figures.iter().filter(|f| f.engine == engine && f.path == path).map(|f| f.events_per_second).collect();
            rates.iter().sum::<f64>() / target::as_f64(rates.len() as u64)
        };
        let (http, raw) = (mean("HTTP"), mean("raw COPY"));
        println!("{engine}: HTTP {http:.0} / raw COPY {raw:.0} events/s = {:.2}", http / raw);
    }
    let load_cpu_s = cpu_seconds(std::process::id());
    println!("this process (generator and raw client) used {load_cpu_s:.1} CPU seconds in all");
}
