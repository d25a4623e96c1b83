//! From "the process runs" to "Tidegate can log in": waits until the server answers, then puts the roles, the database,
//! its settings and the extensions in place. Every step may be repeated, so it runs at every start.

use std::path::Path;
use std::time::Duration;

use tokio::process::Child;
use tokio::time::Instant;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use super::config::{DATABASE, OWNER, SUPERUSER};
use super::error::EmbeddedError;
use super::lock::Running;
use super::logs;

const ROLES_SQL: &str = include_str!("../../../sql/embedded/roles.sql");
const DATABASE_SQL: &str =
    concat!(include_str!("../../../sql/embedded/database.sql"), include_str!("../../../sql/queries/public_rights.sql"));

const CONNECT_RETRY: Duration = Duration::from_millis(50);
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// Waits until the server accepts a connection, which after a crash can take as long as replaying its log.
pub(super) async fn wait_ready(
    server: &mut Child,
    running: &Running,
    cluster: &Path,
    timeout: Duration,
) -> Result<(), EmbeddedError> {
    let began = Instant::now();
    let mut progress_at = began + PROGRESS_EVERY;
    let mut last_refusal = "it accepted no connection".to_owned();
    loop {
        let attempt = tokio::time::timeout_at(began + timeout, connect(running, "postgres"));
        tokio::select! {
            ended = server.wait() => return Err(exited(ended, cluster)),
            connected = attempt => match connected {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) if still_starting(&error) => {
                    last_refusal = EmbeddedError::database("log in", error).to_string();
                }
                Ok(Err(error)) => return Err(EmbeddedError::database("log in", error)),
                Err(_) => {}
            },
        }
        let now = Instant::now();
        if now >= began + timeout {
            return Err(EmbeddedError::new(format!(
                "embedded PostgreSQL in {} did not become ready within {} s ({last_refusal}); a long crash recovery \
                 goes on where it was at the next start. Its log ends:\n{}",
                cluster.display(),
                timeout.as_secs(),
                logs::tail(cluster)
            )));
        }
        if now >= progress_at {
            progress_at = now + PROGRESS_EVERY;
            tracing::info!(waited_s = began.elapsed().as_secs(), "waiting for PostgreSQL to become ready");
        }
        tokio::time::sleep(CONNECT_RETRY).await;
    }
}

fn exited(ended: std::io::Result<std::process::ExitStatus>, cluster: &Path) -> EmbeddedError {
    let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
    let (dir, tail) = (cluster.display(), logs::tail(cluster));
    EmbeddedError::new(format!("embedded PostgreSQL in {dir} ended while starting ({how}). Its log ends:\n{tail}"))
}

/// No socket yet, or a server that says itself that it is starting.
fn still_starting(error: &tokio_postgres::Error) -> bool {
    error.code().is_none_or(|code| *code == SqlState::CANNOT_CONNECT_NOW)
}

/// Roles, database, settings, extensions.
pub(super) async fn prepare(running: &Running, timescaledb: bool, stat_statements: bool) -> Result<(), EmbeddedError> {
    let client = connect(running, "postgres").await.map_err(|e| EmbeddedError::database("log in", e))?;
    client.batch_execute(ROLES_SQL).await.map_err(|e| EmbeddedError::database("create the roles", e))?;
    create_database(&client).await.map_err(|e| EmbeddedError::database("create the database", e))?;
    // What is taken from everybody in the one database, they would find in another.
    let sql = "REVOKE CONNECT, TEMPORARY ON DATABASE postgres, template1 FROM PUBLIC";
    client.batch_execute(sql).await.map_err(|e| EmbeddedError::database("close the other databases", e))?;
    if timescaledb {
        timescaledb_extension(running).await.map_err(|e| EmbeddedError::database("install TimescaleDB", e))?;
    }
    let client = connect(running, DATABASE).await.map_err(|e| EmbeddedError::database("log in", e))?;
    client.batch_execute(DATABASE_SQL).await.map_err(|e| EmbeddedError::database("set up the database", e))?;
    if stat_statements {
        let sql = "CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA public";
        client.batch_execute(sql).await.map_err(|e| EmbeddedError::database("install pg_stat_statements", e))?;
    }
    Ok(())
}

async fn create_database(client: &Client) -> Result<(), tokio_postgres::Error> {
    // CREATE DATABASE knows no IF NOT EXISTS and cannot run inside a DO block.
    if client.query_opt("SELECT FROM pg_catalog.pg_database WHERE datname = $1", &[&DATABASE]).await?.is_none() {
        client.batch_execute(&format!("CREATE DATABASE {DATABASE} OWNER {OWNER}")).await?;
    }
    Ok(())
}

/// Installs TimescaleDB, or brings its objects to the version of the installed package: an upgraded package may no
/// longer carry the library of the older version.
async fn timescaledb_extension(running: &Running) -> Result<(), tokio_postgres::Error> {
    // The update has to be the first statement of a session, before the old library is loaded.
    match connect(running, DATABASE).await?.batch_execute("ALTER EXTENSION timescaledb UPDATE").await {
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_OBJECT) => {
            let client = connect(running, DATABASE).await?;
            // One that was made without it stays so: a start with engine = postgres does not load the library.
            let made = client.query_one("SELECT to_regclass('tidegate.installation') IS NOT NULL", &[]).await?;
            if made.get(0) {
                return Ok(());
            }
            client.batch_execute("CREATE EXTENSION IF NOT EXISTS timescaledb SCHEMA public").await
        }
        done => done,
    }
}

async fn connect(running: &Running, database: &str) -> Result<Client, tokio_postgres::Error> {
    let config: tokio_postgres::Config = running.url(SUPERUSER, database).parse()?;
    let (client, connection) = config.connect(NoTls).await?;
    // Ends when the client is dropped; what goes wrong on it fails the client's next call.
    tokio::spawn(connection);
    Ok(client)
}
