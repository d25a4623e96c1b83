//! GET /v1/events/counts: how many, by time bucket and by field.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio_postgres::types::Type;

use super::filter::{Field, Filter, Sql};
use super::{ReadError, Reads};
use crate::limits::PAGE_ROWS_MAX;

/// Width of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bucket {
    /// `1m`
    Minute,
    /// `5m`
    FiveMinutes,
    /// `1h`
    Hour,
    /// `1d`, in UTC
    Day,
}

impl Bucket {
    /// Parses the query parameter.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "1m" => Some(Self::Minute),
            "5m" => Some(Self::FiveMinutes),
            "1h" => Some(Self::Hour),
            "1d" => Some(Self::Day),
            _ => None,
        }
    }

    fn interval(self) -> &'static str {
        match self {
            Self::Minute => "1 minute",
            Self::FiveMinutes => "5 minutes",
            Self::Hour => "1 hour",
            Self::Day => "1 day",
        }
    }
}

/// A field to group by.
pub type GroupBy = Field;

/// What to count.
#[derive(Debug, Clone)]
pub struct CountsQuery {
    /// The tenant.
    pub tenant_id: String,
    /// Which events.
    pub filter: Filter,
    /// By time.
    pub bucket: Option<Bucket>,
    /// By fields.
    pub group_by: Vec<GroupBy>,
}

/// One group.
#[derive(Debug, Serialize)]
pub struct Count {
    /// Start of the bucket, when counted by time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket: Option<Timestamp>,
    /// The fields grouped by.
    #[serde(flatten)]
    pub group: Map<String, Value>,
    /// How many events.
    pub count: i64,
}

impl Reads {
    /// The counts, newest bucket first, then largest group first; None when there are more groups than a page holds.
    pub async fn counts(&self, query: &CountsQuery) -> Result<Option<Vec<Count>>, ReadError> {
        let mut columns: Vec<String> = Vec::new();
        if let Some(bucket) = query.bucket {
            columns.push(format!("date_bin('{}', timestamp, TIMESTAMPTZ '1970-01-01 00:00:00+00')", bucket.interval()));
        }
        columns.extend(query.group_by.iter().map(|field| field.name().to_owned()));
        let groups: Vec<String> = (1..=columns.len()).map(|number| number.to_string()).collect();
        columns.push("count(*)".to_owned());
        let mut sql = Sql::new(&format!("SELECT {} FROM events", columns.join(", ")));
        sql.push_where(&query.tenant_id, &query.filter);
        if !groups.is_empty() {
            sql.push(" GROUP BY ").push(&groups.join(", "));
        }
        let newest_first = if query.bucket.is_some() { "1 DESC, " } else { "" };
        sql.push(&format!(" ORDER BY {newest_first}count(*) DESC"));
        for group in groups.iter().skip(usize::from(query.bucket.is_some())) {
            sql.push(", ").push(group);
        }
        sql.push(" LIMIT ").bind(i64::try_from(PAGE_ROWS_MAX + 1).unwrap_or(i64::MAX), Type::INT8);
        let (rows, cut) = self.rows(&sql).await?;
        if cut || rows.len() > PAGE_ROWS_MAX {
            return Ok(None);
        }
        let first_field = usize::from(query.bucket.is_some());
        let counts = rows.iter().map(|row| Count {
            bucket: query.bucket.map(|_| row.get(0)),
            group: query
                .group_by
                .iter()
                .enumerate()
                .map(|(index, field)| {
                    let value: Option<String> = row.get(first_field + index);
                    (field.name().to_owned(), value.into())
                })
                .collect(),
            count: row.get(columns.len() - 1),
        });
        Ok(Some(counts.collect()))
    }
}
