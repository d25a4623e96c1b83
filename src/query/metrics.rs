//! GET /v1/metrics by buckets: a level chosen, and its answer stitched together of the rollup and of rows.

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::cursor::{CursorError, Scope};
use super::filter::Sql;
use super::fresh::Kind;
use super::levels::{Micros, Part, Resolution, Source, Width, parts};
use super::{Found, Listing, Page, ReadError, Reads};
use crate::limits::BUCKETS_MAX;

/// Which series: any of the values, where there are some.
#[derive(Debug, Clone, Default)]
pub struct SeriesFilter {
    /// Any of these assets.
    pub asset_ids: Vec<String>,
    /// Any of these types.
    pub metric_types: Vec<String>,
    /// Any of these names.
    pub metric_names: Vec<String>,
}

impl SeriesFilter {
    pub(super) fn push(&self, sql: &mut Sql) {
        sql.push_any_of("asset_id", &self.asset_ids);
        sql.push_any_of("metric_type", &self.metric_types);
        sql.push_any_of("metric_name", &self.metric_names);
    }
}

#[derive(Debug, Clone)]
pub struct PointsQuery {
    pub tenant_id: String,
    pub series: SeriesFilter,
    /// The level; `Raw` is asked for by [`super::SamplesQuery`].
    pub resolution: Resolution,
    /// First bucket, inclusive.
    pub from: Timestamp,
    /// Last bucket, exclusive.
    pub to: Timestamp,
    /// Rows of the page.
    pub limit: usize,
    /// Where the page starts.
    pub cursor: Option<String>,
}

/// A bucket of a series.
#[derive(Debug, Serialize)]
pub struct Point {
    pub bucket: Timestamp,
    /// Of what it was measured.
    pub asset_id: String,
    /// The kind of metric.
    pub metric_type: String,
    pub metric_name: String,
    /// Width of the bucket.
    pub resolution: &'static str,
    pub count: i64,
    pub sum: Option<f64>,
    pub avg: Option<f64>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    /// Their standard deviation; null for one value, and where a summary does not tell its spread.
    pub stddev: Option<f64>,
    /// Percentiles, of the samples that came one by one.
    pub p50: Option<f64>,
    /// See `p50`.
    pub p95: Option<f64>,
    /// See `p50`.
    pub p99: Option<f64>,
    /// Values of summaries, which the percentiles leave out.
    pub summarized_count: i64,
}

const COLUMNS: &str = "bucket, asset_id, metric_type, metric_name, count, sum_value, avg_value, min_value, max_value, \
     stddev_value, p50_value, p95_value, p99_value, summarized_count";

impl Listing for PointsQuery {
    type Item = Point;

    fn turn_to(&mut self, limit: usize, cursor: Option<String>) {
        self.limit = limit;
        self.cursor = cursor.or(self.cursor.take());
    }

    async fn page(&self, reads: &Reads) -> Result<Page<Point>, ReadError> {
        reads.points(self).await.map(|(_, page)| page)
    }
}

/// Where a page starts: behind this bucket of this series.
struct After {
    bucket: Micros,
    series: [String; 3],
}

impl Reads {
    /// One page of points, newest first, then by series; and the level that they are of.
    pub async fn points(&self, query: &PointsQuery) -> Result<(Width, Page<Point>), ReadError> {
        let scope = Scope::new(&query.tenant_id, &format!("metrics {:?} {:?}", query.series, query.resolution));
        let now = Timestamp::now().as_microsecond();
        let (from, to) = (query.from.as_microsecond(), query.to.as_microsecond());
        let after = query.cursor.as_ref().map(|cursor| scope.decode_texts::<1, 4>(cursor)).transpose()?;
        // What `auto` chose for the first page holds for those after it, though the clock moves on.
        let (width, after) = match (after, query.resolution) {
            (None, Resolution::Level(width)) => (width, None),
            (None, _) => (self.kept.auto(from, to, now), None),
            (Some(([bucket], [width, asset_id, metric_type, metric_name])), _) => {
                let width = Width::parse(&width).ok_or(CursorError::Malformed)?;
                Timestamp::from_microsecond(bucket).map_err(|_| CursorError::Malformed)?;
                (width, Some(After { bucket, series: [asset_id, metric_type, metric_name] }))
            }
        };
        if width.buckets(from, to) > BUCKETS_MAX {
            return Err(ReadError::Unbounded(format!(
                "resolution={} has more than {BUCKETS_MAX} buckets between from and to; ask for a wider resolution, or narrow from and to",
                width.name()
            )));
        }
        let end = after.as_ref().map_or(to, |after| to.min(after.bucket.saturating_add(1)));
        let parts = self.parts_of(query, width, (from, end), now).await?;
        let found = match parts.is_empty() {
            true => Found { rows: Vec::new(), cut: false },
            false => {
                let (rows, cut) = self
                    .rows(&points_sql(query, width, &self.stored(width.relation()), &parts, after.as_ref())?)
                    .await?;
                Found { rows, cut }
            }
        };
        let cursor = |last: &Point| {
            let texts = [width.name(), &last.asset_id, &last.metric_type, &last.metric_name];
            scope.encode_texts([last.bucket.as_microsecond()], texts)
        };
        Ok((width, Page::of(found, query.limit, |row| Ok(point(row, width)), cursor)?))
    }

