//! `tidegate backup create|list|verify|restore`.

use std::path::PathBuf;

use jiff::{Timestamp, Unit};
use serde_json::{Value, json};

use super::database::{up_to_date, with_location};
use super::output::{Exit, failed, finish, print_json, print_table, say};
use crate::app::owner_client;
use crate::backup::{self, Backup, Folder, Found, Restored};
use crate::config::Config;
use crate::storage::{Location, StorageError};

/// Backups: make one, list them, look whether they are good, restore one
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Args)]
struct Place {
    /// The folder of backups, if not that of backup.dir
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

impl Place {
    fn folder(&self, config: &Config) -> Folder {
        Folder::at(self.dir.as_ref().unwrap_or(&config.backup.dir))
    }
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make one of the database as it is, beside a running `serve` too
    Create {
        #[command(flatten)]
        place: Place,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Those that are whole, with what was found of them
    List {
        #[command(flatten)]
        place: Place,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Read all of one and compare it with what was written; exit 1 if it is damaged
    Verify {
        /// Its name, as `list` has it; the newest if it is not given
        id: Option<String>,
        #[command(flatten)]
        place: Place,
        /// Restore it into a server of its own, count what is there, compare, and remove it again
        #[arg(long)]
        restore: bool,
        /// Where that is done; needs room for all of it
        #[arg(long, value_name = "FOLDER", requires = "restore")]
        scratch: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a new data directory of one
    Restore {
        /// Its name, as `list` has it; the newest good one if it is not given
        id: Option<String>,
        #[command(flatten)]
        place: Place,
        /// The new data directory: empty, or not there yet
        #[arg(long, value_name = "FOLDER")]
        into: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub async fn run(config: &Config, Args { action }: Args) -> Exit {
    match action {
        Action::Create { place, json } => finish(create(config, &place.folder(config)).await, json, |made| {
            say!(
                "made {} ({}, {} MiB)",
                text(made, "id"),
                text(made, "kind"),
                made["bytes"].as_u64().unwrap_or(0) >> 20
            );
            say!("in {}", text(made, "path"));
        }),
        Action::List { place, json } => list(&place.folder(config), json),
        Action::Verify { id, place, restore, scratch, json } => {
            let scratch = restore.then(|| scratch.unwrap_or_else(std::env::temp_dir));
            match verify(&place.folder(config), id.as_deref(), scratch).await {
                Ok(found) => {
                    show_found(&found, json);
                    if found.good { Exit::Ok } else { Exit::Failed }
                }
                Err(error) => failed(&error),
            }
        }
        Action::Restore { id, place, into, json } => {
            let restored = async {
                let backup = place.folder(config).find(id.as_deref())?;
                let restored = backup::restore_base(&backup, &into, true).await?;
                Ok::<_, StorageError>((backup, restored))
            };
            match restored.await {
                Ok((backup, restored)) => show_restored(&backup, &restored, &into, json),
                Err(error) => failed(&error),
            }
        }
    }
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or("-").to_owned()
}

async fn create(config: &Config, folder: &Folder) -> Result<Value, StorageError> {
    // Before a server is started for it.
    let hold = folder.hold()?;
    let work = async |location: &Location| {
        let mut client = owner_client(location).await?;
        up_to_date(&client, location, config).await?;
        backup::create(&hold, location, &mut client).await
    };
    with_location(Location::find(config), work).await.map(|backup| described(&backup))
}

/// A backup as lists have it: without all its counts.
fn described(backup: &Backup) -> Value {
    let manifest = &backup.manifest;
    json!({
        "id": backup.id,
        "kind": manifest.kind,
        "began": manifest.began,
        "ended": manifest.ended,
        "bytes": manifest.bytes,
        "engine": manifest.engine,
        "postgres": manifest.postgres,
        "timescaledb": manifest.timescaledb,
        "version": manifest.version,
        "system_identifier": manifest.system_identifier,
        "events": manifest.contents_before.sum("events"),
        "metrics": manifest.contents_before.sum("metrics"),
        "verified": backup.verified,
        "path": backup.path,
    })
}

fn list(folder: &Folder, json: bool) -> Exit {
    let (found, unreadable) = match folder.list() {
        Ok(found) => found,
        Err(error) => return failed(&error),
    };
    if json {
        let damaged = unreadable.iter().map(|one| json!({ "id": one.id, "damaged": one.why }));
        print_json(&found.iter().map(described).chain(damaged).collect::<Vec<_>>());
        return Exit::Ok;
    }
    let headings = ["BACKUP", "KIND", "AGE", "MIB", "EVENTS", "METRICS", "VERIFIED"];
    let rows = found.iter().map(|backup| {
        let manifest = &backup.manifest;
        let verified = match &backup.verified {
            None => "-".to_owned(),
            Some(verified) if !verified.good => format!("DAMAGED, {} ago", age(verified.at)),
            Some(verified) if verified.restored => format!("restored {} ago", age(verified.at)),
            Some(verified) => format!("read {} ago", age(verified.at)),
        };
        [
            backup.id.clone(),
            manifest.kind.as_str().to_owned(),
            age(manifest.ended),
            (manifest.bytes >> 20).to_string(),
            manifest.contents_before.sum("events").to_string(),
            manifest.contents_before.sum("metrics").to_string(),
            verified,
        ]
    });
    let damaged = unreadable.iter().map(|one| {
        let cells = [one.id.as_str(), "-", "-", "-", "-", "-", "DAMAGED"];
        cells.map(str::to_owned)
    });
    print_table(headings, rows.chain(damaged));
    for one in &unreadable {
        say!("\n{}: {}", one.id, one.why);
    }
    Exit::Ok
}

fn age(at: Timestamp) -> String {
    let seconds = Timestamp::now().since((Unit::Second, at)).map_or(0, |span| span.get_seconds());
    match seconds {
        ..60 => format!("{} s", seconds.max(0)),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

async fn verify(folder: &Folder, id: Option<&str>, scratch: Option<PathBuf>) -> Result<Found, StorageError> {
    // Nobody removes it meanwhile.
    let hold = folder.hold()?;
    let backup = folder.find(id)?;
    let work = async { backup::verify(&backup, scratch.as_deref()).await };
    let found = stoppable(work).await?;
    hold.note(&backup, &found.verified())?;
    Ok(found)
}

/// Ends with a signal, so that what was made for the moment is removed.
async fn stoppable<T>(work: impl Future<Output = Result<T, StorageError>>) -> Result<T, StorageError> {
    let signals = crate::shutdown::Signals::listen();
    let mut signals = signals.map_err(|error| StorageError::fatal(format!("no signals can be heard: {error}")))?;
    tokio::select! {
        done = work => done,
        signal = signals.next() => Err(StorageError::fatal(format!("stopped by {signal}"))),
    }
}

fn show_found(found: &Found, json: bool) {
    if json {
        return print_json(found);
    }
    let what = if found.restored { "restored and compared" } else { "read and compared with what was written" };
    match &found.damage {
        Some(damage) => say!("{}: DAMAGED: {damage}", found.id),
        None if found.good => say!("{}: good ({what})", found.id),
        None => say!("{}: DIFFERS from what was backed up ({what})", found.id),
    }
    show_differences(&found.differences);
}

fn show_differences(differences: &[backup::Difference]) {
    for one in differences {
        let range =
            if one.least == one.most { one.least.to_string() } else { format!("{} to {}", one.least, one.most) };
        say!("  {} of {} {}: {range} when it was made, {} now", one.what, one.tenant, one.item, one.found);
    }
}

fn show_restored(backup: &Backup, restored: &Restored, into: &std::path::Path, json: bool) -> Exit {
    let same = restored.differences.is_empty();
    let sums = ["events", "metrics", "ledger"].map(|what| (what, restored.contents.sum(what)));
    if json {
        let sums: Value = sums.iter().map(|(what, sum)| ((*what).to_owned(), json!(sum))).collect();
        print_json(&json!({
            "id": backup.id, "into": into, "contents": sums, "same": same, "differences": restored.differences,
            "newest": restored.newest,
        }));
    } else {
        let sums = sums.map(|(what, sum)| format!("{sum} {what}"));
        say!("restored {} into {}: {}", backup.id, into.display(), sums.join(", "));
        if same {
            say!("it has what was counted when the backup was made");
        } else {
            say!("it DIFFERS from what was counted when the backup was made:");
            show_differences(&restored.differences);
        }
        say!("start it: tidegate serve --data-dir {}", into.display());
    }
    if same { Exit::Ok } else { Exit::Failed }
}
