//! `tidegate lifecycle status|run`.

use std::collections::BTreeMap;

use deadpool_postgres::Pool;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::database::{up_to_date, with_location};
use super::output::{Exit, failed, finish, print_json, print_table, say};
use crate::app::owner_client;
use crate::config::Config;
use crate::jobs::run_now;
use crate::lifecycle::{CellStatus, Lifecycle, LifecycleStatus, Part, RelationStatus};
use crate::rollup::Rollups;
use crate::storage::{Layout, Location, StorageError, Store, home_pools, standing_layout};
use crate::tenancy::acts;

/// Compression, retention and the jobs: how they stand, or run what is due now
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Chunks, sizes, ratio, rollups' lag, jobs with their next runs and last errors
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Run everything that is due, once, beside a running `serve` too
    Run {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub async fn run(config: &Config, Args { action }: Args) -> Exit {
    match action {
        Action::Status { json } => {
            let look = async |location: &Location| {
                let client = owner_client(location).await?;
                up_to_date(&client, location, config).await?;
                LifecycleStatus::of(&client, location.owner(), layout_of(&client).await?, config).await
            };
            finish(with_location(Location::find(config), look).await, json, show)
        }
        Action::Run { json } => match run_due(config).await {
            Ok(counts) => {
                if json {
                    print_json(&counts);
                } else {
                    let rows = counts.iter().map(|(what, count)| [(*what).to_owned(), count.to_string()]);
                    print_table(["WHAT", "COUNT"], rows);
                }
                Exit::Ok
            }
            Err(error) => failed(&error),
        },
    }
}

async fn layout_of(client: &tokio_postgres::Client) -> Result<Layout, StorageError> {
    standing_layout(client).await?.ok_or_else(|| StorageError::not_ready("the schema is not installed"))
}

/// Runs the job until nothing is due any more that nobody else is at.
async fn run_due(config: &Config) -> Result<BTreeMap<&'static str, u64>, StorageError> {
    let run = async |location: &Location| {
        let client = owner_client(location).await?;
        up_to_date(&client, location, config).await?;
        let owner = location.owner_pool()?;
        let layout = layout_of(&client).await?;
        let store = Store::new(layout, &owner, config.chunk_interval);
        let homes = home_pools(location, &owner, layout).await?;
        let mut sum: BTreeMap<&'static str, u64> = BTreeMap::new();
        // How far back the rollups look comes first: rows go only before that.
        let rollups = Rollups::new(&store, config);
        for home in &homes {
            match run_now(&rollups, home).await {
                Ok(_counts) => {}
                // Somebody refreshes the same rollup; where rows begin to go stays as it is.
                Err(error) if error.is_contention() => *sum.entry("rollups_busy").or_default() += 1,
                Err(error) => return Err(error),
            }
        }
        let (part, control) = match layout.has_cells() {
            true => (Part::Cell, Some((Part::Control { cells: homes.len() }, owner.clone()))),
            false => (Part::Whole, None),
        };
        for (part, home) in homes.iter().map(|home| (part, home.clone())).chain(control) {
            until_nothing_is_left(&Lifecycle::new(&store, config, part), &home, &mut sum).await?;
            home.close();
        }
        owner.close();
        acts::note_command(&client, "lifecycle.run", None, json!(sum)).await?;
        Ok(sum)
    };
    with_location(Location::find(config), run).await
}

async fn until_nothing_is_left(
    job: &Lifecycle,
    home: &Pool,
    sum: &mut BTreeMap<&'static str, u64>,
) -> Result<(), StorageError> {
    loop {
        let mut left = 0;
        for (what, count) in run_now(job, home).await? {
            match what {
                "chunks_left" => left = count,
                // What others were at in the last round, not how often.
                "chunks_busy" => *sum.entry(what).or_default() = count,
                _ => *sum.entry(what).or_default() += count,
            }
        }
        if left == 0 {
            return Ok(());
        }
    }
}

