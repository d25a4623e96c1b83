//! A page of a stream by offset.

use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;

use super::ahead::Selection;
use super::batches::Stretch;
use super::logged::LoggedEvent;
use super::logs::Logs;
use super::start::{LogState, Position, Start, scope};
use super::wanted::Wanted;
use crate::limits::{LOG_SIFTED_EVENTS, READ_TIMEOUT};
use crate::query::columns::StoredRow;
use crate::query::cursor::CursorScope;
use crate::query::error::ReadError;
use crate::query::event::Event;
use crate::query::listing::PageRoom;
use crate::query::reads::{Bounds, Reads};
use crate::query::sql::Sql;

/// How much a page may hold.
#[derive(Debug, Clone, Copy)]
pub struct PageLimit {
    pub events: usize,
    /// As JSON; a page of one event may be larger.
    pub text_bytes: usize,
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
}

impl LogPage {
    /// Behind this event.
    pub fn cursor_behind(&self, event: &LoggedEvent) -> String {
        let batch = event.batch_id;
        Position { epoch: self.epoch, offset: event.offset + 1, batch }.cursor(&self.scope)
    }

    /// Whether the stream goes on behind it.
    pub fn has_more(&self) -> bool {
        self.left() > 0
    }

    /// How many offsets lie between it and the stream's end.
    pub fn left(&self) -> i64 {
        self.end - self.next_offset
    }
}

impl Reads {
    /// The next events of a stream, as many as a page may hold; none at its end.
    pub async fn stream_page(
        &self,
        logs: &Logs,
        tenant_id: &str,
        stream: &str,
        start: &Start,
        limit: PageLimit,
    ) -> Result<LogPage, ReadError> {
        let (state, from) = self.stream_start(tenant_id, stream, start).await?;
        let found = if from < state.end {
            self.events_from(logs, tenant_id, stream, from..state.end, limit, &Wanted::default()).await?
        } else {
            FoundEvents { data: Vec::new(), next_offset: from, batch: None }
        };
        Ok(page(tenant_id, stream, state, found))
    }

    /// The next events of a range that are wanted.
    pub(super) async fn events_from(
        &self,
        logs: &Logs,
        tenant_id: &str,
        stream: &str,
        range: Range<i64>,
        limit: PageLimit,
        wanted: &Wanted,
    ) -> Result<FoundEvents, ReadError> {
        // Of those that are looked at few may be wanted.
        let events = if wanted.are_all() { limit.events } else { limit.events.max(LOG_SIFTED_EVENTS) };
        let of = Arc::new(Selection {
            tenant_id: tenant_id.to_owned(),
            stream: stream.to_owned(),
            event_types: wanted.event_types.clone(),
        });
        let amount = logs.ahead.amount(&of, range.start, events);
        let batches = self.batches_from(&of, range.start, amount.max(events)).await?;
        let stretch = Stretch::of(&batches, range.start, events).before(range.end);
        let (mut found, mut text_bytes) = (Vec::new(), 0);
        let mut at = if stretch.is_empty() { stretch.to } else { stretch.from };
        while at < stretch.to && found.len() <= limit.events && text_bytes < limit.text_bytes {
            let piece = self.piece(logs, &of, &batches, &stretch, at).await?;
            let of_it = piece.within(at..stretch.to).iter().filter(|event| wanted.takes(event));
            for event in of_it.take(limit.events + 1 - found.len()) {
                text_bytes += event.text_bytes();
                found.push(event.clone());
            }
            at = piece.to.min(stretch.to);
        }
        let to = found.get(limit.events).map_or(at, |behind| behind.offset);
        found.truncate(limit.events);
        let (data, next_offset) = self.whole(tenant_id, found, to, limit.text_bytes).await?;
        let batch = stretch.batch_before(next_offset);
        Ok(FoundEvents { data, next_offset, batch })
    }

    /// As many events as a page may hold. Those with values that are too large to come with others are read one by one.
    async fn whole(
        &self,
        tenant_id: &str,
        found: Vec<LoggedEvent>,
        to: i64,
        text_bytes: usize,
    ) -> Result<(Vec<LoggedEvent>, i64), ReadError> {
        let (mut events, mut room) = (Vec::with_capacity(found.len()), PageRoom::of(text_bytes));
        for event in found {
            let offset = event.offset;
            let bytes = event.text_bytes();
            let held = self.hold_row(bytes);
            // The first one comes however large it is.
            if !events.is_empty() && (held.is_err() || !room.has(bytes)) {
                return Ok((events, offset));
            }
            held?;
            let event = match event.large {
                0 => event,
                // It may have expired meanwhile.
                _ => match self.large(tenant_id, &event).await? {
                    Some(event) => event,
                    None => continue,
                },
            };
            if !room.take_text(event.text().len()) && !events.is_empty() {
                return Ok((events, offset));
            }
            events.push(event);
        }
        Ok((events, to))
    }

    /// An event with all its values, whose memory is taken.
    async fn large(&self, tenant_id: &str, event: &LoggedEvent) -> Result<Option<LoggedEvent>, ReadError> {
        let mut sql = Sql::of_tenant(&Event::select(""), tenant_id);
        sql.push(" AND timestamp = ").bind(event.timestamp);
        sql.push(" AND batch_id = ").bind(event.batch_id).push(" AND batch_seq = ").bind(event.batch_seq);
        let rows = self.rows_within(&sql, Bounds { time: READ_TIMEOUT, bytes: None }).await?.rows;
        rows.first().map(|row| event.whole(row)).transpose()
    }
}

fn page(tenant_id: &str, stream: &str, state: LogState, found: FoundEvents) -> LogPage {
    let scope = scope(tenant_id, stream);
    let (LogState { begin, end, epoch, .. }, FoundEvents { data, next_offset, batch }) = (state, found);
    // Of a page without an event the batch before it is the newest one, or not known.
    let batch = batch.or((next_offset == end).then_some(state.newest_batch)).unwrap_or(0);
    let cursor = Position { epoch, offset: next_offset, batch }.cursor(&scope);
    LogPage { data, next_offset, cursor, begin, end, epoch, scope }
}
