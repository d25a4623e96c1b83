//! Requests in JSON, as the cases of tests are written, put into protobuf by the numbers of the specification.

use serde_json::Value;

use crate::protocols::protobuf::{put_bytes, put_f64, put_fixed64, put_varint};

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Base64,
    Bool,
    Varint,
    Zigzag,
    Fixed64,
    Double,
    Fixed64s,
    Doubles,
    Varints,
    Message(&'static str),
}

fn field(message: &str, name: &str) -> Option<(u32, Kind)> {
    use Kind::*;
    Some(match (message, name) {
        ("Request", "resourceMetrics") => (1, Message("ResourceMetrics")),
        ("ResourceMetrics", "resource") => (1, Message("Resource")),
        ("ResourceMetrics", "scopeMetrics") => (2, Message("ScopeMetrics")),
        ("ResourceMetrics" | "ScopeMetrics", "schemaUrl") => (3, Text),
        ("Resource", "attributes") => (1, Message("KeyValue")),
        ("ScopeMetrics", "scope") => (1, Message("Scope")),
        ("ScopeMetrics", "metrics") => (2, Message("Metric")),
        ("Scope", "name") => (1, Text),
        ("Scope", "version") => (2, Text),
        ("Scope", "attributes") => (3, Message("KeyValue")),
        ("KeyValue", "key") => (1, Text),
        ("KeyValue", "value") => (2, Message("AnyValue")),
        ("AnyValue", "stringValue") => (1, Text),
        ("AnyValue", "boolValue") => (2, Bool),
        ("AnyValue", "intValue") => (3, Varint),
        ("AnyValue", "doubleValue") => (4, Double),
        ("AnyValue", "arrayValue") => (5, Message("ArrayValue")),
        ("AnyValue", "kvlistValue") => (6, Message("KeyValueList")),
        ("AnyValue", "bytesValue") => (7, Base64),
        ("ArrayValue", "values") => (1, Message("AnyValue")),
        ("KeyValueList", "values") => (1, Message("KeyValue")),
        ("Metric", "name") => (1, Text),
        ("Metric", "description") => (2, Text),
        ("Metric", "unit") => (3, Text),
        ("Metric", "gauge") => (5, Message("Number")),
        ("Metric", "sum") => (7, Message("Number")),
        ("Metric", "histogram") => (9, Message("Histogram")),
        ("Metric", "exponentialHistogram") => (10, Message("Exponential")),
        ("Metric", "summary") => (11, Message("Summary")),
        ("Metric", "metadata") => (12, Message("KeyValue")),
        ("Number", "dataPoints") => (1, Message("NumberPoint")),
        ("Histogram", "dataPoints") => (1, Message("HistogramPoint")),
        ("Exponential", "dataPoints") => (1, Message("ExponentialPoint")),
        ("Summary", "dataPoints") => (1, Message("SummaryPoint")),
        (_, "aggregationTemporality") => (2, Varint),
        (_, "isMonotonic") => (3, Bool),
        (_, "startTimeUnixNano") => (2, Fixed64),
        (_, "timeUnixNano") => (3, Fixed64),
        ("NumberPoint", "asDouble") => (4, Double),
        ("NumberPoint", "exemplars") => (5, Message("Exemplar")),
        ("NumberPoint", "asInt") => (6, Fixed64),
        ("NumberPoint" | "SummaryPoint", "attributes") => (7, Message("KeyValue")),
        ("NumberPoint" | "SummaryPoint", "flags") => (8, Varint),
        ("HistogramPoint" | "ExponentialPoint" | "SummaryPoint", "count") => (4, Fixed64),
        ("HistogramPoint" | "ExponentialPoint" | "SummaryPoint", "sum") => (5, Double),
        ("HistogramPoint", "bucketCounts") => (6, Fixed64s),
        ("HistogramPoint", "explicitBounds") => (7, Doubles),
        ("HistogramPoint", "exemplars") => (8, Message("Exemplar")),
        ("HistogramPoint", "attributes") => (9, Message("KeyValue")),
        ("HistogramPoint" | "ExponentialPoint", "flags") => (10, Varint),
        ("HistogramPoint", "min") => (11, Double),
        ("HistogramPoint", "max") => (12, Double),
        ("ExponentialPoint", "attributes") => (1, Message("KeyValue")),
        ("ExponentialPoint", "scale") => (6, Zigzag),
        ("ExponentialPoint", "zeroCount") => (7, Fixed64),
        ("ExponentialPoint", "positive") => (8, Message("Buckets")),
        ("ExponentialPoint", "negative") => (9, Message("Buckets")),
        ("ExponentialPoint", "exemplars") => (11, Message("Exemplar")),
        ("ExponentialPoint", "min") => (12, Double),
        ("ExponentialPoint", "max") => (13, Double),
        ("ExponentialPoint", "zeroThreshold") => (14, Double),
        ("Buckets", "offset") => (1, Zigzag),
        ("Buckets", "bucketCounts") => (2, Varints),
        ("SummaryPoint", "quantileValues") => (6, Message("Quantile")),
        ("Quantile", "quantile") => (1, Double),
        ("Quantile", "value") => (2, Double),
        ("Exemplar", _) => return None,
        (_, unknown) if unknown.starts_with("unknown") => return None,
        (message, name) => panic!("no field {name} in {message}"),
    })
}

