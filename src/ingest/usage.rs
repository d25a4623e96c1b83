//! What a transaction adds to the use of its tenants, by day of UTC: requests, rows, rejected items, bytes of bodies. Noted in the
//! transaction itself, so that what is sent again, or written again after a lost COMMIT, counts once. The ledger cannot tell it: it has
//! keyed requests only; nor can the manifests, which are by stream, of several requests at once, and of none whose items are all rejected.

use std::collections::BTreeMap;

use deadpool_postgres::Object;
use tokio_postgres::Statement;

use super::outcome::Outcome;
use super::submission::Submission;
use crate::model::Kind;

pub const INSERT: &str = include_str!("../../sql/queries/usage_note.sql");
const DAY_US: i64 = 86_400_000_000;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Used {
    requests: i64,
    events: i64,
    samples: i64,
    rejected: i64,
    bytes: i64,
}

/// By tenant, and by days since 1970.
pub struct Usage<'a>(BTreeMap<(&'a str, i32), Used>);

impl<'a> Usage<'a> {
    /// Of the submissions that are written, by their place in the batch.
    pub fn of(kind: Kind, batch: &'a [Submission], written: &[(usize, Outcome)]) -> Self {
        let mut days: BTreeMap<(&str, i32), Used> = BTreeMap::new();
        for (index, outcome) in written {
            let Submission { received, decoded, .. } = &batch[*index];
            let day = i32::try_from(received.judged_at_us().div_euclid(DAY_US)).unwrap_or(i32::MAX);
            let used = days.entry((&received.tenant_id, day)).or_default();
            let rows = number(decoded.rows.rows.len()) - i64::from(outcome.duplicates);
            match kind {
                Kind::Events => used.events += rows,
                Kind::Metrics => used.samples += rows,
            }
            // A dead letter that is sent again was counted when it came in.
            if received.replay.is_none() {
                used.requests += 1;
                used.rejected += number(decoded.rejected.len());
                used.bytes += number(received.sent_bytes());
            }
        }
        days.retain(|_, used| *used != Used::default());
        Self(days)
    }

    /// Nothing is sent when there is nothing to note.
    pub async fn note(&self, client: &Object, statement: &Statement) -> Result<(), tokio_postgres::Error> {
        if self.0.is_empty() {
            return Ok(());
        }
        let (tenants, days): (Vec<&str>, Vec<i32>) = self.0.keys().copied().unzip();
        let of = |what: fn(&Used) -> i64| -> Vec<i64> { self.0.values().map(what).collect() };
        let (requests, events, samples) = (of(|used| used.requests), of(|used| used.events), of(|used| used.samples));
        let (rejected, bytes) = (of(|used| used.rejected), of(|used| used.bytes));
        client
            .execute(statement, &[&tenants, &days, &requests, &events, &samples, &rejected, &bytes])
            .await
            .map(|_rows| ())
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
