//! Dumps of external databases, and what becomes of one: a database that was empty.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::process::Command;
use tokio_postgres::Client;

use super::base::major;
use super::contents::{Contents, differences};
use super::folder::Backup;
use super::made::{About, Made};
use super::manifest::Kind;
use super::restore::Restored;
use super::source::Source;
use crate::config::ConnectionUrl;
use crate::storage::embedded::Installation;
use crate::storage::{Role, StorageError, connect_to, needs, session_sql, tools};

/// Roles that a dump's GRANTs name; each must be there, or all of them fail.
const ROLES: [&str; 6] =
    ["tidegate_owner", "tidegate_writer", "tidegate_reader", "tidegate_people", "tidegate_tenants", "tidegate_sinks"];

/// Dumps the database as one snapshot sees it, which is what is counted.
pub(super) async fn make(
    folder: &Path,
    source: &Source,
    client: &mut Client,
    about: &About,
) -> Result<Made, StorageError> {
    // A pg_dump that is older than the server refuses; a newer one is taken.
    let installation = tools::installation(major(&about.postgres)?, true).await?;
    let began = Timestamp::now();
    let dump = async |snapshot: &str| {
        let mut command = program(&installation, &source.owner, snapshot);
        // Control tables have row-level security that holds for their owner too; who names no organization sees all of them.
        command.arg("--enable-row-security").arg("--file").arg(folder.join(Kind::Dump.hashed_file()));
        tools::run(command).await
    };
    let contents = in_snapshot(client, dump).await?;
    Ok(Made { kind: Kind::Dump, began, before: contents.clone(), after: contents, wal: None })
}

/// `pg_dump` of what a snapshot sees.
pub(super) fn program(installation: &Installation, url: &ConnectionUrl, snapshot: &str) -> Command {
    let mut command = tools::connected(&installation.program("pg_dump"), url);
    // Rights to PostgreSQL's own functions are put back by themselves: in a newer version these may have other arguments.
    command.args(["--format=custom", "--exclude-schema=pg_catalog", "--no-password"]);
    command.arg(format!("--snapshot={snapshot}"));
    command
}

/// What has chunks or partitions: locked, its parts are as well.
const PARENTS: &str = "SELECT DISTINCT inhparent::regclass::text FROM pg_inherits JOIN pg_class c ON c.oid = inhparent \
    WHERE c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid) OR c.relnamespace = to_regnamespace('_timescaledb_internal')";

/// Counts what a snapshot sees while `work` dumps it.
///
/// What is read is locked before the snapshot is taken: of a chunk that is recompressed between the two a snapshot sees
/// nothing, and neither dump nor counts would have its rows.
pub(super) async fn in_snapshot(
    client: &mut Client,
    work: impl AsyncFnOnce(&str) -> Result<(), StorageError>,
) -> Result<Contents, StorageError> {
    let rows = client.query(PARENTS, &[]).await?;
    let parents: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    let transaction = client.build_transaction().isolation_level(tokio_postgres::IsolationLevel::RepeatableRead);
    let transaction = transaction.read_only(true).start().await?;
    // It lasts as long as the dump.
    transaction
        .batch_execute("SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL statement_timeout = 0")
        .await?;
    if !parents.is_empty() {
        transaction.batch_execute(&format!("LOCK TABLE {} IN ACCESS SHARE MODE", parents.join(", "))).await?;
    }
    let snapshot: String = transaction.query_one("SELECT pg_export_snapshot()", &[]).await?.get(0);
    let contents = Contents::of(&transaction).await?;
    work(&snapshot).await?;
    transaction.rollback().await?;
    Ok(contents)
}

/// Restores into the database of `url`, which must hold nothing of Tidegate, and compares.
pub async fn restore_dump(backup: &Backup, url: &ConnectionUrl) -> Result<Restored, StorageError> {
    let manifest = &backup.manifest;
    let (client, _connection) = connect_to(url, Arc::default()).await?;
    require_empty(&client).await?;
    needs::require_server(&client).await?;
    require_roles(&client).await?;
    let number: i32 = client.query_one("SELECT current_setting('server_version_num')::int", &[]).await?.get(0);
    drop(client);
    let installation = tools::installation(number.unsigned_abs() / 10_000, true).await?;
    let dump = backup.path.join(Kind::Dump.hashed_file());
    let from_file = async |mut command: Command| {
        command.arg(dump);
        tools::run(command).await
    };
    let contents = fill(url, manifest.timescaledb.as_deref(), &installation, from_file).await?;
    let differences = differences(&manifest.contents_before, &manifest.contents_after, &contents);
    Ok(Restored { contents, differences, newest: None })
}

