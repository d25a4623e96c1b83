//! Who a request speaks for: verifies keys against the database through a small cache.
//!
//! A malformed key costs no query. A known key is believed for [`KEY_CACHE_TTL`], so that a revocation takes effect
//! within 5 s; while the database cannot be asked, a key that was good stays good. Unknown keys are remembered too, and
//! look-ups of keys never seen before are limited, so that random keys cannot flood the database.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use deadpool_postgres::Pool;
use jiff::Timestamp;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::{ApiKey, Scope, Scopes};
use crate::limits::{KEY_CACHE_ENTRIES_MAX, KEY_CACHE_TTL, KEY_LOOKUPS_PER_SECOND_MAX, KEY_STALE_MAX};
use crate::storage::StorageError;

/// While one request asks the database, others may use the expired entry this long; with the TTL it stays under 5 s.
const REFRESH_GRACE: Duration = Duration::from_secs(1);

/// For one look-up.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// The holder of a verified key.
#[derive(Debug)]
pub struct Principal {
    /// The organization's slug: the tenant of everything that the request does.
    pub tenant_id: Arc<str>,
    /// The key.
    pub key_id: Uuid,
    /// What it may do.
    pub scopes: Scopes,
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
    /// Too many look-ups of unknown keys at the moment.
    TooMany,
    /// The database cannot be asked, and the key is not in the cache.
    Unavailable(StorageError),
}

#[derive(Clone)]
struct Record {
    hash: [u8; 32],
    principal: Arc<Principal>,
    expires_at: Option<Timestamp>,
}

struct Entry {
    /// None: no such key, or one that is no longer good.
    record: Option<Record>,
    checked_at: Instant,
    refreshing_since: Option<Instant>,
}

/// Verifies keys.
pub struct Verifier {
    pool: Pool,
    cache: Mutex<Cache>,
}

struct Cache {
    entries: HashMap<Uuid, Entry>,
    /// Look-ups of unknown keys begun in the second that started then.
    second: Instant,
    lookups: u32,
}

enum Found {
    Fresh(Option<Record>),
    /// Ask the database; the old answer serves if it cannot be asked.
    Ask(Option<Record>),
    TooMany,
}

const LOOKUP: &str = "SELECT k.key_hash, k.scopes, k.expires_at, o.tenant_id FROM api_keys k \
     JOIN organizations o ON o.id = k.org_id WHERE k.id = $1 AND k.revoked_at IS NULL AND o.is_active";

impl Verifier {
    /// Verifies against the database of `pool`.
    pub fn new(pool: Pool) -> Self {
        let cache = Cache { entries: HashMap::new(), second: Instant::now(), lookups: 0 };
        Self { pool, cache: Mutex::new(cache) }
    }

    /// Who holds the key with this text.
    pub async fn verify(&self, text: &str) -> Result<Arc<Principal>, KeyError> {
        let key = ApiKey::parse(text).map_err(|_| KeyError::Invalid)?;
        let asked_at = Instant::now();
        let found = self.cache.lock().expect("no code panics while holding it").find(key.id, asked_at);
        let record = match found {
            Found::Fresh(record) => record,
            Found::TooMany => return Err(KeyError::TooMany),
            Found::Ask(old) => match self.look_up(key.id).await {
                Ok(record) => {
                    // As old as the question: a revocation during a slow look-up must not be hidden any longer.
                    let mut cache = self.cache.lock().expect("no code panics while holding it");
                    cache.store(key.id, record.clone(), asked_at);
                    record
                }
                Err(error) => {
                    tracing::warn!(%error, "a key could not be looked up");
                    Some(old.ok_or(KeyError::Unavailable(error))?)
                }
            },
        };
        let record = record.ok_or(KeyError::Invalid)?;
        let same = bool::from(record.hash.ct_eq(&key.hash()));
        let expired = record.expires_at.is_some_and(|at| at <= Timestamp::now());
        if same && !expired { Ok(record.principal) } else { Err(KeyError::Invalid) }
    }

