//! `tidegate doctor`: looks at the database, the spool and this machine, and says of each thing whether it is right and what to do.

mod backups;
mod cells;
mod disk;
mod encryption;
mod finding;
mod groups;
mod jobs;
mod known;
mod nodes;
mod reads;
mod rights;
mod servers;
mod spool;
mod storage;

use tokio_postgres::Client;

use finding::{Finding, FindingState, bad, expect, ok};

use super::database::with_location;
use super::output::{Exit, print_json, print_table, say};
use crate::app::owner_client;
use crate::config::Config;
use crate::lifecycle::LifecycleStatus;
use crate::storage::citus::Cell;
use crate::storage::{
    Layout, Location, StorageError, agreed_layout, catalogue, detect, migrations, needs, payload_index,
    prove_direct_compress, standing_json, standing_layout,
};

/// Check the database and this machine, and say what to do
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Exit 1 when something failed; warnings do not.
pub async fn run(config: &Config, Args { json }: Args) -> Exit {
    let mut findings = vec![disk::finding(config), backups::finding(config)];
    findings.extend(spool::findings(config));
    match database(config).await {
        Ok(found) => findings.extend(found),
        Err(error) => findings.push(bad(
            "database",
            FindingState::Failed,
            error.to_string(),
            "check database_url, that the server runs, and its log",
        )),
    }
    if json {
        print_json(&findings);
    } else {
        let state = |finding: &Finding| match finding.state {
            FindingState::Ok => "ok",
            FindingState::Warning => "WARNING",
            FindingState::Failed => "FAILED",
            FindingState::Unknown => "not known",
        };
        print_table(
            ["CHECK", "STATE", "FOUND"],
            findings.iter().map(|finding| [finding.check.clone(), state(finding).to_owned(), finding.found.clone()]),
        );
        for finding in &findings {
            if let Some(advice) = &finding.advice {
                say!("\n{}: {advice}", finding.check);
            }
        }
    }
    let healthy = findings.iter().all(|finding| finding.state != FindingState::Failed);
    if healthy { Exit::Ok } else { Exit::Failed }
}

async fn database(config: &Config) -> Result<Vec<Finding>, StorageError> {
    let look = async |location: &Location| {
        let needs = needs::check(&location.place(config), config).await?;
        let usable = needs::refusal(&needs).is_none();
        let mut findings: Vec<Finding> = needs.into_iter().map(Finding::from).collect();
        if usable {
            let client = owner_client(location).await?;
            findings.push(known::finding(config, &client).await?);
            findings.extend(schema(&client, location, config).await?);
            findings.extend(upkeep(&client, location, config).await?);
            findings.push(encryption::finding(location).await?);
            if location.is_external() {
                findings.extend(servers::findings(&client, &config.database).await?);
            }
            findings.push(rights::finding(&client, location).await?);
        }
        Ok(findings)
    };
    with_location(Location::find(config), look).await
}

async fn schema(client: &Client, location: &Location, config: &Config) -> Result<Vec<Finding>, StorageError> {
    let Some(layout) = standing_layout(client).await? else {
        let detected = detect(location.owner(), &config.database).await?;
        let found =
            format!("not installed yet; the engine would be {} ({})", detected.layout.engine(), detected.reason);
        return Ok(vec![bad("schema", FindingState::Warning, found, "run tidegate migrate, or serve")]);
    };
    let standing = migrations::standing(client, layout).await?;
    let schema = if standing.is_current() {
        let (engine, payload) = (layout.engine(), standing_json(client).await?.unwrap_or_default().type_name());
        let made = format!("engine {engine} and payload as {payload} (this database was made with them)");
        ok("schema", format!("{made}, all migrations applied"))
    } else if standing.is_usable() {
        bad(
            "schema",
            FindingState::Warning,
            format!("a newer version has applied the migrations {:?}, beside which this one runs", standing.newer),
            "an upgrade is under way: replace the nodes of this version (tidegate nodes)",
        )
    } else {
        bad(
            "schema",
            FindingState::Failed,
            format!("{standing:?}"),
            "tidegate migrate applies what is pending; altered or unknown migrations need the Tidegate version that applied them",
        )
    };
    let mut findings = vec![schema];
    let found = if payload_index(client).await? { "there: events_payload_gin" } else { "none (indexes.payload_gin)" };
    findings.push(ok("payload index", found));
    if let Err(error) = agreed_layout(client, location.owner(), config).await {
        let advice = "serve and migrate refuse to start with this configuration";
        findings.push(bad("engine", FindingState::Failed, error.to_string(), advice));
    }
    if layout.has_hypertables() && standing.is_current() {
        findings.push(match prove_direct_compress(location.writer(), layout).await {
            Ok(()) if layout.direct_compress() => ok("direct compress", "COPY goes straight into the columnstore"),
            Ok(()) => ok("direct compress", "not used: the profile is rowstore"),
            Err(error) => bad("direct compress", FindingState::Failed, error.to_string(), "see the message"),
        });
        findings.push(hidden_rows(client).await?);
    }
    // Of cells that is asked in each.
    if !layout.has_cells() {
        findings.push(letters(client).await?);
    }
    Ok(findings)
}

