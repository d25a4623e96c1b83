//! `tidegate migrate [--check]`.

use serde_json::json;

use super::database::with_location;
use super::output::{Exit, failed, print_json, say};
use crate::app::owner_client;
use crate::config::Config;
use crate::storage::{Location, StorageError, agreed_layout, citus, install, migrations};
use crate::tenancy::acts;

/// Bring the database's schema up to date
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only say whether it is; exit 1 if not
    #[arg(long)]
    check: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(config: &Config, Args { check, json }: Args) -> Exit {
    let result = if check {
        with_location(Location::find(config), async |location| self::check(location, config, json).await).await
    } else {
        // To bring a schema up to date is to make one where there is none.
        with_location(Location::find_or_make(config), async |location| apply(location, config, json).await).await
    };
    result.unwrap_or_else(|error: StorageError| failed(&error))
}

async fn apply(location: &Location, config: &Config, json: bool) -> Result<Exit, StorageError> {
    let installed = install(&location.place(config), config).await?;
    let engine = installed.layout.engine();
    if !installed.applied.is_empty() {
        let client = owner_client(location).await?;
        acts::note_command(&client, "schema.migrate", None, json!({ "applied": installed.applied })).await?;
    }
    if installed.layout.has_cells() {
        let client = owner_client(location).await?;
        let mended = citus::mend(&client, location.owner()).await?;
        if mended > 0 && !json {
            say!("{mended} cells were other than this version makes them, and are made again");
        }
    }
    if json {
        print_json(&json!({ "engine": engine, "reason": installed.reason, "applied": installed.applied }));
    } else if installed.applied.is_empty() {
        say!("up to date; engine {engine} ({})", installed.reason);
    } else {
        say!("applied {:?}; engine {engine} ({})", installed.applied, installed.reason);
    }
    Ok(Exit::Ok)
}

async fn check(location: &Location, config: &Config, json: bool) -> Result<Exit, StorageError> {
    let client = owner_client(location).await?;
    let layout = agreed_layout(&client, location.owner(), config).await?;
    let (engine, standing) = (layout.engine(), migrations::standing(&client, layout).await?);
    let current = standing.is_current();
    if json {
        print_json(&json!({
            "current": current, "engine": engine, "pending": standing.pending, "altered": standing.altered,
            "unknown": standing.unknown, "newer": standing.newer
        }));
    } else if current {
        say!("up to date; engine {engine}");
    } else {
        say!(
            "not up to date: pending {:?} (tidegate migrate applies them), altered {:?}, unknown {:?}, of a newer version beside \
             which this one runs {:?}",
            standing.pending,
            standing.altered,
            standing.unknown,
            standing.newer
        );
    }
    Ok(if current { Exit::Ok } else { Exit::Failed })
}
