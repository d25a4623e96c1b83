//! What the spool asks of a file system, a clock and chance: passed in, so that a test can lose, tear and refuse every
//! step. The real one is [`super::Disk`].

use std::any::Any;
use std::io::{IoSlice, Result};
use std::path::Path;
use std::sync::Arc;

use crate::files::FileKind;

pub trait File: Send + Sync {
    /// Writes all of `parts`, one after another, at `offset`; on an error any stretch of them may have been written.
    fn write_at(&self, parts: &mut [IoSlice<'_>], offset: u64) -> Result<()>;
    /// Reads up to the buffer's length at `offset`; fewer bytes than that only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize>;
    /// Makes everything written so far, and the length, survive a loss of power. After an error nobody knows what
    /// did, and no later success says so: the file must not be synced again.
    fn sync(&self) -> Result<()>;
    /// Cuts the file to `bytes`.
    fn truncate(&self, bytes: u64) -> Result<()>;
    /// Its length in bytes.
    fn bytes(&self) -> Result<u64>;
}

/// A name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub name: String,
    pub bytes: u64,
    pub kind: FileKind,
}

/// Holds the lock of a folder until it is dropped.
pub type LockGuard = Box<dyn Any + Send>;

/// Why a lock was not taken.
#[derive(Debug)]
pub enum LockError {
    /// Another process has it, named if it can be.
    Held(String),
    /// It cannot be asked for.
    Io(std::io::Error),
}

/// A file system, with the clock and the chance of the machine that it is on.
pub trait Fs: Send + Sync {
    /// Makes a folder, and those above it, durably. One that exists must be ours, and is closed to others.
    fn create_dir(&self, path: &Path) -> Result<()>;
    /// Makes a file that does not exist yet, for reading and writing by nobody else.
    fn create_new(&self, path: &Path) -> Result<Arc<dyn File>>;
    /// Opens a file of our own for reading and writing; an error if it is anything else.
    fn open(&self, path: &Path) -> Result<Arc<dyn File>>;
    /// What is in a folder; what does not belong to the folder's owner is odd.
    fn list(&self, path: &Path) -> Result<Vec<Listed>>;
    /// Gives a file another name in one step, replacing what has it.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;
    /// Gives a file a second name; an error of kind `AlreadyExists` if that is taken.
    fn link(&self, from: &Path, to: &Path) -> Result<()>;
    /// Takes a name away.
    fn unlink(&self, path: &Path) -> Result<()>;
    /// Makes the names in a folder survive a loss of power.
    fn sync_dir(&self, path: &Path) -> Result<()>;
    /// Takes the lock named by a file, without waiting.
    fn lock(&self, path: &Path) -> std::result::Result<LockGuard, LockError>;
    /// Unix microseconds.
    fn now_us(&self) -> i64;
    /// 64 bits that nobody can foresee.
    fn random(&self) -> Result<u64>;
}
