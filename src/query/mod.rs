//! Reads: one file a resource, every query scoped by the tenant of the key, every value a bound parameter.
//!
//! Pages are made by keyset, so that page 1,000 costs what page 1 costs, and a cursor stays right while events arrive. Those of
//! counts are made by offset: no key of theirs stays.

mod catalog;
mod correlations;
mod counts;
mod cursor;
mod dead_letters;
mod events;
mod filter;
mod fresh;
mod levels;
mod lookup;
mod metrics;
mod related;
mod samples;
mod windows;

use std::time::{Duration, Instant};

use deadpool_postgres::{Object, Pool};
use futures_util::StreamExt;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

pub use catalog::{CatalogQuery, Series};
pub use correlations::{Correlation, CorrelationsQuery};
pub use counts::{Bucket, Count, CountsQuery, GroupBy};
pub use cursor::CursorError;
pub use dead_letters::{DeadLetter, DeadLettersQuery};
pub use events::{Event, EventsQuery};
pub use filter::{Field, Filter};
pub use levels::{Resolution, Width};
pub use metrics::{Point, PointsQuery, SeriesFilter};
pub use related::{Related, RelatedQuery, Relation};
pub use samples::{Sample, SamplesQuery};

use crate::config::{RetentionConfig, RollupsConfig};
use crate::limits::{PAGE_BYTES_MAX, READ_TIMEOUT};
use crate::storage::{Layout, StorageError};
use filter::Sql;
use levels::Kept;
use windows::Window;

/// Given to a database beyond the timeout that it should have kept itself.
const HANG_GRACE: Duration = Duration::from_secs(2);
/// How long a health check may take.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub struct Reads {
    pool: Pool,
    probe: Pool,
    layout: Layout,
    kept: Kept,
}

/// One page of a listing.
#[derive(Debug)]
pub struct Page<T> {
    /// The items, newest first.
    pub items: Vec<T>,
    /// Where the next page starts; None at the end.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// The page of up to `limit` of these rows, in their order; `cursor` tells where an item is.
    fn of(
        found: Found,
        limit: usize,
        item: impl FnMut(&Row) -> Result<T, ReadError>,
        cursor: impl FnOnce(&T) -> String,
    ) -> Result<Self, ReadError> {
        let items = found.rows.iter().take(limit).map(item).collect::<Result<Vec<T>, ReadError>>()?;
        let more = found.cut || found.rows.len() > limit;
        let next_cursor = items.last().filter(|_| more).map(cursor);
        Ok(Self { items, next_cursor })
    }
}

/// A list that is read page by page: how a stream of all of it goes on.
pub trait Listing: Send + Sync + Sized + 'static {
    type Item: serde::Serialize + Send;

    /// Rows of the page from now on, and where it starts: None leaves that as it is.
    fn turn_to(&mut self, limit: usize, cursor: Option<String>);

    fn page(&self, reads: &Reads) -> impl Future<Output = Result<Page<Self::Item>, ReadError>> + Send;
}

/// Rows of a query, and whether there were more than a page may hold.
struct Found {
    rows: Vec<Row>,
    cut: bool,
}

