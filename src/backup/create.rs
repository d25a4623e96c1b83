//! Makes a backup, of whichever kind the database asks for.

use std::path::Path;

use jiff::Timestamp;
use tokio_postgres::Client;

use super::contents::Contents;
use super::folder::{Backup, Hold, Partial, bytes_of};
use super::manifest::{FORMAT, Kind, Manifest, WalStart, sha256};
use super::source::Source;
use super::{base, dump};
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

/// Makes a backup of the database.
pub async fn create(hold: &Hold, source: &Source) -> Result<Backup, StorageError> {
    let mut client = source.client().await?;
    let about = About::of(&client).await?;
    let partial = hold.begin()?;
    require_room(hold.folder().path(), about.bytes)?;
    keep_mask_key(&source.data_dir, partial.path())?;
    let made = if source.external {
        dump::make(partial.path(), source, &mut client, &about).await?
    } else {
        base::make(partial.path(), hold.folder().path(), source, &client, &about).await?
    };
    finish(partial, about, made).await
}

/// The secret of the hashes that masks put in place of values, where it is a file of the data directory: without it equal values
/// would get other hashes after a restore.
fn keep_mask_key(data_dir: &Path, folder: &Path) -> Result<(), StorageError> {
    copy_secret(&data_dir.join(MASK_KEY), &folder.join(MASK_KEY))
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

async fn finish(partial: Partial, about: About, made: Made) -> Result<Backup, StorageError> {
    let complete = move || {
        let bytes = bytes_of(partial.path())?;
        let sha256 = sha256(&partial.path().join(made.kind.hashed_file()))?;
        partial.finish(Manifest {
            format: FORMAT,
            kind: made.kind,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            postgres: about.postgres,
            timescaledb: about.timescaledb,
            engine: about.engine.to_owned(),
            system_identifier: about.system_identifier,
            began: made.began,
            ended: Timestamp::now(),
            bytes,
            sha256,
            wal: made.wal,
            contents_before: made.before,
            contents_after: made.after,
        })
    };
    let done = tokio::task::spawn_blocking(complete).await;
    done.map_err(|error| StorageError::fatal(format!("completing the backup ended: {error}")))?
}

impl About {
    async fn of(client: &Client) -> Result<Self, StorageError> {
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

/// Refuses before it is begun what cannot end well.
fn require_room(folder: &Path, bytes: u64) -> Result<(), StorageError> {
    let stat = nix::sys::statvfs::statvfs(folder)
        .map_err(|error| StorageError::fatal(format!("cannot look at {}: {error}", folder.display())))?;
    let free = stat.blocks_available() * stat.fragment_size();
    if free > bytes {
        return Ok(());
    }
    Err(StorageError::fatal(format!(
        "there are {} MiB free in {} and the database has {}: make room there, or set backup.dir to a larger disk",
        free >> 20,
        folder.display(),
        bytes >> 20
    )))
}
