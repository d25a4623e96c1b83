//! `tidegate rebuild`.

use clap::builder::PossibleValuesParser;
use deadpool_postgres::Pool;
use serde_json::{Value, json};

use super::database::{up_to_date, with_location};
use super::output::{Exit, failed, print, print_json};
use crate::app::owner_client;
use crate::config::Config;
use crate::storage::{Location, StorageError, Store, home_pools, standing_layout};
use crate::tenancy::acts;
use crate::{inferred, processor, projections};

/// Compute an inferred table, or the tables of a projection, again from what is stored, beside a running `serve` too
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Its name
    #[arg(value_parser = PossibleValuesParser::new(names()))]
    table: String,
    /// Of a projection: also read batches of which the log says that they do not concern it, as where it takes types of events
    /// that it did not take when they were stored
    #[arg(long)]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What can be rebuilt.
fn names() -> impl Iterator<Item = &'static str> {
    inferred::names().chain(projections::ALL.iter().map(|projection| projection.name))
}

pub async fn run(config: &Config, args: Args) -> Exit {
    match rebuild(config, &args).await {
        Ok((said, _)) if args.json => {
            print_json(&said);
            Exit::Ok
        }
        Ok((_, text)) => {
            print(text.as_bytes());
            Exit::Ok
        }
        Err(error) => failed(&error),
    }
}

/// What was done, as JSON and as text.
async fn rebuild(config: &Config, args: &Args) -> Result<(Value, String), StorageError> {
    let run = async |location: &Location| {
        let client = owner_client(location).await?;
        up_to_date(&client, location, config).await?;
        let layout = standing_layout(&client).await?;
        let layout = layout.ok_or_else(|| StorageError::not_ready("the schema is not installed"))?;
        let owner = location.owner_pool()?;
        let store = Store::new(layout, &owner, config.chunk_interval);
        let homes = home_pools(location, &owner, layout).await?;
        let rebuilt = if projections::named(&args.table).is_some() {
            projection(&homes, config, args).await
        } else {
            table(&store, &homes, config, args).await
        };
        homes.iter().chain([&owner]).for_each(Pool::close);
        if let Ok((said, _)) = &rebuilt {
            acts::note_command(&client, "tables.rebuild", Some(args.table.clone()), said.clone()).await?;
        }
        rebuilt
    };
    with_location(Location::find(config), run).await
}

async fn table(store: &Store, homes: &[Pool], config: &Config, args: &Args) -> Result<(Value, String), StorageError> {
    // To standard error, so that what is printed last can be read by a program.
    let progress =
        |at: inferred::Rebuilt| eprintln!("{} of {} chunks, {} minutes", at.chunks_done, at.chunks, at.minutes);
    let name = &args.table;
    let (mut chunks, mut minutes) = (0, 0);
    for home in homes {
        let rebuilt = inferred::rebuild(store, home, name, config.limits.assets_per_tenant, progress).await?;
        chunks += rebuilt.chunks;
        minutes += rebuilt.minutes;
    }
    let said = json!({"table": name, "chunks": chunks, "minutes": minutes});
    Ok((said, format!("{name}: rebuilt from {minutes} minutes of {chunks} chunks\n")))
}

async fn projection(homes: &[Pool], config: &Config, args: &Args) -> Result<(Value, String), StorageError> {
    let name = &args.table;
    let mut streams = 0;
    let [mut events, mut unfit, mut kept, mut differing] = [0; 4];
    for home in homes {
        let mut said = (0, 0);
        // Streams are gone through again for what has come meanwhile, which is mostly nothing.
        let progress = |at: processor::Rebuilt| {
            if at.events > said.1 || at.streams_done > said.0 {
                eprintln!("{} of {} streams, {} events", at.streams_done, at.streams, at.events);
                said = (at.streams_done.max(said.0), at.events);
            }
        };
        let rebuilt = processor::rebuild(home, name, args.all, config.limits.assets_per_tenant, progress).await?;
        streams += rebuilt.streams;
        events += rebuilt.events;
        unfit += rebuilt.unfit;
        kept += rebuilt.kept;
        differing += rebuilt.differing;
    }
    let said = json!({
        "projection": name, "streams": streams, "events": events, "unfit": unfit, "kept": kept, "differing": differing
    });
    let text = format!(
        "{name}: rebuilt from {events} events of {streams} streams ({unfit} of them it cannot take); {differing} rows were \
         others before, {kept} are as events told that have expired\n"
    );
    Ok((said, text))
}
