//! What a database error means for the rows that met it.
//!
//! One opaque error with questions to ask it: retry, cut one row out, make a partition, or stop and alarm. The answer
//! comes from the SQLSTATE class ([`super::sqlstate`]), never from the message's text; only the digits of a COPY line are read from the
//! error's context, whatever its language.

use deadpool_postgres::{HookError, PoolError};
use tokio_postgres::error::{DbError, SqlState};

use super::sqlstate::{self, Meaning};
use super::{hosts, lost, tls};

/// An error of the storage layer.
#[derive(Debug)]
pub struct StorageError {
    context: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    fate: Fate,
    is_silence: bool,
}

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The database is away, busy, read-only, out of room, failing inside or asked for a retry: the same work may succeed
    /// later. So does everything that is not known to be something else.
    Retry,
    /// PostgreSQL, or somebody's trigger in it, refused this row of the COPY (1-based, when it said which): the others may go
    /// in without it.
    RejectRow {
        /// Line of the COPY stream.
        line: Option<u64>,
    },
    /// No partition for a row (postgres engine): make it, then retry.
    MissingPartition,
    /// A unique index of events was hit (rowstore profile): the batch holds rows that are already there.
    DuplicateRow,
    /// Schema or privileges are not what this version expects: not ready until an operator acts.
    NotReady,
    /// It is not the database that this process, or the one before it, wrote to: nothing may be written until an operator
    /// says that it is the right one.
    AnotherDatabase,
    /// PostgreSQL could not read our COPY stream: a bug of the encoder, never to be retried in a loop.
    EncoderBug,
    /// Refused without naming a row, and it would be again: by a limit of the server, or by us.
    Fatal,
}

impl Fate {
    /// Whether it is the database that is not as it must be, whatever is written to it.
    pub fn is_of_database(self) -> bool {
        matches!(self, Self::Retry | Self::NotReady | Self::AnotherDatabase)
    }
}

impl StorageError {
    /// An error of our own making, with a message that says what to do.
    pub fn fatal(message: impl Into<String>) -> Self {
        Self::ours(message, Fate::Fatal)
    }

    /// The same, for a state that an operator must mend before work can go on.
    pub fn not_ready(message: impl Into<String>) -> Self {
        Self::ours(message, Fate::NotReady)
    }

    /// The same, for a database that is another one than before.
    pub fn another_database(message: impl Into<String>) -> Self {
        Self::ours(message, Fate::AnotherDatabase)
    }

    /// The same, for a state that passes.
    pub fn retryable(message: impl Into<String>) -> Self {
        Self::ours(message, Fate::Retry)
    }

    /// The database gave no answer before a deadline.
    pub fn silence() -> Self {
        Self { is_silence: true, ..Self::retryable("the database did not answer in time") }
    }

    fn ours(message: impl Into<String>, fate: Fate) -> Self {
        Self { context: message.into(), source: None, fate, is_silence: false }
    }

    /// Puts what was being done in front of the error.
    pub fn doing(mut self, what: &str) -> Self {
        self.context = if self.context.is_empty() { what.to_owned() } else { format!("{what}: {}", self.context) };
        self
    }

    pub fn fate(&self) -> Fate {
        self.fate
    }

    /// What everybody may know of it: in a few words, and without names of hosts, users and databases.
    pub fn kind(&self) -> &'static str {
        match self.fate {
            Fate::AnotherDatabase => "it is another database than before",
            Fate::NotReady => "its schema, rights or settings are not what is needed",
            _ if self.is_of_tls() => "TLS with it fails",
            Fate::Retry if self.is_silence => "it does not answer in time",
            Fate::Retry => "it is away, cannot be connected to, or refuses work for now",
            Fate::RejectRow { .. } | Fate::MissingPartition | Fate::DuplicateRow | Fate::EncoderBug | Fate::Fatal => {
                "it refuses what is written"
            }
        }
    }

    /// Whether nobody said anything: an answer did not come before a deadline.
    pub fn is_silence(&self) -> bool {
        self.is_silence
    }

    /// Whether both sides could not agree on TLS: a certificate, a name or a file is wrong, which waiting seldom mends.
    pub fn is_of_tls(&self) -> bool {
        self.source.as_ref().is_some_and(|source| crate::tls::reason(&**source).is_some())
    }

    /// Whether others were in the way: a deadlock, a lock that was not free, a serialization failure. The database is
    /// there.
    pub fn is_contention(&self) -> bool {
        let code = self
            .source
            .as_ref()
            .and_then(|source| source.downcast_ref::<tokio_postgres::Error>())
            .and_then(tokio_postgres::Error::code);
        code.is_some_and(|code| *code == SqlState::LOCK_NOT_AVAILABLE || code.code().starts_with("40"))
    }

    /// Whether a read may go through on another connection, or a moment later: the server was lost, or what a standby replays
    /// was in the way.
    pub fn is_of_this_server(&self) -> bool {
        self.is_retryable() && !self.is_silence && (self.loses_session() || self.is_contention())
    }

    /// Whether it is another database than the one before.
    pub fn is_another_database(&self) -> bool {
        self.fate == Fate::AnotherDatabase
    }

    /// Whether the session that it came from is of no more use, or may be: what the schema lacks, or a role may not, is perhaps
    /// only what this session has lost, whose settings (search_path, role) went to another server process behind a pooler.
    pub fn loses_session(&self) -> bool {
        let source = self.source.as_ref().and_then(|source| source.downcast_ref::<tokio_postgres::Error>());
        // Without an answer of the server's the connection itself is broken.
        source.is_some_and(|error| error.as_db_error().is_none_or(lost::may_be_of_session))
    }

    /// Whether the same work may succeed later without an operator.
    pub fn is_retryable(&self) -> bool {
        self.fate == Fate::Retry
    }
}

