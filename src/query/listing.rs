//! What all lists have in common: a page is asked for, and answered with where the next one starts.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_postgres::Row;

use super::columns::Columns;
use super::cursor::{CursorError, CursorScope};
use super::error::ReadError;
use super::readers::Readers;
use super::reads::{FoundRows, Reads};
use crate::budget::Reservation;

use crate::limits::{KIB, PAGE_BYTES_MAX, PAGE_ENVELOPE_BYTES, PAGE_ROWS_DEFAULT, STREAM_PAGE_ROWS};

/// JSON that a byte of a row becomes at most: `\u0000` and base64 beside each other, and quotes.
pub(super) const TEXT_PER_BYTE_MAX: usize = 8;
/// Names of a row's columns, and quotes around its values, in bytes at most.
const NAMES_BYTES_MAX: usize = KIB;

/// Whose page, how many rows of it, and where it starts.
#[derive(Debug, Clone)]
pub struct PageRequest {
    pub tenant_id: String,
    pub limit: usize,
    /// None: at the beginning.
    pub cursor: Option<String>,
    /// A page of a stream: rows are whole, however large. Else what does not fit a page is left out of its row.
    pub streamed: bool,
}

impl PageRequest {
    /// What the list's cursors belong to, and the position behind which the page starts. `what` says all that is
    /// asked for but bounds of time: `-1h` means another time on every page, and the position bounds the page from
    /// above.
    pub fn start<P: DeserializeOwned>(&self, what: &str) -> Result<(CursorScope, Option<P>), CursorError> {
        let scope = CursorScope::new(&self.tenant_id, what);
        let after = self.cursor.as_ref().map(|cursor| scope.decode(cursor)).transpose()?;
        Ok((scope, after))
    }
}

#[derive(Debug, Serialize)]
pub struct Page<T> {
    /// Of metrics: the width of their buckets, or `raw`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Cow<'static, str>>,
    #[serde(rename = "data")]
    pub items: Vec<T>,
    /// Where the next page starts; None at the end.
    pub next_cursor: Option<String>,
    /// Of events: behind the newest one that was seen, to ask for what comes after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// How far it was looked when time was up; `next_cursor` goes on there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub searched_to: Option<Timestamp>,
    /// Of the catalog, when it is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub totals: Option<SeriesTotals>,
}

/// How many series a tenant has, whatever is listed of them.
#[derive(Debug, Serialize)]
pub struct SeriesTotals {
    /// In the catalog.
    pub stored: i64,
    /// Of them, those with a sample of the last [`SERIES_ACTIVE_FOR`].
    pub active: i64,
}

impl<T> Page<T> {
    pub fn new(items: Vec<T>, next_cursor: Option<String>) -> Self {
        Self { resolution: None, items, next_cursor, since: None, searched_to: None, totals: None }
    }

    /// The page of up to `limit` of these rows, in their order, and of as many as fit; `cursor` tells where a row is.
    pub fn of(
        found: FoundRows,
        limit: usize,
        mut read: impl FnMut(&Row) -> Result<T, ReadError>,
        cursor: impl FnOnce(&Row) -> Result<String, ReadError>,
    ) -> Result<Self, ReadError>
    where
        T: Serialize,
    {
        let mut more = found.cut || found.rows.len() > limit;
        let raw_bytes: usize = found.rows.iter().map(Row::raw_size_bytes).sum();
        // Most pages are too short for it to matter.
        let fits = raw_bytes * TEXT_PER_BYTE_MAX + found.rows.len() * NAMES_BYTES_MAX < PAGE_BYTES_MAX;
        let (mut items, mut room, mut last) = (Vec::with_capacity(limit.min(found.rows.len())), PageRoom::new(), None);
        // A row goes as its item comes: both of all of them would be twice the page.
        for row in found.rows.into_iter().take(limit) {
            let item = read(&row)?;
            if !fits && !room.take(&item) && last.is_some() {
                more = true;
                break;
            }
            items.push(item);
            last = Some(row);
        }
        let next_cursor = last.filter(|_| more).as_ref().map(cursor).transpose()?;
        Ok(Self::new(items, next_cursor))
    }
}

/// What a page has left for its items, as JSON.
pub(super) struct PageRoom(usize);

impl PageRoom {
    pub(super) fn new() -> Self {
        Self::of(PAGE_BYTES_MAX)
    }

    /// Of a page of so many bytes.
    pub(super) fn of(bytes: usize) -> Self {
        Self(bytes - PAGE_ENVELOPE_BYTES)
    }

    /// Whether so many bytes are left.
    pub(super) fn has(&self, bytes: usize) -> bool {
        bytes < self.0
    }

    /// Takes an item's part; false: it does not fit.
    pub(super) fn take(&mut self, item: &impl Serialize) -> bool {
        let mut bytes = Counter(0);
        serde_json::to_writer(&mut bytes, item).expect("answers are made of plain values");
        self.take_text(bytes.0)
    }

    /// The same of an item that is text already.
    pub(super) fn take_text(&mut self, bytes: usize) -> bool {
        // And a comma.
        let left = self.0.checked_sub(bytes + 1);
        self.0 = left.unwrap_or(0);
        left.is_some()
    }
}

/// Counts what is written.
struct Counter(usize);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A list that is read page by page.
pub trait Listing: Send + Sync + Sized + 'static {
    type Item: Columns + Serialize + Send;

    /// Whether it is of people, keys and organizations, and not of what tenants sent.
    const OF_CONTROL: bool = false;

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

    /// A way through so many rows from where `request` starts.
    fn pass(
        self,
        readers: Readers,
        tenant_id: Arc<str>,
        request: PageRequest,
        rows: usize,
    ) -> Result<impl Pass<Item = Self::Item>, ReadError> {
        Ok(Pages { readers, tenant_id, list: self, next: Some(request), left: rows })
    }
}

/// A way through a list, some rows at a time. After an error that passes, the same rows may be asked for again.
pub trait Pass: Send + 'static {
    type Item: Columns + Serialize + Send;

    /// The next rows; None at the end.
    fn next(&mut self) -> impl Future<Output = Result<Option<Found<Self::Item>>, ReadError>> + Send;

    /// Gives up what others could use, until the next rows are asked for.
    fn pause(&mut self) -> impl Future<Output = ()> + Send;
}

/// Rows, and the memory that was taken for them.
pub struct Found<T> {
    pub items: Vec<T>,
    pub room: Reservation,
}

/// Page by page: between two of them there is neither a reader nor a connection.
struct Pages<L> {
    readers: Readers,
    tenant_id: Arc<str>,
    list: L,
    /// None: the end was reached.
    next: Option<PageRequest>,
    /// Rows that are still wanted.
    left: usize,
}

impl<L: Listing> Pass for Pages<L> {
    type Item = L::Item;

    async fn next(&mut self) -> Result<Option<Found<L::Item>>, ReadError> {
        let Some(mut request) = self.next.clone().filter(|_| self.left > 0) else { return Ok(None) };
        request.limit = self.left.min(L::ROWS_STREAMED);
        let reads = self.readers.begin(&self.tenant_id).await?;
        let Page { items, next_cursor, .. } = self.list.page(&reads, &request).await?;
        self.left -= items.len();
        self.next = next_cursor.map(|cursor| PageRequest { cursor: Some(cursor), ..request });
        Ok(Some(Found { items, room: reads.into_reservation() }))
    }

    async fn pause(&mut self) {}
}
