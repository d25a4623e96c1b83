//! An event as it is read back, and GET /v1/events/{id}.

use jiff::Timestamp;
use serde_json::value::RawValue;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::columns::{StoredRow, columns};
use super::error::ReadError;
use super::lookup::EventName;
use super::metadata::Metadata;
use super::reads::Reads;
use super::sql::Sql;

columns! {
    /// An event as it is read back; payload and metadata are PostgreSQL's own text, so that numbers are exact.
    pub struct Event from "events" {
        pub id: Uuid,
        pub timestamp: Timestamp,
        pub tenant_id: String,
        pub stream: String,
        pub source_module: String,
        pub event_type: String,
        pub event_version: i32,
        pub severity: String,
        pub environment: String,
        pub asset_id: Option<String>,
        pub correlation_id: Option<Uuid>,
        pub parent_event_id: Option<Uuid>,
        pub trace_id: Option<String>,
        /// Null, as is `metadata`, where they are too large for a page, or for a list of related events.
        pub payload: Option<Json<Box<RawValue>>>,
        pub metadata: Metadata = "ROW(metadata, api_key_id, receipt, created_at)",
        pub created_at: Timestamp,
        /// The version of its stream's schema that judged it.
        pub schema_version: Option<i32>,
    }
}

impl Reads {
    /// The event of a tenant that is called so.
    pub async fn event(&self, tenant_id: &str, name: &EventName) -> Result<Event, ReadError> {
        let found = self.event_named(&Event::listed(""), tenant_id, name).await?;
        let listed = found.ok_or(ReadError::NotFound("event"))?;
        let (event, large) = (Event::read(&listed)?, listed.try_get::<_, i64>("large")?);
        if large == 0 {
            return Ok(event);
        }
        let mut sql = Sql::of_tenant(&Event::select(""), tenant_id);
        sql.push(" AND timestamp = ").bind(event.timestamp).push(" AND id = ").bind(event.id).push_limit(1);
        let whole = self.rows_of(&sql, usize::try_from(large).unwrap_or(usize::MAX)).await?.pop();
        whole.as_ref().map_or(Err(ReadError::NotFound("event")), Event::read)
    }
}

impl Event {
    /// The select of rows without their values that are too large to be listed.
    pub(super) fn listed(more: &str) -> String {
        Self::select_listed(&["payload", "metadata"], more)
    }
}
