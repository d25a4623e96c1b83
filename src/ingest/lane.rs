//! The lane: submissions wait here and leave joined into batches.
//!
//! A batch seals at `rows`, at `bytes`, or when its first submission has waited for `linger`, whichever is first. A
//! submission is never split; one larger than a batch is a batch of its own.

use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, timeout_at};

use super::request::Submission;
use crate::config::BatchConfig;
use crate::limits::QUEUE_REQUESTS_MAX;

/// The sending end: one per process, given up at shutdown so that the writers drain and end.
#[derive(Clone)]
pub struct LaneSender(mpsc::Sender<Submission>);

/// The receiving end, shared by the writers; they take turns in collecting a batch.
pub struct Lane {
    waiting: Mutex<mpsc::Receiver<Submission>>,
    seal: BatchConfig,
}

/// A lane and its sending end.
pub fn lane(seal: BatchConfig) -> (LaneSender, Lane) {
    let (sender, receiver) = mpsc::channel(QUEUE_REQUESTS_MAX);
    (LaneSender(sender), Lane { waiting: Mutex::new(receiver), seal })
}

impl LaneSender {
    /// Hands a submission over; given back when the lane is full or closed.
    // The error is the submission itself, so that the caller answers it: boxing it would cost every request.
    #[expect(clippy::result_large_err, reason = "the caller needs the submission back")]
    pub fn send(&self, submission: Submission) -> Result<(), Submission> {
        self.0.try_send(submission).map_err(|error| match error {
            mpsc::error::TrySendError::Full(submission) | mpsc::error::TrySendError::Closed(submission) => submission,
        })
    }

    /// Submissions waiting.
    pub fn waiting(&self) -> usize {
        self.0.max_capacity() - self.0.capacity()
    }
}

impl Lane {
    /// The next batch; None once the sending ends are gone and everything is taken.
    pub async fn next_batch(&self) -> Option<Vec<Submission>> {
        let mut waiting = self.waiting.lock().await;
        let first = waiting.recv().await?;
        let deadline = Instant::now() + self.seal.linger;
        let (mut rows, mut bytes) = size(&first);
        let mut batch = vec![first];
        while rows < self.seal.rows && bytes < self.seal.bytes {
            let Ok(Some(next)) = timeout_at(deadline, waiting.recv()).await else { break };
            let (more_rows, more_bytes) = size(&next);
            rows += more_rows;
            bytes += more_bytes;
            batch.push(next);
        }
        Some(batch)
    }
}

/// Rows and bytes that writing it takes; rejected items become rows as well, of dead letters.
fn size(submission: &Submission) -> (usize, usize) {
    let decoded = &submission.decoded;
    (decoded.rows.rows.len() + decoded.rejected.len(), decoded.rows.bytes.len() + decoded.rejected_bytes())
}
