//! What figures depend on and are never told without: the machine, the server and its durability, the commit.

use std::process::Command;

use super::common::{GIB, Result};
use super::proc::parse_kib;
use super::target::Target;

/// Left free on the disk: for WAL, and for everybody else.
const FREE_BYTES_MIN: u64 = 10 * GIB;

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

/// Cores, memory and kernel of this machine, and its load before, which says whether somebody else was at work.
pub fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let (cpuinfo, load) = (read("/proc/cpuinfo"), read("/proc/loadavg"));
    let cpu = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = processors();
    format!(
        "{cores} cores ({}) that hold PostgreSQL, Tidegate and the load generator together, {:.1} GiB, Linux {}; load before {}",
        cpu.map_or("unknown", |(_, name)| name),
        parse_kib(&read("/proc/meminfo"), "MemTotal:") / 1_048_576.0,
        read("/proc/sys/kernel/osrelease").trim(),
        load.split(' ').next().unwrap_or_default()
    )
}

/// How many this process may use.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Versions and settings of a database server.
pub async fn server(target: &Target) -> Result<String> {
    let postgres: String = target.owner.query_one("SELECT version()", &[]).await?.get(0);
    let mut text = postgres.split(" on ").next().unwrap_or_default().to_owned();
    if target.is_timescale() {
        let extension = "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'";
        text += &format!(" with TimescaleDB {}", target.owner.query_one(extension, &[]).await?.get::<_, &str>(0));
    }
    for name in SETTINGS {
        let value = target.owner.query_one("SELECT current_setting($1)", &[&name]).await?;
        text += &format!(", {name} {}", value.get::<_, &str>(0));
    }
    Ok(text)
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

/// Bytes that measurements may put where their databases are, and no more than `disk_bytes`.
pub fn room_bytes(disk_bytes: u64) -> u64 {
    let stat = nix::sys::statvfs::statvfs(&std::env::temp_dir());
    let free = stat.map_or(0, |stat| stat.blocks_available() * stat.fragment_size());
    disk_bytes.min(free.saturating_sub(FREE_BYTES_MIN))
}
