//! Whether a backup is as it was made, and whether it can be restored.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use super::base::{FILES, major};
use super::contents::Difference;
use super::dump::restore_dump;
use super::folder::{Backup, Folder};
use super::manifest::{Kind, Verified, sha256};
use super::restore::{Moment, Restored, config, restore_base};
use crate::config::ConnectionUrl;
use crate::files;
use crate::storage::embedded::{self, EmbeddedError, EmbeddedServer};
use crate::storage::{StorageError, tools};

/// What was found of a backup.
#[derive(Debug, Serialize)]
pub struct Found {
    pub id: String,
    pub good: bool,
    /// What is wrong with its bytes, or kept it from being restored.
    pub damage: Option<String>,
    pub restored: bool,
    pub differences: Vec<Difference>,
}

impl Found {
    /// What is noted beside it.
    pub fn verified(&self) -> Verified {
        Verified { at: Timestamp::now(), good: self.good, restored: self.restored }
    }
}

/// Reads all of it and, with `scratch`, restores it there, compares, and removes what was restored.
pub async fn verify(container: &Folder, backup: &Backup, scratch: Option<&Path>) -> Result<Found, StorageError> {
    let mut found = Found { id: backup.id.clone(), good: true, damage: None, restored: false, differences: Vec::new() };
    if let Some(damage) = damage(backup).await? {
        found.good = false;
        found.damage = Some(damage);
        return Ok(found);
    }
    let Some(scratch) = scratch else { return Ok(found) };
    let folder = Scratch::make(scratch)?;
    let restored = match backup.manifest.kind {
        Kind::Base => restore_base(container, backup, &folder.0.join("data"), Moment::OfBackup, false).await,
        Kind::Dump => restore_in_scratch(backup, &folder.0.join("data")).await,
    };
    match restored {
        Ok(restored) => {
            found.restored = true;
            found.good = restored.differences.is_empty();
            found.differences = restored.differences;
        }
        Err(error) => {
            found.good = false;
            found.damage = Some(format!("it cannot be restored: {error}"));
        }
    }
    Ok(found)
}

/// A dump needs a server to go into: one that has what `tidegate serve` gives its own.
async fn restore_in_scratch(backup: &Backup, data_dir: &Path) -> Result<Restored, StorageError> {
    let fatal = |error: EmbeddedError| StorageError::fatal(error.to_string());
    let server = EmbeddedServer::start(config(backup, data_dir, false)).await.map_err(fatal)?;
    let url = server.url(embedded::SUPERUSER, embedded::DATABASE).parse();
    let restored = match url.map(ConnectionUrl::plain) {
        Ok(url) => restore_dump(backup, &url).await,
        Err(error) => Err(error.into()),
    };
    server.stop().await.map_err(fatal)?;
    restored
}

/// Refuses a backup whose bytes are not as they were made: a server comes up on damage that it has not read yet.
pub async fn require_undamaged(backup: &Backup) -> Result<(), StorageError> {
    match damage(backup).await? {
        None => Ok(()),
        Some(damage) => Err(StorageError::fatal(format!(
            "the backup {} is damaged, and nothing is restored of it: {damage}. tidegate backup list shows older ones; --damaged restores \
             what can be read of this one",
            backup.id
        ))),
    }
}

/// What of its bytes is not as it was made.
async fn damage(backup: &Backup) -> Result<Option<String>, StorageError> {
    let (manifest, kind) = (&backup.manifest, backup.manifest.kind);
    let hashed = backup.path.join(kind.hashed_file());
    let shown = hashed.display().to_string();
    let hash = tokio::task::spawn_blocking(move || sha256(&hashed)).await;
    match hash.map_err(|error| StorageError::fatal(format!("reading the backup ended: {error}")))? {
        Ok(hash) if hash == manifest.sha256 => {}
        Ok(_) => return Ok(Some(format!("{shown} is not what was written: its SHA-256 is another one"))),
        Err(error) => return Ok(Some(error.to_string())),
    }
    match kind {
        Kind::Base => {
            let installation = tools::installation(major(&manifest.postgres)?, false).await?;
            let mut command = tools::program(&installation.program("pg_verifybackup"));
            // The WAL is read by another program beside it.
            command.arg("--quiet").arg(backup.path.join(FILES));
            Ok(tools::run(command).await.err().map(|error| error.to_string()))
        }
        Kind::Dump => Ok(None),
    }
}

/// A folder that is removed with what is in it.
struct Scratch(PathBuf);

impl Scratch {
    fn make(parent: &Path) -> Result<Self, StorageError> {
        let path = parent.join(format!("tidegate-verify-{}", std::process::id()));
        // What a process of this number has left that was killed.
        let _ = std::fs::remove_dir_all(&path);
        files::passable_dirs(&path)
            .map_err(|error| StorageError::fatal(format!("cannot make {}: {error}", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(folder = %self.0.display(), %error, "what was restored for a look could not be removed");
        }
    }
}