    async fn look_up(&self, id: Uuid) -> Result<Option<Record>, StorageError> {
        let client = self.pool.get().await?;
        let ask = async {
            let statement = client.prepare_cached(LOOKUP).await?;
            client.query_opt(&statement, &[&id]).await
        };
        let Ok(answer) = tokio::time::timeout(LOOKUP_TIMEOUT, ask).await else {
            // A server that hangs keeps this connection busy for ever.
            drop(deadpool_postgres::Object::take(client));
            return Err(StorageError::retryable("the database did not answer in time"));
        };
        let Some(row) = answer? else { return Ok(None) };
        let names: Vec<String> = row.get(1);
        let scopes = Scopes::parse(&names.join(",")).map_err(StorageError::fatal)?;
        let hash: &[u8] = row.get(0);
        Ok(Some(Record {
            hash: hash.try_into().map_err(|_| StorageError::fatal("a key's hash is not 32 bytes"))?,
            principal: Arc::new(Principal { tenant_id: row.get::<_, &str>(3).into(), key_id: id, scopes }),
            expires_at: row.get(2),
        }))
    }
}

impl Cache {
    fn find(&mut self, id: Uuid, now: Instant) -> Found {
        if let Some(entry) = self.entries.get_mut(&id) {
            let age = now.duration_since(entry.checked_at);
            let asked = entry.refreshing_since.is_some_and(|since| now.duration_since(since) < REFRESH_GRACE);
            if age < KEY_CACHE_TTL || (asked && age < KEY_CACHE_TTL + REFRESH_GRACE) {
                return Found::Fresh(entry.record.clone());
            }
            entry.refreshing_since = Some(now);
            let old = entry.record.clone().filter(|_| age < KEY_STALE_MAX);
            return Found::Ask(old);
        }
        if now.duration_since(self.second) >= Duration::from_secs(1) {
            self.second = now;
            self.lookups = 0;
        }
        self.lookups += 1;
        if self.lookups > KEY_LOOKUPS_PER_SECOND_MAX { Found::TooMany } else { Found::Ask(None) }
    }

    fn store(&mut self, id: Uuid, record: Option<Record>, checked_at: Instant) {
        if self.entries.len() >= KEY_CACHE_ENTRIES_MAX {
            self.entries.retain(|_, entry| entry.record.is_some() && entry.checked_at.elapsed() < KEY_CACHE_TTL);
            if self.entries.len() >= KEY_CACHE_ENTRIES_MAX {
                self.entries.clear();
            }
        }
        self.entries.insert(id, Entry { record, checked_at, refreshing_since: None });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> Cache {
        Cache { entries: HashMap::new(), second: Instant::now(), lookups: 0 }
    }

    #[test]
    fn a_flood_of_unknown_keys_is_stopped_and_known_ones_pass() {
        let mut cache = cache();
        let now = Instant::now();
        let known = Uuid::now_v7();
        cache.store(known, None, now);
        for _ in 0..KEY_LOOKUPS_PER_SECOND_MAX {
            assert!(matches!(cache.find(Uuid::now_v7(), now), Found::Ask(None)));
        }
        assert!(matches!(cache.find(Uuid::now_v7(), now), Found::TooMany));
        assert!(matches!(cache.find(known, now), Found::Fresh(None)));
        assert!(matches!(cache.find(Uuid::now_v7(), now + Duration::from_secs(2)), Found::Ask(None)));
    }

    #[test]
    fn an_expired_entry_is_asked_again_by_one_request() {
        let mut cache = cache();
        let id = Uuid::now_v7();
        cache.store(id, None, Instant::now());
        let later = Instant::now() + KEY_CACHE_TTL;
        assert!(matches!(cache.find(id, later), Found::Ask(_)));
        assert!(matches!(cache.find(id, later + Duration::from_millis(10)), Found::Fresh(_)));
        assert!(matches!(cache.find(id, later + REFRESH_GRACE), Found::Ask(_)));
    }
}
