//! What was sent of a dead letter, in the console: as text and as bytes, with the place marked that its reason names.

use serde_json::Value;

use crate::chromium::Page;
use crate::console::{enter_button, fits, follow, open, rows, says, test};
use crate::env::{Env, Test, TestResult};
use crate::samples::{array, event};

pub const TESTS: &[Test] = &[test("the_place_is_marked", the_place_is_marked)];

/// Items, each with its code and what stands at the place that is wrong; "": nothing is marked.
fn cases() -> Vec<(Vec<u8>, &'static str, &'static str)> {
    let with = |members: &str| format!(r#"{{"event_type":"a","source_module":"日本",{members}}}"#).into_bytes();
    let of_payload = |payload: &str| with(&format!(r#""payload":{payload}"#));
    let key = format!("tg_{}_{}", "a".repeat(32), "b".repeat(72));
    let mut not_text = of_payload(r#"{"x":"?"}"#);
    let place = not_text.iter().position(|byte| *byte == b'?').unwrap();
    not_text[place] = 0xff;
    vec![
        (with(r#""payload":{},"timestamp":"yesterday""#), "invalid_timestamp", "\"yesterday\""),
        (with(r#""payload":{},"timestamp":12"#), "out_of_window", "12"),
        (with(r#""payload":{},"asset_id":7"#), "invalid_field", "7"),
        (with(r#""payload":{},"event_version":0"#), "invalid_field", "0"),
        (of_payload(r#"{"é":1,"é":2}"#), "duplicate_key", "\"é\":2"),
        (of_payload(r#""\ud800""#), "lone_surrogate", "\\ud800"),
        (of_payload(r#"{"x":"\u0000"}"#), "payload_nul", "\\u0000"),
        (of_payload(r#"{"x":1e999999}"#), "number_too_large", "1e9"),
        (of_payload(&format!("{}{}", "[".repeat(300), "]".repeat(300))), "too_deep", "["),
        (b"17".to_vec(), "not_an_object", "17"),
        (of_payload("{\"日\" 1}"), "invalid_json", "1}"),
        (not_text, "invalid_utf8", "\u{ff}"),
        // None is named.
        (b"{}".to_vec(), "missing_field", ""),
        // What is kept is not what was sent, and places are others in it.
        (with(&format!(r#""payload":{{"key":"{key}"}},"timestamp":"never""#)), "invalid_timestamp", ""),
        // A sender's own words may name another.
        (with(r#""payload":{},"timestamp":"at byte 3 of the item""#), "invalid_timestamp", ""),
    ]
}

/// What is shown of a letter: its code, the text before the mark and the mark, the marks among the bytes.
fn shown(page: &mut Page, limit: usize) -> Vec<Value> {
    let found = page.value(&format!(
        "api('/v1/dead-letters?limit={limit}').then(async page => {{ const all = []; \
         for (const letter of page.get('data')) {{ \
           await showDetail(letterDetail(letter)); \
           const mark = $('detail').querySelector('pre:not(.hex) mark'), hex = [...$('detail').querySelectorAll('pre.hex mark')]; \
           all.push({{ code: letter.get('code'), at: Number(letter.get('item_index').text), reason: letter.get('reason'), \
             before: mark && mark.previousSibling.textContent, mark: mark && mark.textContent, \
             hex: hex.map(m => m.textContent), line: hex[0]?.parentElement.textContent.split('\\n').length ?? 0 }}); }} \
         return all; }})"
    ));
    serde_json::from_value(found).unwrap()
}

fn the_place_is_marked(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    let cases = cases();
    let good = event(0).into_bytes();
    client.events(array(cases.iter().map(|case| &case.0).chain([&good]))).accepted(1, cases.len() as u64);
    let mut page = open(client);
    follow(&mut page, "#dead");
    rows(&mut page, "dead", cases.len());
    let shown_of = shown(&mut page, 100);
    assert_eq!(shown_of.len(), cases.len());
    for letter in &shown_of {
        let (item, code, wrong) = &cases[usize::try_from(letter["at"].as_u64().unwrap()).unwrap()];
        assert_eq!(letter["code"], *code, "{letter}");
        if wrong.is_empty() {
            assert_eq!((&letter["mark"], letter["hex"].as_array().unwrap().len()), (&Value::Null, 0), "{letter}");
            continue;
        }
        let first = if *code == "invalid_utf8" { 0xff } else { wrong.as_bytes()[0] };
        let hex = &letter["hex"];
        assert_eq!(hex[0], format!("{first:02x}"), "{letter}");
        assert_eq!(hex.as_array().unwrap().len(), 2, "the byte and its character: {letter}");
        // Bytes that are no text are shown as bytes alone.
        let Ok(text) = std::str::from_utf8(item) else { continue };
        assert_eq!(letter["mark"], wrong.chars().next().unwrap().to_string(), "{letter}");
        let before = letter["before"].as_str().unwrap();
        assert!(text.starts_with(before) && text[before.len()..].starts_with(wrong), "{letter}");
    }

    // What ends too early is wrong at its end; a body without an item that is JSON is kept as a whole, with what stands before it.
    let body = "  {\"event_type\":\"sample\"";
    client.events(body.as_bytes()).expect(400);
    let whole = &shown(&mut page, 1)[0];
    assert_eq!((&whole["before"], &whole["mark"]), (&body.into(), &"the end".into()), "{whole}");
    assert_eq!(whole["hex"][0], "the end", "{whole}");
    // Of many bytes those around the place are shown.
    let long = format!(
        r#"{{"event_type":"a","source_module":"b","payload":{{"x":"{}"}},"timestamp":"never"}}"#,
        "y".repeat(9000)
    );
    client.events(array([long, event(1)])).accepted(1, 1);
    let long = &shown(&mut page, 1)[0];
    assert_eq!((&long["mark"], &long["hex"][0], &long["line"]), (&"\"".into(), &"22".into(), &33.into()), "{long}");

    // By keyboard, and the pictures.
    page.value("document.querySelector('#dead-filter').elements.code.value = 'duplicate_key'");
    page.value("document.querySelector('#dead-filter').requestSubmit()");
    rows(&mut page, "dead", 1);
    let time = page.text("#dead tbody button");
    enter_button(&mut page, "#dead", &time);
    says(&mut page, "detail", "byte ");
    page.value("document.querySelector('#detail summary').focus()");
    page.press("Enter");
    page.until("document.querySelector('#detail pre.hex').checkVisibility()");
    fits(&mut page, &format!("console-place-{}", env.engine.as_str()));
    page.assert_clean();
    Ok(())
}