/// Fills an empty database, whole or not at all: `run` runs the `pg_restore` that it is given on a dump. Returns what is there then.
pub(super) async fn fill(
    url: &ConnectionUrl,
    timescaledb: Option<&str>,
    installation: &Installation,
    run: impl AsyncFnOnce(Command) -> Result<(), StorageError>,
) -> Result<Contents, StorageError> {
    let (client, _connection) = connect_to(url, Arc::default()).await?;
    if let Some(version) = timescaledb {
        extension(&client, version).await?;
        client.batch_execute("SELECT timescaledb_pre_restore()").await?;
    }
    let mut command = tools::connected(&installation.program("pg_restore"), url);
    let database = url.server.get_dbname().or(url.server.get_user()).unwrap_or("postgres");
    command.args(["--exit-on-error", "--single-transaction", "--no-password"]).arg(format!("--dbname={database}"));
    let restored = run(command).await;
    if timescaledb.is_some() {
        client.batch_execute("SELECT timescaledb_post_restore()").await?;
    }
    restored?;
    client.batch_execute(include_str!("../../sql/queries/public_rights.sql")).await?;
    // Statistics are not part of a dump; without them the first plans are bad ones.
    client.batch_execute("ANALYZE").await?;
    drop(client);
    let (client, _connection) = connect_to(url, Arc::default()).await?;
    client.batch_execute(&session_sql(Role::Owner, "")).await?;
    Contents::of(&client).await
}

/// Refuses a database that has tables of anybody's.
pub(super) async fn require_empty(client: &Client) -> Result<(), StorageError> {
    let sql = "SELECT to_regnamespace('tidegate') IS NULL AND NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n \
               ON n.oid = c.relnamespace WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT EXISTS (SELECT FROM pg_depend d \
               WHERE d.objid = c.oid AND d.deptype = 'e')), current_database()";
    let row = client.query_one(sql, &[]).await?;
    let (empty, database): (bool, String) = (row.get(0), row.get(1));
    if empty {
        return Ok(());
    }
    Err(StorageError::fatal(format!(
        "the database {database} is not empty, and nothing is written over: make an empty one (CREATE DATABASE name OWNER \
         tidegate_owner) and name that"
    )))
}

async fn require_roles(client: &Client) -> Result<(), StorageError> {
    let sql = "SELECT ARRAY(SELECT role FROM unnest($1::text[]) role WHERE to_regrole(role) IS NULL)";
    let missing: Vec<String> = client.query_one(sql, &[&ROLES.as_slice()]).await?.get(0);
    if missing.is_empty() {
        return Ok(());
    }
    let make: Vec<String> = missing.iter().map(|role| format!("CREATE ROLE {role};")).collect();
    Err(StorageError::fatal(format!(
        "roles that the backup names are not on this server, and their logins and passwords are in no dump: make them first ({}), \
         or take them from the old server (pg_dumpall --globals-only)",
        make.join(" ")
    )))
}

async fn extension(client: &Client, version: &str) -> Result<(), StorageError> {
    let make = format!(
        "SET client_min_messages = error; CREATE EXTENSION IF NOT EXISTS timescaledb SCHEMA public VERSION '{version}'"
    );
    let made = client.batch_execute(&make).await;
    made.map_err(|error| {
        let needed = "which the rows are of, is needed in the database that they are restored into";
        StorageError::from(error).doing(&format!("TimescaleDB {version}, {needed}"))
    })?;
    let there: String =
        client.query_one("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'", &[]).await?.get(0);
    if there == version {
        return Ok(());
    }
    Err(StorageError::fatal(format!(
        "the database has TimescaleDB {there}, and the rows are of {version}: restore with the same version, then update"
    )))
}
