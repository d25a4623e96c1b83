//! Keys that were good lately, in a file: a process that is started while the database is away takes for the spool what
//! comes with them.
//!
//! A key is remembered when the database says that it is good, and believed for [`KEY_STALE_MAX`] after that, by the clock
//! on the wall. It leaves when the database says otherwise: when it is used, and in a look at all of them each minute.
//! The file holds hashes and no secret; it is written at once and then once a second at most, and losing it costs only
//! that these keys wait for the database.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use uuid::Uuid;

use super::principal::{Holder, Principal, Record};
use super::{OrgRetention, RateLimits, Scopes};
use crate::durable::DurableFile;
use crate::limits::{KEY_STALE_MAX, KEYS_REMEMBERED_MAX};

/// Its name in the folder of data.
const FILE: &str = "keys";
const VERSION: u32 = 1;
/// Names of tenants have at most 100 characters of 4 bytes; everything else of a key is shorter than the rest.
const KEY_BYTES_MAX: usize = 1024;
/// Between two saves; a multiple of what a save takes, if that is longer.
const SAVE_PAUSE: Duration = Duration::from_secs(1);
const SAVE_SHARE: u32 = 20;
/// The moment of a key's verification in the file may be that old: it is not written for that alone every time.
const VERIFIED_SLACK: Duration = Duration::from_secs(600);

/// What is kept of a key.
#[derive(Debug, Serialize, Deserialize)]
struct KeptKey {
    id: Uuid,
    /// In hex.
    hash: String,
    tenant_id: String,
    scopes: String,
    limits: RateLimits,
    keeps: OrgRetention,
    /// Unix microseconds, as the next one.
    expires_us: Option<i64>,
    verified_us: i64,
}

#[derive(Debug, Clone)]
struct RememberedKey {
    record: Record,
    verified_at: Timestamp,
}

#[derive(Debug)]
pub struct Remembered {
    /// None: nothing could be taken without the database anyway.
    file: Option<DurableFile>,
    keys: Mutex<HashMap<Uuid, RememberedKey>>,
    changed: Notify,
}

impl Remembered {
    /// What an earlier process left in `folder`. Blocks.
    pub fn open(folder: Option<&Path>) -> Self {
        let file = folder
            .map(|folder| DurableFile::new(folder.join(FILE), "keys", VERSION, KEYS_REMEMBERED_MAX * KEY_BYTES_MAX));
        let keys = file.as_ref().map(read).unwrap_or_default();
        Self { file, keys: Mutex::new(keys), changed: Notify::new() }
    }

    /// The record of a key that was good lately, and for how long it may be believed.
    pub fn get(&self, id: Uuid, now: Timestamp) -> Option<(Record, Duration)> {
        let keys = self.keys();
        let key = keys.get(&id)?;
        Some((key.record.clone(), believed_for(key.verified_at, now)?))
    }

    /// All of them.
    pub fn ids(&self) -> Vec<Uuid> {
        self.keys().keys().copied().collect()
    }

    /// The database has said what is to be known of a key.
    pub fn verified(&self, id: Uuid, record: Option<&Record>, now: Timestamp) {
        if self.file.is_none() {
            return;
        }
        let mut keys = self.keys();
        let changed = match (record, keys.get_mut(&id)) {
            (None, _) => keys.remove(&id).is_some(),
            (Some(record), Some(known)) => {
                let age = Duration::try_from(now.duration_since(known.verified_at)).unwrap_or(Duration::MAX);
                let changed = known.record != *record || age > VERIFIED_SLACK;
                if changed {
                    *known = RememberedKey { record: record.clone(), verified_at: now };
                }
                changed
            }
            (Some(record), None) => {
                make_room(&mut keys, now);
                keys.insert(id, RememberedKey { record: record.clone(), verified_at: now });
                true
            }
        };
        drop(keys);
        if changed {
            self.changed.notify_one();
        }
    }

    /// The database has said, at a look at all, what is to be known of a key; that nobody has used it is no reason to
    /// believe it any longer.
    pub fn looked_at(&self, id: Uuid, record: Option<&Record>) {
        let mut keys = self.keys();
        let Some(known) = keys.get_mut(&id) else { return };
        match record {
            Some(record) if known.record == *record => return,
            Some(record) => known.record = record.clone(),
            None => drop(keys.remove(&id)),
        }
        drop(keys);
        self.changed.notify_one();
    }

