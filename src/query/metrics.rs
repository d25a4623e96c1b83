//! GET /v1/metrics by buckets: a level chosen, and its answer stitched together of the rollup and of rows.

use jiff::Timestamp;
use serde_json::value::RawValue;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::cells::{Cells, bounded};
use super::columns::{StoredRow, columns, is_small};
use super::cursor::CursorError;
use super::error::ReadError;
use super::levels::Resolution;
use super::listing::{Listing, Page, PageRequest};
use super::reads::{FoundRows, Reads};
use super::series::SeriesFilter;
use super::sql::Sql;
use crate::limits::{POINTS_AUTO_MAX, POINTS_DEFAULT};
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
        /// Null where they do not fit a page, and where the catalog has the series no more.
        pub dimensions: Option<Json<Box<RawValue>>> = later,
    }
}

#[derive(Debug, Clone)]
pub struct PointsQuery {
    pub series: SeriesFilter,
    /// The level; `Raw` is asked for by [`super::SamplesQuery`].
    pub resolution: Resolution,
    /// Points of a series that `auto` gives at most.
    pub points: Option<i64>,
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
        let what = format!("metrics {:?} {asked} {:?}", self.series, self.points);
        let (scope, after) = request.start::<(String, PointKey)>(&what)?;
        let now = Timestamp::now().as_microsecond();
        let (from, to) = (self.from.as_microsecond(), self.to.as_microsecond());
        // What `auto` chose for the first page holds for those after it, though the clock moves on.
        let (level, after) = match (after, self.resolution) {
            (Some((resolution, key)), _) => (Level::parse(&resolution).ok_or(CursorError::Malformed)?, Some(key)),
            (None, Resolution::Level(level)) => (level, None),
            (None, _) => (reads.kept.auto(from, to, now, self.points.unwrap_or(POINTS_AUTO_MAX)), None),
        };
        bounded(level, from, to)?;
        let end = after.as_ref().map_or(to, |after| to.min(after.0.as_microsecond().saturating_add(1)));
        let parts = reads.parts_of(&request.tenant_id, level, (from, end), now).await?;
        let found = if parts.is_empty() {
            FoundRows { rows: Vec::new(), cut: false }
        } else {
            let (tenant_id, series) = (&*request.tenant_id, &self.series);
            let sets = reads.sets(tenant_id, series, &[]).await?;
            let cells =
                Cells { tenant_id, series, sets: sets.as_ref(), level, stored: reads.layout.stored(level), parts };
            reads.rows(&self.sql(&cells, after, request.limit + 1)?).await?
        };
        let resolution = level.resolution.unwrap_or_default();
        let read = |row: &Row| Ok(Point { resolution, dimensions: row.try_get("dimensions")?, ..Point::read(row)? });
        let page = Page::of(found, request.limit, read, |last| {
            let Point { bucket, asset_id, metric_type, metric_name, .. } = Point::read(last)?;
            let key: PointKey = (bucket, [asset_id, metric_type, metric_name], last.try_get("series_id")?);
            Ok(scope.encode(&(resolution, key)))
        })?;
        Ok(Page { resolution: Some(resolution.into()), ..page })
    }
}

const ORDER: &str = " ORDER BY bucket DESC, asset_id, metric_type, metric_name, series_id";

impl PointsQuery {
    fn sql(&self, cells: &Cells<'_>, after: Option<PointKey>, limit: usize) -> Result<Sql, ReadError> {
        let mut sql = Sql::new(format!(
            "SELECT p.*, CASE WHEN {} THEN s.dimensions END AS dimensions FROM (SELECT * FROM (",
            is_small("s.dimensions")
        ));
        cells.push(&mut sql, &format!("{}, tenant_id, series_id", Point::list()))?;
        sql.push(") c");
        if let Some((bucket, names, series_id)) = after {
            sql.push(" WHERE (bucket < ").bind(bucket).push(" OR bucket = ").bind(bucket);
            sql.push(" AND (asset_id, metric_type, metric_name, series_id) > ").push_series(names, series_id).push(")");
        }
        // Dimensions of the page's rows alone.
        sql.push(ORDER).push_limit(limit).push(") p LEFT JOIN metric_series s USING ");
        sql.push("(tenant_id, asset_id, metric_type, metric_name, series_id)").push(ORDER);
        Ok(sql)
    }
}
