//! GET /v1/metrics?resolution=raw: the samples and summaries as they were sent.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::cursor::Scope;
use super::events::{Position, raw};
use super::filter::Sql;
use super::metrics::SeriesFilter;
use super::windows::{Density, Window};
use super::{Listing, Page, ReadError, Reads};

#[derive(Debug, Clone)]
pub struct SamplesQuery {
    pub tenant_id: String,
    pub series: SeriesFilter,
    /// Oldest timestamp, inclusive.
    pub from: Timestamp,
    /// Newest timestamp, exclusive.
    pub to: Timestamp,
    /// Rows of the page.
    pub limit: usize,
    /// Where the page starts.
    pub cursor: Option<String>,
}

/// A sample has a value; a summary has what is known of the values that it stands for.
#[derive(Debug, Serialize)]
pub struct Sample {
    /// When it was measured.
    pub timestamp: Timestamp,
    pub asset_id: String,
    /// The kind of metric.
    pub metric_type: String,
    pub metric_name: String,
    /// What it was; null for a summary.
    pub value: Option<f64>,
    /// How many values it stands for.
    pub count: i64,
    pub sum: f64,
    pub min: f64,
    pub max: f64,
    /// The sum of their squares; null where a summary does not tell its spread.
    pub sumsq: Option<f64>,
    /// What else tells it apart.
    pub dimensions: Option<Box<RawValue>>,
    #[serde(skip)]
    position: (i64, i32),
}

const SELECT: &str = "SELECT timestamp, asset_id, metric_type, metric_name, value_count, value_sum, value_min, value_max, \
     value_sumsq, dimensions::text, batch_id, batch_seq FROM metrics";

impl Listing for SamplesQuery {
    type Item = Sample;

    fn turn_to(&mut self, limit: usize, cursor: Option<String>) {
        self.limit = limit;
        self.cursor = cursor.or(self.cursor.take());
    }

    async fn page(&self, reads: &Reads) -> Result<Page<Sample>, ReadError> {
        reads.samples(self).await
    }
}

impl Reads {
    /// One page of samples, newest first.
    pub async fn samples(&self, query: &SamplesQuery) -> Result<Page<Sample>, ReadError> {
        let scope = Scope::new(&query.tenant_id, &format!("samples {:?}", query.series));
        let after = query.cursor.as_ref().map(|cursor| scope.decode(cursor)).transpose()?;
        let after = after.map(Position::new).transpose()?;
        let whole = Window { from: Some(query.from), to: Position::bound(after.as_ref(), Some(query.to)) };
        let found = self
            .newest(whole.pieces(Timestamp::now(), Density::Few), query.limit, |window, limit| {
                let mut sql = Sql::new(SELECT);
                sql.push(" WHERE tenant_id = ").bind(query.tenant_id.clone(), Type::TEXT);
                sql.push_within(window);
                query.series.push(&mut sql);
                if let Some(after) = &after {
                    after.push(&mut sql);
                }
                sql.push(" ORDER BY timestamp DESC, batch_id DESC, batch_seq DESC LIMIT ").bind(limit, Type::INT8);
                sql
            })
            .await?;
        let cursor = |last: &Sample| {
            scope.encode([last.timestamp.as_microsecond(), last.position.0, i64::from(last.position.1)])
        };
        Page::of(found, query.limit, sample, cursor)
    }
}

fn sample(row: &Row) -> Result<Sample, ReadError> {
    let (sum, min): (f64, Option<f64>) = (row.get(5), row.get(6));
    let value = if min.is_none() { Some(sum) } else { None };
    Ok(Sample {
        timestamp: row.get(0),
        asset_id: row.get(1),
        metric_type: row.get(2),
        metric_name: row.get(3),
        value,
        count: row.get(4),
        sum,
        min: min.unwrap_or(sum),
        max: row.get::<_, Option<f64>>(7).unwrap_or(sum),
        sumsq: row.get::<_, Option<f64>>(8).or(value.map(|value| value * value)),
        dimensions: row.get::<_, Option<String>>(9).map(raw).transpose()?,
        position: (row.get(10), row.get(11)),
    })
}
