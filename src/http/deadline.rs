//! Deadlines of a connection that are moved often and reached seldom: moving one costs a store, not a timer.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A point in time that may be set, moved and cleared; its timer is armed only when somebody waits, and again only when
/// it goes off too early.
#[derive(Default)]
pub struct Deadline {
    at: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// Sets it, to `span` from now.
    pub fn set(&mut self, span: Duration) {
        self.at = Some(Instant::now() + span);
    }

    /// How long until it passes; None: it is not set.
    pub fn left(&self) -> Option<Duration> {
        self.at.map(|at| at.saturating_duration_since(Instant::now()))
    }

    pub fn clear(&mut self) {
        self.at = None;
    }

    pub fn is_set(&self) -> bool {
        self.at.is_some()
    }

    /// Whether it has passed; else the task is woken when it does.
    pub fn poll_passed(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(at) = self.at else { return false };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        // One that goes off too early is set again then; only one that would go off too late must be moved now.
        if timer.deadline() > at {
            timer.as_mut().reset(at);
        }
        loop {
            match timer.as_mut().poll(cx) {
                Poll::Pending => return false,
                Poll::Ready(()) if timer.deadline() >= at => return true,
                Poll::Ready(()) => timer.as_mut().reset(at),
            }
        }
    }
}

/// Counts a connection, request or handshake that was given up; `what` is one of few.
pub fn timed_out(what: &'static str) {
    metrics::counter!("tidegate_http_timeouts_total", "what" => what).increment(1);
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Polled until it has passed; the time that took.
    async fn passed(deadline: &mut Deadline) -> Duration {
        let start = Instant::now();
        poll_fn(|cx| if deadline.poll_passed(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
        start.elapsed()
    }

    #[test]
    fn it_passes_when_it_was_set_to_last() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let mut deadline = Deadline::default();
            assert!(!poll_fn(|cx| Poll::Ready(deadline.poll_passed(cx))).await, "it is not set");
            deadline.set(Duration::from_secs(3600));
            assert!(!poll_fn(|cx| Poll::Ready(deadline.poll_passed(cx))).await);
            // Nearer than the timer that is armed.
            deadline.set(Duration::from_millis(20));
            assert!(passed(&mut deadline).await >= Duration::from_millis(20));
            // Further than the timer that is armed.
            deadline.set(Duration::from_millis(1));
            assert!(deadline.left() <= Some(Duration::from_millis(1)));
            deadline.set(Duration::from_millis(31));
            assert!(passed(&mut deadline).await >= Duration::from_millis(30));
            deadline.clear();
            assert!(!deadline.is_set() && !poll_fn(|cx| Poll::Ready(deadline.poll_passed(cx))).await);
        });
    }
}
