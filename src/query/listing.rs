//! What all lists have in common: a page is asked for, and answered with where the next one starts.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_postgres::Row;

use super::columns::Columns;
use super::cursor::{CursorError, CursorScope};
use super::error::ReadError;
use super::reads::{FoundRows, Reads};
use crate::limits::{PAGE_ROWS_DEFAULT, STREAM_PAGE_ROWS};

/// Whose page, how many rows of it, and where it starts.
#[derive(Debug, Clone)]
pub struct PageRequest {
    pub tenant_id: String,
    pub limit: usize,
    /// None: at the beginning.
    pub cursor: Option<String>,
}

impl PageRequest {
    /// What the list's cursors belong to, and the position behind which the page starts. `what` says all that is
    /// asked for but bounds of time: `-1h` means another time on every page, and the position bounds the page from
    /// above.
    pub(super) fn start<P: DeserializeOwned>(&self, what: &str) -> Result<(CursorScope, Option<P>), CursorError> {
        let scope = CursorScope::new(&self.tenant_id, what);
        let after = self.cursor.as_ref().map(|cursor| scope.decode(cursor)).transpose()?;
        Ok((scope, after))
    }
}

#[derive(Debug, Serialize)]
pub struct Page<T> {
    /// Of metrics: the width of their buckets, or `raw`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution: Option<&'static str>,
    #[serde(rename = "data")]
    pub items: Vec<T>,
    /// Where the next page starts; None at the end.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// The page of up to `limit` of these rows, in their order; `cursor` tells where a row is.
    pub(super) fn of(
        found: &FoundRows,
        limit: usize,
        read: impl FnMut(&Row) -> Result<T, ReadError>,
        cursor: impl FnOnce(&Row) -> Result<String, ReadError>,
    ) -> Result<Self, ReadError> {
        let rows = &found.rows[..limit.min(found.rows.len())];
        let more = found.cut || found.rows.len() > limit;
        let next_cursor = rows.last().filter(|_| more).map(cursor).transpose()?;
        Ok(Self { resolution: None, items: rows.iter().map(read).collect::<Result<_, _>>()?, next_cursor })
    }
}

/// A list that is read page by page.
pub trait Listing: Send + Sync + Sized + 'static {
    type Item: Columns + Serialize + Send;

    /// Rows of a page when the reader names none.
    const ROWS_DEFAULT: usize = PAGE_ROWS_DEFAULT;

    /// Rows of a page while all of them are streamed.
    const ROWS_STREAMED: usize = STREAM_PAGE_ROWS;

    fn columns(&self) -> Vec<&'static str> {
        Self::Item::names()
    }

    fn page(
        &self,
        reads: &Reads,
        request: &PageRequest,
    ) -> impl Future<Output = Result<Page<Self::Item>, ReadError>> + Send;
}
