//! Documents behind each other in one body, as Fluent Bit and others send them.

use proptest::prelude::*;

use super::splitting::{broken, good, items};
use super::*;

#[test]
fn documents_are_items_and_so_are_the_elements_of_arrays() {
    let e = event("");
    for form in [BodyForm::Json, BodyForm::CloudEventBatch] {
        let e = if form == BodyForm::Json { e.clone() } else { cloud_event() };
        for between in ["", " ", "\n", "\r\n", "\n\n\t ", "\x1e", "\n\x1e", "\u{feff}", ",", ",\n"] {
            let all = |body: &str, count: usize| assert_eq!(items(body, form), vec![good(&e); count], "{body:?}");
            all(&format!("{e}{between}{e}{between}{e}{between}"), 3);
            all(&format!("\x1e[{e},{e}]{between}[]{between}[ {e} ]{between}{e}{between}[{e}]\n"), 5);
        }
    }
    let c = cloud_event();
    assert_eq!(items(&format!("{c}\n{c}{c}"), BodyForm::CloudEvent), vec![good(&c); 3]);
}

fn cloud_event() -> String {
    r#"{"specversion":"1.0","id":"1","source":"s","type":"t"}"#.to_owned()
}

#[test]
fn a_broken_document_costs_itself() {
    let e = event("");
    for bad in [
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r#"{"a":"x\q , ] } \" ["}"#,
        r#"{"a":[1 2, {"b":}]}"#,
        "{\n  \"a\": [\n    {\"b\": 01}\n  ]\n}",
        "{\"rows\":[\n{\"a\":1},\n{\"a\":NaN},\n{\"a\":2}\n]}",
    ] {
        for between in ["", " ", "\n", "\x1e"] {
            let body = format!("{bad}{between}{e}{between}{bad}{between}{e}");
            assert_eq!(items(&body, BodyForm::Json), [broken(bad), good(&e), broken(bad), good(&e)], "{body}");
        }
    }
    // Cut off: the lines are the structure, or the separators.
    for bad in [r#"{"a":"#, r#"{"a":1"#, r#"{"a":1,"#, r#"{"a":"x"#, r#"{"a":"x\"#, r#"{"a":{"b":{"#, "{", r#"{"a""#] {
        for between in ["\n", "\r\n", "\n\n", "\n\x1e"] {
            let body = format!("{bad}{between}{e}{between}{e}{between}{bad}{between}{e}");
            let expected = [broken(bad), good(&e), good(&e), broken(bad), good(&e)];
            assert_eq!(items(&body, BodyForm::Json), expected, "{body}");
            let array = format!("[\n{e},\n{bad},{between}{e}\n]");
            assert_eq!(items(&array, BodyForm::Json)[2], good(&e), "{array}");
        }
    }
    for junk in ["hello", "hello {x", "nul", "--", "'a'", "a=b&c=d"] {
        let body = format!("{e}\n{junk}\n{e}\x1e{junk}\x1e{e}");
        assert_eq!(items(&body, BodyForm::Json), [good(&e), broken(junk), good(&e), broken(junk), good(&e)], "{body}");
    }
}

#[test]
fn an_array_that_is_cut_off_ends_where_a_record_begins() {
    let e = event("");
    let json = |body: String| items(&body, BodyForm::Json);
    assert_eq!(json(format!("[{e},{e}\n[{e}]")), [good(&e), good(&e), broken("\n"), good(&e)]);
    assert_eq!(json(format!("[{e}\x1e{e}")), [good(&e), broken(""), good(&e)]);
    assert_eq!(json(format!("[{e},\x1e[{e}]\n{e}")), [good(&e), broken(","), good(&e), good(&e)]);
    assert_eq!(json(format!("[{e},{{\"a\":1\n[{e}]")), [good(&e), broken("{\"a\":1"), good(&e)]);
    // Commas that are missing between elements.
    assert_eq!(json(format!("[{e} {e}\n{e}]{e}")), vec![good(&e); 4]);
    assert_eq!(json(format!("[{e} x, {e}]")), [good(&e), broken("x"), good(&e)]);
    assert_eq!(json(format!("[{e} }}, {e}]")), [good(&e), broken("}"), good(&e)]);
}

#[test]
fn text_that_begins_as_no_json_has_none() {
    let e = event("");
    for body in [
        format!("--b\r\nContent-Type: application/json\r\n\r\n{e}\r\n--b--\r\n"),
        format!("log: {e}"),
        format!("}}\n{e}"),
        format!(",{e}"),
        format!("data: {e}\n\ndata: {e}\n\n"),
    ] {
        let decoded = decode(&body);
        assert!(decoded.not_json && decoded.rows.rows.is_empty(), "{body}");
    }
}

#[test]
fn what_is_broken_on_purpose_is_not_read_again_and_again() {
    // Each of these takes minutes where every broken line is read to the end of the body.
    for line in ["{\"a\":\n", "[\n", "{\"a\":[\n", "[{\"a\":1,},\n", "[{\"a\":1,},", "{\"a\":\"\n", "{\n{", "\x1e{"] {
        let body = line.repeat(400_000 / line.len());
        for form in [BodyForm::Json, BodyForm::Ndjson, BodyForm::CloudEvent] {
            match decode_as(&body, form) {
                Ok(decoded) => assert!(decoded.rows.rows.is_empty(), "{line}"),
                Err(error) => assert!(matches!(error, BodyError::TooManyItems { .. }), "{line}"),
            }
        }
    }
}

proptest! {
    /// Good documents are all taken, whatever is broken between them, as long as each has its lines.
    #[test]
    fn good_lines_are_taken(broken in proptest::collection::vec(proptest::option::of("[^\\x1e\n\\[]{0,12}"), 1..20)) {
        let e = event("");
        let mut body = e.clone();
        let mut count = 1;
        for junk in broken {
            body.push('\n');
            match junk {
                // A line that begins as a document, or as none.
                Some(junk) => body.push_str(&junk),
                None => {
                    body.push_str(&e);
                    count += 1;
                }
            }
        }
        for form in [BodyForm::Json, BodyForm::Ndjson] {
            let found = items(&body, form).into_iter().filter(|item| *item == good(&e)).count();
            prop_assert_eq!(found, count);
        }
    }
}
