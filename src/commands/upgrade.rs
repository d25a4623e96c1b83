//! `tidegate upgrade`: the embedded server to a newer PostgreSQL.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::database::{up_to_date, with_location};
use super::output::{Exit, failed, print_json, say};
use super::transferred::{embedded_alone, require_cluster, show_sums, sums};
use crate::app::owner_client;
use crate::backup::{self, Renewed, Source};
use crate::config::Config;
use crate::storage::embedded::{self, Beside, EmbeddedError, Installation, cluster_major};
use crate::storage::{Location, StorageError, standing_layout};

/// Take the embedded server to a newer major version of PostgreSQL
///
/// Run it while no `serve` runs on this data_dir, with the programs of both versions on this machine. A new cluster is made beside the old
/// one and filled from it, counted and compared; then it takes its place. The old one is kept, as postgres.15 for one of
/// PostgreSQL 15, until you remove it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of the newer version's programs, such as /usr/lib/postgresql/17/bin
    #[arg(long, value_name = "DIR")]
    to_bin: PathBuf,
    /// The folder of the programs that the cluster runs with now, if `serve` does not find them
    #[arg(long, value_name = "DIR")]
    from_bin: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What came of it.
struct Upgraded {
    from: u32,
    to: u32,
    renewed: Renewed,
    /// The old cluster; None: it is where it was, since they differ.
    kept: Option<PathBuf>,
}

pub async fn run(config: &Config, Args { to_bin, from_bin, json }: Args) -> Exit {
    match upgrade(config, &to_bin, from_bin).await {
        Ok(Some(upgraded)) => show(&upgraded, &to_bin, json),
        Ok(None) if json => {
            print_json(&json!({ "ended": true }));
            Exit::Ok
        }
        Ok(None) => {
            say!("an upgrade that was ended at its last step is done now");
            Exit::Ok
        }
        Err(error) => failed(&error),
    }
}

fn fatal(error: EmbeddedError) -> StorageError {
    StorageError::fatal(error.to_string())
}

/// The server that runs from a folder which was named.
async fn server(option: &str, bin_dir: &Path) -> Result<Installation, StorageError> {
    let none = || StorageError::fatal(format!("{option} {}: no PostgreSQL server runs there", bin_dir.display()));
    embedded::inspect(bin_dir).await.ok_or_else(none)
}

/// None: what was left to do of an earlier one is done.
async fn upgrade(config: &Config, to_bin: &Path, from_bin: Option<PathBuf>) -> Result<Option<Upgraded>, StorageError> {
    let lock = embedded_alone(config)?;
    if let Some(beside) = Beside::interrupted(lock.data_dir()) {
        beside.put_in_place().map_err(fatal)?;
        return Ok(None);
    }
    if let Some(beside) = Beside::ended(lock.data_dir()) {
        beside.remove().map_err(fatal)?;
        return Ok(None);
    }
    require_cluster(config)?;
    let new = server("--to-bin", to_bin).await?;
    let from = cluster_major(lock.data_dir()).map_err(fatal)?;
    let old = match &from_bin {
        Some(bin_dir) => Some(server("--from-bin", bin_dir).await?),
        None => None,
    };
    if let Some(other) = old.as_ref().filter(|old| old.major != from) {
        return Err(StorageError::fatal(format!(
            "--from-bin {}: that is PostgreSQL {}, and the cluster is of PostgreSQL {from}: name the folder of its server",
            other.bin_dir.display(),
            other.version
        )));
    }
    if new.major <= from {
        return Err(StorageError::fatal(format!(
            "the cluster is of PostgreSQL {from}, and {} has {}: nothing to upgrade (a minor version needs no more than a new start)",
            to_bin.display(),
            new.version
        )));
    }
    let kept = embedded::kept(lock.data_dir(), from);
    if std::fs::symlink_metadata(&kept).is_ok() {
        return Err(StorageError::fatal(format!(
            "{} is there already, of an earlier upgrade: move it away or remove it",
            kept.display()
        )));
    }
    let beside = Beside::new(&lock, new.major);
    beside.discard().await.map_err(fatal)?;
    let work = async |location: &Location| {
        let client = owner_client(location).await?;
        if standing_layout(&client).await?.is_some() {
            up_to_date(&client, location, config).await?;
        }
        backup::renew(&Source::of(location, &config.data_dir), old.as_ref(), beside.folder(), &new).await
    };
    // Both servers are stopped when it returns, however it ends; one that a signal left goes with its folder.
    let filled = with_location(Location::alone(config, lock.clone(), from_bin), work).await;
    let same = filled.as_ref().is_ok_and(|renewed| renewed.transferred.differences.is_empty());
    if !same {
        beside.discard().await.map_err(fatal)?;
    }
    let renewed = filled?;
    let kept = if same { Some(beside.swap(from).map_err(fatal)?) } else { None };
    Ok(Some(Upgraded { from, to: new.major, renewed, kept }))
}

fn show(upgraded: &Upgraded, to_bin: &Path, json: bool) -> Exit {
    let Upgraded { from, to, renewed: Renewed { transferred, settings }, kept } = upgraded;
    if json {
        let mut shown: Value = json!({
            "from": from, "to": to, "contents": sums(&transferred.contents), "same": kept.is_some(),
            "differences": transferred.differences, "settings": settings,
        });
        shown["kept"] = json!(kept);
        print_json(&shown);
    } else {
        show_sums(&format!("PostgreSQL {from} to {to}:"), transferred);
        match kept {
            None => say!("nothing was changed: the cluster is the one of PostgreSQL {from}"),
            Some(kept) => {
                say!(
                    "the cluster is one of PostgreSQL {to} now; the old one is {}: remove it when all is well",
                    kept.display()
                );
                if !settings.is_empty() {
                    say!("settings of ALTER SYSTEM that the new one does not have: {}", settings.join(", "));
                }
                say!(
                    "start it: tidegate serve (it looks for the programs on PATH and where distributions put them; those of"
                );
                say!("{} must be there)", to_bin.display());
            }
        }
    }
    if kept.is_some() { Exit::Ok } else { Exit::Failed }
}