/// A request's JSON in protobuf.
pub fn protobuf(request: &Value) -> Vec<u8> {
    message("Request", request)
}

fn message(schema: &str, value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in value.as_object().expect("a message is an object") {
        if value.is_null() {
            continue;
        }
        let Some((number, kind)) = field(schema, name) else {
            // A field that the schema does not have.
            put_bytes(&mut out, 999, b"unknown");
            continue;
        };
        match kind {
            Kind::Message(schema) if value.is_array() => {
                items(value).iter().for_each(|value| put_bytes(&mut out, number, &message(schema, value)));
            }
            Kind::Message(schema) => put_bytes(&mut out, number, &message(schema, value)),
            Kind::Text => put_bytes(&mut out, number, value.as_str().unwrap().as_bytes()),
            Kind::Base64 => {
                use base64::Engine as _;
                let engine = base64::engine::general_purpose::STANDARD;
                put_bytes(&mut out, number, &engine.decode(value.as_str().unwrap()).unwrap());
            }
            Kind::Bool => varint(&mut out, number, value.as_bool().unwrap().into()),
            Kind::Varint => varint(&mut out, number, bits(value)),
            Kind::Zigzag => varint(&mut out, number, zigzag(bits(value))),
            Kind::Fixed64 => put_fixed64(&mut out, number, bits(value)),
            Kind::Double => put_f64(&mut out, number, double(value)),
            Kind::Fixed64s => {
                let packed: Vec<u8> = items(value).iter().flat_map(|value| bits(value).to_le_bytes()).collect();
                put_bytes(&mut out, number, &packed);
            }
            Kind::Doubles => {
                let packed: Vec<u8> = items(value).iter().flat_map(|value| double(value).to_le_bytes()).collect();
                put_bytes(&mut out, number, &packed);
            }
            Kind::Varints => {
                let mut packed = Vec::new();
                items(value).iter().for_each(|value| put_varint(&mut packed, bits(value)));
                put_bytes(&mut out, number, &packed);
            }
        }
    }
    out
}

fn items(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn varint(out: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(out, u64::from(number) << 3);
    put_varint(out, value);
}

fn zigzag(bits: u64) -> u64 {
    let value = bits.cast_signed();
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// A whole number, in quotes or not, as its bits.
fn bits(value: &Value) -> u64 {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.parse::<u64>().unwrap_or_else(|_| text.parse::<i64>().unwrap().cast_unsigned())
}

fn double(value: &Value) -> f64 {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match text.as_str() {
        "NaN" => f64::NAN,
        "Infinity" => f64::INFINITY,
        "-Infinity" => f64::NEG_INFINITY,
        number => number.parse().unwrap(),
    }
}
