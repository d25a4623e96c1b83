//! Who a request speaks for: verifies keys against the database through a small cache.
//!
//! A malformed key costs no query. A known key is believed for [`KEY_CACHE_TTL`], so that a revocation takes effect
//! within 5 s; while the database cannot be asked, a key that was good stays good. Unknown keys are remembered too, and
//! look-ups of keys not known to be good are limited ([`Lookups`]), so that random keys cannot flood the database. A key's
//! rate limits and its organization's retention travel with it, and are as fresh.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use deadpool_postgres::Pool;
use jiff::Timestamp;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::lookups::Lookups;
use super::{ApiKey, OrgRetention, RateLimits, Scope, Scopes};
use crate::limits::{KEY_CACHE_ENTRIES_MAX, KEY_CACHE_TTL, KEY_STALE_MAX};
use crate::rng::Rng;
use crate::storage::StorageError;

/// While one request asks the database, others may use the expired entry this long; with the TTL it stays under 5 s.
const REFRESH_GRACE: Duration = Duration::from_secs(1);

const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// After a look-up that the database did not answer, for the next one of the same key; meanwhile the old answer serves.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Then another request asks, for the first one may be gone; under the 5 s within which a revocation takes effect.
const RETRY_MAX: Duration = Duration::from_secs(4);

/// The holder of a verified key.
#[derive(Debug)]
pub struct Principal {
    /// The organization's slug: the tenant of everything that the request does.
    pub tenant_id: Arc<str>,
    pub key_id: Uuid,
    pub scopes: Scopes,
    pub limits: RateLimits,
    /// How long the organization's rows are kept.
    pub keeps: OrgRetention,
}

impl Principal {
    /// Whether the key may do what needs `scope`.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.allow(scope)
    }
}

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

#[derive(Clone)]
struct Record {
    hash: [u8; 32],
    principal: Arc<Principal>,
    expires_at: Option<Timestamp>,
}

struct CachedKey {
    /// None: no such key, or one that is no longer good.
    record: Option<Record>,
    checked_at: Instant,
    refreshing_since: Option<Instant>,
    /// When the database last did not answer, if it has not since.
    unanswered_at: Option<Instant>,
}

pub struct Verifier {
    pool: Pool,
    cache: Mutex<Cache>,
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

const LOOKUP: &str = include_str!("../../sql/queries/key_lookup.sql");

impl Verifier {
    /// Verifies against the database of `pool`.
    pub fn new(pool: Pool) -> Self {
        Self { pool, cache: Mutex::new(Cache::new(Rng::from_os())) }
    }

    /// Who holds the key with this text, which came from the address `peer`.
    pub async fn verify(&self, text: &str, peer: IpAddr) -> Result<Arc<Principal>, KeyError> {
        let key = ApiKey::parse(text).map_err(|_| KeyError::Invalid)?;
        let asked_at = Instant::now();
        let found = self.cache().find(key.id, peer, asked_at);
        let (old, limited) = match found {
            FoundKey::Fresh(record) => return accept(record, &key),
            FoundKey::TooMany(retry_after_s) => return Err(KeyError::TooMany { retry_after_s }),
            FoundKey::Refresh(old) => (old, false),
            FoundKey::LookUp => (None, true),
        };
        let answer = self.look_up(key.id).await;
        let mut cache = self.cache();
        if limited && !matches!(answer, Ok(None)) {
            cache.lookups.give_back(peer);
        }
        let record = match answer {
            Ok(record) => {
                // As old as the question: a revocation during a slow look-up must not be hidden any longer.
                cache.store(key.id, record.clone(), asked_at);
                record
            }
            Err(error) => {
                tracing::warn!(%error, "a key could not be looked up");
                cache.unanswered(key.id, Instant::now());
                Some(old.ok_or(KeyError::Unavailable(error))?)
            }
        };
        drop(cache);
        accept(record, &key)
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().expect("no code panics while holding it")
    }

    async fn look_up(&self, id: Uuid) -> Result<Option<Record>, StorageError> {
        let client = self.pool.get().await?;
        let ask = async {
            let statement = client.prepare_cached(LOOKUP).await?;
            client.query_opt(&statement, &[&id]).await
        };
        let Ok(answer) = tokio::time::timeout(LOOKUP_TIMEOUT, ask).await else {
            // A server that hangs keeps this connection busy forever.
            drop(deadpool_postgres::Object::take(client));
            return Err(StorageError::retryable("the database did not answer in time"));
        };
        let Some(row) = answer? else { return Ok(None) };
        let names: Vec<String> = row.get(1);
        let scopes = Scopes::parse(&names.join(",")).map_err(StorageError::fatal)?;
        let hash: &[u8] = row.get(0);
        Ok(Some(Record {
            hash: hash.try_into().map_err(|_| StorageError::fatal("a key's hash is not 32 bytes"))?,
            principal: Arc::new(Principal {
                tenant_id: row.get::<_, &str>(3).into(),
                key_id: id,
                scopes,
                limits: RateLimits::of(&row, 4),
                keeps: OrgRetention::of(&row, 7),
            }),
            expires_at: row.get(2),
        }))
    }
}

fn accept(record: Option<Record>, key: &ApiKey) -> Result<Arc<Principal>, KeyError> {
    let record = record.ok_or(KeyError::Invalid)?;
    let same = bool::from(record.hash.ct_eq(&key.hash()));
    let expired = record.expires_at.is_some_and(|at| at <= Timestamp::now());
    if same && !expired { Ok(record.principal) } else { Err(KeyError::Invalid) }
}

impl Cache {
    fn new(rng: Rng) -> Self {
        Self { entries: HashMap::new(), lookups: Lookups::new(rng, Instant::now()) }
    }

