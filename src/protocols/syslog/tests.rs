#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use bytes::Bytes;
use serde_json::{Value, json};
use uuid::Uuid;

use super::framing::Framing;
use super::*;
use crate::limits::{MIB, SYSLOG_MESSAGE_BYTES_MAX as MESSAGE_BYTES_MAX};
use crate::protocols::convert::Converted;
use crate::wire::event::{Decoder, Defaults};
use crate::wire::item::{BodyForm, Decoded, ItemContext, StoredJson, TimeBounds};

/// 2026-11-29T12:00:00Z
const NOW_US: i64 = 1_795_953_600_000_000;

fn made(text: &[u8], cut: bool) -> Converted {
    let mut into = Converter::new(Box::new(|_| Ok(())));
    let context = Context { received_at_us: NOW_US, zone: &TimeZone::UTC, sender: "192.0.2.7" };
    convert(text, 0..text.len(), cut, context, &mut into);
    into.finish(Bytes::copy_from_slice(text)).unwrap()
}

fn decoded(made: &Converted) -> Decoded {
    let origin = ItemContext {
        tenant_id: "acme",
        api_key_id: Uuid::nil(),
        receipt: Uuid::nil(),
        received_at_us: NOW_US,
        bounds: TimeBounds { oldest_us: 0, newest_us: NOW_US + 1_000_000_000_000 },
        item_bytes_max: 16 * MIB,
        stored_json: StoredJson::Jsonb,
        projections: |_| 0,
    };
    Decoder::new().decode(&made.items, BodyForm::Converted, &Defaults::default(), &origin).unwrap()
}

fn event(text: &str) -> Value {
    let made = made(text.as_bytes(), false);
    assert_eq!(decoded(&made).rejected, [], "{text}");
    serde_json::from_slice(&made.items).unwrap()
}

#[test]
fn messages_of_rfc_5424_are_events() {
    let su = event(
        "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \u{feff}'su root' failed on /dev/pts/8",
    );
    assert_eq!(
        su,
        json!({"event_type": "syslog", "source_module": "su", "timestamp": "2003-10-11T22:14:15.003Z",
            "severity": "critical", "asset_id": "mymachine.example.com",
            "payload": {"message": "'su root' failed on /dev/pts/8"},
            "metadata": {"syslog": {"facility": "auth", "priority": 34, "version": 1, "msgid": "ID47",
                "sender": "192.0.2.7"}}})
    );
    let donuts =
        event("<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make the do-nuts.");
    assert_eq!((&donuts["severity"], &donuts["metadata"]["syslog"]["facility"]), (&json!("notice"), &json!("local4")));
    assert_eq!(donuts["metadata"]["syslog"]["procid"], "8710");
    assert_eq!(donuts["payload"]["message"], "%% It's time to make the do-nuts.");
    let elements = r#"[exampleSDID@32473 iut="3" eventSource="Application"][examplePriority@32473 class="high"]"#;
    let data = event(&format!("<165>1 2003-10-11T22:14:15.003Z h evntslog - ID47 {elements}"));
    assert_eq!(
        data["payload"],
        json!({"message": "", "structured_data": {"exampleSDID@32473": {"iut": "3", "eventSource": "Application"},
            "examplePriority@32473": {"class": "high"}}})
    );
    let nil = event("<0>1 - - - - - -");
    assert_eq!(
        (&nil["severity"], &nil["source_module"], &nil["asset_id"]),
        (&json!("emergency"), &json!("syslog"), &json!("192.0.2.7"))
    );
    assert_eq!((nil.get("timestamp"), &nil["payload"]), (None, &json!({"message": ""})));
}

