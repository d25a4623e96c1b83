//! Room on disk.

use std::path::Path;

use super::finding::{Finding, FindingState, bad, expect};
use crate::config::Config;

/// Free disk below which to warn.
const FREE_DISK_BYTES_MIN: u64 = 5 << 30;

/// Whether there is room where the data is.
pub fn finding(config: &Config) -> Finding {
    match free_bytes(&config.data_dir) {
        Ok(free) => {
            let found = format!("{:.1} GiB free under {}", gib(free), config.data_dir.display());
            expect(
                "disk",
                free >= FREE_DISK_BYTES_MIN,
                found,
                "make room: a full disk stops ingestion (nothing is lost, senders get 503)",
            )
        }
        Err(error) => bad("disk", FindingState::Warning, error.to_string(), "check that data_dir can be reached"),
    }
}

/// Bytes free for this user where `folder` is, or will be.
pub fn free_bytes(folder: &Path) -> nix::Result<u64> {
    let existing = folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let existing = if existing.as_os_str().is_empty() { Path::new(".") } else { existing };
    let stat = nix::sys::statvfs::statvfs(existing)?;
    Ok(stat.blocks_available() * stat.fragment_size())
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
pub fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}
