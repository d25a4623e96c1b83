#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
use jiff::SignedDuration;

use super::*;

const LAG: SignedDuration = SignedDuration::from_secs(DATABASE_LAG_MAX.as_secs().cast_signed());

fn on(number: u32) -> Timeline {
    Timeline { system: 7, number }
}

fn found(batches: i64) -> Identity {
    Identity { id: Uuid::from_u128(1), batches, has_timescaledb: true, timeline: Some(on(1)) }
}

fn known(batches: i64) -> (Known, Timestamp) {
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let url: ConnectionUrl = "host=h user=u dbname=d".parse().unwrap();
    (Known::new(&url, Layout::Columnstore, found(batches), now), now)
}

#[test]
fn the_same_database_is_the_right_one_whatever_it_has_written() {
    let (known, _) = known(5000);
    for batches in [4000, 5000, 6000] {
        known.compare(Some(&found(batches))).unwrap();
    }
}

#[test]
fn another_one_is_not() {
    let (known, _) = known(0);
    let other = Identity { id: Uuid::from_u128(2), ..found(9000) };
    let bare = Identity { has_timescaledb: false, ..found(9000) };
    for (found, word) in [(None, "nothing"), (Some(other), "installation"), (Some(bare), "TimescaleDB")] {
        let why = known.compare(found.as_ref()).unwrap_err();
        assert!(why.contains(word) && why.contains("accept-database"), "{why}");
    }
    let native = Known { hypertables: false, ..known };
    native.compare(Some(&bare)).unwrap();
}

#[test]
fn an_older_state_is_not_and_a_standby_that_lagged_is() {
    let (known, start) = known(1000);
    // Looked at often: what counts is at least so long ago that a standby has it.
    let mut known = known.seen(found(2000), start + LAG / 2);
    assert_eq!(known.batches, 0);
    known = known.seen(found(3000), start + LAG);
    assert_eq!((known.batches, known.newer.0), (1000, 3000));
    known = known.seen(found(4000), start + LAG * 3 / 2);
    known.compare(Some(&found(1000))).unwrap();
    let why = known.compare(Some(&found(999))).unwrap_err();
    assert!(why.contains("older state"), "{why}");
    known = known.seen(found(5000), start + LAG * 2);
    known.compare(Some(&found(3000))).unwrap();
    known.compare(Some(&found(2999))).unwrap_err();
}

#[test]
fn an_old_primary_is_not_the_right_one() {
    let (known, start) = known(1000);
    let promoted = Identity { timeline: Some(on(2)), ..found(1000) };
    known.compare(Some(&promoted)).unwrap();
    let known = known.seen(promoted, start);
    assert_eq!(known.timeline, Some(on(2)));
    let why = known.compare(Some(&found(1000))).unwrap_err();
    assert!(why.contains("timeline 1") && why.contains("timeline 2"), "{why}");
    // What is seen of it changes nothing, nor does a standby, which takes no writes.
    let known = known.seen(found(1000), start);
    let standby = Identity { timeline: None, ..found(1000) };
    assert_eq!(known.clone().seen(standby, start).timeline, Some(on(2)));
    known.compare(Some(&standby)).unwrap();
    // An upgraded cluster, or a restored dump, counts from its own beginning.
    let upgraded = Identity { timeline: Some(Timeline { system: 8, number: 1 }), ..found(1000) };
    known.compare(Some(&upgraded)).unwrap();
    assert_eq!(known.seen(upgraded, start).timeline, upgraded.timeline);
}

#[test]
fn what_an_older_version_kept_can_be_read() {
    let kept = r#"{"id":"00000000-0000-0000-0000-000000000001","place":"host=h","hypertables":true,"batches":3,"newer":[4,5]}"#;
    let known: Known = serde_json::from_str(kept).unwrap();
    assert_eq!((known.batches, known.timeline), (3, None));
    known.compare(Some(&found(1000))).unwrap();
}

#[test]
fn a_clock_that_is_set_back_hides_nothing() {
    let (known, start) = known(1000);
    let mut known = known.seen(found(2000), start - LAG * 100);
    assert_eq!(known.batches, 0);
    known = known.seen(found(3000), start - LAG * 99);
    assert_eq!((known.batches, known.newer.0), (1000, 3000));
}
