//! The cursors over logs that are open between two reads, each for some seconds, and few of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::{Object, Pool, Timeouts};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ahead::Selection;
use super::batches::{LoggedBatch, Stretch};
use crate::limits::{LOG_PASS_MAX, LOG_PASS_PAUSE, LOG_PASSES_MAX};
use crate::query::error::ReadError;
use crate::query::portal::Portal;
use crate::storage::StorageError;

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
    pub portal: Portal,
    /// The offset that comes next, and where it ends.
    pub at: i64,
    pub to: i64,
    /// From where it began on.
    pub batches: Vec<LoggedBatch>,
    _place: OwnedSemaphorePermit,
}

impl Passes {
    /// On connections of exports, of which some stay for these.
    pub fn new(exports: Pool) -> Arc<Self> {
        Arc::new(Self { exports, places: Arc::new(Semaphore::new(LOG_PASSES_MAX)), state: Mutex::default() })
    }

    /// The one that goes on at an offset.
    pub fn take(&self, of: &Arc<Selection>, at: i64) -> Option<Pass> {
        let mut state = self.state();
        state.open.get(of).filter(|pass| pass.at == at)?;
        state.open.remove(of)
    }

    pub fn keep(self: &Arc<Self>, of: &Arc<Selection>, pass: Pass) {
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

    pub fn may_open(&self, of: &Arc<Selection>) -> Option<OwnedSemaphorePermit> {
        let state = self.state();
        let is_tired = state.failed_at.is_some_and(|at| at.elapsed() < LOG_PASS_PAUSE);
        if is_tired || state.open.contains_key(of) {
            return None;
        }
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// A connection, if there is one: exports may have them all.
    pub async fn connection(&self) -> Result<Object, StorageError> {
        let at_once = Timeouts { wait: Some(Duration::ZERO), ..self.exports.timeouts() };
        Ok(self.exports.timeout_get(&at_once).await?)
    }

    pub fn failed(&self, error: &ReadError) {
        tracing::debug!(?error, "a stream is not read by a cursor");
        self.state().failed_at = Some(Instant::now());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// One that has its place among those that may be open.
    pub fn new(portal: Portal, stretch: &Stretch<'_>, place: OwnedSemaphorePermit) -> Self {
        Self { portal, at: stretch.from, to: stretch.to, batches: stretch.batches().to_vec(), _place: place }
    }

    /// What comes next, before an offset.
    pub fn ahead(&self, to: i64) -> Stretch<'_> {
        Stretch::of(&self.batches, self.at, usize::MAX).before(to)
    }
}
