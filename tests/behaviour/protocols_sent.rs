//! A request of each agents' protocol.

use jiff::Timestamp;
use serde_json::json;

use crate::client::{Answer, Client};
use crate::wired::{gauge, log_record, loki, otlp, snappy, span, time_series};

pub fn now_ns() -> u64 {
    u64::try_from(Timestamp::now().as_nanosecond()).unwrap()
}

pub fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// A request of a protocol.
pub struct Sample {
    pub name: &'static str,
    pub path: &'static str,
    pub headers: &'static [(&'static str, &'static str)],
    pub body: Vec<u8>,
    /// Of the answer to a request that is stored whole.
    pub status: u16,
    /// Rows that it makes, in `table`.
    pub rows: i64,
    pub table: &'static str,
    /// What decompression has to be undone to see the message.
    pub plain: Vec<u8>,
}

pub const PROTOBUF: &[(&str, &str)] = &[("content-type", "application/x-protobuf")];
pub const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
pub const REMOTE_WRITE: &[(&str, &str)] = &[
    ("content-type", "application/x-protobuf"),
    ("content-encoding", "snappy"),
    ("x-prometheus-remote-write-version", "0.1.0"),
];
pub const TEXT: &[(&str, &str)] = &[("content-type", "text/plain; charset=utf-8")];
const NDJSON: &[(&str, &str)] = &[("content-type", "application/x-ndjson")];
const SNAPPY: &[(&str, &str)] = &[("content-type", "application/x-protobuf"), ("content-encoding", "snappy")];

/// One request of each protocol and form, of this moment; `n` tells them apart.
pub fn samples(n: usize) -> Vec<Sample> {
    let (ns, ms) = (now_ns(), now_ms());
    let sample = |name, path, headers, plain: Vec<u8>, status, rows, table| {
        let is_snappy = headers == REMOTE_WRITE || headers == SNAPPY;
        let body = if is_snappy { snappy(&plain) } else { plain.clone() };
        Sample { name, path, headers, body, status, rows, table, plain }
    };
    let host = format!("host-{n}");
    let labels = [("__name__", "up"), ("instance", &*host), ("job", "node")];
    let series = time_series(&labels, &[(1.0, ms), (0.5, ms - 1000)]);
    let logs = otlp("shop", &host, &[log_record(ns, "hello"), log_record(ns + 1000, "again")]);
    let traces = otlp("shop", &host, &[span(&[7; 16], &[1; 8], b"", "GET /", ns, ns + 2_500_000)]);
    let metrics = otlp("shop", &host, &[gauge("latency", &[(ns, 41.5), (ns + 1000, 42.0)])]);
    let json_logs = json!({ "resourceLogs": [{ "resource": { "attributes": [
        { "key": "service.name", "value": { "stringValue": "shop" } },
        { "key": "host.name", "value": { "stringValue": host } }] },
        "scopeLogs": [{ "logRecords": [{ "timeUnixNano": ns.to_string(), "severityNumber": 17,
            "body": { "stringValue": "in JSON" }, "attributes": [] }] }] }] });
    let json_metrics = json!({ "resourceMetrics": [{ "resource": { "attributes": [
        { "key": "host.name", "value": { "stringValue": host } }] },
        "scopeMetrics": [{ "metrics": [{ "name": "requests", "sum": { "aggregationTemporality": 2, "isMonotonic": true,
            "dataPoints": [{ "timeUnixNano": ns.to_string(), "asInt": "7" }] } }] }] }] });
    let json_traces = json!({ "resourceSpans": [{ "resource": { "attributes": [
        { "key": "service.name", "value": { "stringValue": "shop" } }] },
        "scopeSpans": [{ "spans": [{ "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174",
            "name": "in JSON", "kind": 2, "startTimeUnixNano": ns.to_string(),
            "endTimeUnixNano": (ns + 1_000_000).to_string() }] }] }] });
    let lines = format!("cpu,host={host},cpu=cpu0 user=1.5,system=2i {ns}\nmem,host={host} used=12u {ns}\n");
    let push = loki(&format!(r#"{{job="nginx", host="{host}", level="warn"}}"#), &[(ns, "one"), (ns + 1000, "two")]);
    let json_push = json!({ "streams": [{ "stream": { "job": "nginx", "host": host },
        "values": [[ns.to_string(), "in JSON"], [(ns + 1000).to_string(), "more", { "trace_id": "abc" }]] }] });
    let seconds = format!("{}.{:03}", ms / 1000, ms % 1000);
    let hec = format!(
        "{}{}",
        json!({ "time": seconds.parse::<f64>().unwrap(), "host": host, "source": "app", "sourcetype": "log", "event": "text" }),
        json!({ "host": host, "source": "app", "event": { "n": n }, "fields": { "zone": "a" } })
    );
    let time = Timestamp::now();
    let document = json!({ "@timestamp": time.to_string(), "message": "hi", "host": { "name": host }, "log": { "level": "warn" } });
    let bulk =
        format!("{}\n{document}\n{}\n{document}\n", json!({ "index": { "_index": "logs" } }), json!({ "create": {} }));
    vec![
        sample("otlp logs", "/v1/logs", PROTOBUF, logs, 200, 2, "events"),
        sample("otlp logs in JSON", "/v1/logs", JSON, json_logs.to_string().into_bytes(), 200, 1, "events"),
        sample("otlp traces", "/v1/traces", PROTOBUF, traces, 200, 1, "events"),
        sample("otlp traces in JSON", "/v1/traces", JSON, json_traces.to_string().into_bytes(), 200, 1, "events"),
        sample("otlp metrics", "/v1/metrics", PROTOBUF, metrics, 200, 2, "metrics"),
        sample("otlp metrics in JSON", "/v1/metrics", JSON, json_metrics.to_string().into_bytes(), 200, 1, "metrics"),
        sample("remote write", "/api/v1/write", REMOTE_WRITE, series, 204, 2, "metrics"),
        sample("influx v1", "/write?db=d&precision=ns", TEXT, lines.clone().into_bytes(), 204, 3, "metrics"),
        sample("influx v2", "/api/v2/write?org=o&bucket=b", TEXT, lines.clone().into_bytes(), 204, 3, "metrics"),
        sample("influx v3", "/api/v3/write_lp?db=d3", TEXT, lines.into_bytes(), 204, 3, "metrics"),
        sample("loki", "/loki/api/v1/push", SNAPPY, push, 204, 2, "events"),
        sample("loki in JSON", "/loki/api/v1/push", JSON, json_push.to_string().into_bytes(), 204, 2, "events"),
        sample("splunk", "/services/collector/event", JSON, hec.into_bytes(), 200, 2, "events"),
        sample("splunk raw", "/services/collector/raw?host=h", TEXT, b"one\ntwo\n".to_vec(), 200, 2, "events"),
        sample("elastic", "/elastic/logs/_bulk", NDJSON, bulk.into_bytes(), 200, 2, "events"),
    ]
}

impl Sample {
    pub fn send(&self, client: &Client) -> Answer {
        client.post(self.path, self.headers, &self.body)
    }

    /// The same with another body, compressed as its head says.
    pub fn send_plain(&self, client: &Client, plain: &[u8]) -> Answer {
        let is_snappy = self.headers.contains(&("content-encoding", "snappy"));
        client.post(self.path, self.headers, if is_snappy { snappy(plain) } else { plain.to_vec() })
    }
}
