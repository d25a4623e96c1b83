//! A page of a stream by offset.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Instant;

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::Row;

use super::amount::Look;
use super::batches::{LoggedBatch, Stretch};
use super::start::{LogState, Position, Start, scope};
use super::wanted::Wanted;
use crate::limits::{LOG_ROW_BYTES, LOG_SIFTED_EVENTS, READ_TIMEOUT};
use crate::query::columns::StoredRow;
use crate::query::cursor::CursorScope;
use crate::query::error::ReadError;
use crate::query::event::Event;
use crate::query::listing::{PageRoom, TEXT_PER_BYTE_MAX};
use crate::query::reads::{Bounds, FoundRows, Reads};
use crate::query::sql::Sql;

/// So many times fewer events are looked for where a look took too long; fewer than that are not parted.
const FEW_EVENTS: usize = 16;

/// How much a page may hold.
#[derive(Debug, Clone, Copy)]
pub struct PageLimit {
    pub events: usize,
    /// As JSON; a page of one event may be larger.
    pub text_bytes: usize,
}

/// An event, and where it stands in the log of its stream.
#[derive(Debug, Serialize)]
pub struct LoggedEvent {
    #[serde(flatten)]
    pub event: Event,
    pub offset: i64,
    #[serde(skip)]
    pub batch_id: i64,
}

#[derive(Serialize)]
pub struct LogPage {
    pub data: Vec<LoggedEvent>,
    /// Where the next page begins.
    pub next_offset: i64,
    /// The same, with the history that it is of.
    pub cursor: String,
    /// The first offset of the stream that has not expired, and the one that its next event gets.
    pub begin: i64,
    pub end: i64,
    /// How many events whoever reads on had better ask for.
    #[serde(skip)]
    pub next_events: usize,
    #[serde(skip)]
    epoch: i64,
    #[serde(skip)]
    scope: CursorScope,
}

/// Events from an offset on.
pub(super) struct FoundEvents {
    pub(super) data: Vec<LoggedEvent>,
    /// The offset behind them, and the batch that it lies behind.
    pub(super) next_offset: i64,
    batch: Option<i64>,
    /// None: there was nothing to look for.
    look: Option<Look>,
}

/// A row, and where it stands.
struct Placed {
    offset: i64,
    batch_id: i64,
    batch_seq: i32,
    row: Row,
}

impl LogPage {
    /// Behind this event.
    pub fn cursor_behind(&self, event: &LoggedEvent) -> String {
        let batch = event.batch_id;
        Position { epoch: self.epoch, offset: event.offset + 1, batch }.cursor(&self.scope)
    }

    /// Whether the stream goes on behind it.
    pub fn has_more(&self) -> bool {
        self.next_offset < self.end
    }
}

impl Reads {
    /// The next events of a stream, as many as a page may hold; none at its end.
    pub async fn stream_page(
        &self,
        tenant_id: &str,
        stream: &str,
        start: &Start,
        limit: PageLimit,
    ) -> Result<LogPage, ReadError> {
        let (state, from) = self.stream_start(tenant_id, stream, start).await?;
        let found = if from < state.end {
            self.events_from(tenant_id, stream, from..i64::MAX, limit, &Wanted::default()).await?
        } else {
            FoundEvents { data: Vec::new(), next_offset: from, batch: None, look: None }
        };
        let next_events = found.look.map_or(limit.events, |look| look.next(self.page_bytes));
        Ok(page(tenant_id, stream, state, found, next_events))
    }

