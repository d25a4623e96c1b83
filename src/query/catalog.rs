//! GET /v1/metrics/catalog: the series that there are.

use jiff::Timestamp;
use serde_json::value::RawValue;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::columns::{StoredRow, columns};
use super::error::ReadError;
use super::filter::SeriesFilter;
use super::listing::{Listing, Page, PageRequest};
use super::reads::Reads;
use super::sql::Sql;
use crate::fold::Folded;

columns! {
    pub struct Series from "metric_series" {
        pub metric_name: String,
        pub asset_id: String,
        pub metric_type: String,
        pub dimensions: Json<Box<RawValue>>,
        /// Timestamp of its oldest sample.
        pub first_seen: Timestamp,
        /// Timestamp of its newest sample, or up to some minutes before.
        pub last_seen: Timestamp,
    }
}

#[derive(Debug, Clone)]
pub struct CatalogQuery {
    pub series: SeriesFilter,
    /// Name or asset contains this, in any case.
    pub search: Option<String>,
}

impl Listing for CatalogQuery {
    type Item = Series;

    /// By name, asset, type and dimensions.
    async fn page(&self, reads: &Reads, request: &PageRequest) -> Result<Page<Series>, ReadError> {
        let what = format!("catalog {:?} {:?}", self.series, self.search);
        let (scope, after) = request.start::<([String; 3], Uuid)>(&what)?;
        let mut sql = Sql::of_tenant(&Series::select(", series_id"), &request.tenant_id);
        self.series.push(&mut sql);
        if let Some(search) = &self.search {
            // Text within text, and no pattern: `%` and `_` of a name mean themselves.
            let sought = Folded::new(search);
            for (operator, column) in [(" AND (", "metric_name"), (" OR ", "asset_id")] {
                sql.push(&format!("{operator}strpos(translate({column}, ")).bind(sought.from.clone());
                sql.push(", ").bind(sought.to.clone()).push("), ").bind(sought.text.clone()).push(") > 0");
            }
            sql.push(")");
        }
        if let Some(([metric_name, asset_id, metric_type], series_id)) = after {
            sql.push(" AND (metric_name, asset_id, metric_type, series_id) > (")
                .bind(metric_name)
                .push(", ")
                .bind(asset_id);
            sql.push(", ").bind(metric_type).push(", ").bind(series_id).push(")");
        }
        sql.push(" ORDER BY metric_name, asset_id, metric_type, series_id").push_limit(request.limit + 1);
        let found = reads.rows(&sql).await?;
        Page::of(found, request.limit, Series::read, |last| {
            let series_id: Uuid = last.try_get("series_id")?;
            let last = Series::read(last)?;
            Ok(scope.encode(&([last.metric_name, last.asset_id, last.metric_type], series_id)))
        })
    }
}
