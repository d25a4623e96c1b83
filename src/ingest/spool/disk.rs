//! The real file system under the spool. Files are made for their owner only: spooled bodies are tenants' data.

use std::fs;
use std::io::{self, Error, IoSlice, Read, Result, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::fs::{File, Fs, Listed, LockError, LockGuard};
use crate::files;

/// A command that asks whether a process has the spool holds the lock for an instant; a start that meets it tries again.
const LOCK_ATTEMPTS: u32 = 10;
const LOCK_RETRY: Duration = Duration::from_millis(30);

/// The machine's file system, clock and entropy.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Disk {
    /// Whether a process holds the lock named by a file. Asking takes it for an instant.
    pub fn is_locked(path: &Path) -> bool {
        let Ok(file) = fs::File::open(path) else { return false };
        matches!(Flock::lock(file, FlockArg::LockSharedNonblock), Err((_, Errno::EWOULDBLOCK)))
    }
}

struct DiskFile(fs::File);

impl File for DiskFile {
    fn write_at(&self, mut parts: &mut [IoSlice<'_>], offset: u64) -> Result<()> {
        // There is no vectored write at an offset in std; the spool's one writing thread owns the position.
        (&self.0).seek(SeekFrom::Start(offset))?;
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            match (&self.0).write_vectored(parts) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut parts, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.0.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn sync(&self) -> Result<()> {
        // Writes out the length as well: a reader needs it.
        self.0.sync_data()
    }

    fn truncate(&self, bytes: u64) -> Result<()> {
        self.0.set_len(bytes)
    }

    fn bytes(&self) -> Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

impl Fs for Disk {
    fn create_dir(&self, path: &Path) -> Result<()> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        match files::private_dir(path) {
            Ok(true) => self.sync_dir(parent.unwrap_or(Path::new("."))),
            Ok(false) => Ok(()),
            Err(error) => match parent {
                Some(parent) if error.kind() == io::ErrorKind::NotFound => {
                    self.create_dir(parent)?;
                    self.create_dir(path)
                }
                _ => Err(error),
            },
        }
    }

    fn create_new(&self, path: &Path) -> Result<Arc<dyn File>> {
        Ok(Arc::new(DiskFile(files::create_new(path)?)))
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn File>> {
        Ok(Arc::new(DiskFile(files::open(path)?)))
    }

    fn list(&self, path: &Path) -> Result<Vec<Listed>> {
        let owner = fs::metadata(path)?.uid();
        let mut listed = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                // Gone since it was listed: `doctor` looks at the folder of a running process.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let name = entry.file_name().to_string_lossy().into_owned();
            listed.push(Listed { name, bytes: metadata.len(), kind: files::kind_of(&metadata, owner) });
        }
        Ok(listed)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        fs::hard_link(from, to)
    }

    fn unlink(&self, path: &Path) -> Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        fs::File::open(path)?.sync_all()
    }

    fn lock(&self, path: &Path) -> std::result::Result<LockGuard, LockError> {
        let mut file = files::open_or_create(path).map_err(LockError::Io)?;
        for attempt in 1.. {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(mut held) => {
                    write_pid(&mut held).map_err(LockError::Io)?;
                    return Ok(Box::new(held));
                }
                Err((taken, Errno::EWOULDBLOCK)) if attempt < LOCK_ATTEMPTS => file = taken,
                Err((mut taken, Errno::EWOULDBLOCK)) => {
                    let mut pid = String::new();
                    let named = taken.read_to_string(&mut pid).is_ok() && !pid.trim().is_empty();
                    let holder = if named { format!("process {}", pid.trim()) } else { "another process".to_owned() };
                    return Err(LockError::Held(holder));
                }
                Err((_, errno)) => return Err(LockError::Io(errno.into())),
            }
            std::thread::sleep(LOCK_RETRY);
        }
        unreachable!("the loop above returns at its last attempt")
    }

    fn now_us(&self) -> i64 {
        Timestamp::now().as_microsecond()
    }

    fn random(&self) -> Result<u64> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(|error| Error::other(error.to_string()))?;
        Ok(u64::from_le_bytes(bytes))
    }
}

fn write_pid(file: &mut fs::File) -> Result<()> {
    // Who holds the lock is a help for people; a full disk must not keep the spool from being drained.
    match file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id())) {
        Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(()),
        other => other,
    }
}
