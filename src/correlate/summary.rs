//! What a stretch of minutes holds, read in one scan and remembered for the other rules: which types of events occurred (for
//! lift) and which assets had errors (for anomalies).

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use uuid::Uuid;

use crate::jobs::minutes::{MinuteRange, Tally, minute_of};
use crate::limits::{ANOMALY_NEAR_MINUTES, LIFT_LATE_MINUTES_MAX, TYPES_PER_MINUTE_MAX};
use crate::storage::StorageError;

/// Severities, in lower case, of events that an outlier is tied to.
pub(super) const ERRORS: [&str; 5] = ["error", "critical", "fatal", "emergency", "alert"];

/// A minute and a type: source module, event type.
type TypeKey = (i32, String, String);

#[derive(Default)]
pub(super) struct MinutesSummary {
    /// Events with a correlation id or a parent.
    related: i64,
    /// Of each type its events and its first time.
    types: BTreeMap<TypeKey, (i64, Timestamp)>,
    /// Minutes in which assets had errors.
    errors: Vec<(i32, String)>,
}

impl MinutesSummary {
    pub async fn of(transaction: &Transaction<'_>, range: &MinuteRange) -> Result<Self, StorageError> {
        let statement = transaction.prepare_cached(include_str!("../../sql/queries/minutes_summary.sql")).await?;
        let rows = transaction
            .query(&statement, &[&range.tenant_id, &range.starts_at(), &range.ends_at(), &ERRORS.as_slice()])
            .await?;
        let mut summary = Self::default();
        for row in rows {
            let minute = minute_of(row.get(0));
            let (count, first): (i64, Timestamp) = (row.get(4), row.get(5));
            let entry = summary.types.entry((minute, row.get(1), row.get(2))).or_insert((0, first));
            *entry = (entry.0 + count, entry.1.min(first));
            if let Some(asset) = row.get::<_, Option<String>>(3) {
                summary.errors.push((minute, asset));
            }
            summary.related += row.get::<_, i64>(6);
        }
        Ok(summary)
    }

    /// Whether any event has a correlation id or a parent.
    pub fn has_related(&self) -> bool {
        self.related > 0
    }

    /// Remembers it: types of what is recent, assets with errors.
    pub async fn remember(
        &self,
        transaction: &Transaction<'_>,
        range: &MinuteRange,
        tally: &mut Tally,
    ) -> Result<(), StorageError> {
        let oldest = minute_of(Timestamp::now()) - LIFT_LATE_MINUTES_MAX;
        if range.from_minute >= oldest {
            self.remember_types(transaction, range).await?;
        }
        let (mut hours, mut assets) = (Vec::new(), Vec::new());
        for (minute, asset) in &self.errors {
            for hour in hours_near(*minute) {
                hours.push(hour);
                assets.push(asset.as_str());
            }
        }
        if !hours.is_empty() {
            let statement = transaction.prepare_cached(include_str!("../../sql/queries/errors_note.sql")).await?;
            transaction.execute(&statement, &[&range.tenant_id, &hours, &assets]).await?;
            tally.add("error_minutes", self.errors.len());
        }
        Ok(())
    }

    async fn remember_types(&self, transaction: &Transaction<'_>, range: &MinuteRange) -> Result<(), StorageError> {
        let types = self.frequent();
        let modules: Vec<&str> = types.iter().map(|(key, _)| key.1.as_str()).collect();
        let names: Vec<&str> = types.iter().map(|(key, _)| key.2.as_str()).collect();
        let (minutes, firsts): (Vec<i32>, Vec<Timestamp>) = types.iter().map(|(key, first)| (key.0, *first)).unzip();
        let statement = transaction.prepare_cached(include_str!("../../sql/queries/types_first.sql")).await?;
        let (from, to) = (range.starts_at(), range.ends_at());
        let rows = transaction.query(&statement, &[&range.tenant_id, &modules, &names, &firsts, &from, &to]).await?;
        // Every type has one: events do not go away between two statements, unless they expire.
        let mut ids: Vec<Option<Uuid>> = vec![None; types.len()];
        for row in rows {
            if let Some(slot) = usize::try_from(row.get::<_, i64>(0) - 1).ok().and_then(|index| ids.get_mut(index)) {
                *slot = Some(row.get(1));
            }
        }
        let Some(ids) = ids.into_iter().collect::<Option<Vec<Uuid>>>() else { return Ok(()) };
        let statement = transaction.prepare_cached(include_str!("../../sql/queries/types_write.sql")).await?;
        let (tenant_id, from, to) = (&range.tenant_id, &range.from_minute, &range.to_minute);
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 8] =
            [tenant_id, from, to, &minutes, &modules, &names, &ids, &firsts];
        let changed: Vec<i32> =
            transaction.query(&statement, &parameters).await?.iter().map(|row| row.get(0)).collect();
        if !changed.is_empty() {
            let note = transaction.prepare_cached(include_str!("../../sql/queries/temporal_note.sql")).await?;
            transaction.execute(&note, &[tenant_id, &changed]).await?;
        }
        Ok(())
    }

    /// Of each minute the most frequent types, with their first time.
    fn frequent(&self) -> Vec<(&TypeKey, Timestamp)> {
        let mut types: Vec<(&TypeKey, i64, Timestamp)> =
            self.types.iter().map(|(key, (count, first))| (key, *count, *first)).collect();
        types.sort_by(|a, b| (a.0.0, -a.1, a.0).cmp(&(b.0.0, -b.1, b.0)));
        let mut kept = Vec::with_capacity(types.len());
        for minute in types.chunk_by(|a, b| a.0.0 == b.0.0) {
            kept.extend(minute.iter().take(TYPES_PER_MINUTE_MAX).map(|(key, _, first)| (*key, *first)));
        }
        kept
    }
}

/// The hours, since 1970, whose metrics an error in this minute is near to.
fn hours_near(minute: i32) -> impl Iterator<Item = i32> {
    let (from, to) = ((minute - ANOMALY_NEAR_MINUTES).div_euclid(60), (minute + ANOMALY_NEAR_MINUTES).div_euclid(60));
    from..=to
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_near_its_hour_and_a_neighbour_within_five_minutes() {
        assert_eq!(hours_near(600).collect::<Vec<_>>(), [9, 10]);
        assert_eq!(hours_near(604).collect::<Vec<_>>(), [9, 10]);
        assert_eq!(hours_near(605).collect::<Vec<_>>(), [10]);
        assert_eq!(hours_near(654).collect::<Vec<_>>(), [10]);
        assert_eq!(hours_near(655).collect::<Vec<_>>(), [10, 11]);
    }

    #[test]
    fn a_minute_keeps_its_most_frequent_types() {
        let mut summary = MinutesSummary::default();
        for minute in 0..2 {
            for n in 0..1_500_i64 {
                summary.types.insert((minute, "m".into(), format!("t{n:04}")), (n / 2, Timestamp::UNIX_EPOCH));
            }
        }
        let kept = summary.frequent();
        assert_eq!(kept.len(), 2 * TYPES_PER_MINUTE_MAX);
        assert_eq!((kept[0].0.2.as_str(), kept[1].0.2.as_str()), ("t1498", "t1499"));
        assert!(kept.iter().all(|(key, _)| key.2.as_str() >= "t0500"));
    }
}
