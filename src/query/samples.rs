//! GET /v1/metrics?resolution=raw: the samples and summaries as they were sent.

use jiff::Timestamp;
use serde_json::value::RawValue;
use tokio_postgres::Row;
use tokio_postgres::types::Json;

use super::columns::{StoredRow, columns};
use super::error::ReadError;
use super::listing::{Listing, Page, PageRequest};
use super::newest::{Newest, Order, Piece};
use super::reads::Reads;
use super::series::SeriesFilter;
use super::sql::Sql;
use super::windows::Window;
use crate::limits::POINTS_DEFAULT;

columns! {
    /// A sample has a value; a summary has what is known of the values that it stands for.
    pub struct Sample from "metrics" {
        pub timestamp: Timestamp,
        pub asset_id: String,
        pub metric_type: String,
        pub metric_name: String,
        /// Null for a summary.
        pub value: Option<f64> = "CASE WHEN value_min IS NULL THEN value_sum END",
        /// How many values it stands for.
        pub count: i64 = "value_count",
        pub sum: f64 = "value_sum",
        pub min: f64 = "coalesce(value_min, value_sum)",
        pub max: f64 = "coalesce(value_max, value_sum)",
        /// The sum of their squares; null where a summary does not tell its spread.
        pub sumsq: Option<f64> = "value_m2",
        /// Of a sample (n - 1); null for one value, and where a summary does not tell its spread.
        pub stddev: Option<f64> = later,
        /// Null also where they do not fit a page.
        pub dimensions: Option<Json<Box<RawValue>>>,
    }
}

#[derive(Debug, Clone)]
pub struct SamplesQuery {
    pub series: SeriesFilter,
    pub window: Window,
}

impl Listing for SamplesQuery {
    type Item = Sample;

    const ROWS_DEFAULT: usize = POINTS_DEFAULT;

    async fn page(&self, reads: &Reads, request: &PageRequest) -> Result<Page<Sample>, ReadError> {
        let list = Newest {
            what: format!("samples {:?}", self.series),
            order: Order::Written,
            window: self.window,
            by_age: true,
            has_large: true,
        };
        let sets = reads.sets(&request.tenant_id, &self.series, &[]).await?;
        let place = ", batch_id, batch_seq";
        let select = |piece: &Piece| {
            let select = match piece.is_whole() {
                true => Sample::select(place),
                false => Sample::select_listed(&["dimensions"], place),
            };
            let mut sql = Sql::of_tenant(&select, &request.tenant_id);
            self.series.push_with(&mut sql, sets.as_ref());
            piece.push(&mut sql);
            sql
        };
        Ok(Page { resolution: Some("raw".into()), ..list.page(reads, request, select, sample).await? })
    }
}

fn sample(row: &Row) -> Result<Sample, ReadError> {
    let mut sample = Sample::read(row)?;
    // Not in SQL, where a square that no double holds is an error. What is stored is squares around the mean.
    #[expect(clippy::cast_precision_loss, reason = "exact up to METRIC_COUNT_MAX")]
    let (count, m2) = (sample.count as f64, sample.sumsq);
    sample.stddev = m2.map(|m2| (m2 / (count - 1.0)).sqrt());
    sample.sumsq = m2.or(sample.value.map(|_| 0.0)).map(|m2| m2 + sample.sum / count * sample.sum);
    Ok(sample)
}
