//! Reads: one file a resource, every query scoped by the tenant of the key, every value a bound parameter.
//!
//! Pages are made by keyset, so that page 1,000 costs what page 1 costs, and a cursor stays right while events arrive.

mod counts;
mod cursor;
mod dead_letters;
mod events;
mod filter;

use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

pub use counts::{Bucket, Count, CountsQuery, GroupBy};
pub use cursor::CursorError;
pub use dead_letters::{DeadLetter, DeadLettersQuery};
pub use events::{Event, EventsQuery};
pub use filter::{Field, Filter};

use crate::limits::READ_TIMEOUT;
use crate::storage::StorageError;
use filter::Sql;

/// Given to a database beyond the timeout that it should have kept itself.
const HANG_GRACE: Duration = Duration::from_secs(2);
/// How long a health check may take.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// The query path.
#[derive(Clone)]
pub struct Reads {
    pool: Pool,
}

/// One page of a listing.
#[derive(Debug)]
pub struct Page<T> {
    /// The items, newest first.
    pub items: Vec<T>,
    /// Where the next page starts; None at the end.
    pub next_cursor: Option<String>,
}

/// Why a read failed.
#[derive(Debug)]
pub enum ReadError {
    /// The cursor is malformed, of another query, or of another tenant.
    Cursor(CursorError),
    /// It took longer than the statement timeout.
    Timeout,
    /// The database.
    Storage(StorageError),
}

impl From<CursorError> for ReadError {
    fn from(error: CursorError) -> Self {
        Self::Cursor(error)
    }
}

impl From<tokio_postgres::Error> for ReadError {
    fn from(error: tokio_postgres::Error) -> Self {
        if error.code() == Some(&tokio_postgres::error::SqlState::QUERY_CANCELED) {
            return Self::Timeout;
        }
        Self::Storage(error.into())
    }
}

impl From<StorageError> for ReadError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl Reads {
    /// Reads through `pool`.
    pub fn new(pool: Pool) -> Self {
        Self { pool }
    }

    /// Runs one query. The database ends it after `READ_TIMEOUT` by itself; one that hangs is given up a little later,
    /// and its connection with it.
    async fn rows(&self, sql: &Sql) -> Result<Vec<Row>, ReadError> {
        let client = self.pool.get().await.map_err(StorageError::from)?;
        let parameters = sql.parameters();
        match tokio::time::timeout(READ_TIMEOUT + HANG_GRACE, client.query_typed(&sql.text, &parameters)).await {
            Ok(rows) => Ok(rows?),
            Err(_elapsed) => {
                drop(Object::take(client));
                Err(ReadError::Timeout)
            }
        }
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StorageError> {
        let client = tokio::time::timeout(PING_TIMEOUT, self.pool.get()).await.map_err(|_| silent())??;
        match tokio::time::timeout(PING_TIMEOUT, client.simple_query("SELECT 1")).await {
            Ok(answer) => Ok(answer.map(|_rows| ())?),
            Err(_elapsed) => {
                drop(Object::take(client));
                Err(silent())
            }
        }
    }

    /// A tenant's receipt.
    pub async fn receipt(&self, tenant_id: &str, id: uuid::Uuid) -> Result<Option<Receipt>, ReadError> {
        let mut sql =
            Sql::new("SELECT accepted, rejected, errors, created_at, duplicates FROM ingest_ledger WHERE tenant_id = ");
        sql.bind(tenant_id.to_owned(), Type::TEXT).push(" AND receipt = ").bind(id, Type::UUID);
        let rows = self.rows(&sql).await?;
        Ok(rows.first().map(|row| Receipt {
            receipt: id,
            status: "committed",
            accepted: row.get(0),
            rejected: row.get(1),
            duplicates: row.get(4),
            errors: row.get(2),
            committed_at: row.get(3),
        }))
    }
}

fn silent() -> StorageError {
    StorageError::retryable("the database does not answer")
}

/// Where a request is, by its receipt.
#[derive(Debug, serde::Serialize)]
pub struct Receipt {
    /// The receipt.
    pub receipt: uuid::Uuid,
    /// `committed`: the ledger row is written in the transaction of the events.
    pub status: &'static str,
    /// Events stored.
    pub accepted: i32,
    /// Items in dead letters.
    pub rejected: i32,
    /// Events that were there already (rowstore profile).
    pub duplicates: i32,
    /// The first rejections.
    pub errors: serde_json::Value,
    /// When it was committed.
    pub committed_at: jiff::Timestamp,
}
