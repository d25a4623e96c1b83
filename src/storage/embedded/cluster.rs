//! Where the cluster's files are, and their first creation. A cluster appears under its name only when `initdb` has
//! finished, so a kill in the middle leaves nothing that looks like one.

use std::fs::{File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use super::account::ServerAccount;
use super::config::EmbeddedConfig;
use super::error::EmbeddedError;
use super::install::{self, Installation};
use super::{leftover, settings};
use crate::files;

/// The cluster's name inside the data directory; a directory, or a link to one.
pub(super) const NAME: &str = "postgres";
/// Home of clusters whose data directory the server's account cannot reach.
const SYSTEM_HOME: &str = "/var/lib/tidegate";
/// Longest socket path that every supported system takes: macOS ends at 103 bytes, Linux at 107.
const SOCKET_PATH_BYTES_MAX: usize = 100;

/// Whether a data directory holds a cluster, or the link to one.
pub fn has_cluster(data_dir: &Path) -> bool {
    std::fs::symlink_metadata(data_dir.join(NAME)).is_ok()
}

/// A cluster that exists, and what runs it.
pub(super) struct Cluster {
    /// Absolute and free of links, as the server's own `/proc/<pid>/cwd` shows it.
    pub dir: PathBuf,
    pub account: ServerAccount,
    pub installation: Installation,
}

/// Finds the cluster of `data_dir`, or makes it.
pub(super) async fn open_or_create(data_dir: &Path, config: &EmbeddedConfig) -> Result<Cluster, EmbeddedError> {
    let place = data_dir.join(NAME);
    if std::fs::symlink_metadata(&place).is_ok() {
        return open(&place, config).await;
    }
    create(&place, config).await
}

/// Finds the cluster of `data_dir` for a process that ran it before: what is gone since then is not replaced by an empty one.
pub(super) async fn open_again(data_dir: &Path, config: &EmbeddedConfig) -> Result<Cluster, EmbeddedError> {
    let place = data_dir.join(NAME);
    if std::fs::symlink_metadata(&place).is_ok() {
        return open(&place, config).await;
    }
    Err(EmbeddedError::new(format!(
        "{} was removed while Tidegate ran: put it back, or stop Tidegate and restore a backup before it starts again",
        place.display()
    )))
}

async fn open(place: &Path, config: &EmbeddedConfig) -> Result<Cluster, EmbeddedError> {
    let dir = place.canonicalize().map_err(|e| {
        let what = "find the PostgreSQL cluster (restore it, or remove this name to begin with an empty one)";
        EmbeddedError::io(what, place, e)
    })?;
    let version_file = dir.join("PG_VERSION");
    let version = std::fs::read_to_string(&version_file).map_err(|e| EmbeddedError::io("read", &version_file, e))?;
    let major = version.trim().parse().map_err(|_| {
        EmbeddedError::new(format!("{} does not hold a PostgreSQL major version", version_file.display()))
    })?;
    let installation = install::choose(Some(major), config.preload_timescaledb, config.bin_dir.as_deref()).await?;
    let account = ServerAccount::of_cluster(&dir)?;
    if !account.can_enter(&dir, &installation.program("postgres")).await {
        return Err(EmbeddedError::new(format!(
            "user id {}, which runs PostgreSQL, cannot reach {} or run {}: make every directory above them searchable \
             for it (chmod o+x)",
            account.uid(),
            dir.display(),
            installation.bin_dir.display()
        )));
    }
    Ok(Cluster { dir, account, installation })
}

async fn create(place: &Path, config: &EmbeddedConfig) -> Result<Cluster, EmbeddedError> {
    let installation = install::choose(None, config.preload_timescaledb, config.bin_dir.as_deref()).await?;
    let made = installation.clone();
    let fill = async |dir: &Path, account: &ServerAccount| initdb(dir, account, &made, config.durable).await;
    create_by(place, installation, fill).await
}

/// Makes a cluster where a new one is to be: `fill` puts it there, whole or not at all.
pub(super) async fn create_by(
    place: &Path,
    installation: Installation,
    fill: impl AsyncFnOnce(&Path, &ServerAccount) -> Result<(), EmbeddedError>,
) -> Result<Cluster, EmbeddedError> {
    let account = ServerAccount::for_new_cluster()?;
    let data_dir = place.parent().unwrap_or(Path::new("/"));
    let postgres = installation.program("postgres");
    if !account.can_enter(Path::new("/"), &postgres).await {
        let (uid, program) = (account.uid(), postgres.display());
        return Err(EmbeddedError::new(format!("user id {uid}, which is to run PostgreSQL, cannot run {program}")));
    }
    let dir = if account.can_enter(data_dir, &postgres).await {
        fill(place, &account).await?;
        place.to_owned()
    } else {
        let home = Path::new(SYSTEM_HOME);
        let dir = home.join(short_hash(data_dir));
        files::passable_dirs(home).map_err(|e| EmbeddedError::io("create", home, e))?;
        set_aside(&dir).await?;
        fill(&dir, &account).await?;
        symlink(&dir, place).map_err(|e| EmbeddedError::io("create the link", place, e))?;
        tracing::info!(data_dir = %data_dir.display(), cluster = %dir.display(),
            "PostgreSQL does not run as root and its user cannot reach the data directory; the cluster is elsewhere");
        dir
    };
    Ok(Cluster { dir: dir.canonicalize().map_err(|e| EmbeddedError::io("resolve", &dir, e))?, account, installation })
}

/// A cluster left by a data directory of the same path that was deleted: its rows must not turn up in a database that
/// looks new, and must not be destroyed either.
async fn set_aside(dir: &Path) -> Result<(), EmbeddedError> {
    let Ok(real) = dir.canonicalize() else { return Ok(()) };
    leftover::stop(&real).await?;
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let aside = dir.with_extension(format!("before-{seconds}"));
    std::fs::rename(dir, &aside).map_err(|e| EmbeddedError::io("move aside", dir, e))?;
    tracing::warn!(moved_to = %aside.display(),
        "a PostgreSQL cluster of an earlier, deleted data directory was set aside; remove it when it is not needed");
    Ok(())
}

async fn initdb(
    target: &Path,
    account: &ServerAccount,
    installation: &Installation,
    durable: bool,
) -> Result<(), EmbeddedError> {
    let parent = target.parent().unwrap_or(Path::new("/"));
    let prefix = format!("{}.initdb-", target.file_name().unwrap_or_default().to_string_lossy());
    remove_unfinished(parent, &prefix);
    let unfinished = parent.join(format!("{prefix}{}", std::process::id()));
    std::fs::create_dir(&unfinished)
        .and_then(|()| std::fs::set_permissions(&unfinished, Permissions::from_mode(0o700)))
        .map_err(|e| EmbeddedError::io("create", &unfinished, e))?;
    account.own(&unfinished)?;
    tracing::info!(cluster = %target.display(), postgres = installation.major, "creating the PostgreSQL cluster");

    let program = installation.program("initdb");
    let mut complaint = String::new();
    // C compares bytes, which is what keys want. C.UTF-8 only adds upper and lower case beyond ASCII, and not every
    // system has it; initdb checks the name before it writes anything.
    for ctype in ["C.UTF-8", "C"] {
        let mut command = account.command(&program);
        command.arg("--pgdata").arg(&unfinished);
        command.args(["--username=postgres", "--encoding=UTF8", "--locale=C", "--data-checksums"]);
        command.args(["--auth-local=trust", "--auth-host=reject", &format!("--lc-ctype={ctype}")]);
        if !durable {
            command.arg("--no-sync");
        }
        let output = command.kill_on_drop(true).output().await.map_err(|e| EmbeddedError::io("run", &program, e))?;
        if output.status.success() {
            return publish(&unfinished, target, account);
        }
        complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    }
    remove_unfinished(parent, &prefix);
    Err(EmbeddedError::new(format!("{} could not create {}: {complaint}", program.display(), target.display())))
}

fn publish(unfinished: &Path, target: &Path, account: &ServerAccount) -> Result<(), EmbeddedError> {
    let conf = unfinished.join("postgresql.conf");
    let finish = || {
        OpenOptions::new().append(true).open(&conf)?.write_all(settings::INCLUDE_LINE.as_bytes())?;
        File::open(&conf)?.sync_all()?;
        std::fs::rename(unfinished, target)?;
        File::open(target.parent().unwrap_or(Path::new("/")))?.sync_all()
    };
    finish().map_err(|e| EmbeddedError::io("put in place", target, e))?;
    account.own(target)
}

/// What a start left that was killed during `initdb`. The data directory's lock is held, so none of it is in use.
fn remove_unfinished(parent: &Path, prefix: &str) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for entry in entries.flatten().filter(|e| e.file_name().to_string_lossy().starts_with(prefix)) {
        if let Err(error) = std::fs::remove_dir_all(entry.path()) {
            tracing::warn!(path = %entry.path().display(), %error, "cannot remove an unfinished PostgreSQL cluster");
        }
    }
}

