//! Whatever is sent, there is an answer.

use super::body::{Body, Histogram, Series, series};
use super::*;

fn bodies() -> Vec<(Message, Vec<u8>)> {
    let histogram = Histogram {
        count: 27,
        sum: 10.0,
        zero: (1e-9, 1),
        negative: (vec![(0, 2)], vec![1, 1]),
        positive: (vec![(-3, 3), (2, 2)], vec![1, 2, 1, 3, 1]),
        ..Histogram::default()
    };
    let gauge = Histogram { reset_hint: 3, start_ms: 1, ..histogram.clone() };
    let custom = Histogram {
        count: 30,
        sum: 10.0,
        schema: -53,
        positive: (vec![(0, 4)], vec![2, 1, 2, 15]),
        bounds: vec![0.1, 0.5, 1.0],
        reset_hint: 3,
        ..Histogram::default()
    };
    let labels = [("__name__", "a"), ("instance", "b"), ("job", "c")];
    let all: Vec<Series> = vec![
        series(&labels).sample(1.0, NOW_MS).sample(2.0, NOW_MS + 1).metadata(1, "h", "u"),
        series(&labels).exemplar(&[("trace_id", "x")], 1.0, NOW_MS),
        series(&labels).histogram(histogram.at(NOW_MS)).histogram(gauge.at(NOW_MS)).metadata(3, "", "s"),
        series(&labels).histogram(custom.at(NOW_MS)),
    ];
    [Message::WriteRequest, Message::Request].map(|message| (message, Body::of(message, &all))).into()
}

fn answered(message: Message, body: &[u8]) {
    let answer = exchange(message, body);
    assert!([204, 400].contains(&answer.status().as_u16()));
    assert_eq!(written(&answer).is_some(), message == Message::Request);
}

#[test]
fn a_body_that_is_cut_is_answered() {
    for (message, body) in bodies() {
        assert_eq!(exchange(message, &body).status(), 204);
        (0..body.len()).for_each(|end| answered(message, &body[..end]));
        (0..body.len()).for_each(|start| answered(message, &body[start..]));
    }
}

#[test]
fn a_body_with_any_byte_changed_is_answered() {
    for (message, mut body) in bodies() {
        for at in 0..body.len() {
            for mask in [0xff, 0x80, 0x01, 0x07, 0x40] {
                body[at] ^= mask;
                answered(message, &body);
                body[at] ^= mask;
            }
        }
    }
}

/// A few bytes must not become work or memory without a bound.
#[test]
fn spans_without_counts_cost_nothing() {
    let huge =
        Histogram { positive: (vec![(0, u64::from(u32::MAX)); 1000], vec![1]), count: 1, ..Histogram::default() };
    let sent = Body::of(Message::Request, &[series(&[("__name__", "a")]).histogram(huge.at(NOW_MS))]);
    assert!(refused(&convert(Message::Request, &sent))[&0].contains("another number of buckets"));
}

#[test]
fn what_is_larger_than_any_sender_sends_is_refused() {
    let many = Histogram {
        count: 1 << 17,
        positive: (vec![(0, 1 << 17)], std::iter::once(1).chain(std::iter::repeat_n(0, (1 << 17) - 1)).collect()),
        ..Histogram::default()
    };
    let name = [("__name__", "a")];
    let sent = Body::of(Message::Request, &[series(&name).histogram(many.at(NOW_MS)).sample(1.0, NOW_MS)]);
    assert!(refused(&convert(Message::Request, &sent))[&0].contains("both"));
    let sent = Body::of(Message::WriteRequest, &[series(&name).histogram(many.at(NOW_MS)).sample(1.0, NOW_MS)]);
    let refused_items = refused(&convert(Message::WriteRequest, &sent));
    assert!(
        refused_items.len() == 1 && refused_items[&1].contains("more than 65536 positive buckets"),
        "{refused_items:?}"
    );
    let mut symbols = b"\x22\x00".repeat(1_000_001);
    symbols.extend_from_slice(b"\x2a\x00");
    assert!(refused(&convert(Message::Request, &symbols))[&0].contains("symbols"));
    // References make a gigabyte of labels of a megabyte, and none of it is written.
    let labels: Vec<(String, String)> = (0..1000).map(|n| (format!("l{n}"), "x".repeat(1 << 20))).collect();
    let labels = std::iter::once(("__name__".to_owned(), "a".to_owned())).chain(labels).collect();
    let sent = Body::of(Message::Request, &[Series { labels, ..Series::default() }.sample(1.0, NOW_MS)]);
    assert!(sent.len() < 2 << 20 && refused(&convert(Message::Request, &sent))[&0].contains("labels of 104"));
}
