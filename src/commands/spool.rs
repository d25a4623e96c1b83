//! `tidegate spool list|resend|drop`: what is in the spool's quarantine, with or without a running `serve`.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::output::{Exit, failed, print, print_json, print_table};
use crate::app::owner_client;
use crate::config::Config;
use crate::ingest::spool::kept::{self, Action, Kept, KeptWhat};
use crate::ingest::spool::{Disk, SpoolPlace};
use crate::storage::{Location, StorageError};
use crate::tenancy::acts::{self, Act, Actor};

/// How long a running `serve` is given to do what it is asked.
const SERVE_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the database is waited for, so that it is noted what was done.
const NOTE_TIMEOUT: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(100);
const A_FOLDER: &str = "a folder, which Tidegate did not put there and does not touch; move it away by hand";

/// Requests that were answered 202 and could not be written: look at them, send them again, or drop them
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// What is in the quarantine, and why
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Put requests of the quarantine back into the spool; they are written once, behind what waits there
    Resend(Which),
    /// Remove from the quarantine for good
    Drop {
        #[command(flatten)]
        which: Which,
        /// With --all: this is meant
        #[arg(long, requires = "all")]
        yes: bool,
    },
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// Receipts, or names of files, as `spool list` shows them
    #[arg(value_name = "RECEIPT|FILE")]
    names: Vec<String>,
    /// Everything in the quarantine
    #[arg(long)]
    all: bool,
}

/// A file of the quarantine, as it is printed.
#[derive(Serialize)]
struct Row {
    file: String,
    bytes: u64,
    receipt: Option<Uuid>,
    tenant_id: Option<String>,
    route: Option<String>,
    received_at: Option<Timestamp>,
    quarantined_at: Option<Timestamp>,
    items: Option<u32>,
    /// Receipts of requests that were lost to damage and can still be named.
    lost: Vec<Uuid>,
    reason: String,
}

impl From<&Kept> for Row {
    fn from(kept: &Kept) -> Self {
        let request = kept.request();
        let at = |us| Timestamp::from_microsecond(us).ok();
        let (reason, quarantined_at) = match &kept.what {
            KeptWhat::Request { reason, kept_at_us, .. } => (reason.clone(), at(*kept_at_us)),
            KeptWhat::Segment { lost } => {
                let damaged = "a damaged segment: what was whole in it was written, the rest cannot be read";
                let named = match lost.len() {
                    0 => "which requests that were, it does not say",
                    _ => {
                        "the receipts that it still names are in `lost` of spool list --json; one of them may have been \
                          written before"
                    }
                };
                (format!("{damaged}; {named}"), None)
            }
            KeptWhat::Folder => (A_FOLDER.to_owned(), None),
            KeptWhat::Unreadable(why) => (why.clone(), None),
        };
        Self {
            file: kept.file.clone(),
            bytes: kept.bytes,
            receipt: request.as_ref().map(|request| request.received.receipt),
            tenant_id: request.as_ref().map(|request| request.received.tenant_id.to_string()),
            route: request.as_ref().map(|request| request.received.route.to_string()),
            received_at: request.as_ref().and_then(|request| at(request.received.received_at_us)),
            quarantined_at,
            items: request.as_ref().map(|request| request.items),
            lost: match &kept.what {
                KeptWhat::Segment { lost } => lost.iter().map(|request| request.receipt).collect(),
                _ => Vec::new(),
            },
            reason,
        }
    }
}

pub async fn run(config: &Config, Args { action }: Args) -> Exit {
    let place = SpoolPlace::of(&config.data_dir, config.spool.max_bytes);
    if !place.dir.is_dir() {
        return failed(&format!(
            "there is no spool: {} is no folder; name the folder that serve runs on with --data-dir (it is {} here), or the \
             configuration with --config",
            place.dir.display(),
            config.data_dir.display()
        ));
    }
    let quarantined = match kept::quarantined(&Disk, &place.dir) {
        Ok(quarantined) => quarantined,
        Err(error) => return failed(&format!("{}: {error}", place.dir.display())),
    };
    match action {
        Command::List { json } => {
            let rows: Vec<Row> = quarantined.iter().map(Row::from).collect();
            if json {
                print_json(&rows)
            } else {
                show(&rows)
            }
            Exit::Ok
        }
        Command::Resend(which) => act(config, &place, quarantined, &which, Action::Resend).await,
        Command::Drop { which, yes } if which.all && !yes => {
            let files = quarantined.len();
            failed(&format!("{files} files would be removed for good: say --all --yes, or name receipts"));
            Exit::Usage
        }
        Command::Drop { which, .. } => act(config, &place, quarantined, &which, Action::Drop).await,
    }
}