fn show(status: &LifecycleStatus) {
    let days = |seconds: Option<u64>, never: &str| match seconds {
        Some(seconds) if seconds.is_multiple_of(86_400) => format!("{}d", seconds / 86_400),
        Some(seconds) => format!("{}h", seconds / 3600),
        None => never.to_owned(),
    };
    let time = |at: Option<Timestamp>| at.map_or("-".to_owned(), |at| format!("{at:.0}"));
    print_table(
        [
            "RELATION",
            "CHUNKS",
            "OPEN",
            "COLUMNSTORE",
            "WAITING",
            "MIB",
            "RATIO",
            "OLDEST",
            "NEWEST",
            "KEEP",
            "COMPRESS",
        ],
        status.relations.iter().map(|relation| {
            [
                relation.relation.to_owned(),
                relation.chunks.to_string(),
                relation.open.to_string(),
                relation.compressed.to_string(),
                (relation.waiting + relation.expired).to_string(),
                (relation.bytes >> 20).to_string(),
                relation.compression_ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.1}")),
                time(relation.oldest),
                time(relation.newest),
                days(relation.keep_s, "forever"),
                days(relation.compress_after_s, "-"),
            ]
        }),
    );
    say!("");
    print_table(
        ["ROLLUP", "STORED UNTIL", "LAG", "TO RECOMPUTE"],
        status.rollups.iter().map(|rollup| {
            let lag = rollup.lag_s.and_then(|lag_s| SignedDuration::try_from_secs_f64(lag_s).ok());
            [
                rollup.relation.clone(),
                time(rollup.stored_until),
                lag.map_or("-".to_owned(), |lag| format!("{} s", lag.as_secs())),
                rollup.waiting.to_string(),
            ]
        }),
    );
    say!("");
    print_table(
        ["JOB", "STATE", "LAST RUN", "NEXT RUN", "RUNS", "FAILURES"],
        status.jobs.iter().map(|job| {
            let state = match (job.failing, job.last_run) {
                (true, _) => "FAILING",
                (false, None) => "not yet run",
                (false, Some(_)) => "ok",
            };
            [
                job.job.clone(),
                state.to_owned(),
                time(job.last_run),
                time(job.next_run),
                job.runs.to_string(),
                job.failures.to_string(),
            ]
        }),
    );
    show_cells(&status.cells, time);
    for over in &status.over_quota {
        say!("\n{} of {} organizations are over their quota (tidegate doctor)", over.what, over.organizations);
    }
    for job in &status.jobs {
        if let Some(error) = &job.last_error {
            say!("\n{}, at {}: {error}", job.job, time(job.last_error_at));
        }
    }
}

/// Relations of which a cell has something, and jobs that fail there.
fn show_cells(cells: &[CellStatus], time: impl Fn(Option<Timestamp>) -> String) {
    if cells.is_empty() {
        return;
    }
    say!("");
    let of_cell = |cell: &CellStatus| -> Vec<[String; 8]> {
        let Some(status) = &cell.status else { return Vec::new() };
        let failing = status.jobs.iter().filter(|job| job.failing).count().to_string();
        let behind = status.rollups.iter().map(|rollup| rollup.waiting).sum::<i64>().to_string();
        let row = |relation: &RelationStatus| {
            [
                cell.cell.clone(),
                cell.worker.clone(),
                relation.relation.to_owned(),
                relation.chunks.to_string(),
                format!("{:.1}", bytes_mib(relation.bytes)),
                time(relation.oldest),
                behind.clone(),
                failing.clone(),
            ]
        };
        status.relations.iter().filter(|relation| relation.chunks > 0).map(row).collect()
    };
    print_table(
        ["CELL", "WORKER", "RELATION", "PARTITIONS", "MIB", "OLDEST", "TO RECOMPUTE", "FAILING JOBS"],
        cells.iter().flat_map(of_cell),
    );
    for cell in cells {
        if let Some(error) = &cell.error {
            say!("\n{} at {} is not known: {error}", cell.cell, cell.worker);
        }
        let errors = cell.status.iter().flat_map(|status| &status.jobs).filter(|job| job.failing);
        for job in errors {
            say!("\n{} of {}: {}", job.job, cell.cell, job.last_error.as_deref().unwrap_or("failed"));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn bytes_mib(bytes: i64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
