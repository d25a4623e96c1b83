//! Who waits for events of a stream, and is woken when its log has grown: one connection of this node hears of it for all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;

use crate::limits::{STREAM_FOLLOWERS_PER_TENANT, STREAM_LOOKS_PER_TENANT};
use crate::storage::{Heard, Listener};

/// See sql/queries/log_append.sql.
const CHANNEL: &str = "tidegate_log";
/// Streams of one slot are woken together; a slot costs a few bytes.
const SLOTS: usize = 1024;

/// A stream's mark in messages: the first eight digits of a hash, as sql/queries/log_append.sql makes it. It is salted, since every login
/// of the database may listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(u32);

impl Mark {
    fn of(salt: &str, tenant_id: &str, stream: &str) -> Self {
        let parts = [tenant_id, " ", stream, " ", salt];
        let digest = parts.iter().fold(Sha256::new(), Sha256::chain_update).finalize();
        Self(u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]))
    }

    fn slot(self) -> usize {
        self.0 as usize % SLOTS
    }
}

pub struct Arrivals {
    /// Of the database.
    salt: Arc<str>,
    slots: Vec<watch::Sender<()>>,
    /// Who waits or follows, by tenant.
    followers: Mutex<HashMap<Arc<str>, Followers>>,
}

/// Those of one tenant.
struct Followers {
    number: usize,
    looks: Arc<Semaphore>,
}

impl Default for Followers {
    fn default() -> Self {
        Self { number: 0, looks: Arc::new(Semaphore::new(STREAM_LOOKS_PER_TENANT)) }
    }
}

impl Arrivals {
    /// Heard of from now on, until the task is ended.
    pub fn heard(listener: &Listener, salt: &Arc<str>) -> (Arc<Self>, JoinHandle<()>) {
        let own = Arc::new(Self::new(salt));
        let (told, listener) = (Arc::clone(&own), listener.clone());
        let task = tokio::spawn(async move {
            listener
                .hear(CHANNEL, |heard| match heard {
                    Heard::Began => told.wake(""),
                    Heard::Message(marks) => told.wake(&marks),
                })
                .await;
        });
        (own, task)
    }

    fn new(salt: &Arc<str>) -> Self {
        Self {
            salt: Arc::clone(salt),
            slots: (0..SLOTS).map(|_| watch::Sender::new(())).collect(),
            followers: Mutex::default(),
        }
    }

    /// Wakes who waits for these streams; none: for whichever.
    fn wake(&self, marks: &str) {
        let mut any = false;
        for mark in marks.split(' ').filter_map(|mark| u32::from_str_radix(mark, 16).ok()) {
            any = true;
            self.slots[Mark(mark).slot()].send_replace(());
        }
        if !any {
            self.slots.iter().for_each(|slot| slot.send_replace(()));
        }
    }

    /// A place among those who wait; None: the tenant has all that it may.
    pub fn follow(self: &Arc<Self>, tenant_id: &Arc<str>, stream: &str) -> Option<Follower> {
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        let own = followers.entry(Arc::clone(tenant_id)).or_default();
        if own.number >= STREAM_FOLLOWERS_PER_TENANT {
            return None;
        }
        own.number += 1;
        let looks = Arc::clone(&own.looks);
        metrics::gauge!("tidegate_stream_followers").increment(1.0);
        let woken = self.slots[Mark::of(&self.salt, tenant_id, stream).slot()].subscribe();
        Some(Follower { woken, looks, arrivals: Arc::clone(self), tenant_id: Arc::clone(tenant_id) })
    }
}

/// Who waits for events of one stream.
pub struct Follower {
    woken: watch::Receiver<()>,
    looks: Arc<Semaphore>,
    arrivals: Arc<Arrivals>,
    tenant_id: Arc<str>,
}

impl Follower {
    /// To be said before a look: what comes from now on is not missed. Returns its turn among those of the tenant, to be held
    /// for as long as the look takes.
    pub async fn look(&mut self) -> OwnedSemaphorePermit {
        let turn = Arc::clone(&self.looks).acquire_owned().await;
        self.woken.borrow_and_update();
        turn.expect("it is never closed")
    }

    /// Whether another look is worth it; false after `at_most`.
    pub async fn wait(&mut self, at_most: Duration) -> bool {
        tokio::time::timeout(at_most, self.woken.changed()).await.is_ok()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        metrics::gauge!("tidegate_stream_followers").decrement(1.0);
        let mut followers = self.arrivals.followers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = followers.get_mut(&self.tenant_id) {
            own.number -= 1;
            if own.number == 0 {
                followers.remove(&self.tenant_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_is_woken_for_its_stream() {
        let arrivals = Arc::new(Arrivals::new(&"salt".into()));
        let tenant: Arc<str> = "a".into();
        let mark = |stream: &str| format!("{:08x}", Mark::of("salt", "a", stream).0);
        let mut orders = arrivals.follow(&tenant, "orders").expect("a place");
        let mut others = arrivals.follow(&tenant, "others").expect("a place");
        arrivals.wake(&format!("{} {}", mark("nobody's"), mark("orders")));
        assert!(orders.wait(Duration::from_secs(60)).await);
        assert!(!others.woken.has_changed().expect("a sender"));
        // All at once, where they are too many to be named; and what comes between a look and a wait counts.
        drop(others.look().await);
        arrivals.wake("");
        assert!(others.wait(Duration::from_secs(60)).await);
    }

    #[test]
    fn a_tenant_has_so_many_places_and_gets_them_back() {
        let arrivals = Arc::new(Arrivals::new(&"salt".into()));
        let (tenant, other): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let held: Vec<Follower> = std::iter::from_fn(|| arrivals.follow(&tenant, "s")).collect();
        assert_eq!(held.len(), STREAM_FOLLOWERS_PER_TENANT);
        assert!(arrivals.follow(&other, "s").is_some());
        drop(held);
        assert!(arrivals.follow(&tenant, "s").is_some());
        assert!(arrivals.followers.lock().expect("whole").is_empty());
    }
}
