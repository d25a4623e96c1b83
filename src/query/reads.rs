//! The pool that reads go through, and how one of them runs: bounded in time and bytes, and cancelled when nobody
//! waits for it.

use std::time::{Duration, Instant};

use deadpool_postgres::{Object, Pool};
use futures_util::StreamExt;
use tokio_postgres::Row;

use super::error::ReadError;
use super::levels::Kept;
use super::sql::Sql;
use super::windows::Window;
use crate::config::{RetentionConfig, RollupsConfig};
use crate::limits::{PAGE_BYTES_MAX, READ_TIMEOUT};
use crate::storage::{Canceller, Layout, StorageError, give_back};

/// Given to a database beyond the timeout that it should have kept itself.
const HANG_GRACE: Duration = Duration::from_secs(2);
/// How long a health check may take.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub struct Reads {
    pool: Pool,
    probe: Pool,
    canceller: Canceller,
    pub(super) layout: Layout,
    pub(super) kept: Kept,
}

/// Rows of a query, and whether there were more than a page may hold.
pub struct FoundRows {
    pub rows: Vec<Row>,
    pub cut: bool,
}

impl Reads {
    /// Reads through `pool`; asks through `probe`, which no query keeps busy, whether the database answers. The rest
    /// says which relations hold what of metrics, and for how long.
    pub fn new(
        pool: Pool,
        probe: Pool,
        canceller: Canceller,
        layout: Layout,
        retention: &RetentionConfig,
        rollups: &RollupsConfig,
    ) -> Self {
        Self { pool, probe, canceller, layout, kept: Kept::new(retention, rollups) }
    }

    /// The first `limit + 1` rows of a list that is read newest first: window by window, until there are enough of
    /// them. The same rows as one query would give, without planning and opening every chunk there is.
    pub(super) async fn newest(
        &self,
        windows: impl IntoIterator<Item = Window>,
        limit: usize,
        sql: impl Fn(&Window, usize) -> Sql,
    ) -> Result<FoundRows, ReadError> {
        let begun = Instant::now();
        let mut found = FoundRows { rows: Vec::new(), cut: false };
        let mut bytes = 0;
        for window in windows {
            if begun.elapsed() > READ_TIMEOUT {
                return Err(ReadError::Timeout);
            }
            let FoundRows { rows, cut } = self.rows(&sql(&window, limit + 1 - found.rows.len())).await?;
            bytes += rows.iter().map(Row::raw_size_bytes).sum::<usize>();
            found.rows.extend(rows);
            found.cut = cut || bytes >= PAGE_BYTES_MAX;
            if found.cut || found.rows.len() > limit {
                break;
            }
        }
        Ok(found)
    }

    /// Runs one query, and takes rows until they are all there or hold `PAGE_BYTES_MAX`; `cut` says that there
    /// were more. The database ends it after `READ_TIMEOUT` by itself; one that hangs is given up a little later.
    pub(super) async fn rows(&self, sql: &Sql) -> Result<FoundRows, ReadError> {
        let client = self.pool.get().await.map_err(StorageError::from)?;
        let mut lease = Lease { client: Some(client), canceller: &self.canceller };
        let result = tokio::time::timeout(READ_TIMEOUT + HANG_GRACE, take_rows(lease.client(), sql)).await;
        match result {
            Ok(Ok(found)) => {
                if !found.cut {
                    lease.give_back();
                }
                Ok(found)
            }
            // The database has said so, and is done with it.
            Ok(Err(error)) => {
                let error = StorageError::from(error);
                lease.give_back_after(&error);
                Err(error.into())
            }
            // Its own timeout should have fired before: it hangs.
            Err(_elapsed) => Err(silent().into()),
        }
    }

    pub async fn ping(&self) -> Result<(), StorageError> {
        let deadline = tokio::time::Instant::now() + PING_TIMEOUT;
        let client = tokio::time::timeout_at(deadline, self.probe.get()).await.map_err(|_| silent())??;
        match tokio::time::timeout_at(deadline, client.simple_query("SELECT 1")).await {
            Ok(answer) => Ok(answer.map(|_rows| ())?),
            Err(_elapsed) => {
                drop(Object::take(client));
                Err(silent())
            }
        }
    }
}

/// A connection on which a query may be under way. Dropped before it was given back (the reader hung up, or the page
/// is full), it cancels the query and closes the connection: the next reader must not wait behind it.
struct Lease<'a> {
    client: Option<Object>,
    canceller: &'a Canceller,
}

impl Lease<'_> {
    fn client(&self) -> &Object {
        self.client.as_ref().expect("held until it is given back")
    }

    fn give_back(&mut self) {
        self.client.take();
    }

    fn give_back_after(&mut self, error: &StorageError) {
        if let Some(client) = self.client.take() {
            give_back(client, error);
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let Some(object) = self.client.take() else { return };
        let client = Object::take(object);
        let (query, canceller) = (client.cancel_token(), self.canceller.clone());
        tokio::spawn(async move {
            if let Err(error) = canceller.cancel(query).await {
                tracing::debug!(%error, "an abandoned query could not be cancelled; its timeout will end it");
            }
            drop(client);
        });
    }
}

async fn take_rows(client: &Object, sql: &Sql) -> Result<FoundRows, tokio_postgres::Error> {
    let parameters = sql.parameters();
    let mut stream = std::pin::pin!(client.query_typed_raw(&sql.text, parameters).await?);
    let (mut found, mut bytes) = (FoundRows { rows: Vec::new(), cut: false }, 0);
    while let Some(row) = stream.next().await {
        let row = row?;
        bytes += row.raw_size_bytes();
        found.rows.push(row);
        if bytes >= PAGE_BYTES_MAX {
            found.cut = true;
            break;
        }
    }
    Ok(found)
}

fn silent() -> StorageError {
    StorageError::retryable("the database does not answer")
}
