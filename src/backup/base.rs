//! A base backup of the embedded server.

use std::path::Path;

use jiff::Timestamp;
use tokio_postgres::Client;

use super::contents::Contents;
use super::made::{About, Made};
use super::manifest::{Kind, WalStart};
use super::source::Source;
use super::wal;
use crate::storage::{StorageError, tools};

/// The cluster's files, below a backup's folder.
pub(super) const FILES: &str = "base";

pub(super) fn major(postgres: &str) -> Result<u32, StorageError> {
    let digits = postgres.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().map_err(|_| StorageError::fatal(format!("`{postgres}` is no version of PostgreSQL")))
}

/// Copies the files of the running server, with the WAL that belongs to them. What is counted before is in it, and what is in it is
/// counted afterwards.
pub(super) async fn make(
    target: &Path,
    folder: &Path,
    source: &Source,
    client: &Client,
    about: &About,
) -> Result<Made, StorageError> {
    let installation = tools::installation(major(&about.postgres)?, false).await?;
    // An archive that is there now has all that comes after the backup begins.
    let archive = wal::standing(client, folder).await?;
    let began = Timestamp::now();
    let before = Contents::of(client).await?;
    let files = target.join(FILES);
    let mut command = tools::connected(&installation.program("pg_basebackup"), &source.admin);
    // A replication connection: the server takes no name of a database for it.
    command.env_remove("PGDATABASE").arg("--pgdata").arg(&files);
    command.args(["--wal-method=stream", "--checkpoint=fast", "--manifest-checksums=SHA256", "--no-password"]);
    tools::run(command).await?;
    let after = Contents::of(client).await?;
    let wal = match archive {
        Some(archive) => Some(WalStart { archive, first: wal::first_file(&files)? }),
        None => None,
    };
    Ok(Made { kind: Kind::Base, began, before, after, wal })
}
