//! An ordered cursor over a long stretch of a log, for who reads on where a look is dear however few rows it is for, and where
//! more of them than one look can be for would not fit what is kept. The database goes through its segments once, sorts, and
//! gives rows away piece by piece.
//!
//! Its transaction holds back vacuum and compression of chunks, so that it ends after some seconds wherever it is; another one
//! goes on behind it.

use std::collections::HashMap;
use std::sync::Arc;

use metrics::counter;
use tokio::sync::OwnedSemaphorePermit;
use tokio_postgres::Row;

use super::ahead::{Amount, Selection};
use super::batches::Stretch;
use super::logged::LoggedEvent;
use super::logs::Logs;
use super::passes::Pass;
use super::piece::Piece;
use crate::limits::{EXPORT_SORT_MIB, LOG_PASS_MAX, LOG_PASS_ROWS_MAX, STREAM_PAGE_ROWS};
use crate::query::error::ReadError;
use crate::query::portal::Portal;
use crate::query::reads::{Lease, Reads};

/// Batches are few, and events many; nobody knows it before they are counted.
const JOIN_BY_HASH: &str = "SET LOCAL enable_nestloop = off; SET LOCAL enable_mergejoin = off";

impl Reads {
    /// The piece that begins at an offset, from a cursor that is there, or from one that is opened for it where that is worth it. None: it
    /// is to be read otherwise.
    pub(super) async fn piece_of_pass(
        &self,
        logs: &Logs,
        of: &Arc<Selection>,
        stretch: &Stretch<'_>,
        at: i64,
        amount: &Amount,
    ) -> Option<Piece> {
        let passes = &logs.passes;
        let bytes_max = self.page_bytes.min(logs.ahead.piece_bytes_max());
        let rows = amount.look.map_or(STREAM_PAGE_ROWS, |look| look.fitting(bytes_max)).clamp(1, LOG_PASS_ROWS_MAX);
        let read = async {
            let pass = match (passes.take(of, at), amount.pass) {
                (Some(pass), _) => pass,
                (None, Some(events)) => match passes.may_open(of) {
                    Some(place) => self.open_pass(logs, of, at, events, place).await?,
                    None => return Ok(None),
                },
                (None, None) => return Ok(None),
            };
            let (piece, pass) = self.next_of_pass(pass, rows).await?;
            if !piece.is_of(stretch) {
                return Ok(None);
            }
            match pass {
                Some(pass) if pass.portal.opened.elapsed() < LOG_PASS_MAX => passes.keep(of, pass),
                Some(pass) => pass.portal.end(false).await,
                None => {}
            }
            Ok(Some(piece))
        };
        match read.await {
            Ok(piece) => piece,
            Err(error) => {
                passes.failed(&error);
                None
            }
        }
    }

    async fn open_pass(
        &self,
        logs: &Logs,
        of: &Arc<Selection>,
        at: i64,
        events: usize,
        place: OwnedSemaphorePermit,
    ) -> Result<Pass, ReadError> {
        let batches = self.batches_from(of, at, events).await?;
        let stretch = Stretch::of(&batches, at, events);
        let lease = Lease::new(logs.passes.connection().await?, self.canceller());
        let sql = stretch.select_in_order(&of.tenant_id, &of.event_types);
        let portal = Portal::open_with(lease, &sql, EXPORT_SORT_MIB, JOIN_BY_HASH).await?;
        counter!("tidegate_stream_cursors_total").increment(1);
        Ok(Pass::new(portal, &stretch, place))
    }

    /// Its next piece of so many events; and it, where there is more.
    async fn next_of_pass(&self, mut pass: Pass, rows: usize) -> Result<(Piece, Option<Pass>), ReadError> {
        let bases: HashMap<i64, i64> = pass.ahead(pass.to).bases().collect();
        let (mut found, mut bytes): (Vec<LoggedEvent>, usize) = (Vec::new(), 0);
        let mut take = |row: Row| {
            let (batch_id, batch_seq): (i64, i32) = (row.try_get("batch_id")?, row.try_get("batch_seq")?);
            let Some(base) = bases.get(&batch_id) else { return Ok(false) };
            self.hold_row(row.raw_size_bytes())?;
            let event = LoggedEvent::read(&row, base + i64::from(batch_seq), batch_id, batch_seq)?;
            bytes += event.bytes();
            found.push(event);
            Ok(bytes >= self.page_bytes)
        };
        let (is_cut, count) = pass.portal.pass(rows, &mut take).await?;
        self.drop_rows();
        // They come in order, so that all that lies before the last one is here.
        let is_over = !is_cut && count < rows;
        let to = if is_over { pass.to } else { found.last().map_or(pass.to, |last| last.offset + 1) };
        let piece = Piece::new(&pass.ahead(to), found);
        pass.at = to;
        if is_over {
            pass.portal.end(false).await;
            return Ok((piece, None));
        }
        // Of what did not fit the rest is lost, and with it the cursor.
        Ok((piece, (!is_cut).then_some(pass)))
    }
}
