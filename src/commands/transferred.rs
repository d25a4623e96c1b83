//! What `move` and `upgrade` have in common: whose database it is, and what came of it.

use serde_json::{Value, json};

use super::output::say;
use crate::backup::{Contents, Difference, Transferred};
use crate::config::Config;
use crate::storage::StorageError;
use crate::storage::embedded::{DataDirLock, has_cluster};

const SUMMED: [&str; 3] = ["events", "metrics", "ledger"];

/// The hold on a data directory with an embedded database that nobody uses now.
pub fn embedded_alone(config: &Config) -> Result<DataDirLock, StorageError> {
    if config.database.database_url.is_some() {
        return Err(StorageError::fatal(
            "database_url is set, so that the database is no embedded one; run this without it to mean that of data_dir",
        ));
    }
    if !config.data_dir.is_dir() {
        return Err(StorageError::fatal(format!(
            "there is no folder {}: name it with --data-dir",
            config.data_dir.display()
        )));
    }
    DataDirLock::acquire(&config.data_dir).map_err(|error| StorageError::fatal(error.to_string()))
}

/// Refuses a data directory without an embedded database.
pub fn require_cluster(config: &Config) -> Result<(), StorageError> {
    if has_cluster(&config.data_dir) {
        return Ok(());
    }
    Err(StorageError::fatal(format!(
        "there is no embedded database in {}: name the folder that serve runs on with --data-dir",
        config.data_dir.display()
    )))
}

pub fn sums(contents: &Contents) -> Value {
    SUMMED.iter().map(|what| ((*what).to_owned(), json!(contents.sum(what)))).collect()
}

pub fn show_sums(done: &str, transferred: &Transferred) {
    let sums = SUMMED.map(|what| format!("{} {what}", transferred.contents.sum(what)));
    let compared = match transferred.differences.as_slice() {
        [] => "compared by day, stream and group: the same",
        _ => "it DIFFERS from what was counted before:",
    };
    say!("{done} {}; {compared}", sums.join(", "));
    for Difference { what, tenant, item, least, found, .. } in &transferred.differences {
        say!("  {what} of {tenant} {item}: {least} before, {found} now");
    }
}
