//! Anomalies: a metric whose hour is an outlier in its own history of a week, tied to error events of the same asset in or
//! near that hour. An hour is judged when it is over, and again when metrics or errors come late.

use std::collections::BTreeMap;
use std::time::Duration;

use deadpool_postgres::{Object, Transaction};
use jiff::{SignedDuration, Timestamp};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql};
use uuid::Uuid;

use super::kept::KeptPairs;
use super::pairs::{self, CorrelationType, Pair, Side};
use super::robust::{self, Score};
use super::summary::ERRORS;
use crate::jobs::minutes::{MinuteQueue, MinuteQueues, MinuteRange, Tally, Work, Worker, minute_at};
use crate::jobs::{Job, RunCounts};
use crate::limits::{
    ANOMALY_ASSETS_PER_SLICE, ANOMALY_EVENTS_MAX, ANOMALY_HISTORY_HOURS, ANOMALY_HISTORY_HOURS_MIN,
    ANOMALY_NEAR_MINUTES, ANOMALY_SERIES_PER_SLICE, JSON_DEPTH_MAX, ROLLUPS_SETTLED_AFTER,
};
use crate::model::Kind;
use crate::payload::value;
use crate::rollup::floors;
use crate::storage::{StorageError, Store};

pub struct Anomalies(Worker<Hours>);

impl Anomalies {
    /// Pairs are kept for `kept`: older ones are not made.
    pub fn new(queues: &mut MinuteQueues, store: &Store, kept: Duration) -> Self {
        Self(queues.worker(Hours(KeptPairs { store: store.clone(), kept })))
    }
}

impl Job for Anomalies {
    fn name(&self) -> &'static str {
        "anomalies"
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(5)
    }

    async fn run_once(&self, client: &mut Object) -> Result<RunCounts, StorageError> {
        let mut tally = Tally::default();
        self.0.run(client, &mut tally).await?;
        Ok(tally.into_counts())
    }
}

/// Works through the hours of assets.
struct Hours(KeptPairs);

/// A series of a tenant: asset, metric type, metric name, id of its dimensions.
type SeriesKey = (String, String, String, String);

/// Stands behind every metric of an asset, in the order of bytes.
const BEYOND: &str = "\u{10FFFF}";

/// Average, minimum and maximum of an hour.
type Values = [f64; 3];
/// What they are called in the metadata.
const STATISTICS: [&str; 3] = ["avg", "min", "max"];

/// An hour of a series.
struct Hour {
    key: SeriesKey,
    values: Values,
    dimensions: Value,
}

/// A series whose hour is an outlier.
struct Outlier {
    series: SeriesKey,
    dimensions: Value,
    statistic: &'static str,
    value: f64,
    score: Score,
    buckets: usize,
}

const QUEUES: &[MinuteQueue] = &[MinuteQueue::of(Kind::Metrics, "anomalies"), MinuteQueue::noted("error_hours")];

impl Work for Hours {
    const BLOCK_MINUTES: i32 = 60;
    const WHOLE_BLOCKS: bool = true;
    const SETTLED_AFTER: Duration = ROLLUPS_SETTLED_AFTER;

    fn queues(&self) -> &'static [MinuteQueue] {
        QUEUES
    }

    async fn prepare(&self, range: &MinuteRange) -> Result<(), StorageError> {
        let (from, to) = near(range);
        let ends = [from, range.starts_at(), range.ends_at(), to];
        self.0.make_partitions_at(range, ends.into_iter().map(Timestamp::as_microsecond)).await
    }

    async fn slice(
        &self,
        transaction: &Transaction<'_>,
        range: &MinuteRange,
        position: Option<&Value>,
        tally: &mut Tally,
    ) -> Result<Option<Value>, StorageError> {
        if !self.0.keeps(range.ends_at()) {
            return Ok(None);
        }
        // Without its samples the hour has no outliers, and those that it gave when it had them would be taken away.
        let floor = floors(transaction.client()).await?.of(Kind::Metrics, &range.tenant_id);
        if floor.is_some_and(|floor| range.starts_at() < floor) {
            tally.add("hours_without_samples", 1);
            return Ok(None);
        }
        let after: SeriesKey =
            position.and_then(|position| serde_json::from_value(position.clone()).ok()).unwrap_or_default();
        let assets = assets(transaction, range, &after).await?;
        let Some(last) = assets.last() else { return Ok(None) };
        let series = series(transaction, range, &assets, &after).await?;
        let full = i64::try_from(series.len()).is_ok_and(|found| found == ANOMALY_SERIES_PER_SLICE);
        let until = match series.last() {
            Some(last) if full => last.key.clone(),
            _ => (last.clone(), BEYOND.to_owned(), BEYOND.to_owned(), BEYOND.to_owned()),
        };
        let outliers = outliers(transaction, range, series).await?;
        let pairs = pairs(transaction, range, &outliers).await?;
        tally.add("pairs_taken_away", prune(transaction, range, &after, &until, &pairs).await?);
        tally.add("outliers", outliers.len());
        tally.add("pairs", pairs::write(transaction, &range.tenant_id, &pairs).await?);
        Ok(Some(json!(until)))
    }
}

