//! What there is of an organization beside its rows: files of this machine's spool, and backups.

use crate::backup::Folder;
use crate::config::Config;
use crate::ingest::spool::kept::{self, Kept};
use crate::ingest::spool::{Disk, SpoolPlace, look};
use crate::storage::StorageError;

pub(super) fn unusable(config: &Config, error: &std::io::Error) -> StorageError {
    let place = SpoolPlace::of(&config.data_dir, config.spool.max_bytes);
    StorageError::fatal(format!("the spool in {} cannot be read: {error}", place.dir.display()))
}

/// Requests of it that could not be written.
pub(super) fn quarantined(config: &Config, tenant_id: &str) -> Result<Vec<Kept>, StorageError> {
    let place = SpoolPlace::of(&config.data_dir, config.spool.max_bytes);
    if !place.dir.is_dir() {
        return Ok(Vec::new());
    }
    let kept = kept::quarantined(&Disk, &place.dir).map_err(|error| unusable(config, &error))?;
    let of_it = |kept: &Kept| kept.request().is_some_and(|request| *request.received.tenant_id == *tenant_id);
    Ok(kept.into_iter().filter(of_it).collect())
}

/// Whether something waits in this machine's spool, which would be written afterwards.
pub(super) fn waiting(config: &Config) -> Result<Option<String>, StorageError> {
    let place = SpoolPlace::of(&config.data_dir, config.spool.max_bytes);
    let seen = look(&Disk, &place.dir).map_err(|error| unusable(config, &error))?;
    let records = seen.map_or(0, |seen| seen.stats.undrained.records);
    Ok((records > 0).then(|| {
        format!(
            "{records} requests wait in the spool of this machine, and may be of it: run it again when they are written"
        )
    }))
}

pub(super) fn backups(config: &Config) -> Result<Vec<String>, StorageError> {
    if !config.backup.dir.is_dir() {
        return Ok(Vec::new());
    }
    let (backups, unreadable) = Folder::at(&config.backup.dir).list()?;
    Ok(backups.into_iter().map(|backup| backup.id).chain(unreadable.into_iter().map(|backup| backup.id)).collect())
}
