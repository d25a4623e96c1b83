//! Reading pieces of a log: by one reader for all that want them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use tokio_postgres::Row;

use super::ahead::{Amount, Flight, Found, Selection};
use super::amount::Look;
use super::batches::{LoggedBatch, Stretch};
use super::logged::LoggedEvent;
use super::logs::Logs;
use super::piece::Piece;
use crate::limits::{LOG_ROW_BYTES, LOG_ROWS_FIRST, LOG_ROWS_MAX};
use crate::query::error::ReadError;
use crate::query::reads::Reads;
use crate::query::sql::Sql;

/// So many times fewer events are looked for where a look took too long; fewer than that are not parted.
const FEW_EVENTS: usize = 16;

impl Reads {
    /// The piece of a log in which an offset of a stretch lies: the stretch itself, a part of it, or more. `batches` are those that
    /// the log has there.
    pub(super) async fn piece(
        &self,
        logs: &Logs,
        of: &Arc<Selection>,
        batches: &[LoggedBatch],
        stretch: &Stretch<'_>,
        at: i64,
    ) -> Result<Arc<Piece>, ReadError> {
        let needed = stretch.events_from(at);
        loop {
            match logs.ahead.find(of, at, needed, stretch) {
                Found::Here(piece) => return Ok(piece),
                Found::UnderWay(done) => drop(done.lock().await),
                Found::Missing(flight) => {
                    if let Some(mut piece) = self.piece_of_pass(logs, of, stretch, at, &flight.amount).await {
                        piece.look = flight.amount.look;
                        return Ok(flight.land(piece));
                    }
                    if at == stretch.from || flight.amount.events <= needed {
                        return self.fill(of, batches, at, needed, flight).await;
                    }
                    let batches = self.batches_from(of, at, flight.amount.events).await?;
                    return self.fill(of, &batches, at, needed, flight).await;
                }
            }
        }
    }

    /// Reads a piece. What is no longer than a page is read in the memory of who asks, and what is longer in that of what is kept.
    async fn fill(
        &self,
        of: &Arc<Selection>,
        batches: &[LoggedBatch],
        at: i64,
        needed: usize,
        mut flight: Flight,
    ) -> Result<Arc<Piece>, ReadError> {
        let Amount { mut events, bytes: expected, .. } = flight.amount;
        let promised = if expected > self.page_bytes { flight.promise() } else { 0 };
        let is_page = promised <= self.page_bytes;
        let bytes_max = if is_page { self.page_bytes } else { promised };
        if expected > bytes_max {
            events = (events.saturating_mul(bytes_max) / expected).max(1);
        }
        loop {
            let stretch = Stretch::of(batches, at, events).before(flight.before);
            if stretch.is_empty() {
                return Ok(flight.land(Piece::new(&stretch, Vec::new())));
            }
            let bases: HashMap<i64, i64> = stretch.bases().collect();
            let (mut found, mut bytes) = (Vec::new(), 0);
            let asked_at = Instant::now();
            let mut take = |row: Row| {
                let (batch_id, batch_seq): (i64, i32) = (row.try_get("batch_id")?, row.try_get("batch_seq")?);
                let Some(base) = bases.get(&batch_id) else { return Ok(false) };
                let event = LoggedEvent::read(&row, base + i64::from(batch_seq), batch_id, batch_seq)?;
                if is_page {
                    self.hold_row(row.raw_size_bytes())?;
                }
                bytes += if is_page { row.raw_size_bytes() } else { event.bytes() };
                found.push(event);
                Ok(bytes >= bytes_max)
            };
            let read = self.each_row(&stretch.select(&of.tenant_id, &of.event_types), &mut take).await;
            let took = asked_at.elapsed();
            if is_page {
                // Those that are answered with have it again.
                self.drop_rows();
            }
            if let (Err(ReadError::Timeout), FEW_EVENTS..) = (&read, events) {
                // Of large values it takes long to see that they are; nobody must stand still before them.
                events /= FEW_EVENTS;
                continue;
            }
            if let (Err(ReadError::Busy { .. }), true) = (&read, events > needed) {
                events = needed;
                continue;
            }
            let is_cut = read?;
            if is_cut && events > 1 {
                // What came is in no order, and so says nothing of what did not, but for how large rows are.
                events = (found.len() / 4 * 3).clamp(1, events - 1);
                continue;
            }
            let has_large = found.iter().any(|event| event.large > 0);
            let mut piece = Piece::new(&stretch, found);
            piece.look = Some(Look::after(flight.amount.look, events, piece.bytes, has_large, took));
            return Ok(flight.land(piece));
        }
    }

    /// The batches of a log from the one on that an offset lies in, until they have so many events.
    pub(super) async fn batches_from(
        &self,
        of: &Selection,
        from: i64,
        events: usize,
    ) -> Result<Vec<LoggedBatch>, ReadError> {
        let mut batches: Vec<LoggedBatch> = Vec::new();
        let mut rows = LOG_ROWS_FIRST.min(events);
        loop {
            self.hold((batches.len() + rows) * LOG_ROW_BYTES)?;
            let mut sql = Sql::new(include_str!("../../../sql/queries/stream_batches.sql"));
            let next = batches.last().map_or(from, LoggedBatch::end);
            sql.value(of.tenant_id.clone()).value(of.stream.clone()).value(next);
            sql.value(i64::try_from(rows).unwrap_or(i64::MAX));
            sql.keeps_plan = true;
            let found = self.rows(&sql).await?.rows;
            let is_all = found.len() < rows;
            for row in &found {
                let batch = LoggedBatch::read(row)?;
                // At the end of the log the last one comes again.
                if batches.last().is_none_or(|last| last.base < batch.base) {
                    batches.push(batch);
                }
            }
            if is_all
                || batches.len() >= LOG_ROWS_MAX
                || Stretch::of(&batches, from, events).events_from(from) >= events
            {
                return Ok(batches);
            }
            rows = (4 * rows).min(LOG_ROWS_MAX);
        }
    }
}