/// The time in which errors are near an hour.
fn near(range: &MinuteRange) -> (Timestamp, Timestamp) {
    (minute_at(range.from_minute - ANOMALY_NEAR_MINUTES), minute_at(range.to_minute + ANOMALY_NEAR_MINUTES))
}

/// The next assets with errors in or near the hour.
async fn assets(
    transaction: &Transaction<'_>,
    range: &MinuteRange,
    after: &SeriesKey,
) -> Result<Vec<String>, StorageError> {
    // Those of which there may be series left.
    let sql = "SELECT asset_id FROM asset_errors WHERE tenant_id = $1 AND hour = $2 \
               AND (asset_id COLLATE \"C\" > $3 OR (asset_id = $3 AND $4 <> $5)) ORDER BY asset_id COLLATE \"C\" LIMIT $6";
    let statement = transaction.prepare_cached(sql).await?;
    let hour = range.from_minute / 60;
    let parameters: [&(dyn ToSql + Sync); 6] =
        [&range.tenant_id, &hour, &after.0, &after.1, &BEYOND, &ANOMALY_ASSETS_PER_SLICE];
    Ok(transaction.query(&statement, &parameters).await?.iter().map(|row| row.get(0)).collect())
}

async fn series(
    transaction: &Transaction<'_>,
    range: &MinuteRange,
    assets: &[String],
    after: &SeriesKey,
) -> Result<Vec<Hour>, StorageError> {
    let statement = transaction.prepare_cached(include_str!("../../sql/queries/anomaly_series.sql")).await?;
    let (from, to) = (range.starts_at(), range.ends_at());
    let parameters: [&(dyn ToSql + Sync); 9] =
        [&range.tenant_id, &from, &to, &assets, &after.0, &after.1, &after.2, &after.3, &ANOMALY_SERIES_PER_SLICE];
    let hour = |row: &Row| Hour {
        key: (row.get(0), row.get(1), row.get(2), row.get(3)),
        values: [row.get(4), row.get(5), row.get(6)],
        dimensions: dimensions(&row.get(7)),
    };
    Ok(transaction.query(&statement, &parameters).await?.iter().map(hour).collect())
}

/// As senders named them: `serde_json` would take some names for its own.
fn dimensions(Json(text): &Json<Box<RawValue>>) -> Value {
    value(text.get(), JSON_DEPTH_MAX + 1).unwrap_or_default()
}

async fn outliers(
    transaction: &Transaction<'_>,
    range: &MinuteRange,
    series: Vec<Hour>,
) -> Result<Vec<Outlier>, StorageError> {
    let assets: Vec<&str> = series.iter().map(|series| series.key.0.as_str()).collect();
    let types: Vec<&str> = series.iter().map(|series| series.key.1.as_str()).collect();
    let names: Vec<&str> = series.iter().map(|series| series.key.2.as_str()).collect();
    let ids: Vec<Uuid> = series.iter().map(|series| series.key.3.parse().unwrap_or_default()).collect();
    let from = range.starts_at().saturating_add(SignedDuration::from_hours(-ANOMALY_HISTORY_HOURS));
    let Ok(from) = from else { return Ok(Vec::new()) };
    let statement = transaction.prepare_cached(include_str!("../../sql/queries/anomaly_history.sql")).await?;
    let parameters: [&(dyn ToSql + Sync); 7] =
        [&range.tenant_id, &from, &range.starts_at(), &assets, &types, &names, &ids];
    let rows = transaction.query(&statement, &parameters).await?;
    let mut histories: Vec<[Vec<f64>; 3]> = vec![Default::default(); series.len()];
    for row in rows {
        let index = usize::try_from(row.get::<_, i64>(0) - 1).ok();
        if let Some(history) = index.and_then(|index| histories.get_mut(index)) {
            for (column, history) in history.iter_mut().enumerate() {
                history.push(row.get(column + 1));
            }
        }
    }
    Ok(series.into_iter().zip(&histories).filter_map(|(series, history)| outlier(series, history)).collect())
}

/// The statistic that is farthest from its history, when it is an outlier: the average tells a shift, the extremes a spike.
fn outlier(series: Hour, history: &[Vec<f64>; 3]) -> Option<Outlier> {
    let buckets = history[0].len();
    if buckets < ANOMALY_HISTORY_HOURS_MIN {
        return None;
    }
    let scores = series.values.iter().zip(history).zip(STATISTICS).filter_map(|((value, history), statistic)| {
        robust::score(*value, history).map(|score| (statistic, *value, score))
    });
    // The first of equals: the average.
    let farthest = scores.reduce(|best, next| if next.2.z.abs() > best.2.z.abs() { next } else { best });
    let (statistic, value, score) = farthest.filter(|(_, _, score)| score.is_outlier())?;
    Some(Outlier { series: series.key, dimensions: series.dimensions, statistic, value, score, buckets })
}

