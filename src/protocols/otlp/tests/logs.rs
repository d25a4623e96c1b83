use serde_json::json;

use super::bodies::{Message, SPAN, SPAN_HEX, TRACE, TRACE_HEX, int, log_record, request, resource, text};
use super::*;

fn log(record: Message) -> Value {
    only(Signal::Logs, Form::Protobuf, &request([record]))
}

#[test]
fn a_log_record_is_an_event_with_all_that_was_sent() {
    let expected = json!({
        "event_type": "log",
        "source_module": "checkout",
        "asset_id": "node-1",
        "environment": "staging",
        "timestamp": TIME_NS + 1001,
        "severity": "error",
        "trace_id": TRACE_HEX,
        "payload": {
            "body": "the payment of order 4711 was declined by the bank: card expired (code 54)",
            "attributes": {
                "http.request.method": "POST",
                "http.response.status_code": 402,
                "url.path": "/orders/4711/payment",
                "user.id": "u-12345",
            },
        },
        "metadata": {"otlp": {
            "time_unix_nano": (TIME_NS + 1001).to_string(),
            "observed_time_unix_nano": (TIME_NS + 5_000_000).to_string(),
            "severity_number": 17,
            "severity_text": "ERROR",
            "span_id": SPAN_HEX,
            "flags": 1,
            "resource": {
                "service.name": "checkout",
                "host.name": "node-1",
                "deployment.environment.name": "staging",
                "process.pid": 17,
            },
            "resource_schema_url": "https://s/resource",
            "scope": {
                "name": "my.library",
                "version": "1.0.0",
                "attributes": {"lib": "x"},
                "schema_url": "https://s/scope",
            },
        }},
    });
    assert_eq!(log(log_record()), expected);
}

#[test]
fn an_empty_record_is_an_event_of_the_time_received() {
    let resource = Message::new().message(2, Message::new().message(2, Message::new()));
    let body = Message::new().message(1, resource).0;
    let item = only(Signal::Logs, Form::Protobuf, &body);
    assert_eq!(item, json!({"event_type": "log", "source_module": "unknown_service", "payload": {}}));
    let empty = converted(Signal::Logs, Form::Protobuf, b"");
    assert_eq!((empty.items.len(), empty.original.places.len()), (0, 0));
}

#[test]
fn names_and_times_are_the_first_that_there_are() {
    let named = |record: Message| log(record)["event_type"].as_str().unwrap().to_owned();
    let attribute = || Message::new().attribute(6, "event.name", text("from.attribute"));
    assert_eq!(named(attribute()), "from.attribute");
    assert_eq!(named(attribute().bytes(12, "from.field")), "from.field");
    assert_eq!(named(Message::new().attribute(6, "event.name", int(3))), "log");
    assert_eq!(log(attribute())["payload"]["attributes"]["event.name"], "from.attribute");
    let observed = log(Message::new().fixed64(11, TIME_NS));
    assert_eq!(observed["timestamp"], TIME_NS);
    assert_eq!(observed["metadata"]["otlp"]["observed_time_unix_nano"], TIME_NS.to_string());
    let exact = log(Message::new().fixed64(1, TIME_NS + 1000));
    assert_eq!(exact["metadata"]["otlp"].get("time_unix_nano"), None);

    let asset = |resource: Message| {
        let resource = Message::new().message(1, resource).message(2, Message::new().message(2, Message::new()));
        let item = only(Signal::Logs, Form::Protobuf, &Message::new().message(1, resource).0);
        [&item["source_module"], &item["asset_id"], &item["environment"]]
            .map(|text| text.as_str().unwrap_or("").to_owned())
    };
    let instance = Message::new().attribute(1, "service.instance.id", text("i-1"));
    assert_eq!(asset(instance.clone()), ["unknown_service", "i-1", ""]);
    let old = instance.attribute(1, "deployment.environment", text("dev")).attribute(1, "host.name", text("h"));
    assert_eq!(asset(old), ["unknown_service", "h", "dev"]);
    let none = Message::new().attribute(1, "service.name", text("")).attribute(1, "host.name", int(3));
    assert_eq!(asset(none), ["unknown_service", "", ""]);
}

