//! A look into the log of a stream: the next events that a projection takes, and what they say.

use std::sync::Arc;

use deadpool_postgres::Object;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::apply::Saying;
use crate::limits::{PROJECTED_BATCHES, PROJECTED_EVENTS, PROJECTED_LOOK_EVENTS, PROJECTED_PAYLOAD_BYTES_MAX};
use crate::projections::{Origin, Projection, Told, Unfit};
use crate::storage::StorageError;

/// A projection and the stream that it reads.
#[derive(Clone, Copy)]
pub struct Following<'a> {
    pub projection: &'static Projection,
    pub bit: i32,
    pub tenant_id: &'a str,
    pub stream: &'a str,
}

/// Where a projection is in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Everything before it is done with.
    pub committed: i64,
    /// Before it the log does not say which batches concern the projection: all are looked at.
    pub all_before: i64,
}

/// What was found from a position on.
pub struct Look {
    pub events: Vec<FoundEvent>,
    /// Where the next look begins.
    pub next: Position,
    /// Whether there was nothing: the projection has caught up.
    pub is_end: bool,
}

/// An event, in the form that its dead letter keeps.
#[derive(Debug, Serialize)]
pub struct FoundEvent {
    pub id: Uuid,
    pub timestamp: Timestamp,
    pub event_type: String,
    pub source_module: String,
    pub severity: String,
    pub environment: String,
    pub asset_id: Option<String>,
    pub correlation_id: Option<Uuid>,
    pub trace_id: Option<String>,
    /// None where it is too large for any projection.
    pub payload: Option<Box<RawValue>>,
    #[serde(skip)]
    pub offset: i64,
    #[serde(skip)]
    pub api_key_id: Option<Uuid>,
    #[serde(skip)]
    pub created_at: Timestamp,
}

/// What events say, and those that say nothing that can be understood.
#[derive(Default)]
pub struct Understood {
    pub sayings: Vec<Saying>,
    /// Events of which these are.
    pub fit: Vec<FoundEvent>,
    pub unfit: Vec<(FoundEvent, Unfit)>,
}

struct Batch {
    base: i64,
    end: i64,
    batch_id: i64,
    events: i64,
    oldest: Timestamp,
    newest: Timestamp,
}

impl Batch {
    fn read(row: &Row) -> Self {
        let (base, span, events): (i64, i32, i32) = (row.get(0), row.get(1), row.get(3));
        let (oldest, newest) = (row.get(4), row.get(5));
        Self { base, end: base + i64::from(span), batch_id: row.get(2), events: events.into(), oldest, newest }
    }
}

/// The next events from a position on.
pub async fn look(client: &Object, of: Following<'_>, at: Position, with_all: bool) -> Result<Look, StorageError> {
    let reads_all = with_all || at.committed < at.all_before;
    let batches = batches(client, of, at, reads_all, with_all).await?;
    let (Some(first), Some(last)) = (batches.first(), batches.last()) else {
        let is_end = at.committed >= at.all_before;
        return Ok(Look {
            events: Vec::new(),
            next: Position { committed: at.committed.max(at.all_before), ..at },
            is_end,
        });
    };
    let ids: Vec<i64> = batches.iter().map(|batch| batch.batch_id).collect();
    let (lowest, highest) = (ids.iter().min().copied(), ids.iter().max().copied());
    let oldest = batches.iter().map(|batch| batch.oldest).min();
    let newest = batches.iter().map(|batch| batch.newest).max();
    let skipped = i32::try_from(at.committed - first.base).unwrap_or(0).max(0);
    let bytes_max = i32::try_from(PROJECTED_PAYLOAD_BYTES_MAX).unwrap_or(i32::MAX);
    let rows = client
        .query_typed(
            include_str!("../../sql/queries/projected_events.sql"),
            &[
                (&of.tenant_id, Type::TEXT),
                (&oldest, Type::TIMESTAMPTZ),
                (&newest, Type::TIMESTAMPTZ),
                (&lowest, Type::INT8),
                (&highest, Type::INT8),
                (&ids, Type::INT8_ARRAY),
                (&of.projection.type_names(), Type::TEXT_ARRAY),
                (&first.batch_id, Type::INT8),
                (&skipped, Type::INT4),
                (&bytes_max, Type::INT4),
                (&PROJECTED_EVENTS, Type::INT8),
            ],
        )
        .await?;
    let base_of = |batch_id: i64| batches.iter().find(|batch| batch.batch_id == batch_id).map_or(0, |batch| batch.base);
    let events: Vec<FoundEvent> = rows.iter().map(|row| FoundEvent::read(row, base_of(row.get(0)))).collect();
    let is_full = events.len() == usize::try_from(PROJECTED_EVENTS).unwrap_or(usize::MAX);
    let behind = events.last().filter(|_| is_full).map_or(last.end, |event| event.offset + 1);
    Ok(Look { events, next: Position { committed: behind, ..at }, is_end: false })
}

