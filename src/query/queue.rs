//! Where reads wait for their turn: those that are served by [`Turns`], told one by one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::error::{Busy, ReadError};
use super::turns::{Asked, Share, Ticket, Turns};
use crate::limits::READ_WAIT_MAX;

pub struct Queue(Mutex<QueueState>);

struct QueueState {
    turns: Turns,
    /// How those that wait are told.
    waiting: HashMap<Ticket, oneshot::Sender<()>>,
}

impl Queue {
    pub fn new(turns: Turns) -> Self {
        Self(Mutex::new(QueueState { turns, waiting: HashMap::new() }))
    }

    /// Waits for a reader, and not for long.
    pub async fn turn(self: &Arc<Self>, tenant_id: &Arc<str>) -> Result<Turn, ReadError> {
        let (ticket, told) = {
            let mut queue = self.lock();
            match queue.turns.ask(tenant_id, Instant::now()) {
                Asked::Now => return Ok(Turn::new(self, tenant_id)),
                Asked::Refused(share) => return Err(queue.refused(tenant_id, share)),
                Asked::Wait(ticket) => {
                    let (tell, told) = oneshot::channel();
                    queue.waiting.insert(ticket, tell);
                    (ticket, told)
                }
            }
        };
        let mut place = Place { queue: Arc::clone(self), tenant_id: Arc::clone(tenant_id), ticket: Some(ticket) };
        match tokio::time::timeout(READ_WAIT_MAX, told).await {
            Ok(_turn) => {
                place.ticket = None;
                Ok(Turn::new(self, tenant_id))
            }
            Err(_elapsed) => {
                drop(place);
                let queue = self.lock();
                let share = queue.turns.share(tenant_id);
                Err(queue.refused(tenant_id, share))
            }
        }
    }

    /// How many reads are under way, and how many wait.
    pub fn in_use(&self) -> (usize, usize) {
        let queue = self.lock();
        (queue.turns.running(), queue.turns.waiting())
    }

    fn end(&self, tenant_id: &Arc<str>, took: Duration) {
        let mut queue = self.lock();
        for next in queue.turns.end(tenant_id, took, Instant::now()) {
            if let Some(tell) = queue.waiting.remove(&next) {
                // Where nobody hears it, its place ends the turn.
                let _ = tell.send(());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.0.lock().expect("no code panics while holding it")
    }
}

impl QueueState {
    fn refused(&self, tenant_id: &Arc<str>, share: Share) -> ReadError {
        let busy = match share {
            Share::Tenant => Busy::TenantReaders,
            Share::All => Busy::Readers,
        };
        ReadError::Busy { busy, retry_after: self.turns.wait(tenant_id, share) }
    }
}

/// A place in the queue, of somebody who may stop waiting.
struct Place {
    queue: Arc<Queue>,
    tenant_id: Arc<str>,
    /// None: its turn came, and was taken.
    ticket: Option<Ticket>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let mut queue = self.queue.lock();
        if queue.waiting.remove(&ticket).is_some() {
            queue.turns.give_up(&self.tenant_id, ticket);
        } else {
            // Its turn came while it left.
            drop(queue);
            self.queue.end(&self.tenant_id, Duration::ZERO);
        }
    }
}

/// A reader's, until it is dropped.
pub struct Turn {
    queue: Arc<Queue>,
    tenant_id: Arc<str>,
    begun: Instant,
}

impl Turn {
    fn new(queue: &Arc<Queue>, tenant_id: &Arc<str>) -> Self {
        Self { queue: Arc::clone(queue), tenant_id: Arc::clone(tenant_id), begun: Instant::now() }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.queue.end(&self.tenant_id, self.begun.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::task::Poll;

    use super::*;

    async fn is_pending<F: Future>(mut future: Pin<&mut F>) -> bool {
        poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
    }

    fn run<F: Future>(test: F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(test)
    }

    #[test]
    fn a_turn_goes_to_who_waits_also_past_those_that_left() {
        run(async {
            let queue = Arc::new(Queue::new(Turns::new(1, 1)));
            let tenant: Arc<str> = "a".into();
            let first = queue.turn(&tenant).await.expect("a free reader");
            let mut left = Box::pin(queue.turn(&tenant));
            let mut stays = Box::pin(queue.turn(&tenant));
            for waiting in [&mut left, &mut stays] {
                assert!(is_pending(waiting.as_mut()).await);
            }
            // Its turn comes, and it leaves before it hears of it.
            drop(first);
            drop(left);
            let turn = stays.await.expect("its turn");
            assert_eq!(queue.in_use(), (1, 0));
            let mut gone = Box::pin(queue.turn(&tenant));
            assert!(is_pending(gone.as_mut()).await);
            drop(gone);
            assert_eq!(queue.in_use(), (1, 0));
            drop(turn);
            let queue = queue.lock();
            assert!(queue.turns.running() == 0 && queue.waiting.is_empty());
        });
    }
}
