//! Bodies that have one meaning and many forms: documents behind each other, CloudEvents in binary mode, compression with
//! something around it, times that are none.

use serde_json::{Value, json};

use crate::books::Books;
use crate::client::Answer;
use crate::env::{Env, Test, TestResult};
use crate::process::Service;
use crate::samples::{array, event, event_with, gzip, metric, texts};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    documents_behind_each_other,
    documents_of_metrics,
    documents_of_cloud_events,
    cloud_events_in_binary_mode,
    binary_mode_is_refused_by_name,
    binary_mode_where_it_is_not_meant,
    padded_and_joined_compression,
    what_is_wrong_with_compression_is_named,
    seconds_that_there_are_not,
);

const JSON: (&str, &str) = ("content-type", "application/json");

/// As Fluent Bit sends them, 1,000 of them, whatever stands between.
fn documents_behind_each_other(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let path = "/v1/events?event_type=log&source_module=fluent-bit&wrap=payload";
    let lines: Vec<String> =
        (0..1000).map(|n| format!(r#"{{"date": 1732620000.123, "log": "line {n} }}{{"}}"#)).collect();
    for between in ["\n", "", "\r\n\r\n", "\n\x1e"] {
        tidegate.client.post(path, &[JSON], lines.join(between)).accepted(1000, 0);
    }
    assert_eq!(env.sql().count("events"), 4000);
    let distinct: i64 = env.sql().one("SELECT count(DISTINCT payload->>'log') FROM events");
    assert_eq!(distinct, 1000);
    // One of them is cut off, one is wrong, and one array is among them.
    let mut broken = lines;
    broken[10].truncate(30);
    broken[20] = r#"{"date": , "log": "x"}"#.to_owned();
    broken[30] = format!("[{},{}]", broken[31], broken[32]);
    let answer = tidegate.client.post(path, &[JSON], broken.join("\n")).accepted(999, 2);
    let errors = answer["errors"].as_array().unwrap();
    assert_eq!(errors.iter().map(|error| &error["index"]).collect::<Vec<_>>(), [&json!(10), &json!(20)]);
    let kept: Vec<Vec<u8>> = env.sql().column("SELECT raw FROM dead_letter_events ORDER BY item_index");
    assert_eq!(kept, [broken[10].as_bytes(), broken[20].as_bytes()]);
    Books::of(&tidegate.client).assert_items(&[("received", 5001), ("committed", 4999), ("dead_lettered", 2)]);
    Ok(())
}

fn documents_of_metrics(env: &Env) -> TestResult {
    let tidegate = env.share();
    let body = format!("{}\n[{},{}] {}{{\"asset_id\":\n{}", metric(1), metric(2), metric(3), metric(4), metric(5));
    tidegate.client.metrics(body).accepted(5, 1);
    assert_eq!(env.sql().count("metrics"), 5);
    Ok(())
}

fn documents_of_cloud_events(env: &Env) -> TestResult {
    let tidegate = env.share();
    let event = |id: u32| json!({ "specversion": "1.0", "id": id.to_string(), "source": "s", "type": "t" }).to_string();
    for (content_type, body) in [
        ("application/cloudevents+json", format!("{}\n{}{}", event(1), event(2), event(3))),
        ("application/cloudevents-batch+json", format!("[{},{}]\n{}", event(4), event(5), event(6))),
    ] {
        tidegate.client.post("/v1/events", &[("content-type", content_type)], body).accepted(3, 0);
    }
    let ids: Vec<String> = env.sql().column("SELECT metadata->>'original_id' FROM events ORDER BY 1");
    assert_eq!(ids, ["1", "2", "3", "4", "5", "6"]);
    Ok(())
}

const ATTRIBUTES: [(&str, &str); 6] = [
    ("ce-specversion", "1.0"),
    ("CE-Type", "com.example.order"),
    ("ce-source", "/shop"),
    ("ce-id", "order-7"),
    ("ce-subject", "Gr%C3%BC%C3%9Fe%20%22x%22"),
    ("ce-traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
];

fn binary(tidegate: &Service, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Answer {
    tidegate.client.post("/v1/events", headers, body)
}

/// The same event as in structured mode, whatever its data is.
fn cloud_events_in_binary_mode(env: &Env) -> TestResult {
    let tidegate = env.share();
    let forms = [
        ("application/json", &b"{\"n\": 1.50}"[..], ("data", serde_json::from_str(r#"{"n":1.50}"#)?)),
        ("Application/JSON; charset=UTF-8", b"[1,2]", ("data", json!([1, 2]))),
        ("text/plain", "grüß".as_bytes(), ("data", json!("grüß"))),
        ("application/octet-stream", b"\x00\xff", ("data_base64", json!("AP8="))),
        ("application/x-www-form-urlencoded", b"a=b", ("data_base64", json!("YT1i"))),
        ("application/json", b"", ("absent", Value::Null)),
    ];
    for (n, (content_type, body, data)) in (1..).zip(forms) {
        let mut structured = json!({ "specversion": "1.0", "type": "com.example.order", "source": "/shop",
            "id": "order-7", "subject": "Grüße \"x\"", "traceparent": ATTRIBUTES[5].1,
            "datacontenttype": content_type });
        if data.0 != "absent" {
            structured[data.0] = data.1;
        }
        let structured_type = [("content-type", "application/cloudevents+json")];
        binary(&tidegate, &structured_type, structured.to_string()).accepted(1, 0);
        // `ce-` headers may be there as well, and say nothing.
        let both = [&structured_type[..], &ATTRIBUTES[1..3], &[("ce-id", "other")]].concat();
        binary(&tidegate, &both, structured.to_string()).accepted(1, 0);
        let headers = [&ATTRIBUTES[..], &[("content-type", content_type)]].concat();
        let zipped = [&headers[..], &[("content-encoding", "GZip")]].concat();
        binary(&tidegate, &headers, body).accepted(1, 0);
        binary(&tidegate, &zipped, gzip(body)).accepted(1, 0);
        let stored: Vec<Value> = env.sql().column(
            "SELECT to_jsonb(e) - '{timestamp,created_at,batch_id,batch_seq,receipt}'::text[] \
             FROM events e ORDER BY batch_id DESC LIMIT 4",
        );
        assert_eq!((stored.len(), env.sql().count("events")), (4, 4 * n));
        assert!(stored.iter().all(|event| *event == stored[0]), "{content_type}: {stored:#?}");
        assert_eq!(stored[0]["event_type"], "com.example.order");
    }
    Ok(())
}

fn binary_mode_is_refused_by_name(env: &Env) -> TestResult {
    let tidegate = env.share();
    for (absent, name) in [(0, "specversion"), (1, "type"), (2, "source"), (3, "id")] {
        let mut headers = ATTRIBUTES.to_vec();
        headers.remove(absent);
        let refused = binary(&tidegate, &headers, "{}").problem(422, "nothing_accepted");
        assert_eq!(refused["errors"][0]["code"], "missing_field", "{refused}");
        let message = refused["errors"][0]["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("{name} is missing")) && message.contains("ce-type"), "{message}");
    }
    // Places are those of what was sent, also in the answer that is repeated; the dead letter holds an event.
    for (extra, body, place) in [
        (("ce-time", "tomorrow"), "{}", "in the header ce-time"),
        (("ce-time", "1999-01-01T00:00:00Z"), "{}", "in the header ce-time"),
        (("ce-subject", "a%00"), "{}", "in the header ce-subject"),
        (("ce-x", "1"), r#"{"a":{"b":1,"b":2}}"#, "of the body"),
    ] {
        let headers = [&ATTRIBUTES[..4], &[extra, JSON, ("idempotency-key", extra.1)]].concat();
        for _ in 0..2 {
            let refused = binary(&tidegate, &headers, body).problem(422, "nothing_accepted");
            let message = refused["errors"][0]["message"].as_str().unwrap();
            assert!(message.contains(place) && !message.contains("of the item"), "{message}");
        }
    }
    let mut headers = ATTRIBUTES.to_vec();
    headers[0].1 = "0.3";
    assert_eq!(
        binary(&tidegate, &headers, "{}").problem(422, "nothing_accepted")["errors"][0]["code"],
        "invalid_field"
    );
    for extra in [("ce-data", "x"), ("ce-datacontenttype", "text/plain"), ("ce-subject", "%ff")] {
        let headers = [&ATTRIBUTES[..4], &[extra]].concat();
        let refused = binary(&tidegate, &headers, "{}").problem(400, "invalid_header");
        assert!(refused["detail"].as_str().unwrap().contains(extra.0), "{refused}");
    }
    // Data that is not the JSON it is said to be is kept, and never read as something else.
    for body in ["{\"a\":", "1,\"id\":\"2\"", r#"{"specversion":"1.0","id":"1","source":"s","type":"t"}{}"#] {
        binary(&tidegate, &[&ATTRIBUTES[..], &[JSON]].concat(), body).problem(400, "body_not_json");
        let kept: String =
            env.sql().one("SELECT convert_from(raw, 'UTF8') FROM dead_letter_events ORDER BY failed_at DESC LIMIT 1");
        assert!(kept.contains("id: order-7\r\n") && kept.ends_with(body), "{kept}");
    }
    assert_eq!(env.sql().count("events"), 0);
    Ok(())
}

fn binary_mode_where_it_is_not_meant(env: &Env) -> TestResult {
    let tidegate = env.share();
    tidegate.client.post("/v1/metrics", &[JSON, ATTRIBUTES[0]], metric(1)).problem(415, "unsupported_media_type");
    for content_type in ["application/cloudevents+xml", "application/cloudevents", "multipart/form-data; boundary=x"] {
        let headers = if content_type.contains("cloudevents") { &ATTRIBUTES[..] } else { &[] };
        let headers = [headers, &[("content-type", content_type)]].concat();
        binary(&tidegate, &headers, event(1)).problem(415, "unsupported_media_type");
    }
    let twice = [JSON, ("content-type", "application/x-ndjson")];
    binary(&tidegate, &twice, event(1)).problem(415, "unsupported_media_type");
    assert_eq!(env.sql().count("events"), 0);
    Ok(())
}

fn padded_and_joined_compression(env: &Env) -> TestResult {
    let tidegate = env.share();
    let (one, two) = (event(1), event(2));
    let zstd = |text: &str| zstd::encode_all(text.as_bytes(), 1).unwrap();
    let skipped = [0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, b'{', b'}'];
    for (encoding, body) in [
        ("gzip", [gzip(one.as_bytes()), gzip(two.as_bytes()), vec![0; 1000]].concat()),
        ("X-GZIP, identity", [gzip(one.as_bytes()), gzip(b"\n"), gzip(two.as_bytes()), vec![0]].concat()),
        ("Zstd", [&skipped[..], &zstd(&one), &skipped, &zstd(&two), &skipped].concat()),
    ] {
        tidegate.client.post("/v1/events", &[JSON, ("content-encoding", encoding)], body).accepted(2, 0);
    }
    for encoding in ["gzip", "zstd", "identity"] {
        let empty = tidegate.client.post("/v1/events", &[JSON, ("content-encoding", encoding)], "");
        empty.problem(400, "empty_body");
    }
    Ok(())
}

fn what_is_wrong_with_compression_is_named(env: &Env) -> TestResult {
    let tidegate = env.share();
    let (gzipped, zstd) = (gzip(event(1).as_bytes()), zstd::encode_all(event(1).as_bytes(), 1)?);
    let cut = |body: &[u8]| body[..body.len() - 3].to_vec();
    for (encoding, body, cause) in [
        ("gzip", cut(&gzipped), "ends early"),
        ("zstd", cut(&zstd), "ends early"),
        ("gzip", [&gzipped[..], b"junk"].concat(), "neither another one nor zeros"),
        ("zstd", [&zstd[..], b"junk"].concat(), "not another one"),
        ("gzip", zstd.clone(), "does not begin as gzip"),
        ("zstd", gzipped.clone(), "does not begin as zstd"),
    ] {
        let answer = tidegate.client.post("/v1/events", &[JSON, ("content-encoding", encoding)], body);
        let refused = answer.problem(400, "undecodable_body");
        assert!(refused["detail"].as_str().unwrap().contains(cause), "{cause}: {refused}");
    }
    // Not said at all, or compressed once more than is said.
    for (headers, body, name) in [
        (vec![JSON], gzipped.clone(), "gzip"),
        (vec![JSON], zstd.clone(), "zstd"),
        (vec![JSON, ("content-encoding", "gzip")], gzip(&gzipped), "gzip"),
        (vec![JSON, ("content-encoding", "zstd")], zstd::encode_all(&gzipped[..], 1)?, "gzip"),
    ] {
        let refused = tidegate.client.post("/v1/events", &headers, body).problem(400, "body_not_json");
        let message = refused["errors"][0]["message"].as_str().unwrap();
        assert!(message.contains(&format!("begins as {name} does")), "{message}");
    }
    for encoding in ["gzip, gzip", "deflate", "br", "gzip;q=1, zstd"] {
        let answer = tidegate.client.post("/v1/events", &[JSON, ("content-encoding", encoding)], &gzipped);
        answer.problem(415, "unsupported_encoding");
    }
    Ok(())
}

fn seconds_that_there_are_not(env: &Env) -> TestResult {
    let tidegate = env.share();
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let month_end = now.first_of_month()?.yesterday()?.strftime("%Y-%m-%d").to_string();
    let middle = now.first_of_month()?.yesterday()?.strftime("%Y-%m-15").to_string();
    let times = [
        format!("{month_end}T23:59:59.50Z"),
        format!("{month_end}T23:59:60.25Z"),
        format!("{month_end}T12:30:60Z"),
        format!("{middle}T23:59:60Z"),
        format!("{month_end}T24:00:00Z"),
        format!("{month_end}T12:00:00+24:00"),
        format!("{month_end}T12:00Z"),
        format!("{month_end}T12:00:00Z[UTC]"),
        format!("+00{month_end}T12:00:00Z"),
    ];
    let items =
        times.iter().enumerate().map(|(n, time)| event_with(n, &format!(r#""asset_id":"{n}","timestamp":"{time}""#)));
    let answer = tidegate.client.events(array(items)).accepted(2, 7);
    assert!(answer["errors"].as_array().unwrap().iter().all(|error| error["code"] == "invalid_timestamp"), "{answer}");
    let newest_first = tidegate.client.get("/v1/events").expect(200);
    assert_eq!(texts(&newest_first, "asset_id"), ["1", "0"], "the leap second follows the second before it");
    assert!(texts(&newest_first, "timestamp")[0].starts_with(&format!("{month_end}T23:59:59.999999")));
    Ok(())
}
