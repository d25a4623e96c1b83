//! Dashboards' reads of weeks of data, and of a year of daily chunks: a data set is loaded, derived from and read, first as
//! ingestion left it (hot), then compacted. What the product would do by itself meanwhile is held back, so that hot stays hot.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tidegate::model::Kind;

use super::ask::ask;
use super::common::{ASSETS, GIB, Result, TENANTS, as_f64, per_row, why};
use super::compact::{compact, plain_bytes};
use super::dataset::{Dataset, Span};
use super::derive::{make_level, make_others};
use super::figures::{Figure, Figures};
use super::fill::{fill, loaded};
use super::machine::room_bytes;
use super::options::Options;
use super::pause::{What, pause};
use super::reads::READS;
use super::target::Target;
use tidegate::model::{LEVELS, Level};

/// At once; and one alone, because two cores hold the clients as well.
const CLIENTS: [usize; 2] = [1, 16];
/// What an event and a sample take together at the worst moment, with all that is derived from them and its indexes, and
/// WAL. On plain PostgreSQL the fine levels have a row and three index entries for nearly every sample.
const PAIR_BYTES_TIMESCALE: u64 = 500;
const PAIR_BYTES_POSTGRES: u64 = 2_500;
/// Where a folder that is kept says what is in it.
const KEPT: &str = "loaded.json";

/// How a data set is made.
pub struct Plan<'a> {
    /// Of the part.
    name: &'static str,
    event_days: u32,
    metric_days: u32,
    /// Events of all tenants.
    events: u64,
    samples: u64,
    /// Assets of a tenant, and series of each.
    assets: u32,
    metrics_per_asset: u32,
    /// Days of rollups made at once.
    window_days: u32,
    options: &'a Options,
}

impl<'a> Plan<'a> {
    /// A week.
    pub fn week(options: &'a Options) -> Self {
        Self {
            name: "dashboards",
            event_days: 7,
            metric_days: 7,
            events: options.dashboard_rows,
            samples: options.dashboard_rows,
            assets: if options.quick { 50 } else { ASSETS },
            metrics_per_asset: options.dashboard_series,
            window_days: 1,
            options,
        }
    }

    /// A year: as long as events are kept, and metrics as long as those are; few assets, so that each has some events a day.
    pub fn year(options: &'a Options) -> Self {
        let (event_days, metric_days) = if options.quick { (20, 10) } else { (365, 90) };
        Self {
            name: "year",
            event_days,
            metric_days,
            events: u64::from(event_days) * options.year_rows,
            samples: u64::from(metric_days) * options.year_rows,
            assets: 50,
            metrics_per_asset: 1,
            window_days: 10,
            options,
        }
    }

    /// Where the data stays, for another run to go on with.
    pub fn folder(&self, engine: &str) -> Option<PathBuf> {
        self.options.keep.as_ref().map(|keep| keep.join(format!("{}-{engine}", self.name)))
    }

    fn wants(&self, level: &Level) -> bool {
        !level.optional || self.options.dashboard_levels.iter().any(|wanted| level.resolution == Some(wanted))
    }
}

/// One step after the other, but for those that an earlier run took; what that found is kept, too.
pub async fn run(target: &Target, plan: &Plan<'_>, figures: &mut Figures) -> Result<()> {
    let folder = plan.folder(target.engine());
    let mut kept = Kept::open(folder, plan, target, figures)?;
    let dataset = kept.dataset;
    for kind in Kind::ALL {
        figures.add("data set", kind.table(), as_f64(dataset.rows(kind)));
    }
    figures.add("data set", "series", as_f64(dataset.series_count()));
    let _paused = pause(target, What::Everything).await?;
    for kind in Kind::ALL {
        if figures.get(&loaded(kind), "rows").is_none() {
            fill(target, kind, dataset, plan.options.copy_rows.max(1), figures).await?;
            kept.write(figures)?;
        }
    }
    for level in LEVELS.iter().filter(|level| plan.wants(level)) {
        if figures.get(level.name, "buckets").is_none() {
            if let Err(error) = make_level(target, level, dataset, plan.window_days, figures).await {
                figures.fail(format!("{}: {}", level.name, why(&*error)));
            }
            kept.write(figures)?;
        }
    }
    if figures.get("asset_metadata", "rows").is_none() {
        if let Err(error) = make_others(target, dataset, figures).await {
            figures.fail(format!("derived tables: {}", why(&*error)));
        }
        kept.unordered = unordered(target).await?;
        kept.write(figures)?;
    }
    if unordered(target).await? < kept.unordered {
        // Compacted by an earlier run, or by the product itself in the moment between its start and being held back.
        println!("    no longer hot: the figures of an earlier run stay");
    } else {
        measure(target, "hot", dataset, plan, figures).await?;
        kept.write(figures)?;
    }
    if target.is_timescale() {
        for kind in Kind::ALL {
            if figures.get(&format!("compacting {}", kind.table()), "chunks").is_none() {
                compact(target, kind, figures).await?;
                kept.write(figures)?;
            }
            target.check_stored(kind.table(), dataset.rows(kind)).await?;
        }
        measure(target, "compacted", dataset, plan, figures).await?;
        if let Some(compacted) = figures.get("events, compacted", "bytes/row") {
            let plain = plain_bytes(target).await?;
            figures.add("events without a columnstore", "bytes/row", plain);
            figures.add("events without a columnstore / compacted", "ratio", plain / compacted);
        }
        kept.write(figures)?;
    }
    Ok(())
}