/// The next batches that may hold such events, as many as are looked at at once.
async fn batches(
    client: &Object,
    of: Following<'_>,
    at: Position,
    reads_all: bool,
    with_all: bool,
) -> Result<Vec<Batch>, StorageError> {
    let (sql, until) = if reads_all {
        (include_str!("../../sql/queries/projected_batches_all.sql"), if with_all { i64::MAX } else { at.all_before })
    } else {
        (include_str!("../../sql/queries/projected_batches.sql"), i64::MAX)
    };
    let statement = client.prepare_cached(sql).await?;
    let found = client
        .query(&statement, &[&of.tenant_id, &of.stream, &at.committed, &until, &of.bit, &PROJECTED_BATCHES])
        .await?;
    let (mut taken, mut events) = (Vec::new(), 0);
    for batch in found.iter().map(Batch::read) {
        events += batch.events;
        if !taken.is_empty() && events > PROJECTED_LOOK_EVENTS {
            break;
        }
        taken.push(batch);
    }
    Ok(taken)
}

impl FoundEvent {
    fn read(row: &Row, base: i64) -> Self {
        let (seq, payload): (i32, Option<String>) = (row.get(1), row.get(14));
        Self {
            offset: base + i64::from(seq),
            id: row.get(2),
            timestamp: row.get(3),
            event_type: row.get(4),
            source_module: row.get(5),
            severity: row.get(6),
            environment: row.get(7),
            asset_id: row.get(8),
            correlation_id: row.get(9),
            trace_id: row.get(10),
            api_key_id: row.get(11),
            created_at: row.get(13),
            payload: payload.and_then(|text| RawValue::from_string(text).ok()),
        }
    }
}

/// What events say of a projection's rows.
pub fn understand(of: Following<'_>, events: Vec<FoundEvent>) -> Understood {
    let mut understood = Understood::default();
    let stream: Arc<str> = of.stream.into();
    for event in events {
        match sayings(of, &stream, &event) {
            Ok(sayings) => {
                understood.sayings.extend(sayings);
                understood.fit.push(event);
            }
            Err(unfit) => understood.unfit.push((event, unfit)),
        }
    }
    understood
}

/// What one event says.
fn sayings(of: Following<'_>, stream: &Arc<str>, event: &FoundEvent) -> Result<Vec<Saying>, Unfit> {
    let Some(payload) = &event.payload else {
        let most = PROJECTED_PAYLOAD_BYTES_MAX;
        return Err(Unfit::new(
            "too_long",
            format!("the payload is longer than the {most} bytes that projections read"),
        ));
    };
    let told = Told {
        tenant_id: of.tenant_id,
        event_type: &event.event_type,
        at_us: event.timestamp.as_microsecond(),
        environment: &event.environment,
        asset_id: event.asset_id.as_deref(),
        payload: Told::payload_of(payload.get())?,
    };
    let changes = (of.projection.changes)(&told)?;
    let rank = of.projection.event_type(&event.event_type).map_or(0, |event_type| event_type.rank);
    let stream = Arc::clone(stream);
    let origin = Arc::new(Origin { at_us: told.at_us, rank, id: event.id, stream, offset: event.offset });
    Ok(changes.into_iter().map(|change| Saying { change, origin: Arc::clone(&origin) }).collect())
}
