//! `tidegate doctor`: looks at the database, the spool and this machine, and says of each thing whether it is right and what to do.

mod disk;
mod finding;
mod jobs;
mod reads;
mod spool;
mod storage;

use jiff::Timestamp;
use tokio_postgres::Client;

use finding::{Finding, FindingState, bad, expect, ok};

use super::database::with_location;
use super::output::{Exit, print_json, print_table};
use crate::app::owner_client;
use crate::config::Config;
use crate::lifecycle::LifecycleStatus;
use crate::limits::{MAX_LOCKS_PER_TRANSACTION_MIN, POSTGRES_MAJOR_MIN};
use crate::storage::{Location, StorageError, detect, migrations, prove_direct_compress, standing_layout};

/// Clock difference from which timestamps near the bounds of the window are judged differently.
const SKEW_MS_MAX: i64 = 1000;

/// Check the database and this machine, and say what to do
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Exit 1 when something failed; warnings do not.
pub async fn run(config: &Config, Args { json }: Args) -> Exit {
    let mut findings = vec![disk::finding(config)];
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
        };
        print_table(
            ["CHECK", "STATE", "FOUND"],
            findings.iter().map(|finding| [finding.check.to_owned(), state(finding).to_owned(), finding.found.clone()]),
        );
        for finding in &findings {
            if let Some(advice) = &finding.advice {
                println!("\n{}: {advice}", finding.check);
            }
        }
    }
    let healthy = findings.iter().all(|finding| finding.state != FindingState::Failed);
    if healthy { Exit::Ok } else { Exit::Failed }
}

async fn database(config: &Config) -> Result<Vec<Finding>, StorageError> {
    let look = async |location: &Location| {
        let client = owner_client(location).await?;
        let mut findings = server(&client).await?;
        findings.extend(settings(&client).await?);
        findings.push(clock(&client).await?);
        findings.extend(schema(&client, location, config).await?);
        findings.extend(upkeep(&client, location, config).await?);
        findings.push(roles(config));
        Ok(findings)
    };
    with_location(Location::find(config), look).await
}

async fn server(client: &Client) -> Result<Vec<Finding>, StorageError> {
    let row = client
        .query_one("SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000", &[])
        .await?;
    let (version, major): (String, i32) = (row.get(0), row.get(1));
    let supported = u32::try_from(major).is_ok_and(|major| major >= POSTGRES_MAJOR_MIN);
    let version = if supported {
        ok("PostgreSQL", version)
    } else {
        bad("PostgreSQL", FindingState::Failed, version, format!("upgrade to {POSTGRES_MAJOR_MIN} or newer"))
    };
    let extension = client
        .query_opt(
            "SELECT extversion, coalesce(current_setting('timescaledb.license', true), '?') FROM pg_extension \
             WHERE extname = 'timescaledb'",
            &[],
        )
        .await?;
    let extension = match extension.map(|row| (row.get::<_, String>(0), row.get::<_, String>(1))) {
        Some((version, license)) => expect(
            "TimescaleDB",
            license == "timescale",
            format!("{version}, license {license}"),
            "the Apache-2 edition lacks compression and continuous aggregates; install the Community edition",
        ),
        None => ok("TimescaleDB", "not installed in this database: engine postgres"),
    };
    Ok(vec![version, extension])
}

async fn settings(client: &Client) -> Result<Vec<Finding>, StorageError> {
    let row = client.query_one(include_str!("../../sql/queries/doctor_settings.sql"), &[]).await?;
    let (commit, fsync, pages): (String, String, String) = (row.get(0), row.get(1), row.get(2));
    let (buffers, locks, wal): (i64, i64, i64) = (row.get(3), row.get(4), row.get(5));
    let (connections_max, connections): (i64, i64) = (row.get(6), row.get(7));
    let mib = |bytes: i64| format!("{} MiB", bytes >> 20);
    let lost = "an event answered 200 can be lost in a crash; set it to on";
    let durable = |check, value: &str, right: bool| {
        if right { ok(check, value) } else { bad(check, FindingState::Failed, value, lost) }
    };
    Ok(vec![
        durable("synchronous_commit", &commit, commit != "off"),
        durable("fsync", &fsync, fsync == "on"),
        durable("full_page_writes", &pages, pages == "on"),
        expect(
            "shared_buffers",
            buffers >= 128 << 20,
            mib(buffers),
            "set it to a quarter of the memory, at least 128MB",
        ),
        expect(
            "max_locks_per_transaction",
            locks >= MAX_LOCKS_PER_TRANSACTION_MIN,
            locks.to_string(),
            "set it to 1024 and restart the server: dropping a year of chunks takes a lock for each",
        ),
        expect(
            "max_wal_size",
            wal >= 1 << 30,
            mib(wal),
            "set it to 4GB: checkpoints forced by volume halve throughput",
        ),
        expect(
            "connections",
            connections * 10 <= connections_max * 8,
            format!("{connections} of {connections_max} used"),
            "raise max_connections, or lower writers and readers",
        ),
    ])
}

