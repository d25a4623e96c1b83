//! What each protocol costs on one core, without a database: `cargo bench --bench protocols`. From a decompressed body to
//! Tidegate's own items (`convert`), and on to encoded rows (`encode`). Bodies are the same in every run.

#[path = "../tests/harness/wired.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "it is of tests, which use all of it")]
mod wired;

use std::fmt::Write as _;
use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hyper::HeaderMap;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use tidegate::limits::MIB;
use tidegate::model::Kind;
use tidegate::protocols::{Converted, Converter, Head, Items, Segments, doors};
use tidegate::wire::event::{self, Defaults};
use tidegate::wire::item::{BodyForm, ItemContext, StoredJson, TimeBounds};
use tidegate::wire::metric;
use uuid::Uuid;

use wired::{attribute, double, field, fixed, loki, message, number, otlp, span, time_series};

const ITEMS: usize = 2000;
/// 2025-11-21T00:00:00Z.
const RECEIVED_AT_US: i64 = 1_763_683_200_000_000;
const NS: u64 = 1_763_683_100_000_000_000;
const MS: i64 = 1_763_683_100_000;

fn origin() -> ItemContext<'static> {
    ItemContext {
        tenant_id: "acme",
        api_key_id: Uuid::from_u128(1),
        receipt: Uuid::from_u128(2),
        received_at_us: RECEIVED_AT_US,
        bounds: TimeBounds {
            oldest_us: RECEIVED_AT_US - 31_536_000_000_000,
            newest_us: RECEIVED_AT_US + 604_800_000_000,
        },
        item_bytes_max: 16 * MIB,
        stored_json: StoredJson::Jsonb,
        projections: tidegate::projections::concerns,
    }
}

/// A body, its route and type, and how many items it makes.
struct Body {
    name: &'static str,
    route: &'static str,
    content_type: &'static str,
    bytes: Bytes,
    items: usize,
}

fn convert(body: &Body) -> Converted {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(body.content_type))]);
    let door = doors()
        .find(|door| door.route.name == body.route && door.protocol.speaks(&headers))
        .expect("a door of this name");
    let path = Segments::default();
    let head = Head { route: door.route, path: &path, query: None, headers: &headers };
    let mut into = Converter::new(Box::new(|_| Ok(())));
    let Ok(Items::Converted) = door.protocol.items(&head, &body.bytes, &mut into) else { panic!("{}", body.name) };
    into.finish(body.bytes.clone()).expect("there is room")
}

fn kind(body: &Body) -> Kind {
    doors().find(|door| door.route.name == body.route).expect("a door of this name").route.kind
}