impl std::fmt::Display for StorageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut separator = "";
        if !self.context.is_empty() {
            f.write_str(&self.context)?;
            separator = ": ";
        }
        let Some(source) = &self.source else { return Ok(()) };
        match source.downcast_ref::<tokio_postgres::Error>().and_then(|error| error.as_db_error()) {
            Some(db) => {
                write!(f, "{separator}{} (SQLSTATE {})", db.message(), db.code().code())?;
                let unwanted = *db.code() == SqlState::INVALID_AUTHORIZATION_SPECIFICATION;
                if unwanted { write!(f, "; {}", tls::NO_HBA_LINE) } else { Ok(()) }
            }
            None => {
                let unsuitable = source.downcast_ref::<tokio_postgres::Error>().and_then(hosts::unsuitable);
                if let Some(refused) = unsuitable {
                    return write!(f, "{separator}{}", refused.why);
                }
                if let Some(explained) = tls::explain(source.as_ref()) {
                    return write!(f, "{separator}{explained}");
                }
                write!(f, "{separator}{source}")?;
                let mut cause = source.source();
                while let Some(inner) = cause {
                    write!(f, ": {inner}")?;
                    cause = inner.source();
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for StorageError {}

impl From<tokio_postgres::Error> for StorageError {
    fn from(error: tokio_postgres::Error) -> Self {
        let fate = match error.as_db_error() {
            Some(db) => fate_of(db),
            // No SQLSTATE: the connection broke, or could not be made.
            None if hosts::unsuitable(&error).is_some_and(|refused| refused.left_behind) => Fate::AnotherDatabase,
            None => Fate::Retry,
        };
        Self { source: Some(Box::new(error)), ..Self::ours("", fate) }
    }
}

impl From<PoolError> for StorageError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
                Self::from(error).doing("connecting to the database")
            }
            // Only `KnownDatabase` says something of its own about a new connection.
            PoolError::PostCreateHook(HookError::Message(why)) => Self::another_database(why),
            other => Self { source: Some(Box::new(other)), ..Self::retryable("connecting to the database") },
        }
    }
}

fn fate_of(db: &DbError) -> Fate {
    let code = db.code();
    let line = db.where_().and_then(copy_line);
    if line.is_none() && lost::is_of_session(db) {
        return Fate::Retry;
    }
    match code {
        &SqlState::CHECK_VIOLATION if line.is_some() && db.constraint().is_none() => Fate::MissingPartition,
        &SqlState::UNIQUE_VIOLATION if db.constraint().is_some_and(|name| name.contains("events_unique")) => {
            Fate::DuplicateRow
        }
        // The key's lock was passed over (src/ingest/ledger.rs), and another transaction was first: it is found by the next try.
        &SqlState::UNIQUE_VIOLATION if db.constraint() == Some("ingest_ledger_pkey") => Fate::Retry,
        &SqlState::UNTRANSLATABLE_CHARACTER => Fate::RejectRow { line },
        &SqlState::BAD_COPY_FILE_FORMAT | &SqlState::INVALID_BINARY_REPRESENTATION => Fate::EncoderBug,
        &SqlState::PROTOCOL_VIOLATION if line.is_some() => Fate::EncoderBug,
        _ => match sqlstate::meaning(code.code()) {
            Meaning::Row | Meaning::Refused => Fate::RejectRow { line },
            // A row too wide, nesting too deep.
            Meaning::Limit if line.is_some() => Fate::RejectRow { line },
            Meaning::Limit => Fate::Fatal,
            Meaning::Schema => Fate::NotReady,
            Meaning::Passes => Fate::Retry,
        },
    }
}

/// The line of `COPY events, line 412, column payload: ...` in any language: the first run of digits after the first
/// comma. The relation's name cannot hold a comma, being ours.
fn copy_line(context: &str) -> Option<u64> {
    let first = context.lines().find(|line| line.contains("COPY"))?;
    let after = &first[first.find(',')? + 1..];
    let start = after.find(|c: char| c.is_ascii_digit())?;
    let digits = &after[start..];
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::copy_line;

    #[test]
    fn the_line_is_found_in_any_language() {
        assert_eq!(copy_line("COPY events, line 412, column payload: \"x 7\""), Some(412));
        assert_eq!(copy_line("COPY events, Zeile 412, Spalte payload"), Some(412));
        assert_eq!(copy_line("JSON data, line 1: {...\nCOPY events, line 3, column payload"), Some(3));
        assert_eq!(copy_line("SQL statement \"SELECT 1\""), None);
        assert_eq!(copy_line("COPY events"), None);
    }
}