async fn letters(client: &Client) -> Result<Finding, StorageError> {
    let letters = client
        .query_one(
            "SELECT count(*), max(failed_at)::text FROM dead_letter_events WHERE failed_at > now() - INTERVAL '1 day'",
            &[],
        )
        .await?;
    let (count, last): (i64, Option<String>) = (letters.get(0), letters.get(1));
    Ok(expect(
        "dead letters",
        count == 0,
        last.map_or("none in the last day".to_owned(), |last| format!("{count} in the last day, the last at {last}")),
        "GET /v1/dead-letters says what was wrong with each",
    ))
}

/// What the seed's daily, weekly and monthly tasks look at; nothing on a schema that is not this version's.
async fn upkeep(client: &Client, location: &Location, config: &Config) -> Result<Vec<Finding>, StorageError> {
    let Some(layout) = standing_layout(client).await? else { return Ok(Vec::new()) };
    if !migrations::standing(client, layout).await?.pending.is_empty() {
        return Ok(Vec::new());
    }
    let status = LifecycleStatus::of(client, location.owner(), layout, config).await?;
    let mut findings = if layout.has_cells() {
        let reached = cells::inside(client, location).await?;
        let mut findings = cells::findings(client, location, &reached).await?;
        findings.extend(of_cells(&reached, layout, location, config, &status).await?);
        findings.push(Finding { check: "jobs of the coordinator".into(), ..jobs::jobs(client, &status).await? });
        findings
    } else {
        of_rows(client, layout, location, config, &status).await?
    };
    findings.extend(nodes::findings(client).await?);
    Ok(findings)
}

/// Of a database in which rows are.
async fn of_rows(
    client: &Client,
    layout: Layout,
    location: &Location,
    config: &Config,
    status: &LifecycleStatus,
) -> Result<Vec<Finding>, StorageError> {
    let mut findings = storage::findings(client, status).await?;
    if layout.has_hypertables() {
        findings.push(storage::segments(client).await?);
    }
    findings.extend(jobs::findings(client, layout, status, config).await?);
    findings.push(groups::finding(client).await?);
    findings.push(reads::finding(client, location).await?);
    Ok(findings)
}

/// The same of every cell that can be reached, told together.
async fn of_cells(
    reached: &[(Cell, Client)],
    layout: Layout,
    location: &Location,
    config: &Config,
    status: &LifecycleStatus,
) -> Result<Vec<Finding>, StorageError> {
    let mut all = Vec::new();
    for (cell, inside) in reached {
        let asked = status.cells.iter().find(|asked| asked.cell == cell.name).and_then(|asked| asked.status.as_deref());
        let Some(status) = asked else { continue };
        let mut found = vec![letters(inside).await?];
        found.extend(of_rows(inside, layout, location, config, status).await?);
        all.push((cell.name.clone(), found));
    }
    Ok(cells::together(all))
}

/// Rows beside a columnstore that readers take for complete.
async fn hidden_rows(client: &Client) -> Result<Finding, StorageError> {
    let mut hidden = Vec::new();
    for chunk in catalogue::may_hide_rows(client).await? {
        let sql = format!("SELECT EXISTS (SELECT FROM ONLY {chunk})");
        if client.query_one(&sql, &[]).await?.get(0) {
            hidden.push(chunk);
        }
    }
    if hidden.is_empty() {
        return Ok(ok("hidden rows", "none"));
    }
    Ok(bad(
        "hidden rows",
        FindingState::Failed,
        hidden.join(", "),
        "these chunks hold committed rows that readers skip; nothing is lost. A plain INSERT into a chunk flags it as \
         partial, and its rows are seen again: insert one row of the chunk's day that nothing else is like, then delete \
         it. Then tell Tidegate's maintainers: every writer must go through Tidegate for this not to happen",
    ))
}