#[test]
fn severities_are_one_word_and_what_was_sent_is_kept() {
    for (number, sent, severity, kept) in [
        (0, "", "", ""),
        (1, "", "trace", ""),
        (4, "", "trace", ""),
        (5, "", "debug", ""),
        (9, "Information", "info", "Information"),
        (12, "info", "info", ""),
        (13, "WARN", "warn", "WARN"),
        (13, "Warning", "warning", "Warning"),
        (18, "CRITICAL", "critical", "CRITICAL"),
        (20, "E", "error", "E"),
        (24, "", "fatal", ""),
        (25, "", "", ""),
        (0, "Custom", "custom", "Custom"),
        (0, "custom", "custom", ""),
        (0, "ERROR", "error", "ERROR"),
    ] {
        let item = log(Message::new().number(2, number).bytes(3, sent));
        assert_eq!(item["severity"].as_str().unwrap_or(""), severity, "{number} {sent}");
        assert_eq!(item["metadata"]["otlp"]["severity_text"].as_str().unwrap_or(""), kept, "{number} {sent}");
        assert_eq!(item["metadata"]["otlp"]["severity_number"].as_u64().unwrap_or(0), number);
    }
}

#[test]
fn ids_that_are_not_valid_are_kept_and_name_nothing() {
    let ids = |trace: &[u8], span: &[u8]| log(Message::new().bytes(9, trace).bytes(10, span));
    for (trace, span, kept) in [
        (&TRACE[..15], &SPAN[..], json!([TRACE_HEX[..30], SPAN_HEX])),
        (&[0; 16], &[0; 8], json!([null, null])),
        (b"", &SPAN, json!([null, SPAN_HEX])),
        (b"", &SPAN[..3], json!([null, SPAN_HEX[..6]])),
    ] {
        let item = ids(trace, span);
        assert!(
            ["trace_id", "correlation_id", "parent_event_id"].iter().all(|name| item.get(name).is_none()),
            "{item}"
        );
        let otlp = &item["metadata"]["otlp"];
        assert_eq!(json!([otlp["trace_id"], otlp["span_id"]]), kept);
    }
    let alone = ids(&TRACE, b"");
    assert_eq!((&alone["trace_id"], alone.get("parent_event_id")), (&json!(TRACE_HEX), None));
}

#[test]
fn a_record_that_cannot_be_read_costs_itself() {
    let bad = Message::new().bytes(1, "text where a number belongs");
    let body = request([log_record(), bad.clone(), log_record()]);
    let made = converted(Signal::Logs, Form::Protobuf, &body);
    let items = items(&made);
    assert!(items[0].is_object() && items[1].is_null() && items[2].is_object() && items.len() == 3);
    assert_eq!(made.original.of(0), log_record().0);
    assert_eq!(made.original.of(1), bad.0);
    assert_eq!(made.original.of(2), log_record().0);
    assert!(made.original.broken[0].message.contains("another type"), "{}", made.original.broken[0].message);
    assert!(made.original.places.iter().all(|place| place.tag != walk::WHOLE));

    let torn = Message::new().bytes(1, b"\xff\xff");
    let resource =
        Message::new().message(1, torn).message(2, Message::new().message(2, log_record()).message(2, log_record()));
    let made = converted(Signal::Logs, Form::Protobuf, &Message::new().message(1, resource).0);
    assert_eq!(made.original.broken.len(), 2);
    assert!(made.original.broken[1].message.contains("resource"));
}

#[test]
fn a_body_that_is_no_request_is_one_broken_item() {
    let body = request([log_record(), log_record()]);
    let wrong = Message::new().message(1, Message::new().number(2, 7)).0;
    for body in [&body[..body.len() - 1], b"{\"resourceLogs\":[]}", &wrong, b"\x0a"] {
        let made = converted(Signal::Logs, Form::Protobuf, body);
        assert_eq!((made.original.places.len(), made.original.broken.len()), (1, 1), "{body:?}");
        assert_eq!((made.original.of(0), made.original.places[0].tag), (body, walk::WHOLE));
        assert!(made.original.broken[0].message.contains("no protobuf at byte"));
    }
}

#[test]
fn what_is_sent_out_of_order_and_unknown_fields_are_read() {
    let scoped = Message::new().bytes(9, "new").message(2, log_record()).message(1, Message::new().bytes(1, "late"));
    let sent = Message::new().message(2, scoped).number(77, 5).message(1, resource().fixed32(99, 1));
    let item = only(Signal::Logs, Form::Protobuf, &Message::new().message(1, sent).bytes(2, "?").0);
    assert_eq!(
        (&item["source_module"], &item["metadata"]["otlp"]["scope"]),
        (&json!("checkout"), &json!({"name": "late"}))
    );
}

