//! A base backup becomes a cluster again: its files are copied to where a new one would be, and the server recovers them to the
//! moment that is asked for. What comes of it is on a timeline of its own, by which the log of streams knows that it was restored.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, lchown};
use std::path::{Path, PathBuf};

use super::account::ServerAccount;
use super::cluster::{self, NAME};
use super::config::EmbeddedConfig;
use super::error::EmbeddedError;
use super::install;
use super::lock::{DataDirLock, LOCK_FILE};
use super::server::EmbeddedServer;

/// Where in the cluster the WAL lies that the server is to read; it is removed when that is done.
const ARCHIVE: &str = "tidegate_restore";

/// How the names of sockets, and of their lock files, begin.
const SOCKETS: &str = ".s.PGSQL.";

/// What is put back.
pub struct PutBack {
    /// The files, as `pg_basebackup` writes them.
    pub base: PathBuf,
    /// Files of WAL from an archive, with the names under which the server asks for them.
    pub wal: Vec<(PathBuf, String)>,
    pub until: Until,
}

/// How far the WAL is read.
pub enum Until {
    /// The end of the backup.
    Backup,
    /// A time, as PostgreSQL writes it.
    Time(String),
    /// All that there is.
    EndOfWal,
}

/// Makes the cluster of `config.data_dir`, which must be empty or not there, and starts its server; returns once it is recovered.
/// What was copied is removed again when that fails.
pub async fn put_back(what: PutBack, mut config: EmbeddedConfig) -> Result<EmbeddedServer, EmbeddedError> {
    refuse_used(&config.data_dir)?;
    let lock = DataDirLock::acquire(&config.data_dir)?;
    let place = lock.data_dir().join(NAME);
    let version_file = what.base.join("PG_VERSION");
    let version = std::fs::read_to_string(&version_file).map_err(|e| EmbeddedError::io("read", &version_file, e))?;
    let major = version.trim().parse().map_err(|_| {
        EmbeddedError::new(format!("{} does not hold a PostgreSQL major version", version_file.display()))
    })?;
    let installation = install::choose(Some(major), config.preload_timescaledb, config.bin_dir.as_deref()).await?;
    config.extra_settings.extend(recovery(&what.until));
    let durable = config.durable;
    let data_dir = lock.data_dir().to_owned();
    let fill = async |dir: &Path, account: &ServerAccount| {
        let (dir, account) = (dir.to_owned(), *account);
        let copied = tokio::task::spawn_blocking(move || copy(&what, &dir, &account, durable)).await;
        copied.map_err(|error| EmbeddedError::new(format!("copying the backup ended: {error}")))?
    };
    let cluster = cluster::create_by(&place, installation, fill).await?.dir;
    match EmbeddedServer::start_locked(config, lock).await {
        Ok(server) => {
            let archive = cluster.join(ARCHIVE);
            if let Err(error) = std::fs::remove_dir_all(&archive) {
                tracing::warn!(path = %archive.display(), %error, "what the server has read could not be removed; it may be");
            }
            Ok(server)
        }
        Err(error) => {
            take_away(&data_dir);
            Err(error)
        }
    }
}

/// Removes the cluster of a data directory, whose server is stopped: what did not come up, or cannot be read, is none that somebody should
/// find here.
pub fn take_away(data_dir: &Path) {
    let place = data_dir.join(NAME);
    if let Ok(cluster) = place.canonicalize() {
        let _ = std::fs::remove_dir_all(cluster);
    }
    // Where it lies elsewhere.
    let _ = std::fs::remove_file(place);
}

fn refuse_used(data_dir: &Path) -> Result<(), EmbeddedError> {
    let entries = match std::fs::read_dir(data_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(EmbeddedError::io("read", data_dir, error)),
    };
    // A volume of its own has the first, a restore that failed leaves the other.
    let foreign = |name: &std::ffi::OsStr| name != "lost+found" && name != LOCK_FILE;
    if entries.flatten().any(|entry| foreign(&entry.file_name())) {
        return Err(EmbeddedError::new(format!(
            "{} is not empty, and nothing is written over: name a new folder",
            data_dir.display()
        )));
    }
    Ok(())
}

/// The settings of the one start that recovers. Nobody can connect before it is over.
fn recovery(until: &Until) -> Vec<(String, String)> {
    let archive = || ("restore_command", format!("cp \"{ARCHIVE}/%f\" \"%p\""));
    let mut settings = vec![("hot_standby", "off".to_owned()), ("recovery_target_action", "promote".to_owned())];
    settings.extend(match until {
        Until::Backup => vec![("restore_command", "false".to_owned()), ("recovery_target", "immediate".to_owned())],
        Until::Time(time) => vec![archive(), ("recovery_target_time", time.clone())],
        Until::EndOfWal => vec![archive()],
    });
    settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn copy(what: &PutBack, target: &Path, account: &ServerAccount, durable: bool) -> Result<(), EmbeddedError> {
    let mut unfinished = target.as_os_str().to_owned();
    unfinished.push(format!(".restore-{}", std::process::id()));
    let unfinished = PathBuf::from(unfinished);
    let copied = (|| {
        copy_folder(&what.base, &unfinished, account, durable)?;
        let archive = unfinished.join(ARCHIVE);
        make_folder(&archive, account)?;
        for (file, name) in &what.wal {
            copy_file(file, &archive.join(name), account, durable)?;
        }
        let signal = unfinished.join("recovery.signal");
        File::create(&signal).map_err(|e| EmbeddedError::io("create", &signal, e))?;
        account.own(&signal)?;
        std::fs::rename(&unfinished, target).map_err(|e| EmbeddedError::io("put in place", target, e))?;
        sync(target.parent().unwrap_or(Path::new("/")))
    })();
    if copied.is_err() {
        let _ = std::fs::remove_dir_all(&unfinished);
    }
    copied
}

fn copy_folder(from: &Path, to: &Path, account: &ServerAccount, durable: bool) -> Result<(), EmbeddedError> {
    make_folder(to, account)?;
    for entry in std::fs::read_dir(from).map_err(|e| EmbeddedError::io("read", from, e))? {
        let entry = entry.map_err(|e| EmbeddedError::io("read", from, e))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        // Of the server that was backed up, and runs on: the one that is started here would take it for one of its own.
        if entry.file_name().to_string_lossy().starts_with(SOCKETS) {
            continue;
        }
        let kind = entry.file_type().map_err(|e| EmbeddedError::io("read", &path, e))?;
        if kind.is_dir() {
            copy_folder(&path, &target, account, durable)?;
        } else if kind.is_file() {
            copy_file(&path, &target, account, durable)?;
        } else {
            return Err(EmbeddedError::new(format!("{} is neither a file nor a folder", path.display())));
        }
    }
    if durable { sync(to) } else { Ok(()) }
}

fn make_folder(path: &Path, account: &ServerAccount) -> Result<(), EmbeddedError> {
    DirBuilder::new().mode(0o700).create(path).map_err(|e| EmbeddedError::io("create", path, e))?;
    account.own(path)
}

fn copy_file(from: &Path, to: &Path, account: &ServerAccount, durable: bool) -> Result<(), EmbeddedError> {
    std::fs::copy(from, to).map_err(|e| EmbeddedError::io("copy to", to, e))?;
    if let Some((uid, gid)) = account.owner() {
        lchown(to, Some(uid), Some(gid)).map_err(|e| EmbeddedError::io("change the owner of", to, e))?;
    }
    if durable { sync(to) } else { Ok(()) }
}

fn sync(path: &Path) -> Result<(), EmbeddedError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|e| EmbeddedError::io("write to disk", path, e))
}
