//! GET /v1/correlations: pairs of events that belong together.

use jiff::Timestamp;
use serde_json::value::RawValue;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::columns::{StoredRow, columns};
use super::error::ReadError;
use super::levels::before;
use super::listing::{Listing, Page, PageRequest, PageRoom};
use super::lookup::{EventName, key};
use super::newest::{Newest, Order, Piece};
use super::reads::Reads;
use super::sql::Sql;
use super::windows::Window;

columns! {
    pub struct Correlation from "correlations" {
        pub id: Uuid,
        /// The later of the two events' timestamps.
        pub timestamp: Timestamp,
        /// causal, temporal or anomaly.
        pub correlation_type: String,
        pub primary_event_id: Uuid,
        pub related_event_id: Uuid,
        pub primary_timestamp: Timestamp,
        pub related_timestamp: Timestamp,
        pub strength: f64,
        pub confidence: f64,
        pub metadata: Option<Json<Box<RawValue>>>,
        /// Null, like the next three, when that event has expired.
        pub primary_source_module: Option<String> = later,
        pub primary_event_type: Option<String> = later,
        pub related_source_module: Option<String> = later,
        pub related_event_type: Option<String> = later,
    }
}

#[derive(Debug, Clone)]
pub struct CorrelationsQuery {
    pub types: Vec<String>,
    pub min_strength: Option<f64>,
    pub min_confidence: Option<f64>,
    /// Of this event.
    pub event: Option<EventName>,
    /// Without `from`: all that is kept.
    pub window: Window,
}

impl Listing for CorrelationsQuery {
    type Item = Correlation;

    /// By the id that the event is stored under, as its correlations know it; where there are none, it is looked up.
    async fn page(&self, reads: &Reads, request: &PageRequest) -> Result<Page<Correlation>, ReadError> {
        let Some(name) = &self.event else { return self.page_of(reads, request, None).await };
        if name.source_module.is_none() {
            let page = self.page_of(reads, request, Some(name.id)).await?;
            if !page.items.is_empty() {
                return Ok(page);
            }
        }
        let found = reads.event_named("SELECT id, timestamp FROM events", &request.tenant_id, name).await?;
        let id = found.as_ref().map(key).transpose()?.map_or(Uuid::nil(), |(id, _)| id);
        self.page_of(reads, request, Some(id)).await
    }
}

impl CorrelationsQuery {
    /// As many as fit a page once their events are named.
    async fn page_of(
        &self,
        reads: &Reads,
        request: &PageRequest,
        event_id: Option<Uuid>,
    ) -> Result<Page<Correlation>, ReadError> {
        let mut limit = request.limit;
        loop {
            let page = self.named(reads, &PageRequest { limit, ..request.clone() }, event_id).await?;
            let mut room = PageRoom::new();
            if page.items.len() <= 1 || page.items.iter().all(|item| room.take(item)) {
                return Ok(page);
            }
            limit = page.items.len() / 2;
        }
    }

    async fn named(
        &self,
        reads: &Reads,
        request: &PageRequest,
        event_id: Option<Uuid>,
    ) -> Result<Page<Correlation>, ReadError> {
        let Self { types, min_strength, min_confidence, event, window } = self;
        let now = Timestamp::now().as_microsecond();
        let kept_since = Timestamp::from_microsecond(before(now, reads.kept.correlations)).ok();
        let list = Newest {
            what: format!("correlations {types:?} {min_strength:?} {min_confidence:?} {event:?}"),
            order: Order::Id("timestamp"),
            window: Window { from: window.from.or(kept_since), to: window.to },
            // Those of one event are few, and near each other somewhere in all that is kept.
            by_age: event_id.is_some(),
            has_large: false,
        };
        let select = |piece: &Piece| {
            let mut sql = Sql::new("");
            // An index for each of the two columns, and no row from both.
            let sides: &[&str] = match event_id {
                None => &[""],
                Some(_) => &["primary_event_id", "related_event_id"],
            };
            sql.push_union(sides, |sql, side| {
                self.push(sql, &request.tenant_id, event_id.map(|id| (*side, id)), piece)
            });
            sql
        };
        let mut page = list.page(reads, request, select, Correlation::read).await?;
        reads.name_events(&request.tenant_id, &mut page.items).await?;
        Ok(page)
    }

    /// Adds the query for those whose event of one side is the one that is asked about.
    fn push(&self, sql: &mut Sql, tenant_id: &str, of: Option<(&str, Uuid)>, piece: &Piece) {
        sql.push_of_tenant(&Correlation::select(""), tenant_id);
        if let Some((side, event_id)) = of {
            sql.push(&format!(" AND {side} = ")).bind(event_id);
            if side == "related_event_id" {
                sql.push(" AND primary_event_id <> related_event_id");
            }
        }
        sql.push_any_of("correlation_type", &self.types);
        for (column, least) in [("strength", self.min_strength), ("confidence", self.min_confidence)] {
            if let Some(least) = least {
                sql.push(&format!(" AND {column} >= ")).bind(least);
            }
        }
        piece.push(sql);
    }
}

impl Reads {
    /// Enters what the events of correlations are.
    async fn name_events(&self, tenant_id: &str, items: &mut [Correlation]) -> Result<(), ReadError> {
        let keys = items.iter().flat_map(|item| {
            [(item.primary_event_id, item.primary_timestamp), (item.related_event_id, item.related_timestamp)]
        });
        let select = "SELECT id, timestamp, source_module, event_type FROM events";
        // Four short columns: as many as a page of correlations has are far from filling one.
        let (events, _) = self.events_at(tenant_id, select, keys.collect::<Vec<_>>()).await?;
        for item in items {
            if let Some(row) = events.get(&(item.primary_event_id, item.primary_timestamp)) {
                item.primary_source_module = row.try_get("source_module")?;
                item.primary_event_type = row.try_get("event_type")?;
            }
            if let Some(row) = events.get(&(item.related_event_id, item.related_timestamp)) {
                item.related_source_module = row.try_get("source_module")?;
                item.related_event_type = row.try_get("event_type")?;
            }
        }
        Ok(())
    }
}
