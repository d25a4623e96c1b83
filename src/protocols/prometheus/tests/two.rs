//! Remote write 2.0. The cases are those of the compliance tests of Prometheus for receivers.

use serde_json::json;

use super::body::{Body, Series, series};
use super::*;
use crate::protocols::protobuf::{put_bytes, put_f64, put_number};

fn body(all: &[Series]) -> Vec<u8> {
    Body::of(Message::Request, all)
}

const COUNTER: u64 = 1;
const GAUGE: u64 = 2;

#[test]
fn samples_have_type_and_unit() {
    let labels = [("__name__", "requests_total"), ("instance", "web-1"), ("job", "api")];
    let sent = body(&[
        series(&labels).sample(5.0, NOW_MS).metadata(COUNTER, "Requests\n\"seen\".", "requests"),
        series(&[("__name__", "temperature"), ("job", "api")]).sample(-3.5, NOW_MS).metadata(GAUGE, "", ""),
        series(&[("__name__", "other")]).sample(1.0, NOW_MS),
    ]);
    let converted = convert(Message::Request, &sent);
    let found = items(&converted);
    assert_eq!(
        found[0],
        json!({"asset_id": "web-1", "metric_type": "counter", "metric_name": "requests_total",
            "dimensions": {"job": "api"}, "timestamp": NOW_MS * 1_000_000, "value": 5.0, "unit": "requests"})
    );
    assert_eq!(
        (&found[1]["metric_type"], &found[1]["asset_id"], found[1].get("unit")),
        (&json!("gauge"), &json!("api"), None)
    );
    assert_eq!(found[2]["metric_type"], "untyped");
    assert_eq!((refused(&converted).len(), notes(&converted)), (0, vec![("metadata", 1)]));
}

#[test]
fn a_start_is_kept_beside_the_sample() {
    let mut sample = Vec::new();
    put_f64(&mut sample, 1, 2.0);
    put_number(&mut sample, 2, NOW_MS.cast_unsigned());
    put_number(&mut sample, 3, (NOW_MS - 1000).cast_unsigned());
    let mut started = series(&[("__name__", "a_total")]);
    started.samples.push(sample);
    let converted = convert(Message::Request, &body(&[started]));
    assert_eq!(items(&converted)[0]["start_timestamp_ms"], NOW_MS - 1000);
    assert!(refused(&converted).is_empty());
}

#[test]
fn answers_count_what_was_written() {
    let name = [("__name__", "up"), ("job", "a")];
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    for (case, sent, status, counts) in [
        ("samples", vec![series(&name).sample(1.0, NOW_MS).sample(2.0, NOW_MS + 1)], 204, [2, 0, 0]),
        ("stale", vec![series(&name).sample(stale, NOW_MS)], 204, [1, 0, 0]),
        ("no number", vec![series(&name).sample(f64::NAN, NOW_MS).sample(f64::INFINITY, NOW_MS)], 204, [2, 0, 0]),
        ("newlines", vec![series(&[("__name__", "up"), ("job", "a\nb\n")]).sample(1.0, NOW_MS)], 204, [1, 0, 0]),
        ("dots and spaces", vec![series(&[("__name__", "a.b c"), ("d e.f", "g")]).sample(1.0, NOW_MS)], 204, [1, 0, 0]),
        ("unsorted", vec![series(&[("job", "a"), ("__name__", "up")]).sample(1.0, NOW_MS)], 204, [1, 0, 0]),
        ("no name", vec![series(&[("job", "a")]).sample(1.0, NOW_MS)], 400, [0, 0, 0]),
        ("no name, and stale", vec![series(&[("job", "a")]).sample(stale, NOW_MS)], 400, [0, 0, 0]),
        ("empty name", vec![series(&[("__name__", "")]).sample(1.0, NOW_MS)], 400, [0, 0, 0]),
        ("no labels", vec![series(&[]).sample(1.0, NOW_MS)], 400, [0, 0, 0]),
        (
            "one of two without name",
            vec![series(&[("job", "a")]).sample(1.0, NOW_MS), series(&name).sample(1.0, NOW_MS)],
            400,
            [1, 0, 0],
        ),
        (
            "twice a label",
            vec![series(&[("__name__", "up"), ("a", "1"), ("a", "1")]).sample(1.0, NOW_MS)],
            400,
            [0, 0, 0],
        ),
        ("too old", vec![series(&name).sample(1.0, 1).sample(1.0, NOW_MS)], 400, [1, 0, 0]),
        (
            "exemplar beside",
            vec![series(&name).sample(1.0, NOW_MS).exemplar(&[("trace_id", "测试")], 1.0, NOW_MS)],
            204,
            [1, 0, 1],
        ),
        ("exemplar alone", vec![series(&name).exemplar(&[], 42.0, NOW_MS)], 204, [0, 0, 1]),
        ("exemplar without number", vec![series(&name).exemplar(&[], f64::NAN, NOW_MS)], 204, [0, 0, 1]),
        (
            "exemplar without name",
            vec![series(&[("job", "a")]).sample(1.0, NOW_MS).exemplar(&[], 1.0, NOW_MS)],
            400,
            [0; 3],
        ),
        ("metadata alone", vec![series(&name).metadata(COUNTER, "Help", "count")], 204, [0, 0, 0]),
    ] {
        let answer = exchange(Message::Request, &body(&sent));
        assert_eq!((answer.status().as_u16(), written(&answer)), (status, Some(counts)), "{case}");
        assert_eq!(answer.body().is_empty(), status == 204, "{case}");
    }
}

