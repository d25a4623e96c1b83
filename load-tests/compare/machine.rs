//! What figures depend on and are never told without: the machine, the server and its durability, the commit.

use std::collections::BTreeMap;
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::Result;
use super::proc::parse_kib;
use super::target::Target;

/// Left free on the disk: for WAL, and for everybody else.
pub const FREE_BYTES_MIN: u64 = 10 << 30;

/// Settings that decide what a COMMIT promises, and what it costs.
const SETTINGS: [&str; 12] = [
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_compression",
    "wal_level",
    "shared_buffers",
    "max_wal_size",
    "checkpoint_timeout",
    "max_connections",
    "default_toast_compression",
    "autovacuum",
    "jit",
];

/// The machine.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Machine {
    /// Of the first core.
    pub cpu: String,
    /// That this process may use.
    pub cores: usize,
    /// In GiB.
    pub memory_gib: f64,
    /// Name and release.
    pub kernel: String,
    /// Load of the last minute when the run began: whether somebody else was at work.
    pub load_before: String,
}

/// The database server of one engine.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Server {
    /// `version()`
    pub postgres: String,
    /// Version of TimescaleDB, on its engine.
    pub timescaledb: Option<String>,
    /// Settings by name.
    pub settings: BTreeMap<String, String>,
}

impl Machine {
    /// Of this machine.
    pub fn here() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let cpu = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let load = read("/proc/loadavg");
        Self {
            cpu: cpu.map_or_else(|| "unknown".to_owned(), |(_, name)| name.to_owned()),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_gib: (parse_kib(&read("/proc/meminfo"), "MemTotal:") / 1024.0 / 102.4).round() / 10.0,
            kernel: format!("{} {}", read("/proc/sys/kernel/ostype").trim(), read("/proc/sys/kernel/osrelease").trim()),
            load_before: load.split(' ').next().unwrap_or_default().to_owned(),
        }
    }
}

impl Server {
    /// Of a running target.
    pub async fn of(target: &Target) -> Result<Self> {
        let postgres: String = target.owner.query_one("SELECT version()", &[]).await?.get(0);
        let extension = "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'";
        let timescaledb = target.owner.query_opt(extension, &[]).await?.map(|row| row.get(0));
        let mut settings = BTreeMap::new();
        for name in SETTINGS {
            settings.insert(name.to_owned(), target.setting(name).await?);
        }
        let timescaledb = timescaledb.filter(|_| target.is_timescale());
        Ok(Self { postgres: postgres.split(" on ").next().unwrap_or_default().to_owned(), timescaledb, settings })
    }

    /// `fsync on, synchronous_commit on, ...`
    pub fn durability(&self) -> String {
        let settings: Vec<String> = self.settings.iter().map(|(name, value)| format!("{name} {value}")).collect();
        settings.join(", ")
    }
}

/// The commit that is measured, with `+changes` when files differ from it.
pub fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(head) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".to_owned() };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_none_or(|changes| !changes.is_empty());
    if changed { format!("{head}+changes") } else { head }
}

/// Bytes free where measurements put their databases.
pub fn free_bytes() -> u64 {
    nix::sys::statvfs::statvfs(&std::env::temp_dir()).map_or(0, |stat| stat.blocks_available() * stat.fragment_size())
}
