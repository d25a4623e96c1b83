//! Properties that hold for any input.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::wire::event::fields::Field;
use crate::wire::item::scan::{Scanner, Shape};

fn forms() -> impl Strategy<Value = BodyForm> {
    prop_oneof![
        Just(BodyForm::Json),
        Just(BodyForm::Ndjson),
        Just(BodyForm::CloudEvent),
        Just(BodyForm::CloudEventBatch)
    ]
}

/// Text that is JSON more often than chance would have it.
fn almost_json() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"", "\\", " ", "\n", "0", "-", "1.5e3", "1e9999", "true", "null", "\"a\"",
            "\"event_type\":\"e\"", "\"source\":\"s\"", "\"payload\":{}", "\"context\":{", "\"metadata\":{", "\\u0000",
            "\\ud800", "\\u0061", "\"\\\"\"", "é", "{}", "[]", "{\"a\":1}", "\"id\":\"x\"", ",", "\"k\":",
        ]).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..4),
    ];
    vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// JSON text with numbers, escapes and spaces that a value model would not keep.
fn json_text() -> impl Strategy<Value = String> {
    let number = "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?";
    let string = r#""([ !#-\[\]-~é☃😀]|\\["\\/bfnrt]|\\u[1-9a-c][0-9A-F]{3}|\\ud83d\\ude0[0-9])*""#;
    let leaf = prop_oneof![number, string, Just("true".to_owned()), Just("false".to_owned()), Just("null".to_owned())];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            (vec(inner.clone(), 0..8), "[ \n\t\r]{0,2}")
                .prop_map(|(items, space)| { format!("[{space}{}{space}]", items.join(&format!("{space},{space}"))) }),
            (vec(inner, 0..8), "[ \n\t\r]{0,2}").prop_map(|(items, space)| object(&items, &space)),
        ]
    })
}

fn object(values: &[String], space: &str) -> String {
    let members = values.iter().enumerate().map(|(n, value)| format!("\"k{n}\"{space}:{space}{value}"));
    format!("{{{space}{}{space}}}", members.collect::<Vec<_>>().join(","))
}

/// Every item is a row or a rejection, in order, and its bytes lie within the body.
fn conserves(body: &[u8], form: BodyForm, wrap: bool) -> Result<(), TestCaseError> {
    let name = wrap.then(|| "w".to_owned());
    let defaults = Defaults { event_type: name.clone(), source_module: name, stream: None, wrap };
    let Ok(decoded) = Decoder::new().decode(body, form, &defaults, &origin()) else { return Ok(()) };
    prop_assert_eq!(decoded.rows.rows.len() + decoded.rejected.len(), decoded.items as usize);
    prop_assert!(decoded.items > 0);
    let rows = decoded.rows.rows.iter().map(|row| (row.item, row.raw.clone()));
    let mut items: Vec<_> = rows.chain(decoded.rejected.iter().map(|item| (item.index, item.raw.clone()))).collect();
    items.sort_by_key(|(index, _)| *index);
    let mut end = 0;
    for (n, (index, raw)) in items.into_iter().enumerate() {
        prop_assert_eq!(n, index as usize);
        prop_assert!(end <= raw.start && raw.start <= raw.end && raw.end as usize <= body.len());
        end = raw.end;
    }
    for row in Row::all(COPY_COLUMNS, &decoded) {
        serde_json::from_str::<serde::de::IgnoredAny>(row.json("payload")).unwrap();
        row.metadata();
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn any_bytes_are_conserved(body in vec(any::<u8>(), 0..200), form in forms(), wrap: bool) {
        conserves(&body, form, wrap)?;
    }

    #[test]
    fn near_json_is_conserved(body in almost_json(), form in forms(), wrap: bool) {
        conserves(&body, form, wrap)?;
    }

    #[test]
    fn one_changed_byte_is_conserved(at in 0usize..400, byte: u8, form in forms()) {
        let good = event(r#","id":"x\n","context":{"asset_id":"a","b":[1.5e3]},"metadata":{"extra":{"c":null}}"#);
        let mut body = format!("[{good}, {good},{good}]").into_bytes();
        let length = body.len();
        body[at % length] = byte;
        conserves(&body, form, false)?;
    }

    #[test]
    fn payloads_are_verbatim(values in vec(json_text(), 0..6), space in "[ \n\t]{0,2}") {
        let payload = object(&values, &space);
        let body = format!(r#"{{"event_type":"e","payload":{payload}{space},"source_module":"s"}}"#);
        let row = row(&body);
        prop_assert_eq!(row.json("payload"), payload);
    }

    #[test]
    fn what_the_scanner_accepts_serde_json_accepts(body in almost_json()) {
        let mut scanner = Scanner::<Field>::new();
        if let Ok(scanned) = scanner.scan(&body, Shape::Envelope, MIB)
            && scanned.poison.is_none_or(|poison| poison.code == Code::NotAnObject)
            && let Ok(text) = std::str::from_utf8(&body[..scanned.end])
        {
            // Depth stays below its recursion limit of 128, as ours is 64.
            let value = serde_json::from_str::<Box<serde_json::value::RawValue>>(text);
            prop_assert!(value.is_ok(), "{} {:?}", text, value);
        }
    }

    #[test]
    fn what_serde_json_accepts_the_scanner_accepts(values in vec(json_text(), 0..4), cut in 0usize..2000, byte: u8) {
        let mut text = object(&values, "").into_bytes();
        let length = text.len();
        text[cut % length] = byte;
        let strict = serde_json::from_slice::<serde::de::IgnoredAny>(&text).is_ok();
        let mut scanner = Scanner::<Field>::new();
        if strict && !text[0].is_ascii_whitespace() {
            let scanned = scanner.scan(&text, Shape::Wrapped, MIB);
            prop_assert!(scanned.is_ok(), "{:?}", String::from_utf8_lossy(&text));
        }
    }
}
