//! GET /v1/events and /v1/events/{id}.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::cursor::Scope;
use super::filter::{Filter, Sql};
use super::{Page, ReadError, Reads};
use crate::storage::StorageError;

/// An event as it is read back; payload and metadata are PostgreSQL's own text, so that numbers are exact.
#[derive(Debug, Serialize)]
pub struct Event {
    /// Its id.
    pub id: Uuid,
    /// When it happened.
    pub timestamp: Timestamp,
    /// Its tenant.
    pub tenant_id: String,
    /// Its stream.
    pub stream: String,
    /// Who reported it.
    pub source_module: String,
    /// What happened.
    pub event_type: String,
    /// Version of the payload's form.
    pub event_version: i32,
    /// How bad it is.
    pub severity: String,
    /// Where it happened.
    pub environment: String,
    /// What it happened to.
    pub asset_id: Option<String>,
    /// What belongs together.
    pub correlation_id: Option<Uuid>,
    /// What caused it.
    pub parent_event_id: Option<Uuid>,
    /// The tracer's id.
    pub trace_id: Option<String>,
    /// Business data.
    pub payload: Box<RawValue>,
    /// System data.
    pub metadata: Option<Box<RawValue>>,
    /// When Tidegate received it.
    pub created_at: Timestamp,
    #[serde(skip)]
    position: (i64, i32),
}

/// Which events, how many, and where to go on.
#[derive(Debug, Clone)]
pub struct EventsQuery {
    /// The tenant.
    pub tenant_id: String,
    /// Which.
    pub filter: Filter,
    /// Rows of the page.
    pub limit: usize,
    /// Where the page starts.
    pub cursor: Option<String>,
}

const SELECT: &str = "SELECT id, timestamp, tenant_id, stream, source_module, event_type, event_version, severity, \
     environment, asset_id, correlation_id, parent_event_id, trace_id, payload::text, metadata::text, created_at, \
     batch_id, batch_seq FROM events";

impl Reads {
    /// One page of events, newest first.
    pub async fn events(&self, query: &EventsQuery) -> Result<Page<Event>, ReadError> {
        let scope = Scope::new(&query.tenant_id, &format!("events {}", query.filter.describe()));
        let mut sql = Sql::new(SELECT);
        sql.push_where(&query.tenant_id, &query.filter);
        if let Some(cursor) = &query.cursor {
            let [timestamp_us, batch_id, batch_seq] = scope.decode(cursor)?;
            let at = Timestamp::from_microsecond(timestamp_us).map_err(|_| super::CursorError::Malformed)?;
            // The first condition excludes chunks, the second is exact.
            sql.push(" AND timestamp <= ").bind(at, Type::TIMESTAMPTZ);
            sql.push(" AND (timestamp, batch_id, batch_seq::bigint) < (").bind(at, Type::TIMESTAMPTZ);
            sql.push(", ").bind(batch_id, Type::INT8).push(", ").bind(batch_seq, Type::INT8).push(")");
        }
        let limit = i64::try_from(query.limit + 1).unwrap_or(i64::MAX);
        sql.push(" ORDER BY timestamp DESC, batch_id DESC, batch_seq DESC LIMIT ").bind(limit, Type::INT8);
        let (rows, cut) = self.rows(&sql).await?;
        let more = cut || rows.len() > query.limit;
        let items = rows.iter().take(query.limit).map(event).collect::<Result<Vec<_>, _>>()?;
        let next_cursor = items
            .last()
            .filter(|_| more)
            .map(|last| scope.encode([last.timestamp.as_microsecond(), last.position.0, i64::from(last.position.1)]));
        Ok(Page { items, next_cursor })
    }

    /// The newest event of a tenant with this id.
    pub async fn event(&self, tenant_id: &str, id: Uuid) -> Result<Option<Event>, ReadError> {
        let mut sql = Sql::new(SELECT);
        sql.push_where(tenant_id, &Filter::default());
        sql.push(" AND id = ").bind(id, Type::UUID).push(" ORDER BY timestamp DESC LIMIT 1");
        let (rows, _) = self.rows(&sql).await?;
        rows.first().map(event).transpose()
    }
}

fn event(row: &Row) -> Result<Event, ReadError> {
    Ok(Event {
        id: row.get(0),
        timestamp: row.get(1),
        tenant_id: row.get(2),
        stream: row.get(3),
        source_module: row.get(4),
        event_type: row.get(5),
        event_version: row.get(6),
        severity: row.get(7),
        environment: row.get(8),
        asset_id: row.get(9),
        correlation_id: row.get(10),
        parent_event_id: row.get(11),
        trace_id: row.get(12),
        payload: raw(row.get(13))?,
        metadata: row.get::<_, Option<String>>(14).map(raw).transpose()?,
        created_at: row.get(15),
        position: (row.get(16), row.get(17)),
    })
}

fn raw(text: String) -> Result<Box<RawValue>, StorageError> {
    RawValue::from_string(text).map_err(|error| StorageError::fatal(format!("jsonb that is no JSON: {error}")))
}
