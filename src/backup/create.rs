//! Makes a backup, of whichever kind the database asks for.

use std::path::Path;

use jiff::Timestamp;
use tokio_postgres::Client;

use super::folder::{Backup, Hold, Partial, bytes_of};
use super::made::{About, MASK_KEY, Made, copy_secret};
use super::manifest::{FORMAT, Manifest, sha256};
use super::source::Source;
use super::{base, dump, owner};
use crate::files::free_bytes;
use crate::storage::{Layout, StorageError, standing_layout};

/// Makes a backup of the database.
pub async fn create(hold: &Hold, source: &Source) -> Result<Backup, StorageError> {
    let mut client = source.client().await?;
    let about = About::of(&client).await?;
    refuse_cells(&client).await?;
    owner::claim(hold.folder().path(), &client).await?;
    let partial = hold.begin()?;
    let advice = "make room there, or set backup.dir to a larger disk";
    require_room(hold.folder().path(), about.bytes, "the database has", advice)?;
    keep_mask_key(&source.data_dir, partial.path())?;
    let made = if source.external {
        dump::make(partial.path(), source, &mut client, &about).await?
    } else {
        base::make(partial.path(), hold.folder().path(), source, &client, &about).await?
    };
    finish(partial, about, made).await
}

/// A dump of the coordinator would have none of the workers' rows that it can be restored with, and says nothing of where shards are.
async fn refuse_cells(client: &Client) -> Result<(), StorageError> {
    if !standing_layout(client).await?.is_some_and(Layout::has_cells) {
        return Ok(());
    }
    Err(StorageError::not_ready(
        "a backup of engine = citus is one of each server, which Tidegate does not make: pg_basebackup of the coordinator and of every \
         worker, with their WAL archived, and SELECT citus_create_restore_point('NAME') now and then, a place to which all of them \
         are restored together (recovery_target_name); unset backup.every. OPERATIONS, \"Citus\", has the steps",
    ))
}

/// The secret of the hashes that masks put in place of values, where it is a file of the data directory: without it equal values
/// would get other hashes after a restore.
fn keep_mask_key(data_dir: &Path, folder: &Path) -> Result<(), StorageError> {
    copy_secret(&data_dir.join(MASK_KEY), &folder.join(MASK_KEY))
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

/// Refuses before it is begun what cannot end well. `what` needs the bytes, and `advice` is what to do where they are not there.
pub(super) fn require_room(folder: &Path, bytes: u64, what: &str, advice: &str) -> Result<(), StorageError> {
    let free = free_bytes(folder)
        .map_err(|error| StorageError::fatal(format!("cannot look at {}: {error}", folder.display())))?;
    if free > bytes {
        return Ok(());
    }
    Err(StorageError::fatal(format!(
        "there are {} MiB free in {} and {what} {}: {advice}",
        free >> 20,
        folder.display(),
        bytes >> 20
    )))
}
