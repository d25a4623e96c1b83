//! Tidegate beside the raw COPY limit of the same machine, the same server and the same run: the figures of
//! docs/PERFORMANCE.md, which also says how each is measured.
//!
//! `cargo bench --bench compare -- [--only PARTS] [--engine E] [--long] [--quick] ...`. For each engine the real binary is
//! started with its private, durable server; each measurement begins with emptied tables and a new process, and ends with
//! counting every event. The report is written after each part, so that a run that ends early keeps what it has.
//! Unit tests run by `cargo test --test measuring`.

// Cargo compiles a bench without a harness with cfg(test), but takes no test from it.
#![cfg_attr(test, allow(dead_code, unused_imports))]

mod analytics;
mod analytics_text;
mod ask;
mod bodies;
mod contract;
mod dashboards;
mod dataset;
mod derive;
mod explain;
mod feed;
mod figure;
mod fill;
mod flood;
mod http;
mod inserts;
mod lag;
mod live;
mod long;
mod machine;
mod markdown;
mod meter;
mod mixed;
mod options;
mod pause;
mod proc;
mod quota;
mod raw;
mod reads;
mod report;
mod rollups;
mod rounds;
mod rows;
mod runs;
mod sender;
mod stored;
mod table;
mod target;
mod tuple_json;
mod tuples;

use std::error::Error;
use std::path::{Path, PathBuf};

use clap::Parser;

use options::{Options, Part};
use report::{Measured, Report};
use target::Target;

/// As in `batch.rows` and `writers`: all paths get the same.
const BATCH_ROWS: u64 = 1000;
const CONNECTIONS: usize = 4;
const TENANTS: usize = 40;
const ASSETS: u32 = 2000;
const SEED: u64 = 7;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            done = run(&options) => done,
            // Returning drops the target, which stops the server that it started.
            _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
        }
    })
}

async fn run(options: &Options) -> Result<()> {
    let path = options.report.clone().unwrap_or_else(|| target_folder().join("bench/report.json"));
    let mut report = begin(options, &path)?;
    for engine in options.engines() {
        println!("{engine}");
        match measure(&engine, options, &mut report, &path).await {
            Ok(()) => {}
            Err(error) => fail(&mut report, &engine, format!("the engine: {}", why(&*error))),
        }
    }
    let text = save(&mut report, &path)?;
    println!("\n{text}\nwritten to {} and beside it as .md", path.display());
    let failed = report.engines.values().any(|measured| !measured.failures.is_empty());
    if failed { Err("not everything could be measured; see above".into()) } else { Ok(()) }
}

/// A new report, or the one that is there when figures are to be merged into it.
fn begin(options: &Options, path: &Path) -> Result<Report> {
    let mut report = Report {
        commit: machine::commit(),
        at: format!("{:.0}", jiff::Timestamp::now()),
        arguments: std::env::args().skip(1).filter(|argument| argument != "--bench").collect(),
        quick: options.quick,
        machine: machine::Machine::here(),
        ..Report::default()
    };
    if options.merge && path.exists() {
        let old: Report = serde_json::from_slice(&std::fs::read(path)?)?;
        if old.commit != report.commit {
            let (old, new) = (old.commit, report.commit);
            return Err(
                format!("{} is of commit {old}, this is {new}: measure anew without --merge", path.display()).into()
            );
        }
        report.engines = old.engines;
        report.engines.values_mut().for_each(|measured| measured.failures.clear());
    }
    report.decode_events_per_second = decode_rate();
    Ok(report)
}

async fn measure(engine: &str, options: &Options, report: &mut Report, path: &Path) -> Result<()> {
    let mut target = None;
    // The flood is about HTTP and memory, and the same whatever the engine: once is enough, unless it is asked for.
    let spare_flood = options.only.is_empty() && options.engines()[0] != engine;
    for part in Part::ALL.into_iter().filter(|&part| options.wants(part) && !(part == Part::Flood && spare_flood)) {
        println!(" {part:?}");
        let result = if part.has_its_own_target() {
            // Two servers would share the memory.
            target.take().map_or(Ok(()), Target::stop)?;
            measure_alone(part, engine, options, report.of(engine)).await
        } else {
            let target = match &mut target {
                Some(target) => target,
                none => {
                    let started = Target::start(engine, TENANTS).await?;
                    report.of(engine).server = machine::Server::of(&started).await?;
                    none.insert(started)
                }
            };
            measure_part(part, target, options, report.of(engine)).await
        };
        if let Err(error) = result {
            fail(report, engine, format!("{part:?}: {}", why(&*error)));
        }
        save(report, path)?;
    }
    target.map_or(Ok(()), Target::stop)
}

