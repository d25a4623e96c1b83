//! Who a request speaks for: verifies keys against the database through a small cache, and sessions without one
//! ([`super::sessions`]).
//!
//! A malformed key costs no query. A known key is believed for [`KEY_CACHE_TTL`], so that a revocation takes effect
//! within 5 s; while the database cannot be asked, a key that was good stays good for a day, over a start of the process as
//! well ([`Remembered`]). Unknown keys are remembered too, and
//! look-ups of keys not known to be good are limited ([`Lookups`]), so that random keys cannot flood the database. A key's
//! rate limits and its organization's retention travel with it, and are as fresh.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use deadpool_postgres::Pool;
use jiff::Timestamp;
use tokio::sync::watch;
use uuid::Uuid;

use super::ApiKey;
use super::lookups::Lookups;
use super::principal::{Named, Principal, Record};
use super::remembered::Remembered;
use super::sessions::{SessionError, Sessions};
use super::uses::KeyUses;
use crate::limits::{
    KEY_CACHE_ENTRIES_MAX, KEY_CACHE_TTL, KEY_LOOKUP_TIMEOUT, KEY_STALE_MAX, KEY_USES_NOTED_EVERY, KEYS_REMEMBERED_LOOK,
};
use crate::rng::Rng;
use crate::storage::{StorageError, give_back};

/// While one request asks the database, others may use the expired entry this long; with the TTL it stays under 5 s.
const REFRESH_GRACE: Duration = Duration::from_secs(1);

/// Remembered keys that one statement asks for.
const LOOKED_AT_TOGETHER: usize = 1000;

/// After a look-up that the database did not answer, for the next one of the same key; meanwhile the old answer serves.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Then another request asks, for the first one may be gone; under the 5 s within which a revocation takes effect.
const RETRY_MAX: Duration = Duration::from_secs(4);

/// Why a key was not accepted.
#[derive(Debug)]
pub enum KeyError {
    /// Not a key, an unknown, revoked or expired one, or one of a deactivated organization: all look the same outside.
    Invalid,
    /// Too many look-ups of unknown keys at the moment, from this address or from all.
    TooMany { retry_after_s: u32 },
    /// The database cannot be asked, and the key is not in the cache.
    Unavailable(StorageError),
}

struct CachedKey {
    /// None: no such key, or one that is no longer good.
    record: Option<Record>,
    /// None: an earlier process did, and only kept what was good.
    checked_at: Option<Instant>,
    /// Until when it may be believed without the database.
    usable_until: Instant,
    refreshing_since: Option<Instant>,
    /// When the database last did not answer, if it has not since.
    unanswered_at: Option<Instant>,
}

pub struct Verifier {
    /// None until the database is there for the first time.
    pool: watch::Sender<Option<Pool>>,
    cache: Mutex<Cache>,
    remembered: Arc<Remembered>,
    uses: KeyUses,
    /// For what may write; None until the database is there.
    notes: watch::Sender<Option<Pool>>,
    sessions: Sessions,
}

struct Cache {
    entries: HashMap<Uuid, CachedKey>,
    lookups: Lookups,
}

enum FoundKey {
    Fresh(Option<Record>),
    /// A good key: ask the database; the old answer serves if it cannot be asked and is not too old.
    Refresh(Option<Record>),
    /// A key not known to be good: ask, and tell [`Lookups`] if it is.
    LookUp,
    TooMany(u32),
}

impl Verifier {
    /// Knows the keys that an earlier process has left in `folder`, and no database to ask. Blocks.
    pub fn open(folder: Option<&Path>) -> Arc<Self> {
        let remembered = Arc::new(Remembered::open(folder));
        let mut cache = Cache::new(Rng::from_os());
        let (now, today) = (Instant::now(), Timestamp::now());
        for id in remembered.ids() {
            if let Some((record, left)) = remembered.get(id, today) {
                cache.seed(id, record, now + left);
            }
        }
        let (pool, notes, sessions) = (watch::Sender::new(None), watch::Sender::new(None), Sessions::new());
        Arc::new(Self { pool, cache: Mutex::new(cache), remembered, uses: KeyUses::default(), notes, sessions })
    }

    /// From now on it asks the database of `pool`, and notes by `notes` when keys were used.
    pub fn attach(&self, pool: Pool, notes: Pool) {
        self.pool.send_replace(Some(pool));
        self.notes.send_replace(Some(notes));
    }

    /// Keeps what is to be remembered on disk, and looks whether it is still true, for as long as the process runs.
    pub async fn keep(self: Arc<Self>) {
        tokio::join!(self.remembered.keep(), self.look_at_remembered(), self.keep_noting_uses());
    }

