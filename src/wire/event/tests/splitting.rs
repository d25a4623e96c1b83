//! Where items begin and end, above all in broken bodies.

use super::*;
use crate::limits::ITEMS_PER_REQUEST_MAX;

/// Raw text of each item in order, with `None` for rows and the code for rejected ones.
pub(super) fn items(body: &str, form: BodyForm) -> Vec<(String, Option<Code>)> {
    let decoded = decode_as(body, form).unwrap();
    let raw = |range: &std::ops::Range<u32>| body[range.start as usize..range.end as usize].to_owned();
    let mut items: Vec<_> = decoded.rows.rows.iter().map(|row| (row.item, raw(&row.raw), None)).collect();
    items.extend(decoded.rejected.iter().map(|item| (item.index, raw(&item.raw), Some(item.rejection.code))));
    items.sort_by_key(|(index, ..)| *index);
    assert!(items.iter().enumerate().all(|(n, (index, ..))| n == *index as usize), "indexes are dense");
    assert_eq!(items.len(), decoded.items as usize);
    items.into_iter().map(|(_, raw, code)| (raw, code)).collect()
}

pub(super) fn good(item: &str) -> (String, Option<Code>) {
    (item.to_owned(), None)
}

pub(super) fn broken(item: &str) -> (String, Option<Code>) {
    (item.to_owned(), Some(Code::InvalidJson))
}

#[test]
fn well_formed_bodies() {
    let e = event("");
    assert_eq!(items(&e, BodyForm::Json), [good(&e)]);
    assert_eq!(items(&format!(" \r\n\t{e}\n "), BodyForm::Json), [good(&e)]);
    assert_eq!(items(&format!("\u{feff}{e}"), BodyForm::Json), [good(&e)]);
    assert_eq!(items(&format!("\u{feff} [ {e} , {e} ] \n"), BodyForm::Json), [good(&e), good(&e)]);
    assert_eq!(items(&format!("\u{feff}{e}\r\n\r\n  \n {e}\t\n"), BodyForm::Ndjson), [good(&e), good(&e)]);
    assert_eq!(items(&format!("{e}\n5\n{e}"), BodyForm::Ndjson)[1], ("5".to_owned(), Some(Code::NotAnObject)));
}

#[test]
fn bodies_without_items() {
    for form in [BodyForm::Json, BodyForm::Ndjson, BodyForm::CloudEvent, BodyForm::CloudEventBatch] {
        for body in ["", " \r\n\t", "\u{feff}", "\n\n"] {
            assert_eq!(decode_as(body, form), Err(BodyError::Empty), "{form:?} {body:?}");
        }
    }
    assert_eq!(decode_as(" [ ] ", BodyForm::Json), Err(BodyError::Empty));
    assert_eq!(decode_as("[]", BodyForm::CloudEventBatch), Err(BodyError::Empty));
}

#[test]
fn bodies_that_are_not_json() {
    for body in ["hello", "[", "{", "[,]", "[nul]", "{\"a\":}", "<xml/>", "\u{1f}\u{8b}\u{8}", "a=b&c=d"] {
        for form in [BodyForm::Json, BodyForm::Ndjson, BodyForm::CloudEvent] {
            let decoded = decode_as(body, form).expect("one rejected item");
            assert!(decoded.not_json && decoded.rows.rows.is_empty(), "{form:?} {body:?}");
            let [RejectedItem { index: 0, raw, rejection, .. }] = &decoded.rejected[..] else { panic!("{decoded:?}") };
            assert_eq!((raw, decoded.items), (&(0..u32::try_from(body.len()).unwrap()), 1));
            assert_eq!((rejection.code, rejection.stage), (Code::InvalidJson, Stage::Decode));
            assert!(rejection.message.contains("expected"), "{}", rejection.message);
        }
    }
    // Places are of what is kept, which is all of it.
    let message = &decode_as(" [nul]", BodyForm::Json).expect("one rejected item").rejected[0].rejection.message;
    assert!(message.contains("at byte 2 of the item (byte 2 of the body)"), "{message}");
    assert!(decode(b"\xff\xfe\x00").not_json && decode("[] x").not_json);
}

