//! Room on disk.

use super::finding::{Finding, FindingState, bad, expect};
use crate::config::Config;
use crate::files::free_bytes;

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

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
pub fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}
