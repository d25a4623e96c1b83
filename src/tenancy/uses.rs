//! When keys were last used, to the minute. A request only says so here; the database is told now and then, of many keys at once.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use deadpool_postgres::Pool;
use jiff::Timestamp;
use uuid::Uuid;

use crate::limits::KEY_USES_MAX;
use crate::storage::StorageError;

const NOTE: &str = "SELECT tidegate.note_key_uses($1, $2)";
const MINUTE_S: i64 = 60;

/// Uses that the database does not know yet.
#[derive(Default)]
pub struct KeyUses {
    /// The minute of each key's last one.
    minutes: Mutex<HashMap<Uuid, i64>>,
}

impl KeyUses {
    /// A key was accepted.
    pub fn note(&self, id: Uuid, at: Timestamp) {
        let mut minutes = self.minutes();
        let known = minutes.len();
        let minute = at.as_second().div_euclid(MINUTE_S);
        match minutes.get_mut(&id) {
            Some(last) => *last = minute.max(*last),
            // A key that is not noted is noted when it is used again.
            None if known >= KEY_USES_MAX => {}
            None => drop(minutes.insert(id, minute)),
        }
    }

    /// Tells the database. What it does not take is told the next time.
    pub async fn tell(&self, pool: &Pool) -> Result<(), StorageError> {
        let told = std::mem::take(&mut *self.minutes());
        if told.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = told.keys().copied().collect();
        let second = |minute: &i64| Timestamp::from_second(minute * MINUTE_S).unwrap_or(Timestamp::UNIX_EPOCH);
        let used: Vec<Timestamp> = told.values().map(second).collect();
        let noted = async { Ok::<_, StorageError>(pool.get().await?.execute(NOTE, &[&ids, &used]).await.map(drop)?) };
        let noted = noted.await;
        if noted.is_err() {
            let mut minutes = self.minutes();
            for (id, minute) in told {
                let last = minutes.entry(id).or_insert(minute);
                *last = minute.max(*last);
            }
        }
        noted
    }

    fn minutes(&self) -> MutexGuard<'_, HashMap<Uuid, i64>> {
        self.minutes.lock().expect("no code panics while holding it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_are_kept_to_the_minute_and_are_bounded() {
        let uses = KeyUses::default();
        let at = |second: i64| Timestamp::from_second(second).expect("a time");
        let id = Uuid::from_u128(1);
        uses.note(id, at(125));
        uses.note(id, at(61));
        assert_eq!(uses.minutes()[&id], 2, "the last one, also when they are heard of in another order");
        for other in 0..2 * KEY_USES_MAX as u128 {
            uses.note(Uuid::from_u128(other), at(180));
        }
        assert_eq!(uses.minutes().len(), KEY_USES_MAX);
        assert_eq!(uses.minutes()[&id], 3);
    }
}
