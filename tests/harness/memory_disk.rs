//! Where shared servers keep their data: in memory where there is room, because a thousand databases that are made and
//! dropped are a million files. What is kept there is lost with the machine, as is all that these servers have.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::sys::statvfs::statvfs;
use tempfile::{Builder, TempDir};

use crate::postgres::temp_dir;

const MEMORY: &str = "/dev/shm";
/// Bytes that must be free there, and of memory itself: databases of the trials that run at once, and WAL of two servers.
const ROOM: u64 = 8 << 30;

/// A folder that PostgreSQL's account can reach.
pub fn folder() -> TempDir {
    if has_room() {
        let made = Builder::new().prefix("tidegate-").permissions(Permissions::from_mode(0o755)).tempdir_in(MEMORY);
        if let Ok(folder) = made {
            return folder;
        }
    }
    temp_dir()
}

fn has_room() -> bool {
    let free = statvfs(Path::new(MEMORY)).map_or(0, |stat| stat.blocks_available() * stat.fragment_size());
    free >= ROOM && available().is_some_and(|bytes| bytes >= ROOM)
}

/// Memory that programs can still have, in bytes; source: /proc/meminfo, in KiB.
fn available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib << 10)
}
