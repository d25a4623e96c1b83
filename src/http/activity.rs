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
    /// What the peer has to take, by answer.
    answers: BTreeMap<u64, Account>,
    last_answer: u64,
}

/// How an answer is taken: pieces of it at a time, and all of it at a least rate.
struct Account {
    /// How long its peer may stall at most.
    patience: Duration,
    /// How long its peer may still stall.
    credit: Duration,
    /// Pieces that are out, or wait for the peer to make room.
    owed: usize,
    /// By when they must be taken, while there are any.
    due: Instant,
    /// Since when there are none.
    free_since: Instant,
    /// No more pieces come.
    is_closed: bool,
}

impl Activity {
    /// Of a connection that begins now.
    pub fn new(write_timeout: Duration) -> Arc<Self> {
        let state = ConnectionState {
            open: 0,
            begun: 0,
            abandoned: 0,
            quiet_since: Instant::now(),
            answers: BTreeMap::new(),
            last_answer: 0,
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
        (state.open == 0 && state.answers.is_empty()).then(|| state.quiet_since.elapsed())
    }

    /// Whether there never was a request.
    pub fn is_new(&self) -> bool {
        self.lock().begun == 0
    }

    /// Whether the peer has left a piece of an answer for too long.
    pub fn is_stalled(&self) -> bool {
        let now = Instant::now();
        self.lock().answers.values().any(|answer| answer.is_stalled(now))
    }

    /// Returns when the peer has taken back too many requests.
    pub async fn flooded(&self) {
        self.flooded.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, ConnectionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An answer begins.
    fn open(&self) -> u64 {
        let mut state = self.lock();
        state.last_answer += 1;
        let answer = state.last_answer;
        state.answers.insert(answer, Account::new(self.write_timeout, Instant::now()));
        answer
    }

    /// From now on the peer has its time to take so many bytes more of an answer.
    fn owe(self: &Arc<Self>, answer: u64, bytes: usize) -> Debt {
        if let Some(account) = self.lock().answers.get_mut(&answer) {
            account.owe(bytes, Instant::now());
        }
        Debt { activity: Arc::clone(self), answer }
    }
}

impl Account {
    fn new(patience: Duration, now: Instant) -> Self {
        Self { patience, credit: patience, owed: 0, due: now, free_since: now, is_closed: false }
    }

    fn owe(&mut self, bytes: usize, now: Instant) {
        if self.owed == 0 {
            let earned = now.saturating_duration_since(self.free_since);
            self.due = now + self.credit.saturating_add(earned).min(self.patience);
        }
        self.owed += 1;
        // Who is fast does not save up for later.
        self.due = self.due.min(now + self.patience) + answer_time(bytes);
    }

    fn pay(&mut self, now: Instant) {
        self.owed -= 1;
        if self.owed == 0 {
            self.credit = self.due.saturating_duration_since(now).min(self.patience);
            self.free_since = now;
        }
    }

    fn is_stalled(&self, now: Instant) -> bool {
        self.owed > 0 && self.due < now
    }

    fn is_over(&self) -> bool {
        self.is_closed && self.owed == 0
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
        let answer = self.activity.open();
        let debt = Some(self.activity.owe(answer, 0));
        Watched { body, debt, answer, request: self }.boxed_unsync()
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
    answer: u64,
}

impl Drop for Debt {
    fn drop(&mut self) {
        let mut state = self.activity.lock();
        let now = Instant::now();
        state.quiet_since = now;
        let Some(account) = state.answers.get_mut(&self.answer) else { return };
        account.pay(now);
        if account.is_over() {
            state.answers.remove(&self.answer);
        }
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
    answer: u64,
    request: Underway,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.debt = None;
        let mut state = self.request.activity.lock();
        if let Some(account) = state.answers.get_mut(&self.answer) {
            account.is_closed = true;
            if account.is_over() {
                state.answers.remove(&self.answer);
            }
        }
    }
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let (activity, answer) = (Arc::clone(&self.request.activity), self.answer);
        match polled {
            // Not the peer's fault.
            Poll::Pending => {
                self.debt = None;
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => {
                self.debt = Some(activity.owe(answer, 0));
                let owe = |bytes: Bytes| {
                    let debt = activity.owe(answer, bytes.len());
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
    fn a_trickle_is_a_stall() {
        // Seconds for each of so many pieces, for which the least rate allows four, and how long one may stall at once.
        for (seconds, pieces, cut) in [(3, 1000, false), (5, 28, false), (5, 32, true), (33, 1, false), (35, 1, true)] {
            let mut now = Instant::now();
            let mut account = Account::new(Duration::from_secs(30), now);
            let mut stalled = false;
            for _ in 0..pieces {
                // The next piece waits for room while this one is taken.
                account.owe(0, now);
                account.owe(64 << 10, now);
                now += Duration::from_secs(seconds);
                stalled |= account.is_stalled(now);
                account.pay(now);
                account.pay(now);
            }
            assert_eq!(stalled, cut, "{seconds} s for each of {pieces}");
            // Who was fast has not saved up.
            account.owe(0, now + Duration::from_secs(3600));
            assert!(account.is_stalled(now + Duration::from_secs(3631)));
        }
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
