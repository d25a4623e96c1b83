//! Which engine a server gives: TimescaleDB Community, or PostgreSQL alone.

use std::sync::Arc;

use tokio_postgres::{Client, Config as PgConfig};

use super::connect::{Warnings, connect_to};
use super::{Layout, StorageError, standing_layout};
use crate::config::{DatabaseConfig, EngineChoice};
use crate::limits::POSTGRES_MAJOR_MIN;

#[derive(Debug, Clone)]
pub struct Detected {
    /// How a new database is laid out on it.
    pub layout: Layout,
    /// Why, for the log at start and for `doctor`.
    pub reason: String,
}

/// First TimescaleDB release that has what direct compress into the columnstore needs.
const TIMESCALEDB_VERSION_MIN: (u32, u32, u32) = (2, 28, 1);

/// Looks at the server and says which engine it would get; changes nothing but may create the extension, which
/// `auto` needs to know whether it works here.
pub async fn detect(url: &PgConfig, config: &DatabaseConfig) -> Result<Detected, StorageError> {
    let native = |reason: String| Ok(Detected { layout: Layout::Native, reason });
    let warnings = Arc::new(Warnings::default());
    let (client, _task) = connect_to(url, Arc::clone(&warnings)).await?;
    let version: i32 = client.query_one("SELECT current_setting('server_version_num')::int", &[]).await?.get(0);
    let major = version / 10_000;
    if u32::try_from(major).unwrap_or(0) < POSTGRES_MAJOR_MIN {
        return Err(StorageError::not_ready(format!(
            "the server is PostgreSQL {major}; Tidegate needs {POSTGRES_MAJOR_MIN} or newer: upgrade it"
        )));
    }
    if config.engine == EngineChoice::Postgres {
        return native("engine = postgres is configured".into());
    }
    // A database that was made without it goes on so, and the extension is not made for nothing: a server that is started with
    // engine = postgres does not load it, and then refuses what touches it.
    if standing_layout(&client).await?.is_some_and(|layout| !layout.has_hypertables()) {
        let layout = match config.engine {
            EngineChoice::Auto | EngineChoice::Postgres => Layout::Native,
            EngineChoice::Timescale => Layout::of_hypertables(config.storage_profile),
        };
        return Ok(Detected { layout, reason: "this database was made without TimescaleDB".into() });
    }
    let no = |why: String| match config.engine {
        EngineChoice::Timescale => Err(StorageError::not_ready(format!("engine = timescale is configured, but {why}"))),
        EngineChoice::Auto | EngineChoice::Postgres => native(why),
    };
    if !extension_works(url, &client).await? {
        return no("TimescaleDB is not installed, or not in shared_preload_libraries, on this server".into());
    }
    // A fresh connection: one that was open before CREATE EXTENSION has not loaded the library.
    let (client, _task) = connect_to(url, warnings).await?;
    let row = client
        .query_one(
            "SELECT extversion, current_setting('timescaledb.license', true) FROM pg_extension WHERE extname = 'timescaledb'",
            &[],
        )
        .await?;
    let (version, license): (String, Option<String>) = (row.get(0), row.get(1));
    if license.as_deref() != Some("timescale") {
        return no(format!(
            "this server has TimescaleDB {version} in its Apache-2 edition, which lacks compression and continuous \
             aggregates; install the Community edition (timescaledb.license = timescale)"
        ));
    }
    if version_of(&version) < TIMESCALEDB_VERSION_MIN {
        return no(format!("this server has TimescaleDB {version}; 2.28.1 or newer is needed: update the extension"));
    }
    let layout = Layout::of_hypertables(config.storage_profile);
    Ok(Detected { layout, reason: format!("TimescaleDB {version} Community found") })
}

/// Whether the extension is in the database, trying to create it when the server offers it.
async fn extension_works(url: &PgConfig, client: &Client) -> Result<bool, StorageError> {
    let row = client
        .query_one(
            "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb'), \
             EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')",
            &[],
        )
        .await?;
    let (installed, available): (bool, bool) = (row.get(0), row.get(1));
    if installed || !available {
        return Ok(installed);
    }
    // On its own connection: without preloading, CREATE EXTENSION ends the session that tried.
    let (trial, _task) = connect_to(url, Arc::new(Warnings::default())).await?;
    let create = "SET client_min_messages = error; SELECT pg_advisory_xact_lock(hashtextextended('tidegate.extension', 0)); \
                  CREATE EXTENSION IF NOT EXISTS timescaledb WITH SCHEMA public";
    Ok(match trial.batch_execute(create).await {
        Ok(()) => true,
        Err(error) => {
            tracing::info!(error = %StorageError::from(error), "TimescaleDB is on the server but could not be created");
            false
        }
    })
}

fn version_of(text: &str) -> (u32, u32, u32) {
    let mut parts = text.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}

#[cfg(test)]
mod tests {
    use super::version_of;

    #[test]
    fn versions_compare_by_number() {
        assert!(version_of("2.28.3") >= super::TIMESCALEDB_VERSION_MIN);
        assert!(version_of("2.29.0-dev") >= super::TIMESCALEDB_VERSION_MIN);
        assert!(version_of("2.9.1") < super::TIMESCALEDB_VERSION_MIN);
        assert!(version_of("2.28.0") < super::TIMESCALEDB_VERSION_MIN);
    }
}