/// The earliest error event of the asset, with each of them.
async fn pairs(
    transaction: &Transaction<'_>,
    range: &MinuteRange,
    outliers: &[Outlier],
) -> Result<Vec<Pair>, StorageError> {
    let mut assets: Vec<&str> = outliers.iter().map(|outlier| outlier.series.0.as_str()).collect();
    assets.dedup();
    if assets.is_empty() {
        return Ok(Vec::new());
    }
    let (from, to) = near(range);
    let statement = transaction.prepare_cached(include_str!("../../sql/queries/anomaly_events.sql")).await?;
    let parameters: [&(dyn ToSql + Sync); 6] =
        [&range.tenant_id, &assets, &from, &to, &ERRORS.as_slice(), &ANOMALY_EVENTS_MAX];
    let mut errors: BTreeMap<String, Vec<Side>> = BTreeMap::new();
    for row in transaction.query(&statement, &parameters).await? {
        errors.entry(row.get(0)).or_default().push(Side { at: row.get(1), id: row.get(2) });
    }
    let mut pairs = Vec::new();
    for outlier in outliers {
        let errors = errors.get(&outlier.series.0).map_or(&[][..], Vec::as_slice);
        let Some(earliest) = errors.first() else { continue };
        let others = if errors.len() == 1 { errors } else { &errors[1..] };
        pairs.extend(others.iter().map(|error| pair(outlier, range, *earliest, *error)));
    }
    Ok(pairs)
}

fn pair(outlier: &Outlier, range: &MinuteRange, primary: Side, related: Side) -> Pair {
    let (asset_id, metric_type, metric_name, series_id) = &outlier.series;
    let bucket = range.starts_at();
    Pair {
        kind: CorrelationType::Anomaly,
        primary,
        related,
        strength: outlier.score.strength(),
        confidence: robust::confidence(outlier.buckets),
        metadata: json!({
            "rule": "robust_z",
            "asset_id": asset_id,
            "metric_type": metric_type,
            "metric_name": metric_name,
            "series_id": series_id,
            "dimensions": outlier.dimensions,
            "bucket": bucket,
            "statistic": outlier.statistic,
            "value": outlier.value,
            "median": outlier.score.median,
            "mad": outlier.score.mad,
            "z": outlier.score.z,
            "buckets": outlier.buckets,
        }),
        detail: format!("{metric_type}\0{metric_name}\0{series_id}\0{bucket}"),
    }
}

/// Takes away what the hour gave before and does not give now, of the series of this slice.
async fn prune(
    transaction: &Transaction<'_>,
    range: &MinuteRange,
    after: &SeriesKey,
    until: &SeriesKey,
    pairs: &[Pair],
) -> Result<usize, StorageError> {
    let ids: Vec<Uuid> = pairs.iter().map(|pair| pair.id(&range.tenant_id)).collect();
    let (from, to) = near(range);
    let bucket = range.starts_at();
    let statement = transaction.prepare_cached(include_str!("../../sql/queries/anomaly_prune.sql")).await?;
    #[rustfmt::skip]
    let parameters: [&(dyn ToSql + Sync); 13] = [
        &range.tenant_id, &from, &to, &bucket,
        &after.0, &after.1, &after.2, &after.3,
        &until.0, &until.1, &until.2, &until.3,
        &ids,
    ];
    let gone = transaction.execute(&statement, &parameters).await?;
    Ok(usize::try_from(gone).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(values: Values) -> Hour {
        let key = ("a".into(), "t".into(), "n".into(), Uuid::nil().to_string());
        Hour { key, values, dimensions: json!({}) }
    }

    #[test]
    fn the_statistic_farthest_from_its_history_is_told() {
        let history = |center: f64| (0..24).map(|n| center + f64::from(n % 5)).collect::<Vec<f64>>();
        let histories = [history(10.0), history(0.0), history(20.0)];
        let found = outlier(hour([12.0, 2.0, 500.0]), &histories).expect("a spike");
        assert_eq!((found.statistic, found.buckets), ("max", 24));
        assert!((found.value - 500.0).abs() < f64::EPSILON && found.score.z > 100.0);
        assert!(outlier(hour([12.0, 2.0, 22.0]), &histories).is_none());
    }

    #[test]
    fn a_short_history_judges_nothing() {
        let history = vec![1.0; 23];
        assert!(outlier(hour([9.0; 3]), &[history.clone(), history.clone(), history]).is_none());
    }
}
