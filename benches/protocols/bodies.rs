//! Bodies of each protocol, the same in every run but for their time, and as agents send them.

#[path = "../../tests/harness/wired.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "it is of tests, which use all of it")]
mod wired;

use std::fmt::Write as _;

use bytes::Bytes;

use wired::{attribute, double, field, fixed, loki, message, number, otlp, span, time_series};

/// Of a body.
pub const ITEMS: usize = 2000;

/// A body, its route and type, and how many items it makes.
pub struct Body {
    pub name: &'static str,
    pub route: &'static str,
    pub content_type: &'static str,
    pub bytes: Bytes,
    pub items: usize,
}

/// A log record of about 80 characters, with four attributes.
fn record(ns: u64, n: usize) -> Vec<u8> {
    let text =
        format!("GET /api/v1/orders/{n} answered 200 in {} ms for customer {}, from the cache", n % 97, n % 1009);
    message([
        fixed(1, ns + n as u64 * 1000),
        number(2, 9),
        field(3, "INFO"),
        field(5, field(1, text)),
        field(6, attribute("http.request.method", "GET")),
        field(6, attribute("http.route", "/api/v1/orders/{id}")),
        field(6, attribute("server.address", "orders-7f9c")),
        field(6, message([field(1, "http.response.status_code"), field(2, number(3, 200))])),
        field(9, [7; 16]),
        field(10, [9; 8]),
    ])
}

fn labels(n: usize) -> [(String, String); 8] {
    let pair = |name: &str, value: String| (name.to_owned(), value);
    [
        pair("__name__", format!("http_requests_{}_total", n % 40)),
        pair("instance", format!("10.0.{}.{}:9100", n % 16, n % 250)),
        pair("job", "orders".to_owned()),
        pair("code", (200 + n % 5).to_string()),
        pair("handler", format!("/api/v1/{}", n % 30)),
        pair("method", "GET".to_owned()),
        pair("region", "eu-central-1".to_owned()),
        pair("pod", format!("orders-7f9c-{}", n % 50)),
    ]
}

fn series(n: usize, samples: &[(f64, i64)]) -> Vec<u8> {
    let owned = labels(n);
    let labels: Vec<(&str, &str)> = owned.iter().map(|(name, value)| (&**name, &**value)).collect();
    time_series(&labels, samples)
}

#[expect(clippy::cast_precision_loss, reason = "any numbers will do")]
fn number_of(n: usize) -> f64 {
    n as f64 * 1.25
}

/// Gauges of OTLP with four attributes a point.
fn points(ns: u64) -> Vec<Vec<u8>> {
    let point = |n: usize| {
        let attributes = [
            field(7, attribute("cpu", &format!("cpu{}", n % 8))),
            field(7, attribute("state", "user")),
            field(7, attribute("region", "eu-central-1")),
            field(7, attribute("pod", &format!("orders-7f9c-{}", n % 50))),
        ];
        field(1, message([fixed(3, ns + n as u64 * 1000), double(4, number_of(n)), attributes.concat()]))
    };
    (0..40)
        .map(|metric| {
            let points: Vec<Vec<u8>> = (0..ITEMS / 40).map(|n| point(metric * 50 + n)).collect();
            message([field(1, format!("system.cpu.time.{metric}")), field(3, "s"), field(5, message(points))])
        })
        .collect()
}

