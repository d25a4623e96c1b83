//! A base backup of the embedded server.

use std::path::Path;

use jiff::Timestamp;
use tokio_postgres::Client;

use super::contents::Contents;
use super::create::{About, Made};
use super::manifest::Kind;
use crate::storage::{Location, StorageError, tools};

/// The cluster's files, below a backup's folder.
pub(super) const FILES: &str = "base";

pub(super) fn major(postgres: &str) -> Result<u32, StorageError> {
    let digits = postgres.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().map_err(|_| StorageError::fatal(format!("`{postgres}` is no version of PostgreSQL")))
}

/// Copies the files of the running server, with the WAL that belongs to them. What is counted before is in it, and what is in it is
/// counted afterwards.
pub(super) async fn make(
    folder: &Path,
    location: &Location,
    client: &Client,
    about: &About,
) -> Result<Made, StorageError> {
    let installation = tools::installation(major(&about.postgres)?, false).await?;
    let began = Timestamp::now();
    let before = Contents::of(client).await?;
    let mut command = tools::connected(&installation.program("pg_basebackup"), location.admin());
    // A replication connection: the server takes no name of a database for it.
    command.env_remove("PGDATABASE").arg("--pgdata").arg(folder.join(FILES));
    command.args(["--wal-method=stream", "--checkpoint=fast", "--manifest-checksums=SHA256", "--no-password"]);
    tools::run(command).await?;
    let after = Contents::of(client).await?;
    Ok(Made { kind: Kind::Base, began, before, after })
}
