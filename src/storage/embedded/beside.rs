//! A cluster that is made beside the one of a data directory, and takes its place when it is whole: how an embedded server gets to
//! another major version. It lies in a folder of its own, a data directory within the data directory.
//!
//! Two renames put it in place, and nothing lies under the old name between them. The next one to come finds the folder with its mark:
//! a start makes no empty cluster, and the next `tidegate upgrade` ends what was begun.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::cluster::NAME;
use super::error::EmbeddedError;
use super::leftover;
use super::lock::DataDirLock;

/// How the folder's name begins; then comes the major version.
const PREFIX: &str = "postgres.upgrade-";
/// In the folder once its cluster has all that the old one has.
const WHOLE: &str = "whole";

/// The folder of a new cluster.
pub struct Beside {
    data_dir: PathBuf,
    folder: PathBuf,
    major: u32,
}

/// The major version of a data directory's cluster.
pub fn cluster_major(data_dir: &Path) -> Result<u32, EmbeddedError> {
    let file = data_dir.join(NAME).join("PG_VERSION");
    let version = std::fs::read_to_string(&file).map_err(|e| EmbeddedError::io("read", &file, e))?;
    let fail = |_| EmbeddedError::new(format!("{} does not hold a PostgreSQL major version", file.display()));
    version.trim().parse().map_err(fail)
}

/// The name under which the cluster of an older version is kept.
pub fn kept(data_dir: &Path, major: u32) -> PathBuf {
    data_dir.join(format!("{NAME}.{major}"))
}

impl Beside {
    /// Of the holder of a data directory's lock.
    pub fn new(lock: &DataDirLock, major: u32) -> Self {
        let data_dir = lock.data_dir().to_owned();
        Self { folder: data_dir.join(format!("{PREFIX}{major}")), data_dir, major }
    }

    /// One whose cluster is whole, while none is in the place that is its: the upgrade was ended between its two renames.
    pub fn interrupted(data_dir: &Path) -> Option<Self> {
        let in_place = std::fs::symlink_metadata(data_dir.join(NAME)).is_ok();
        Self::whole(data_dir).filter(|beside| !in_place && beside.folder.join(NAME).join("PG_VERSION").is_file())
    }

    /// One whose cluster is in its place already: the upgrade was ended after its last rename.
    pub fn ended(data_dir: &Path) -> Option<Self> {
        let in_place = std::fs::symlink_metadata(data_dir.join(NAME)).is_ok();
        Self::whole(data_dir).filter(|beside| in_place && std::fs::symlink_metadata(beside.folder.join(NAME)).is_err())
    }

    /// One that was marked as having all that the old cluster has.
    fn whole(data_dir: &Path) -> Option<Self> {
        let entries = std::fs::read_dir(data_dir).ok()?;
        entries.flatten().find_map(|entry| {
            let major = entry.file_name().to_str()?.strip_prefix(PREFIX)?.parse().ok()?;
            let folder = entry.path();
            folder.join(WHOLE).is_file().then(|| Self { data_dir: data_dir.to_owned(), folder, major })
        })
    }

    /// The data directory for the new server.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn major(&self) -> u32 {
        self.major
    }

    /// Removes it, with its cluster, wherever that lies, and the server that may run on it.
    pub async fn discard(&self) -> Result<(), EmbeddedError> {
        if let Ok(cluster) = self.folder.join(NAME).canonicalize() {
            leftover::stop(&cluster).await?;
            std::fs::remove_dir_all(&cluster).map_err(|e| EmbeddedError::io("remove", &cluster, e))?;
        }
        self.remove()
    }

    /// Removes the folder, where no cluster is in it.
    pub fn remove(&self) -> Result<(), EmbeddedError> {
        match std::fs::remove_dir_all(&self.folder) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(EmbeddedError::io("remove", &self.folder, e)),
            _ => Ok(()),
        }
    }

    /// Puts it in the place of the old one, which is kept under the name that is returned. Both servers are stopped.
    pub fn swap(&self, old: u32) -> Result<PathBuf, EmbeddedError> {
        let (place, kept) = (self.data_dir.join(NAME), kept(&self.data_dir, old));
        if std::fs::symlink_metadata(&kept).is_ok() {
            return Err(EmbeddedError::new(format!("{} is there already: move it away or remove it", kept.display())));
        }
        let mark = self.folder.join(WHOLE);
        File::create(&mark).and_then(|file| file.sync_all()).map_err(|e| EmbeddedError::io("write", &mark, e))?;
        sync(&self.folder)?;
        std::fs::rename(&place, &kept).map_err(|e| EmbeddedError::io("move aside", &place, e))?;
        self.put_in_place()?;
        Ok(kept)
    }

    /// The second of the two renames.
    pub fn put_in_place(&self) -> Result<(), EmbeddedError> {
        let (new, place) = (self.folder.join(NAME), self.data_dir.join(NAME));
        std::fs::rename(&new, &place).map_err(|e| EmbeddedError::io("put in place", &new, e))?;
        sync(&self.data_dir)?;
        self.remove()
    }
}

