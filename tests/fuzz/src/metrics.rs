//! What must hold of whatever a body of metrics is decoded to, and of each row beside an independent reading by
//! serde_json.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use tidegate::wire::item::{BodyForm, Decoded};
use tidegate::wire::metric::{COPY_COLUMN_COUNT, Decoder};

use crate::decoded::{is_tidy, item};
use crate::origin;
use crate::tuple::columns;

/// A tuple's columns by their place in `COPY_COLUMNS`; None is NULL.
struct Tuple<'a>(Vec<Option<&'a [u8]>>);

const TENANT_ID: usize = 4;
const ASSET_ID: usize = 5;
const METRIC_NAME: usize = 7;
const COUNT: usize = 9;
const SUM: usize = 10;
const MIN: usize = 11;
const MAX: usize = 12;
const M2: usize = 13;
const DIMENSIONS: usize = 14;

impl<'a> Tuple<'a> {
    fn read(bytes: &'a [u8]) -> Self {
        let tuple = Self(columns(bytes, COPY_COLUMN_COUNT));
        assert!(tuple.0[..MIN].iter().all(Option::is_some), "a column that is NULL");
        tuple
    }

    fn text(&self, column: usize) -> &'a str {
        let text = std::str::from_utf8(self.0[column].expect("not NULL")).expect("text is UTF-8");
        assert!(!text.contains('\0'), "NUL in column {column}");
        text
    }

    fn double(&self, column: usize) -> Option<f64> {
        self.0[column].map(|bytes| f64::from_be_bytes(bytes.try_into().expect("eight bytes")))
    }
}

/// Decodes an input, whose first byte chooses the form; panics when an invariant does not hold.
pub fn check(input: &[u8]) {
    let Some((&choice, body)) = input.split_first() else { return };
    let form = if choice & 1 == 0 { BodyForm::Json } else { BodyForm::Ndjson };
    let Ok(decoded) = Decoder::new().decode(body, form, &origin()) else { return };
    conserves(&decoded);
    for row in &decoded.rows.rows {
        let tuple = Tuple::read(&decoded.rows.bytes[row.bytes.start as usize..row.bytes.end as usize]);
        assert_eq!(tuple.text(TENANT_ID), "acme");
        beside_serde(&tuple, item(row, body));
    }
}

/// Every item is rejected or has rows of its own, in order.
fn conserves(decoded: &Decoded) {
    let mut items: Vec<u32> = decoded.rows.rows.iter().map(|row| row.item).collect();
    assert!(items.is_sorted());
    items.dedup();
    items.extend(decoded.rejected.iter().map(|item| item.index));
    items.sort_unstable();
    assert!(items.into_iter().eq(0..decoded.items), "an item is in neither account, or in both");
    is_tidy(decoded);
}

/// Reads the item a second time, by other means.
fn beside_serde(tuple: &Tuple<'_>, raw: &str) {
    let members: BTreeMap<String, &RawValue> =
        serde_json::from_str(raw).unwrap_or_else(|error| panic!("{error}: {raw}"));
    let given = |names: &[&str]| {
        names.iter().find_map(|name| members.get(*name).map(|value| value.get()).filter(|value| *value != "null"))
    };
    for (names, column) in [(&["asset_id"][..], ASSET_ID), (&["metric_name", "name"][..], METRIC_NAME)] {
        let text: String = serde_json::from_str(given(names).expect("required")).expect("a string");
        assert_eq!(tuple.text(column), text, "{names:?}");
    }
    let count = i64::from_be_bytes(tuple.0[COUNT].expect("not NULL").try_into().expect("eight bytes"));
    let sum = tuple.double(SUM).expect("not NULL");
    assert!(count >= 1 && sum.abs() <= 1e140 && (sum != 0.0 || sum.is_sign_positive()), "{raw}");
    // A number is stored as the nearest double or not at all; all that reads as its text reads as that double.
    let number = |text: &str| text.trim().parse::<f64>().expect("a number");
    match (given(&["value"]), given(&["values"])) {
        (Some(value), _) => assert!(count == 1 && sum == number(value), "{raw}"),
        (None, Some(values)) => {
            let values: Vec<&RawValue> = serde_json::from_str(values).expect("an array");
            assert!(count == 1 && values.iter().any(|value| sum == number(value.get())), "{raw}");
        }
        (None, None) => assert_eq!(sum, number(given(&["sum"]).expect("a summary has a sum")), "{raw}"),
    }
    let (min, max, m2) = (tuple.double(MIN), tuple.double(MAX), tuple.double(M2));
    assert_eq!((min.is_some(), max.is_some()), (count > 1, count > 1), "{raw}");
    assert!(min <= max && m2.is_none_or(|m2| count > 1 && (0.0..=1e280).contains(&m2)), "{raw}");
    let Some(bytes) = tuple.0[DIMENSIONS] else { return assert_eq!(given(&["dimensions"]), None) };
    let (version, text) = bytes.split_first().expect("jsonb has a version");
    let text = std::str::from_utf8(text).expect("jsonb is UTF-8");
    assert!(*version == 1 && text.starts_with('{') && text.ends_with('}'), "{text}");
    serde_json::from_str::<&RawValue>(text).unwrap_or_else(|error| panic!("{error}: {text}"));
}