    async fn keep_noting_uses(&self) {
        loop {
            tokio::time::sleep(KEY_USES_NOTED_EVERY).await;
            self.note_uses().await;
        }
    }

    /// Tells the database when keys were last used.
    pub async fn note_uses(&self) {
        let notes = self.notes.borrow().clone();
        if let Some(pool) = notes
            && let Err(error) = self.uses.tell(&pool).await
        {
            tracing::debug!(%error, "it could not be noted when keys were used");
        }
    }

    /// Keeps it for the last time.
    pub async fn save(&self) {
        self.remembered.save().await;
    }

    /// A key that was revoked and is not used must not be good again after a start without the database.
    async fn look_at_remembered(&self) {
        let mut pool = self.pool.subscribe();
        if pool.wait_for(Option::is_some).await.is_err() {
            return;
        }
        loop {
            for ids in self.remembered.ids().chunks(LOOKED_AT_TOGETHER) {
                match self.ask(ids).await {
                    Ok(records) => {
                        for id in ids {
                            let record = records.iter().find(|record| record.principal.id() == *id);
                            self.remembered.looked_at(*id, record);
                        }
                    }
                    Err(error) => {
                        tracing::debug!(%error, "it is not known whether remembered keys are still good");
                        break;
                    }
                }
            }
            tokio::time::sleep(KEYS_REMEMBERED_LOOK).await;
        }
    }

    /// Who holds the key with this text, which came from the address `peer`.
    pub async fn verify(&self, text: &str, peer: IpAddr) -> Result<Arc<Principal>, KeyError> {
        let key = ApiKey::parse(text).map_err(|_| KeyError::Invalid)?;
        let holder =
            self.record(key.id, peer).await?.and_then(|record| record.accept(&key)).ok_or(KeyError::Invalid)?;
        self.uses.note(key.id, Timestamp::now());
        Ok(holder)
    }

    /// Who has the session with this token, which came from the address `peer`; with `is_use` it lives on.
    pub async fn session(&self, token: &str, peer: IpAddr, is_use: bool) -> Result<Arc<Principal>, SessionError> {
        let pool = self.pool.borrow().clone();
        self.sessions.verify(pool, token, peer, is_use).await
    }

    /// Who holds a key that was shown before, if it is still good, as fresh as [`Self::verify`]; or who has a session.
    pub async fn holder(&self, named: Named, peer: IpAddr) -> Result<Arc<Principal>, KeyError> {
        match named {
            Named::Key(id) => self.record(id, peer).await?.and_then(Record::holder).ok_or(KeyError::Invalid),
            Named::Session(id) => {
                let pool = self.pool.borrow().clone();
                self.sessions.holder(pool, id, peer).await.map_err(|error| match error {
                    SessionError::Over => KeyError::Invalid,
                    SessionError::TooMany { retry_after_s } => KeyError::TooMany { retry_after_s },
                    SessionError::Unavailable(error) => KeyError::Unavailable(error),
                })
            }
        }
    }

    /// What is known of a key; None: it is not a good one.
    async fn record(&self, id: Uuid, peer: IpAddr) -> Result<Option<Record>, KeyError> {
        let asked_at = Instant::now();
        let found = self.cache().find(id, peer, asked_at);
        let (old, limited) = match found {
            FoundKey::Fresh(record) => return Ok(record),
            FoundKey::TooMany(retry_after_s) => return Err(KeyError::TooMany { retry_after_s }),
            FoundKey::Refresh(old) => (old, false),
            FoundKey::LookUp => (None, true),
        };
        let answer = self.look_up(id).await;
        let mut cache = self.cache();
        if limited && !matches!(answer, Ok(None)) {
            cache.lookups.give_back(peer);
        }
        let record = match answer {
            Ok(record) => {
                // As old as the question: a revocation during a slow look-up must not be hidden any longer.
                cache.store(id, record.clone(), asked_at);
                self.remembered.verified(id, record.as_ref(), Timestamp::now());
                record
            }
            Err(error) => {
                // Before the database was there once, this is said of it and not of every key.
                if self.pool.borrow().is_some() {
                    tracing::warn!(%error, "a key could not be looked up");
                }
                cache.unanswered(id, Instant::now());
                // The cache forgets keys when it is full of others.
                let old = old.or_else(|| Some(self.remembered.get(id, Timestamp::now())?.0));
                Some(old.ok_or(KeyError::Unavailable(error))?)
            }
        };
        drop(cache);
        Ok(record)
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().expect("no code panics while holding it")
    }

