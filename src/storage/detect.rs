//! Which engine a server gives: TimescaleDB Community, or PostgreSQL alone.

use std::sync::Arc;

use tokio_postgres::Client;

use super::connect::{Warnings, connect_to};
use super::extension::Extension;
use super::{Layout, StorageError, citus, standing_layout};
use crate::config::{ConnectionUrl, DatabaseConfig, EngineChoice};

#[derive(Debug, Clone)]
pub struct Detected {
    /// How a new database is laid out on it.
    pub layout: Layout,
    /// Why, for the log at start and for `doctor`.
    pub reason: String,
}

/// The reason where a database goes on as what it was made as, whatever its server could do for a new one.
pub(super) const MADE_WITH_IT: &str = "this database was made with it";

/// Looks at the server and says which engine it would get; changes nothing but may create the extension, which
/// `auto` needs to know whether it works here.
pub async fn detect(url: &ConnectionUrl, config: &DatabaseConfig) -> Result<Detected, StorageError> {
    let (client, _task) = connect_to(url, Arc::new(Warnings::default())).await?;
    detect_on(&client, url, config).await
}

/// The same on a connection that is there.
pub(super) async fn detect_on(
    client: &Client,
    url: &ConnectionUrl,
    config: &DatabaseConfig,
) -> Result<Detected, StorageError> {
    let native = |reason: String| Ok(Detected { layout: Layout::Native, reason });
    if config.engine == EngineChoice::Postgres {
        return native("engine = postgres is configured".into());
    }
    if config.engine == EngineChoice::Citus {
        return Ok(Detected { layout: Layout::Citus, reason: citus::require(client).await? });
    }
    // A database that was made without it goes on so, and the extension is not made for nothing: a server that is started with
    // engine = postgres does not load it, and then refuses what touches it.
    let standing = standing_layout(client).await?;
    if let Some(layout) = standing.filter(|layout| !layout.has_hypertables()) {
        let layout = match config.engine {
            EngineChoice::Auto => layout,
            EngineChoice::Postgres | EngineChoice::Citus => Layout::Native,
            EngineChoice::Timescale => Layout::of_hypertables(config.storage_profile),
        };
        return Ok(Detected { layout, reason: MADE_WITH_IT.into() });
    }
    let no = |why: String| match config.engine {
        EngineChoice::Timescale => Err(StorageError::not_ready(format!("engine = timescale is configured, but {why}"))),
        EngineChoice::Auto | EngineChoice::Postgres | EngineChoice::Citus => native(why),
    };
    if !extension_works(url, client).await? {
        return no("TimescaleDB is not installed, or not in shared_preload_libraries, on this server".into());
    }
    // One that was open before CREATE EXTENSION has not loaded the library; where there are hypertables it was made long ago.
    let fresh = if standing.is_some() { None } else { Some(connect_to(url, Arc::new(Warnings::default())).await?) };
    let client = fresh.as_ref().map_or(client, |(fresh, _task)| fresh);
    let Some(extension) = Extension::look(client).await? else {
        return no("TimescaleDB was taken out of this database at this moment".into());
    };
    if let Some((fault, mend)) = extension.fault() {
        return no(format!("{fault}; {mend}"));
    }
    let version = extension.version;
    let sql = "SELECT split_part(current_setting('server_version'), ' ', 1)";
    let postgres: String = client.query_one(sql, &[]).await?.get(0);
    let layout = Layout::of_hypertables(config.storage_profile);
    Ok(Detected { layout, reason: format!("TimescaleDB {version} Community on PostgreSQL {postgres}") })
}

/// Whether the extension is in the database, trying to create it when the server offers it.
async fn extension_works(url: &ConnectionUrl, client: &Client) -> Result<bool, StorageError> {
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
    let create = "SET client_min_messages = error; CREATE EXTENSION IF NOT EXISTS timescaledb WITH SCHEMA public";
    let Err(error) = trial.batch_execute(create).await else { return Ok(true) };
    // Of two that make it at once one fails, when the other is done.
    let sql = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')";
    let made: bool = client.query_one(sql, &[]).await?.get(0);
    if !made {
        tracing::info!(error = %StorageError::from(error), "TimescaleDB is on the server but could not be created");
    }
    Ok(made)
}
