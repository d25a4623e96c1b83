//! A lane: submissions go in as requests come, batches come out as writers ask.
//!
//! The state is [`Queues`]; here is what makes it wait and wake. There are two: the live lane, and the late one for
//! rows of closed chunks or of very many chunks, whose COPYs may meet compression and must delay nobody else.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::Notify;

use super::queues::{Load, Next, Queues, Seal};
use super::submission::Submission;
use crate::limits::{QUEUE_REQUESTS_MAX, QUEUE_REQUESTS_PER_TENANT_MAX};

pub struct Lane {
    state: Mutex<LaneState>,
    work: Notify,
    idle: AtomicUsize,
}

struct LaneState {
    queues: Queues<Submission>,
    closed: bool,
}

impl Lane {
    pub fn new(seal: Seal) -> Self {
        let state = LaneState { queues: Queues::new(seal), closed: false };
        Self { state: Mutex::new(state), work: Notify::new(), idle: AtomicUsize::new(0) }
    }

    /// Hands a submission over; given back when the lane is closed, full, or filled by its tenant.
    // The error is the submission itself, so that the caller answers it: boxing it would cost every request.
    #[expect(clippy::result_large_err, reason = "the caller needs the submission back")]
    pub fn send(&self, submission: Submission) -> Result<(), Submission> {
        let now = Instant::now();
        let mut state = self.state.lock().expect("no code panics while holding it");
        let queues = &mut state.queues;
        let filled = queues.len() >= QUEUE_REQUESTS_MAX
            || queues.len_of(&submission.received.tenant_id) >= QUEUE_REQUESTS_PER_TENANT_MAX;
        if state.closed || filled {
            return Err(submission);
        }
        let look = state.queues.push(submission, now);
        drop(state);
        if look {
            self.work.notify_one();
        }
        Ok(())
    }

    /// The next batch; None once the lane is closed and everything is taken.
    pub async fn next_batch(&self) -> Option<Vec<Submission>> {
        self.idle.fetch_add(1, Ordering::Relaxed);
        let batch = self.wait_for_batch().await;
        self.idle.fetch_sub(1, Ordering::Relaxed);
        batch
    }

    async fn wait_for_batch(&self) -> Option<Vec<Submission>> {
        loop {
            let due = {
                let mut state = self.state.lock().expect("no code panics while holding it");
                let closed = state.closed;
                // The writer that asks is counted among the idle ones.
                let idle = self.idle.load(Ordering::Relaxed).saturating_sub(1);
                match state.queues.next(Instant::now(), closed, idle) {
                    Next::Batch(batch) => {
                        let more = state.queues.len() > 0 || closed;
                        drop(state);
                        if more {
                            // One call may have stood for several: a writer that takes a batch wakes the next.
                            self.work.notify_one();
                        }
                        return Some(batch);
                    }
                    Next::Idle if closed => {
                        self.work.notify_one();
                        return None;
                    }
                    Next::Idle => None,
                    Next::Wait(due) => Some(due),
                }
            };
            match due {
                None => self.work.notified().await,
                Some(due) => {
                    // Either way the state is looked at again.
                    let _ = tokio::time::timeout_at(due.into(), self.work.notified()).await;
                }
            }
        }
    }

    /// Takes no more; what waits is due at once.
    pub fn close(&self) {
        self.state.lock().expect("no code panics while holding it").closed = true;
        self.work.notify_one();
    }

    /// Whether something waits while every writer is at work.
    pub fn is_behind(&self) -> bool {
        self.idle.load(Ordering::Relaxed) == 0 && self.waiting() > 0
    }

    pub fn waiting(&self) -> usize {
        self.state.lock().expect("no code panics while holding it").queues.len()
    }
}

impl Load for Submission {
    fn tenant_id(&self) -> &std::sync::Arc<str> {
        &self.received.tenant_id
    }

    /// Rejected items become rows as well, of dead letters.
    fn rows(&self) -> usize {
        self.decoded.rows.rows.len() + self.decoded.rejected.len()
    }

    fn bytes(&self) -> usize {
        self.decoded.rows.bytes.len() + self.decoded.rejected_bytes()
    }
}
