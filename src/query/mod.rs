//! Reads: one file a resource, every query scoped by the tenant of the key, every value a bound parameter.
//!
//! Pages are made by keyset, so that page 1,000 costs what page 1 costs, and a cursor stays right while events arrive.

mod counts;
mod cursor;
mod dead_letters;
mod events;
mod filter;

use deadpool_postgres::{Object, Pool};
use std::time::Duration;

pub use counts::{Bucket, Count, CountsQuery, GroupBy};
pub use cursor::CursorError;
pub use dead_letters::{DeadLetter, DeadLettersQuery};
pub use events::{Event, EventsQuery};
pub use filter::{Field, Filter};

use crate::storage::StorageError;

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

    async fn client(&self) -> Result<Object, ReadError> {
        Ok(self.pool.get().await.map_err(StorageError::from)?)
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StorageError> {
        let ask = async {
            let client = self.pool.get().await?;
            client.simple_query("SELECT 1").await?;
            Ok(())
        };
        tokio::time::timeout(PING_TIMEOUT, ask)
            .await
            .unwrap_or_else(|_| Err(StorageError::retryable("the database does not answer")))
    }

    /// A tenant's receipt.
    pub async fn receipt(&self, tenant_id: &str, id: uuid::Uuid) -> Result<Option<Receipt>, ReadError> {
        let client = self.client().await?;
        let sql =
            "SELECT accepted, rejected, errors, created_at FROM ingest_ledger WHERE tenant_id = $1 AND receipt = $2";
        let row = client.query_opt(sql, &[&tenant_id, &id]).await?;
        Ok(row.map(|row| Receipt {
            receipt: id,
            status: "committed",
            accepted: row.get(0),
            rejected: row.get(1),
            errors: row.get(2),
            committed_at: row.get(3),
        }))
    }
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
    /// The first rejections.
    pub errors: serde_json::Value,
    /// When it was committed.
    pub committed_at: jiff::Timestamp,
}
