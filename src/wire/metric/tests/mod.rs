//! Behaviour of the whole pipeline, seen from its public functions.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod dimensions;
mod forms;
mod refusals;

use uuid::Uuid;

use super::*;
use crate::limits::MIB;
use crate::wire::item::tuple::Row;
use crate::wire::item::{BodyError, BodyForm, Code, Decoded, ItemContext, Rejection, StoredJson, TimeBounds};

const RECEIVED_AT_US: i64 = 1_763_683_200_000_000;
const DAY_US: i64 = 86_400_000_000;

fn origin() -> ItemContext<'static> {
    ItemContext {
        tenant_id: "acme",
        api_key_id: Uuid::from_u128(0xa11ce),
        receipt: Uuid::from_u128(0x5ec1e7),
        received_at_us: RECEIVED_AT_US,
        bounds: TimeBounds { oldest_us: RECEIVED_AT_US - 89 * DAY_US, newest_us: RECEIVED_AT_US + 7 * DAY_US },
        item_bytes_max: 16 * MIB,
        stored_json: StoredJson::Jsonb,
        projections: |_| 0,
    }
}

fn decode_as(body: impl AsRef<[u8]>, form: BodyForm) -> Result<Decoded, BodyError> {
    Decoder::new().decode(body.as_ref(), form, &origin())
}

fn decode(body: impl AsRef<[u8]>) -> Decoded {
    decode_as(body, BodyForm::Json).expect("the body holds JSON")
}

/// A metric of the required names and `more`, which begins with a comma or is empty.
fn metric(more: &str) -> String {
    format!(r#"{{"asset_id":"gpt-4","metric_name":"latency"{more}}}"#)
}

impl Row {
    fn dimensions(&self) -> Option<&str> {
        (!self.is_null("dimensions")).then(|| self.json("dimensions"))
    }

    /// count, sum, min, max, m2
    fn numbers(&self) -> (i64, Option<f64>, Option<f64>, Option<f64>, Option<f64>) {
        let double = |name| self.double(name);
        (self.int("value_count"), double("value_sum"), double("value_min"), double("value_max"), double("value_m2"))
    }
}

/// The rows of a body of one good item.
fn rows_of(body: impl AsRef<[u8]>) -> Vec<Row> {
    let decoded = decode(body);
    assert_eq!((&decoded.rejected[..], decoded.items, decoded.accepted()), (&[][..], 1, 1), "nothing is rejected");
    Row::all(COPY_COLUMNS, &decoded)
}

/// The one row of a body of one good item.
fn row(body: impl AsRef<[u8]>) -> Row {
    let mut rows = rows_of(body);
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

/// The rejection of a body of one bad item.
fn rejection(body: impl AsRef<[u8]>) -> Rejection {
    let decoded = decode(body.as_ref());
    let text = String::from_utf8_lossy(body.as_ref());
    assert_eq!((decoded.rows.rows.len(), decoded.rejected.len(), decoded.items), (0, 1, 1), "{text}");
    assert!(decoded.rows.bytes.is_empty(), "a rejected item leaves no bytes");
    decoded.rejected.into_iter().next().unwrap().rejection
}

/// The code of a metric with the required names and `more`.
fn code(more: &str) -> Code {
    rejection(metric(more)).code
}
