//! Dead letters: what could not be decoded, validated or written, kept as it was sent but for API keys and what is masked, in
//! the transaction of its neighbours.

use std::borrow::Cow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::Client;
use uuid::Uuid;

use super::submission::Submission;
use crate::limits::DEAD_LETTER_KEYS_MAX;
use crate::recent::Recent;
use crate::secrets::redacted_bytes;
use crate::wire::event::{WITHHELD, WITHHELD_PAYLOAD, is_structure};
use crate::wire::item::RejectedItem;

const INSERT: &str = include_str!("../../sql/queries/dead_letters_insert.sql");

/// Rows of one INSERT: far from the statement timeout, whatever their size.
const INSERT_ROWS_MAX: usize = 5000;

/// The ids under which the rejected items of these submissions are kept: the same in every attempt, so that an unknown
/// COMMIT can be looked up by them.
pub fn id(submission: &Submission, item_index: u32) -> Uuid {
    Uuid::new_v5(&submission.received.receipt, &item_index.to_be_bytes())
}

/// Writes the rejected items of the submissions named by `written`, a bounded number at a time. A replay's is there.
pub async fn insert(
    client: &Client,
    batch: &[Submission],
    written: impl Iterator<Item = usize>,
) -> Result<(), tokio_postgres::Error> {
    let items: Vec<(&Submission, &RejectedItem)> = written
        .map(|index| &batch[index])
        .filter(|submission| submission.received.replay.is_none())
        .flat_map(|submission| submission.decoded.rejected.iter().map(move |item| (submission, item)))
        .collect();
    for slice in items.chunks(INSERT_ROWS_MAX) {
        insert_slice(client, slice).await?;
    }
    Ok(())
}

async fn insert_slice(client: &Client, items: &[(&Submission, &RejectedItem)]) -> Result<(), tokio_postgres::Error> {
    let tenants: Vec<&str> = items.iter().map(|(submission, _)| &*submission.received.tenant_id).collect();
    let ids: Vec<Uuid> = items.iter().map(|(submission, item)| id(submission, item.index)).collect();
    let stages: Vec<&str> = items.iter().map(|(_, item)| item.rejection.stage.as_str()).collect();
    let codes: Vec<&str> = items.iter().map(|(_, item)| item.rejection.code.as_str()).collect();
    let reasons: Vec<&str> = items.iter().map(|(_, item)| item.rejection.message.as_str()).collect();
    // Readers see dead letters, and a key in them would be theirs.
    let raw: Vec<Cow<'_, [u8]>> = items
        .iter()
        .map(|(submission, item)| &submission.received.body[item.raw.start as usize..item.raw.end as usize])
        .map(redacted_bytes)
        .collect();
    let originals: Vec<Option<Cow<'_, [u8]>>> = items
        .iter()
        .enumerate()
        .map(|(at, (submission, item))| {
            let same = |previous: &&(&Submission, &RejectedItem)| std::ptr::eq(previous.0, *submission);
            let previous = at.checked_sub(1).and_then(|at| items.get(at)).filter(same).map(|(_, item)| item.index);
            submission.received.original.as_ref()?.kept(item.index, previous).map(redacted_bytes)
        })
        .collect();
    let is_cut = |sent: &Cow<'_, [u8]>| matches!(sent, Cow::Owned(_));
    let redacted: Vec<bool> = raw
        .iter()
        .zip(&originals)
        .map(|(raw, original)| is_cut(raw) || is_withheld(raw) || original.as_ref().is_some_and(is_cut))
        .collect();
    let originals: Vec<Option<&[u8]>> = originals.iter().map(Option::as_deref).collect();
    let raw: Vec<&[u8]> = raw.iter().map(|raw| &**raw).collect();
    let pointers = |item: &RejectedItem| item.rejection.pointers.clone();
    let fields: Vec<Option<String>> = items.iter().map(|(_, item)| Some(pointers(item)?.field)).collect();
    let rules: Vec<Option<String>> = items.iter().map(|(_, item)| Some(pointers(item)?.rule)).collect();
    let versions: Vec<Option<i32>> = items.iter().map(|(_, item)| Some(pointers(item)?.version)).collect();
    let routes: Vec<&str> = items.iter().map(|(submission, _)| &*submission.received.route).collect();
    let types: Vec<&str> = items.iter().map(|(submission, _)| submission.received.form.media_type()).collect();
    let parameters: Vec<Value> = items.iter().map(|(submission, _)| submission.received.parameters()).collect();
    let indexes: Vec<i32> = items.iter().map(|(_, item)| i32::try_from(item.index).unwrap_or(i32::MAX)).collect();
    let event_ids: Vec<Option<Uuid>> = items.iter().map(|(_, item)| item.event_id).collect();
    let receipts: Vec<Uuid> = items.iter().map(|(submission, _)| submission.received.receipt).collect();
    let keys: Vec<Uuid> = items.iter().map(|(submission, _)| submission.received.api_key_id).collect();
    let came_in = |submission: &Submission| Timestamp::from_microsecond(submission.received.received_at_us).ok();
    let received: Vec<Option<Timestamp>> = items.iter().map(|(submission, _)| came_in(submission)).collect();
    client
        .execute(
            INSERT,
            &[
                &tenants,
                &ids,
                &stages,
                &codes,
                &reasons,
                &raw,
                &routes,
                &types,
                &parameters,
                &indexes,
                &event_ids,
                &receipts,
                &keys,
                &received,
                &redacted,
                &fields,
                &rules,
                &versions,
                &originals,
            ],
        )
        .await?;
    Ok(())
}

