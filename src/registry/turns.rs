//! Whose turn it is to judge what takes long, or to compile.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many at once: by default as many as half of the processors, and at least one. Turns come in the order in which they were
/// asked for, but of each tenant only one waits beside those of others: the rest wait behind it.
pub struct Turns {
    all: Arc<Semaphore>,
    /// Turns that a tenant has at once; None: as many as there are.
    each: Option<usize>,
    /// Which request of a tenant waits beside others; of tenants that have some.
    first: Mutex<HashMap<Arc<str>, Arc<Semaphore>>>,
}

/// Ends when it is dropped.
pub struct Turn {
    _of_all: Option<OwnedSemaphorePermit>,
    _of_tenant: Option<OwnedSemaphorePermit>,
}

impl Default for Turns {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self::new((processors / 2).max(1))
    }
}

impl Turns {
    fn new(at_once: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(at_once)), each: None, first: Mutex::default() }
    }

    /// Of which a tenant has so many at once: it holds up no other, however long it takes.
    pub fn shared(at_once: usize, each: usize) -> Self {
        Self { each: Some(each), ..Self::new(at_once) }
    }

    pub async fn take(&self, tenant_id: &Arc<str>) -> Turn {
        let first = {
            let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
            first.retain(|_, waiting| Arc::strong_count(waiting) > 1);
            Arc::clone(
                first.entry(Arc::clone(tenant_id)).or_insert_with(|| Arc::new(Semaphore::new(self.each.unwrap_or(1)))),
            )
        };
        // Neither is ever closed.
        let first = first.acquire_owned().await.ok();
        let of_all = Arc::clone(&self.all).acquire_owned().await.ok();
        Turn { _of_all: of_all, _of_tenant: first.filter(|_| self.each.is_some()) }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn a_tenant_has_its_share_of_turns() {
        let turns = Turns::shared(2, 1);
        let (crowd, other): (Arc<str>, Arc<str>) = (Arc::from("crowd"), Arc::from("other"));
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(held) = pin!(turns.take(&crowd)).poll(&mut context) else { panic!("nobody is before it") };
        let mut second = Box::pin(turns.take(&crowd));
        assert!(second.as_mut().poll(&mut context).is_pending());
        assert!(pin!(turns.take(&other)).poll(&mut context).is_ready(), "another's turn is free");
        drop(held);
        assert!(second.as_mut().poll(&mut context).is_ready());
    }

    #[test]
    fn of_each_tenant_one_waits_beside_others() {
        let turns = Turns::new(1);
        let (crowd, other): (Arc<str>, Arc<str>) = (Arc::from("crowd"), Arc::from("other"));
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(held) = pin!(turns.take(&crowd)).poll(&mut context) else { panic!("nobody is before it") };
        let asked = [&crowd, &crowd, &crowd, &other];
        let mut waiting: Vec<_> = asked.iter().map(|tenant_id| Some(Box::pin(turns.take(tenant_id)))).collect();
        let mut held = Some(held);
        let mut order = Vec::new();
        // Each that comes is asked first where it stands; then the turn ends, and again.
        while waiting.iter().any(Option::is_some) {
            for slot in &mut waiting {
                let came = slot.as_mut().map(|waits| waits.as_mut().poll(&mut context));
                assert!(!matches!(came, Some(Poll::Ready(_))), "only one at once");
            }
            held = None;
            for (n, slot) in waiting.iter_mut().enumerate() {
                if let Some(Poll::Ready(turn)) = slot.as_mut().map(|waits| waits.as_mut().poll(&mut context)) {
                    assert!(held.is_none(), "only one at once");
                    (held, *slot) = (Some(turn), None);
                    order.push(n);
                }
            }
            assert!(held.is_some(), "somebody comes");
        }
        assert_eq!(order, [0, 3, 1, 2], "who came last comes before the rest of the crowd");
        drop(held);
        let Poll::Ready(_) = pin!(turns.take(&other)).poll(&mut context) else { panic!("all turns have ended") };
        assert_eq!(
            turns.first.lock().unwrap_or_else(PoisonError::into_inner).len(),
            1,
            "who waits no more is forgotten"
        );
    }
}
