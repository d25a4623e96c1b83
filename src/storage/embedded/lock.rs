//! Who owns a data directory, and where its server listens. One process holds `tidegate.lock`; beside it lies the
//! endpoint file, which commands run next to a live `tidegate serve` use, and which counts only while the lock is held.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use super::error::{Cause, EmbeddedError};
use crate::files;

pub(super) const LOCK_FILE: &str = "tidegate.lock";
const ENDPOINT_FILE: &str = "postgres.endpoint.json";
/// A command that looks for a running server holds the lock for an instant; a start that meets it tries again.
const LOCK_ATTEMPTS: u32 = 10;
const LOCK_RETRY: Duration = Duration::from_millis(30);

/// The exclusive hold on a data directory. Clones share it; it ends when the last of them is dropped, or with the
/// process, however that ends.
#[derive(Clone, Debug)]
pub struct DataDirLock {
    data_dir: PathBuf,
    _file: Arc<Flock<File>>,
}

impl DataDirLock {
    /// Creates `data_dir` if need be and takes its lock. Fails when another process has it, naming that process.
    pub fn acquire(data_dir: &Path) -> Result<Self, EmbeddedError> {
        files::passable_dirs(data_dir).map_err(|e| EmbeddedError::io("create the data directory", data_dir, e))?;
        let data_dir =
            data_dir.canonicalize().map_err(|e| EmbeddedError::io("resolve the data directory", data_dir, e))?;
        let path = data_dir.join(LOCK_FILE);
        let mut file = files::open_or_create(&path).map_err(|e| EmbeddedError::io("open the lock file", &path, e))?;
        for attempt in 1.. {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(mut held) => {
                    write_pid(&mut held).map_err(|e| EmbeddedError::io("write the lock file", &path, e))?;
                    return Ok(Self { data_dir, _file: Arc::new(held) });
                }
                Err((_, errno)) if errno != Errno::EWOULDBLOCK => {
                    return Err(EmbeddedError::io("lock", &path, errno.into()));
                }
                Err((mut taken, _)) if attempt == LOCK_ATTEMPTS => return Err(held_by(&data_dir, &mut taken)),
                Err((taken, _)) => file = taken,
            }
            std::thread::sleep(LOCK_RETRY);
        }
        unreachable!("the loop above returns at its last attempt")
    }

    /// The data directory, absolute and free of symbolic links.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }
}

fn held_by(data_dir: &Path, file: &mut File) -> EmbeddedError {
    let mut pid = String::new();
    let holder = match file.read_to_string(&mut pid) {
        Ok(_) if !pid.trim().is_empty() => format!("process {}", pid.trim()),
        _ => "another process".to_owned(),
    };
    EmbeddedError::of_kind(
        Cause::Locked,
        format!(
            "the data directory {} is in use by {holder}: stop that tidegate first (or give a second `serve` its own data_dir)",
            data_dir.display()
        ),
    )
}

fn write_pid(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

/// Where a running `tidegate serve` has its embedded PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// The directory of the Unix socket, absolute.
    pub socket_dir: PathBuf,
    /// The number in the socket's name; nothing listens on TCP.
    pub port: u16,
}

impl Running {
    /// A libpq connection string, for `tokio_postgres::Config` and for `psql`.
    pub fn url(&self, role: &str, database: &str) -> String {
        let host = conninfo_value(&self.socket_dir.to_string_lossy());
        format!("host={host} port={} user={} dbname={}", self.port, conninfo_value(role), conninfo_value(database))
    }

    /// A command line to paste into a shell.
    pub fn psql_line(&self, role: &str, database: &str) -> String {
        let url = self.url(role, database);
        // Inside double quotes a shell still reads these.
        if url.contains(['"', '$', '`', '\\', '!']) {
            return format!("psql '{}'", url.replace('\'', "'\\''"));
        }
        format!("psql \"{url}\"")
    }
}

/// The embedded server of the process that holds `data_dir`, or None when there is no such process or it uses a
/// configured database.
pub fn locate_running(data_dir: &Path) -> Option<Running> {
    let lock = File::open(data_dir.join(LOCK_FILE)).ok()?;
    match Flock::lock(lock, FlockArg::LockSharedNonblock) {
        Err((_, Errno::EWOULDBLOCK)) => {}
        // Nobody holds it: what the endpoint file says is from a process that is gone.
        Ok(_) | Err(_) => return None,
    }
    let text = std::fs::read(data_dir.join(ENDPOINT_FILE)).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Publishes where the server listens, in one step, so that a reader never sees half a file.
pub(super) fn write_endpoint(data_dir: &Path, running: &Running) -> Result<(), EmbeddedError> {
    let path = data_dir.join(ENDPOINT_FILE);
    let text = serde_json::to_vec(running).map_err(|e| EmbeddedError::io("describe", &path, e.into()))?;
    files::replace(&path, &text, None).map_err(|e| EmbeddedError::io("write the endpoint file", &path, e))
}

pub(super) fn remove_endpoint(data_dir: &Path) {
    // A file that stays behind is harmless: it counts only while the lock is held, and is rewritten by the next start.
    let _ = std::fs::remove_file(data_dir.join(ENDPOINT_FILE));
}

fn conninfo_value(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_strings_survive_odd_paths() {
        let odd = "/tmp/it's a \\ path";
        let url = Running { socket_dir: odd.into(), port: 5432 }.url("r", "d");
        let config: tokio_postgres::Config = url.parse().expect("a libpq string");
        assert_eq!(config.get_hosts(), [tokio_postgres::config::Host::Unix(odd.into())]);
    }

    #[test]
    fn the_second_holder_is_refused_and_told_who_has_it() {
        let dir = tempfile::tempdir().expect("a temp dir");
        let first = DataDirLock::acquire(dir.path()).expect("a free lock");
        let error = DataDirLock::acquire(dir.path()).expect_err("the lock is taken");
        assert!(error.is_locked());
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
        drop(first);
        DataDirLock::acquire(dir.path()).expect("free again");
    }

    #[test]
    fn an_endpoint_without_its_owner_does_not_count() {
        let dir = tempfile::tempdir().expect("a temp dir");
        let running = Running { socket_dir: "/s".into(), port: 5432 };
        let lock = DataDirLock::acquire(dir.path()).expect("a free lock");
        assert_eq!(locate_running(dir.path()), None);
        write_endpoint(dir.path(), &running).expect("a writable dir");
        assert_eq!(locate_running(dir.path()), Some(running));
        drop(lock);
        assert_eq!(locate_running(dir.path()), None);
    }
}
