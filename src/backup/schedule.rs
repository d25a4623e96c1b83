//! Backups that `serve` makes by itself: one as often as `backup.every` says, the oldest removed, and the WAL in between.

use std::time::Duration;

use jiff::{Timestamp, Unit};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::create::create;
use super::folder::{Backup, Folder, Hold};
use super::source::Source;
use super::{owner, wal};
use crate::config::BackupConfig;
use crate::storage::StorageError;

/// Between two looks whether one is due.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How often, and how long each time, an archive of WAL is waited for that is about to begin.
const ARCHIVE_LOOKS: u32 = 120;
const ARCHIVE_PAUSE: Duration = Duration::from_millis(500);
/// After one that failed, at least.
const AGAIN_AFTER: Duration = Duration::from_secs(300);

/// The tasks that make backups.
pub struct Schedule {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Schedule {
    /// Begins, where backups are to be made.
    pub fn start(source: Source, config: &BackupConfig) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = Vec::new();
        match config.every {
            Some(every) => {
                if !source.external {
                    tasks.push(tokio::spawn(wal::keep(source.clone(), config.dir.clone(), stopped.clone())));
                }
                tasks.push(tokio::spawn(keep(source, config.clone(), every, stopped)));
            }
            // Of an earlier configuration: the server must not keep WAL for an archive that nobody writes.
            None if !source.external => tasks.push(tokio::spawn(give_up(source))),
            None => {}
        }
        Self { stop, tasks }
    }

    /// Ends them; a backup that is being made is given up.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            // It ends by the message; one that failed has said so.
            let _ = task.await;
        }
    }
}

async fn give_up(source: Source) {
    let done = async {
        let client = source.superuser().await?;
        wal::give_up(&client).await
    };
    if let Err(error) = done.await {
        tracing::warn!(%error, "the server may keep WAL for an archive of backups that is not written any more");
    }
}

