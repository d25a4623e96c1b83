//! What a connection of HTTP/2 is at: requests under way, answers that its peer has not taken, requests taken back.
//!
//! The protocol's windows let a peer hold every answer for as long as it likes, and it may take requests back as fast as
//! it makes them. Both are seen here: each piece of an answer has a time by which it must be gone, and is known to be gone
//! when its memory is given back.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::response::Body;
use super::wire::answer_time;
use crate::limits::H2_ABANDONED_MAX;

pub struct Activity {
    state: Mutex<ConnectionState>,
    flooded: Notify,
    write_timeout: Duration,
}

struct ConnectionState {
    /// Requests whose answer is not out.
    open: usize,
    begun: u64,
    /// Of those that ended, how many more were taken back than answered; at least 0.
    abandoned: u64,
    /// Since when `open` is 0.
    quiet_since: Instant,
    /// By when each piece of an answer must be taken.
    due: BTreeMap<u64, Instant>,
    last_piece: u64,
}

impl Activity {
    /// Of a connection that begins now.
    pub fn new(write_timeout: Duration) -> Arc<Self> {
        let state = ConnectionState {
            open: 0,
            begun: 0,
            abandoned: 0,
            quiet_since: Instant::now(),
            due: BTreeMap::new(),
            last_piece: 0,
        };
        Arc::new(Self { state: Mutex::new(state), flooded: Notify::new(), write_timeout })
    }

    pub fn begin(self: &Arc<Self>) -> Underway {
        let mut state = self.lock();
        state.open += 1;
        state.begun += 1;
        metrics::gauge!("tidegate_http2_streams").increment(1.0);
        Underway { activity: Arc::clone(self), answered: false }
    }

    /// How long nothing has been under way; None: something is.
    pub fn quiet(&self) -> Option<Duration> {
        let state = self.lock();
        (state.open == 0 && state.due.is_empty()).then(|| state.quiet_since.elapsed())
    }

    /// Whether there never was a request.
    pub fn is_new(&self) -> bool {
        self.lock().begun == 0
    }

    /// Whether the peer has left a piece of an answer for too long.
    pub fn is_stalled(&self) -> bool {
        let now = Instant::now();
        self.lock().due.values().any(|due| *due < now)
    }

    /// Returns when the peer has taken back too many requests.
    pub async fn flooded(&self) {
        self.flooded.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, ConnectionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the peer has its time to take so many bytes.
    fn owe(self: &Arc<Self>, bytes: usize) -> Debt {
        let mut state = self.lock();
        state.last_piece += 1;
        let piece = state.last_piece;
        state.due.insert(piece, Instant::now() + self.write_timeout + answer_time(bytes));
        Debt { activity: Arc::clone(self), piece }
    }
}

/// A request from its head to the end of its answer.
pub struct Underway {
    activity: Arc<Activity>,
    answered: bool,
}

impl Underway {
    /// Watches the answer's way out.
    pub fn watch(mut self, body: Body) -> Body {
        self.answered = true;
        let debt = Some(self.activity.owe(0));
        Watched { body, debt, request: self }.boxed_unsync()
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        metrics::gauge!("tidegate_http2_streams").decrement(1.0);
        let mut state = self.activity.lock();
        state.open -= 1;
        state.quiet_since = Instant::now();
        state.abandoned = if self.answered { state.abandoned.saturating_sub(1) } else { state.abandoned + 1 };
        if state.abandoned > H2_ABANDONED_MAX {
            self.activity.flooded.notify_one();
        }
    }
}

/// Something that the peer has to take, until it is dropped.
struct Debt {
    activity: Arc<Activity>,
    piece: u64,
}

impl Drop for Debt {
    fn drop(&mut self) {
        let mut state = self.activity.lock();
        state.due.remove(&self.piece);
        state.quiet_since = Instant::now();
    }
}

/// Bytes that tell when they are gone.
struct Owed {
    bytes: Bytes,
    _debt: Debt,
}

impl AsRef<[u8]> for Owed {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The body of an answer. hyper asks for the next piece only when the peer has room for it.
struct Watched {
    body: Body,
    /// While the peer makes no room for the next piece.
    debt: Option<Debt>,
    request: Underway,
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let activity = Arc::clone(&self.request.activity);
        match polled {
            // Not the peer's fault.
            Poll::Pending => {
                self.debt = None;
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => {
                self.debt = Some(activity.owe(0));
                let owe = |bytes: Bytes| {
                    let debt = activity.owe(bytes.len());
                    Bytes::from_owner(Owed { bytes, _debt: debt })
                };
                Poll::Ready(Some(Ok(frame.map_data(owe))))
            }
            other => {
                self.debt = None;
                other
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::response::full;

    #[test]
    fn a_piece_is_owed_until_its_memory_is_given_back() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let activity = Activity::new(Duration::ZERO);
            assert!(activity.is_new() && activity.quiet().is_some());
            let request = activity.begin();
            assert!(!activity.is_new() && activity.quiet().is_none() && !activity.is_stalled());
            let mut body = request.watch(full("answer"));
            // Nobody makes room for it.
            tokio::time::sleep(Duration::from_millis(2)).await;
            assert!(activity.is_stalled());
            let frame = body.frame().await;
            let bytes = frame.and_then(Result::ok).and_then(|frame| frame.into_data().ok()).expect("data");
            drop(body);
            assert!(activity.quiet().is_none(), "the bytes are still held");
            tokio::time::sleep(Duration::from_millis(2)).await;
            assert!(activity.is_stalled());
            assert_eq!(bytes, "answer");
            drop(bytes);
            assert!(!activity.is_stalled() && activity.quiet().is_some());
        });
    }

    #[test]
    fn taking_back_more_than_is_answered_is_a_flood() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let activity = Activity::new(Duration::from_secs(60));
            for _ in 0..H2_ABANDONED_MAX {
                drop(activity.begin());
                // As many answered as taken back: an impatient reader, no flood.
                drop(activity.begin().watch(full("")));
            }
            let flooded = || tokio::time::timeout(Duration::from_millis(1), activity.flooded());
            assert!(flooded().await.is_err());
            for _ in 0..=H2_ABANDONED_MAX {
                drop(activity.begin());
            }
            assert!(flooded().await.is_ok());
        });
    }
}
