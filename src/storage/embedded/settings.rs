//! The server's settings: `tidegate.conf`, included by `postgresql.conf` and rewritten at every start, because memory
//! and installed extensions may have changed since the last one. What an operator sets by ALTER SYSTEM wins over it.

use std::fmt::Write;
use std::path::Path;

use super::install::Installation;

/// Name of the file inside the cluster directory.
pub(super) const CONF_FILE: &str = "tidegate.conf";
/// The line in `postgresql.conf`. `if_exists`, because the server is asked what it supports before the file is there.
pub(super) const INCLUDE_LINE: &str = "\n# Written by Tidegate at every start.\ninclude_if_exists = 'tidegate.conf'\n";
/// A server log file is closed at this size; `logs` keeps the newest few.
const LOG_ROTATION: &str = "16MB";

const MIB: u64 = 1024 * 1024;
/// Assumed where the machine does not say how much memory it has.
const MEMORY_UNKNOWN: u64 = 2048 * MIB;
const SHARED_BUFFERS_MIN: u64 = 128 * MIB;
/// More helps reads of a large database but not ingestion, and takes page cache from everything else on the machine.
const SHARED_BUFFERS_MAX: u64 = 1024 * MIB;

/// glibc's allocator, told by the server's environment to keep what a backend frees. By default it hands the buffers of
/// each COPY back to the kernel and faults them in again with the next, 8 % of the CPU that an event costs. A backend
/// keeps 10 to 14 MB for it. Other allocators do not read these.
pub(super) const ALLOCATOR: [(&str, &str); 3] =
    [("MALLOC_TRIM_THRESHOLD_", "536870912"), ("MALLOC_MMAP_THRESHOLD_", "536870912"), ("MALLOC_TOP_PAD_", "67108864")];

pub(super) struct Inputs<'a> {
    pub installation: &'a Installation,
    pub socket_dir: &'a Path,
    pub port: u16,
    pub durable: bool,
    pub timescaledb: bool,
    /// The server was built with lz4.
    pub lz4: bool,
    pub memory_bytes: u64,
    pub extra: &'a [(String, String)],
}

/// The text of `tidegate.conf`.
pub(super) fn render(inputs: &Inputs<'_>) -> String {
    let shared_buffers = (inputs.memory_bytes / 4).clamp(SHARED_BUFFERS_MIN, SHARED_BUFFERS_MAX);
    let cache = (inputs.memory_bytes / 2).max(shared_buffers);
    let durable = if inputs.durable { "on" } else { "off" };
    let mut conf = String::from("# Written by Tidegate at every start; edits are lost. Use ALTER SYSTEM instead.\n");
    let mut set = |name: &str, value: &str| {
        let quoted = value.replace('\\', "\\\\").replace('\'', "''");
        writeln!(conf, "{name} = '{quoted}'").expect("writing to a String cannot fail");
    };

    // Reached through the Unix socket only.
    set("listen_addresses", "");
    set("port", &inputs.port.to_string());
    set("unix_socket_directories", &quoted_list_item(&inputs.socket_dir.to_string_lossy()));
    set("unix_socket_permissions", "0700");
    set("max_connections", "100");

    set("shared_buffers", &format!("{}MB", shared_buffers / MIB));
    set("effective_cache_size", &format!("{}MB", cache / MIB));
    set("random_page_cost", "1.1");
    // Dropping a year of chunks takes a lock for each of them.
    set("max_locks_per_transaction", &crate::limits::MAX_LOCKS_PER_TRANSACTION_MIN.to_string());
    // TimescaleDB's below, and parallel workers beside them.
    set("max_worker_processes", "32");
    // Compiling short queries costs more than it saves.
    set("jit", "off");

    set("fsync", durable);
    set("synchronous_commit", durable);
    set("full_page_writes", durable);
    set("max_wal_size", "4GB");
    set("min_wal_size", "512MB");
    // What an archive of backups does not take must not fill the disk of the data.
    set("max_slot_wal_keep_size", "4GB");
    set("checkpoint_timeout", "15min");
    set("wal_compression", if inputs.lz4 { "lz4" } else { "on" });
    if inputs.lz4 {
        set("default_toast_compression", "lz4");
    }

    // Tidegate reads digits out of error messages, and every time it stores is UTC.
    set("lc_messages", "C");
    set("timezone", "UTC");
    set("log_timezone", "UTC");

    set("logging_collector", "on");
    set("log_directory", "log");
    set("log_filename", "postgresql-%Y%m%d-%H%M%S.log");
    set("log_rotation_size", LOG_ROTATION);
    set("log_rotation_age", "1d");

    let mut preload = Vec::new();
    if inputs.timescaledb {
        preload.push("timescaledb");
    }
    if inputs.installation.stat_statements {
        preload.push("pg_stat_statements");
    }
    set("shared_preload_libraries", &preload.join(","));
    if inputs.timescaledb {
        set("timescaledb.telemetry_level", "off");
        // The launcher, a scheduler, six refresh policies, and TimescaleDB's own jobs.
        set("timescaledb.max_background_workers", "16");
    }

    for (name, value) in inputs.extra {
        set(name, value);
    }
    conf
}

/// An item of a list-valued setting: quoted, so that a comma or a space in a path does not split it.
fn quoted_list_item(value: &str) -> String {
    format!("\"{}\"", value.replace('"', "\"\""))
}

/// Memory that this process may use, in bytes: the machine's, or its control group's when that is less.
pub(super) fn memory_bytes() -> u64 {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo").and_then(|text| parse_meminfo(&text)).unwrap_or(MEMORY_UNKNOWN);
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .into_iter()
        .filter_map(|path| read(path)?.trim().parse::<u64>().ok())
        .fold(machine, u64::min)
}

fn parse_meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(memory_bytes: u64, timescaledb: bool, lz4: bool, extra: &[(String, String)]) -> String {
        let installation = Installation {
            bin_dir: "/b".into(),
            major: 15,
            version: "15.1".into(),
            timescaledb: Some("2.28.3".into()),
            stat_statements: false,
        };
        let socket_dir = Path::new("/it's, here");
        let inputs = Inputs {
            installation: &installation,
            socket_dir,
            port: 5432,
            durable: true,
            timescaledb,
            lz4,
            memory_bytes,
            extra,
        };
        render(&inputs)
    }

    #[test]
    fn shared_buffers_follow_memory_within_bounds() {
        assert!(rendered(256 * MIB, true, true, &[]).contains("shared_buffers = '128MB'"));
        assert!(rendered(2048 * MIB, true, true, &[]).contains("shared_buffers = '512MB'"));
        assert!(rendered(65536 * MIB, true, true, &[]).contains("shared_buffers = '1024MB'"));
    }

    #[test]
    fn what_the_server_lacks_is_not_set() {
        let conf = rendered(2048 * MIB, false, false, &[("work_mem".into(), "8MB".into())]);
        assert!(!conf.contains("timescaledb") && !conf.contains("lz4"), "{conf}");
        assert!(conf.contains("wal_compression = 'on'"));
        assert!(conf.ends_with("work_mem = '8MB'\n"));
    }

    #[test]
    fn quotes_and_commas_in_paths_stay_inside_the_value() {
        let conf = rendered(2048 * MIB, true, true, &[]);
        assert!(conf.contains("unix_socket_directories = '\"/it''s, here\"'"), "{conf}");
    }

    #[test]
    fn meminfo() {
        assert_eq!(parse_meminfo("MemTotal:       2048 kB\nMemFree: 1 kB\n"), Some(2048 * 1024));
        assert_eq!(parse_meminfo("nothing"), None);
    }
}
