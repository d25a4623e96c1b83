//! Connections for groups: few, and shared by all tenants. A statement that waits for a consumer's open transaction keeps one for as
//! long as it waits, so that a tenant has some of them at most.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::GroupError;
use crate::limits::{GROUP_CONNECTIONS_PER_TENANT, GROUP_TURN_WAIT};
use crate::query::{Busy, ReadError};
use crate::storage::give_back;

/// The turns of tenants that have a statement under way, or wait with one.
#[derive(Default)]
pub struct Turns(Mutex<HashMap<Arc<str>, Weak<Semaphore>>>);

/// A connection, and its tenant's turn.
pub struct Lent {
    pub client: Object,
    _turn: OwnedSemaphorePermit,
}

impl Turns {
    /// A connection of the pool, when it is the tenant's turn.
    pub async fn lend(&self, tenant_id: &Arc<str>, pool: &Pool) -> Result<Lent, GroupError> {
        let turn = tokio::time::timeout(GROUP_TURN_WAIT, self.of(tenant_id).acquire_owned()).await;
        let busy = || ReadError::Busy { busy: Busy::TenantReaders, retry_after: Duration::from_secs(1) };
        let _turn = turn.map_err(|_elapsed| busy())?.expect("it is never closed");
        Ok(Lent { client: pool.get().await?, _turn })
    }

    fn of(&self, tenant_id: &Arc<str>) -> Arc<Semaphore> {
        let mut tenants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turns) = tenants.get(tenant_id).and_then(Weak::upgrade) {
            return turns;
        }
        tenants.retain(|_, turns| turns.strong_count() > 0);
        let turns = Arc::new(Semaphore::new(GROUP_CONNECTIONS_PER_TENANT));
        tenants.insert(Arc::clone(tenant_id), Arc::downgrade(&turns));
        turns
    }
}

impl Lent {
    /// Ends its use: one whose session is lost is used by nobody any more.
    pub fn end<T>(self, done: Result<T, GroupError>) -> Result<T, GroupError> {
        if let Err(GroupError::Storage(error)) = &done {
            give_back(self.client, error);
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tenant_has_its_turns_and_leaves_nothing_behind() {
        let turns = Turns::default();
        let [a, b]: [Arc<str>; 2] = ["a".into(), "b".into()];
        let held: Vec<_> =
            (0..GROUP_CONNECTIONS_PER_TENANT).map(|_| turns.of(&a).try_acquire_owned().expect("a turn")).collect();
        assert!(turns.of(&a).try_acquire_owned().is_err());
        assert!(turns.of(&b).try_acquire_owned().is_ok());
        drop(held);
        assert!(turns.of(&b).try_acquire_owned().is_ok());
        assert_eq!(turns.0.lock().expect("whole").len(), 1, "a has none under way");
        assert!(turns.of(&a).try_acquire_owned().is_ok());
    }
}