    /// The next events of a range that are wanted.
    pub(super) async fn events_from(
        &self,
        tenant_id: &str,
        stream: &str,
        range: Range<i64>,
        limit: PageLimit,
        wanted: &Wanted,
    ) -> Result<FoundEvents, ReadError> {
        // Of those that are looked at few may be wanted.
        let mut events = if wanted.are_all() { limit.events } else { limit.events.max(LOG_SIFTED_EVENTS) };
        let batches = self.batches_from(tenant_id, stream, range.start, events).await?;
        loop {
            let stretch = Stretch::of(&batches, range.start, events).before(range.end);
            if stretch.is_empty() {
                let (data, next_offset, batch) = (Vec::new(), stretch.to, stretch.batch_before(stretch.to));
                return Ok(FoundEvents { data, next_offset, batch, look: None });
            }
            let asked_at = Instant::now();
            let found = self.rows(&stretch.select(tenant_id, wanted)).await;
            let took = asked_at.elapsed();
            if let (Err(ReadError::Timeout), FEW_EVENTS..) = (&found, events) {
                // Of large values it takes long to see that they are; nobody must stand still before them.
                events /= FEW_EVENTS;
                continue;
            }
            let FoundRows { rows, cut } = found?;
            if cut && events > 1 {
                // What came is in no order, and so says nothing of what did not, but for how large rows are.
                events = (rows.len() / 4 * 3).clamp(1, events - 1);
                self.drop_rows();
                continue;
            }
            let row_bytes = rows.iter().map(Row::raw_size_bytes).sum();
            let found_rows = rows.len();
            let bases: HashMap<i64, i64> = stretch.bases().collect();
            let mut placed = Vec::with_capacity(rows.len());
            for row in rows {
                let (batch_id, batch_seq): (i64, i32) = (row.try_get("batch_id")?, row.try_get("batch_seq")?);
                let offset = bases.get(&batch_id).map(|base| base + i64::from(batch_seq));
                let offset = offset.filter(|offset| !wanted.passed_over.contains(offset));
                placed.extend(offset.map(|offset| Placed { offset, batch_id, batch_seq, row }));
            }
            placed.sort_unstable_by_key(|placed| placed.offset);
            let to = placed.get(limit.events).map_or(stretch.to, |behind| behind.offset);
            placed.truncate(limit.events);
            let (data, next_offset) = self.whole(tenant_id, placed, to, limit.text_bytes).await?;
            let look = Look { asked: events, rows: found_rows, row_bytes, taken: data.len(), took };
            let batch = stretch.batch_before(next_offset);
            return Ok(FoundEvents { data, next_offset, batch, look: Some(look) });
        }
    }

    async fn batches_from(
        &self,
        tenant_id: &str,
        stream: &str,
        from: i64,
        limit: usize,
    ) -> Result<Vec<LoggedBatch>, ReadError> {
        self.hold(limit * LOG_ROW_BYTES)?;
        let mut sql = Sql::new(include_str!("../../../sql/queries/stream_batches.sql"));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        sql.value(tenant_id.to_owned()).value(stream.to_owned()).value(from).value(limit);
        sql.keeps_plan = true;
        self.rows(&sql).await?.rows.iter().map(LoggedBatch::read).collect()
    }

    /// As many events as a page may hold. Those with values that are too large to come with others are read one by one.
    async fn whole(
        &self,
        tenant_id: &str,
        placed: Vec<Placed>,
        to: i64,
        text_bytes: usize,
    ) -> Result<(Vec<LoggedEvent>, i64), ReadError> {
        let raw_bytes: usize = placed.iter().map(|placed| placed.row.raw_size_bytes()).sum();
        let mut fits = raw_bytes * TEXT_PER_BYTE_MAX < text_bytes;
        let (mut events, mut room) = (Vec::with_capacity(placed.len()), PageRoom::of(text_bytes));
        for placed in placed {
            let Placed { offset, batch_id, row, .. } = &placed;
            let large = usize::try_from(row.try_get::<_, i64>("large")?).unwrap_or(usize::MAX);
            let event = if large == 0 {
                Event::read(row)?
            } else {
                fits = false;
                let held = self.hold_row(large);
                // The first one comes however large it is.
                if !events.is_empty() && (held.is_err() || !room.has(large)) {
                    return Ok((events, *offset));
                }
                held?;
                // It may have expired meanwhile.
                let Some(event) = self.large(tenant_id, &placed).await? else { continue };
                event
            };
            let event = LoggedEvent { event, offset: *offset, batch_id: *batch_id };
            if !fits && !room.take(&event) && !events.is_empty() {
                return Ok((events, *offset));
            }
            events.push(event);
        }
        Ok((events, to))
    }

    /// An event with all its values, whose memory is taken.
    async fn large(&self, tenant_id: &str, placed: &Placed) -> Result<Option<Event>, ReadError> {
        let mut sql = Sql::of_tenant(&Event::select(""), tenant_id);
        sql.push(" AND timestamp = ").bind(placed.row.try_get::<_, Timestamp>("timestamp")?);
        sql.push(" AND batch_id = ").bind(placed.batch_id).push(" AND batch_seq = ").bind(placed.batch_seq);
        let rows = self.rows_within(&sql, Bounds { time: READ_TIMEOUT, bytes: None }).await?.rows;
        rows.first().map(Event::read).transpose()
    }
}

fn page(tenant_id: &str, stream: &str, state: LogState, found: FoundEvents, next_events: usize) -> LogPage {
    let scope = scope(tenant_id, stream);
    let (LogState { begin, end, epoch, .. }, FoundEvents { data, next_offset, batch, .. }) = (state, found);
    // Of a page without an event the batch before it is the newest one, or not known.
    let batch = batch.or((next_offset == end).then_some(state.newest_batch)).unwrap_or(0);
    let cursor = Position { epoch, offset: next_offset, batch }.cursor(&scope);
    // The log may have grown since its end was looked at.
    LogPage { data, next_offset, cursor, begin, end: end.max(next_offset), next_events, epoch, scope }
}