/// The parts that start what they measure themselves.
async fn measure_alone(part: Part, engine: &str, options: &Options, measured: &mut Measured) -> Result<()> {
    let Measured { dashboards, year, rollups, failures, server, .. } = measured;
    let failed = match part {
        Part::Year => dashboards::run(engine, options.year(), server, year.insert(Default::default())).await?,
        Part::Rollups => {
            rollups::run(engine, &options.rollups(), server, rollups.insert(Default::default())).await?;
            Vec::new()
        }
        _ => dashboards::run(engine, options.dashboards(), server, dashboards.insert(Default::default())).await?,
    };
    failures.extend(failed.into_iter().map(|error| format!("{part:?}: {error}")));
    Ok(())
}

async fn measure_part(part: Part, target: &mut Target, options: &Options, measured: &mut Measured) -> Result<()> {
    match part {
        Part::Compare => {
            let plan = rounds::Plan {
                events: options.events(),
                rounds: options.rounds(),
                http_connections: options.connections,
                live_generator: options.live_generator,
                without_inserts: options.without_inserts,
            };
            measured.compare = rounds::run(target, &plan).await?;
        }
        Part::Sustained => sustained(target, options, measured).await?,
        Part::Latency => {
            let maximum = match measured.mean_rate(rounds::HTTP) {
                Some(rate) => rate,
                None => runs::sustained(target, options.short(), options.connections).await?.rate(),
            };
            measured.latency = Some(runs::latency(target, maximum, options.short()).await?);
        }
        Part::Small => measured.small = Some(runs::small(target, options.short()).await?),
        Part::Mixed => measured.mixed = mixed::run(target, options.mixed_rounds()).await?,
        Part::Flood => measured.flood = Some(flood::run(target, options.flood()).await?),
        Part::Quota => measured.quota = Some(quota::run(target, options.short()).await?),
        Part::Long => {
            let disk_bytes = options.disk_gib << 30;
            measured.long = Some(long::run(target, options.long_rows(), disk_bytes, options.connections).await?);
        }
        Part::Dashboards | Part::Year | Part::Rollups => unreachable!("they start a target of their own"),
    }
    Ok(())
}

/// Full load, and what its table takes and answers, as written and compacted.
async fn sustained(target: &mut Target, options: &Options, measured: &mut Measured) -> Result<()> {
    measured.sustained = Some(runs::sustained(target, options.sustained(), options.connections).await?);
    let mut stored = stored::hot(target).await?;
    measured.reads = reads::run(target, "hot").await?;
    stored::compact(target, &mut stored).await?;
    if stored.compacted.is_some() {
        measured.reads.extend(reads::run(target, "compacted").await?);
    }
    measured.stored = Some(stored);
    Ok(())
}

fn fail(report: &mut Report, engine: &str, why: String) {
    println!("  not measured: {why}");
    report.of(engine).failures.push(why);
}

/// Writes the report, JSON and Markdown; returns the latter.
fn save(report: &mut Report, path: &Path) -> Result<String> {
    report.table = table::lines(report);
    let text = markdown::render(report)?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, serde_json::to_vec_pretty(report)?)?;
    std::fs::write(path.with_extension("md"), &text)?;
    Ok(text)
}

/// Cargo's target directory: this program is in its release/deps.
fn target_folder() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    program.ancestors().nth(3).map_or_else(|| "target".into(), Path::to_owned)
}

/// What `cargo bench --bench event_pipeline` last found: a body of a thousand events in so many nanoseconds.
fn decode_rate() -> Option<f64> {
    let path = target_folder().join("criterion/event_pipeline/json_array/new/estimates.json");
    let estimates: serde_json::Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    Some(1000.0 * 1e9 / estimates["mean"]["point_estimate"].as_f64()?)
}

/// An error with what caused it: PostgreSQL's own words are a cause.
fn why(error: &(dyn Error + Send + Sync)) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Counts as a double.
#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^53")]
fn as_f64(number: u64) -> f64 {
    number as f64
}