/// Why a read failed.
#[derive(Debug)]
pub enum ReadError {
    /// The cursor is malformed, of another query, or of another tenant.
    Cursor(CursorError),
    /// It took longer than the statement timeout.
    Timeout,
    /// It asks for more than can be answered; what to ask instead.
    Unbounded(String),
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
        if error.code() == Some(&tokio_postgres::error::SqlState::QUERY_CANCELED) {
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

impl Reads {
    /// Reads through `pool`; asks through `probe`, which no query keeps busy, whether the database answers. The rest says
    /// which relations hold what of metrics, and for how long.
    pub fn new(pool: Pool, probe: Pool, layout: Layout, retention: &RetentionConfig, rollups: &RollupsConfig) -> Self {
        Self { pool, probe, layout, kept: Kept::new(retention, rollups) }
    }

    /// The first `limit + 1` rows of a list that is read newest first: window by window, until there are enough of them.
    /// The same rows as one query would give, without planning and opening every chunk there is.
    async fn newest(
        &self,
        windows: impl IntoIterator<Item = Window>,
        limit: usize,
        sql: impl Fn(&Window, i64) -> Sql,
    ) -> Result<Found, ReadError> {
        let begun = Instant::now();
        let mut found = Found { rows: Vec::new(), cut: false };
        let mut bytes = 0;
        for window in windows {
            if begun.elapsed() > READ_TIMEOUT {
                return Err(ReadError::Timeout);
            }
            let wanted = i64::try_from(limit + 1 - found.rows.len()).unwrap_or(i64::MAX);
            let (rows, cut) = self.rows(&sql(&window, wanted)).await?;
            bytes += rows.iter().map(Row::raw_size_bytes).sum::<usize>();
            found.rows.extend(rows);
            found.cut = cut || bytes >= PAGE_BYTES_MAX;
            if found.cut || found.rows.len() > limit {
                break;
            }
        }
        Ok(found)
    }

    /// Runs one query, and takes rows until they are all there or hold `PAGE_BYTES_MAX`; the flag says that there were
    /// more. The database ends it after `READ_TIMEOUT` by itself; one that hangs is given up a little later.
    async fn rows(&self, sql: &Sql) -> Result<(Vec<Row>, bool), ReadError> {
        let mut lease = Lease(Some(self.pool.get().await.map_err(StorageError::from)?));
        let result = tokio::time::timeout(READ_TIMEOUT + HANG_GRACE, take_rows(lease.client(), sql)).await;
        match result {
            Ok(Ok((rows, more))) => {
                if !more {
                    lease.give_back();
                }
                Ok((rows, more))
            }
            // The database has said so, and is done with it.
            Ok(Err(error)) => {
                lease.give_back();
                Err(error.into())
            }
            // Its own timeout should have fired before: it hangs.
            Err(_elapsed) => Err(silent().into()),
        }
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StorageError> {
        let client = tokio::time::timeout(PING_TIMEOUT, self.probe.get()).await.map_err(|_| silent())??;
        match tokio::time::timeout(PING_TIMEOUT, client.simple_query("SELECT 1")).await {
            Ok(answer) => Ok(answer.map(|_rows| ())?),
            Err(_elapsed) => {
                drop(Object::take(client));
                Err(silent())
            }
        }
    }

    pub async fn receipt(&self, tenant_id: &str, id: uuid::Uuid) -> Result<Option<Receipt>, ReadError> {
        let mut sql =
            Sql::new("SELECT accepted, rejected, errors, created_at, duplicates FROM ingest_ledger WHERE tenant_id = ");
        sql.bind(tenant_id.to_owned(), Type::TEXT).push(" AND receipt = ").bind(id, Type::UUID);
        let (rows, _) = self.rows(&sql).await?;
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

/// A connection on which a query may be under way. Dropped before it was given back (the reader hung up, or the page is
/// full), it cancels the query and closes the connection: the next reader must not wait behind it.
struct Lease(Option<Object>);

impl Lease {
    fn client(&self) -> &Object {
        self.0.as_ref().expect("held until it is given back")
    }

    fn give_back(&mut self) {
        self.0.take();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(object) = self.0.take() else { return };
        let client = Object::take(object);
        let cancel = client.cancel_token();
        tokio::spawn(async move {
            if let Err(error) = cancel.cancel_query(tokio_postgres::NoTls).await {
                tracing::debug!(%error, "an abandoned query could not be cancelled; its timeout will end it");
            }
            drop(client);
        });
    }
}

async fn take_rows(client: &Object, sql: &Sql) -> Result<(Vec<Row>, bool), tokio_postgres::Error> {
    let parameters = sql.parameters();
    let mut stream = std::pin::pin!(client.query_typed_raw(&sql.text, parameters).await?);
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while let Some(row) = stream.next().await {
        let row = row?;
        bytes += row.raw_size_bytes();
        rows.push(row);
        if bytes >= PAGE_BYTES_MAX {
            return Ok((rows, true));
        }
    }
    Ok((rows, false))
}

fn silent() -> StorageError {
    StorageError::retryable("the database does not answer")
}

/// Where a request is, by its receipt.
#[derive(Debug, serde::Serialize)]
pub struct Receipt {
    pub receipt: uuid::Uuid,
    /// `committed`: the ledger row is written in the transaction of the events.
    pub status: &'static str,
    pub accepted: i32,
    /// Items in dead letters.
    pub rejected: i32,
    /// Events that were there already (rowstore profile).
    pub duplicates: i32,
    pub errors: serde_json::Value,
    /// When it was committed.
    pub committed_at: jiff::Timestamp,
}
