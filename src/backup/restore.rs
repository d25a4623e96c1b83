//! Restores a base backup into a new data directory, and compares what came of it.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tokio_postgres::NoTls;

use super::base::FILES;
use super::contents::{Contents, Difference, differences};
use super::folder::Backup;
use crate::storage::embedded::{self, EmbeddedConfig, EmbeddedServer, PutBack, Until, put_back};
use crate::storage::{Role, StorageError, session_sql};

/// Recovery may replay WAL for as long as it took to write it.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(12 * 3600);

/// What came of a restore.
#[derive(Debug, Serialize)]
pub struct Restored {
    pub contents: Contents,
    /// Against what was counted when the backup was made; none is looked for in a later moment.
    pub differences: Vec<Difference>,
    /// The time of the newest commit that is in it.
    pub newest: Option<String>,
}

/// Makes the data directory `target` of a backup of the embedded server. Its server is stopped again.
pub async fn restore_base(backup: &Backup, target: &Path, durable: bool) -> Result<Restored, StorageError> {
    let what = PutBack { base: backup.path.join(FILES), wal: Vec::new(), until: Until::Backup };
    let config = config(backup, target, durable);
    let server = put_back(what, config).await.map_err(|error| StorageError::fatal(error.to_string()))?;
    let looked = look(&server).await;
    let stopped = server.stop().await.map_err(|error| StorageError::fatal(error.to_string()));
    let (contents, newest) = looked?;
    stopped?;
    let manifest = &backup.manifest;
    let differences = differences(&manifest.contents_before, &manifest.contents_after, &contents);
    Ok(Restored { contents, differences, newest })
}

/// A server for what a backup holds.
pub(super) fn config(backup: &Backup, data_dir: &Path, durable: bool) -> EmbeddedConfig {
    EmbeddedConfig {
        data_dir: data_dir.to_owned(),
        bin_dir: None,
        start_timeout: RECOVERY_TIMEOUT,
        durable,
        preload_timescaledb: backup.manifest.timescaledb.is_some(),
        extra_settings: Vec::new(),
    }
}

pub(super) async fn look(server: &EmbeddedServer) -> Result<(Contents, Option<String>), StorageError> {
    let config: tokio_postgres::Config = server.url(embedded::OWNER, embedded::DATABASE).parse()?;
    let (client, connection) = config.connect(NoTls).await?;
    // Ends with the client.
    tokio::spawn(connection);
    client.batch_execute(&session_sql(Role::Owner, "")).await?;
    let contents = Contents::of(&client).await?;
    let newest = client.query_one("SELECT max(at)::text FROM sequencer_ticks", &[]).await?.get(0);
    Ok((contents, newest))
}
