//! Who has signed in: looks sessions up, so that one that is revoked is refused by every node with the next request.
//!
//! Unlike keys they are not believed for a while: people are few. A malformed token costs no query, and look-ups of sessions
//! that are not there are limited ([`Lookups`]), so that random tokens cannot flood the database. A token that was good when it was last
//! looked up is not limited: somebody at the same address who tries tokens shuts nobody out.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use deadpool_postgres::Pool;
use subtle::ConstantTimeEq;
use tokio_postgres::Row;
use uuid::Uuid;

use super::key::SessionToken;
use super::lookups::Lookups;
use super::principal::{Holder, Person, Principal, Role};
use super::{OrgRetention, RateLimits};
use crate::limits::{KEY_LOOKUP_TIMEOUT, SESSION_IDLE, SESSIONS_WATCHED_MAX, STREAM_KEY_LOOK};
use crate::recent::Recent;
use crate::rng::Rng;
use crate::storage::{StorageError, give_back};

const LOOK_UP: &str = include_str!("../../sql/queries/session_lookup.sql");

/// Why a session was not accepted.
#[derive(Debug)]
pub enum SessionError {
    /// There is no such session, or it has ended.
    Over,
    TooMany {
        retry_after_s: u32,
    },
    Unavailable(StorageError),
}

/// A session that is good.
#[derive(Clone)]
struct Good {
    token_hash: [u8; 32],
    principal: Arc<Principal>,
    /// Its use is to be noted.
    is_unnoted: bool,
}

/// When a session was looked up, and whose it was, if it was good.
type Watched = Recent<Uuid, (Instant, Option<Arc<Principal>>)>;

/// Looks sessions up.
pub struct Sessions {
    lookups: Mutex<Lookups>,
    /// What was found lately, for those alone who wait with a session and look again and again.
    watched: Mutex<Watched>,
    /// Hashes of tokens, and whether each was good when it was last looked up.
    known: Mutex<Recent<[u8; 32], bool>>,
}

impl Sessions {
    pub fn new() -> Self {
        Self {
            lookups: Mutex::new(Lookups::new(Rng::from_os(), Instant::now())),
            watched: Mutex::new(Recent::new(SESSIONS_WATCHED_MAX)),
            known: Mutex::new(Recent::new(SESSIONS_WATCHED_MAX)),
        }
    }

    /// Who has the session with this token, which came from the address `peer`. With `is_use` it lives on: what a page asks by itself is none.
    pub async fn verify(
        &self,
        pool: Option<Pool>,
        text: &str,
        peer: IpAddr,
        is_use: bool,
    ) -> Result<Arc<Principal>, SessionError> {
        let token = SessionToken::parse(text).map_err(|_| SessionError::Over)?;
        let hash = token.hash();
        let is_limited = !self.known().get_mut(&hash).is_some_and(|is_good| *is_good);
        if is_limited {
            self.begin(peer)?;
        }
        let answer = look_up(pool.clone(), token.id).await;
        let found = answer.map(|found| found.filter(|good| bool::from(good.token_hash.ct_eq(&hash))));
        if is_limited && !matches!(found, Ok(None)) {
            self.lookups().give_back(peer);
        }
        if let Ok(found) = &found
            && (found.is_some() || !is_limited)
        {
            *self.known().get_or_insert_with(hash, || false) = found.is_some();
        }
        let good = found.map_err(SessionError::Unavailable)?.ok_or(SessionError::Over)?;
        if let (true, Some(pool)) = (good.is_unnoted && is_use, pool) {
            tokio::spawn(async move {
                if let Err(error) = note_use(&pool, token.id).await {
                    tracing::debug!(%error, "the use of a session was not noted");
                }
            });
        }
        Ok(good.principal)
    }

    /// Who has a session whose token was shown before, if it is still good, as of a second ago at most: for those who wait.
    /// That they wait is no use of it.
    pub async fn holder(&self, pool: Option<Pool>, id: Uuid, peer: IpAddr) -> Result<Arc<Principal>, SessionError> {
        let asked_at = Instant::now();
        let known =
            self.watched().get_mut(&id).filter(|(at, _)| asked_at.duration_since(*at) < STREAM_KEY_LOOK).cloned();
        if let Some((_, principal)) = known {
            return principal.ok_or(SessionError::Over);
        }
        self.begin(peer)?;
        let answer = look_up(pool, id).await;
        if !matches!(answer, Ok(None)) {
            self.lookups().give_back(peer);
        }
        let principal = answer.map_err(SessionError::Unavailable)?.map(|good| good.principal);
        let mut watched = self.watched();
        let known = watched.get_or_insert_with(id, || (asked_at, None));
        *known = (asked_at, principal.clone());
        principal.ok_or(SessionError::Over)
    }