async fn clock(client: &Client) -> Result<Finding, StorageError> {
    let before = Timestamp::now();
    let server: Timestamp = client.query_one("SELECT clock_timestamp()", &[]).await?.get(0);
    let after = Timestamp::now();
    // The server's answer lies between the two; what lies outside is skew.
    let skew_ms =
        (before.as_millisecond() - server.as_millisecond()).max(server.as_millisecond() - after.as_millisecond());
    Ok(expect(
        "clock",
        skew_ms <= SKEW_MS_MAX,
        format!("{} ms apart", skew_ms.max(0)),
        "synchronise the clocks of this machine and the database's (NTP)",
    ))
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
        ok("schema", format!("engine {}, all migrations applied", layout.engine()))
    } else {
        bad(
            "schema",
            FindingState::Failed,
            format!("{standing:?}"),
            "tidegate migrate applies what is pending; altered or unknown migrations need the Tidegate version that applied them",
        )
    };
    let mut findings = vec![schema];
    if layout.has_hypertables() && standing.is_current() {
        findings.push(match prove_direct_compress(location.writer(), layout).await {
            Ok(()) if layout.direct_compress() => ok("direct compress", "COPY goes straight into the columnstore"),
            Ok(()) => ok("direct compress", "not used: the profile is rowstore"),
            Err(error) => bad("direct compress", FindingState::Failed, error.to_string(), "see the message"),
        });
        findings.push(hidden_rows(client).await?);
    }
    let letters = client
        .query_one(
            "SELECT count(*), max(failed_at)::text FROM dead_letter_events WHERE failed_at > now() - INTERVAL '1 day'",
            &[],
        )
        .await?;
    let (count, last): (i64, Option<String>) = (letters.get(0), letters.get(1));
    findings.push(expect(
        "dead letters",
        count == 0,
        last.map_or("none in the last day".to_owned(), |last| format!("{count} in the last day, the last at {last}")),
        "GET /v1/dead-letters says what was wrong with each",
    ));
    Ok(findings)
}

/// What the seed's daily, weekly and monthly tasks look at; nothing on a schema that is not this version's.
async fn upkeep(client: &Client, location: &Location, config: &Config) -> Result<Vec<Finding>, StorageError> {
    let Some(layout) = standing_layout(client).await? else { return Ok(Vec::new()) };
    if !migrations::standing(client, layout).await?.pending.is_empty() {
        return Ok(Vec::new());
    }
    let status = LifecycleStatus::of(client, layout, config).await?;
    let mut findings = storage::findings(client, &status, config).await?;
    findings.extend(jobs::findings(client, layout, &status, config).await?);
    findings.push(reads::finding(client, location).await?);
    Ok(findings)
}

/// Rows beside a columnstore that readers take for complete.
async fn hidden_rows(client: &Client) -> Result<Finding, StorageError> {
    let mut hidden = Vec::new();
    for row in client.query(include_str!("../../sql/queries/hidden_rows.sql"), &[]).await? {
        let chunk: String = row.get(0);
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

fn roles(config: &Config) -> Finding {
    let database = &config.database;
    let separate = database.database_url.is_none() || (database.writer_url.is_some() && database.reader_url.is_some());
    expect(
        "roles",
        separate,
        if separate {
            "ingest and query paths have their own roles"
        } else {
            "the owner's role carries ingest and queries"
        },
        "set writer_url (tidegate_writer) and reader_url (tidegate_reader), so that neither path can change what it must not",
    )
}
