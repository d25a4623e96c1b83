//! The archive of the embedded server's WAL, which a restore to any moment after a base backup reads.
//!
//! `pg_receivewal` writes it, as it comes, from a replication slot: what the archive does not have yet the server keeps, so that
//! nothing is missing where either was away. It keeps at most `max_slot_wal_keep_size`, so that a backup disk that is full or gone
//! never stops ingestion: past that the slot is lost, which is said, and another archive begins with another base backup.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Child;
use tokio::sync::watch;
use tokio_postgres::Client;
use uuid::Uuid;

use super::folder::{Backup, WAL_FOLDER, names};
use super::manifest::WalStart;
use super::owner;
use super::source::Source;
use crate::files;
use crate::storage::{StorageError, tools};

/// Our slots; the rest is the archive's name.
const SLOT: &str = "tidegate_backup_";
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Of a file's name: timeline and place, in hexadecimal digits.
const NAME_DIGITS: usize = 24;
const UNFINISHED: &str = ".partial";

/// A slot of ours.
#[derive(Debug)]
struct Slot {
    archive: String,
    /// False: the server has given up what the archive lacks.
    whole: bool,
    /// Somebody reads from it.
    active: bool,
}

/// Our slots of the server.
async fn slots(client: &Client) -> Result<Vec<Slot>, StorageError> {
    let sql = "SELECT substr(slot_name, length($1) + 1), wal_status IS DISTINCT FROM 'lost', active \
               FROM pg_replication_slots WHERE starts_with(slot_name, $1)";
    let rows = client.query(sql, &[&SLOT]).await?;
    let slot = |row: &tokio_postgres::Row| Slot { archive: row.get(0), whole: row.get(1), active: row.get(2) };
    Ok(rows.iter().map(slot).collect())
}

/// The archive that is written from now on; None where there is none.
pub(super) async fn standing(client: &Client, folder: &Path) -> Result<Option<String>, StorageError> {
    let slots = slots(client).await?;
    let here = |slot: &Slot| slot.whole && folder.join(WAL_FOLDER).join(&slot.archive).is_dir();
    Ok(slots.into_iter().find(here).map(|slot| slot.archive))
}

/// Lets the server keep nothing for archives any more.
pub(super) async fn give_up(client: &Client) -> Result<(), StorageError> {
    for slot in slots(client).await?.iter().filter(|slot| !slot.active) {
        client.execute("SELECT pg_drop_replication_slot($1)", &[&format!("{SLOT}{}", slot.archive)]).await?;
    }
    Ok(())
}

/// The first file of WAL that a base backup needs, by its label.
pub(super) fn first_file(base: &Path) -> Result<String, StorageError> {
    let path = base.join("backup_label");
    let text = std::fs::read_to_string(&path)
        .map_err(|error| StorageError::fatal(format!("cannot read {}: {error}", path.display())))?;
    let line = text.lines().find(|line| line.starts_with("START WAL LOCATION:"));
    let file = line.and_then(|line| line.split_once("(file ")?.1.strip_suffix(')'));
    file.map(str::to_owned)
        .ok_or_else(|| StorageError::fatal(format!("{} does not say where the WAL begins", path.display())))
}

/// What of the archive a restore of this base backup reads, with the names that the server asks for.
pub(super) fn files_for(folder: &Path, start: &WalStart, base: &Path) -> Result<Vec<(PathBuf, String)>, StorageError> {
    let archive = folder.join(WAL_FOLDER).join(&start.archive);
    let mut found = Vec::new();
    for name in names(&archive)? {
        let (segment, unfinished) = match name.strip_suffix(UNFINISHED) {
            Some(segment) => (segment, true),
            None => (name.as_str(), false),
        };
        if !is_segment(segment) || segment < start.first.as_str() {
            continue;
        }
        let path = archive.join(&name);
        // The server asks the archive first, and what lies in the backup may go further than a file that is being written.
        let own = base.join("pg_wal").join(segment);
        if unfinished && own.is_file() && written(&own)? > written(&path)? {
            continue;
        }
        found.push((path, segment.to_owned()));
    }
    Ok(found)
}

/// How far a file of WAL is written; the rest of it is zeros.
fn written(path: &Path) -> Result<usize, StorageError> {
    let bytes =
        std::fs::read(path).map_err(|error| StorageError::fatal(format!("cannot read {}: {error}", path.display())))?;
    Ok(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1))
}

