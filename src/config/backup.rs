//! Where backups are, how often one is made, how many are kept.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::ConfigError;
use super::value::ConfigReader;

/// Most backups that are kept.
const KEPT_MAX: usize = 10_000;
const EVERY_MIN: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
pub struct BackupConfig {
    /// Their folder.
    pub dir: PathBuf,
    /// `serve` makes one as often as this; None: none by itself.
    pub every: Option<Duration>,
    /// Good ones that are kept; older ones are removed when another one is complete.
    pub keep: usize,
}

impl BackupConfig {
    pub(super) fn read(read: &ConfigReader<'_>, data_dir: &Path) -> Result<Self, ConfigError> {
        let every = if read.is_set("backup.every") { Some(read.duration("backup.every")?) } else { None };
        if every.is_some_and(|every| every < EVERY_MIN) {
            return Err(ConfigError(format!("{}: must be at least 1m", read.whereabouts("backup.every"))));
        }
        let dir = if read.is_set("backup.dir") { read.path("backup.dir")? } else { data_dir.join("backups") };
        Ok(Self { dir, every, keep: read.count("backup.keep", 1, KEPT_MAX)? })
    }
}
