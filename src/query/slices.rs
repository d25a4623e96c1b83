//! All events of a filter, in one pass: slice by slice of time, each sorted once and fetched as it is taken.
//!
//! An open day is cut into slices that are sorted in memory, which costs its segments nothing, since each COPY brought its
//! own time. In a closed day every segment is of an asset and spans the day, so that the day is one slice, sorted on disk,
//! as far as that goes. Where rows are is told by manifests ([`Reads::pace`]); what they do not tell is in the last
//! slice. A pass that is paused, or that holds its snapshot for long, goes on behind its last row.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::Row;

use super::columns::StoredRow;
use super::error::ReadError;
use super::event::Event;
use super::filter::Filter;
use super::levels::Micros;
use super::listing::{Found, Pass};
use super::place::{Direction, Order, RowKey};
use super::portal::Portal;
use super::readers::Readers;
use super::reads::{FoundRows, Reads};
use super::sql::Sql;
use super::timeline::{PLACE, Timeline};
use super::windows::Window;
use crate::limits::{
    CHUNK_CLOSED_AFTER, EXPORT_FETCH_BYTES, EXPORT_FETCH_ROWS_MAX, EXPORT_SLICE_ROWS, EXPORT_SNAPSHOT_MAX,
    EXPORT_SORT_MIB, EXPORT_SORT_ROWS,
};

pub struct Slices {
    readers: Readers,
    tenant_id: Arc<str>,
    filter: Filter,
    direction: Direction,
    /// What no slice has covered.
    left: Window,
    /// The last row that was handed over.
    after: Option<RowKey>,
    /// Rows that are still wanted.
    rows: usize,
    /// How many are fetched at once.
    fetch_rows: usize,
    open: Option<Slice>,
}

/// A slice that is being fetched.
struct Slice {
    portal: Portal,
    /// What is left behind it; None: it is the last.
    left: Option<Window>,
}

impl Slices {
    /// Of a window, from behind a place on.
    pub fn new(
        readers: Readers,
        tenant_id: Arc<str>,
        filter: Filter,
        direction: Direction,
        window: Window,
        after: Option<RowKey>,
        rows: usize,
    ) -> Self {
        let fetch_rows = EXPORT_FETCH_ROWS_MAX;
        Self { readers, tenant_id, filter, direction, left: window, after, rows, fetch_rows, open: None }
    }

