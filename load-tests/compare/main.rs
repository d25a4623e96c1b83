//! Tidegate beside raw COPY on the same machine and in the same run, as it is and as it was at migration 12: the figures of
//! docs/PERFORMANCE.md, which also says how each is measured.
//!
//! `cargo bench --bench compare -- [--only PARTS] [--engine E] [--long] [--quick] ...`. For each engine the real binary is
//! started with its private, durable server; each measurement begins with emptied tables and a new process, and ends with
//! counting every event. Each part adds its figures to one list, which `report` writes after every part, so that a run that
//! ends early keeps what it has. Unit tests run by `cargo test --test measuring`.

// Cargo compiles a bench without a harness with cfg(test), but takes no test from it.
#![cfg_attr(test, allow(dead_code, unused_imports))]

mod ask;
mod backfill;
mod beside;
mod bounds;
mod cardinality;
mod common;
mod compact;
mod dashboards;
mod dataset;
mod derive;
mod export;
mod feed;
mod figures;
mod fill;
mod flood;
mod inserts;
mod lag;
mod lines;
mod long;
mod machine;
mod meter;
mod mixed;
mod newest;
mod nodes;
mod options;
mod paths;
mod pause;
mod peer;
mod peers;
mod proc;
mod projections;
mod quota;
mod raw;
mod reads;
mod reference;
mod report;
mod rollups;
mod rows;
mod runs;
mod samples;
mod scrape;
mod sender;
mod stream;
mod streams;
mod target;
mod templates;
mod then;
mod workers;

use std::path::{Path, PathBuf};

use common::{GIB, Result, why};
use dashboards::Plan;
use figures::Figures;
use options::{Options, Part};
use report::Report;
use target::Target;

fn main() -> Result<()> {
    let options = Options::read();
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
    let mut report = Report {
        commit: machine::commit(),
        at: format!("{:.0}", jiff::Timestamp::now()),
        arguments: std::env::args().skip(1).filter(|argument| argument != "--bench").collect(),
        quick: options.quick,
        machine: machine::machine(),
        ..Report::default()
    };
    if options.merge && path.exists() {
        report.merge(&path)?;
    }
    for engine in options.engines() {
        println!("{engine}");
        if let Err(error) = measure(&engine, options, &mut report, &path).await {
            report.failures.push(format!("{engine}: {}", why(&*error)));
        }
    }
    println!("{}\nwritten to {} and beside it as .md", report.save(&path)?, path.display());
    if report.failures.is_empty() { Ok(()) } else { Err("not everything could be measured; see above".into()) }
}

async fn measure(engine: &str, options: &Options, report: &mut Report, path: &Path) -> Result<()> {
    let mut decode = Figures::of(engine, "decode");
    if let Some(rate) = decode_rate() {
        decode.add("decode + validate + encode, one core", "events/s", rate);
    }
    report.enter(engine, "decode", decode);
    let mut shared = None;
    for part in options.parts(engine) {
        println!(" {}", part.name());
        let mut figures = Figures::of(engine, &part.name());
        if part == Part::Streams && options.is_partial() {
            figures.list = report.of_part(engine, &part.name());
        }
        if part.has_its_own_target() {
            // Two servers would share the memory.
            shared.take().map_or(Ok(()), Target::stop)?;
        }
        let mut target = match shared.take() {
            Some(target) => target,
            None => {
                let keep = match part {
                    Part::Dashboards => Plan::week(options).folder(engine),
                    Part::Year => Plan::year(options).folder(engine),
                    _ => None,
                };
                let target = Target::start(engine, keep.as_deref(), part.stored_json()).await?;
                report.servers.insert(engine.to_owned(), machine::server(&target).await?);
                target
            }
        };
        if let Err(error) = measure_part(part, &mut target, options, report, &mut figures).await {
            figures.fail(why(&*error));
        }
        report.enter(engine, &part.name(), figures);
        report.save(path)?;
        if part.has_its_own_target() { target.stop()? } else { shared = Some(target) }
    }
    shared.map_or(Ok(()), Target::stop)
}

async fn measure_part(
    part: Part,
    target: &mut Target,
    options: &Options,
    report: &Report,
    figures: &mut Figures,
) -> Result<()> {
    let engine = target.engine().to_owned();
    let compared = |name| report.find(&engine, "compare", name, "events/s").map(|figure| figure.value);
    match part {
        Part::Compare | Part::Json => paths::run(target, options, figures).await,
        Part::Samples => samples::run(target, options, figures).await,
        Part::Sustained => runs::sustained(target, options, compared(paths::REFERENCE), figures).await,
        Part::Latency => runs::latency(target, options, compared(paths::HTTP), figures).await,
        Part::Small => runs::small(target, options.short(), figures).await,
        Part::Mixed => mixed::run(target, options.mixed_rounds(), figures).await,
        Part::Backfill => backfill::run(target, options, figures).await,
        Part::Newest => newest::run(target, options, figures).await,
        Part::Export => export::run(target, options, compared(paths::HTTP), figures).await,
        Part::Cardinality => cardinality::run(target, options, figures).await,
        Part::Peers => peers::run(target, options, figures).await,
        Part::Flood => flood::run(target, options.flood(), figures).await,
        Part::Quota => quota::run(target, options.short(), figures).await,
        Part::Long => {
            let room = machine::room_bytes(options.disk_gib * GIB);
            long::run(target, options.long_rows, room, options.connections, figures).await
        }
        Part::Dashboards => dashboards::run(target, &Plan::week(options), figures).await,
        Part::Year => dashboards::run(target, &Plan::year(options), figures).await,
        Part::Rollups => rollups::run(target, options, figures).await,
        Part::Nodes => nodes::run(target, options, figures).await,
        // Beside the target, which has nothing to do meanwhile: its servers are its own, and several.
        Part::Workers => workers::run(options, figures).await,
        Part::Projections => projections::run(target, options, figures).await,
        Part::Streams => streams::run(target, options, compared(paths::HTTP), figures).await,
    }
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
