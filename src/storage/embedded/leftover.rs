//! Stops the server that a killed Tidegate left running on a cluster, so that a new one can start. A process gets a
//! signal only when it is a PostgreSQL process of this very directory: a pid file can be older than the process that
//! has its number now.

use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::error::EmbeddedError;

/// Disconnect everybody, write a checkpoint, end.
const FAST: (Signal, Duration) = (Signal::SIGINT, Duration::from_secs(20));
/// End at once; the next start replays the log.
const IMMEDIATE: (Signal, Duration) = (Signal::SIGQUIT, Duration::from_secs(5));
const KILL: (Signal, Duration) = (Signal::SIGKILL, Duration::from_secs(5));
const POLL: Duration = Duration::from_millis(20);

#[derive(Debug, PartialEq, Eq)]
enum Identity {
    Gone,
    OurServer,
    Stranger,
    /// A PostgreSQL process that does not let us see where it works.
    Unknown,
}

/// Ends every PostgreSQL process that works in `cluster`, which must be absolute and free of links. The caller holds
/// the data directory's lock.
pub(super) async fn stop(cluster: &Path) -> Result<(), EmbeddedError> {
    let Some(pid) = recorded_pid(cluster) else { return stop_stragglers(cluster).await };
    match identify(pid, cluster) {
        Identity::OurServer => {
            tracing::warn!(pid, cluster = %cluster.display(), "stopping the PostgreSQL that a killed tidegate left running");
            if !escalate(pid, || identify(pid, cluster) != Identity::OurServer).await {
                return Err(EmbeddedError::new(format!(
                    "PostgreSQL process {pid} of {} does not end",
                    cluster.display()
                )));
            }
        }
        // PostgreSQL itself clears files of dead processes, but takes any live process with that number, of its own
        // user, for a rival. In a restarted container the numbers are the same every time.
        Identity::Stranger => remove_pid_files(cluster, pid),
        Identity::Gone | Identity::Unknown => {}
    }
    stop_stragglers(cluster).await
}

/// Signals a server in steps of growing violence, until `ended` says that it is over. False when nothing helped.
pub(super) async fn escalate(pid: i32, mut ended: impl FnMut() -> bool) -> bool {
    for (signal, patience) in [FAST, IMMEDIATE, KILL] {
        send(pid, signal);
        if gone_within(patience, &mut ended).await {
            return true;
        }
        tracing::warn!(pid, ?signal, waited_s = patience.as_secs(), "PostgreSQL is late to stop");
    }
    false
}

/// Backends outlive a postmaster that was killed until they next look, and the shared memory that they hold keeps a
/// new one from starting.
async fn stop_stragglers(cluster: &Path) -> Result<(), EmbeddedError> {
    for (signal, patience) in [IMMEDIATE, KILL] {
        let left = servers_in(cluster);
        if left.is_empty() {
            return Ok(());
        }
        tracing::warn!(pids = ?left, ?signal, "stopping processes of a PostgreSQL that was killed");
        left.iter().for_each(|&pid| send(pid, signal));
        gone_within(patience, || servers_in(cluster).is_empty()).await;
    }
    match servers_in(cluster).as_slice() {
        [] => Ok(()),
        left => Err(EmbeddedError::new(format!("PostgreSQL processes {left:?} of {} do not end", cluster.display()))),
    }
}

fn send(pid: i32, signal: Signal) {
    // A process that has just ended is what the signal was for.
    if let Err(error) = kill(Pid::from_raw(pid), signal)
        && error != Errno::ESRCH
    {
        tracing::warn!(pid, ?signal, %error, "cannot signal PostgreSQL");
    }
}

