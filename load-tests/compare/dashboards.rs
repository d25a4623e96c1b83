//! Dashboards' reads of weeks of data, and of a year of daily chunks: a data set is loaded, derived from and read, first as
//! ingestion left it (hot), then compacted. What the product would do by itself meanwhile is held back, so that hot stays hot.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::analytics::{Compacted, Dashboards, Size};
use super::ask::{self, Length};
use super::dataset::{Dataset, Span};
use super::derive::{self, Level};
use super::fill::{Kind, Progress, fill};
use super::machine::Server;
use super::pause::{What, pause};
use super::target::Target;
use super::{Result, TENANTS, as_f64, explain, machine, why};

/// At once; and one alone, because two cores hold the clients as well.
const CLIENTS: [usize; 2] = [1, 16];
const GIB: u64 = 1 << 30;
/// What an event and a sample take together at the worst moment, with all that is derived from them and its indexes, and
/// WAL. On plain PostgreSQL the fine levels have a row and three index entries for nearly every sample.
const PAIR_BYTES_TIMESCALE: u64 = 500;
const PAIR_BYTES_POSTGRES: u64 = 2_500;

/// Where a folder that is kept says what is in it.
const KEPT: &str = "loaded.json";

/// What is loaded and asked.
pub struct Plan {
    /// Of the part.
    pub name: &'static str,
    /// Where the data stays, for another run to go on with.
    pub keep: Option<PathBuf>,
    /// Days of events.
    pub event_days: u32,
    /// Days of metrics.
    pub metric_days: u32,
    /// Events of all tenants.
    pub events: u64,
    /// Samples of all tenants.
    pub samples: u64,
    /// Assets of a tenant.
    pub assets: u32,
    /// Series of an asset.
    pub metrics_per_asset: u32,
    /// Optional levels that are made.
    pub levels: Vec<String>,
    /// Rows of a COPY.
    pub copy_rows: u64,
    /// Days of rollups made at once.
    pub window_days: u32,
    /// Most room that everything may take.
    pub disk_bytes: u64,
    /// How long each kind of read is asked.
    pub length: Length,
}

/// Measures into `found`, so that what is known stays known when something fails. Returns what failed but did not keep the
/// rest from being measured.
pub async fn run(engine: &str, mut plan: Plan, server: &mut Server, found: &mut Dashboards) -> Result<Vec<String>> {
    let folder = plan.keep.as_ref().map(|keep| keep.join(format!("{}-{engine}", plan.name)));
    let mut kept = match folder.as_deref().map(Kept::read).transpose()?.flatten() {
        Some(kept) if kept.asked == (plan.events, plan.samples) => kept,
        Some(kept) => {
            let (there, asked) = (kept.asked.0, plan.events);
            return Err(format!(
                "--keep: the data there was made for {there} events, not {asked}: name another folder"
            )
            .into());
        }
        None => {
            let asked = (plan.events, plan.samples);
            Kept::new(asked, fit(engine, &mut plan)?, &plan)
        }
    };
    let target = match &folder {
        Some(folder) => Target::start_in(engine, TENANTS, folder).await?,
        None => Target::start(engine, TENANTS).await?,
    };
    *server = Server::of(&target).await?;
    let _paused = pause(&target, What::Everything).await?;
    let mut failed = Vec::new();
    let measured = steps(&target, &plan, &mut kept, folder.as_deref(), &mut failed).await;
    *found = kept.found;
    measured?;
    target.stop()?;
    Ok(failed)
}