    fn begin(&self, peer: IpAddr) -> Result<(), SessionError> {
        let begun = self.lookups().begin(peer, Instant::now());
        begun.map_err(|retry_after_s| SessionError::TooMany { retry_after_s })
    }

    fn lookups(&self) -> MutexGuard<'_, Lookups> {
        self.lookups.lock().expect("no code panics while holding it")
    }

    fn known(&self) -> MutexGuard<'_, Recent<[u8; 32], bool>> {
        self.known.lock().expect("no code panics while holding it")
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().expect("no code panics while holding it")
    }
}

async fn look_up(pool: Option<Pool>, id: Uuid) -> Result<Option<Good>, StorageError> {
    let idle_s = SESSION_IDLE.as_secs_f64();
    let row = timed(pool, async |client| {
        let statement = client.prepare_cached(LOOK_UP).await?;
        client.query_opt(&statement, &[&id, &idle_s]).await
    });
    row.await?.map(|row| good(id, &row)).transpose()
}

/// On a connection that reads alone but for this.
async fn note_use(pool: &Pool, id: Uuid) -> Result<(), StorageError> {
    timed(Some(pool.clone()), async |client| {
        let transaction = client.build_transaction().read_only(false).start().await?;
        transaction.execute("SELECT note_session_use($1)", &[&id]).await?;
        transaction.commit().await
    })
    .await
}

/// Work on a connection of the pool, within the time that a look-up may take.
async fn timed<T>(
    pool: Option<Pool>,
    work: impl AsyncFnOnce(&mut deadpool_postgres::Object) -> Result<T, tokio_postgres::Error>,
) -> Result<T, StorageError> {
    let pool = pool.ok_or_else(|| StorageError::retryable("the database has not been there since the start"))?;
    let deadline = tokio::time::Instant::now() + KEY_LOOKUP_TIMEOUT;
    let silent = |_elapsed| StorageError::silence();
    let mut client = tokio::time::timeout_at(deadline, pool.get()).await.map_err(silent)??;
    match tokio::time::timeout_at(deadline, work(&mut client)).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => {
            let error = StorageError::from(error);
            give_back(client, &error);
            Err(error)
        }
        Err(elapsed) => {
            // A server that hangs keeps this connection busy forever.
            drop(deadpool_postgres::Object::take(client));
            Err(silent(elapsed))
        }
    }
}

fn good(session_id: Uuid, row: &Row) -> Result<Good, StorageError> {
    let hash: &[u8] = row.get(0);
    let role = Role::parse(row.get(3)).map_err(StorageError::fatal)?;
    let person = Person { user_id: row.get(1), session_id, email: row.get(2), role, expires_at: row.get(5) };
    Ok(Good {
        token_hash: hash.try_into().map_err(|_| StorageError::fatal("a session's hash is not 32 bytes"))?,
        principal: Arc::new(Principal {
            tenant_id: row.get::<_, &str>(4).into(),
            holder: Holder::Person(person),
            scopes: role.scopes(),
            limits: RateLimits::default(),
            keeps: OrgRetention::of(row, 7),
        }),
        is_unnoted: row.get(6),
    })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn who_tries_tokens_shuts_nobody_out() {
        let (sessions, peer) = (Sessions::new(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        let [good, other] = [(); 2].map(|()| SessionToken::generate().expect("randomness"));
        sessions.known().get_or_insert_with(good.hash(), || true);
        while sessions.begin(peer).is_ok() {}
        // Without a database nobody can say more of those that are looked up.
        let verify = async |token: &SessionToken| sessions.verify(None, &token.reveal(), peer, true).await;
        assert!(matches!(verify(&other).await, Err(SessionError::TooMany { .. })));
        assert!(matches!(verify(&good).await, Err(SessionError::Unavailable(_))));
        // One that is over is as unknown as any other.
        *sessions.known().get_or_insert_with(good.hash(), || true) = false;
        assert!(matches!(verify(&good).await, Err(SessionError::TooMany { .. })));
        // What is no token is not asked for at all.
        assert!(matches!(sessions.verify(None, "tgs_x", peer, true).await, Err(SessionError::Over)));
    }
}
