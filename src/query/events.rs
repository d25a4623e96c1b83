//! GET /v1/events and /v1/events/{id}.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::cursor::{CursorError, Scope};
use super::filter::{Filter, Sql};
use super::windows::{Density, Window};
use super::{Listing, Page, ReadError, Reads};
use crate::limits::UUID_TIME_SKEW;
use crate::storage::StorageError;

/// An event as it is read back; payload and metadata are PostgreSQL's own text, so that numbers are exact.
#[derive(Debug, Serialize)]
pub struct Event {
    pub id: Uuid,
    pub timestamp: Timestamp,
    pub tenant_id: String,
    pub stream: String,
    pub source_module: String,
    pub event_type: String,
    /// Version of the payload's form.
    pub event_version: i32,
    /// How bad it is.
    pub severity: String,
    pub environment: String,
    /// What it happened to.
    pub asset_id: Option<String>,
    pub correlation_id: Option<Uuid>,
    pub parent_event_id: Option<Uuid>,
    pub trace_id: Option<String>,
    pub payload: Box<RawValue>,
    pub metadata: Option<Box<RawValue>>,
    /// When Tidegate received it.
    pub created_at: Timestamp,
    #[serde(skip)]
    position: (i64, i32),
}

/// Which events, how many, and where to go on.
#[derive(Debug, Clone)]
pub struct EventsQuery {
    pub tenant_id: String,
    pub filter: Filter,
    /// Rows of the page.
    pub limit: usize,
    /// Where the page starts.
    pub cursor: Option<String>,
}

/// The columns that [`event`] reads.
pub(super) const SELECT: &str = "SELECT id, timestamp, tenant_id, stream, source_module, event_type, event_version, severity, \
     environment, asset_id, correlation_id, parent_event_id, trace_id, payload::text, metadata::text, created_at, \
     batch_id, batch_seq FROM events";

impl Listing for EventsQuery {
    type Item = Event;

    fn turn_to(&mut self, limit: usize, cursor: Option<String>) {
        self.limit = limit;
        self.cursor = cursor.or(self.cursor.take());
    }

    async fn page(&self, reads: &Reads) -> Result<Page<Event>, ReadError> {
        reads.events(self).await
    }
}

impl Reads {
    /// One page of events, newest first.
    pub async fn events(&self, query: &EventsQuery) -> Result<Page<Event>, ReadError> {
        let scope = Scope::new(&query.tenant_id, &format!("events {}", query.filter.describe()));
        let after = query.cursor.as_ref().map(|cursor| scope.decode(cursor)).transpose()?;
        let after = after.map(Position::new).transpose()?;
        let filter = &query.filter;
        let whole = Window { from: filter.from, to: Position::bound(after.as_ref(), filter.to) };
        let density = if filter.is_selective() { Density::Few } else { Density::Many };
        let found = self
            .newest(whole.pieces(Timestamp::now(), density), query.limit, |window, limit| {
                let mut sql = Sql::new(SELECT);
                sql.push_where(&query.tenant_id, &filter.within(window));
                if let Some(after) = &after {
                    after.push(&mut sql);
                }
                sql.push(" ORDER BY timestamp DESC, batch_id DESC, batch_seq DESC LIMIT ").bind(limit, Type::INT8);
                sql
            })
            .await?;
        let cursor =
            |last: &Event| scope.encode([last.timestamp.as_microsecond(), last.position.0, i64::from(last.position.1)]);
        Page::of(found, query.limit, event, cursor)
    }

    /// The event of a tenant with this id. Where several have it: one whose timestamp is within a day of the time that the
    /// id itself tells (UUIDv7), else the newest.
    pub async fn event(&self, tenant_id: &str, id: Uuid) -> Result<Option<Event>, ReadError> {
        let now = Timestamp::now();
        let everything = Window { from: None, to: None };
        let told = time_of(id).and_then(|at| Window::around(at, UUID_TIME_SKEW));
        let windows = told.into_iter().chain(everything.pieces(now, Density::Few));
        let found = self
            .newest(windows, 0, |window, _| {
                let mut sql = Sql::new(SELECT);
                sql.push_where(tenant_id, &Filter::default().within(window));
                sql.push(" AND id = ").bind(id, Type::UUID).push(" ORDER BY timestamp DESC LIMIT 1");
                sql
            })
            .await?;
        found.rows.first().map(event).transpose()
    }
}

/// Where a page of a list by (timestamp, batch_id, batch_seq) starts.
pub(super) struct Position {
    at: Timestamp,
    batch_id: i64,
    batch_seq: i64,
}

impl Position {
    pub(super) fn new([timestamp_us, batch_id, batch_seq]: [i64; 3]) -> Result<Self, CursorError> {
        let at = Timestamp::from_microsecond(timestamp_us).map_err(|_| CursorError::Malformed)?;
        Ok(Self { at, batch_id, batch_seq })
    }

    /// The exclusive end of what is behind a position: what excludes chunks.
    pub(super) fn bound(after: Option<&Self>, to: Option<Timestamp>) -> Option<Timestamp> {
        let behind = after.and_then(|after| after.at.checked_add(SignedDuration::from_micros(1)).ok());
        match (behind, to) {
            (Some(behind), Some(to)) => Some(behind.min(to)),
            (behind, to) => behind.or(to),
        }
    }

    /// The condition that is exact.
    pub(super) fn push(&self, sql: &mut Sql) {
        sql.push(" AND (timestamp, batch_id, batch_seq::bigint) < (").bind(self.at, Type::TIMESTAMPTZ);
        sql.push(", ").bind(self.batch_id, Type::INT8).push(", ").bind(self.batch_seq, Type::INT8).push(")");
    }
}

/// The time in a UUIDv7.
fn time_of(id: Uuid) -> Option<Timestamp> {
    let (seconds, nanoseconds) = id.get_timestamp().filter(|_| id.get_version_num() == 7)?.to_unix();
    Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanoseconds).ok()?).ok()
}

pub(super) fn event(row: &Row) -> Result<Event, ReadError> {
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

pub(super) fn raw(text: String) -> Result<Box<RawValue>, StorageError> {
    RawValue::from_string(text).map_err(|error| StorageError::fatal(format!("jsonb that is no JSON: {error}")))
}
