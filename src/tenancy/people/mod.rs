//! People of organizations: who they are, their passwords, how they sign in, and their sessions.

mod attempts;
mod email;
mod error;
mod password;
mod sessions;
mod sign_in;
pub mod users;

pub use email::Email;
pub use error::PeopleError;
pub use password::{Password, hashed};
pub use sessions::{Session, Shown, list as list_sessions, revoke as end_session};
pub use sign_in::{SignIn, SignedIn};
pub use users::{Change, User};

use deadpool_postgres::{Object, Pool};
use tokio_postgres::Transaction;

use super::acts;
use crate::limits::ADMINISTRATION_TIMEOUT;
use crate::storage::{StorageError, give_back};
use password::Hasher;

/// Administers people, on connections of the owner.
#[derive(Clone)]
pub struct People {
    pool: Pool,
    hasher: Hasher,
}

impl People {
    pub fn new(pool: Pool) -> Self {
        Self { pool, hasher: Hasher::default() }
    }

    /// The hash of a password that somebody has chosen.
    pub async fn hash(&self, password: Password) -> Result<String, PeopleError> {
        Ok(self.hasher.hash(password).await??)
    }

    /// Does something in a transaction that sees of control tables what is of this tenant, or with None everything, and commits
    /// it unless it fails.
    pub async fn act<T>(
        &self,
        tenant_id: Option<&str>,
        work: impl AsyncFnOnce(&Transaction<'_>) -> Result<T, PeopleError>,
    ) -> Result<T, PeopleError> {
        self.timed(async |client| {
            let transaction = acts::begin(client, tenant_id).await?;
            let done = work(&transaction).await?;
            transaction.commit().await.map_err(StorageError::from)?;
            Ok(done)
        })
        .await
    }

    async fn timed<T>(&self, work: impl AsyncFnOnce(&mut Object) -> Result<T, PeopleError>) -> Result<T, PeopleError> {
        let deadline = tokio::time::Instant::now() + ADMINISTRATION_TIMEOUT;
        let silent = |_elapsed| StorageError::silence();
        let mut client =
            tokio::time::timeout_at(deadline, self.pool.get()).await.map_err(silent)?.map_err(StorageError::from)?;
        match tokio::time::timeout_at(deadline, work(&mut client)).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(PeopleError::Storage(error))) => {
                give_back(client, &error);
                Err(error.into())
            }
            Ok(Err(error)) => Err(error),
            Err(elapsed) => {
                // A server that hangs keeps this connection busy forever.
                drop(Object::take(client));
                Err(silent(elapsed).into())
            }
        }
    }
}