async fn gone_within(patience: Duration, mut gone: impl FnMut() -> bool) -> bool {
    let poll = async {
        while !gone() {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(patience, poll).await.is_ok()
}

fn recorded_pid(cluster: &Path) -> Option<i32> {
    let text = std::fs::read_to_string(cluster.join("postmaster.pid")).ok()?;
    text.lines().next()?.trim().parse().ok().filter(|&pid| pid > 1)
}

fn remove_pid_files(cluster: &Path, pid: i32) {
    tracing::info!(pid, "removing PostgreSQL's pid file: the process with that number now is not its server");
    let text = std::fs::read_to_string(cluster.join("postmaster.pid")).unwrap_or_default();
    // Lines 4 and 5 are the port and the socket directory; the socket's lock file names the same process.
    let socket_lock = text.lines().nth(3).zip(text.lines().nth(4)).filter(|(_, dir)| !dir.is_empty());
    if let Some((port, dir)) = socket_lock {
        let _ = std::fs::remove_file(Path::new(dir).join(format!(".s.PGSQL.{port}.lock")));
    }
    let _ = std::fs::remove_file(cluster.join("postmaster.pid"));
}

fn identify(pid: i32, cluster: &Path) -> Identity {
    // EPERM means that the process is there and belongs to somebody else.
    if kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH) {
        return Identity::Gone;
    }
    if Path::new("/proc/self/stat").exists() { identify_by_proc(pid, cluster) } else { identify_by_ps(pid, cluster) }
}

fn identify_by_proc(pid: i32, cluster: &Path) -> Identity {
    let proc = Path::new("/proc").join(pid.to_string());
    let Ok(stat) = std::fs::read_to_string(proc.join("stat")) else { return Identity::Gone };
    let Some((name, state)) = parse_stat(&stat) else { return Identity::Unknown };
    // A zombie works nowhere, and may stay as long as its parent likes.
    if !matches!(name, "postgres" | "postmaster") || state == 'Z' {
        return Identity::Stranger;
    }
    if let Ok(dir) = std::fs::read_link(proc.join("cwd")) {
        return if dir == cluster { Identity::OurServer } else { Identity::Stranger };
    }
    // A container's root may lack the right to read another user's cwd; a command line is open to all.
    let arguments = std::fs::read(proc.join("cmdline")).unwrap_or_default();
    let arguments: Vec<&[u8]> = arguments.split(|&byte| byte == 0).collect();
    let wanted = [b"-D".as_slice(), cluster.as_os_str().as_encoded_bytes()];
    if arguments.windows(2).any(|pair| pair == wanted) { Identity::OurServer } else { Identity::Unknown }
}

/// Name and state in a line of `/proc/<pid>/stat`. The name is in parentheses and may itself contain some.
fn parse_stat(stat: &str) -> Option<(&str, char)> {
    let (head, tail) = stat.rsplit_once(')')?;
    Some((head.split_once('(')?.1, tail.trim_start().chars().next()?))
}

fn identify_by_ps(pid: i32, cluster: &Path) -> Identity {
    let output = std::process::Command::new("ps").args(["-o", "command=", "-p", &pid.to_string()]).output();
    let Ok(output) = output else { return Identity::Unknown };
    let command = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if command.ends_with(&format!("postgres -D {}", cluster.display())) {
        Identity::OurServer
    } else {
        Identity::Stranger
    }
}

/// Processes of a server in `cluster`; empty where there is no /proc.
fn servers_in(cluster: &Path) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&pid| identify_by_proc(pid, cluster) == Identity::OurServer)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_lines_with_odd_names() {
        assert_eq!(parse_stat("12 (postgres) S 1 12"), Some(("postgres", 'S')));
        assert_eq!(parse_stat("12 (a) (b)) Z 1"), Some(("a) (b)", 'Z')));
    }

    #[tokio::test]
    async fn a_stranger_with_the_recorded_number_is_left_alone() {
        let cluster = tempfile::tempdir().expect("a temp dir");
        let pid = std::process::id();
        let socket_lock = cluster.path().join(".s.PGSQL.5432.lock");
        let record = format!("{pid}\n{0}\n1700000000\n5432\n{0}\n\n", cluster.path().display());
        std::fs::write(cluster.path().join("postmaster.pid"), record).expect("a writable dir");
        std::fs::write(&socket_lock, pid.to_string()).expect("a writable dir");
        stop(cluster.path()).await.expect("nothing to stop");
        assert!(!cluster.path().join("postmaster.pid").exists() && !socket_lock.exists());
    }
}
