//! `tidegate backup create|list|verify|restore`.

use std::path::PathBuf;

use jiff::{Timestamp, Unit};
use serde_json::{Value, json};

use super::database::{up_to_date, with_location};
use super::output::{Exit, failed, finish, print_json, print_table, say};
use super::values::time;
use crate::app::owner_client;
use crate::backup::{self, Backup, Folder, Found, Kind, Moment, Restored, Source};
use crate::config::{Config, ConnectionUrl};
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
        /// Then remove the oldest beyond backup.keep, as `serve` does after its own
        #[arg(long)]
        prune: bool,
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
    /// Make a new data directory of one, or fill an empty database with a dump
    #[command(group = clap::ArgGroup::new("target").args(["into", "into_url_file"]).required(true))]
    Restore {
        /// Its name, as `list` has it; the newest good one if it is not given
        id: Option<String>,
        #[command(flatten)]
        place: Place,
        /// The new data directory: empty, or not there yet
        #[arg(long, value_name = "FOLDER")]
        into: Option<PathBuf>,
        /// Of a dump: a file with the URL of an empty database, of a user who may restore (a superuser for TimescaleDB)
        #[arg(long, value_name = "FILE")]
        into_url_file: Option<PathBuf>,
        /// The moment to restore, to the second or finer, or `latest`; not given: when the backup was complete
        #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with = "into_url_file")]
        to: Option<Moment>,
        /// Also of a backup that is known to be damaged, or found to be: what can be read of it
        #[arg(long)]
        damaged: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub async fn run(config: &Config, Args { action }: Args) -> Exit {
    match action {
        Action::Create { place, prune, json } => {
            finish(create(config, &place.folder(config), prune).await, json, |made| {
                say!(
                    "made {} ({}, {} MiB)",
                    text(made, "id"),
                    text(made, "kind"),
                    made["bytes"].as_u64().unwrap_or(0) >> 20
                );
                say!("in {}", text(made, "path"));
                for removed in made["removed"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                    say!("removed {removed}");
                }
            })
        }
        Action::List { place: Place { dir: Some(dir) }, .. } if !dir.is_dir() => {
            failed(&format!("there is no folder {}: --dir names that of backups", dir.display()))
        }
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
        Action::Restore { id, place, into, into_url_file, to, damaged, json } => {
            let target = match (into, into_url_file) {
                (Some(into), _) => Target::Folder(into),
                (None, Some(file)) => Target::Database(file),
                (None, None) => return Exit::Usage,
            };
            let folder = place.folder(config);
            let work = restore(&folder, id.as_deref(), &target, to.unwrap_or(Moment::OfBackup), damaged);
            match stoppable(work).await {
                Ok((backup, restored)) => show_restored(&backup, &restored, &target, json),
                Err(error) => failed(&error),
            }
        }
    }
}

/// Where a backup is restored to.
enum Target {
    Folder(PathBuf),
    /// The file with its URL.
    Database(PathBuf),
}

fn moment(text: &str) -> Result<Moment, String> {
    if text == "latest" {
        return Ok(Moment::Latest);
    }
    time(text).map(Moment::At).map_err(|error| format!("{error}; or `latest`"))
}

async fn restore(
    folder: &Folder,
    id: Option<&str>,
    target: &Target,
    moment: Moment,
    damaged: bool,
) -> Result<(Backup, Restored), StorageError> {
    let backup = match (id, moment) {
        (None, Moment::At(time)) => folder.before(time)?,
        _ => folder.find(id)?,
    };
    if !damaged {
        backup::require_undamaged(&backup).await?;
    }
    let restored = match (target, backup.manifest.kind) {
        (Target::Folder(into), Kind::Base) => backup::restore_base(folder, &backup, into, moment, true).await?,
        (Target::Database(file), Kind::Dump) => {
            let fail = |error: String| StorageError::fatal(format!("{}: {error}", file.display()));
            let url = std::fs::read_to_string(file).map_err(|error| fail(format!("cannot be read: {error}")))?;
            let url: ConnectionUrl = url.trim().parse().map_err(fail)?;
            backup::restore_dump(&backup, &url.for_writing()).await?
        }
        (Target::Folder(_), Kind::Dump) => {
            return Err(StorageError::fatal(format!(
                "{} is a dump of an external database: --into-url-file names a file with the URL of an empty one",
                backup.id
            )));
        }
        (Target::Database(_), Kind::Base) => {
            return Err(StorageError::fatal(format!(
                "{} is a base backup of an embedded server: --into names its new data directory",
                backup.id
            )));
        }
    };
    Ok((backup, restored))
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or("-").to_owned()
}

async fn create(config: &Config, folder: &Folder, prune: bool) -> Result<Value, StorageError> {
    // Before a server is started for it.
    let hold = folder.hold()?;
    let work = async |location: &Location| {
        up_to_date(&owner_client(location).await?, location, config).await?;
        let source = Source::of(location, &config.data_dir);
        let backup = backup::create(&hold, &source).await?;
        let removed = if prune { backup::prune(&hold, config.backup.keep, &source).await? } else { Vec::new() };
        Ok((backup, removed))
    };
    let (backup, removed) = with_location(Location::find(config), work).await?;
    let mut described = described(&backup);
    described["removed"] = json!(removed);
    Ok(described)
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
        "wal": manifest.wal,
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
    // Where there is none, no folder is made for it.
    folder.find(id)?;
    // Nobody removes it meanwhile.
    let hold = folder.hold()?;
    let backup = folder.find(id)?;
    let work = async { backup::verify(folder, &backup, scratch.as_deref()).await };
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

fn show_restored(backup: &Backup, restored: &Restored, target: &Target, json: bool) -> Exit {
    let same = restored.differences.is_empty();
    let sums = ["events", "metrics", "ledger"].map(|what| (what, restored.contents.sum(what)));
    let into = match target {
        Target::Folder(folder) => folder.display().to_string(),
        Target::Database(file) => format!("the database of {}", file.display()),
    };
    if json {
        let sums: Value = sums.iter().map(|(what, sum)| ((*what).to_owned(), json!(sum))).collect();
        print_json(&json!({
            "id": backup.id, "into": into, "contents": sums, "same": same, "differences": restored.differences,
            "newest": restored.newest,
        }));
    } else {
        let sums = sums.map(|(what, sum)| format!("{sum} {what}"));
        say!("restored {} into {into}: {}", backup.id, sums.join(", "));
        if !same {
            say!("it DIFFERS from what was counted when the backup was made:");
            show_differences(&restored.differences);
        }
        match target {
            Target::Folder(folder) => say!("start it: tidegate serve --data-dir {}", folder.display()),
            Target::Database(_) => say!("then, for each data_dir that was in use: tidegate accept-database"),
        }
    }
    if same { Exit::Ok } else { Exit::Failed }
}
