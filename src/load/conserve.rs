//! The conservation check: is every item that the server said it accepted in the database, exactly once?
//!
//! Receipts tie the two together: the answer names one, and every event and dead letter carries it. A sample carries none;
//! all those of a run are counted together, by the time at which their requests were received, which a receipt knows.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use tokio_postgres::Client;
use uuid::Uuid;

use super::options::ItemKind;
use super::report::{ConservationCheck, LoadReport, Mismatch, Promise};

/// Receipts asked for at once. Sorted by time first, so that each query reads its own few chunks of the table.
const RECEIPTS_PER_QUERY: usize = 500;
/// Mismatches listed; all are counted.
const MISMATCHES_LISTED_MAX: usize = 10;
/// 0001-01-01 and 9999-12-30 in microseconds: the calendar, for items whose time only the server knows.
const CALENDAR_US: (i64, i64) = (-62_135_596_800_000_000, 253_402_128_000_000_000);

const EVENTS_SQL: &str = "SELECT receipt, count(*) FROM events \
    WHERE timestamp >= $1 AND timestamp <= $2 AND receipt = ANY($3::uuid[]) GROUP BY 1";
const DEAD_LETTERS_SQL: &str = "SELECT count(*) FROM dead_letter_events WHERE receipt = ANY($1::uuid[])";

/// Of these tenants, or of all where none is known.
const METRICS_SQL: &str = "SELECT count(*) FROM metrics \
    WHERE timestamp >= $1 AND timestamp <= $2 AND created_at >= $3 AND created_at < $4 \
    AND (cardinality($5::text[]) = 0 OR tenant_id = ANY($5::text[]))";
const TENANTS_SQL: &str = "SELECT DISTINCT tenant_id FROM ingest_ledger WHERE receipt = ANY($1::uuid[])";
/// From making a receipt to noting when the request was received, at most.
const RECEIVED_US_MAX: i64 = 1_000_000;

/// Compares a report with the database behind the server. The client needs to see all tenants' rows. Spooled items that
/// have not arrived yet are counted apart; ask again later until `still_spooled` is 0 for the full proof.
pub async fn check_conservation(
    report: &LoadReport,
    client: &Client,
) -> Result<ConservationCheck, tokio_postgres::Error> {
    let receipts = distinct(&report.receipts);
    let mut rows = HashMap::new();
    let mut tenants: BTreeSet<String> = BTreeSet::new();
    let mut dead_letters = 0;
    for chunk in receipts.chunks(RECEIPTS_PER_QUERY) {
        let ids: Vec<Uuid> = chunk.iter().map(|receipt| receipt.receipt).collect();
        dead_letters += count(client.query_one(DEAD_LETTERS_SQL, &[&ids]).await?.try_get(0)?);
        match report.kind {
            ItemKind::Events => {
                let (oldest, newest) = range(chunk);
                for row in client.query(EVENTS_SQL, &[&oldest, &newest, &ids]).await? {
                    rows.insert(row.try_get(0)?, count(row.try_get(1)?));
                }
            }
            ItemKind::Metrics => {
                for row in client.query(TENANTS_SQL, &[&ids]).await? {
                    tenants.insert(row.try_get(0)?);
                }
            }
        }
    }
    let found = match report.kind {
        ItemKind::Events => Presence::Each(rows),
        ItemKind::Metrics => {
            let (oldest, newest) = range(&receipts);
            let (from, to) = received(&receipts);
            let tenants: Vec<String> = tenants.into_iter().collect();
            let row = client.query_one(METRICS_SQL, &[&oldest, &newest, &from, &to, &tenants]).await?;
            Presence::Together { rows: count(row.try_get(0)?), spread: report.spread }
        }
    };
    Ok(compare(&receipts, &found, dead_letters))
}

enum Presence {
    Each(HashMap<Uuid, u64>),
    /// Of all; `spread`: some items make several.
    Together {
        rows: u64,
        spread: bool,
    },
}