#[test]
fn a_request_that_is_none_is_refused_whole() {
    let good = body(&[series(&[("__name__", "up")]).sample(1.0, NOW_MS)]);
    let mut without_empty = Vec::new();
    put_bytes(&mut without_empty, 4, b"__name__");
    put_bytes(&mut without_empty, 5, b"");
    let one = Body::of(Message::WriteRequest, &[series(&[("__name__", "up")]).sample(1.0, NOW_MS)]);
    for (message, body, why) in [
        (Message::Request, &without_empty[..], "empty string"),
        (Message::Request, b"\x2a\x00", "empty string"),
        (Message::Request, &good[..good.len() - 1], "no protobuf at byte"),
        (Message::Request, b"0", "no protobuf at byte"),
        (Message::Request, &one, "prometheus.WriteRequest"),
        (Message::WriteRequest, &good, "io.prometheus.write.v2.Request"),
        (Message::WriteRequest, b"\x08\x01", "another type"),
    ] {
        let converted = convert(message, body);
        assert_eq!((items(&converted), converted.original.of(0)), (vec![Value::Null], body), "{why}");
        assert_eq!(converted.original.places[0].tag, 255);
        let answer = exchange(message, body);
        let text = String::from_utf8_lossy(answer.body()).into_owned();
        assert!(answer.status() == 400 && text.contains(why), "{text}");
        assert_eq!(written(&answer), (message == Message::Request).then_some([0; 3]));
    }
}

/// A request of one series whose fields are written by hand.
fn by_hand(fields: &[(u32, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    fields.iter().for_each(|(number, bytes)| put_bytes(&mut out, *number, bytes));
    let mut body = Vec::new();
    ["", "__name__", "up", "job", "a"].iter().for_each(|symbol| put_bytes(&mut body, 4, symbol.as_bytes()));
    put_bytes(&mut body, 5, &out);
    body
}

#[test]
fn references_must_be_to_symbols() {
    let sample: &[u8] = &[9, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x10, 0x80, 0x90, 0xc1, 0xa6, 0xaa, 0x33];
    let refused_of = |fields: &[(u32, &[u8])]| {
        let body = by_hand(fields);
        let counts = written(&exchange(Message::Request, &body)).unwrap();
        (refused(&convert(Message::Request, &body)).into_values().next(), counts)
    };
    assert_eq!(refused_of(&[(1, &[1, 2]), (2, sample)]), (None, [1, 0, 0]));
    // Also in several fields, each with a part of a pair.
    assert_eq!(refused_of(&[(1, &[1]), (1, &[2, 3]), (1, &[4]), (2, sample)]), (None, [1, 0, 0]));
    for (fields, why) in [
        (&[(1, &[1, 2, 3][..]), (2, sample)][..], "odd number"),
        (&[(1, &[1, 2, 3, 5]), (2, sample)], "refers to symbol 5, and there are 5"),
        (&[(1, &[1, 2, 0xff]), (2, sample)], "cut short"),
        (&[(1, &[1, 2]), (2, sample), (5, &[0x20, 9])], "refers to symbol 9"),
        (&[(1, &[1, 2]), (2, sample), (5, &[0x08])], "cut short"),
        (&[(1, &[1, 2]), (2, sample), (3, &[])], "both samples and histograms"),
        (&[(1, &[1, 2]), (2, &[9, 0])], "a sample of the series \"up\" cannot be read"),
        (&[(1, &[1, 2]), (4, &[0x0a, 1, 3])], "an exemplar of the series \"up\" has an odd number"),
        (&[(1, &[1, 2]), (4, &[0x0a, 1, 9])], "refers to symbol 9"),
    ] {
        let (refused, counts) = refused_of(fields);
        assert!(refused.as_ref().is_some_and(|message| message.contains(why)), "{why}: {refused:?}");
        assert_eq!(counts, [0; 3], "{why}");
    }
}
