//! `tidegate move`: from the embedded server to one's own.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::database::{up_to_date, with_location};
use super::output::{Exit, failed, print_json, say};
use super::transferred::{embedded_alone, require_cluster, show_sums, sums};
use crate::app::owner_client;
use crate::backup::{self, Source, Target, Transferred};
use crate::config::{Config, ConnectionUrl};
use crate::ingest::spool::{Disk, SpoolPlace, look};
use crate::storage::embedded::{OWNER, READER, WRITER};
use crate::storage::{Location, StorageError, connection_string, standing_layout};

/// Move the embedded database to a server of your own: rows, offsets, ledger, logins
///
/// Run it while no `serve` runs on this data_dir. The database that it moves to must be empty, and is filled whole or not at all; it is
/// counted and compared, and the lines of the configuration that lead there are printed. The embedded one stays as it is.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("target").args(["to", "to_file"]).required(true))]
pub struct Args {
    /// The URL of an empty database, of a superuser; everybody on this machine can read it while the command runs
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// A file with that URL
    #[arg(long, value_name = "FILE")]
    to_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(config: &Config, Args { to, to_file, json }: Args) -> Exit {
    let moved = async {
        let url = target(to, to_file)?;
        let transferred = relocate(config, &url).await?;
        Ok::<_, StorageError>((url, transferred))
    };
    match moved.await {
        Ok((url, transferred)) => show(config, &url, &transferred, json),
        Err(error) => failed(&error),
    }
}

fn target(to: Option<String>, to_file: Option<PathBuf>) -> Result<ConnectionUrl, StorageError> {
    let (text, from) = match (to, to_file) {
        (Some(text), _) => (text, "--to".to_owned()),
        (None, Some(file)) => {
            let text = std::fs::read_to_string(&file);
            let fail = |error| StorageError::fatal(format!("{}: cannot be read: {error}", file.display()));
            (text.map_err(fail)?, file.display().to_string())
        }
        (None, None) => return Err(StorageError::fatal("--to or --to-file says where to")),
    };
    let url: Result<ConnectionUrl, String> = text.trim().parse();
    url.map(ConnectionUrl::for_writing).map_err(|error| StorageError::fatal(format!("{from}: {error}")))
}

async fn relocate(config: &Config, url: &ConnectionUrl) -> Result<Transferred, StorageError> {
    let lock = embedded_alone(config)?;
    require_cluster(config)?;
    let work = async |location: &Location| {
        let client = owner_client(location).await?;
        // Nothing is installed here for it.
        if standing_layout(&client).await?.is_some() {
            up_to_date(&client, location, config).await?;
        }
        let source = Source::of(location, &config.data_dir);
        backup::transfer(&source, Target { url, own: false, programs: None }).await
    };
    with_location(Location::alone(config, lock, None), work).await
}

/// Requests in the spool of the data directory.
fn spooled(config: &Config) -> Option<u64> {
    let place = SpoolPlace::of(&config.data_dir, config.spool.max_bytes);
    look(&Disk, &place.dir).ok().flatten().map(|look| look.stats.undrained.records)
}

fn show(config: &Config, url: &ConnectionUrl, transferred: &Transferred, json: bool) -> Exit {
    let same = transferred.differences.is_empty();
    let lines = [("database_url", OWNER), ("writer_url", WRITER), ("reader_url", READER)]
        .map(|(key, role)| (key, connection_string(url, role)));
    let roles = &transferred.roles;
    if json {
        let lines: Value = lines.iter().map(|(key, line)| ((*key).to_owned(), json!(line))).collect();
        print_json(&json!({
            "contents": sums(&transferred.contents), "same": same, "differences": transferred.differences,
            "engine": transferred.engine, "roles": roles, "configuration": lines, "spooled": spooled(config),
        }));
        return if same { Exit::Ok } else { Exit::Failed };
    }
    show_sums("moved", transferred);
    if !same {
        say!("\nDo not use it: make the database empty again (DROP DATABASE, CREATE DATABASE) and move once more.");
        return Exit::Failed;
    }
    if !roles.made.is_empty() {
        say!("roles that were made, with the passwords that they had: {}", roles.made.join(", "));
    }
    if !roles.kept.is_empty() {
        say!("roles that were there and stay as they are: {}", roles.kept.join(", "));
    }
    let database = url.server.get_dbname().unwrap_or("tidegate");
    say!("\nThe service's three roles have no password in an embedded server. As a superuser there, in psql:");
    for role in [OWNER, WRITER, READER] {
        say!("  \\password {role}");
    }
    say!("  ALTER DATABASE {database} OWNER TO {OWNER};");
    say!("\nThen these lines into tidegate.toml, each with its password=...:\n");
    for (key, line) in &lines {
        say!("{key} = \"{line}\"");
    }
    let data_dir = config.data_dir.display();
    say!("\nand `tidegate doctor`, `tidegate serve`, with the same data_dir ({data_dir}): what waits in its spool is");
    match spooled(config) {
        None | Some(0) => say!("written there once (nothing waits now)."),
        Some(records) => say!("written there once (requests that wait now: {records})."),
    }
    say!(
        "{data_dir}/postgres is as it was. A serve without these lines would go on with it: move it away when all is well."
    );
    Exit::Ok
}
