//! What a backup says of itself: `manifest.json` beside its files.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::contents::Contents;
use crate::files;
use crate::storage::StorageError;

/// Of this layout of a backup's folder; another one is not read.
pub const FORMAT: u32 = 1;
pub const MANIFEST_FILE: &str = "manifest.json";
pub const VERIFIED_FILE: &str = "verified.json";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The files of the embedded server, by `pg_basebackup`.
    Base,
    /// A dump of an external database, by `pg_dump`.
    Dump,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Dump => "dump",
        }
    }

    /// The file whose hash the manifest has: of a base backup PostgreSQL's own manifest, which has those of all files.
    pub fn hashed_file(self) -> &'static str {
        match self {
            Self::Base => "base/backup_manifest",
            Self::Dump => "tidegate.dump",
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    pub kind: Kind,
    /// Of Tidegate.
    pub version: String,
    pub postgres: String,
    pub timescaledb: Option<String>,
    /// timescale or postgres.
    pub engine: String,
    /// Of the database cluster; text, since it has more digits than a JSON number keeps.
    pub system_identifier: String,
    pub began: Timestamp,
    /// What was committed by then may be in it; what was committed when it began is.
    pub ended: Timestamp,
    pub bytes: u64,
    /// Of [`Kind::hashed_file`].
    pub sha256: String,
    /// The archive of the WAL that goes on from here; None: there was none.
    #[serde(default)]
    pub wal: Option<WalStart>,
    pub contents_before: Contents,
    pub contents_after: Contents,
}

/// Where in an archive of WAL a base backup begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalStart {
    /// The archive's folder in `wal`.
    pub archive: String,
    /// The first file that is needed.
    pub first: String,
}

/// How a backup stood when it was looked at.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Verified {
    pub at: Timestamp,
    pub good: bool,
    /// Restored and compared, not only its bytes looked at.
    pub restored: bool,
}

impl Manifest {
    pub fn read(folder: &Path) -> Result<Self, StorageError> {
        let path = folder.join(MANIFEST_FILE);
        let fail = |why: String| StorageError::fatal(format!("the backup's {} {why}", path.display()));
        let bytes = std::fs::read(&path).map_err(|error| fail(format!("cannot be read: {error}")))?;
        let manifest: Self = serde_json::from_slice(&bytes).map_err(|error| fail(format!("is not whole: {error}")))?;
        if manifest.format != FORMAT {
            let format = manifest.format;
            return Err(fail(format!("is of format {format}, and this version reads {FORMAT}: use a newer tidegate")));
        }
        Ok(manifest)
    }

    /// The server's major version.
    pub fn major(&self) -> Option<u32> {
        self.postgres.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    }
}

/// Writes a small file beside a backup, durably.
pub fn write(path: &Path, value: &impl Serialize) -> Result<(), StorageError> {
    let fail = |error: std::io::Error| StorageError::fatal(format!("cannot write {}: {error}", path.display()));
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| fail(error.into()))?;
    text.push(b'\n');
    files::replace(path, &text, None).map_err(fail)?;
    File::open(path).and_then(|file| file.sync_all()).map_err(fail)
}

/// SHA-256 of a file, in hexadecimal digits. Blocks.
pub fn sha256(path: &Path) -> Result<String, StorageError> {
    let fail = |error: std::io::Error| StorageError::fatal(format!("cannot read {}: {error}", path.display()));
    let mut file = File::open(path).map_err(fail)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(fail)? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
