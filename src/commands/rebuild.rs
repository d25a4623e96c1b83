//! `tidegate rebuild`.

use clap::builder::PossibleValuesParser;
use serde_json::json;

use super::database::{up_to_date, with_location};
use super::output::{Exit, failed, print, print_json};
use crate::app::owner_client;
use crate::config::Config;
use crate::inferred::{self, Rebuilt};
use crate::storage::{Location, StorageError, Store, standing_layout};

/// Compute an inferred table again from the rows that are stored, beside a running `serve` too
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Its name
    #[arg(value_parser = PossibleValuesParser::new(inferred::names()))]
    table: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(config: &Config, args: Args) -> Exit {
    match rebuild(config, &args).await {
        Ok(Rebuilt { chunks, minutes, .. }) if args.json => {
            print_json(&json!({"table": args.table, "chunks": chunks, "minutes": minutes}));
            Exit::Ok
        }
        Ok(Rebuilt { chunks, minutes, .. }) => {
            print(format!("{}: rebuilt from {minutes} minutes of {chunks} chunks\n", args.table).as_bytes());
            Exit::Ok
        }
        Err(error) => failed(&error),
    }
}

async fn rebuild(config: &Config, args: &Args) -> Result<Rebuilt, StorageError> {
    let run = async |location: &Location| {
        let client = owner_client(location).await?;
        up_to_date(&client, location, config).await?;
        let layout = standing_layout(&client).await?;
        let layout = layout.ok_or_else(|| StorageError::not_ready("the schema is not installed"))?;
        let owner = location.owner_pool()?;
        let store = Store::new(layout, &owner, config.chunk_interval);
        // To standard error, so that what is printed last can be read by a program.
        let progress = |at: Rebuilt| eprintln!("{} of {} chunks, {} minutes", at.chunks_done, at.chunks, at.minutes);
        let rebuilt = inferred::rebuild(&store, &owner, &args.table, config.limits.assets_per_tenant, progress).await;
        owner.close();
        rebuilt
    };
    with_location(Location::find(config), run).await
}
