//! Dead letters of the stage `project`: events that are stored, and that a projection cannot take.

use deadpool_postgres::Object;
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::look::{Following, FoundEvent};
use crate::projections::Unfit;
use crate::storage::StorageError;

/// Namespace of the ids of such letters: an event that is looked at again makes no second one.
const NAMESPACE: Uuid = Uuid::from_u128(0x2f94_1c0e_77b5_4d0a_b1d3_90ce_3a52_86f7);

/// Keeps letters in the transaction that passes their events, as many of a tenant and day as `bytes_max` allows; how many were.
pub async fn keep(
    client: &Object,
    of: Following<'_>,
    unfit: &[(FoundEvent, Unfit)],
    bytes_max: i64,
) -> Result<u64, StorageError> {
    if unfit.is_empty() {
        return Ok(0);
    }
    let projection = of.projection.name;
    let id = |event: &FoundEvent| {
        let place = [projection, of.tenant_id, of.stream, &event.offset.to_string()].join("\0");
        Uuid::new_v5(&NAMESPACE, place.as_bytes())
    };
    let ids: Vec<Uuid> = unfit.iter().map(|(event, _)| id(event)).collect();
    let codes: Vec<&str> = unfit.iter().map(|(_, why)| why.code).collect();
    let reason = |why: &Unfit| format!("the event is stored; {projection} cannot take it: {}", why.reason);
    let reasons: Vec<String> = unfit.iter().map(|(_, why)| reason(why)).collect();
    let raw: Vec<Vec<u8>> =
        unfit.iter().map(|(event, _)| serde_json::to_vec(event).expect("events are JSON")).collect();
    let parameters: Vec<String> = unfit
        .iter()
        .map(|(event, _)| json!({"projection": projection, "stream": of.stream, "offset": event.offset}).to_string())
        .collect();
    let event_ids: Vec<Uuid> = unfit.iter().map(|(event, _)| event.id).collect();
    let keys: Vec<Uuid> = unfit.iter().map(|(event, _)| event.api_key_id.unwrap_or_default()).collect();
    let received: Vec<Timestamp> = unfit.iter().map(|(event, _)| event.created_at).collect();
    let keep = client.prepare_cached(include_str!("../../sql/queries/projection_letters.sql")).await?;
    let kept = client
        .query_one(
            &keep,
            &[&of.tenant_id, &ids, &codes, &reasons, &raw, &parameters, &event_ids, &keys, &received, &bytes_max],
        )
        .await?;
    Ok(kept.get::<_, i64>(0).unsigned_abs())
}
