//! Why a stream was not defined as wanted.

use tokio_postgres::error::SqlState;

use crate::schema::SchemaError;
use crate::storage::StorageError;

/// Why a stream was not defined as wanted.
#[derive(Debug)]
pub enum DefinitionError {
    /// The tenant has defined no such stream; or it has no such version.
    NotFound(&'static str),
    /// It is defined already.
    Exists,
    /// Another change came between.
    Changed,
    /// What is wrong with the schema.
    Schema(SchemaError),
    /// Where it is not compatible with the version before.
    Incompatible {
        with: i32,
        wanted: &'static str,
        reasons: Vec<String>,
    },
    /// There are as many as there may be; of what.
    Full(&'static str),
    /// Nobody would judge: `mode` without a schema.
    NoSchema,
    /// The secret of masks is not that of other nodes, or cannot be made.
    MaskKey(String),
    Storage(StorageError),
}

impl From<StorageError> for DefinitionError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<tokio_postgres::Error> for DefinitionError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.code() {
            Some(&SqlState::LOCK_NOT_AVAILABLE) => Self::Changed,
            _ => Self::Storage(error.into()),
        }
    }
}