/// Removes what no backup that is left needs: whole archives, and the beginning of others.
pub(super) fn prune(folder: &Path, left: &[Backup], current: Option<&str>) -> Result<(), StorageError> {
    let wal = folder.join(WAL_FOLDER);
    for archive in names(&wal)? {
        let path = wal.join(&archive);
        let starts = left.iter().filter_map(|backup| backup.manifest.wal.as_ref());
        let first = starts.filter(|start| start.archive == archive).map(|start| start.first.as_str()).min();
        let fail =
            |error: std::io::Error| StorageError::fatal(format!("cannot remove WAL in {}: {error}", path.display()));
        match first {
            None if current == Some(archive.as_str()) => {}
            None => std::fs::remove_dir_all(&path).map_err(fail)?,
            Some(first) => {
                for name in names(&path)?.iter().filter(|name| is_segment(name) && name.as_str() < first) {
                    std::fs::remove_file(path.join(name)).map_err(fail)?;
                }
            }
        }
    }
    Ok(())
}

fn is_segment(name: &str) -> bool {
    name.len() == NAME_DIGITS && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Waits until it is to stop, or until nobody could say so any more.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // What it returns would be held where it is waited for beside others.
    drop(stop.wait_for(|stop| *stop).await);
}

/// Writes the archive until it is told to stop, whatever fails meanwhile.
pub(super) async fn keep(source: Source, folder: PathBuf, mut stop: watch::Receiver<bool>) {
    let mut pause = PAUSE_FIRST;
    loop {
        let error = match receive(&source, &folder, &mut stop, &mut pause).await {
            Ok(()) => return,
            Err(error) => error,
        };
        metrics::gauge!("tidegate_backup_wal_up").set(0.0);
        metrics::counter!("tidegate_backup_wal_failures_total").increment(1);
        tracing::error!(folder = %folder.display(), %error, pause_s = pause.as_secs(),
            "the archive of WAL cannot be written; the server keeps what is missing, up to max_slot_wal_keep_size");
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
            () = stopped(&mut stop) => return,
        }
    }
}

async fn receive(
    source: &Source,
    folder: &Path,
    stop: &mut watch::Receiver<bool>,
    pause: &mut Duration,
) -> Result<(), StorageError> {
    let owned = source.client().await?;
    owner::check(folder, &owned).await?;
    let (archive, major, segment_bytes) = {
        let client = source.superuser().await?;
        let sql =
            "SELECT current_setting('server_version_num')::int, pg_size_bytes(current_setting('wal_segment_size'))";
        let row = client.query_one(sql, &[]).await?;
        let (number, bytes): (i32, i64) = (row.get(0), row.get(1));
        (begin(&client, folder).await?, number.unsigned_abs() / 10_000, bytes.unsigned_abs())
    };
    owner::claim(folder, &owned).await?;
    drop(owned);
    remove_torn(&folder.join(WAL_FOLDER).join(&archive), segment_bytes)?;
    let installation = tools::installation(major, false).await?;
    let mut command = tools::connected(&installation.program("pg_receivewal"), &source.admin);
    command.env_remove("PGDATABASE").arg("--directory").arg(folder.join(WAL_FOLDER).join(&archive));
    command.arg(format!("--slot={SLOT}{archive}")).args(["--no-loop", "--no-password", "--status-interval=1"]);
    // Ctrl-C is for us; this is stopped in its turn.
    command.process_group(0).stdout(Stdio::null()).stderr(Stdio::piped());
    let name = installation.program("pg_receivewal");
    let fail = |error: std::io::Error| StorageError::fatal(format!("cannot run {}: {error}", name.display()));
    let child = command.spawn().map_err(fail)?;
    metrics::gauge!("tidegate_backup_wal_up").set(1.0);
    watch_over(child, stop, pause).await
}

/// A full disk leaves a file that is shorter than one is, and that `pg_receivewal` refuses to go on with, also when there is room again.
/// The server has what was to be in it: nothing of it was acknowledged.
fn remove_torn(archive: &Path, segment_bytes: u64) -> Result<(), StorageError> {
    for name in names(archive)?.iter().filter(|name| name.ends_with(UNFINISHED)) {
        let path = archive.join(name);
        let fail = |error: std::io::Error| StorageError::fatal(format!("cannot remove {}: {error}", path.display()));
        let bytes = std::fs::metadata(&path).map_err(fail)?.len();
        if bytes != 0 && bytes != segment_bytes {
            tracing::warn!(path = %path.display(), bytes, "removing a file of WAL that a full disk cut short; it is written again");
            std::fs::remove_file(&path).map_err(fail)?;
        }
    }
    Ok(())
}

