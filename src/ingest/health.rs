//! What is known of the database while requests come.

use std::fmt;
use std::time::Instant;

use crate::storage::StorageError;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    Available,
    Away {
        since: Instant,
        /// None: it has not been asked yet.
        reason: Option<Reason>,
        /// It is there, and is another one than before: an operator must say that it is the right one.
        another: bool,
    },
}

/// Why something fails: a kind for everybody, and an error, which names hosts and users, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    pub kind: &'static str,
    pub detail: String,
}

impl From<&StorageError> for Reason {
    fn from(error: &StorageError) -> Self {
        Self { kind: error.kind(), detail: error.to_string() }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.detail)
    }
}
