//! The folder of backups. A backup is made in a folder whose name ends in `.partial`, and gets its name when all of it is on disk:
//! what has a name is whole. One process at a time makes, removes or completes.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::fcntl::{Flock, FlockArg};

use super::manifest::{self, MANIFEST_FILE, Manifest, VERIFIED_FILE, Verified};
use crate::files;
use crate::storage::StorageError;

const LOCK_FILE: &str = "backups.lock";
const PARTIAL: &str = ".partial";
/// Archives of WAL are below it.
pub const WAL_FOLDER: &str = "wal";

/// A folder of backups.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
}

/// One that is whole.
#[derive(Debug, Clone)]
pub struct Backup {
    pub id: String,
    pub path: PathBuf,
    pub manifest: Manifest,
    pub verified: Option<Verified>,
}

impl Backup {
    /// Whether nobody has found it damaged.
    pub fn is_good(&self) -> bool {
        self.verified.as_ref().is_none_or(|verified| verified.good)
    }
}

/// What lies among the backups and is none that can be read.
#[derive(Debug)]
pub struct Unreadable {
    pub id: String,
    pub why: String,
}

/// The right to change what is in the folder; ends when dropped, or with the process.
#[derive(Debug)]
pub struct Hold {
    folder: Folder,
    _file: Flock<File>,
}

/// A backup that is being made; removed when it is dropped unfinished.
#[derive(Debug)]
pub struct Partial {
    path: PathBuf,
    target: PathBuf,
    finished: bool,
}

impl Folder {
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the folder if need be (its parent must be there), and holds it.
    pub fn hold(&self) -> Result<Hold, StorageError> {
        let shown = self.path.display();
        let fail = |error: std::io::Error| {
            StorageError::fatal(format!(
                "the folder of backups {shown} cannot be used: {error}; backup.dir names another one, whose parent must be there"
            ))
        };
        files::private_dir(&self.path).map_err(fail)?;
        let file = files::open_or_create(&self.path.join(LOCK_FILE)).map_err(fail)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut file) => {
                let noted = file.set_len(0).and_then(|()| file.rewind());
                noted.and_then(|()| writeln!(file, "{}", std::process::id())).map_err(fail)?;
                Ok(Hold { folder: self.clone(), _file: file })
            }
            Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
                let mut pid = String::new();
                let _ = file.read_to_string(&mut pid);
                let who =
                    if pid.trim().is_empty() { "another process".into() } else { format!("process {}", pid.trim()) };
                Err(StorageError::retryable(format!(
                    "{who} makes a backup in {shown} just now; try again when it is done"
                )))
            }
            Err((_, errno)) => Err(fail(errno.into())),
        }
    }

    /// What is whole, the newest last, and what cannot be read. A folder that is not there has none.
    pub fn list(&self) -> Result<(Vec<Backup>, Vec<Unreadable>), StorageError> {
        let mut found = Vec::new();
        let mut unreadable = Vec::new();
        for name in names(&self.path)? {
            if name.ends_with(PARTIAL) || name == WAL_FOLDER || !self.path.join(&name).is_dir() {
                continue;
            }
            let path = self.path.join(&name);
            match Manifest::read(&path) {
                Ok(manifest) => {
                    let verified = std::fs::read(path.join(VERIFIED_FILE)).ok();
                    let verified = verified.and_then(|bytes| serde_json::from_slice(&bytes).ok());
                    found.push(Backup { id: name, path, manifest, verified });
                }
                Err(error) => unreadable.push(Unreadable { id: name, why: error.to_string() }),
            }
        }
        found.sort_by(|one, other| (one.manifest.ended, &one.id).cmp(&(other.manifest.ended, &other.id)));
        Ok((found, unreadable))
    }

    /// One by its name, or the newest that is not known to be damaged.
    pub fn find(&self, id: Option<&str>) -> Result<Backup, StorageError> {
        let (found, unreadable) = self.list()?;
        let shown = self.path.display();
        let Some(id) = id.filter(|id| *id != "latest") else {
            return found.into_iter().rfind(Backup::is_good).ok_or_else(|| {
                StorageError::fatal(format!(
                    "there is no good backup in {shown} (--dir, or backup.dir, says where they are)"
                ))
            });
        };
        if let Some(Unreadable { why, .. }) = unreadable.iter().find(|one| one.id == id) {
            return Err(StorageError::fatal(format!("the backup {id} in {shown} is damaged: {why}")));
        }
        found.into_iter().find(|backup| backup.id == id).ok_or_else(|| {
            StorageError::fatal(format!(
                "there is no backup {id} in {shown} (tidegate backup list shows what there is)"
            ))
        })
    }

    /// The newest good one that was complete at a time.
    pub fn before(&self, time: Timestamp) -> Result<Backup, StorageError> {
        let (found, _unreadable) = self.list()?;
        let fits = |backup: &Backup| backup.is_good() && backup.manifest.ended <= time;
        found.into_iter().rfind(fits).ok_or_else(|| {
            let shown = self.path.display();
            StorageError::fatal(format!(
                "there is no good backup in {shown} that was complete by {time}: an older moment is gone"
            ))
        })
    }
}

