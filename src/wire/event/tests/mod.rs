//! Behaviour of the whole pipeline, seen from its public functions.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod cloud_events;
mod codes;
mod documents;
mod fields;
mod ids;
mod masking;
mod metadata;
mod poison;
mod properties;
mod splitting;
mod text;

use uuid::Uuid;

use super::*;
use crate::limits::MIB;
use crate::wire::item::tuple::Row;
use crate::wire::item::{
    BodyError, BodyForm, Code, Decoded, ItemContext, RejectedItem, Rejection, Stage, StoredJson, TimeBounds,
};

const RECEIVED_AT_US: i64 = 1_763_683_200_000_000;
const DAY_US: i64 = 86_400_000_000;
const TENANT: &str = "acme";
const API_KEY_ID: Uuid = Uuid::from_u128(0xa11ce);
const RECEIPT: Uuid = Uuid::from_u128(0x5ec1e7);

fn origin() -> ItemContext<'static> {
    ItemContext {
        tenant_id: TENANT,
        api_key_id: API_KEY_ID,
        receipt: RECEIPT,
        received_at_us: RECEIVED_AT_US,
        bounds: TimeBounds { oldest_us: RECEIVED_AT_US - 365 * DAY_US, newest_us: RECEIVED_AT_US + 7 * DAY_US },
        item_bytes_max: 16 * MIB,
        stored_json: StoredJson::Jsonb,
        projections: |_| 0,
    }
}

fn decode_as(body: impl AsRef<[u8]>, form: BodyForm) -> Result<Decoded, BodyError> {
    Decoder::new().decode(body.as_ref(), form, &Defaults::default(), &origin())
}

fn decode(body: impl AsRef<[u8]>) -> Decoded {
    decode_as(body, BodyForm::Json).expect("the body holds JSON")
}

/// An event of the required fields and `more`, which begins with a comma or is empty.
fn event(more: &str) -> String {
    format!(r#"{{"event_type":"e","source_module":"s","payload":{{"a":1}}{more}}}"#)
}

impl Row {
    /// Metadata as a value; none is null, never an empty object.
    fn metadata(&self) -> serde_json::Value {
        assert_eq!((self.uuid("api_key_id"), self.uuid("receipt")), (API_KEY_ID, RECEIPT));
        let empty = serde_json::json!({});
        if self.is_null("metadata") {
            return empty;
        }
        let value = serde_json::from_str(self.json("metadata")).unwrap();
        assert_ne!(value, empty);
        value
    }
}

/// The one row of a body of one good item.
fn row(body: impl AsRef<[u8]>) -> Row {
    row_of(&decode(body))
}

fn row_of(decoded: &Decoded) -> Row {
    assert_eq!(decoded.rejected, [], "nothing is rejected");
    let mut rows = Row::all(COPY_COLUMNS, decoded);
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

/// The rejection of a body of one bad item.
fn rejection(body: impl AsRef<[u8]>) -> Rejection {
    let decoded = decode(body);
    assert_eq!((decoded.rows.rows.len(), decoded.rejected.len(), decoded.items), (0, 1, 1));
    decoded.rejected.into_iter().next().unwrap().rejection
}

fn code(body: impl AsRef<[u8]>) -> Code {
    rejection(body).code
}