/// Chunks whose rows are as direct compress left them; none on plain PostgreSQL.
async fn unordered(target: &Target) -> Result<u64> {
    let sql = "SELECT count(*) FROM _timescaledb_catalog.chunk WHERE status & 2 <> 0";
    if target.is_timescale() { target.count(sql).await } else { Ok(0) }
}

/// Sizes and reads in one state of the tables.
async fn measure(target: &Target, state: &str, dataset: Dataset, plan: &Plan<'_>, figures: &mut Figures) -> Result<()> {
    for kind in Kind::ALL {
        let bytes = target.bytes_of(kind.table()).await?;
        let values = [("MiB", bytes / 1_048_576.0), ("bytes/row", per_row(bytes, dataset.rows(kind)))];
        figures.add_all(&format!("{}, {state}", kind.table()), &values);
    }
    target.checkpoint().await?;
    for clients in CLIENTS {
        for read in &READS {
            ask(target, dataset, read, state, clients, plan.options.reads(), figures).await?;
        }
    }
    Ok(())
}

/// What was done so far, beside the data that it is about.
#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(skip)]
    folder: Option<PathBuf>,
    /// Events and samples that were asked for.
    asked: (u64, u64),
    dataset: Dataset,
    figures: Vec<Figure>,
    /// Chunks that were unordered when everything was loaded.
    unordered: u64,
}

impl Kept {
    /// What an earlier run left in the folder, or a new data set, as large as the disk allows.
    fn open(folder: Option<PathBuf>, plan: &Plan<'_>, target: &Target, figures: &mut Figures) -> Result<Self> {
        let asked = (plan.events, plan.samples);
        let path = folder.as_deref().map(|folder| folder.join(KEPT)).filter(|path| path.exists());
        if let Some(path) = path {
            let mut kept: Self = serde_json::from_slice(&std::fs::read(path)?)?;
            if kept.asked != asked {
                let (there, asked) = (kept.asked.0, asked.0);
                let other = "name another folder";
                return Err(format!("--keep: that data was made for {there} events, not {asked}: {other}").into());
            }
            figures.list = std::mem::take(&mut kept.figures);
            return Ok(Self { folder, ..kept });
        }
        let pair = if target.is_timescale() { PAIR_BYTES_TIMESCALE } else { PAIR_BYTES_POSTGRES };
        let room = room_bytes(plan.options.disk_gib * GIB);
        let most = room / pair;
        if most < TENANTS as u64 * 1000 {
            return Err(format!("{} GiB hold {most} events and samples at {pair} bytes", room / GIB).into());
        }
        if most < plan.events.max(plan.samples) {
            figures.fail(format!("all rows: {} GiB hold {most} of each, at {pair} bytes", room / GIB));
        }
        let per_tenant = |rows: u64| rows.min(most) / TENANTS as u64;
        let dataset = Dataset {
            tenants: TENANTS,
            assets: plan.assets,
            metrics_per_asset: plan.metrics_per_asset,
            dimension_sets: 0,
            events: Span::last_days(plan.event_days, per_tenant(plan.events)),
            samples: Span::last_days(plan.metric_days, per_tenant(plan.samples)),
        };
        Ok(Self { folder, asked, dataset, figures: Vec::new(), unordered: 0 })
    }

    fn write(&mut self, figures: &Figures) -> Result<()> {
        let Some(folder) = self.folder.as_deref().map(Path::to_owned) else { return Ok(()) };
        self.figures.clone_from(&figures.list);
        Ok(std::fs::write(folder.join(KEPT), serde_json::to_vec_pretty(self)?)?)
    }
}
