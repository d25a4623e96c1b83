//! An embedded cluster becomes one of a newer PostgreSQL: another is made beside it and filled from it.

use std::path::Path;
use std::time::Duration;

use super::create::require_room;
use super::made::About;
use super::source::Source;
use super::transfer::{Target, Transferred, transfer};
use crate::config::ConnectionUrl;
use crate::storage::StorageError;
use crate::storage::embedded::{self, EmbeddedConfig, EmbeddedError, EmbeddedServer, Installation};

/// A new cluster has nothing to recover.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// The most WAL that a server keeps of what it is filled with (`max_wal_size`), and what a cluster has from the start.
const WAL_BYTES_MAX: u64 = 4 << 30;
const EMPTY_BYTES: u64 = 128 << 20;

const ALTERED_SQL: &str = "SELECT name || ' = ' || setting FROM pg_file_settings \
    WHERE sourcefile LIKE '%/postgresql.auto.conf' AND name <> 'timescaledb.restoring' ORDER BY seqno";

/// What came of it.
#[derive(Debug)]
pub struct Renewed {
    pub transferred: Transferred,
    /// Settings of ALTER SYSTEM, which the new cluster does not have.
    pub settings: Vec<String>,
}

/// Makes a cluster in the data directory `folder` by the programs of `new`, and fills it from `source`, to which nobody writes, by
/// those of `old` or what the machine has of its version. Its server is stopped again.
pub async fn renew(
    source: &Source,
    old: Option<&Installation>,
    folder: &Path,
    new: &Installation,
) -> Result<Renewed, StorageError> {
    let about = About::of(&source.client().await?).await?;
    require_same_extension(about.timescaledb.as_deref(), new)?;
    let bytes = about.bytes + about.bytes.min(WAL_BYTES_MAX) + EMPTY_BYTES;
    // The old one may be a link to another disk, and then the new one will be.
    let place = source.data_dir.join("postgres").canonicalize();
    let beside = place.as_deref().ok().and_then(Path::parent).unwrap_or(folder);
    require_room(beside, bytes, "a new cluster beside the old one needs", "make room there")?;
    let settings = source.superuser().await?.query(ALTERED_SQL, &[]).await?;
    let settings = settings.iter().map(|row| row.get(0)).collect();

    let fatal = |error: EmbeddedError| StorageError::fatal(error.to_string());
    let server = EmbeddedServer::start(EmbeddedConfig {
        data_dir: folder.to_owned(),
        bin_dir: Some(new.bin_dir.clone()),
        start_timeout: START_TIMEOUT,
        durable: true,
        preload_timescaledb: about.timescaledb.is_some(),
        extra_settings: vec![(embedded::NO_JOBS.0.into(), embedded::NO_JOBS.1.into())],
    });
    let server = server.await.map_err(fatal)?;
    let transferred = match server.url(embedded::SUPERUSER, embedded::DATABASE).parse().map(ConnectionUrl::plain) {
        Ok(url) => transfer(source, Target { url: &url, own: true, programs: old }).await,
        Err(error) => Err(error.into()),
    };
    server.stop().await.map_err(fatal)?;
    Ok(Renewed { transferred: transferred?, settings })
}

fn require_same_extension(old: Option<&str>, new: &Installation) -> Result<(), StorageError> {
    let Some(old) = old.filter(|old| new.timescaledb.as_deref() != Some(old)) else { return Ok(()) };
    let there =
        new.timescaledb.as_ref().map_or("no TimescaleDB".to_owned(), |version| format!("TimescaleDB {version}"));
    let (major, bin_dir) = (new.major, new.bin_dir.display());
    Err(StorageError::fatal(format!(
        "the cluster has TimescaleDB {old}, and the PostgreSQL {major} in {bin_dir} has {there}: hypertables go between equal versions \
         alone. Install TimescaleDB {old} for PostgreSQL {major} (Debian, Ubuntu: timescaledb-2-postgresql-{major} and its loader, in that \
         version) and upgrade; install its newer version after that, and the next start takes the database to it"
    )))
}
