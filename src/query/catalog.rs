//! GET /v1/metrics/catalog: the series that there are.

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::types::Type;

use super::cursor::Scope;
use super::filter::Sql;
use super::metrics::SeriesFilter;
use super::{Found, Listing, Page, ReadError, Reads};

#[derive(Debug, Clone)]
pub struct CatalogQuery {
    pub tenant_id: String,
    pub series: SeriesFilter,
    /// Name or asset contains this, in any case.
    pub search: Option<String>,
    /// Rows of the page.
    pub limit: usize,
    /// Where the page starts.
    pub cursor: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Series {
    pub metric_name: String,
    pub asset_id: String,
    /// The kind of metric.
    pub metric_type: String,
    /// Timestamp of its oldest sample.
    pub first_seen: Timestamp,
    /// Timestamp of its newest sample.
    pub last_seen: Timestamp,
}

impl Listing for CatalogQuery {
    type Item = Series;

    fn turn_to(&mut self, limit: usize, cursor: Option<String>) {
        self.limit = limit;
        self.cursor = cursor.or(self.cursor.take());
    }

    async fn page(&self, reads: &Reads) -> Result<Page<Series>, ReadError> {
        reads.catalog(self).await
    }
}

impl Reads {
    /// One page of series, by name, asset and type.
    pub async fn catalog(&self, query: &CatalogQuery) -> Result<Page<Series>, ReadError> {
        let scope = Scope::new(&query.tenant_id, &format!("catalog {:?} {:?}", query.series, query.search));
        let mut sql = Sql::new(
            "SELECT metric_name, asset_id, metric_type, first_seen, last_seen FROM metric_catalog WHERE tenant_id = ",
        );
        sql.bind(query.tenant_id.clone(), Type::TEXT);
        query.series.push(&mut sql);
        if let Some(search) = &query.search {
            // Text within text, and no pattern: `%` and `_` of a name mean themselves.
            sql.push(" AND (strpos(lower(metric_name), lower(").bind(search.clone(), Type::TEXT);
            sql.push(")) > 0 OR strpos(lower(asset_id), lower(").bind(search.clone(), Type::TEXT).push(")) > 0)");
        }
        if let Some(cursor) = &query.cursor {
            let ([], [metric_name, asset_id, metric_type]) = scope.decode_texts(cursor)?;
            sql.push(" AND (metric_name, asset_id, metric_type) > (").bind(metric_name, Type::TEXT);
            sql.push(", ").bind(asset_id, Type::TEXT).push(", ").bind(metric_type, Type::TEXT).push(")");
        }
        let limit = i64::try_from(query.limit + 1).unwrap_or(i64::MAX);
        sql.push(" ORDER BY metric_name, asset_id, metric_type LIMIT ").bind(limit, Type::INT8);
        let (rows, cut) = self.rows(&sql).await?;
        let series = |row: &tokio_postgres::Row| {
            Ok(Series {
                metric_name: row.get(0),
                asset_id: row.get(1),
                metric_type: row.get(2),
                first_seen: row.get(3),
                last_seen: row.get(4),
            })
        };
        let cursor = |last: &Series| scope.encode_texts([], [&last.metric_name, &last.asset_id, &last.metric_type]);
        Page::of(Found { rows, cut }, query.limit, series, cursor)
    }
}
