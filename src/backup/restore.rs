//! Restores a base backup into a new data directory, and compares what came of it.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::NoTls;

use super::base::FILES;
use super::contents::{Contents, Difference, differences};
use super::folder::{Backup, Folder};
use super::made::{MASK_KEY, copy_secret};
use super::wal;
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

/// The moment that is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// When the backup was complete.
    OfBackup,
    /// A time after that, by the archive of WAL.
    At(Timestamp),
    /// As far as that goes.
    Latest,
}

/// Makes the data directory `target` of a backup of the embedded server. Its server is stopped again.
pub async fn restore_base(
    folder: &Folder,
    backup: &Backup,
    target: &Path,
    moment: Moment,
    durable: bool,
) -> Result<Restored, StorageError> {
    let base = backup.path.join(FILES);
    let manifest = &backup.manifest;
    let until = match moment {
        Moment::OfBackup => Until::Backup,
        Moment::Latest => Until::EndOfWal,
        Moment::At(time) if time < manifest.ended => {
            return Err(StorageError::fatal(format!(
                "the backup {} was complete at {}, which is after {time}: an older one is needed for it",
                backup.id, manifest.ended
            )));
        }
        Moment::At(time) => Until::Time(format!("{}+00", time.strftime("%Y-%m-%d %H:%M:%S%.f"))),
    };
    let wal = match (&manifest.wal, moment) {
        (_, Moment::OfBackup) => Vec::new(),
        (Some(start), _) => wal::files_for(folder.path(), start, &base)?,
        (None, _) => {
            return Err(StorageError::fatal(format!(
                "no WAL was archived when the backup {} was made (backup.every): it can be restored as it is, without --to",
                backup.id
            )));
        }
    };
    let config = config(backup, target, durable);
    let server = put_back(PutBack { base, wal, until }, config).await.map_err(|error| {
        let said = error.to_string();
        StorageError::fatal(match moment {
            Moment::At(time) => ends_before(&said, time).unwrap_or(said),
            Moment::OfBackup | Moment::Latest => said,
        })
    })?;
    let looked = look(&server).await;
    let stopped = server.stop().await.map_err(|error| StorageError::fatal(error.to_string()));
    if looked.is_err() {
        embedded::take_away(target);
    }
    let (contents, newest) = looked?;
    stopped?;
    copy_secret(&backup.path.join(MASK_KEY), &target.join(MASK_KEY))?;
    let differences = match moment {
        Moment::OfBackup => differences(&manifest.contents_before, &manifest.contents_after, &contents),
        Moment::At(_) | Moment::Latest => Vec::new(),
    };
    Ok(Restored { contents, differences, newest })
}

/// What the server's log says where the archive does not reach as far as it was asked to.
fn ends_before(said: &str, time: Timestamp) -> Option<String> {
    if !said.contains("recovery ended before configured recovery target was reached") {
        return None;
    }
    let last = said.split_once("last completed transaction was at log time ").and_then(|(_, rest)| rest.lines().next());
    let ends = last
        .map_or("holds no transaction after the backup".into(), |last| format!("ends with a transaction of {last}"));
    Some(format!(
        "the archive {ends}, which is before {time}: give a time until then, or --to latest for all that there is"
    ))
}

/// A server for what a backup holds.
pub(super) fn config(backup: &Backup, data_dir: &Path, durable: bool) -> EmbeddedConfig {
    let timescale = backup.manifest.timescaledb.is_some();
    EmbeddedConfig {
        data_dir: data_dir.to_owned(),
        bin_dir: None,
        start_timeout: RECOVERY_TIMEOUT,
        durable,
        preload_timescaledb: timescale,
        // No job of a policy is to run before it is looked at, nor to hold what a dump is restored into.
        extra_settings: if timescale {
            vec![(embedded::NO_JOBS.0.into(), embedded::NO_JOBS.1.into())]
        } else {
            Vec::new()
        },
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