/// When the first of these requests was received, and when the last had been: a UUIDv7 begins with its time.
fn received(receipts: &[Promise]) -> (Timestamp, Timestamp) {
    let received_us = |receipt: &Promise| {
        let millis = i64::try_from(receipt.receipt.as_u128() >> 80).expect("48 bits");
        (millis * 1000).clamp(CALENDAR_US.0, CALENDAR_US.1)
    };
    let first = receipts.iter().map(received_us).min().unwrap_or(0);
    let last = receipts.iter().map(received_us).max().unwrap_or(0) + RECEIVED_US_MAX;
    let timestamp = |us: i64| Timestamp::from_microsecond(us).expect("clamped to the years 1 to 9999");
    (timestamp(first), timestamp(last))
}

fn count(rows: i64) -> u64 {
    u64::try_from(rows).expect("count(*) is not negative")
}

/// One receipt of each request, oldest items first; a replayed answer names the original's.
fn distinct(receipts: &[Promise]) -> Vec<Promise> {
    let mut by_id: HashMap<Uuid, Promise> = HashMap::with_capacity(receipts.len());
    for receipt in receipts {
        by_id
            .entry(receipt.receipt)
            .and_modify(|known| known.spooled &= receipt.spooled)
            .or_insert_with(|| receipt.clone());
    }
    let mut receipts: Vec<Promise> = by_id.into_values().collect();
    receipts.sort_by_key(|receipt| (receipt.span_us, receipt.receipt));
    receipts
}

/// The time range that holds all rows of some receipts, a second wider, since the server rounds to microseconds.
fn range(receipts: &[Promise]) -> (Timestamp, Timestamp) {
    const SECOND_US: i64 = 1_000_000;
    let spans = || receipts.iter().map(|receipt| receipt.span_us.unwrap_or(CALENDAR_US));
    let oldest = spans().map(|(oldest, _)| oldest).min().unwrap_or(CALENDAR_US.0);
    let newest = spans().map(|(_, newest)| newest).max().unwrap_or(CALENDAR_US.1);
    let timestamp = |us: i64| {
        let us = us.clamp(CALENDAR_US.0, CALENDAR_US.1);
        Timestamp::from_microsecond(us).expect("clamped to the years 1 to 9999")
    };
    (timestamp(oldest.saturating_sub(SECOND_US)), timestamp(newest.saturating_add(SECOND_US)))
}

