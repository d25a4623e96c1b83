use serde_json::json;

use super::bodies::{Message, int, text};
use super::*;
use crate::protocols::convert::Json;
use crate::protocols::otlp::value::{DEPTH_MAX, any_value, key_value, text_of, unique};

fn written(message: &Message) -> Option<String> {
    let mut json = Json::onto(Vec::new());
    any_value(&mut json, &message.0).ok()?;
    String::from_utf8(json.into_text()).ok()
}

fn list(elements: impl IntoIterator<Item = Message>) -> Message {
    Message::new().message(5, elements.into_iter().fold(Message::new(), |list, element| list.message(1, element)))
}

#[test]
fn every_kind_of_value_is_json() {
    let nested = Message::new()
        .message(6, Message::new().attribute(1, "a", list([text("x")])).message(1, Message::new().bytes(1, "b")));
    for (message, expected) in [
        (Message::new(), json!(null)),
        (text(""), json!("")),
        (text("a\"\n"), json!("a\"\n")),
        (Message(vec![0x10, 1]), json!(true)),
        (Message(vec![0x10, 0]), json!(false)),
        (Message(vec![0x18, 0]), json!(0)),
        (int(-1), json!(-1)),
        (int(i64::MIN), json!(i64::MIN)),
        (Message::new().f64(4, 0.25), json!(0.25)),
        (Message::new().f64(4, f64::NAN), json!("NaN")),
        (Message::new().f64(4, f64::NEG_INFINITY), json!("-Infinity")),
        (list([]), json!([])),
        (list([int(1), Message::new(), text("a")]), json!([1, null, "a"])),
        (Message::new().message(6, Message::new()), json!({})),
        (nested, json!({"a": ["x"], "b": null})),
        (Message::new().bytes(7, [0, 255]), json!("AP8=")),
        // Of a oneof the last one counts.
        (text("a").number(3, 2), json!(2)),
        (int(2).bytes(1, "a").number(99, 1), json!("a")),
    ] {
        let text = written(&message).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected, "{text}");
    }
    for wrong in [&b"\x0a\x05a"[..], b"\x08\x01", b"\x22\x01a", b"\x2a\x02\x0a\x05", b"\x32\x02\x0a\x05"] {
        assert_eq!(written(&Message(wrong.to_vec())), None, "{wrong:?}");
    }
}

#[test]
fn nesting_has_an_end() {
    let nested = |levels: usize| (0..levels).fold(int(1), |inner, _| list([inner]));
    assert!(written(&nested(DEPTH_MAX)).is_some());
    assert_eq!(written(&nested(DEPTH_MAX + 1)), None);
    let objects = |levels: usize| {
        (0..levels).fold(int(1), |inner, _| Message::new().message(6, Message::new().attribute(1, "k", inner)))
    };
    assert!(written(&objects(DEPTH_MAX)).is_some());
    assert_eq!(written(&objects(DEPTH_MAX + 1)), None);
    assert_eq!(written(&objects(2000)), None);
    // As deep as a value may be, it is an event in each place where a value may stand.
    let deep = objects(DEPTH_MAX);
    let link = Message::new().attribute(4, "k", deep.clone());
    let span = super::bodies::span().message(13, link).attribute(9, "deep", deep.clone());
    let logs =
        super::bodies::request([super::bodies::log_record().attribute(6, "deep", deep.clone()).message(5, deep)]);
    assert_eq!(super::decoded(&converted(Signal::Logs, Form::Protobuf, &logs)).rejected, []);
    let spans = super::bodies::request([span]);
    assert_eq!(super::decoded(&converted(Signal::Traces, Form::Protobuf, &spans)).rejected, []);
}

#[test]
fn of_equal_keys_the_last_stays_in_short_and_long_lists() {
    for count in [3, 16, 17, 200] {
        let keys: Vec<String> = (0..count).map(|n| format!("k{}", n % (count - 1))).collect();
        let values: Vec<Vec<u8>> = (0..count).map(|n| int(n + 1).0).collect();
        let mut attributes: Vec<_> = keys.iter().zip(&values).map(|(k, v)| (k.as_bytes(), Some(&v[..]))).collect();
        assert_eq!(unique(&mut attributes), 1);
        let left: Vec<_> = attributes.iter().map(|(_, value)| value.unwrap().to_vec()).collect();
        assert_eq!(left, values[1..], "{count}");
    }
    let twice = Message::new().message(6, Message::new().attribute(1, "a", int(1)).attribute(1, "a", int(2)));
    assert_eq!(written(&twice).unwrap(), r#"{"a":2}"#);
}

#[test]
fn keys_and_texts() {
    let pair = Message::new().bytes(1, "k").message(2, text("v")).0;
    let (key, value) = key_value(&pair).unwrap();
    assert_eq!((key, value.and_then(text_of)), (&b"k"[..], Some(&b"v"[..])));
    assert_eq!(key_value(b"").unwrap(), (&b""[..], None));
    assert!(key_value(b"\x08\x01").is_err());
    assert_eq!((text_of(&int(3).0), text_of(b""), text_of(b"\xff")), (None, None, None));
}