#[test]
fn a_broken_element_costs_only_itself_where_its_end_is_found() {
    let e = event("");
    for bad in [
        r#"{"a":01}"#,
        r#"{"a":1,}"#,
        r#"{"a" 1}"#,
        r#"{a:1}"#,
        r#"{"a":"x\y , ] } \" ["}"#,
        r#"{"a":[1 2, {"b":}]}"#,
        r#"{"a":+1}"#,
        r#"{"a":.5}"#,
        r#"{"a":1.}"#,
        r#"{"a":1e}"#,
        r#"{"a":NaN}"#,
        r#"{"a":truE}"#,
        r#"{"a":"\u12g4"}"#,
        "{\"a\":\"line\nbreak\"}",
        "nul",
        "01",
        "'x'",
        "é",
        "[1,}",
    ] {
        let body = format!("[{e}, {bad} ,{e}]");
        let found = items(&body, BodyForm::Json);
        assert_eq!(found.len(), 3, "{bad}");
        assert_eq!((&found[0], found[1].0.trim_end(), &found[2]), (&good(&e), bad, &good(&e)));
        assert_eq!(found[1].1, Some(Code::InvalidJson), "{bad}");
        let last = items(&format!("[{e},{bad}]"), BodyForm::Json);
        assert_eq!(last, [good(&e), broken(bad)]);
    }
}

#[test]
fn where_no_end_is_found_the_rest_is_one_item() {
    let e = event("");
    for rest in [r#"{"a":"unterminated}, {"b":1}]"#, r#"{"a":[1}, {"b":2}]"#, r#"{"a":1"#, r#"{"a":"\"#] {
        assert_eq!(items(&format!("[{e},{e}, {rest}"), BodyForm::Json), [good(&e), good(&e), broken(rest)]);
    }
}

#[test]
fn what_is_left_open_or_over_is_told() {
    let e = event("");
    let json = |body: String| items(&body, BodyForm::Json);
    assert_eq!(json(format!("[{e}")), [good(&e), broken("")]);
    assert_eq!(json(format!("[{e} \n")), [good(&e), broken(" \n")]);
    assert_eq!(json(format!("[{e}, ")), [good(&e), broken(", ")]);
    assert_eq!(json(format!("[{e}] x")), [good(&e), broken("x")]);
    assert_eq!(json(format!("[{e}]]")), [good(&e), broken("]")]);
    assert_eq!(json(format!("[{e}]}}\n[{e}]")), [good(&e), broken("}"), good(&e)]);
}

#[test]
fn empty_elements_are_items() {
    let e = event("");
    let json = |body: String| items(&body, BodyForm::Json);
    assert_eq!(json(format!("[{e},,{e}]")), [good(&e), broken(","), good(&e)]);
    assert_eq!(json(format!("[{e}, ]")), [good(&e), broken(", ")]);
    assert_eq!(json(format!("[ ,{e}]")), [broken("[ "), good(&e)]);
}

#[test]
fn a_bad_line_costs_that_line() {
    let e = event("");
    for bad in [r#"{"a":"#, "[", "nonsense", r#"{} {}"#, r#"{"a":"x"#, "}"] {
        assert_eq!(items(&format!("{e}\n{bad}\r\n{e}"), BodyForm::Ndjson), [good(&e), broken(bad), good(&e)], "{bad}");
    }
}

#[test]
fn a_line_may_begin_a_document_over_several_lines() {
    let e = event("");
    let pretty = e.replacen('{', "{\n  ", 1).replace(',', ",\n  ");
    let lines = |body: String| items(&body, BodyForm::Ndjson);
    assert_eq!(lines(format!("{e}\n{pretty}\n{pretty}\r\n{e}")), [good(&e), good(&pretty), good(&pretty), good(&e)]);
    assert_eq!(lines(format!("\u{feff}{e}\n\x1e{e}\n\u{feff}{e}")), [good(&e), good(&e), good(&e)]);
    // Not to its end: each line for itself.
    assert_eq!(lines(format!("{{\n{e}\n")), [broken("{"), good(&e)]);
    assert_eq!(lines(format!("{{\"a\":\n{e}\n{e}")), [broken("{\"a\":"), good(&e), good(&e)]);
}

#[test]
fn the_number_of_items_is_limited() {
    let array = |count: usize| format!("[{}0]", "0,".repeat(count - 1));
    let full = decode(array(ITEMS_PER_REQUEST_MAX));
    assert_eq!((full.items as usize, full.rejected.len()), (ITEMS_PER_REQUEST_MAX, ITEMS_PER_REQUEST_MAX));
    let error = BodyError::TooManyItems { max: ITEMS_PER_REQUEST_MAX };
    assert_eq!(decode_as(array(ITEMS_PER_REQUEST_MAX + 1), BodyForm::Json), Err(error));
}

#[test]
fn streams_and_rows_are_numbered() {
    let e = |stream: &str| event(&format!(r#","stream":"{stream}""#));
    let decoded = decode(format!("[{},{},5,{},{}]", e("b"), e("a"), e("b"), event("")));
    assert_eq!(decoded.rows.streams, ["b", "a", "default"]);
    let rows: Vec<_> = decoded.rows.rows.iter().map(|row| (row.item, row.stream)).collect();
    assert_eq!(rows, [(0, 0), (1, 1), (3, 0), (4, 2)]);
}
