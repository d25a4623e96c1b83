//! Why a group did not do what was asked.

use tokio_postgres::error::SqlState;

use crate::query::{CursorError, ReadError};
use crate::storage::StorageError;

#[derive(Debug)]
pub enum GroupError {
    /// The tenant has no such thing; its name.
    NotFound(&'static str),
    /// There is a group of this name.
    Exists,
    /// A consumer's own transaction, or somebody else's change, holds the group.
    Busy,
    /// Another has taken over, or the group was reset; the generation of now.
    Superseded(i64),
    /// Acknowledged, given back, expired and given to another, or of a generation that is over.
    LeaseLost,
    /// Several members hold leases, and one wants to commit for all.
    HasMembers,
    /// The group is of another kind; what to do instead.
    Unsuited(&'static str),
    /// The tenant, or the group, has all that it may; of what.
    Full(&'static str),
    /// An offset that the stream has not reached, or not any more.
    OutOfLog,
    /// Of the stream: an offset that it has not reached, or not any more; or there is no reader at the moment.
    Read(ReadError),
    Storage(StorageError),
}

impl From<ReadError> for GroupError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotFound(what) => Self::NotFound(what),
            ReadError::Storage(error) => Self::Storage(error),
            other => Self::Read(other),
        }
    }
}

impl From<CursorError> for GroupError {
    fn from(error: CursorError) -> Self {
        Self::Read(error.into())
    }
}

impl From<StorageError> for GroupError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<deadpool_postgres::PoolError> for GroupError {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        Self::Storage(error.into())
    }
}

impl From<tokio_postgres::Error> for GroupError {
    /// Those with a SQLSTATE of class TG are of sql/migrations/common/0029_groups.sql.
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else { return Self::Storage(error.into()) };
        let number = || db.detail().and_then(|detail| detail.parse().ok()).unwrap_or_default();
        match db.code().code() {
            "TG404" => Self::NotFound("group"),
            "TG400" | "TG410" => Self::OutOfLog,
            "TG409" if db.detail().is_some() => Self::Superseded(number()),
            "TG409" => Self::LeaseLost,
            "TG422" => Self::Unsuited("the group is ordered: its members acknowledge leases"),
            "TG423" => Self::HasMembers,
            _ if *db.code() == SqlState::LOCK_NOT_AVAILABLE => Self::Busy,
            _ if *db.code() == SqlState::UNIQUE_VIOLATION => Self::Exists,
            _ => Self::Storage(error.into()),
        }
    }
}
