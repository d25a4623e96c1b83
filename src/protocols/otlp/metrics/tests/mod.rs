//! What requests become. Every case is written in JSON, and must give the same in protobuf.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod data_model;
mod estimates;
mod json_mapping;
mod since_start;
mod transcode;
mod unreadable;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::protocols::Converter;
use crate::protocols::convert::Converted;
use crate::wire::item::{BodyForm, Decoded, ItemContext, StoredJson, TimeBounds};
use crate::wire::metric::Decoder;

const TIME: &str = "1544712660300000000";
const TIME_NS: u64 = 1_544_712_660_300_000_000;

pub fn convert(body: &[u8], read: impl FnOnce(&[u8], &mut Converter<'_>)) -> Converted {
    let mut into = Converter::new(Box::new(|_| Ok(())));
    read(body, &mut into);
    into.finish(Bytes::copy_from_slice(body)).unwrap()
}

/// The request in both forms.
fn converted(request: &Value) -> Vec<Converted> {
    let json = serde_json::to_vec(request).unwrap();
    assert!(is_otlp_json(&json));
    vec![convert(&transcode::protobuf(request), from_protobuf), convert(&json, from_json)]
}

pub fn items(made: &Converted) -> Vec<Value> {
    made.items
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

/// What the decoder of metrics says of the items.
pub fn decoded(made: &Converted) -> Decoded {
    let origin = ItemContext {
        tenant_id: "acme",
        api_key_id: Uuid::from_u128(1),
        receipt: Uuid::from_u128(2),
        received_at_us: 1_544_712_661_000_000,
        bounds: TimeBounds { oldest_us: 0, newest_us: 4_000_000_000_000_000 },
        item_bytes_max: 1 << 20,
        stored_json: StoredJson::Jsonb,
        projections: |_| 0,
    };
    Decoder::new().decode(&made.items, BodyForm::Converted, &origin).unwrap()
}

/// A request of one resource and one scope, both without attributes.
fn request(metrics: Value) -> Value {
    json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]})
}

/// The same of one metric.
fn point(more: Value) -> Value {
    let mut point = json!({"timeUnixNano": TIME});
    point.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!([point])
}

fn item(metric_type: &str, name: &str, dimensions: Value, more: Value) -> Value {
    let mut item =
        json!({"asset_id": "unknown", "metric_type": metric_type, "metric_name": name, "timestamp": TIME_NS});
    if dimensions != json!({}) {
        item["dimensions"] = dimensions;
    }
    item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    item
}

fn metric(name: &str, data: Value) -> Value {
    let mut metric = json!({"name": name});
    metric.as_object_mut().unwrap().extend(data.as_object().unwrap().clone());
    request(json!([metric]))
}

/// The text of a request of these metrics.
fn request_text(metrics: &str) -> String {
    format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{metrics}]}}]}}]}}"#)
}

/// The text of a request of this data point of a gauge.
fn gauge_text(point: &str) -> String {
    request_text(&format!(r#"{{"name":"m","gauge":{{"dataPoints":[{point}]}}}}"#))
}

fn attribute(key: &str, value: Value) -> Value {
    json!({"key": key, "value": value})
}

fn text(key: &str, value: &str) -> Value {
    attribute(key, json!({"stringValue": value}))
}

/// Asserts what a request becomes in either form, and that the decoder takes every item.
fn assert_items(request: &Value, expected: Value, notes: &[(&str, u64)]) {
    for made in converted(request) {
        assert_eq!(Value::Array(items(&made)), expected, "{request}");
        let notes: BTreeMap<&str, u64> = notes.iter().copied().collect();
        assert_eq!(made.notes, notes, "{request}");
        if !made.items.is_empty() {
            assert_eq!(decoded(&made).rejected, [], "{request}");
        }
    }
}

/// Asserts that a request's one item is broken, for this reason.
fn assert_broken(request: &Value, reason: &str) {
    for made in converted(request) {
        assert_eq!(items(&made), [json!(0)], "{request}");
        let message = &made.original.broken[0].message;
        assert!(message.contains(reason), "{message} has no {reason}");
        assert_eq!(made.original.places[0].tag, 0, "{request}");
    }
}