#[test]
fn what_else_a_resource_says_is_kept() {
    let entity =
        Message::new().bytes(1, "url").bytes(2, "host").bytes(3, "host.id").bytes(3, "b").bytes(4, "host.name");
    let resource = Message::new().number(2, 4).message(3, entity).message(3, Message::new().bytes(2, "bare"));
    let scoped = Message::new().message(1, Message::new().number(4, 2)).message(2, Message::new().number(7, 9));
    let body = Message::new().message(1, Message::new().message(1, resource).message(2, scoped)).0;
    let expected = json!({"otlp": {
        "dropped_attributes_count": 9,
        "resource_dropped_attributes_count": 4,
        "resource_entities": [
            {"type": "host", "schema_url": "url", "id_keys": ["host.id", "b"], "description_keys": ["host.name"]},
            {"type": "bare"},
        ],
        "scope": {"dropped_attributes_count": 2},
    }});
    assert_eq!(only(Signal::Logs, Form::Protobuf, &body)["metadata"], expected);
}

#[test]
fn events_of_log_records_are_taken_and_only_bad_ones_refused() {
    let long = Message::new().bytes(12, "n".repeat(80)).bytes(3, "s".repeat(40)).fixed64(1, TIME_NS);
    let far = Message::new().fixed64(1, u64::MAX);
    let nul = Message::new().message(5, text("a\0b"));
    let latin = Message::new().message(5, Message::new().bytes(1, b"\xe4"));
    let body = request([log_record(), Message::new(), long, far, nul, latin, Message::new().fixed64(1, 5)]);
    let made = decoded(&converted(Signal::Logs, Form::Protobuf, &body));
    let rejected: Vec<_> = made.rejected.iter().map(|item| (item.index, item.rejection.code.as_str())).collect();
    assert_eq!(made.rows.rows.len(), 3, "{rejected:?}");
    assert_eq!(rejected.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [3, 4, 5, 6], "{rejected:?}");
}

#[test]
fn a_key_that_is_sent_twice_is_written_once_and_noted() {
    let record = Message::new().attribute(6, "a", int(1)).attribute(6, "b", int(2)).attribute(6, "a", int(3));
    let made = converted(Signal::Logs, Form::Protobuf, &request([record]));
    assert_eq!(items(&made)[0]["payload"]["attributes"], json!({"b": 2, "a": 3}));
    assert_eq!(made.notes["repeated_attributes"], 1);
    assert_eq!(decoded(&made).rejected.len(), 0);
}

#[test]
fn no_cut_and_no_flipped_byte_is_more_than_an_answer() {
    let body = request([
        log_record(),
        Message::new().message(5, Message::new().message(6, Message::new().attribute(1, "k", int(1)))),
    ]);
    for at in 0..body.len() {
        drop(converted(Signal::Logs, Form::Protobuf, &body[..at]));
        let mut other = body.clone();
        for bits in [0x01, 0x80, 0xff] {
            other[at] = body[at] ^ bits;
            let made = converted(Signal::Logs, Form::Protobuf, &other);
            assert_eq!(items_of(&made), made.original.places.len());
        }
    }
}

#[test]
fn what_has_no_room_ends_at_once() {
    let large = Message::new().attribute(1, "large", text(&"x".repeat(1_000_000)));
    let scoped = (0..20_000).fold(Message::new(), |scoped, _| scoped.message(2, Message::new()));
    let body = Message::new().message(1, Message::new().message(1, large).message(2, scoped)).0;
    let mut asked = 0;
    let room = |bytes| {
        asked += 1;
        if bytes > 10_000_000 { Err(Problem::unauthorized("full")) } else { Ok(()) }
    };
    let mut into = Converter::new(Box::new(room));
    convert(Signal::Logs, Form::Protobuf, &body, &mut into);
    assert!(into.count() < 100);
    assert_eq!(into.finish(Bytes::new()).unwrap_err().detail(), "full");
    assert!(asked < 20);
    // More records than a request may have, of either form.
    let records = crate::limits::ITEMS_PER_REQUEST_MAX + 7;
    let json = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{}{{}}]}}]}}]}}"#, "{},".repeat(records));
    let scoped = (0..records).fold(Message::new(), |scoped, _| scoped.message(2, Message::new()));
    let protobuf = Message::new().message(1, Message::new().message(2, scoped)).0;
    for (form, body) in [(Form::Json, json.as_bytes()), (Form::Protobuf, &protobuf)] {
        let mut into = Converter::new(Box::new(|_| Ok(())));
        convert(Signal::Logs, form, body, &mut into);
        assert_eq!(into.finish(Bytes::new()).unwrap_err().code(), ProblemCode::TooManyItems);
    }
}

fn items_of(made: &Converted) -> usize {
    made.items.iter().filter(|byte| **byte == b'\n').count()
}
