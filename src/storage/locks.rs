//! What the service excludes itself by: empty tables that only the owner may lock (`sql/migrations/common/0015_locks.sql`).
//!
//! Advisory locks would be simpler, but their names are anybody's who can connect: a login for reading could stop what
//! waits for one. What is held within one transaction is a `LOCK TABLE` in it; what is held for longer than that is a
//! [`Lease`], a transaction on a connection of its own that does nothing else.

use std::time::Duration;

use deadpool_postgres::{Object, Pool};

use super::StorageError;

/// No timeout of the database's own ends a lease; without a snapshot and a number of its own it holds vacuum back from nothing.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL lock_timeout = ";

/// How often a lease's connection is looked at: its server may have ended it.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A lock of one job, by the job's name.
pub fn of_job(job: &str) -> String {
    format!("lock_job_{job}")
}

/// Locks that are held until [`Lease::end`], or until the connection ends.
pub struct Lease {
    /// None once it is over.
    client: Option<Object>,
}

impl Lease {
    /// Takes a lock if it is free.
    pub async fn try_take(owner: &Pool, lock: &str) -> Result<Option<Self>, StorageError> {
        let lease = Self::begin(owner, Duration::ZERO).await?;
        let client = lease.client();
        let statement = client.prepare_cached("SELECT tidegate.try_lock($1)").await?;
        let free: bool = client.query_one(&statement, &[&lock]).await?.get(0);
        if free {
            return Ok(Some(lease));
        }
        lease.end().await;
        Ok(None)
    }

    /// Takes locks, in the order given, each once it is free; an error when one is not within `wait`.
    pub async fn take(owner: &Pool, locks: &[String], wait: Duration) -> Result<Self, StorageError> {
        let lease = Self::begin(owner, wait).await?;
        for lock in locks {
            lease.client().batch_execute(&format!("LOCK TABLE tidegate.{lock} IN EXCLUSIVE MODE")).await?;
        }
        Ok(lease)
    }

    async fn begin(owner: &Pool, wait: Duration) -> Result<Self, StorageError> {
        let lease = Self { client: Some(owner.get().await?) };
        lease.client().batch_execute(&format!("{BEGIN}{}", wait.as_millis())).await?;
        Ok(lease)
    }

    fn client(&self) -> &Object {
        self.client.as_ref().expect("it is there until the lease ends")
    }

    /// Resolves when the lock is gone with its connection: what was done under it is to stop.
    pub async fn lost(&self) {
        while !self.client().is_closed() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Lets the locks go; where that fails they end with the connection.
    pub async fn end(mut self) {
        if self.client().batch_execute("COMMIT").await.is_ok() {
            // Only now is the connection good for others.
            drop(self.client.take());
        }
    }
}

impl Drop for Lease {
    /// The locks end with the connection: back in the pool it would keep them.
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            drop(Object::take(client));
        }
    }
}
