//! What requests administer with: some of the owner's connections, of which jobs need the others, and the audit log for what is
//! done elsewhere.

use std::sync::Arc;

use deadpool_postgres::{Object, Pool};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};

use super::acts::{self, Act, Actor};
use crate::config::RetentionConfig;
use crate::limits::{ADMINISTRATION_PATIENCE, ADMINISTRATIONS_TOGETHER, NOTED_PATIENCE, NOTED_WITHIN};
use crate::storage::StorageError;

#[derive(Clone)]
pub struct Administration {
    owner: Pool,
    places: Arc<Semaphore>,
    /// What organizations keep for a shorter time than.
    pub retention: Arc<RetentionConfig>,
}

/// A connection of the owner's, and the place among those who have one.
pub struct Place {
    pub client: Object,
    _place: OwnedSemaphorePermit,
}

/// An act that was done beside the audit log, to be noted there.
#[derive(Debug, Clone)]
pub struct Done {
    pub actor: Actor,
    pub tenant_id: Arc<str>,
    pub action: &'static str,
    pub target: Option<String>,
    pub details: serde_json::Value,
}

impl Administration {
    pub fn new(owner: Pool, retention: &RetentionConfig) -> Self {
        let places = Arc::new(Semaphore::new(ADMINISTRATIONS_TOGETHER));
        Self { owner, places, retention: Arc::new(retention.clone()) }
    }

    /// A connection, once there is one; an error that passes when others take too long.
    pub async fn begin(&self) -> Result<Place, StorageError> {
        let place = timeout(ADMINISTRATION_PATIENCE, Arc::clone(&self.places).acquire_owned()).await;
        let busy = || StorageError::retryable("others administer, and do not end");
        let place = place.map_err(|_elapsed| busy())?.map_err(|_closed| busy())?;
        Ok(Place { client: self.owner.get().await?, _place: place })
    }

    /// The pool whose connections see control tables, for reads that are confined.
    pub fn pool(&self) -> Pool {
        self.owner.clone()
    }

    /// Notes what was done. Nobody's going away keeps it from being noted, and neither does a database that is away for a moment:
    /// it is tried in a task of its own, for which the answer waits a little.
    pub async fn note(&self, done: Done) {
        let noting = self.noting(done);
        let _in_time = timeout(NOTED_PATIENCE, noting).await;
    }

    /// The same, and nobody waits.
    pub fn noting(&self, done: Done) -> tokio::task::JoinHandle<()> {
        tokio::spawn(self.clone().keep_noting(done))
    }

    async fn keep_noting(self, mut done: Done) {
        let begun = Instant::now();
        let mut pause = std::time::Duration::from_millis(100);
        loop {
            let error = match self.note_once(&done).await {
                Ok(()) => return,
                Err(error) => error,
            };
            if !error.is_retryable() && done.details != json!({}) {
                // What was asked for is something that the database does not hold, such as NUL.
                done.details = json!({});
                continue;
            }
            if begun.elapsed() > NOTED_WITHIN {
                let Done { actor, tenant_id, action, target, .. } = &done;
                tracing::error!(%error, ?actor, tenant_id = &**tenant_id, action, done_to = target, "an act could not be noted in the audit log");
                metrics::counter!("tidegate_audit_lost_total").increment(1);
                return;
            }
            sleep(pause).await;
            pause = (2 * pause).min(NOTED_PATIENCE);
        }
    }

    async fn note_once(&self, done: &Done) -> Result<(), StorageError> {
        let mut place = self.begin().await?;
        let transaction = acts::begin(&mut place.client, Some(&done.tenant_id)).await?;
        let act = Act {
            tenant_id: Some(&done.tenant_id),
            action: done.action,
            target: done.target.clone(),
            details: done.details.clone(),
        };
        acts::note(&transaction, &done.actor, &act).await?;
        Ok(transaction.commit().await?)
    }
}