    async fn look_up(&self, id: Uuid) -> Result<Option<Record>, StorageError> {
        Ok(self.ask(&[id]).await?.pop())
    }

    /// What the database says of these keys; of those that are not good it says nothing.
    async fn ask(&self, ids: &[Uuid]) -> Result<Vec<Record>, StorageError> {
        let pool = self.pool.borrow().clone();
        let pool = pool.ok_or_else(|| StorageError::retryable("the database has not been there since the start"))?;
        let deadline = tokio::time::Instant::now() + KEY_LOOKUP_TIMEOUT;
        let silent = |_elapsed| StorageError::silence();
        let client = tokio::time::timeout_at(deadline, pool.get()).await.map_err(silent)??;
        let ask = async {
            let statement = client.prepare_cached(Record::LOOK_UP).await?;
            client.query(&statement, &[&ids]).await
        };
        let rows = match tokio::time::timeout_at(deadline, ask).await {
            Ok(Ok(rows)) => rows,
            Ok(Err(error)) => {
                let error = StorageError::from(error);
                give_back(client, &error);
                return Err(error);
            }
            Err(elapsed) => {
                // A server that hangs keeps this connection busy forever.
                drop(deadpool_postgres::Object::take(client));
                return Err(silent(elapsed));
            }
        };
        rows.iter().map(Record::of).collect()
    }
}

impl Cache {
    fn new(rng: Rng) -> Self {
        Self { entries: HashMap::new(), lookups: Lookups::new(rng, Instant::now()) }
    }

    fn find(&mut self, id: Uuid, peer: IpAddr, now: Instant) -> FoundKey {
        if let Some(entry) = self.entries.get_mut(&id) {
            let age = entry.checked_at.map_or(Duration::MAX, |at| now.duration_since(at));
            let asked = entry.refreshing_since.is_some_and(|since| now.duration_since(since) < REFRESH_GRACE);
            if age < KEY_CACHE_TTL || (asked && age < KEY_CACHE_TTL + REFRESH_GRACE) {
                return FoundKey::Fresh(entry.record.clone());
            }
            let usable = now < entry.usable_until;
            if entry.record.is_some() && usable && entry.is_paused(now) {
                return FoundKey::Fresh(entry.record.clone());
            }
            // One that did not exist counts again each time it is asked for, or trying the same ones would be free.
            if entry.record.is_some() {
                entry.refreshing_since = Some(now);
                return FoundKey::Refresh(entry.record.clone().filter(|_| usable));
            }
        }
        match self.lookups.begin(peer, now) {
            Err(retry_after_s) => FoundKey::TooMany(retry_after_s),
            Ok(()) => {
                if let Some(entry) = self.entries.get_mut(&id) {
                    entry.refreshing_since = Some(now);
                }
                FoundKey::LookUp
            }
        }
    }

    fn store(&mut self, id: Uuid, record: Option<Record>, checked_at: Instant) {
        if self.entries.len() >= KEY_CACHE_ENTRIES_MAX {
            let is_fresh = |at: Instant| at.elapsed() < KEY_CACHE_TTL;
            self.entries.retain(|_, entry| entry.record.is_some() && entry.checked_at.is_some_and(is_fresh));
            if self.entries.len() >= KEY_CACHE_ENTRIES_MAX {
                self.entries.clear();
            }
        }
        let usable_until = checked_at + KEY_STALE_MAX;
        let checked_at = Some(checked_at);
        self.entries
            .insert(id, CachedKey { record, checked_at, usable_until, refreshing_since: None, unanswered_at: None });
    }

    /// A key that was good before this process was started.
    fn seed(&mut self, id: Uuid, record: Record, usable_until: Instant) {
        let key = CachedKey {
            record: Some(record),
            checked_at: None,
            usable_until,
            refreshing_since: None,
            unanswered_at: None,
        };
        self.entries.insert(id, key);
    }

    fn unanswered(&mut self, id: Uuid, now: Instant) {
        if let Some(entry) = self.entries.get_mut(&id) {
            (entry.refreshing_since, entry.unanswered_at) = (None, Some(now));
        }
    }
}

impl CachedKey {
    /// While the database does not answer, one request asks it now and then, and no other waits for that: a server that
    /// hangs would cost every request the whole time-out.
    fn is_paused(&self, now: Instant) -> bool {
        self.unanswered_at.is_some_and(|at| match self.refreshing_since {
            Some(since) => now.duration_since(since) < RETRY_MAX,
            None => now.duration_since(at) < RETRY_PAUSE,
        })
    }
}

#[cfg(test)]
#[path = "verifier_tests.rs"]
mod tests;