fn compare(receipts: &[Promise], found: &Presence, dead_letters: u64) -> ConservationCheck {
    let expected: u64 = receipts.iter().map(|receipt| receipt.accepted).sum();
    let rejected_expected = receipts.iter().map(|receipt| receipt.rejected).sum();
    let spooled_rejections: u64 =
        receipts.iter().filter(|receipt| receipt.spooled).map(|receipt| receipt.rejected).sum();
    let mut result =
        ConservationCheck { expected, rejected_expected, rejected_found: dead_letters, ..ConservationCheck::default() };
    let mut all_there = true;
    match found {
        Presence::Each(rows) => {
            result.found = rows.values().sum();
            for receipt in receipts {
                let found = rows.get(&receipt.receipt).copied().unwrap_or(0);
                if receipt.spooled && found < receipt.accepted {
                    result.still_spooled += receipt.accepted - found;
                } else if found != receipt.accepted {
                    result.mismatched_receipts += 1;
                    if result.mismatches.len() < MISMATCHES_LISTED_MAX {
                        let (receipt, expected) = (receipt.receipt, receipt.accepted);
                        result.mismatches.push(Mismatch { receipt, expected, found });
                    }
                }
            }
        }
        Presence::Together { rows, spread } => {
            result.found = *rows;
            let spooled: u64 = receipts.iter().filter(|receipt| receipt.spooled).map(|receipt| receipt.accepted).sum();
            let missing = expected.saturating_sub(*rows);
            result.still_spooled = missing.min(spooled);
            let surplus = *rows > expected && !spread;
            if surplus {
                let why = "more samples than were accepted: stored twice, or sent by somebody else at the same time";
                result.note = Some(why.into());
            }
            all_there = missing <= spooled && !surplus;
        }
    }
    // The dead letters of a spooled request may still be on their way as well.
    let rejected_ok = (rejected_expected - spooled_rejections..=rejected_expected).contains(&dead_letters);
    result.ok = all_there && result.mismatched_receipts == 0 && rejected_ok;
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(n: u128, accepted: u64, rejected: u64, spooled: bool) -> Promise {
        let at = i64::try_from(n).expect("small") * 1_000_000;
        Promise { receipt: Uuid::from_u128(n), accepted, rejected, spooled, span_us: Some((at, at + 5)) }
    }

    fn rows(found: &[(u128, u64)]) -> Presence {
        Presence::Each(found.iter().map(|&(n, rows)| (Uuid::from_u128(n), rows)).collect())
    }

    #[test]
    fn all_there() {
        let receipts = distinct(&[receipt(2, 5, 1, false), receipt(1, 10, 0, false), receipt(2, 5, 1, false)]);
        let result = compare(&receipts, &rows(&[(1, 10), (2, 5)]), 1);
        assert!(result.ok, "{result:?}");
        assert_eq!((result.expected, result.found, result.rejected_expected), (15, 15, 1));
    }

    #[test]
    fn a_loss_and_a_surplus_do_not_cancel_out() {
        let receipts = distinct(&[receipt(1, 10, 0, false), receipt(2, 10, 0, false)]);
        let result = compare(&receipts, &rows(&[(1, 11), (2, 9)]), 0);
        assert!(!result.ok && result.expected == 20 && result.found == 20);
        let found: Vec<u64> = result.mismatches.iter().map(|mismatch| mismatch.found).collect();
        assert_eq!((result.mismatched_receipts, found), (2, vec![11, 9]));
    }

    #[test]
    fn lost_and_surplus_dead_letters_are_noticed() {
        let receipts = [receipt(1, 1, 2, false)];
        let ok = |dead_letters| compare(&receipts, &rows(&[(1, 1)]), dead_letters).ok;
        assert_eq!([1, 2, 3].map(ok), [false, true, false]);
    }

    #[test]
    fn spooled_items_may_still_be_on_their_way_but_not_come_twice() {
        let receipts = [receipt(1, 10, 1, true)];
        let result = compare(&receipts, &rows(&[(1, 4)]), 0);
        assert!(result.ok && result.still_spooled == 6);
        assert!(!compare(&receipts, &rows(&[(1, 11)]), 1).ok);
        // A replay that says committed settles it.
        let settled = distinct(&[receipt(1, 10, 0, true), receipt(1, 10, 0, false)]);
        assert!(!compare(&settled, &rows(&[]), 0).ok);
    }

    #[test]
    fn samples_are_counted_together() {
        let receipts = [receipt(1, 10, 0, false), receipt(2, 5, 0, true)];
        let of = |rows, spread| compare(&receipts, &Presence::Together { rows, spread }, 0);
        let (whole, waiting) = (of(15, false), of(12, false));
        assert!(whole.ok && whole.still_spooled == 0 && whole.found == 15);
        assert!(waiting.ok && waiting.still_spooled == 3);
        assert!(!of(9, false).ok && !of(16, false).ok && of(16, true).ok && !of(9, true).ok);
        assert!(of(16, false).note.is_some());
    }

    #[test]
    fn a_receipt_knows_when_it_was_made() {
        let made = Uuid::now_v7();
        let receipts = [Promise { receipt: made, ..receipt(1, 1, 0, false) }];
        let (from, to) = received(&receipts);
        let now = Timestamp::now();
        assert!(from <= now && now < to, "{from} {now} {to}");
    }

    #[test]
    fn the_range_covers_its_receipts_and_the_calendar_when_unknown() {
        let (oldest, newest) = range(&[receipt(100, 1, 0, false), receipt(200, 1, 0, false)]);
        assert_eq!((oldest.as_microsecond(), newest.as_microsecond()), (99_000_000, 201_000_005));
        let unknown = Promise { span_us: None, ..receipt(1, 1, 0, false) };
        let (oldest, newest) = range(&[unknown]);
        assert_eq!((oldest.as_microsecond(), newest.as_microsecond()), CALENDAR_US);
        assert_eq!(oldest.to_string(), "0001-01-01T00:00:00Z");
        assert_eq!(newest.to_string(), "9999-12-30T00:00:00Z");
    }
}