/// Waits for its end: none by itself is in order.
async fn watch_over(child: Child, stop: &mut watch::Receiver<bool>, pause: &mut Duration) -> Result<(), StorageError> {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    let began = tokio::time::Instant::now();
    let ended = child.wait_with_output();
    tokio::pin!(ended);
    tokio::select! {
        output = &mut ended => {
            // One that was at work for long did not fail for what made the last one fail.
            if began.elapsed() > PAUSE_MAX {
                *pause = PAUSE_FIRST;
            }
            let said = output.map_or_else(|error| error.to_string(), |o| String::from_utf8_lossy(&o.stderr).trim().to_owned());
            Err(StorageError::retryable(format!("pg_receivewal ended: {said}")))
        }
        () = stopped(stop) => {
            if let Some(pid) = pid {
                // It writes what it has, and ends.
                let _ = kill(Pid::from_raw(pid), Signal::SIGINT);
            }
            // One that does not is killed with the end of this.
            let _ = tokio::time::timeout(Duration::from_secs(5), ended).await;
            Ok(())
        }
    }
}

/// The archive to go on with: the one that the server has kept everything for, else another one.
async fn begin(client: &Client, folder: &Path) -> Result<String, StorageError> {
    if let Some(archive) = standing(client, folder).await? {
        return Ok(archive);
    }
    for slot in slots(client).await? {
        let archive = &slot.archive;
        tracing::error!(
            archive,
            whole = slot.whole,
            "the archive of WAL has a hole: the server could not keep what was missing, or the archive was removed. A moment after \
             it can be restored from the next base backup on"
        );
        metrics::counter!("tidegate_backup_wal_holes_total").increment(1);
    }
    give_up(client).await?;
    let archive = Uuid::now_v7().simple().to_string();
    let wal = folder.join(WAL_FOLDER);
    for path in [folder, &wal, &wal.join(&archive)] {
        files::private_dir(path)
            .map_err(|error| StorageError::fatal(format!("cannot use {}: {error}", path.display())))?;
    }
    client.execute("SELECT pg_create_physical_replication_slot($1, true)", &[&format!("{SLOT}{archive}")]).await?;
    tracing::info!(archive, "an archive of WAL begins");
    Ok(archive)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    const FILES: [&str; 3] =
        ["000000010000000000000004", "000000010000000000000005", "000000010000000000000006.partial"];

    fn archive(dir: &Path) -> PathBuf {
        let archive = dir.join(WAL_FOLDER).join("a");
        std::fs::create_dir_all(&archive).unwrap();
        for name in FILES {
            std::fs::write(archive.join(name), [1, 2, 3, 0]).unwrap();
        }
        archive
    }

    #[test]
    fn what_a_full_disk_cut_short_goes_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let archive = archive(dir.path());
        remove_torn(&archive, 4).unwrap();
        assert_eq!(names(&archive).unwrap(), FILES);
        remove_torn(&archive, 16).unwrap();
        assert_eq!(names(&archive).unwrap(), FILES[..2]);
    }

    #[test]
    fn a_restore_reads_from_the_beginning_of_its_backup_and_the_longer_end() {
        let dir = tempfile::tempdir().unwrap();
        archive(dir.path());
        let base = dir.path().join("base");
        std::fs::create_dir_all(base.join("pg_wal")).unwrap();
        let start = WalStart { archive: "a".into(), first: FILES[1].into() };
        let read = || {
            let files = files_for(dir.path(), &start, &base).unwrap();
            files.into_iter().map(|(_path, name)| name).collect::<Vec<_>>()
        };
        let last = "000000010000000000000006";
        assert_eq!(read(), [FILES[1], last]);
        // The backup's own goes further, or not as far.
        std::fs::write(base.join("pg_wal").join(last), [1, 2, 3, 4]).unwrap();
        assert_eq!(read(), [FILES[1]]);
        std::fs::write(base.join("pg_wal").join(last), [1, 2, 0, 0]).unwrap();
        assert_eq!(read(), [FILES[1], last]);
    }

    #[test]
    fn archives_go_with_the_last_backup_that_needs_them() {
        let dir = tempfile::tempdir().unwrap();
        let archive = archive(dir.path());
        prune(dir.path(), &[], Some("a")).unwrap();
        assert_eq!(names(&archive).unwrap(), FILES, "it is written to");
        prune(dir.path(), &[], Some("b")).unwrap();
        assert!(!archive.exists());
    }
}
