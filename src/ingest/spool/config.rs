//! Where a spool is and how large it may be.

use std::path::{Path, PathBuf};

use crate::limits::SPOOL_SEGMENT_BYTES;

#[derive(Debug, Clone)]
pub struct SpoolPlace {
    pub dir: PathBuf,
    /// Bytes of all its segments, the quarantine aside.
    pub max_bytes: u64,
    /// Bytes at which a segment ends.
    pub segment_bytes: u64,
}

impl SpoolPlace {
    /// The spool of a data directory.
    pub fn of(data_dir: &Path, max_bytes: u64) -> Self {
        Self { dir: data_dir.join("spool"), max_bytes, segment_bytes: SPOOL_SEGMENT_BYTES }
    }
}
