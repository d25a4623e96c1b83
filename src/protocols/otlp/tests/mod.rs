//! OTLP, from a body to rows, and from what became of it to an answer.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod answers;
mod bodies;
mod in_json;
mod logs;
mod over_grpc;
mod traces;
mod values;

use serde_json::Value;
use uuid::Uuid;

use super::*;
use crate::limits::MIB;
use crate::protocols::Converted;
use crate::wire::event::{Decoder, Defaults};
use crate::wire::item::{BodyForm, Decoded, ItemContext, StoredJson, TimeBounds};

/// A second in 2025, and what a request is received at.
const TIME_NS: u64 = 1_763_683_200_000_000_000;
const RECEIVED_AT_US: i64 = 1_763_683_200_000_000;
const DAY_US: i64 = 86_400_000_000;

fn converted(signal: Signal, form: Form, body: &[u8]) -> Converted {
    let mut into = Converter::new(Box::new(|_| Ok(())));
    convert(signal, form, body, &mut into);
    into.finish(Bytes::copy_from_slice(body)).unwrap()
}

/// The items; null for those that are broken.
fn items(converted: &Converted) -> Vec<Value> {
    let lines = converted.items.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| if line == b"0" { Value::Null } else { serde_json::from_slice(line).unwrap() }).collect()
}

fn only(signal: Signal, form: Form, body: &[u8]) -> Value {
    let converted = converted(signal, form, body);
    assert_eq!(converted.original.broken, []);
    let mut items = items(&converted);
    assert_eq!((items.len(), converted.original.places.len()), (1, 1));
    items.remove(0)
}

/// As requests' items are decoded.
fn decoded(converted: &Converted) -> Decoded {
    let origin = ItemContext {
        tenant_id: "acme",
        api_key_id: Uuid::from_u128(1),
        receipt: Uuid::from_u128(2),
        received_at_us: RECEIVED_AT_US,
        bounds: TimeBounds { oldest_us: RECEIVED_AT_US - 365 * DAY_US, newest_us: RECEIVED_AT_US + 7 * DAY_US },
        item_bytes_max: 16 * MIB,
        stored_json: StoredJson::Jsonb,
        projections: |_| 0,
    };
    Decoder::new().decode(&converted.items, BodyForm::Converted, &Defaults::default(), &origin).unwrap()
}