    async fn parts_of(
        &self,
        query: &PointsQuery,
        width: Width,
        range: (Micros, Micros),
        now: Micros,
    ) -> Result<Vec<Part>, ReadError> {
        let range = (width.ceil(range.0), width.ceil(range.1));
        let fresh = self.freshness(width.relation(), &query.tenant_id, range).await?;
        let rollup_since = self.kept.since(width, now).unwrap_or(Micros::MAX);
        let rows_since = self.rows_since(Kind::Metrics, width, &fresh, now);
        Ok(parts(width, range, rollup_since, rows_since, &fresh.stale))
    }
}

fn points_sql(
    query: &PointsQuery,
    width: Width,
    stored: &str,
    parts: &[Part],
    after: Option<&After>,
) -> Result<Sql, ReadError> {
    let mut sql = Sql::new(&format!("SELECT {COLUMNS} FROM ("));
    for (index, part) in parts.iter().enumerate() {
        let (from, to) = (time(part.from)?, time(part.to)?);
        sql.push(if index > 0 { " UNION ALL " } else { "" }).push(&format!("SELECT {COLUMNS} FROM "));
        match part.source {
            Source::Rollup => sql.push(stored),
            Source::Rows => {
                sql.push(&format!("metrics_rollup(INTERVAL '{}', ", width.interval()));
                sql.bind(from, Type::TIMESTAMPTZ).push(", ").bind(to, Type::TIMESTAMPTZ).push(")")
            }
        };
        sql.push(" WHERE tenant_id = ").bind(query.tenant_id.clone(), Type::TEXT);
        sql.push(" AND bucket >= ").bind(from, Type::TIMESTAMPTZ).push(" AND bucket < ").bind(to, Type::TIMESTAMPTZ);
        query.series.push(&mut sql);
    }
    sql.push(") p");
    if let Some(After { bucket, series: [asset_id, metric_type, metric_name] }) = after {
        let bucket = time(*bucket)?;
        sql.push(" WHERE (bucket < ")
            .bind(bucket, Type::TIMESTAMPTZ)
            .push(" OR bucket = ")
            .bind(bucket, Type::TIMESTAMPTZ);
        sql.push(" AND (asset_id, metric_type, metric_name) > (").bind(asset_id.clone(), Type::TEXT);
        sql.push(", ")
            .bind(metric_type.clone(), Type::TEXT)
            .push(", ")
            .bind(metric_name.clone(), Type::TEXT)
            .push("))");
    }
    let limit = i64::try_from(query.limit + 1).unwrap_or(i64::MAX);
    sql.push(" ORDER BY bucket DESC, asset_id, metric_type, metric_name LIMIT ").bind(limit, Type::INT8);
    Ok(sql)
}

fn time(at: Micros) -> Result<Timestamp, ReadError> {
    Timestamp::from_microsecond(at).map_err(|_| ReadError::Value("a time is out of range".into()))
}

fn point(row: &Row, width: Width) -> Point {
    Point {
        bucket: row.get(0),
        asset_id: row.get(1),
        metric_type: row.get(2),
        metric_name: row.get(3),
        resolution: width.name(),
        count: row.get(4),
        sum: row.get(5),
        avg: row.get(6),
        min: row.get(7),
        max: row.get(8),
        stddev: row.get(9),
        p50: row.get(10),
        p95: row.get(11),
        p99: row.get(12),
        summarized_count: row.get(13),
    }
}
