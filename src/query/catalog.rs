//! GET /v1/metrics/catalog: the series that there are.

use jiff::Timestamp;
use serde_json::value::RawValue;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::columns::{StoredRow, columns, is_small};
use super::error::ReadError;
use super::listing::{Listing, Page, PageRequest, SeriesTotals};
use super::reads::Reads;
use super::series::SeriesFilter;
use super::sql::Sql;
use crate::fold::Folded;
use crate::limits::SERIES_ACTIVE_FOR;

columns! {
    pub struct Series from "metric_series" {
        pub metric_name: String,
        pub asset_id: String,
        pub metric_type: String,
        /// Null where they do not fit a page.
        pub dimensions: Option<Json<Box<RawValue>>> = later,
        /// Timestamp of its oldest sample.
        pub first_seen: Timestamp,
        /// Timestamp of its newest sample, or up to ten minutes before it.
        pub last_seen: Timestamp,
        /// Of its dimensions: what tells series of one name, asset and type apart.
        pub series_id: Uuid,
    }
}

#[derive(Debug, Clone)]
pub struct CatalogQuery {
    pub series: SeriesFilter,
    /// Name or asset contains this, in any case.
    pub search: Option<String>,
    /// Whether the page says how many there are in all.
    pub totals: bool,
}

impl Listing for CatalogQuery {
    type Item = Series;

    /// By name, asset, type and the id of dimensions.
    async fn page(&self, reads: &Reads, request: &PageRequest) -> Result<Page<Series>, ReadError> {
        let what = format!("catalog {:?} {:?}", self.series, self.search);
        let (scope, after) = request.start::<([String; 3], Uuid)>(&what)?;
        let more = format!(", CASE WHEN {} THEN dimensions END AS dimensions", is_small("dimensions"));
        let mut sql = Sql::of_tenant(&Series::select(&more), &request.tenant_id);
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
        if let Some((names, series_id)) = after {
            sql.push(" AND (metric_name, asset_id, metric_type, series_id) > ").push_series(names, series_id);
        }
        sql.push(" ORDER BY metric_name, asset_id, metric_type, series_id").push_limit(request.limit + 1);
        let found = reads.rows(&sql).await?;
        let mut page = Page::of(found, request.limit, series, |last| {
            let Series { metric_name, asset_id, metric_type, series_id, .. } = Series::read(last)?;
            Ok(scope.encode(&([metric_name, asset_id, metric_type], series_id)))
        })?;
        if self.totals {
            page.totals = totals(reads, &request.tenant_id).await?;
        }
        Ok(page)
    }
}

async fn totals(reads: &Reads, tenant_id: &str) -> Result<Option<SeriesTotals>, ReadError> {
    let mut sql = Sql::new("SELECT count(*), count(*) FILTER (WHERE last_seen > now() - make_interval(secs => ");
    sql.bind(SERIES_ACTIVE_FOR.as_secs_f64());
    sql.push_of_tenant(")) FROM metric_series", tenant_id);
    let found = reads.rows(&sql).await?.rows;
    let of = |row: &Row| Ok::<_, ReadError>(SeriesTotals { stored: row.try_get(0)?, active: row.try_get(1)? });
    found.first().map(of).transpose()
}

fn series(row: &Row) -> Result<Series, ReadError> {
    Ok(Series { dimensions: row.try_get("dimensions")?, ..Series::read(row)? })
}
