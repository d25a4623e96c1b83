//! Dead letters of the stage `project` replayed: the projection, as it is now, takes the event, or says again why not.

use std::sync::Arc;

use deadpool_postgres::{Object, Pool};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::apart::take;
use super::apply::Target;
use super::begin::{begin, hold};
use super::live::Bounds;
use super::look::{Following, FoundEvent, understand};
use super::statements::Place;
use crate::limits::PROJECTION_REPLAYS_AT_ONCE;
use crate::projections;
use crate::storage::StorageError;

/// Replays letters, a few at a time.
#[derive(Clone)]
pub struct Replays {
    owner: Pool,
    turns: Arc<Semaphore>,
    assets_max: i64,
}

/// What came of a replay.
#[derive(Debug)]
pub enum ReplayedLetter {
    Taken,
    /// Refused again, with code and reason.
    Refused(&'static str, String),
    /// It is no letter that this version can replay.
    Unknown(String),
}

/// What a letter keeps of its event.
#[derive(Deserialize)]
struct KeptEvent<'a> {
    id: Uuid,
    timestamp: Timestamp,
    event_type: String,
    source_module: String,
    severity: String,
    environment: String,
    asset_id: Option<String>,
    correlation_id: Option<Uuid>,
    trace_id: Option<String>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

impl Replays {
    pub fn new(owner: Pool, bounds: Bounds) -> Self {
        Self { owner, turns: Arc::new(Semaphore::new(PROJECTION_REPLAYS_AT_ONCE)), assets_max: bounds.assets }
    }

    /// Replays a letter of a tenant, and notes on it what came of that, at `at`, in the transaction of what it says.
    pub async fn replay(
        &self,
        tenant_id: &str,
        letter: Uuid,
        parameters: &Value,
        raw: &[u8],
        at: Timestamp,
    ) -> Result<ReplayedLetter, StorageError> {
        let unknown =
            |what: &str| Ok(ReplayedLetter::Unknown(format!("its {what} is none that this version of Tidegate knows")));
        let named = parameters["projection"].as_str().and_then(projections::named);
        let Some((projection, bit)) = named else { return unknown("projection") };
        let (Some(stream), Some(offset)) = (parameters["stream"].as_str(), parameters["offset"].as_i64()) else {
            return unknown("place");
        };
        let Ok(kept) = serde_json::from_slice::<KeptEvent<'_>>(raw) else { return unknown("event") };
        let of = Following { projection, bit, tenant_id, stream };
        let understood = understand(of, vec![kept.found(offset)]);
        let _turn = self.turns.acquire().await;
        let client = self.owner.get().await?;
        let mut refused = understood.unfit.first().map(|(_, why)| (why.code, why.reason.clone()));
        let done = async {
            begin(&client).await?;
            hold(&client, projection.name).await?;
            let tables = projection.tables;
            let target = Target { tables, place: Place::Live, tenant_id, shared_rows_max: self.assets_max };
            let taken = take(&client, target, &understood.sayings).await?;
            refused = refused.take().or_else(|| taken.refused.into_values().next().map(|why| (why.code, why.reason)));
            let (code, detail) = refused.as_ref().map(|(code, reason)| (*code, reason.as_str())).unzip();
            let outcome = if refused.is_some() { "failed" } else { "stored" };
            let note = "UPDATE dead_letter_events SET replayed_at = $3, outcome = $4, outcome_code = $5, outcome_detail = $6 \
                        WHERE tenant_id = $1 AND id = $2 AND outcome IS DISTINCT FROM 'stored'";
            client.execute(note, &[&tenant_id, &letter, &at, &outcome, &code, &detail]).await?;
            client.batch_execute("COMMIT").await?;
            Ok(())
        };
        let done: Result<(), StorageError> = done.await;
        if let Err(error) = done {
            // With the transaction that is open on it.
            drop(Object::take(client));
            return Err(error);
        }
        Ok(refused.map_or(ReplayedLetter::Taken, |(code, reason)| ReplayedLetter::Refused(code, reason)))
    }
}

impl KeptEvent<'_> {
    fn found(self, offset: i64) -> FoundEvent {
        let Self {
            id,
            timestamp,
            event_type,
            source_module,
            severity,
            environment,
            asset_id,
            correlation_id,
            trace_id,
            payload,
        } = self;
        FoundEvent {
            id,
            timestamp,
            event_type,
            source_module,
            severity,
            environment,
            asset_id,
            correlation_id,
            trace_id,
            payload: payload.map(RawValue::to_owned),
            offset,
            api_key_id: None,
            created_at: timestamp,
        }
    }
}
