#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use jiff::SignedDuration;
use tempfile::TempDir;

use super::*;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn record(tenant_id: &str) -> Record {
    let principal = Principal {
        tenant_id: tenant_id.into(),
        holder: Holder::Key(Uuid::now_v7()),
        scopes: Scopes::parse("ingest,read").unwrap(),
        limits: RateLimits { events_per_second: Some(7), bytes_per_second: None, burst_seconds: Some(3) },
        keeps: OrgRetention { events_retention_days: Some(30), ..OrgRetention::default() },
    };
    let expires_at = Some(now() + HOUR * 100);
    Record { hash: std::array::from_fn(|n| u8::try_from(n).unwrap() * 7), principal: Arc::new(principal), expires_at }
}

/// Remembers keys and saves them, as a process would.
fn saved(dir: &TempDir, records: &[&Record], at: Timestamp) -> Remembered {
    let remembered = Remembered::open(Some(dir.path()));
    for record in records {
        remembered.verified(record.principal.id(), Some(record), at);
    }
    remembered.save_now(at);
    remembered
}

fn after_a_start(dir: &TempDir, record: &Record, now: Timestamp) -> Option<Record> {
    Remembered::open(Some(dir.path())).get(record.principal.id(), now).map(|(record, _)| record)
}

#[test]
fn a_key_is_remembered_as_it_was_for_a_day() {
    let dir = TempDir::new().unwrap();
    let record = record("Zürich \"1\"");
    saved(&dir, &[&record], now());
    assert_eq!(after_a_start(&dir, &record, now()), Some(record.clone()));
    assert_eq!(after_a_start(&dir, &record, now() + HOUR * 23), Some(record.clone()));
    assert_eq!(after_a_start(&dir, &record, now() + HOUR * 24), None);
    // A clock that was a little ahead and was set back, and one that was days ahead.
    assert_eq!(after_a_start(&dir, &record, now() - HOUR), Some(record.clone()));
    assert_eq!(after_a_start(&dir, &record, now() - HOUR * 48), None);
    let (_, left) = Remembered::open(Some(dir.path())).get(record.principal.id(), now() + HOUR).unwrap();
    assert_eq!(left, KEY_STALE_MAX - Duration::from_secs(3600));
}

#[test]
fn a_key_that_is_no_longer_good_leaves_the_file() {
    let dir = TempDir::new().unwrap();
    let (good, used, idle) = (record("good"), record("used"), record("idle"));
    let remembered = saved(&dir, &[&good, &used, &idle], now());
    remembered.verified(used.principal.id(), None, now());
    remembered.looked_at(idle.principal.id(), None);
    remembered.save_now(now());
    assert_eq!(after_a_start(&dir, &good, now()), Some(good));
    assert_eq!((after_a_start(&dir, &used, now()), after_a_start(&dir, &idle, now())), (None, None));
}

#[test]
fn a_look_at_all_changes_what_is_known_and_not_for_how_long() {
    let dir = TempDir::new().unwrap();
    let old = record("tenant");
    let remembered = saved(&dir, &[&old], now());
    let mut changed = old.clone();
    changed.expires_at = Some(now() + HOUR);
    remembered.looked_at(old.principal.id(), Some(&changed));
    remembered.save_now(now() + HOUR);
    assert_eq!(after_a_start(&dir, &old, now() + HOUR * 23), Some(changed));
    assert_eq!(after_a_start(&dir, &old, now() + HOUR * 24), None);
    // Use does.
    remembered.verified(old.principal.id(), Some(&old), now() + HOUR * 2);
    remembered.save_now(now() + HOUR * 2);
    assert_eq!(after_a_start(&dir, &old, now() + HOUR * 25), Some(old));
}

#[test]
fn what_is_old_is_not_written_again() {
    let dir = TempDir::new().unwrap();
    let record = record("tenant");
    let remembered = saved(&dir, &[&record], now());
    remembered.save_now(now() + HOUR * 24);
    assert_eq!(after_a_start(&dir, &record, now()), None);
}

#[test]
fn a_file_that_says_nonsense_is_set_aside() {
    for nonsense in [&b"nonsense"[..], b"{}", br#"[{"id":1}]"#] {
        let dir = TempDir::new().unwrap();
        let file = DurableFile::new(dir.path().join(FILE), "keys", VERSION, 1000);
        file.save(nonsense).unwrap();
        let good = record("tenant");
        assert_eq!(after_a_start(&dir, &good, now()), None);
        assert!(dir.path().join("keys.damaged").exists());
        saved(&dir, &[&good], now());
        assert_eq!(after_a_start(&dir, &good, now()), Some(good));
    }
}

#[test]
fn memory_and_file_are_bounded_and_those_used_lately_stay() {
    let dir = TempDir::new().unwrap();
    let remembered = Remembered::open(Some(dir.path()));
    let tenant = "\u{1F600}".repeat(100);
    let one = record(&tenant);
    for n in 0..KEYS_REMEMBERED_MAX + 1 {
        let at = now() + SignedDuration::from_millis(i64::try_from(n).unwrap());
        let id = Uuid::from_u128(n as u128);
        let principal = Principal { holder: Holder::Key(id), ..copy(&one.principal) };
        remembered.verified(id, Some(&Record { principal: Arc::new(principal), ..one.clone() }), at);
        assert!(remembered.keys().len() <= KEYS_REMEMBERED_MAX);
    }
    remembered.save_now(now());
    let again = Remembered::open(Some(dir.path()));
    let known = |n: usize| again.get(Uuid::from_u128(n as u128), now()).is_some();
    assert!(!known(0) && known(KEYS_REMEMBERED_MAX / 2) && known(KEYS_REMEMBERED_MAX));
}

fn copy(principal: &Principal) -> Principal {
    let Principal { tenant_id, holder, scopes, limits, keeps } = principal;
    Principal {
        tenant_id: Arc::clone(tenant_id),
        holder: holder.clone(),
        scopes: *scopes,
        limits: *limits,
        keeps: *keeps,
    }
}

#[test]
fn without_a_folder_nothing_is_kept() {
    let remembered = Remembered::open(None);
    let record = record("tenant");
    remembered.verified(record.principal.id(), Some(&record), now());
    remembered.save_now(now());
    assert!(remembered.ids().is_empty());
}