/// A log record of about 80 characters, with four attributes.
fn record(n: usize) -> Vec<u8> {
    let text =
        format!("GET /api/v1/orders/{n} answered 200 in {} ms for customer {}, from the cache", n % 97, n % 1009);
    message([
        fixed(1, NS + n as u64 * 1000),
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
fn points() -> Vec<Vec<u8>> {
    let point = |n: usize| {
        let attributes = [
            field(7, attribute("cpu", &format!("cpu{}", n % 8))),
            field(7, attribute("state", "user")),
            field(7, attribute("region", "eu-central-1")),
            field(7, attribute("pod", &format!("orders-7f9c-{}", n % 50))),
        ];
        field(1, message([fixed(3, NS + n as u64 * 1000), double(4, number_of(n)), attributes.concat()]))
    };
    (0..40)
        .map(|metric| {
            let points: Vec<Vec<u8>> = (0..ITEMS / 40).map(|n| point(metric * 50 + n)).collect();
            message([field(1, format!("system.cpu.time.{metric}")), field(3, "s"), field(5, message(points))])
        })
        .collect()
}

fn bodies() -> Vec<Body> {
    let body = |name, route, content_type, bytes: Vec<u8>, items| Body {
        name,
        route,
        content_type,
        bytes: bytes.into(),
        items,
    };
    let protobuf = "application/x-protobuf";
    let records: Vec<Vec<u8>> = (0..ITEMS).map(record).collect();
    let spans: Vec<Vec<u8>> = (0..ITEMS)
        .map(|n| span(&[3; 16], &(n as u64 + 1).to_be_bytes(), &[1; 8], "GET /api/v1/orders", NS, NS + 2_000_000))
        .collect();
    let writes: Vec<u8> = (0..ITEMS).flat_map(|n| series(n, &[(number_of(n), MS)])).collect();
    let long: Vec<(f64, i64)> = (0..200_u16).map(|n| (f64::from(n), MS - 1000 * i64::from(n))).collect();
    let long: Vec<u8> = (0..ITEMS / 200).flat_map(|n| series(n, &long)).collect();
    let (mut lines, mut logs, mut events, mut documents) = (String::new(), String::new(), String::new(), String::new());
    let mut values = String::new();
    for n in 0..ITEMS {
        let ns = NS + n as u64 * 1000;
        if n % 4 == 0 {
            writeln!(
                lines,
                "cpu,cpu=cpu{},host=orders-{},region=eu-central-1 usage_user={},usage_system={}i,usage_idle=93.25,usage_nice=0 {ns}",
                n % 8, n % 50, number_of(n), n
            )
            .expect("a String takes all text");
        }
        let comma = if n == 0 { "" } else { "," };
        write!(
            logs,
            "{comma}{{\"timeUnixNano\":\"{ns}\",\"severityNumber\":9,\"severityText\":\"INFO\",\"body\":{{\"stringValue\":\
             \"GET /api/v1/orders/{n} answered 200 from the cache\"}},\"attributes\":[{{\"key\":\"http.request.method\",\"value\":\
             {{\"stringValue\":\"GET\"}}}},{{\"key\":\"http.response.status_code\",\"value\":{{\"intValue\":\"200\"}}}}]}}"
        )
        .expect("a String takes all text");
        write!(values, "{comma}[\"{ns}\",\"GET /api/v1/orders/{n} answered 200 from the cache\"]")
            .expect("a String takes all text");
        write!(
            events,
            "{{\"time\":1763683100.{:03},\"host\":\"orders-{}\",\"source\":\"app\",\"sourcetype\":\"json\",\"event\":{{\"message\":\
             \"GET /api/v1/orders/{n} answered 200\",\"status\":200}}}}",
            n % 1000, n % 50
        )
        .expect("a String takes all text");
        write!(
            documents,
            "{{\"create\":{{\"_index\":\"logs\"}}}}\n{{\"@timestamp\":\"2025-11-20T12:34:56.{:03}Z\",\"message\":\
             \"GET /api/v1/orders/{n} answered 200\",\"host\":{{\"name\":\"orders-{}\"}},\"log\":{{\"level\":\"info\"}}}}\n",
            n % 1000, n % 50
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
        .map(|n| (NS + n as u64 * 1000, format!("GET /api/v1/orders/{n} answered 200 from the cache")))
        .collect();
    let entries: Vec<(u64, &str)> = entries.iter().map(|(ns, line)| (*ns, &**line)).collect();
    let json = "application/json";
    vec![
        body("otlp logs", "/v1/logs", protobuf, otlp("orders", "orders-1", &records), ITEMS),
        body("otlp logs in JSON", "/v1/logs", json, logs.into_bytes(), ITEMS),
        body("otlp spans", "/v1/traces", protobuf, otlp("orders", "orders-1", &spans), ITEMS),
        body("otlp metrics", "/v1/metrics", protobuf, otlp("orders", "orders-1", &points()), ITEMS),
        body("remote write, a sample a series", "/api/v1/write", protobuf, writes, ITEMS),
        body("remote write, 200 samples a series", "/api/v1/write", protobuf, long, ITEMS),
        body("line protocol, 4 fields a line", "/api/v2/write", "text/plain", lines.into_bytes(), ITEMS),
        body("loki", "/loki/api/v1/push", protobuf, loki("{job=\"nginx\", host=\"orders-1\"}", &entries), ITEMS),
        body("loki in JSON", "/loki/api/v1/push", json, values.into_bytes(), ITEMS),
        body("splunk", "/services/collector/event", json, events.into_bytes(), ITEMS),
        body("elastic", "/elastic/_bulk", "application/x-ndjson", documents.into_bytes(), ITEMS),
    ]
}

fn bench(criterion: &mut Criterion) {
    for body in bodies() {
        let made = convert(&body);
        assert_eq!(made.original.places.len(), body.items, "{}", body.name);
        let mut group = criterion.benchmark_group(body.name);
        group.throughput(Throughput::Elements(body.items as u64));
        group.bench_function("convert", |bencher| bencher.iter(|| black_box(convert(&body))));
        let (mut events, mut metrics, origin) = (event::Decoder::new(), metric::Decoder::new(), origin());
        group.bench_function("encode", |bencher| {
            bencher.iter(|| {
                let decoded = match kind(&body) {
                    Kind::Events => events.decode(&made.items, BodyForm::Converted, &Defaults::default(), &origin),
                    Kind::Metrics => metrics.decode(&made.items, BodyForm::Converted, &origin),
                };
                let decoded = decoded.expect("there are items");
                assert_eq!(decoded.accepted() as usize, body.items, "{:?}", decoded.rejected.first());
                black_box(decoded)
            });
        });
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