async fn keep(source: Source, config: BackupConfig, every: Duration, mut stop: watch::Receiver<bool>) {
    let folder = Folder::at(&config.dir);
    let mut is_own = false;
    loop {
        let mut pause = LOOK_EVERY;
        if !is_own {
            match is_own_folder(&source, &folder).await {
                Ok(known) => is_own = known,
                Err(error) if error.is_retryable() => {}
                Err(error) => {
                    failed(&config, &error, AGAIN_AFTER);
                    tokio::select! {
                        () = tokio::time::sleep(AGAIN_AFTER) => continue,
                        () = wal::stopped(&mut stop) => return,
                    }
                }
            }
        }
        let archive = tokio::select! {
            archive = archive(&source, &folder) => archive,
            () = wal::stopped(&mut stop) => return,
        };
        if is_due(&folder, every, archive.as_deref()) {
            let made = tokio::select! {
                made = make(&folder, &source, config.keep) => made,
                () = wal::stopped(&mut stop) => return,
            };
            match made {
                Ok(Some(backup)) => {
                    let (id, mib) = (&backup.id, backup.manifest.bytes >> 20);
                    tracing::info!(id, mib, folder = %config.dir.display(), "a backup is made");
                    note(&backup);
                }
                // Another process is at it.
                Ok(None) => {}
                Err(error) => {
                    pause = AGAIN_AFTER.min(every);
                    failed(&config, &error, pause);
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = wal::stopped(&mut stop) => return,
        }
    }
}

/// Whether what is in the folder is this installation's; false where nothing is known yet.
async fn is_own_folder(source: &Source, folder: &Folder) -> Result<bool, StorageError> {
    owner::check(folder.path(), &source.client().await?).await
}

fn failed(config: &BackupConfig, error: &StorageError, again: Duration) {
    metrics::counter!("tidegate_backup_failures_total").increment(1);
    tracing::error!(folder = %config.dir.display(), %error, again_s = again.as_secs(), "no backup could be made");
}

/// The archive of WAL that is written now. One that is about to begin is waited for: a base backup that is made before it cannot go on in
/// it.
async fn archive(source: &Source, folder: &Folder) -> Option<String> {
    if source.external {
        return None;
    }
    for _ in 0..ARCHIVE_LOOKS {
        let look = async { wal::standing(&source.superuser().await?, folder.path()).await };
        match look.await {
            Ok(None) => tokio::time::sleep(ARCHIVE_PAUSE).await,
            Ok(found) => return found,
            // It is said where the archive is written.
            Err(_error) => return None,
        }
    }
    None
}

/// Whether the newest one is older than that, or none goes on in this archive of WAL. Where it cannot be known one is tried, which
/// says why not.
fn is_due(folder: &Folder, every: Duration, archive: Option<&str>) -> bool {
    let Ok((found, _unreadable)) = folder.list() else { return true };
    let goes_on = |backup: &Backup| backup.manifest.wal.as_ref().map(|start| start.archive.as_str()) == archive;
    if archive.is_some() && !found.iter().any(|backup| backup.is_good() && goes_on(backup)) {
        return true;
    }
    let Some(newest) = found.into_iter().rfind(Backup::is_good) else { return true };
    note(&newest);
    let age = Timestamp::now().since((Unit::Second, newest.manifest.ended)).map_or(0, |age| age.get_seconds());
    // One of the future was made before the clock was set back.
    age < 0 || age.unsigned_abs() >= every.as_secs()
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floating point")]
fn note(newest: &Backup) {
    metrics::gauge!("tidegate_backup_newest_seconds").set(newest.manifest.ended.as_second() as f64);
    metrics::gauge!("tidegate_backup_bytes").set(newest.manifest.bytes as f64);
}

async fn make(folder: &Folder, source: &Source, kept: usize) -> Result<Option<Backup>, StorageError> {
    let hold = match folder.hold() {
        Ok(hold) => hold,
        Err(error) if error.is_retryable() => return Ok(None),
        Err(error) => return Err(error),
    };
    let backup = create(&hold, source).await?;
    prune(&hold, kept, source).await?;
    Ok(Some(backup))
}

/// Removes what is older than the oldest of the `kept` newest good backups, and the WAL that none of what is left needs. What was
/// removed.
pub async fn prune(hold: &Hold, kept: usize, source: &Source) -> Result<Vec<String>, StorageError> {
    let (found, _unreadable) = hold.folder().list()?;
    let (left, removed) = split(found, kept);
    for backup in &removed {
        hold.remove(backup)?;
        tracing::info!(id = backup.id, "a backup beyond backup.keep is removed");
    }
    let current =
        if source.external { None } else { wal::standing(&source.superuser().await?, hold.folder().path()).await? };
    wal::prune(hold.folder().path(), &left, current.as_deref())?;
    Ok(removed.into_iter().map(|backup| backup.id).collect())
}

/// What is kept, and what is removed, of backups whose newest is the last.
fn split(mut found: Vec<Backup>, kept: usize) -> (Vec<Backup>, Vec<Backup>) {
    let mut good = 0;
    let oldest = found.iter().rposition(|backup| {
        good += usize::from(backup.is_good());
        good == kept
    });
    let left = found.split_off(oldest.unwrap_or(0));
    (left, found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::super::contents::Contents;
    use super::super::manifest::{FORMAT, Kind, Manifest, Verified};
    use super::*;

    fn backups(good: &[bool]) -> Vec<Backup> {
        let backup = |(n, good): (usize, &bool)| Backup {
            id: n.to_string(),
            path: n.to_string().into(),
            manifest: Manifest {
                format: FORMAT,
                kind: Kind::Base,
                version: String::new(),
                postgres: "15.20".into(),
                timescaledb: None,
                engine: "postgres".into(),
                system_identifier: String::new(),
                began: Timestamp::UNIX_EPOCH,
                ended: Timestamp::UNIX_EPOCH,
                bytes: 0,
                sha256: String::new(),
                wal: None,
                contents_before: Contents::default(),
                contents_after: Contents::default(),
            },
            verified: Some(Verified { at: Timestamp::UNIX_EPOCH, good: *good, restored: false }),
        };
        good.iter().enumerate().map(backup).collect()
    }

    #[test]
    fn the_newest_good_ones_are_kept() {
        let removed = |good: &[bool], kept| {
            let (left, removed) = split(backups(good), kept);
            assert_eq!(left.len() + removed.len(), good.len());
            removed.iter().map(|backup| backup.id.clone()).collect::<String>()
        };
        assert_eq!(removed(&[true; 4], 2), "01");
        assert_eq!(removed(&[true; 4], 4), "");
        assert_eq!(removed(&[true; 4], 9), "");
        assert_eq!(removed(&[], 1), "");
        // Damaged ones do not count, and the last good one never goes.
        assert_eq!(removed(&[true, true, false, false], 1), "0");
        assert_eq!(removed(&[true, false, true, false], 2), "");
        assert_eq!(removed(&[false, false, false], 1), "");
    }
}