#[test]
fn structured_data_keeps_escapes_repetitions_and_what_is_odd() {
    let payload = |text: &str| event(&format!("<13>1 - h a - - {text}"))["payload"].clone();
    assert_eq!(
        payload(r#"[a x="q\"b\\s\]n\k" x="2" y=""][b] text [c]"#),
        json!({"message": "text [c]", "structured_data": {"a": {"x": ["q\"b\\s]n\\k", "2"], "y": ""}, "b": {}}})
    );
    assert_eq!(payload(r#"[a x="1"][a x="2" z="3"]t"#)["structured_data"], json!({"a": {"x": ["1", "2"], "z": "3"}}));
    for (odd, message) in [
        (r#"[a x="1" t"#, r#"[a x="1" t"#),
        ("[a x=1] t", "[a x=1] t"),
        ("[] t", "[] t"),
        ("[a", "[a"),
        ("-x", "-x"),
        ("[a x=\"1\\\"] t", "[a x=\"1\\\"] t"),
        ("-", ""),
        ("- - t", "- t"),
    ] {
        assert_eq!(payload(odd), json!({"message": message}), "{odd}");
    }
    let many: String = (0..300).map(|n| format!(" n{n}=\"v\"")).collect();
    let found = payload(&format!("[a{many}] t"));
    assert_eq!((&found["message"], found.get("structured_data")), (&json!("t"), None));
    assert_eq!(found["structured_data_text"], format!("[a{many}]"));
}

#[test]
fn messages_of_rfc_3164_are_events_in_their_variants() {
    // Text, time, host, tag, process, message.
    for (text, time, host, tag, pid, message) in [
        (
            "Oct 11 22:14:15 mymachine su: 'su root' failed",
            "2026-10-11T22:14:15Z",
            "mymachine",
            "su",
            "",
            "'su root' failed",
        ),
        ("Nov  5 02:01:01 h CRON[1234]: (root) CMD (x)", "2026-11-05T02:01:01Z", "h", "CRON", "1234", "(root) CMD (x)"),
        ("Nov 05 02:01:01 h a/b[x-1] text", "2026-11-05T02:01:01Z", "h", "a/b", "x-1", "text"),
        ("Dec 31 23:59:59 h t: next", "2025-12-31T23:59:59Z", "h", "t", "", "next"),
        ("Jan  1 00:00:01 h t: m", "2026-01-01T00:00:01Z", "h", "t", "", "m"),
        ("Jun  1 00:00:01 h t: m", "2026-06-01T00:00:01Z", "h", "t", "", "m"),
        ("May 29 11:00:00 h t: m", "2026-05-29T11:00:00Z", "h", "t", "", "m"),
        ("Nov 29 10:00:00 su: no host", "2026-11-29T10:00:00Z", "192.0.2.7", "su", "", "no host"),
        ("Nov 29 10:00:00 sshd[7]: no host", "2026-11-29T10:00:00Z", "192.0.2.7", "sshd", "7", "no host"),
        (
            "Nov 29 10:00:00 h last message repeated 3 times",
            "2026-11-29T10:00:00Z",
            "h",
            "syslog",
            "",
            "last message repeated 3 times",
        ),
        ("Nov 29 10:00:00 fe80::1 t: m", "2026-11-29T10:00:00Z", "fe80::1", "t", "", "m"),
        ("Nov 29 10:00:00 word", "2026-11-29T10:00:00Z", "192.0.2.7", "syslog", "", "word"),
        ("Nov 29 10:00:00 h http://x is down", "2026-11-29T10:00:00Z", "h", "syslog", "", "http://x is down"),
        ("Nov 29 2025 10:00:00 h t: m", "2025-11-29T10:00:00Z", "h", "t", "", "m"),
        (
            "Nov 29 2025 10:00:00: %ASA-6-302013: Built",
            "2025-11-29T10:00:00Z",
            "192.0.2.7",
            "%ASA-6-302013",
            "",
            "Built",
        ),
        ("Nov 29 10:00:00 2025 h t: m", "2025-11-29T10:00:00Z", "h", "t", "", "m"),
        ("Nov 29 10:00:00.123456 h t: m", "2026-11-29T10:00:00.123456Z", "h", "t", "", "m"),
        ("2026-11-29T10:00:00.123456+01:00 h t[1]: m", "2026-11-29T10:00:00.123456+01:00", "h", "t", "1", "m"),
        ("2026-11-29T10:00:00Z h t:", "2026-11-29T10:00:00Z", "h", "t", "", ""),
        ("Feb 29 10:00:00 2024 h t: m", "2024-02-29T10:00:00Z", "h", "t", "", "m"),
        ("app[3]: no time", "", "192.0.2.7", "app", "3", "no time"),
        ("just words here", "", "192.0.2.7", "syslog", "", "just words here"),
        ("Nov 31 10:00:00 h t: m", "", "h", "t", "", "m"),
        ("Nov 29 25:00:00 h t: m", "", "192.0.2.7", "syslog", "", "Nov 29 25:00:00 h t: m"),
        ("2026-13-29T10:00:00Z h t: m", "", "192.0.2.7", "syslog", "", "2026-13-29T10:00:00Z h t: m"),
    ] {
        let found = event(&format!("<38>{text}"));
        let moment = found.get("timestamp").map_or("".to_owned(), |time| match time {
            Value::String(text) => text.clone(),
            number => {
                let ns: i128 = number.to_string().parse().unwrap();
                jiff::Timestamp::from_nanosecond(ns).unwrap().to_string()
            }
        });
        assert_eq!(moment, time, "{text}");
        assert_eq!((&found["asset_id"], &found["source_module"]), (&json!(host), &json!(tag)), "{text}");
        assert_eq!(found["metadata"]["syslog"]["procid"].as_str().unwrap_or_default(), pid, "{text}");
        assert_eq!(found["payload"], json!({"message": message}), "{text}");
        assert_eq!((&found["severity"], &found["metadata"]["syslog"]["facility"]), (&json!("info"), &json!("auth")));
    }
}

#[test]
fn what_is_not_understood_of_a_time_is_kept() {
    let cisco = event("<189>27: *Mar  1 18:48:50.483 CET: %SYS-5-CONFIG_I: Configured");
    assert_eq!(
        (&cisco["source_module"], &cisco["payload"]["message"]),
        (&json!("%SYS-5-CONFIG_I"), &json!("Configured"))
    );
    let syslog = &cisco["metadata"]["syslog"];
    assert_eq!((&syslog["sequence"], &syslog["timestamp"]), (&json!("27"), &json!("*Mar  1 18:48:50.483 CET")));
    let example = event("<165>Aug 24 05:34:00 CST 1987 mymachine myproc[10]: %% It's time");
    assert_eq!((&example["asset_id"], &example["source_module"]), (&json!("mymachine"), &json!("myproc")));
    assert_eq!(example["metadata"]["syslog"]["timestamp"], "Aug 24 05:34:00 CST 1987");
    let utc = event("<189>Nov 29 10:00:00.5 UTC: %A-1-B: m");
    assert_eq!(
        (&utc["timestamp"], utc["metadata"]["syslog"].get("timestamp")),
        (&json!(1_795_946_400_500_000_000_i64), None)
    );
    let odd = event("<13>1 yesterday h a - - - m");
    assert_eq!((odd.get("timestamp"), &odd["metadata"]["syslog"]["timestamp"]), (None, &json!("yesterday")));
    assert_eq!(event("<13>Nov 31 10:00:00 h t: m")["metadata"]["syslog"]["timestamp"], "Nov 31 10:00:00");
}

/// The time of a message that is received at this moment.
fn time_of(text: &str, received: &str, zone: &TimeZone) -> String {
    let mut into = Converter::new(Box::new(|_| Ok(())));
    let received_at_us = received.parse::<jiff::Timestamp>().unwrap().as_microsecond();
    convert(text.as_bytes(), 0..1, false, Context { received_at_us, zone, sender: "" }, &mut into);
    let made = into.finish(Bytes::new()).unwrap();
    let item: Value = serde_json::from_slice(&made.items).unwrap();
    let ns: i128 = item["timestamp"].to_string().parse().unwrap();
    jiff::Timestamp::from_nanosecond(ns).unwrap().to_string()
}

#[test]
fn a_year_and_a_zone_are_found_for_messages_without() {
    for (sent, received, time) in [
        ("Dec 31 23:59:59", "2027-01-01T00:00:05Z", "2026-12-31T23:59:59Z"),
        ("Jan  1 00:00:05", "2026-12-31T23:59:59Z", "2027-01-01T00:00:05Z"),
        ("Dec  6 11:00:00", "2026-11-29T12:00:00Z", "2026-12-06T11:00:00Z"),
        ("Dec  6 13:00:00", "2026-11-29T12:00:00Z", "2025-12-06T13:00:00Z"),
        ("Feb 29 10:00:00", "2028-03-01T00:00:00Z", "2028-02-29T10:00:00Z"),
        ("Feb 29 10:00:00", "2029-02-01T00:00:00Z", "2028-02-29T10:00:00Z"),
        ("Jun 30 23:59:60", "2026-11-29T12:00:00Z", "2026-06-30T23:59:59Z"),
    ] {
        let text = format!("<13>{sent} h t: m");
        assert_eq!(time_of(&text, received, &TimeZone::UTC), time, "{sent} at {received}");
    }
    let east = TimeZone::fixed(jiff::tz::offset(2));
    let (text, now) = ("<13>Nov 29 10:00:00 h t: m", "2026-11-29T12:00:00Z");
    assert_eq!(time_of(text, now, &east), "2026-11-29T08:00:00Z");
    assert_eq!(time_of("<13>Nov 29 10:00:00 UTC: t: m", now, &east), "2026-11-29T10:00:00Z");
}

#[test]
fn what_is_no_message_is_an_event_all_the_same() {
    for text in ["Use the BFG!", "<192>x", "<>x", "<1a>x", "<1234>x", "<13", "{\"json\":1}", "<-1>x"] {
        let found = event(text);
        assert_eq!((&found["severity"], &found["payload"]["message"]), (&json!("notice"), &json!(text)));
        assert_eq!(found["metadata"]["syslog"]["priority"], 13);
        assert_eq!(made(text.as_bytes(), false).notes["no_priority"], 1);
    }
    for text in ["1 ", "1 - - -", "1  h a - - - m", "1 2026-11-29T10:00:00Z h a p"] {
        let found = event(&format!("<11>{text}"));
        assert_eq!((&found["severity"], &found["payload"]["message"]), (&json!("error"), &json!(text.trim_end())));
    }
    for blank in ["", "\n", " \r\n", "\0"] {
        let none = made(blank.as_bytes(), false);
        assert!(none.items.is_empty() && none.notes["blank"] == 1, "{blank:?}");
    }
}

#[test]
fn what_a_database_cannot_keep_is_replaced() {
    let found = made(b"<13>1 - h a - - - a\0b\xffc\r\n\0", true);
    let item: Value = serde_json::from_slice(&found.items).unwrap();
    assert_eq!(item["payload"]["message"], "a\u{fffd}b\u{fffd}c");
    assert_eq!(
        (item["metadata"]["syslog"]["cut"].clone(), found.notes["replaced"], found.notes["cut"]),
        (json!(true), 1, 1)
    );
    assert_eq!(decoded(&found).rejected, []);
}

/// The messages of a stream that comes in pieces of this size.
fn framed(stream: &[u8], size: usize) -> Vec<(Vec<u8>, bool)> {
    let (mut framing, mut found) = (Framing::default(), Vec::new());
    for piece in stream.chunks(size) {
        framing.push(piece);
        while let Some(frame) = framing.next(false) {
            assert_eq!(frame.message, &stream[frame.at..frame.at + frame.message.len()]);
            found.push((frame.message.to_vec(), frame.cut));
        }
    }
    while let Some(frame) = framing.next(true) {
        found.push((frame.message.to_vec(), frame.cut));
    }
    assert_eq!(framing.waiting(), 0);
    found
}

#[test]
fn streams_are_framed_by_length_and_by_line() {
    let stream =
        b"<13>a\n6 <13>b\n\n7 <13>c d<13>e f\n10 green\n2026-11-29 x\n007 <1>\n\n5 <13>g12345678 <13>h\n99 <13>i\nj";
    let expected = [
        "<13>a",
        "<13>b\n",
        "<13>c d",
        "<13>e f",
        "10 green",
        "2026-11-29 x",
        "007 <1>",
        "<13>g",
        "12345678 <13>h",
        "<13>i\nj",
    ];
    for size in 1..stream.len() {
        let found = framed(stream, size);
        let texts: Vec<&str> = found.iter().map(|(text, _)| std::str::from_utf8(text).unwrap()).collect();
        assert_eq!(texts, expected, "pieces of {size}");
        assert!(found.iter().enumerate().all(|(at, (_, cut))| *cut == (at == 9)));
    }
    assert_eq!(framed(b"12 ", 1), [(b"12 ".to_vec(), false)]);
    assert_eq!(framed(b"\n\r\n\0", 2), []);
}

#[test]
fn what_is_too_long_is_cut_and_the_next_is_whole() {
    let long = format!("<13>{}", "x".repeat(2 * MESSAGE_BYTES_MAX));
    let exact = &long[..MESSAGE_BYTES_MAX];
    let stream = format!("{long}\n<13>next\n{} {long}5 <13>z{exact}\n{} {exact}<13>end", long.len(), exact.len());
    for size in [1000, 65_536, 65_537, stream.len()] {
        let found = framed(stream.as_bytes(), size);
        let lengths: Vec<(usize, bool)> = found.iter().map(|(text, cut)| (text.len(), *cut)).collect();
        let max = MESSAGE_BYTES_MAX;
        assert_eq!(
            lengths,
            [(max, true), (8, false), (max, true), (5, false), (max, false), (max, false), (7, false)],
            "{size}"
        );
    }
}

#[test]
fn a_body_of_messages_is_framed_as_a_stream() {
    use crate::protocols::params::Segments;
    let body = Bytes::from_static(b"<13>Nov 29 10:00:00 h t: a\n11 <13>b: two\n\n<14>1 - - - - - - c");
    let mut into = Converter::new(Box::new(|_| Ok(())));
    let (path, headers) = (Segments::default(), hyper::HeaderMap::new());
    let head = Head { route: &Syslog.routes()[0], path: &path, query: None, headers: &headers };
    Syslog.items(&head, &body, &mut into).unwrap();
    let made = into.finish(body).unwrap();
    let places: Vec<&[u8]> = (0..4).map(|item| made.original.of(item)).collect();
    assert_eq!(places, [&b"<13>Nov 29 10:00:00 h t: a"[..], b"<13>b: two\n", b"<14>1 - - - - - - c", b""]);
    assert_eq!(decoded(&made).rejected, []);
    assert_eq!(ROUTE, "/syslog");
}

#[test]
fn no_bytes_make_it_panic() {
    let samples = [
        "<165>1 2003-10-11T22:14:15.003Z h e 1 ID47 [a@1 x=\"3\\]\" y=\"ü\"][b] \u{feff}An ä event",
        "<189>27: *Mar  1 2025 18:48:50.483 CET: %SYS-5-CONFIG_I: ü",
        "<13>Oct 11 22:14:15 mymachine su[12]: x",
        "<13>2026-11-29T10:00:00.123456+01:00 h t[1]: m",
    ];
    for sample in samples.map(str::as_bytes) {
        for end in 0..sample.len() {
            let found = made(&sample[..end], false);
            assert!(found.items.is_empty() || decoded(&found).rejected.is_empty());
            framed(&sample[..end], 3);
        }
        let mut bytes = sample.to_vec();
        for at in 0..bytes.len() {
            for flip in [0x01, 0x10, 0x20, 0x80, 0xff] {
                bytes[at] ^= flip;
                let found = made(&bytes, false);
                assert!(decoded(&found).rejected.iter().all(|item| item.rejection.code.as_str() == "out_of_window"));
                bytes[at] ^= flip;
            }
        }
    }
}