/// The directory of the server's Unix socket, made if need be: inside the cluster, or under the temporary directory
/// when that path is too long for a socket.
pub(super) fn socket_dir(cluster: &Path, account: &ServerAccount, port: u16) -> Result<PathBuf, EmbeddedError> {
    let fits = |dir: &Path| dir.join(format!(".s.PGSQL.{port}")).as_os_str().len() <= SOCKET_PATH_BYTES_MAX;
    let short = format!("tidegate-{}", short_hash(cluster));
    let dir = [cluster.join("run"), std::env::temp_dir().join(&short), Path::new("/tmp").join(&short)]
        .into_iter()
        .find(|dir| fits(dir))
        .ok_or_else(|| EmbeddedError::new("no directory has a path short enough for PostgreSQL's socket"))?;
    match std::fs::create_dir(&dir) {
        Ok(()) => account.own(&dir)?,
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => refuse_foreign(&dir, account)?,
        Err(e) => return Err(EmbeddedError::io("create the socket directory", &dir, e)),
    }
    std::fs::set_permissions(&dir, Permissions::from_mode(0o700))
        .map_err(|e| EmbeddedError::io("protect the socket directory", &dir, e))?;
    Ok(dir)
}

/// Anybody may make names in a temporary directory; a socket must not lie in somebody else's.
fn refuse_foreign(dir: &Path, account: &ServerAccount) -> Result<(), EmbeddedError> {
    let found = std::fs::symlink_metadata(dir).map_err(|e| EmbeddedError::io("read", dir, e))?;
    if found.is_dir() && found.uid() == account.uid() {
        return Ok(());
    }
    let (uid, dir) = (account.uid(), dir.display());
    Err(EmbeddedError::new(format!("{dir} is not a directory of user id {uid}, which is to run PostgreSQL: remove it")))
}

/// Sixteen hexadecimal digits that stand for a path.
fn short_hash(path: &Path) -> String {
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