    fn timeline(&self) -> Timeline<'_> {
        Timeline { tenant_id: &self.tenant_id, filter: &self.filter, direction: self.direction }
    }

    /// Opens the next slice.
    async fn open(&self, reads: &Reads) -> Result<Slice, ReadError> {
        let whole = self.timeline().behind(&self.left, self.after);
        let now = Timestamp::now();
        let pace = reads.pace(&self.tenant_id, &whole, self.direction, now).await?;
        let mut bound = None;
        if pace.is_known() {
            let chunk = self.chunk(pace.edge);
            bound = if now.as_microsecond() < chunk.1.saturating_add(micros(CHUNK_CLOSED_AFTER)) {
                self.bound(pace.edge, micros(pace.width_of(EXPORT_SLICE_ROWS)), chunk)
            } else {
                let rows = reads.rows_between(&self.tenant_id, chunk).await?;
                let parts = i64::try_from(rows.div_ceil(EXPORT_SORT_ROWS).max(1)).unwrap_or(1);
                self.bound(pace.edge, (chunk.1 - chunk.0) / parts, chunk)
            };
        }
        let (window, left) = self.cut(whole, bound);
        let mut sql = Sql::of_tenant(&Event::listed(PLACE), &self.tenant_id);
        self.filter.push(&mut sql);
        sql.push_within("timestamp", &window);
        if let Some(after) = self.after {
            Order::Written.push_place(&mut sql, self.direction.behind(), after);
        }
        Order::Written.push(&mut sql, self.direction);
        let portal = Portal::open(self.readers.export_lease().await?, &sql, EXPORT_SORT_MIB).await?;
        Ok(Slice { portal, left })
    }

    /// The chunk that holds the rows next to an edge, `[from, to)`.
    fn chunk(&self, edge: Timestamp) -> (Micros, Micros) {
        let width = micros(self.readers.slice).max(1);
        let inside = match self.direction {
            Direction::NewestFirst => edge.as_microsecond() - 1,
            Direction::OldestFirst => edge.as_microsecond(),
        };
        let from = inside.div_euclid(width) * width;
        (from, from + width)
    }

    /// So far from an edge, and within its chunk.
    fn bound(&self, edge: Timestamp, width: Micros, chunk: (Micros, Micros)) -> Option<Timestamp> {
        let at = match self.direction {
            Direction::NewestFirst => edge.as_microsecond().saturating_sub(width.max(1)).max(chunk.0),
            Direction::OldestFirst => edge.as_microsecond().saturating_add(width.max(1)).min(chunk.1),
        };
        Timestamp::from_microsecond(at).ok()
    }

    /// A slice up to a bound, and what is left behind it.
    fn cut(&self, whole: Window, bound: Option<Timestamp>) -> (Window, Option<Window>) {
        let Some(bound) = bound else { return (whole, None) };
        match self.direction {
            Direction::NewestFirst if whole.from.is_none_or(|from| from < bound) => {
                (Window { from: Some(bound), ..whole }, Some(Window { to: Some(bound), ..whole }))
            }
            Direction::OldestFirst if whole.to.is_none_or(|to| bound < to) => {
                (Window { to: Some(bound), ..whole }, Some(Window { from: Some(bound), ..whole }))
            }
            _ => (whole, None),
        }
    }

    /// Fetches from a slice, which stays open while it has more; None: it had no more.
    async fn fetch(&mut self, reads: &Reads, mut slice: Slice) -> Result<Option<Vec<Event>>, ReadError> {
        let FoundRows { mut rows, cut } = slice.portal.fetch(reads, self.fetch_rows.min(self.rows)).await?;
        let mut large = None;
        for (index, row) in rows.iter().enumerate() {
            let bytes = usize::try_from(row.try_get::<_, i64>("large")?).unwrap_or(usize::MAX);
            if bytes > 0 {
                large = Some((index, bytes));
                break;
            }
        }
        if let Some((index, bytes)) = large {
            if index == 0 {
                let place = Order::Written.place(&rows[0])?;
                drop(rows);
                slice.portal.end(cut).await;
                // With all its values, and alone.
                let row = reads.rows_of(&self.timeline().whole(&Window::at(place.0), place), bytes).await?;
                self.handed_over(place, 1);
                return row.iter().map(Event::read).collect::<Result<_, _>>().map(Some);
            }
            rows.truncate(index);
        }
        let Some(last) = rows.last().map(|row| Order::Written.place(row)).transpose()? else {
            slice.portal.end(cut).await;
            match slice.left {
                Some(left) => self.left = left,
                None => self.rows = 0,
            }
            return Ok(None);
        };
        let (count, bytes) = (rows.len(), rows.iter().map(Row::raw_size_bytes).sum::<usize>());
        self.fetch_rows = (EXPORT_FETCH_BYTES * count / bytes.max(1)).clamp(1, EXPORT_FETCH_ROWS_MAX);
        // A row goes as its item comes.
        let items = rows.into_iter().map(|row| Event::read(&row)).collect::<Result<Vec<_>, _>>()?;
        self.handed_over(last, count);
        if cut || large.is_some() || self.rows == 0 {
            slice.portal.end(cut).await;
        } else {
            self.open = Some(slice);
        }
        Ok(Some(items))
    }

    fn handed_over(&mut self, last: RowKey, count: usize) {
        self.after = Some(last);
        self.rows -= count;
    }
}

impl Pass for Slices {
    type Item = Event;

    async fn next(&mut self) -> Result<Option<Found<Event>>, ReadError> {
        while self.rows > 0 {
            // A turn for each fetch: the slice's connection is not one of those that reads take turns on.
            let reads = self.readers.begin(&self.tenant_id).await?;
            let slice = match self.open.take() {
                Some(slice) if slice.portal.opened.elapsed() < EXPORT_SNAPSHOT_MAX => slice,
                other => {
                    if let Some(slice) = other {
                        slice.portal.end(false).await;
                    }
                    self.open(&reads).await?
                }
            };
            if let Some(items) = self.fetch(&reads, slice).await? {
                return Ok(Some(Found { items, room: reads.into_reservation() }));
            }
        }
        Ok(None)
    }

    async fn pause(&mut self) {
        if let Some(slice) = self.open.take() {
            slice.portal.end(false).await;
        }
    }
}

impl Reads {
    /// How many of a tenant's events are in batches that end in a time, `[from, to)`.
    async fn rows_between(&self, tenant_id: &str, (from, to): (Micros, Micros)) -> Result<usize, ReadError> {
        let mut sql = Sql::of_tenant("SELECT coalesce(sum(event_count), 0)::bigint FROM ingest_batches", tenant_id);
        let bound = |at: Micros| Timestamp::from_microsecond(at).ok();
        sql.push(" AND kind = 'events'");
        sql.push_within("max_timestamp", &Window { from: bound(from), to: bound(to) });
        let rows = self.rows(&sql).await?.rows;
        let sum = rows.first().map_or(Ok(0_i64), |row| row.try_get(0))?;
        Ok(usize::try_from(sum).unwrap_or(0))
    }
}

fn micros(time: Duration) -> Micros {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}
