//! All events of a filter as the database finds them: one cursor without a sort, so that there is no place to go on from.
//!
//! What was fetched and not handed over is lost, so a pass that lacks the memory for it is over; and it may not last for
//! long, since its snapshot holds vacuum, and the chunks, for as long.

use std::sync::Arc;

use super::columns::StoredRow;
use super::error::ReadError;
use super::event::Event;
use super::filter::Filter;
use super::listing::{Found, Pass};
use super::place::{Direction, Order};
use super::portal::Portal;
use super::readers::Readers;
use super::reads::Reads;
use super::sql::Sql;
use super::timeline::{PLACE, Timeline};
use super::windows::Window;
use crate::limits::{
    EXPORT_FETCH_BYTES, EXPORT_FETCH_ROWS_FIRST, EXPORT_FETCH_ROWS_MAX, EXPORT_SORT_MIB, EXPORT_UNORDERED_MAX,
};

pub struct Unordered {
    readers: Readers,
    tenant_id: Arc<str>,
    filter: Filter,
    window: Window,
    /// Rows that are still wanted.
    rows: usize,
    fetch_rows: usize,
    state: State,
}

enum State {
    Begins,
    Open(Box<Portal>),
    /// Rows were fetched, and not handed over.
    Broken,
    Ended,
}

impl Unordered {
    pub fn new(readers: Readers, tenant_id: Arc<str>, filter: Filter, window: Window, rows: usize) -> Self {
        let fetch_rows = EXPORT_FETCH_ROWS_FIRST;
        Self { readers, tenant_id, filter, window, rows, fetch_rows, state: State::Begins }
    }

    async fn open(&self) -> Result<Portal, ReadError> {
        let mut sql = Sql::of_tenant(&Event::listed(PLACE), &self.tenant_id);
        self.filter.push(&mut sql);
        sql.push_within("timestamp", &self.window);
        Portal::open(self.readers.export_lease().await?, &sql, EXPORT_SORT_MIB).await
    }

    /// The next rows; none: there are no more.
    async fn fetch(&mut self, reads: &Reads, portal: &mut Portal) -> Result<Vec<Event>, ReadError> {
        let rows = portal.fetch_all(reads, self.fetch_rows.min(self.rows)).await?;
        let (mut items, mut bytes) = (Vec::with_capacity(rows.len()), 0);
        for row in rows {
            bytes += row.raw_size_bytes();
            let large = usize::try_from(row.try_get::<_, i64>("large")?).unwrap_or(usize::MAX);
            items.push(if large == 0 { Event::read(&row)? } else { self.whole(reads, &row, large).await? });
        }
        self.rows -= items.len();
        // Twice as many at most: the next ones may be larger.
        let fitting = EXPORT_FETCH_BYTES * items.len() / bytes.max(1);
        self.fetch_rows = fitting.clamp(1, (2 * items.len()).clamp(1, EXPORT_FETCH_ROWS_MAX));
        Ok(items)
    }

    /// A row with all its values, beside those that are held already.
    async fn whole(&self, reads: &Reads, row: &tokio_postgres::Row, bytes: usize) -> Result<Event, ReadError> {
        reads.hold_row(bytes)?;
        let timeline = Timeline { tenant_id: &self.tenant_id, filter: &self.filter, direction: Direction::NewestFirst };
        let place = Order::Written.place(row)?;
        let whole = reads.rows_of(&timeline.whole(&Window::at(place.0), place), bytes).await?;
        Event::read(whole.first().unwrap_or(row))
    }
}

impl Pass for Unordered {
    type Item = Event;

    async fn next(&mut self) -> Result<Option<Found<Event>>, ReadError> {
        let reads = match self.state {
            State::Begins | State::Open(_) => self.readers.begin(&self.tenant_id).await?,
            State::Ended => return Ok(None),
            State::Broken => {
                return Err(ReadError::Unbounded("rows in no order need more memory than there is".into()));
            }
        };
        if let State::Begins = self.state {
            self.state = State::Open(Box::new(self.open().await?));
        }
        let State::Open(mut portal) = std::mem::replace(&mut self.state, State::Broken) else { return Ok(None) };
        if portal.opened.elapsed() > EXPORT_UNORDERED_MAX {
            return Err(ReadError::Timeout);
        }
        let items = self.fetch(&reads, &mut portal).await?;
        if items.is_empty() || self.rows == 0 {
            portal.end(false).await;
            self.state = State::Ended;
        } else {
            self.state = State::Open(portal);
        }
        Ok(Some(Found { items, room: reads.into_reservation() }).filter(|found| !found.items.is_empty()))
    }

    /// There is no place to go on from: it stays open for who takes nothing.
    async fn pause(&mut self) {}
}
