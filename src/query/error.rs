//! Why a read failed.

use std::time::Duration;

use tokio_postgres::error::SqlState;

use super::cursor::CursorError;
use crate::budget::NoRoom;
use crate::limits::RETRY_AFTER_MIN;
use crate::storage::StorageError;

#[derive(Debug)]
pub enum ReadError {
    Cursor {
        /// The parameter that it came in.
        parameter: &'static str,
        error: CursorError,
    },
    /// The tenant has no such thing; its name.
    NotFound(&'static str),
    /// It took longer than the statement timeout.
    Timeout,
    /// Counting took longer than it may.
    CountsTimeout,
    /// There is no reader, or no memory for the answer.
    Busy {
        busy: Busy,
        /// When to ask again.
        retry_after: Duration,
    },
    /// It asks for more than can be answered; what to ask instead.
    Unbounded(String),
    /// Counts that are asked for whole, and have more groups than a page.
    TooManyGroups,
    /// A value that PostgreSQL cannot take, with its reason.
    Value(String),
    /// Of a stream.
    Gone(Box<Gone>),
    /// An offset that a stream has not reached.
    PastEnd {
        offset: i64,
        end: i64,
    },
    Storage(StorageError),
}

/// Of a stream that was read before, what comes next is not there any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    pub why: WhyGone,
    pub begin: i64,
    pub end: i64,
    /// From where on it can be read.
    pub go_on: i64,
    pub cursor: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyGone {
    /// It lies before the beginning.
    Expired,
    /// The database went on from an earlier state: other events have these offsets now.
    OtherHistory,
}

/// What a read waits for in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Busy {
    /// The tenant's reads are under way on all the readers that it may have.
    TenantReaders,
    Readers,
    /// The tenant's answers hold all the memory that they may.
    TenantMemory,
    Memory,
}

impl From<NoRoom> for ReadError {
    fn from(no_room: NoRoom) -> Self {
        let busy = match no_room {
            NoRoom::Tenant => Busy::TenantMemory,
            NoRoom::All => Busy::Memory,
        };
        Self::Busy { busy, retry_after: RETRY_AFTER_MIN }
    }
}

impl From<CursorError> for ReadError {
    fn from(error: CursorError) -> Self {
        Self::Cursor { parameter: "cursor", error }
    }
}

impl From<tokio_postgres::Error> for ReadError {
    fn from(error: tokio_postgres::Error) -> Self {
        if error.code() == Some(&SqlState::QUERY_CANCELED) {
            return Self::Timeout;
        }
        if let Some(db) = error.as_db_error().filter(|db| db.code().code().starts_with("22")) {
            return Self::Value(db.message().to_owned());
        }
        Self::Storage(error.into())
    }
}

impl From<StorageError> for ReadError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}