impl Hold {
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Begins a backup, and removes what killed ones have left.
    pub fn begin(&self) -> Result<Partial, StorageError> {
        for name in names(&self.folder.path)?.iter().filter(|name| name.ends_with(PARTIAL)) {
            let path = self.folder.path.join(name);
            tracing::warn!(path = %path.display(), "removing a backup that was never finished");
            remove(&path)?;
        }
        let stamp = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let names = std::iter::once(stamp.clone()).chain((2..).map(|n| format!("{stamp}-{n}")));
        let mut targets = names.map(|name| self.folder.path.join(name));
        let target = targets.find(|path| !path.exists()).expect("numbers do not end");
        let mut path = target.clone().into_os_string();
        path.push(PARTIAL);
        let path = PathBuf::from(path);
        files::private_dir(&path)
            .map_err(|error| StorageError::fatal(format!("cannot make {}: {error}", path.display())))?;
        Ok(Partial { path, target, finished: false })
    }

    /// Removes a whole backup: its name first, so that none is seen that lacks something.
    pub fn remove(&self, backup: &Backup) -> Result<(), StorageError> {
        let gone = self.folder.path.join(format!("{}{PARTIAL}", backup.id));
        std::fs::rename(&backup.path, &gone)
            .map_err(|error| StorageError::fatal(format!("cannot remove {}: {error}", backup.path.display())))?;
        remove(&gone)
    }

    /// Notes how a backup stood.
    pub fn note(&self, backup: &Backup, verified: &Verified) -> Result<(), StorageError> {
        manifest::write(&backup.path.join(VERIFIED_FILE), verified)
    }
}

impl Partial {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its name, once all of it is on disk.
    pub fn finish(mut self, manifest: Manifest) -> Result<Backup, StorageError> {
        manifest::write(&self.path.join(MANIFEST_FILE), &manifest)?;
        let fail =
            |error: std::io::Error| StorageError::fatal(format!("cannot complete {}: {error}", self.path.display()));
        let parent = self.target.parent().unwrap_or(Path::new("/"));
        File::open(&self.path).and_then(|folder| folder.sync_all()).map_err(fail)?;
        std::fs::rename(&self.path, &self.target).map_err(fail)?;
        File::open(parent).and_then(|folder| folder.sync_all()).map_err(fail)?;
        self.finished = true;
        let id = self.target.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Backup { id, path: self.target.clone(), manifest, verified: None })
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.finished
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "an unfinished backup could not be removed; the next one does");
        }
    }
}

/// What is in a folder, by name; one that is not there has nothing.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, StorageError> {
    match std::fs::read_dir(folder) {
        Ok(entries) => {
            let mut names: Vec<String> =
                entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
            names.sort();
            Ok(names)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(StorageError::fatal(format!("cannot read {}: {error}", folder.display()))),
    }
}

fn remove(path: &Path) -> Result<(), StorageError> {
    std::fs::remove_dir_all(path)
        .map_err(|error| StorageError::fatal(format!("cannot remove {}: {error}", path.display())))
}

/// Bytes of all files below a folder. Blocks.
pub fn bytes_of(folder: &Path) -> Result<u64, StorageError> {
    let fail = |error: std::io::Error| StorageError::fatal(format!("cannot read {}: {error}", folder.display()));
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let metadata = entry.metadata().map_err(fail)?;
        bytes += if metadata.is_dir() { bytes_of(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}
