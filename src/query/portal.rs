//! A query whose rows are fetched some at a time, each fetch with the time of a read of its own: a reader that is slow holds
//! a cursor and a snapshot, and no statement.
//!
//! A cursor's query is planned under the snapshot that it reads with, unlike a query by itself. A chunk that is recompressed
//! meanwhile is waited for when it is planned, and has then nothing that this snapshot sees: its rows would be missing, and
//! nothing would say so. So the query is planned once beforehand, which locks what it reads until the transaction ends.

use std::time::Instant;

use tokio_postgres::Row;

use super::error::ReadError;
use super::reads::{FoundRows, HANG_GRACE, Lease, Reads, Take, pass_rows};
use super::sql::Sql;
use crate::limits::READ_TIMEOUT;
use crate::storage::StorageError;

pub struct Portal {
    lease: Lease,
    pub opened: Instant,
}

impl Portal {
    /// Opens one; sorts of so many MiB need no disk.
    pub async fn open(lease: Lease, sql: &Sql, sort_mib: usize) -> Result<Self, ReadError> {
        Self::open_with(lease, sql, sort_mib, "").await
    }

    /// The same with further settings, as statements.
    pub async fn open_with(lease: Lease, sql: &Sql, sort_mib: usize, settings: &str) -> Result<Self, ReadError> {
        let begin = format!(
            "BEGIN READ ONLY; SET LOCAL work_mem = '{sort_mib}MB'; SET LOCAL cursor_tuple_fraction = 1; {settings}"
        );
        let declare = format!("DECLARE pass NO SCROLL CURSOR FOR {}", sql.text);
        within_time(async {
            lease.client().batch_execute(&begin).await?;
            lease.client().query_typed(&format!("EXPLAIN {}", sql.text), &sql.parameters()).await?;
            Ok(lease.client().query_typed(&declare, &sql.parameters()).await?)
        })
        .await?;
        Ok(Self { lease, opened: Instant::now() })
    }

    /// The next rows, so many or as many as fit; none: there are no more. Of what did not fit the rest is lost.
    pub async fn fetch(&mut self, reads: &Reads, rows: usize) -> Result<FoundRows, ReadError> {
        let sql = Sql::new(format!("FETCH {rows} FROM pass"));
        within_time(reads.take_rows(self.lease.client(), &sql, Some(reads.page_bytes))).await
    }

    /// The next rows, all of so many, in memory that is taken as they come.
    pub async fn fetch_all(&mut self, reads: &Reads, rows: usize) -> Result<Vec<Row>, ReadError> {
        let sql = Sql::new(format!("FETCH {rows} FROM pass"));
        Ok(within_time(reads.take_rows(self.lease.client(), &sql, Some(usize::MAX))).await?.rows)
    }

    /// Gives the next rows away, so many or until `take` says that it has enough; whether it did, and how many there were.
    pub async fn pass(&mut self, rows: usize, take: &mut Take<'_>) -> Result<(bool, usize), ReadError> {
        let sql = Sql::new(format!("FETCH {rows} FROM pass"));
        let mut count = 0;
        let mut counting = |row| {
            count += 1;
            take(row)
        };
        let is_enough = within_time(pass_rows(self.lease.client(), &sql, &mut counting)).await?;
        Ok((is_enough, count))
    }

    /// Ends it, and gives its connection back; where rows are still to come, it is cancelled, as is what is dropped.
    pub async fn end(mut self, rows_to_come: bool) {
        if rows_to_come {
            return;
        }
        let committed = within_time(async { Ok(self.lease.client().batch_execute("COMMIT").await?) }).await;
        match committed {
            Ok(()) => self.lease.give_back(),
            Err(error) => tracing::debug!(?error, "an export's transaction did not end well; its connection goes"),
        }
    }
}

async fn within_time<T>(asked: impl Future<Output = Result<T, ReadError>>) -> Result<T, ReadError> {
    tokio::time::timeout(READ_TIMEOUT + HANG_GRACE, asked).await.map_err(|_elapsed| StorageError::silence())?
}
