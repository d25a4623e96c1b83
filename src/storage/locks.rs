//! What the service excludes itself by: empty tables that only the owner may lock (`sql/migrations/common/0015_locks.sql`).
//!
//! Advisory locks would be simpler, but their names are anybody's who can connect: a login for reading could stop what
//! waits for one. What is held within one transaction is a `LOCK TABLE` in it; what is held for longer than that is a
//! [`Lease`], a transaction on a connection of its own that does nothing else.
//!
//! A connection says little of its holder: that of a process that is stopped, or of a machine that is gone without a word,
//! stays open for hours, and its kernel may even go on answering for it. So a lease is renewed, and the server ends the
//! session of one that is not: nobody has to be asked, and no other node needs the right to end it.

use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use tokio::sync::{oneshot, watch};

use super::StorageError;
use crate::limits::{LEASE_LIFE, LEASE_RENEWED_EVERY};

/// A lock of one job, by the job's name.
pub fn of_job(job: &str) -> String {
    format!("lock_job_{job}")
}

/// Begins what holds locks; without a snapshot and a number of its own it holds vacuum back from nothing. The server ends it
/// when it has heard nothing of its holder for as long as a lease lives.
fn begin_sql(wait: Duration) -> String {
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = {}; SET LOCAL lock_timeout = {}",
        LEASE_LIFE.as_millis(),
        wait.as_millis()
    )
}

/// Locks that are held until [`Lease::end`], or until the connection ends.
pub struct Lease {
    lost: watch::Receiver<bool>,
    /// Dropped unsent, the connection is closed, and the locks end with it.
    end: oneshot::Sender<oneshot::Sender<()>>,
}

impl Lease {
    /// Takes a lock if it is free.
    pub async fn try_take(owner: &Pool, lock: &str) -> Result<Option<Self>, StorageError> {
        let held = Held::begin(owner, Duration::ZERO).await?;
        let statement = held.client().prepare_cached("SELECT tidegate.try_lock($1)").await?;
        let free: bool = held.client().query_one(&statement, &[&lock]).await?.get(0);
        if free {
            return Ok(Some(held.keep()));
        }
        held.let_go().await;
        Ok(None)
    }

    /// Takes locks, in the order given, each once it is free; an error when one is not within `wait`.
    pub async fn take(owner: &Pool, locks: &[String], wait: Duration) -> Result<Self, StorageError> {
        let held = Held::begin(owner, wait).await?;
        for lock in locks {
            held.client().batch_execute(&format!("LOCK TABLE tidegate.{lock} IN EXCLUSIVE MODE")).await?;
        }
        Ok(held.keep())
    }

    /// Resolves when the lock is gone with its connection: what was done under it is to stop.
    pub async fn lost(&self) {
        // An error: what keeps it has ended, and the connection with it.
        let _ = self.lost.clone().wait_for(|lost| *lost).await;
    }

    /// Lets the locks go; where that fails they end with the connection.
    pub async fn end(self) {
        let (done, ended) = oneshot::channel();
        if self.end.send(done).is_ok() {
            let _ = ended.await;
        }
    }
}

/// The connection of a lease.
struct Held {
    /// None once it is given back.
    client: Option<Object>,
}

impl Held {
    async fn begin(owner: &Pool, wait: Duration) -> Result<Self, StorageError> {
        let held = Self { client: Some(owner.get().await?) };
        held.client().batch_execute(&begin_sql(wait)).await?;
        Ok(held)
    }

    fn client(&self) -> &Object {
        self.client.as_ref().expect("it is there until the lease ends")
    }

    fn keep(self) -> Lease {
        let (told, lost) = watch::channel(false);
        let (end, ends) = oneshot::channel();
        tokio::spawn(self.renew(told, ends));
        Lease { lost, end }
    }

    /// Tells the server again and again that its holder lives, until that lets go.
    async fn renew(self, lost: watch::Sender<bool>, mut ends: oneshot::Receiver<oneshot::Sender<()>>) {
        loop {
            tokio::select! {
                end = &mut ends => {
                    if let Ok(done) = end {
                        self.let_go().await;
                        let _ = done.send(());
                    }
                    return;
                }
                () = tokio::time::sleep(LEASE_RENEWED_EVERY) => {}
            }
            // Nothing at all, which takes no snapshot either. An answer that is late is no better than none: the lock may be
            // another's by then.
            let renewed = tokio::time::timeout(LEASE_LIFE - LEASE_RENEWED_EVERY, self.client().batch_execute(""));
            if !matches!(renewed.await, Ok(Ok(()))) {
                lost.send_replace(true);
                return;
            }
        }
    }

    async fn let_go(mut self) {
        if self.client().batch_execute("COMMIT").await.is_ok() {
            // Only now is the connection good for others.
            drop(self.client.take());
        }
    }
}

impl Drop for Held {
    /// The locks end with the connection: back in the pool it would keep them.
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            drop(Object::take(client));
        }
    }
}
