//! Requests as senders write them, and what becomes of them.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod answers;
mod body;
mod broken;
mod histograms;
mod one;
mod two;

use std::collections::BTreeMap;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::Value;
use uuid::Uuid;

use super::Prometheus;
use super::message::Message;
use crate::protocols::convert::{Converted, Converter};
use crate::protocols::{Answer, Ending, Head, ItemError, Protocol, Report, Segments, Sent};
use crate::wire::item::{BodyForm, Decoded, ItemContext, Original, StoredJson, TimeBounds};
use crate::wire::metric::Decoder;

/// 2025-11-21T00:00:00Z.
const NOW_MS: i64 = 1_763_683_200_000;
const DAY_US: i64 = 86_400_000_000;

fn headers(message: Message) -> HeaderMap {
    let content_type = match message {
        Message::WriteRequest => "application/x-protobuf",
        Message::Request => "application/x-protobuf;proto=io.prometheus.write.v2.Request",
    };
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))])
}

fn with_head<T>(headers: &HeaderMap, run: impl FnOnce(&Head<'_>) -> T) -> T {
    let path = Segments::default();
    run(&Head { route: &Prometheus.routes()[0], path: &path, query: None, headers })
}

fn convert(message: Message, body: &[u8]) -> Converted {
    let body = Bytes::copy_from_slice(body);
    let mut into = Converter::new(Box::new(|_| Ok(())));
    with_head(&headers(message), |head| Prometheus.items(head, &body, &mut into)).unwrap();
    into.finish(body).unwrap()
}

/// The items, `null` in the place of a broken one.
fn items(converted: &Converted) -> Vec<Value> {
    let lines = converted.items.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_slice(line).unwrap())
        .map(|item: Value| if item == 0 { Value::Null } else { item })
        .collect()
}

fn notes(converted: &Converted) -> Vec<(&'static str, u64)> {
    converted.notes.iter().map(|(name, count)| (*name, *count)).collect()
}

/// What Tidegate makes of the items.
fn decode(converted: &Converted) -> Decoded {
    let context = ItemContext {
        tenant_id: "acme",
        api_key_id: Uuid::from_u128(0xa11ce),
        receipt: Uuid::from_u128(0x5ec1e7),
        received_at_us: NOW_MS * 1000,
        bounds: TimeBounds { oldest_us: NOW_MS * 1000 - 89 * DAY_US, newest_us: NOW_MS * 1000 + 7 * DAY_US },
        item_bytes_max: 16 << 20,
        stored_json: StoredJson::Jsonb,
        projections: |_| 0,
    };
    let mut decoded = Decoder::new().decode(&converted.items, BodyForm::Converted, &context).unwrap();
    converted.original.explain(&mut decoded.rejected);
    decoded
}

/// The rejected items' messages, by index.
fn refused(converted: &Converted) -> BTreeMap<u32, String> {
    if converted.items.is_empty() {
        return BTreeMap::new();
    }
    let decoded = decode(converted);
    decoded.rejected.iter().map(|item| (item.index, item.rejection.message.to_string())).collect()
}

/// The answer to a body of which what can be decoded is written.
fn exchange(message: Message, body: &[u8]) -> Answer {
    let converted = convert(message, body);
    answer_to(message, body, Some(&converted.original), &refused(&converted))
}

fn answer_to(message: Message, body: &[u8], original: Option<&Original>, refused: &BTreeMap<u32, String>) -> Answer {
    let rejected = u32::try_from(refused.len()).unwrap();
    let accepted = original.map_or(0, |original| u32::try_from(original.places.len()).unwrap()) - rejected;
    let errors = refused.iter().map(|(index, said)| ItemError { index: *index, code: "code", message: said.into() });
    let report = Report {
        verdict: if accepted > 0 { Ending::Committed } else { Ending::NothingAccepted },
        receipt: Uuid::nil(),
        accepted,
        rejected,
        duplicates: 0,
        replayed: false,
        errors: Box::new(errors),
    };
    with_head(&headers(message), |head| Prometheus.answer(head, Sent { body, original }, report))
}

/// Samples, histograms and exemplars that an answer says were written.
fn written(answer: &Answer) -> Option<[u64; 3]> {
    let count = |what: &str| {
        let header = answer.headers().get(format!("x-prometheus-remote-write-{what}-written"))?;
        header.to_str().unwrap().parse().ok()
    };
    Some([count("samples")?, count("histograms")?, count("exemplars")?])
}
