//! What the parts of making and restoring a backup tell each other.

use std::path::Path;

use jiff::Timestamp;
use tokio_postgres::Client;

use super::contents::Contents;
use super::manifest::{Kind, WalStart};
use crate::files;
use crate::storage::{StorageError, standing_layout};

/// In the data directory, and in a backup.
pub(super) const MASK_KEY: &str = "mask.key";

/// What the server says of itself.
pub(super) struct About {
    pub engine: &'static str,
    pub postgres: String,
    pub timescaledb: Option<String>,
    pub system_identifier: String,
    /// Of the databases that are backed up.
    pub bytes: u64,
}

/// What was made, before it has its name.
pub(super) struct Made {
    pub kind: Kind,
    pub began: Timestamp,
    pub before: Contents,
    pub after: Contents,
    pub wal: Option<WalStart>,
}

impl About {
    pub async fn of(client: &Client) -> Result<Self, StorageError> {
        let layout = standing_layout(client).await?;
        let layout = layout
            .ok_or_else(|| StorageError::not_ready("the schema is not installed: there is nothing to back up"))?;
        let row = client
            .query_one(
                "SELECT current_setting('server_version'), (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'), \
                 (SELECT system_identifier::text FROM pg_control_system()), pg_database_size(current_database())",
                &[],
            )
            .await?;
        let postgres: String = row.get(0);
        let bytes: i64 = row.get(3);
        Ok(Self {
            engine: layout.engine(),
            // Without what a distribution adds to it.
            postgres: postgres.split_whitespace().next().unwrap_or_default().to_owned(),
            timescaledb: row.get(1),
            system_identifier: row.get(2),
            bytes: bytes.unsigned_abs(),
        })
    }
}

/// Copies a file that only its owner reads, where it is there.
pub(super) fn copy_secret(from: &Path, to: &Path) -> Result<(), StorageError> {
    match std::fs::read(from) {
        Ok(bytes) => files::replace(to, &bytes, None)
            .map_err(|error| StorageError::fatal(format!("cannot write {}: {error}", to.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StorageError::fatal(format!("cannot read {}: {error}", from.display()))),
    }
}