fn show(rows: &[Row]) {
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let time = |at: Option<Timestamp>| text(at.map(|at| format!("{at:.0}")));
    print_table(
        ["RECEIPT", "TENANT", "ROUTE", "RECEIVED", "QUARANTINED", "ITEMS", "BYTES", "FILE"],
        rows.iter().map(|row| {
            [
                text(row.receipt.map(|receipt| receipt.to_string())),
                text(row.tenant_id.clone()),
                text(row.route.clone()),
                time(row.received_at),
                time(row.quarantined_at),
                text(row.items.map(|items| items.to_string())),
                row.bytes.to_string(),
                row.file.clone(),
            ]
        }),
    );
    for row in rows {
        print(format!("\n{}: {}\n", row.file, row.reason).as_bytes());
    }
}

/// Those that are named; an error names what is not there.
fn chosen(quarantined: Vec<Kept>, which: &Which, action: Action) -> Result<Vec<Kept>, String> {
    let is = |kept: &Kept, name: &String| {
        kept.file == *name || kept.summary().is_some_and(|summary| summary.receipt.to_string() == *name)
    };
    if let Some(name) = which.names.iter().find(|name| !quarantined.iter().any(|kept| is(kept, name))) {
        return Err(format!(
            "nothing in the quarantine has the receipt or name {name}; `tidegate spool list` shows what is"
        ));
    }
    let named = |kept: &Kept| which.all || which.names.iter().any(|name| is(kept, name));
    let mut chosen: Vec<Kept> = quarantined.into_iter().filter(named).collect();
    let folder = |kept: &Kept| matches!(kept.what, KeptWhat::Folder);
    if let (false, Some(found)) = (which.all, chosen.iter().find(|kept| folder(kept))) {
        return Err(format!("{}: {A_FOLDER}", found.file));
    }
    chosen.retain(|kept| !folder(kept));
    if action == Action::Resend {
        let request = |kept: &Kept| matches!(kept.what, KeptWhat::Request { .. });
        if let (false, Some(other)) = (which.all, chosen.iter().find(|kept| !request(kept))) {
            let why = Row::from(other).reason;
            return Err(format!("{} cannot be sent again: {why}", other.file));
        }
        chosen.retain(request);
    }
    Ok(chosen)
}

/// Notes what was asked for in the audit log, if the database is there: this works without it as well.
async fn note(config: &Config, chosen: &[Kept], action: Action) {
    let word = match action {
        Action::Resend => "spool.resend",
        Action::Drop => "spool.drop",
    };
    let noting = async {
        let Some(location) = Location::beside(config)? else {
            return Err(StorageError::not_ready("no database is configured, and no serve runs here"));
        };
        let client = owner_client(&location).await?;
        let actor = Actor::of_this_process();
        for kept in chosen {
            let row = Row::from(kept);
            let target = row.receipt.map_or(row.file, |receipt| receipt.to_string());
            let act = Act {
                tenant_id: row.tenant_id.as_deref(),
                action: word,
                target: Some(target),
                details: json!({ "items": row.items, "bytes": row.bytes }),
            };
            acts::note(&client, &actor, &act).await?;
        }
        Ok(())
    };
    let noted = tokio::time::timeout(NOTE_TIMEOUT, noting).await.unwrap_or_else(|_| Err(StorageError::silence()));
    if let Err(error) = noted {
        eprintln!("it is not in the audit log: {error}");
    }
}

async fn act(config: &Config, place: &SpoolPlace, quarantined: Vec<Kept>, which: &Which, action: Action) -> Exit {
    let chosen = match chosen(quarantined, which, action) {
        Ok(chosen) => chosen,
        Err(error) => return failed(&error),
    };
    for kept in &chosen {
        if let Err(error) = kept::ask(&Disk, &place.dir, &kept.file, action) {
            return failed(&format!("{}: {error}", kept.file));
        }
    }
    note(config, &chosen, action).await;
    let (word, later) = match action {
        Action::Resend => ("sent again", "they are sent again when serve starts"),
        Action::Drop => ("dropped", "they are removed when serve starts"),
    };
    if !Disk::is_locked(&place.dir.join("lock")) {
        print(format!("{} of {}; no serve runs here: {later}\n", chosen.len(), count(which)).as_bytes());
        return Exit::Ok;
    }
    let begun = Instant::now();
    for kept in &chosen {
        while kept::is_asked(&Disk, &place.dir, &kept.file, action).unwrap_or(false) {
            if begun.elapsed() > SERVE_TIMEOUT {
                return failed(&format!(
                    "serve has been asked and has not done it within {} s; its log says why. {} is still to be {word}",
                    SERVE_TIMEOUT.as_secs(),
                    kept.file
                ));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    let there = match kept::quarantined(&Disk, &place.dir) {
        Ok(there) => there,
        Err(error) => return failed(&format!("{}: {error}", place.dir.display())),
    };
    if let Some(back) = chosen.iter().find(|kept| there.iter().any(|found| found.file == kept.file)) {
        return failed(&format!(
            "{} could not be {word} and is back in the quarantine; serve's log says why",
            back.file
        ));
    }
    print(format!("{} {word}\n", chosen.len()).as_bytes());
    Exit::Ok
}

fn count(which: &Which) -> String {
    if which.all { "all".to_owned() } else { which.names.len().to_string() }
}
