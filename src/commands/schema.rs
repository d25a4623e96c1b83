//! `tidegate schema verify|show|diff`: the schema of a database against what this version expects, and two schemas against each
//! other.

use std::path::PathBuf;

use serde::Serialize;

use super::database::with_location;
use super::output::{Exit, failed, print, print_json, say, visible};
use crate::app::owner_client;
use crate::authority::{self, Finding, Report, Snapshot, Variant};
use crate::config::Config;
use crate::storage::{Layout, Location, StorageError, migrations, standing_layout};

/// The schema: whether a database has what this version expects, and what differs between two
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Compare the database with what this version expects; exit 1 on drift
    Verify {
        /// Print nothing but the statements that mend what drifted
        #[arg(long, conflicts_with = "json")]
        sql: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the database's schema as text that can be kept and compared
    Show {
        /// What this version expects of the database instead
        #[arg(long)]
        expected: bool,
    },
    /// Say what differs between two schemas, and what of it breaks readers
    Diff {
        /// A file that `schema show` wrote, `expected` (this version's) or `live` (the database's)
        old: String,
        /// The same
        new: String,
        /// Exit 1 where something breaks what readers may rely on (sql/contract)
        #[arg(long)]
        fail_on_breaking: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// What `verify` prints as JSON.
#[derive(Serialize)]
struct Verified<'a> {
    clean: bool,
    findings: &'a [Finding],
}

pub async fn run(config: &Config, Args { action }: Args) -> Exit {
    let result = match action {
        Action::Verify { sql, json } => verify(config, sql, json).await,
        Action::Show { expected } => show(config, expected).await,
        Action::Diff { old, new, fail_on_breaking, json } => diff(config, [&old, &new], fail_on_breaking, json).await,
    };
    result.unwrap_or_else(|error| failed(&error))
}

async fn verify(config: &Config, sql: bool, json: bool) -> Result<Exit, StorageError> {
    let work = async |location: &Location| {
        let (mut client, layout) = open(location).await?;
        let mut findings = authority::verify(&mut client, layout, config).await?;
        if layout.has_cells() {
            findings.extend(authority::verify_cells(&client, location.owner()).await?);
            findings.sort_by_key(|finding| !finding.drift);
        }
        Ok((findings, layout))
    };
    let (findings, layout) = with_location(Location::find(config), work).await?;
    let drifted = findings.iter().filter(|finding| finding.drift).count();
    if json {
        print_json(&Verified { clean: drifted == 0, findings: &findings });
    } else if sql {
        let statements = findings.iter().filter(|finding| finding.drift);
        for finding in statements {
            match &finding.statement {
                Some(statement) => say!("{statement}"),
                None => say!("-- {}: no statement mends it", visible(&finding.object)),
            }
        }
    } else {
        findings.iter().for_each(say_finding);
        match (drifted, findings.len() - drifted) {
            (0, 0) => say!("the schema is what this version expects (engine {})", layout.engine()),
            (0, notes) => say!(
                "the schema has what this version expects (engine {}), and beside it {notes} more",
                layout.engine()
            ),
            (drifted, _) => {
                say!("{drifted} to mend: the statements are run as the owner, in this order, then verify again")
            }
        }
    }
    Ok(if drifted == 0 { Exit::Ok } else { Exit::Failed })
}

fn say_finding(finding: &Finding) {
    let kind = if finding.drift { "drift" } else { "note" };
    say!("{kind}: {} {}", visible(&finding.object), visible(&finding.what));
    match &finding.statement {
        Some(statement) if finding.drift => say!("    {}", statement.replace('\n', "\n    ")),
        Some(statement) => say!("    where nobody wants it: {}", statement.replace('\n', "\n    ")),
        None if finding.drift => say!("    no statement mends it: a new database, or a backup"),
        None => {}
    }
}

async fn show(config: &Config, expected: bool) -> Result<Exit, StorageError> {
    let live = live(config).await?;
    let shown = if expected { authority::expected(Variant::of(&live)) } else { live };
    print(authority::write(&shown).as_bytes());
    Ok(Exit::Ok)
}

async fn live(config: &Config) -> Result<Snapshot, StorageError> {
    let look = async |location: &Location| {
        let (mut client, layout) = open(location).await?;
        authority::look(&mut client, layout).await
    };
    with_location(Location::find(config), look).await
}

/// The owner's connection to a database of this version.
async fn open(location: &Location) -> Result<(tokio_postgres::Client, Layout), StorageError> {
    let client = owner_client(location).await?;
    // Who may not look into it is told nothing else by a server.
    let closed = "SELECT quote_ident(current_user) FROM pg_namespace \
                  WHERE nspname = 'tidegate' AND NOT has_schema_privilege(oid, 'USAGE')";
    if let Some(row) = client.query_opt(closed, &[]).await? {
        let owner: &str = row.get(0);
        return Err(StorageError::not_ready(format!(
            "the schema tidegate is another's, and nothing in it can be looked at; as a superuser: ALTER SCHEMA tidegate OWNER TO {owner};"
        )));
    }
    let Some(layout) = standing_layout(&client).await? else {
        return Err(StorageError::not_ready("the database has no schema of Tidegate (tidegate migrate makes it)"));
    };
    if migrations::standing(&client, layout).await?.is_current() {
        return Ok((client, layout));
    }
    Err(StorageError::not_ready(
        "the database's schema is another version's (tidegate migrate --check says how), and is compared with this version's when it is \
         up to date",
    ))
}

async fn diff(config: &Config, sides: [&String; 2], fail_on_breaking: bool, json: bool) -> Result<Exit, StorageError> {
    let live = if sides.iter().any(|side| *side == "live") { Some(live(config).await?) } else { None };
    let mut files = Vec::new();
    for side in sides {
        files.push(match side.as_str() {
            "live" | "expected" => None,
            path => Some(read(&PathBuf::from(path)).map_err(StorageError::not_ready)?),
        });
    }
    // What is expected is that of a database that was made as the other one was.
    let like = live.as_ref().or(files.iter().flatten().next()).map(Variant::of);
    let like = like.unwrap_or_default();
    let snapshots: Vec<Snapshot> = std::iter::zip(sides, files)
        .map(|(side, file)| match (side.as_str(), file) {
            (_, Some(file)) => file,
            ("live", None) => live.clone().unwrap_or_default(),
            (_, None) => authority::expected(like),
        })
        .collect();
    let report = Report::of(&snapshots[0], &snapshots[1]);
    if json {
        print_json(&report);
    } else {
        for change in &report.changes {
            say!("{}: {} {}", change.change, visible(&change.object), visible(&change.what));
        }
        for broken in &report.breaking {
            say!("breaks readers: {}", visible(broken));
        }
        say!("{} differences, {} of what readers may rely on", report.changes.len(), report.breaking.len());
    }
    Ok(if fail_on_breaking && !report.breaking.is_empty() { Exit::Failed } else { Exit::Ok })
}

fn read(path: &std::path::Path) -> Result<Snapshot, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    authority::parse(&text)
        .map_err(|error| format!("{} is no schema as `tidegate schema show` writes it: {error}", path.display()))
}