/// Whether nothing is left of what was sent but what stands between items, or its payload was withheld.
fn is_withheld(raw: &[u8]) -> bool {
    let is_left = |byte: &u8| matches!(*byte, WITHHELD | b'"') || is_structure(&[*byte]);
    (raw.contains(&WITHHELD) && raw.iter().all(is_left)) || memchr::memmem::find(raw, WITHHELD_PAYLOAD).is_some()
}

/// Dead-letter bytes of each key in the current UTC day, on this node: junk must not fill the disk. Memory is bounded
/// by the keys that sent some lately.
#[derive(Debug)]
pub struct Quota {
    bytes_per_day: AtomicU64,
    today: Mutex<Today>,
}

#[derive(Debug)]
struct Today {
    day: i64,
    used: Recent<Uuid, u64>,
}

impl Quota {
    /// `bytes_per_day` for each key: what it sent, and about 512 a letter for the letter itself.
    pub fn new(bytes_per_day: u64) -> Self {
        Self {
            bytes_per_day: AtomicU64::new(bytes_per_day),
            today: Mutex::new(Today { day: 0, used: Recent::new(DEAD_LETTER_KEYS_MAX) }),
        }
    }

    /// Another quota from now on; what was used stays used.
    pub fn resize(&self, bytes_per_day: u64) {
        self.bytes_per_day.store(bytes_per_day, Ordering::Relaxed);
    }

    /// Takes `bytes` from a key's quota of the day that `now_s` (seconds since 1970) is in; false when it is used up.
    pub fn take(&self, key: Uuid, bytes: u64, now_s: i64) -> bool {
        let mut today = self.today.lock().expect("no code panics while holding it");
        let day = now_s.div_euclid(86_400);
        if today.day != day {
            *today = Today { day, used: Recent::new(DEAD_LETTER_KEYS_MAX) };
        }
        let used = today.used.get_or_insert_with(key, || 0);
        if used.saturating_add(bytes) > self.bytes_per_day.load(Ordering::Relaxed) {
            return false;
        }
        *used += bytes;
        true
    }

    /// Gives back what was taken for a request that was not written after all.
    pub fn give_back(&self, key: Uuid, bytes: u64) {
        let mut today = self.today.lock().expect("no code panics while holding it");
        if let Some(used) = today.used.get_mut(&key) {
            *used = used.saturating_sub(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quota_is_per_key_and_day() {
        let quota = Quota::new(1000);
        let (a, b) = (Uuid::now_v7(), Uuid::now_v7());
        assert!(quota.take(a, 1000, 0));
        assert!(!quota.take(a, 1, 86_399));
        assert!(quota.take(b, 1, 86_399));
        assert!(quota.take(a, 1, 86_400));
        quota.give_back(a, 1);
        assert!(quota.take(a, 1000, 86_400));
        assert!(!quota.take(b, u64::MAX, 86_400));
    }

    #[test]
    fn memory_is_bounded() {
        let quota = Quota::new(1000);
        (0..DEAD_LETTER_KEYS_MAX + 1000).for_each(|_| assert!(quota.take(Uuid::now_v7(), 1, 0)));
        assert!(quota.today.lock().expect("not poisoned").used.len() <= DEAD_LETTER_KEYS_MAX);
    }
}
