//! GET /v1/metrics by buckets: a level chosen, and its answer stitched together of the rollup and of rows.

use jiff::Timestamp;
use serde_json::value::RawValue;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::columns::{StoredRow, columns};
use super::cursor::CursorError;
use super::error::ReadError;
use super::filter::SeriesFilter;
use super::levels::{Micros, Part, ReadFrom, Resolution, parts};
use super::listing::{Listing, Page, PageRequest};
use super::reads::{FoundRows, Reads};
use super::sql::Sql;
use super::windows::Window;
use crate::limits::{BUCKETS_MAX, POINTS_DEFAULT};
use crate::model::Level;

columns! {
    pub struct Point from "metrics_rollup" {
        pub bucket: Timestamp,
        pub asset_id: String,
        pub metric_type: String,
        pub metric_name: String,
        /// Width of the bucket.
        pub resolution: &'static str = later,
        pub count: i64,
        pub sum: Option<f64> = "sum_value",
        pub avg: Option<f64> = "avg_value",
        pub min: Option<f64> = "min_value",
        pub max: Option<f64> = "max_value",
        /// Null for one value, and where a summary does not tell its spread.
        pub stddev: Option<f64> = "stddev_value",
        /// Percentiles, of the samples that came one by one.
        pub p50: Option<f64> = "p50_value",
        pub p95: Option<f64> = "p95_value",
        pub p99: Option<f64> = "p99_value",
        /// Values of summaries, which the percentiles leave out.
        pub summarized_count: i64,
        pub dimensions: Option<Json<Box<RawValue>>> = later,
    }
}

#[derive(Debug, Clone)]
pub struct PointsQuery {
    pub series: SeriesFilter,
    /// The level; `Raw` is asked for by [`super::SamplesQuery`].
    pub resolution: Resolution,
    /// First bucket, inclusive.
    pub from: Timestamp,
    /// Last bucket, exclusive.
    pub to: Timestamp,
}

/// Where a page starts: behind this bucket of this series.
type PointKey = (Timestamp, [String; 3], Uuid);

impl Listing for PointsQuery {
    type Item = Point;

    const ROWS_DEFAULT: usize = POINTS_DEFAULT;

    /// Newest first, then by series.
    async fn page(&self, reads: &Reads, request: &PageRequest) -> Result<Page<Point>, ReadError> {
        let asked = match self.resolution {
            Resolution::Level(level) => level.name,
            Resolution::Raw | Resolution::Auto => "auto",
        };
        let what = format!("metrics {:?} {asked}", self.series);
        let (scope, after) = request.start::<(String, PointKey)>(&what)?;
        let now = Timestamp::now().as_microsecond();
        let (from, to) = (self.from.as_microsecond(), self.to.as_microsecond());
        // What `auto` chose for the first page holds for those after it, though the clock moves on.
        let (level, after) = match (after, self.resolution) {
            (Some((resolution, key)), _) => (Level::parse(&resolution).ok_or(CursorError::Malformed)?, Some(key)),
            (None, Resolution::Level(level)) => (level, None),
            (None, _) => (reads.kept.auto(from, to, now), None),
        };
        let resolution = level.resolution.unwrap_or_default();
        if level.buckets(from, to) > BUCKETS_MAX {
            return Err(ReadError::Unbounded(format!(
                "resolution={resolution} has more than {BUCKETS_MAX} buckets between from and to; ask for a wider resolution, or narrow \
                 from and to"
            )));
        }
        let end = after.as_ref().map_or(to, |after| to.min(after.0.as_microsecond().saturating_add(1)));
        let parts = reads.parts_of(&request.tenant_id, level, (from, end), now).await?;
        let found = if parts.is_empty() {
            FoundRows { rows: Vec::new(), cut: false }
        } else {
            let stored = reads.layout.stored(level);
            let mut sql = self.sql(&request.tenant_id, level, stored, &parts, after)?;
            sql.push_limit(request.limit + 1).push(DIMENSIONS);
            reads.rows(&sql).await?
        };
        let read = |row: &Row| Ok(Point { resolution, dimensions: row.try_get("dimensions")?, ..Point::read(row)? });
        let page = Page::of(found, request.limit, read, |last| {
            let Point { bucket, asset_id, metric_type, metric_name, .. } = Point::read(last)?;
            let series_id: Uuid = last.try_get("series_id")?;
            Ok(scope.encode(&(resolution, (bucket, [asset_id, metric_type, metric_name], series_id))))
        })?;
        Ok(Page { resolution: Some(resolution), ..page })
    }
}

const ORDER: &str = "bucket DESC, asset_id, metric_type, metric_name, series_id";
/// Looked up for the rows of a page alone.
const DIMENSIONS: &str = ") q LEFT JOIN metric_series s USING (tenant_id, asset_id, metric_type, metric_name, series_id) \
    ORDER BY bucket DESC, asset_id, metric_type, metric_name, series_id";

impl PointsQuery {
    fn sql(
        &self,
        tenant_id: &str,
        level: &Level,
        stored: &str,
        parts: &[Part],
        after: Option<PointKey>,
    ) -> Result<Sql, ReadError> {
        let mut sql = Sql::new("SELECT q.*, s.dimensions FROM (SELECT * FROM (");
        let bounds = parts.iter().map(|part| Ok((part.source, time(part.from)?, time(part.to)?)));
        sql.push_union(bounds.collect::<Result<Vec<_>, ReadError>>()?, |sql, (source, from, to)| {
            sql.push(&format!("SELECT {}, tenant_id, series_id FROM ", Point::list()));
            match source {
                ReadFrom::Rollup => sql.push(stored),
                ReadFrom::Rows => {
                    sql.push(&format!("metrics_rollup(INTERVAL '{}', ", level.interval()));
                    sql.bind(from).push(", ").bind(to).push(")")
                }
            };
            sql.push_of_tenant("", tenant_id);
            sql.push_within("bucket", &Window { from: Some(from), to: Some(to) });
            self.series.push(sql);
        });
        sql.push(") p");
        if let Some((bucket, [asset_id, metric_type, metric_name], series_id)) = after {
            sql.push(" WHERE (bucket < ").bind(bucket).push(" OR bucket = ").bind(bucket);
            sql.push(" AND (asset_id, metric_type, metric_name, series_id) > (").bind(asset_id);
            sql.push(", ").bind(metric_type).push(", ").bind(metric_name).push(", ").bind(series_id).push("))");
        }
        sql.push(" ORDER BY ").push(ORDER);
        Ok(sql)
    }
}

impl Reads {
    async fn parts_of(
        &self,
        tenant_id: &str,
        level: &Level,
        range: (Micros, Micros),
        now: Micros,
    ) -> Result<Vec<Part>, ReadError> {
        let range = (level.ceil(range.0), level.ceil(range.1));
        let fresh = self.freshness(level, tenant_id, range).await?;
        let rollup_since = self.kept.since(level, now).unwrap_or(Micros::MAX);
        let rows_since = self.rows_since(level, &fresh, now);
        Ok(parts(level, range, rollup_since, rows_since, &fresh.stale))
    }
}

fn time(at: Micros) -> Result<Timestamp, ReadError> {
    Timestamp::from_microsecond(at).map_err(|_| ReadError::Value("a time is out of range".into()))
}