/// One step after the other, but for those that an earlier run took.
async fn steps(
    target: &Target,
    plan: &Plan,
    kept: &mut Kept,
    folder: Option<&Path>,
    failed: &mut Vec<String>,
) -> Result<()> {
    let dataset = kept.dataset;
    for kind in [Kind::Events, Kind::Metrics] {
        if kept.found.filled.iter().all(|filled| filled.table != kind.table()) {
            kept.found.filled.push(fill(target, kind, dataset, plan.copy_rows).await?);
            kept.write(folder)?;
        }
    }
    let wanted = |level: &Level| level.option.is_none_or(|name| plan.levels.iter().any(|wanted| wanted == name));
    for level in derive::LEVELS.iter().filter(|level| wanted(level)) {
        if kept.found.levels.iter().any(|made| made.level == level.name) {
            continue;
        }
        match derive::make_level(target, level, &dataset, plan.window_days).await {
            Ok(made) => {
                let us = made.elapsed_s * 1e6 / as_f64(made.rows);
                println!("    {}: {} buckets, {us:.2} us a row", made.level, made.buckets);
                kept.found.levels.push(made);
                kept.write(folder)?;
            }
            Err(error) => failed.push(format!("{}: {}", level.name, why(&*error))),
        }
    }
    if kept.found.derived.is_empty() {
        match derive::make_others(target, &dataset).await {
            Ok(made) => kept.found.derived = made,
            Err(error) => failed.push(format!("derived tables: {}", why(&*error))),
        }
        kept.unordered = unordered(target).await?;
        kept.write(folder)?;
    }
    if unordered(target).await? < kept.unordered {
        // Compacted by an earlier run, or by the product itself in the moment between its start and being held back.
        println!("    no longer hot: the figures of an earlier run stay");
    } else {
        kept.found.forget("hot");
        measure(target, "hot", dataset, plan, &mut kept.found, failed).await?;
        kept.write(folder)?;
    }
    if target.is_timescale() {
        kept.found.forget("compacted");
        for kind in [Kind::Events, Kind::Metrics] {
            if kept.found.compacted.iter().all(|compacted| compacted.table != kind.table()) {
                kept.found.compacted.push(compact(target, kind.table()).await?);
                kept.write(folder)?;
            }
            target.check_stored_in(kind.table(), kind.rows(&dataset)).await?;
        }
        measure(target, "compacted", dataset, plan, &mut kept.found, failed).await?;
        kept.write(folder)?;
    }
    Ok(())
}

/// Chunks whose rows are as direct compress left them; none on plain PostgreSQL.
async fn unordered(target: &Target) -> Result<u64> {
    let sql = "SELECT count(*) FROM _timescaledb_catalog.chunk WHERE status & 2 <> 0";
    if target.is_timescale() { target.count(sql).await } else { Ok(0) }
}

/// What was done so far, beside the data that it is about.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Events and samples that were asked for.
    asked: (u64, u64),
    dataset: Dataset,
    found: Dashboards,
    /// Chunks that were unordered when everything was loaded.
    unordered: u64,
}

impl Kept {
    fn new(asked: (u64, u64), fewer: Option<String>, plan: &Plan) -> Self {
        let dataset = Dataset {
            tenants: TENANTS,
            assets: plan.assets,
            metrics_per_asset: plan.metrics_per_asset,
            events: Span::last_days(plan.event_days, plan.events / TENANTS as u64),
            samples: Span::last_days(plan.metric_days, plan.samples / TENANTS as u64),
        };
        let found = Dashboards {
            event_days: plan.event_days,
            metric_days: plan.metric_days,
            tenants: TENANTS,
            assets: u64::from(plan.assets) * TENANTS as u64,
            series: dataset.series_count(),
            events: dataset.event_count(),
            samples: dataset.sample_count(),
            fewer,
            ..Dashboards::default()
        };
        Self { asked, dataset, found, unordered: 0 }
    }

    fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(KEPT);
        Ok(if path.exists() { Some(serde_json::from_slice(&std::fs::read(path)?)?) } else { None })
    }

    fn write(&self, folder: Option<&Path>) -> Result<()> {
        let Some(folder) = folder else { return Ok(()) };
        Ok(std::fs::write(folder.join(KEPT), serde_json::to_vec_pretty(self)?)?)
    }
}

/// Reduces the plan to what the disk holds; says so.
fn fit(engine: &str, plan: &mut Plan) -> Result<Option<String>> {
    let pair = if engine == "timescale" { PAIR_BYTES_TIMESCALE } else { PAIR_BYTES_POSTGRES };
    let room = plan.disk_bytes.min(machine::free_bytes().saturating_sub(machine::FREE_BYTES_MIN));
    let most = room / pair;
    if most >= plan.events.max(plan.samples) {
        return Ok(None);
    }
    let room = format!("{} GiB hold {most} events and samples with their rollups, at {pair} bytes", room / GIB);
    if most < TENANTS as u64 * 1000 {
        return Err(room.into());
    }
    (plan.events, plan.samples) = (plan.events.min(most), plan.samples.min(most));
    Ok(Some(room))
}

