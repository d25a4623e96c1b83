//! Why a read failed.

use tokio_postgres::error::SqlState;

use super::cursor::CursorError;
use crate::storage::StorageError;

#[derive(Debug)]
pub enum ReadError {
    Cursor(CursorError),
    /// The tenant has no such thing; its name.
    NotFound(&'static str),
    /// It took longer than the statement timeout.
    Timeout,
    /// It asks for more than can be answered; what to ask instead.
    Unbounded(String),
    /// Counts that are asked for whole, and have more groups than a page.
    TooManyGroups,
    /// A value that PostgreSQL cannot take, with its reason.
    Value(String),
    Storage(StorageError),
}

impl From<CursorError> for ReadError {
    fn from(error: CursorError) -> Self {
        Self::Cursor(error)
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
