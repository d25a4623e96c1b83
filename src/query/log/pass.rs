//! An ordered cursor over a long stretch of a log, for who reads on where a look is dear however few rows it is for, and where
//! more of them than one look can be for would not fit what is kept. The database goes through its segments once, sorts, and
//! gives rows away piece by piece.
//!
//! Its transaction holds back vacuum and compression of chunks, so that it ends after some seconds wherever it is; another one
//! goes on behind it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::{Pool, Timeouts};
use metrics::counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::Row;

use super::ahead::{Amount, Selection};
use super::batches::{LoggedBatch, Stretch};
use super::logged::LoggedEvent;
use super::piece::Piece;
use crate::limits::{
    EXPORT_SORT_MIB, LOG_PASS_MAX, LOG_PASS_PAUSE, LOG_PASS_ROWS_MAX, LOG_PASSES_MAX, STREAM_PAGE_ROWS,
};
use crate::query::error::ReadError;
use crate::query::portal::Portal;
use crate::query::reads::{Lease, Reads};
use crate::storage::StorageError;

/// Batches are few, and events many; nobody knows it before they are counted.
const JOIN_BY_HASH: &str = "SET LOCAL enable_nestloop = off; SET LOCAL enable_mergejoin = off";

/// The cursors that are open.
pub struct Passes {
    exports: Pool,
    places: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: HashMap<Arc<Selection>, Pass>,
    /// When one could not be opened, or read, last.
    failed_at: Option<Instant>,
}

pub struct Pass {
    portal: Portal,
    /// The offset that comes next, and where it ends.
    at: i64,
    to: i64,
    /// From where it began on.
    batches: Vec<LoggedBatch>,
    _place: OwnedSemaphorePermit,
}

impl Passes {
    /// On connections of exports, of which some stay for these.
    pub fn new(exports: Pool) -> Arc<Self> {
        Arc::new(Self { exports, places: Arc::new(Semaphore::new(LOG_PASSES_MAX)), state: Mutex::default() })
    }

    /// The one that goes on at an offset.
    fn take(&self, of: &Arc<Selection>, at: i64) -> Option<Pass> {
        let mut state = self.state();
        state.open.get(of).filter(|pass| pass.at == at)?;
        state.open.remove(of)
    }

    fn keep(self: &Arc<Self>, of: &Arc<Selection>, pass: Pass) {
        let left = LOG_PASS_MAX.saturating_sub(pass.portal.opened.elapsed());
        let (passes, of) = (Arc::clone(self), Arc::clone(of));
        let number = (pass.portal.opened, pass.at);
        let before = self.state().open.insert(Arc::clone(&of), pass);
        // Nobody else has opened one of it: `open` is asked before.
        drop(before);
        tokio::spawn(async move {
            tokio::time::sleep(left).await;
            if let Some(pass) = passes.left_alone(&of, number) {
                pass.portal.end(false).await;
            }
        });
    }

    /// One that nobody has read on.
    fn left_alone(&self, of: &Arc<Selection>, number: (Instant, i64)) -> Option<Pass> {
        let mut state = self.state();
        state.open.get(of).filter(|pass| (pass.portal.opened, pass.at) == number)?;
        state.open.remove(of)
    }

    fn may_open(&self, of: &Arc<Selection>) -> Option<OwnedSemaphorePermit> {
        let state = self.state();
        let is_tired = state.failed_at.is_some_and(|at| at.elapsed() < LOG_PASS_PAUSE);
        if is_tired || state.open.contains_key(of) {
            return None;
        }
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    fn failed(&self, error: &ReadError) {
        tracing::debug!(?error, "a stream is not read by a cursor");
        self.state().failed_at = Some(Instant::now());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// What comes next, before an offset.
    fn ahead(&self, to: i64) -> Stretch<'_> {
        Stretch::of(&self.batches, self.at, usize::MAX).before(to)
    }
}

impl Reads {
    /// The piece that begins at an offset, from a cursor that is there, or from one that is opened for it where that is worth it. None: it
    /// is to be read otherwise.
    pub(super) async fn piece_of_pass(
        &self,
        of: &Arc<Selection>,
        stretch: &Stretch<'_>,
        at: i64,
        amount: &Amount,
    ) -> Option<Piece> {
        let passes = &self.logs.passes;
        let bytes_max = self.page_bytes.min(self.logs.ahead.piece_bytes_max());
        let rows = amount.look.map_or(STREAM_PAGE_ROWS, |look| look.fitting(bytes_max)).clamp(1, LOG_PASS_ROWS_MAX);
        let read = async {
            let pass = match (passes.take(of, at), amount.pass) {
                (Some(pass), _) => pass,
                (None, Some(events)) => match passes.may_open(of) {
                    Some(place) => self.open_pass(of, at, events, place).await?,
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
        of: &Arc<Selection>,
        at: i64,
        events: usize,
        place: OwnedSemaphorePermit,
    ) -> Result<Pass, ReadError> {
        let batches = self.batches_from(of, at, events).await?;
        let stretch = Stretch::of(&batches, at, events);
        let exports = &self.logs.passes.exports;
        // Exports may have them all.
        let at_once = Timeouts { wait: Some(Duration::ZERO), ..exports.timeouts() };
        let client = exports.timeout_get(&at_once).await.map_err(StorageError::from)?;
        let lease = Lease::new(client, self.canceller());
        let sql = stretch.select_in_order(&of.tenant_id, &of.event_types);
        let portal = Portal::open_with(lease, &sql, EXPORT_SORT_MIB, JOIN_BY_HASH).await?;
        let to = stretch.to;
        counter!("tidegate_stream_cursors_total").increment(1);
        Ok(Pass { portal, at, to, batches, _place: place })
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
