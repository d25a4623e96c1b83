//! Into how many chunks a slice of time is cut.

use super::error::ConfigError;
use super::value::ConfigReader;
use crate::limits::PARTITIONS_MAX;
use crate::model::{Kind, PerKind};

/// `partitions.*`: into how many chunks a new slice of time is cut; None: as the database has it.
pub(super) fn read(read: &ConfigReader<'_>) -> Result<PerKind<Option<u32>>, ConfigError> {
    let mut partitions = PerKind::default();
    for kind in Kind::ALL {
        let key = format!("partitions.{}", kind.table());
        if read.is_set(&key) {
            let number = read.count(&key, 1, PARTITIONS_MAX as usize)?;
            *partitions.of_mut(kind) = u32::try_from(number).ok();
        }
    }
    Ok(partitions)
}
