//! GET /v1/correlations: pairs of events that belong together.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::cursor::{CursorError, Scope};
use super::events::raw;
use super::filter::Sql;
use super::levels::before;
use super::windows::{Density, Window};
use super::{Listing, Page, ReadError, Reads};

#[derive(Debug, Clone)]
pub struct CorrelationsQuery {
    pub tenant_id: String,
    /// Any of these types.
    pub types: Vec<String>,
    /// At least as strong.
    pub min_strength: Option<f64>,
    /// At least as sure.
    pub min_confidence: Option<f64>,
    /// One of the two events.
    pub event_id: Option<Uuid>,
    /// Oldest timestamp, inclusive; None: all that is kept.
    pub from: Option<Timestamp>,
    /// Newest timestamp, exclusive.
    pub to: Option<Timestamp>,
    /// Rows of the page.
    pub limit: usize,
    /// Where the page starts.
    pub cursor: Option<String>,
}

/// A pair of events.
#[derive(Debug, Serialize)]
pub struct Correlation {
    pub id: Uuid,
    /// The later of the two events' timestamps.
    pub timestamp: Timestamp,
    /// causal, temporal or anomaly.
    pub correlation_type: String,
    pub primary_event_id: Uuid,
    pub related_event_id: Uuid,
    /// When the one happened.
    pub primary_timestamp: Timestamp,
    /// When the other happened.
    pub related_timestamp: Timestamp,
    pub strength: f64,
    pub confidence: f64,
    /// What it was found by.
    pub metadata: Option<Box<RawValue>>,
    /// Who reported the one; null when it has expired.
    pub primary_source_module: Option<String>,
    pub primary_event_type: Option<String>,
    /// Who reported the other; null when it has expired.
    pub related_source_module: Option<String>,
    pub related_event_type: Option<String>,
}

const SELECT: &str = "SELECT id, timestamp, correlation_type, primary_event_id, related_event_id, primary_timestamp, \
     related_timestamp, strength, confidence, metadata::text AS metadata FROM correlations";
const EVENT: &str = "SELECT id, timestamp, source_module, event_type FROM events";

impl Listing for CorrelationsQuery {
    type Item = Correlation;

    fn turn_to(&mut self, limit: usize, cursor: Option<String>) {
        self.limit = limit;
        self.cursor = cursor.or(self.cursor.take());
    }

    async fn page(&self, reads: &Reads) -> Result<Page<Correlation>, ReadError> {
        reads.correlations(self).await
    }
}

impl Reads {
    /// One page of correlations, newest first.
    pub async fn correlations(&self, query: &CorrelationsQuery) -> Result<Page<Correlation>, ReadError> {
        let asked = format!(
            "correlations {:?} {:?} {:?} {:?}",
            query.types, query.min_strength, query.min_confidence, query.event_id
        );
        let scope = Scope::new(&query.tenant_id, &asked);
        let after = query.cursor.as_ref().map(|cursor| scope.decode::<3>(cursor)).transpose()?;
        let after = match after {
            None => None,
            Some([timestamp_us, high, low]) => Some((
                Timestamp::from_microsecond(timestamp_us).map_err(|_| CursorError::Malformed)?,
                Uuid::from_u64_pair(high.cast_unsigned(), low.cast_unsigned()),
            )),
        };
        let now = Timestamp::now();
        let kept_since = Timestamp::from_microsecond(before(now.as_microsecond(), self.kept.correlations)).ok();
        let behind = after.and_then(|(at, _)| at.checked_add(SignedDuration::from_micros(1)).ok());
        let to = [behind, query.to].into_iter().flatten().min();
        let whole = Window { from: query.from.or(kept_since), to };
        // Those of one event are few, and near each other somewhere in all that is kept.
        let windows: Vec<Window> = match query.event_id {
            Some(_) => whole.pieces(now, Density::Few).collect(),
            None => vec![whole],
        };
        let found = self.newest(windows, query.limit, |window, limit| pairs_sql(query, window, after, limit)).await?;
        let cursor = |last: &Correlation| {
            let (high, low) = last.id.as_u64_pair();
            scope.encode([last.timestamp.as_microsecond(), high.cast_signed(), low.cast_signed()])
        };
        let mut page = Page::of(found, query.limit, correlation, cursor)?;
        self.name_events(&query.tenant_id, &mut page.items).await?;
        Ok(page)
    }

    /// Enters what the events of correlations are.
    async fn name_events(&self, tenant_id: &str, items: &mut [Correlation]) -> Result<(), ReadError> {
        let keys = items.iter().flat_map(|item| {
            [(item.primary_event_id, item.primary_timestamp), (item.related_event_id, item.related_timestamp)]
        });
        // Four short columns: as many as a page of correlations has are far from filling one.
        let (events, _) = self.events_at(tenant_id, EVENT, keys.collect::<Vec<_>>()).await?;
        for item in items {
            if let Some(row) = events.get(&(item.primary_event_id, item.primary_timestamp)) {
                (item.primary_source_module, item.primary_event_type) = (row.get(2), row.get(3));
            }
            if let Some(row) = events.get(&(item.related_event_id, item.related_timestamp)) {
                (item.related_source_module, item.related_event_type) = (row.get(2), row.get(3));
            }
        }
        Ok(())
    }
}

fn pairs_sql(query: &CorrelationsQuery, window: &Window, after: Option<(Timestamp, Uuid)>, limit: i64) -> Sql {
    let mut sql = Sql::new("");
    // An index for each of the two columns, and no row from both.
    let sides: &[&str] = match query.event_id {
        None => &[""],
        Some(_) => &["primary_event_id", "related_event_id"],
    };
    for (index, side) in sides.iter().enumerate() {
        sql.push(if index > 0 { " UNION ALL " } else { "" }).push(SELECT);
        sql.push(" WHERE tenant_id = ").bind(query.tenant_id.clone(), Type::TEXT);
        sql.push_within(window);
        if let Some(event_id) = query.event_id {
            sql.push(" AND ").push(side).push(" = ").bind(event_id, Type::UUID);
            if index > 0 {
                sql.push(" AND primary_event_id <> related_event_id");
            }
        }
        sql.push_any_of("correlation_type", &query.types);
        for (column, least) in [("strength", query.min_strength), ("confidence", query.min_confidence)] {
            if let Some(least) = least {
                sql.push(&format!(" AND {column} >= ")).bind(least, Type::FLOAT8);
            }
        }
        if let Some((at, id)) = after {
            sql.push(" AND (timestamp, id) < (").bind(at, Type::TIMESTAMPTZ).push(", ").bind(id, Type::UUID).push(")");
        }
    }
    sql.push(" ORDER BY timestamp DESC, id DESC LIMIT ").bind(limit, Type::INT8);
    sql
}

fn correlation(row: &Row) -> Result<Correlation, ReadError> {
    Ok(Correlation {
        id: row.get(0),
        timestamp: row.get(1),
        correlation_type: row.get(2),
        primary_event_id: row.get(3),
        related_event_id: row.get(4),
        primary_timestamp: row.get(5),
        related_timestamp: row.get(6),
        strength: row.get(7),
        confidence: row.get(8),
        metadata: row.get::<_, Option<String>>(9).map(raw).transpose()?,
        primary_source_module: None,
        primary_event_type: None,
        related_source_module: None,
        related_event_type: None,
    })
}