/// One of each protocol and form, of moments from `ns` on.
pub fn all(ns: u64) -> Vec<Body> {
    let ms = i64::try_from(ns / 1_000_000).expect("a moment of these days");
    let body = |name, route, content_type, bytes: Vec<u8>, items| Body {
        name,
        route,
        content_type,
        bytes: bytes.into(),
        items,
    };
    let protobuf = "application/x-protobuf";
    let records: Vec<Vec<u8>> = (0..ITEMS).map(|n| record(ns, n)).collect();
    let spans: Vec<Vec<u8>> = (0..ITEMS)
        .map(|n| span(&[3; 16], &(n as u64 + 1).to_be_bytes(), &[1; 8], "GET /api/v1/orders", ns, ns + 2_000_000))
        .collect();
    let writes: Vec<u8> = (0..ITEMS).flat_map(|n| series(n, &[(number_of(n), ms)])).collect();
    let long: Vec<(f64, i64)> = (0..200_u16).map(|n| (f64::from(n), ms - 1000 * i64::from(n))).collect();
    let long: Vec<u8> = (0..ITEMS / 200).flat_map(|n| series(n, &long)).collect();
    let (mut lines, mut logs, mut events, mut documents) = (String::new(), String::new(), String::new(), String::new());
    let mut values = String::new();
    for n in 0..ITEMS {
        let at = ns + n as u64 * 1000;
        if n % 4 == 0 {
            writeln!(
                lines,
                "cpu,cpu=cpu{},host=orders-{},region=eu-central-1 usage_user={},usage_system={}i,usage_idle=93.25,usage_nice=0 {at}",
                n % 8, n % 50, number_of(n), n
            )
            .expect("a String takes all text");
        }
        let comma = if n == 0 { "" } else { "," };
        write!(
            logs,
            "{comma}{{\"timeUnixNano\":\"{at}\",\"severityNumber\":9,\"severityText\":\"INFO\",\"body\":{{\"stringValue\":\
             \"GET /api/v1/orders/{n} answered 200 from the cache\"}},\"attributes\":[{{\"key\":\"http.request.method\",\"value\":\
             {{\"stringValue\":\"GET\"}}}},{{\"key\":\"http.response.status_code\",\"value\":{{\"intValue\":\"200\"}}}}]}}"
        )
        .expect("a String takes all text");
        write!(values, "{comma}[\"{at}\",\"GET /api/v1/orders/{n} answered 200 from the cache\"]")
            .expect("a String takes all text");
        write!(
            events,
            "{{\"time\":{}.{:06},\"host\":\"orders-{}\",\"source\":\"app\",\"sourcetype\":\"json\",\"event\":{{\"message\":\
             \"GET /api/v1/orders/{n} answered 200\",\"status\":200}}}}",
            at / 1_000_000_000, at / 1000 % 1_000_000, n % 50
        )
        .expect("a String takes all text");
        write!(
            documents,
            "{{\"create\":{{\"_index\":\"logs\"}}}}\n{{\"@timestamp\":{},\"message\":\
             \"GET /api/v1/orders/{n} answered 200\",\"host\":{{\"name\":\"orders-{}\"}},\"log\":{{\"level\":\"info\"}}}}\n",
            at / 1_000_000, n % 50
        )
        .expect("a String takes all text");
    }
    let logs = format!(
        "{{\"resourceLogs\":[{{\"resource\":{{\"attributes\":[{{\"key\":\"service.name\",\"value\":{{\"stringValue\":\"orders\"}}}}]}},\
         \"scopeLogs\":[{{\"logRecords\":[{logs}]}}]}}]}}"
    );
    let values =
        format!("{{\"streams\":[{{\"stream\":{{\"job\":\"nginx\",\"host\":\"orders-1\"}},\"values\":[{values}]}}]}}");
    let entries: Vec<(u64, String)> = (0..ITEMS)
        .map(|n| (ns + n as u64 * 1000, format!("GET /api/v1/orders/{n} answered 200 from the cache")))
        .collect();
    let entries: Vec<(u64, &str)> = entries.iter().map(|(ns, line)| (*ns, &**line)).collect();
    let json = "application/json";
    vec![
        body("otlp logs", "/v1/logs", protobuf, otlp("orders", "orders-1", &records), ITEMS),
        body("otlp logs in JSON", "/v1/logs", json, logs.into_bytes(), ITEMS),
        body("otlp spans", "/v1/traces", protobuf, otlp("orders", "orders-1", &spans), ITEMS),
        body("otlp metrics", "/v1/metrics", protobuf, otlp("orders", "orders-1", &points(ns)), ITEMS),
        body("remote write, a sample a series", "/api/v1/write", protobuf, writes, ITEMS),
        body("remote write, 200 samples a series", "/api/v1/write", protobuf, long, ITEMS),
        body("line protocol, 4 fields a line", "/api/v2/write", "text/plain", lines.into_bytes(), ITEMS),
        body("loki", "/loki/api/v1/push", protobuf, loki("{job=\"nginx\", host=\"orders-1\"}", &entries), ITEMS),
        body("loki in JSON", "/loki/api/v1/push", json, values.into_bytes(), ITEMS),
        body("splunk", "/services/collector/event", json, events.into_bytes(), ITEMS),
        body("elastic", "/elastic/_bulk", "application/x-ndjson", documents.into_bytes(), ITEMS),
    ]
}

/// What a sender of Tidegate's own format would send in the place of each: log records, and samples of remote write; and log
/// records again with all that a record of OTLP says, which are as long when they are stored.
pub fn native(ns: u64) -> [Body; 3] {
    let (mut events, mut metrics, mut full) = (String::from("["), String::from("["), String::from("["));
    for n in 0..ITEMS {
        let at = ns + n as u64 * 1000;
        let comma = if n == 0 { "" } else { "," };
        let event = format!(
            "{{\"event_type\":\"log\",\"source_module\":\"orders\",\"timestamp\":{at},\"asset_id\":\"orders-1\",\"trace_id\":\
             \"07070707070707070707070707070707\",\"payload\":{{\"body\":\"GET /api/v1/orders/{n} answered 200 in {} ms for customer {}, from \
             the cache\",\"attributes\":{{\"http.request.method\":\"GET\",\"http.route\":\"/api/v1/orders/{{id}}\",\"server.address\":\
             \"orders-7f9c\",\"http.response.status_code\":200}}}}",
            n % 97,
            n % 1009
        );
        write!(events, "{comma}{event}}}").expect("a String takes all text");
        write!(
            full,
            "{comma}{event},\"severity\":\"info\",\"metadata\":{{\"otlp\":{{\"severity_number\":9,\"severity_text\":\"INFO\",\"span_id\":\
             \"0909090909090909\",\"resource\":{{\"service.name\":\"orders\",\"host.name\":\"orders-1\"}},\"scope\":{{\"name\":\"lib\"}}}}}}}}"
        )
        .expect("a String takes all text");
        let [name, instance, labels @ ..] = labels(n);
        write!(
            metrics,
            "{comma}{{\"asset_id\":\"{}\",\"metric_type\":\"untyped\",\"metric_name\":\"{}\",\"timestamp\":{at},\"value\":{},\"dimensions\":{{",
            instance.1,
            name.1,
            number_of(n)
        )
        .expect("a String takes all text");
        for (at, (label, value)) in labels.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(metrics, "{comma}\"{label}\":\"{value}\"").expect("a String takes all text");
        }
        metrics.push_str("}}");
    }
    events.push(']');
    full.push(']');
    metrics.push(']');
    let body = |name, route, text: String| Body {
        name,
        route,
        content_type: "application/json",
        bytes: text.into(),
        items: ITEMS,
    };
    [
        body("native events", "/v1/events", events),
        body("native metrics", "/v1/metrics", metrics),
        body("native events, as long as otlp logs", "/v1/events", full),
    ]
}