    fn find(&mut self, id: Uuid, peer: IpAddr, now: Instant) -> FoundKey {
        if let Some(entry) = self.entries.get_mut(&id) {
            let age = now.duration_since(entry.checked_at);
            let asked = entry.refreshing_since.is_some_and(|since| now.duration_since(since) < REFRESH_GRACE);
            if age < KEY_CACHE_TTL || (asked && age < KEY_CACHE_TTL + REFRESH_GRACE) {
                return FoundKey::Fresh(entry.record.clone());
            }
            if entry.record.is_some() && age < KEY_STALE_MAX && entry.is_paused(now) {
                return FoundKey::Fresh(entry.record.clone());
            }
            // One that did not exist counts again each time it is asked for, or trying the same ones would be free.
            if entry.record.is_some() {
                entry.refreshing_since = Some(now);
                return FoundKey::Refresh(entry.record.clone().filter(|_| age < KEY_STALE_MAX));
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
            self.entries.retain(|_, entry| entry.record.is_some() && entry.checked_at.elapsed() < KEY_CACHE_TTL);
            if self.entries.len() >= KEY_CACHE_ENTRIES_MAX {
                self.entries.clear();
            }
        }
        self.entries.insert(id, CachedKey { record, checked_at, refreshing_since: None, unanswered_at: None });
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
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    fn cache() -> Cache {
        Cache::new(Rng::new(1))
    }

    fn record(id: Uuid) -> Record {
        let scopes = Scopes::parse("ingest").expect("a scope");
        let principal = Principal {
            tenant_id: "t".into(),
            key_id: id,
            scopes,
            limits: RateLimits::default(),
            keeps: OrgRetention::default(),
        };
        Record { hash: [0; 32], principal: Arc::new(principal), expires_at: None }
    }

    #[test]
    fn a_flood_of_unknown_keys_is_stopped_and_known_ones_pass() {
        let mut cache = cache();
        let now = Instant::now();
        let [good, bad] = [(); 2].map(|()| Uuid::now_v7());
        cache.store(good, Some(record(good)), now);
        cache.store(bad, None, now);
        let flood: Vec<Uuid> = (0..1000).map(|_| Uuid::now_v7()).collect();
        let stopped = flood.iter().find(|id| !matches!(cache.find(**id, PEER, now), FoundKey::LookUp));
        assert!(stopped.is_some_and(|id| matches!(cache.find(*id, PEER, now), FoundKey::TooMany(1..=2))));
        assert!(matches!(cache.find(good, PEER, now), FoundKey::Fresh(Some(_))));
        assert!(matches!(cache.find(bad, PEER, now), FoundKey::Fresh(None)));
        let later = now + KEY_CACHE_TTL;
        assert!(matches!(cache.find(good, PEER, later), FoundKey::Refresh(Some(_))), "a good key is not limited");
        while matches!(cache.find(Uuid::now_v7(), PEER, later), FoundKey::LookUp) {}
        assert!(matches!(cache.find(bad, PEER, later), FoundKey::TooMany(_)), "a bad one is, each time");
        let other = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert!(matches!(cache.find(Uuid::now_v7(), other, later), FoundKey::LookUp), "others look up new keys");
    }

    #[test]
    fn an_expired_entry_is_asked_again_by_one_request() {
        let mut cache = cache();
        let [good, bad] = [(); 2].map(|()| Uuid::now_v7());
        let now = Instant::now();
        cache.store(good, Some(record(good)), now);
        cache.store(bad, None, now);
        let later = now + KEY_CACHE_TTL;
        for id in [good, bad] {
            assert!(matches!(cache.find(id, PEER, later), FoundKey::Refresh(_) | FoundKey::LookUp));
            assert!(matches!(cache.find(id, PEER, later + Duration::from_millis(10)), FoundKey::Fresh(_)));
            assert!(matches!(cache.find(id, PEER, later + REFRESH_GRACE), FoundKey::Refresh(_) | FoundKey::LookUp));
        }
    }

    #[test]
    fn while_the_database_does_not_answer_one_request_asks_and_no_other_waits() {
        let mut cache = cache();
        let (good, now) = (Uuid::now_v7(), Instant::now());
        cache.store(good, Some(record(good)), now);
        let asked = now + KEY_CACHE_TTL;
        assert!(matches!(cache.find(good, PEER, asked), FoundKey::Refresh(Some(_))));
        let failed = asked + LOOKUP_TIMEOUT;
        cache.unanswered(good, failed);
        assert!(matches!(cache.find(good, PEER, failed), FoundKey::Fresh(Some(_))));
        let again = failed + RETRY_PAUSE;
        assert!(matches!(cache.find(good, PEER, again), FoundKey::Refresh(Some(_))));
        assert!(matches!(cache.find(good, PEER, again + RETRY_PAUSE), FoundKey::Fresh(Some(_))), "one asks");
        assert!(matches!(cache.find(good, PEER, again + RETRY_MAX), FoundKey::Refresh(Some(_))), "it was given up");
        // An answer ends it: the next one is asked for as usual.
        cache.store(good, Some(record(good)), again);
        assert!(matches!(cache.find(good, PEER, again + KEY_CACHE_TTL), FoundKey::Refresh(Some(_))));
        cache.unanswered(good, again + KEY_CACHE_TTL);
        assert!(matches!(cache.find(good, PEER, again + KEY_STALE_MAX), FoundKey::Refresh(None)));
    }
}
