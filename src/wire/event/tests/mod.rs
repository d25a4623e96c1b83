//! Behaviour of the whole pipeline, seen from its public functions. Rows are read back by a tuple parser that shares no
//! code with the encoder.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod cloud_events;
mod codes;
mod fields;
mod ids;
mod metadata;
mod poison;
mod properties;
mod splitting;
mod text;

use std::collections::HashMap;

use uuid::Uuid;

use super::*;
use crate::limits::MIB;
use crate::wire::item::{BodyError, BodyForm, Code, Decoded, Origin, RejectedItem, Rejection, Stage, TimeBounds};

const RECEIVED_AT_US: i64 = 1_763_683_200_000_000;
const DAY_US: i64 = 86_400_000_000;
const TENANT: &str = "acme";
const API_KEY_ID: Uuid = Uuid::from_u128(0xa11ce);
const RECEIPT: Uuid = Uuid::from_u128(0x5ec1e7);

fn origin() -> Origin<'static> {
    Origin {
        tenant_id: TENANT,
        api_key_id: API_KEY_ID,
        receipt: RECEIPT,
        received_at_us: RECEIVED_AT_US,
        bounds: TimeBounds { oldest_us: RECEIVED_AT_US - 365 * DAY_US, newest_us: RECEIVED_AT_US + 7 * DAY_US },
        item_bytes_max: 16 * MIB,
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

/// The columns of one row, by name.
struct Row(HashMap<&'static str, Option<Vec<u8>>>);

impl Row {
    fn parse(tuple: &[u8]) -> Self {
        let names: Vec<&str> = COPY_COLUMNS.split(", ").collect();
        let (count, mut rest) = tuple.split_at(2);
        assert_eq!(usize::from(u16::from_be_bytes(count.try_into().unwrap())), names.len());
        let mut columns = HashMap::new();
        for name in names {
            let (length, after) = rest.split_at(4);
            let length = i32::from_be_bytes(length.try_into().unwrap());
            let value = usize::try_from(length).ok();
            assert!(value.is_some() || length == -1, "length {length} of {name}");
            let (bytes, after) = after.split_at(value.unwrap_or(0));
            columns.insert(name, value.map(|_| bytes.to_vec()));
            rest = after;
        }
        assert_eq!(rest, b"", "bytes behind the last column");
        Self(columns)
    }

    fn bytes(&self, name: &str) -> &[u8] {
        self.0[name].as_deref().unwrap_or_else(|| panic!("{name} is null"))
    }

    fn is_null(&self, name: &str) -> bool {
        self.0[name].is_none()
    }

    fn text(&self, name: &str) -> &str {
        std::str::from_utf8(self.bytes(name)).unwrap()
    }

    fn uuid(&self, name: &str) -> Uuid {
        Uuid::from_slice(self.bytes(name)).unwrap()
    }

    fn int(&self, name: &str) -> i64 {
        let bytes = self.bytes(name);
        match bytes.len() {
            4 => i64::from(i32::from_be_bytes(bytes.try_into().unwrap())),
            _ => i64::from_be_bytes(bytes.try_into().unwrap()),
        }
    }

    /// Unix microseconds.
    fn time(&self, name: &str) -> i64 {
        self.int(name) + 946_684_800_000_000
    }

    fn json(&self, name: &str) -> &str {
        let (version, text) = self.bytes(name).split_first().unwrap();
        assert_eq!(*version, 1, "jsonb version");
        std::str::from_utf8(text).unwrap()
    }

    /// Metadata as a value, without what the server always writes.
    fn metadata(&self) -> serde_json::Value {
        let mut value: serde_json::Value = serde_json::from_str(self.json("metadata")).unwrap();
        let object = value.as_object_mut().unwrap();
        assert_eq!(object.remove("api_key_id"), Some(API_KEY_ID.to_string().into()));
        assert_eq!(object.remove("receipt"), Some(RECEIPT.to_string().into()));
        assert_eq!(object.remove("received_at"), Some("2025-11-21T00:00:00.000000Z".into()));
        value
    }
}

fn rows(decoded: &Decoded) -> Vec<Row> {
    let rows = &decoded.rows;
    let ends = rows.rows.iter().map(|row| row.bytes.end).collect::<Vec<_>>();
    let starts = std::iter::once(0).chain(ends.iter().copied()).take(ends.len()).collect::<Vec<_>>();
    assert_eq!(starts, rows.rows.iter().map(|row| row.bytes.start).collect::<Vec<_>>(), "tuples are back to back");
    assert_eq!(ends.last().copied().unwrap_or(0) as usize, rows.bytes.len());
    rows.rows.iter().map(|row| Row::parse(&rows.bytes[row.bytes.start as usize..row.bytes.end as usize])).collect()
}

/// The one row of a body of one good item.
fn row(body: impl AsRef<[u8]>) -> Row {
    row_of(&decode(body))
}

fn row_of(decoded: &Decoded) -> Row {
    assert_eq!(decoded.rejected, [], "nothing is rejected");
    let mut rows = rows(decoded);
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
