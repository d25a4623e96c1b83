//! The one error of the embedded server. It is opaque: its text says what failed, where, and what to do about it;
//! callers that must tell cases apart ask it.

use std::fmt;
use std::path::Path;

/// Why the embedded PostgreSQL could not be started, prepared or stopped.
#[derive(Debug)]
pub struct EmbeddedError {
    kind: Cause,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Locked,
    NotInstalled,
    Failed,
}

impl EmbeddedError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { kind: Cause::Failed, message: message.into(), source: None }
    }

    pub(super) fn of_kind(kind: Cause, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// An operation on a path that failed: "cannot create /x: permission denied".
    pub(super) fn io(what: &str, path: &Path, error: std::io::Error) -> Self {
        Self {
            kind: Cause::Failed,
            message: format!("cannot {what} {}", path.display()),
            source: Some(Box::new(error)),
        }
    }

    pub(super) fn database(what: &str, error: tokio_postgres::Error) -> Self {
        Self {
            kind: Cause::Failed,
            message: format!("embedded PostgreSQL: cannot {what}"),
            source: Some(Box::new(error)),
        }
    }

    /// Another process holds the data directory.
    pub fn is_locked(&self) -> bool {
        self.kind == Cause::Locked
    }

    /// No PostgreSQL installation on this machine can run the data directory.
    pub fn is_not_installed(&self) -> bool {
        self.kind == Cause::NotInstalled
    }
}

impl fmt::Display for EmbeddedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        let Some(source) = &self.source else { return Ok(()) };
        // tokio_postgres prints only "db error" for what the server said; the server's own words are its source.
        match source.source() {
            Some(cause) => write!(f, ": {source}: {cause}"),
            None => write!(f, ": {source}"),
        }
    }
}

impl std::error::Error for EmbeddedError {}