/// Sizes, reads and plans in one state of the tables.
async fn measure(
    target: &Target,
    state: &str,
    dataset: Dataset,
    plan: &Plan,
    found: &mut Dashboards,
    failed: &mut Vec<String>,
) -> Result<()> {
    for kind in [Kind::Events, Kind::Metrics] {
        found.sizes.push(size(target, kind.table(), state, kind.rows(&dataset)).await?);
    }
    target.checkpoint().await?;
    for clients in CLIENTS {
        for kind in &ask::KINDS {
            let asked = ask::ask(target, dataset, kind, state, clients, plan.length).await?;
            println!(
                "    {state}, {clients} at once: {}: p50 {:.1}, p95 {:.1}, p99 {:.1} ms, {:.0}/s, {} rows",
                asked.query, asked.p50_ms, asked.p95_ms, asked.p99_ms, asked.per_second, asked.rows
            );
            // Once is enough: what fails for one client fails for many.
            if let Some(error) =
                asked.first_error.as_ref().filter(|_| !failed.iter().any(|f| f.starts_with(kind.query)))
            {
                failed.push(format!("{} ({} errors, {state}, {clients} clients): {error}", kind.query, asked.errors));
            }
            found.reads.push(asked);
        }
    }
    for pattern in &explain::PATTERNS {
        match ask::ask_in_sql(target, dataset, pattern, state, plan.length).await {
            Ok(asked) => {
                println!("    {state}: {}: p50 {:.1}, p95 {:.1} ms", asked.query, asked.p50_ms, asked.p95_ms);
                found.reads.push(asked);
            }
            Err(error) => failed.push(format!("{}, {state}: {}", pattern.0, why(&*error))),
        }
    }
    match explain::run(target, dataset, state).await {
        Ok(planned) => found.planned.extend(planned),
        Err(error) => failed.push(format!("EXPLAIN, {state}: {}", why(&*error))),
    }
    Ok(())
}

async fn size(target: &Target, table: &str, state: &str, rows: u64) -> Result<Size> {
    let chunks = if target.is_timescale() {
        format!("SELECT count(*) FROM public.show_chunks('tidegate.{table}')")
    } else {
        format!("SELECT count(*) FROM pg_inherits WHERE inhparent = 'tidegate.{table}'::regclass")
    };
    let bytes = target.bytes_of(table).await?;
    let size = Size {
        table: table.to_owned(),
        state: state.to_owned(),
        bytes,
        bytes_per_row: as_f64(bytes) / as_f64(rows.max(1)),
        chunks: target.count(&chunks).await?,
    };
    println!("    {table}, {state}: {:.1} bytes a row, {} chunks", size.bytes_per_row, size.chunks);
    Ok(size)
}

/// Compacts every chunk, each in a transaction of its own as the product does.
async fn compact(target: &Target, table: &str) -> Result<Compacted> {
    let chunks = target
        .owner
        .query("SELECT public.show_chunks($1::text::regclass)::text", &[&format!("tidegate.{table}")])
        .await?;
    let mut progress = Progress::new(&format!("compacting {table}"), chunks.len() as u64);
    let (started, mut slowest) = (Instant::now(), Duration::ZERO);
    for chunk in &chunks {
        let began = Instant::now();
        let sql = "SELECT public.compress_chunk($1::text::regclass, if_not_compressed => true, recompress => true)";
        target.owner.execute(sql, &[&chunk.get::<_, &str>(0)]).await?;
        slowest = slowest.max(began.elapsed());
        progress.done(1);
    }
    Ok(Compacted {
        table: table.to_owned(),
        chunks: chunks.len() as u64,
        elapsed_s: started.elapsed().as_secs_f64(),
        slowest_s: slowest.as_secs_f64(),
    })
}
