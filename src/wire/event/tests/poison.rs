//! One bad item among a thousand costs that item and nothing else.

use super::*;

const ITEMS: usize = 1000;
const BAD: usize = 411;

/// A body whose item 411 is `bad`, and its other items.
fn body(bad: &[u8], separator: &[u8]) -> Vec<u8> {
    let items = (0..ITEMS)
        .map(|n| if n == BAD { bad.to_vec() } else { event(&format!(r#","asset_id":"asset-{n}""#)).into_bytes() });
    items.collect::<Vec<_>>().join(separator)
}

#[test]
fn each_poison_costs_one_item_of_a_thousand() {
    use Code::*;
    let deep = format!(r#","payload":{{"a":{}{}}}"#, "[".repeat(90), "]".repeat(90));
    let text = |more: &str| format!(r#"{{"event_type":"e","source_module":"s"{more}}}"#).into_bytes();
    let with = |more: &str| event(more).into_bytes();
    let mut invalid_utf8 = with(r#","asset_id":"~""#);
    *invalid_utf8.iter_mut().rfind(|byte| **byte == b'~').unwrap() = 0xff;
    for (bad, expected) in [
        (b"{\"a\":1,}".to_vec(), InvalidJson),
        (b"{\"a\":\"\xff\",}".to_vec(), InvalidJson),
        (invalid_utf8, InvalidUtf8),
        (b"[1]".to_vec(), NotAnObject),
        (text(r#","payload":{"k":1,"\u006b":2}"#), DuplicateKey),
        (text(&deep), TooDeep),
        (text(r#","payload":{"k":1e200000}"#), NumberTooLarge),
        (text(r#","payload":{"k":"a\u0000"}"#), PayloadNul),
        (with(r#","metadata":{"k":"a\u0000"}"#), MetadataNul),
        (with(r#","asset_id":"a\u0000""#), FieldNul),
        (text(r#","payload":{"k":"\ud800"}"#), LoneSurrogate),
        (text(""), MissingField),
        (with(r#","severity":1"#), InvalidField),
        (with(&format!(r#","asset_id":"{}""#, "x".repeat(101))), FieldTooLong),
        (with(r#","timestamp":"infinity""#), InvalidTimestamp),
        (with(r#","timestamp":"2001-01-01T00:00:00Z""#), OutOfWindow),
        (with(r#","tenant_id":"other""#), TenantMismatch),
    ] {
        let array = [b"[".as_slice(), &body(&bad, b","), b"]"].concat();
        for (body, form) in [(array, BodyForm::Json), (body(&bad, b"\n"), BodyForm::Ndjson)] {
            let decoded = decode_as(&body, form).unwrap();
            assert_eq!((decoded.items as usize, decoded.rejected.len()), (ITEMS, 1), "{expected:?}");
            let item = &decoded.rejected[0];
            assert_eq!((item.index as usize, item.rejection.code), (BAD, expected));
            assert_eq!(&body[item.raw.start as usize..item.raw.end as usize], bad, "{expected:?}");
            let rows = Row::all(COPY_COLUMNS, &decoded);
            assert_eq!(rows.len(), ITEMS - 1);
            for (row, at) in rows.iter().zip(&decoded.rows.rows) {
                assert_eq!(row.text("asset_id"), format!("asset-{}", at.item));
                assert_eq!(row.uuid("id"), at.id);
            }
        }
    }
}

#[test]
fn of_two_poisons_the_first_is_named() {
    assert_eq!(code(event(r#","x":"\ud800","y":"\u0000""#)), Code::LoneSurrogate);
    assert_eq!(code(event(r#","x":"\u0000","y":"\ud800""#)), Code::MetadataNul);
    let mut body = event(r#","x":"~","y":"\u0000""#).into_bytes();
    *body.iter_mut().find(|byte| **byte == b'~').unwrap() = 0xff;
    assert_eq!(code(&body), Code::InvalidUtf8);
    let mut body = event(r#","x":"\u0000","y":"~""#).into_bytes();
    *body.iter_mut().find(|byte| **byte == b'~').unwrap() = 0xff;
    assert_eq!(code(&body), Code::MetadataNul);
}

#[test]
fn valid_neighbours_of_invalid_utf8_keep_their_text() {
    let good = event(r#","asset_id":"größe""#);
    let body = [b"[".as_slice(), good.as_bytes(), b",{\"a\":\"\xff\"},", good.as_bytes(), b"]"].concat();
    let decoded = decode(&body);
    assert_eq!(decoded.rejected[0].rejection.code, Code::InvalidUtf8);
    assert_eq!(
        Row::all(COPY_COLUMNS, &decoded).iter().map(|row| row.text("asset_id")).collect::<Vec<_>>(),
        ["größe", "größe"]
    );
}
