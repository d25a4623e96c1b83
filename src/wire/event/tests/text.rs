//! Payload text reaches jsonb as it was sent; hostile sizes stay cheap.

use super::*;
use crate::limits::MIB;

#[test]
fn numbers_and_spaces_are_kept_to_the_letter() {
    let payload = "{ \"a\":0.1000,\"b\" : 12345678901234567890.123456789,\n\t\"c\":1e400,\"d\":-0,\"e\":1E+5, \
                   \"f\":123456789012345678901234567890,\"g\":\"\\u00e9\\/é\", \"h\":[ ],\"i\":{ } }";
    let row = row(format!(r#"{{"event_type":"e","source_module":"s","payload":{payload}}}"#));
    assert_eq!(row.json("payload"), payload);
}

#[test]
fn ten_megabytes_of_brackets() {
    let brackets = "[".repeat(10 * MIB);
    for body in [brackets.clone(), format!("{{\"payload\":{brackets}"), "{\"a\":".repeat(2 * MIB)] {
        for form in [BodyForm::Json, BodyForm::Ndjson] {
            assert!(decode_as(&body, form).is_ok_and(|decoded| decoded.not_json));
        }
    }
    let closed = format!("[{},{{\"payload\":{brackets}{}}},{}]", event(""), "]".repeat(10 * MIB), event(""));
    let decoded = decode(&closed);
    assert_eq!((decoded.rows.rows.len(), decoded.rejected.len()), (2, 1));
    assert_eq!((decoded.rejected[0].index, decoded.rejected[0].rejection.code), (1, Code::TooDeep));
}

#[test]
fn an_object_of_a_hundred_thousand_keys() {
    let members = |prefix: &str| (0..100_000).map(|n| format!("\"{prefix}{n:06}{prefix}\":1")).collect::<Vec<_>>();
    // The second kind agrees in length and in its first and last bytes, and so in its hash.
    for prefix in ["", "the same at both ends "] {
        let mut members = members(prefix);
        let item = |members: &[String]| {
            format!(r#"{{"event_type":"e","source_module":"s","payload":{{{}}}}}"#, members.join(","))
        };
        row(item(&members));
        members.push(format!("\"{prefix}07777\\u0037{prefix}\":2"));
        assert_eq!(code(item(&members)), Code::DuplicateKey);
    }
}

#[test]
fn duplicates_are_found_at_every_size_and_never_invented() {
    for count in 1..40 {
        let keys: Vec<String> = (0..count).map(|n| format!("\"k{n}\":{{\"k0\":1,\"k1\":2}}")).collect();
        let item = |keys: &[String]| format!(r#"{{"type":"e","source":"s","data":{{{}}}}}"#, keys.join(","));
        row(item(&keys));
        for repeated in 0..count {
            let mut keys = keys.clone();
            keys.push(format!("\"k{repeated}\":0"));
            assert_eq!(code(item(&keys)), Code::DuplicateKey, "{repeated} of {count}");
        }
    }
    row(
        r#"{"type":"e","source":"s","data":{"":1,"\u0001":2,"a":3,"A":4,"é":5,"e\u0301":6,"12345678":7,"87654321":8}}"#,
    );
}

#[test]
fn a_hundred_thousand_unknown_fields_are_kept() {
    let more: String = (0..100_000).map(|n| format!(",\"u{n}\":{n}")).collect();
    let row = row(event(&more));
    assert_eq!(row.metadata()["extra"].as_object().unwrap().len(), 100_000);
}

#[test]
fn a_decoder_forgets_the_body_before() {
    let mut decoder = Decoder::new();
    let mut decode = |body: &str| decoder.decode(body.as_bytes(), BodyForm::Json, &Defaults::default(), &origin());
    let good = event(r#","stream":"a\\b","metadata":{"extra":1},"context":{"asset_id":"x","y":1},"z":1"#);
    let stripped = |mut decoded: Decoded| {
        decoded.rows.rows.iter_mut().for_each(|row| row.id = Uuid::nil());
        let rows = Row::all(COPY_COLUMNS, &decoded).iter().map(Row::metadata).collect::<Vec<_>>();
        (decoded.rows.rows, decoded.rows.streams, decoded.rejected, rows)
    };
    let first = stripped(decode(&good).unwrap());
    decode(&format!("[{},{{\"a\":[1}},5]", event(r#","stream":"other","metadata":{"receipt":1}"#))).unwrap();
    assert!(decode("nonsense").unwrap().not_json);
    assert_eq!(stripped(decode(&good).unwrap()), first);
}

/// As json it is the text alone; jsonb has a byte for its version in front.
#[test]
fn text_for_columns_of_json_is_the_text_alone() {
    let body = event(r#","metadata":{ "m" :1.0 }"#);
    let as_json = ItemContext { stored_json: StoredJson::Json, ..origin() };
    let decode = |origin: &ItemContext<'_>| {
        Decoder::new()
            .decode(body.as_bytes(), BodyForm::Json, &Defaults::default(), origin)
            .expect("the body holds JSON")
    };
    let (json, jsonb) = (decode(&as_json), decode(&origin()));
    let (json, jsonb) = (Row::all(COPY_COLUMNS, &json).remove(0), Row::all(COPY_COLUMNS, &jsonb).remove(0));
    for (name, text) in [("payload", r#"{"a":1}"#), ("metadata", r#"{"m":1.0}"#)] {
        assert_eq!((json.bytes(name), jsonb.json(name)), (text.as_bytes(), text));
    }
}