fn sync(folder: &Path) -> Result<(), EmbeddedError> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(|e| EmbeddedError::io("write to disk", folder, e))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use super::*;

    fn cluster(place: &Path, major: u32) {
        std::fs::create_dir_all(place).unwrap();
        std::fs::write(place.join("PG_VERSION"), format!("{major}\n")).unwrap();
    }

    #[test]
    fn a_new_cluster_takes_the_place_of_the_old_one_which_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let lock = DataDirLock::acquire(dir.path()).unwrap();
        let data_dir = lock.data_dir().to_owned();
        let beside = Beside::new(&lock, 18);
        cluster(&data_dir.join(NAME), 15);
        cluster(&beside.folder().join(NAME), 18);
        assert!(Beside::interrupted(&data_dir).is_none());
        let kept = beside.swap(15).unwrap();
        assert_eq!(std::fs::read_to_string(kept.join("PG_VERSION")).unwrap(), "15\n");
        assert_eq!((cluster_major(&data_dir).unwrap(), beside.folder().exists()), (18, false));
        // Nothing is written over.
        cluster(&beside.folder().join(NAME), 18);
        let error = beside.swap(15).unwrap_err().to_string();
        assert!(error.contains("postgres.15 is there already"), "{error}");
    }

    #[test]
    fn one_that_was_ended_between_the_renames_is_found_and_ended() {
        let dir = tempfile::tempdir().unwrap();
        let lock = DataDirLock::acquire(dir.path()).unwrap();
        let data_dir = lock.data_dir().to_owned();
        let beside = Beside::new(&lock, 18);
        cluster(&beside.folder().join(NAME), 18);
        assert!(Beside::interrupted(&data_dir).is_none(), "it may not be whole");
        File::create(beside.folder().join(WHOLE)).unwrap();
        let found = Beside::interrupted(&data_dir).unwrap();
        found.put_in_place().unwrap();
        assert_eq!((found.major(), cluster_major(&data_dir).unwrap()), (18, 18));
        assert!(Beside::interrupted(&data_dir).is_none() && Beside::ended(&data_dir).is_none());
        // Or after the second rename, before the folder was removed.
        std::fs::create_dir(beside.folder()).unwrap();
        assert!(Beside::ended(&data_dir).is_none(), "it is not marked");
        File::create(beside.folder().join(WHOLE)).unwrap();
        Beside::ended(&data_dir).unwrap().remove().unwrap();
        assert!(!beside.folder().exists());
    }

    #[tokio::test]
    async fn what_is_discarded_is_gone_wherever_it_lies() {
        let dir = tempfile::tempdir().unwrap();
        let lock = DataDirLock::acquire(dir.path()).unwrap();
        let beside = Beside::new(&lock, 18);
        beside.discard().await.unwrap();
        let elsewhere = dir.path().join("elsewhere");
        cluster(&elsewhere, 18);
        std::fs::create_dir(beside.folder()).unwrap();
        std::os::unix::fs::symlink(&elsewhere, beside.folder().join(NAME)).unwrap();
        beside.discard().await.unwrap();
        assert!(!elsewhere.exists() && !beside.folder().exists());
    }
}
