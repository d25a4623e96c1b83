//! Behaviour of the whole pipeline, seen from its public functions. Rows are read back by a tuple parser that shares no
//! code with the encoder.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod dimensions;
mod forms;
mod refusals;

use std::collections::HashMap;

use uuid::Uuid;

use super::*;
use crate::limits::MIB;
use crate::wire::item::{BodyError, BodyForm, Code, Decoded, Origin, Rejection, TimeBounds};

const RECEIVED_AT_US: i64 = 1_763_683_200_000_000;
const DAY_US: i64 = 86_400_000_000;

fn origin() -> Origin<'static> {
    Origin {
        tenant_id: "acme",
        api_key_id: Uuid::from_u128(0xa11ce),
        receipt: Uuid::from_u128(0x5ec1e7),
        received_at_us: RECEIVED_AT_US,
        bounds: TimeBounds { oldest_us: RECEIVED_AT_US - 89 * DAY_US, newest_us: RECEIVED_AT_US + 7 * DAY_US },
        item_bytes_max: 16 * MIB,
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

/// The columns of one row, by name.
struct Row(HashMap<&'static str, Option<Vec<u8>>>);

impl Row {
    fn parse(tuple: &[u8]) -> Self {
        let names: Vec<&str> = COPY_COLUMNS.split(", ").collect();
        assert_eq!(names.len(), usize::try_from(COPY_COLUMN_COUNT).unwrap());
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

    fn text(&self, name: &str) -> &str {
        std::str::from_utf8(self.bytes(name)).unwrap()
    }

    fn int(&self, name: &str) -> i64 {
        i64::from_be_bytes(self.bytes(name).try_into().unwrap())
    }

    fn double(&self, name: &str) -> Option<f64> {
        self.0[name].as_deref().map(|bytes| f64::from_be_bytes(bytes.try_into().unwrap()))
    }

    /// Unix microseconds.
    fn time(&self, name: &str) -> i64 {
        self.int(name) + 946_684_800_000_000
    }

    fn dimensions(&self) -> Option<&str> {
        let (version, text) = self.0["dimensions"].as_deref()?.split_first().unwrap();
        assert_eq!(*version, 1, "jsonb version");
        Some(std::str::from_utf8(text).unwrap())
    }

    /// count, sum, min, max, sumsq
    fn numbers(&self) -> (i64, Option<f64>, Option<f64>, Option<f64>, Option<f64>) {
        let double = |name| self.double(name);
        (self.int("value_count"), double("value_sum"), double("value_min"), double("value_max"), double("value_sumsq"))
    }
}

fn rows(decoded: &Decoded) -> Vec<Row> {
    let rows = &decoded.rows;
    let mut end = 0;
    for row in &rows.rows {
        assert_eq!(row.bytes.start, end, "tuples are back to back");
        end = row.bytes.end;
    }
    assert_eq!(end as usize, rows.bytes.len());
    rows.rows.iter().map(|row| Row::parse(&rows.bytes[row.bytes.start as usize..row.bytes.end as usize])).collect()
}

/// The rows of a body of one good item.
fn rows_of(body: impl AsRef<[u8]>) -> Vec<Row> {
    let decoded = decode(body);
    assert_eq!((&decoded.rejected[..], decoded.items, decoded.accepted()), (&[][..], 1, 1), "nothing is rejected");
    rows(&decoded)
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