    /// Saves what changes, for as long as the process runs.
    pub async fn keep(self: &Arc<Self>) {
        loop {
            self.changed.notified().await;
            let began = Instant::now();
            self.save().await;
            tokio::time::sleep(SAVE_PAUSE.max(began.elapsed() * SAVE_SHARE)).await;
        }
    }

    /// Saves everything now.
    pub async fn save(self: &Arc<Self>) {
        let own = Arc::clone(self);
        if let Err(error) = tokio::task::spawn_blocking(move || own.save_now(Timestamp::now())).await {
            tracing::error!(%error, "saving the remembered keys failed; this is a bug");
        }
    }

    fn save_now(&self, now: Timestamp) {
        let Some(file) = &self.file else { return };
        let keys: Vec<KeptKey> = {
            let mut keys = self.keys();
            keys.retain(|_, key| believed_for(key.verified_at, now).is_some());
            keys.values().map(KeptKey::of).collect()
        };
        let content = serde_json::to_vec(&keys).expect("keys are made of plain values");
        if let Err(error) = file.save(&content) {
            let path = file.path().display();
            tracing::error!(%path, %error, "keys cannot be remembered for a start without the database");
        }
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<Uuid, RememberedKey>> {
        self.keys.lock().expect("no code panics while holding it")
    }
}

/// How long a key that was good then may be believed from now on. A clock that was set back is no reason to believe longer
/// than from the time that it shows.
fn believed_for(verified_at: Timestamp, now: Timestamp) -> Option<Duration> {
    let age = now.duration_since(verified_at);
    let age = Duration::try_from(age.abs()).ok().filter(|age| *age < KEY_STALE_MAX)?;
    Some(KEY_STALE_MAX - age)
}

/// Forgets, where there is no room for one more, a tenth of the keys: those verified longest ago.
fn make_room(keys: &mut HashMap<Uuid, RememberedKey>, now: Timestamp) {
    if keys.len() < KEYS_REMEMBERED_MAX {
        return;
    }
    keys.retain(|_, key| believed_for(key.verified_at, now).is_some());
    let mut times: Vec<Timestamp> = keys.values().map(|key| key.verified_at).collect();
    if times.len() < KEYS_REMEMBERED_MAX {
        return;
    }
    let (_, bound, _) = times.select_nth_unstable(KEYS_REMEMBERED_MAX / 10);
    let bound = *bound;
    keys.retain(|_, key| key.verified_at > bound);
}

fn read(file: &DurableFile) -> HashMap<Uuid, RememberedKey> {
    let Some(content) = file.load() else { return HashMap::new() };
    let kept: Result<Vec<KeptKey>, _> = serde_json::from_slice(&content);
    let keys = kept.ok().and_then(|keys| keys.into_iter().map(KeptKey::remembered).collect::<Option<HashMap<_, _>>>());
    keys.unwrap_or_else(|| {
        file.set_aside("what it says of keys cannot be read");
        HashMap::new()
    })
}

impl KeptKey {
    fn of(key: &RememberedKey) -> Self {
        let RememberedKey { record: Record { hash, principal, expires_at }, verified_at } = key;
        let Principal { tenant_id, holder: _, scopes, limits, keeps } = &**principal;
        Self {
            id: principal.id(),
            hash: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
            tenant_id: tenant_id.to_string(),
            scopes: scopes.to_string(),
            limits: *limits,
            keeps: *keeps,
            expires_us: expires_at.map(Timestamp::as_microsecond),
            verified_us: verified_at.as_microsecond(),
        }
    }

    fn remembered(self) -> Option<(Uuid, RememberedKey)> {
        let Self { id, hash, tenant_id, scopes, limits, keeps, expires_us, verified_us } = self;
        let byte = |at: usize| u8::from_str_radix(hash.get(2 * at..2 * at + 2)?, 16).ok();
        let bytes: Vec<u8> = (0..32).map(byte).collect::<Option<_>>()?;
        let scopes = Scopes::parse(&scopes).ok()?;
        let principal = Principal { tenant_id: tenant_id.into(), holder: Holder::Key(id), scopes, limits, keeps };
        let expires_at = match expires_us {
            Some(us) => Some(Timestamp::from_microsecond(us).ok()?),
            None => None,
        };
        let record = Record { hash: bytes.try_into().ok()?, principal: Arc::new(principal), expires_at };
        Some((id, RememberedKey { record, verified_at: Timestamp::from_microsecond(verified_us).ok()? }))
    }
}

#[cfg(test)]
#[path = "remembered_tests.rs"]
mod tests;
