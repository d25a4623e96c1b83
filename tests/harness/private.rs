//! What servers of PostgreSQL that are a test's own have in common.

use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::time::Duration;

use tidegate::storage::embedded::{EmbeddedConfig, OWNER, READER, WRITER};

use crate::env::Engine;

/// A small server in `folder`, of which nothing need outlive the machine.
pub fn config(folder: &Path, engine: Engine, settings: &[(&str, &str)]) -> EmbeddedConfig {
    let always = [
        ("max_worker_processes", "24"),
        // No job of a policy runs by itself in the middle of a test.
        ("timescaledb.max_background_workers", "0"),
        // What a killed server leaves goes with its folder.
        ("dynamic_shared_memory_type", "mmap"),
    ];
    let settings = always.iter().chain(settings).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    EmbeddedConfig {
        data_dir: folder.to_owned(),
        bin_dir: None,
        start_timeout: Duration::from_secs(120),
        durable: false,
        preload_timescaledb: engine == Engine::Timescale,
        extra_settings: settings.collect(),
    }
}

/// The variables that point the program at a server: each role's URL.
pub fn variables(url: impl Fn(&str) -> String) -> Vec<(String, String)> {
    [("DATABASE", OWNER), ("WRITER", WRITER), ("READER", READER)]
        .map(|(name, role)| (format!("TIDEGATE_{name}_URL"), url(role)))
        .to_vec()
}

/// Gives a file to the account that has the other one.
pub fn own(path: &Path, like: &Path) {
    if nix::unistd::geteuid().is_root() {
        let owner = std::fs::metadata(like).unwrap();
        chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
}
