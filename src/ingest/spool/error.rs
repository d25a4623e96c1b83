//! What can go wrong with a spool, as its users need to tell it apart.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::record::HeaderError;

/// Why a spool cannot be opened.
#[derive(Debug)]
pub enum SpoolError {
    /// Another process has it.
    Locked {
        dir: PathBuf,
        holder: String,
    },
    Io {
        what: &'static str,
        path: PathBuf,
        error: io::Error,
    },
    /// Names of the spool's that stand for something else, each with what it is.
    Odd {
        dir: PathBuf,
        odd: Vec<(String, String)>,
    },
}

impl SpoolError {
    pub(super) fn io(what: &'static str, path: &Path, error: io::Error) -> Self {
        Self::Io { what, path: path.to_owned(), error }
    }
}

impl fmt::Display for SpoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked { dir, holder } => write!(
                f,
                "the spool {} is in use by {holder}: stop that tidegate first (or give a second `serve` its own data_dir)",
                dir.display()
            ),
            Self::Io { what, path, error } => write!(
                f,
                "cannot {what} {}: {error}; see that the folder belongs to this user and can be written, or set \
                 spool.enabled = false",
                path.display()
            ),
            Self::Odd { dir, odd } => {
                let named: Vec<String> =
                    odd.iter().map(|(name, why)| format!("{} ({why})", dir.join(name).display())).collect();
                write!(
                    f,
                    "the spool holds what is not as Tidegate left it: {}. Requests that were acknowledged may be in it, so \
                     nothing is started before somebody has looked: put back the file that was there (its owner this \
                     user, mode 0600), or move what is there out of the spool's folder if nothing of it is missed",
                    named.join(", ")
                )
            }
        }
    }
}

impl std::error::Error for SpoolError {}

/// Why a record is not in the spool. All of them are answered 503; they differ in what may still happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendError {
    /// `spool.max_bytes` is reached; nothing was written.
    Full,
    /// The disk refused it. It is not in the spool and never will be.
    Failed(String),
    /// The disk refused it, and also refused to note down that it is not to be kept. This process will not deliver it;
    /// if it dies before the disk takes that note, the next one may.
    Unsettled(String),
    Closed,
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the spool is full"),
            Self::Failed(reason) => write!(f, "the spool's disk refused it: {reason}"),
            Self::Unsettled(reason) => write!(f, "the spool's disk refused it, and how much of it is kept: {reason}"),
            Self::Closed => f.write_str("the spool is closed"),
        }
    }
}

impl std::error::Error for AppendError {}

/// Why an acknowledgement or a quarantine was not noted down.
#[derive(Debug)]
pub enum KeepError {
    /// That record was not read since the last rewind.
    NotDelivered,
    /// The disk refused it. An acknowledgement counts in this process all the same, and is saved with the next one.
    Io(io::Error),
    Closed,
}

impl fmt::Display for KeepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDelivered => f.write_str("the record was not read since the last rewind"),
            Self::Io(error) => write!(f, "the spool's disk refused it: {error}"),
            Self::Closed => f.write_str("the spool is closed"),
        }
    }
}

impl std::error::Error for KeepError {}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged => f.write_str("its beginning is damaged"),
            Self::Version(version) => write!(f, "it is of format version {version}, which this tidegate does not know"),
        }
    }
}
