//! Requests as the sources and documentation of Vector, Fluent Bit, Telegraf and the OpenTelemetry Collector have
//! them, for machines that have none of these: what they ask before they send, how they say who they are, and what
//! they send. Agents that can be installed are tried for themselves in tests/agents.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::env::{Env, Test, TestResult};
use crate::samples::gzip;
use crate::tests;
use crate::wired::{double, field, fixed, number, snappy};

pub const TESTS: &[Test] = tests!(
    vector_to_loki,
    vector_to_splunk,
    vector_to_elasticsearch,
    vector_to_influxdb,
    vector_by_remote_write,
    fluent_bit_to_loki,
    fluent_bit_to_splunk,
    fluent_bit_to_elasticsearch,
    fluent_bit_by_http,
    telegraf_to_influxdb,
    the_collector_by_http,
    the_collector_as_json,
);

/// Now, in whole seconds.
fn now_s() -> i64 {
    Timestamp::now().as_second()
}

/// Sends as an agent does, with nothing of the harness's own.
fn send(client: &Client, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    Client::new(&client.address, None).post(path, headers, body)
}

fn ask(client: &Client, path: &str, headers: &[(&str, &str)]) -> u16 {
    Client::new(&client.address, None).get_as(path, headers).status
}

fn vector_to_loki(env: &Env) -> TestResult {
    let service = env.share();
    let client = &service.client;
    assert_eq!(ask(client, "/ready", &[]), 200, "its health check");
    // PushRequest { streams: [{ labels, entries: [{ timestamp, line }] }] }
    let entry = |n: u64| {
        let at = [number(1, now_s().unsigned_abs()), number(2, n)].concat();
        let line = format!(r#"{{"message":"line {n}","host":"web-1","level":"warn"}}"#);
        field(2, [field(1, &at), field(2, line.as_bytes())].concat())
    };
    let labels = field(1, br#"{forwarder="vector",host="web-1",service_name="checkout"}"#);
    let stream = [labels, entry(1), entry(2)].concat();
    let body = snappy(&field(1, &stream));
    let bearer = format!("Bearer {}", client.key());
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/x-protobuf"),
        ("user-agent", "Vector/0.50.0 (x86_64-unknown-linux-gnu)"),
    ];
    let answer = send(client, "/loki/api/v1/push", &headers, &body);
    assert_eq!((answer.status, answer.text()), (204, ""));
    let sql = env.sql();
    assert_eq!(sql.count("events"), 2);
    assert_eq!(sql.column::<String>("SELECT DISTINCT asset_id FROM events"), ["web-1"]);
    Ok(())
}

fn vector_to_splunk(env: &Env) -> TestResult {
    let service = env.share();
    let client = &service.client;
    let token = format!("Splunk {}", client.key());
    assert_eq!(ask(client, "/services/collector/health/1.0", &[("authorization", &token)]), 200, "its health check");
    let at = now_s();
    let envelope = |fraction: &str, event: Value, fields: Value| {
        let time: Value = serde_json::from_str(&format!("{at}.{fraction}")).unwrap();
        json!({"event": event, "fields": fields, "time": time, "host": "web-1", "source": "checkout"}).to_string()
    };
    let body = envelope("125", json!({"message": "line 1", "level": "warn"}), json!({}))
        + &envelope("25", json!({"message": "line 2", "level": "info"}), json!({"shop": "north"}));
    let headers = [
        ("authorization", token.as_str()),
        ("content-type", "application/json"),
        ("content-encoding", "gzip"),
        ("x-splunk-request-channel", "3f2504e0-4f89-41d3-9a0c-0305e82c3301"),
    ];
    let answer = send(client, "/services/collector/event", &headers, &gzip(body.as_bytes()));
    let told = answer.expect(200);
    assert_eq!((&told["text"], &told["code"]), (&"Success".into(), &0.into()), "{told}");
    // It asks about an id that it is given, and waits for nothing where there is none.
    if let Some(id) = told["ackId"].as_u64() {
        let headers =
            [("authorization", token.as_str()), ("x-splunk-request-channel", "3f2504e0-4f89-41d3-9a0c-0305e82c3301")];
        let asked = send(client, "/services/collector/ack", &headers, format!(r#"{{"acks":[{id}]}}"#).as_bytes());
        assert_eq!(asked.expect(200)["acks"][id.to_string()], true);
    }
    let sql = env.sql();
    assert_eq!(sql.count("events"), 2);
    assert_eq!(
        sql.column::<String>("SELECT DISTINCT source_module || ' ' || asset_id FROM events"),
        ["checkout web-1"]
    );
    let millis = "SELECT (extract(milliseconds FROM timestamp))::int % 1000 FROM events ORDER BY 1";
    assert_eq!(sql.column::<i32>(millis), [125, 250]);
    Ok(())
}

fn vector_to_elasticsearch(env: &Env) -> TestResult {
    let service = env.share();
    let client = &service.client;
    let basic = basic(client);
    for path in ["/elastic/_cluster/health", "/elastic/"] {
        assert_eq!(ask(client, path, &[("authorization", &basic), ("accept", "application/json")]), 200, "{path}");
    }
    let body = "{\"create\":{\"_index\":\"vector-2026.11.29\"}}\n\
                {\"@timestamp\":\"TIME\",\"host\":\"web-1\",\"message\":\"line 1\",\"source_type\":\"file\"}\n\
                {\"create\":{\"_index\":\"vector-2026.11.29\",\"_id\":\"a\"}}\n\
                {\"@timestamp\":\"TIME\",\"host\":\"web-1\",\"message\":\"line 2\",\"source_type\":\"file\"}\n"
        .replace("TIME", &format!("{:.3}", Timestamp::now()));
    let headers =
        [("authorization", basic.as_str()), ("content-type", "application/x-ndjson"), ("content-encoding", "gzip")];
    let told = send(client, "/elastic/_bulk", &headers, &gzip(body.as_bytes())).expect(200);
    assert_eq!((&told["errors"], told["items"].as_array().map(Vec::len)), (&false.into(), Some(2)), "{told}");
    assert_eq!(told["items"][1]["create"]["status"], 201, "{told}");
    assert_eq!(env.sql().count("events"), 2);
    Ok(())
}

fn vector_to_influxdb(env: &Env) -> TestResult {
    let service = env.share();
    let client = &service.client;
    assert_eq!(ask(client, "/ping", &[]), 204);
    let at = now_s();
    let body = format!(
        "ns.requests,host=web-1,metric_type=counter value=3 {at}000000001\n\
         ns.latency,host=web-1,metric_type=distribution \
         avg=2,count=3,max=3,median=2,min=1,quantile_0.95=3,sum=6 {at}000000002\n"
    );
    let token = format!("Token {}", client.key());
    let headers = [("authorization", token.as_str()), ("content-type", "text/plain")];
    let answer = send(client, "/api/v2/write?org=default&bucket=vector&precision=ns", &headers, body.as_bytes());
    assert_eq!(answer.status, 204, "{}", answer.text());
    assert_eq!(env.sql().count("metrics"), 8);
    Ok(())
}

fn vector_by_remote_write(env: &Env) -> TestResult {
    let service = env.share();
    let client = &service.client;
    let label = |name: &str, value: &str| field(1, [field(1, name.as_bytes()), field(2, value.as_bytes())].concat());
    let millis = Timestamp::now().as_millisecond().unsigned_abs();
    let sample = field(2, [double(1, 4.5), number(2, millis)].concat());
    let series =
        [label("__name__", "vector_requests"), label("host", "web-1"), label("instance", "a:9100"), sample].concat();
    let bearer = format!("Bearer {}", client.key());
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/x-protobuf"),
        ("content-encoding", "snappy"),
        ("x-prometheus-remote-write-version", "0.1.0"),
    ];
    let body = snappy(&field(1, &series));
    for _ in 0..2 {
        // It repeats what it was not told of: the same bytes are one request.
        let answer = send(client, "/api/v1/write", &headers, &body);
        assert!(matches!(answer.status, 200 | 204), "{}: {}", answer.status, answer.text());
    }
    let sql = env.sql();
    let found =
        "SELECT metric_name || ' ' || asset_id || ' ' || value_sum || ' ' || (dimensions->>'host') FROM metrics";
    assert_eq!(sql.column::<String>(found), ["vector_requests a:9100 4.5 web-1"]);
    Ok(())
}

/// The key as the password of some user.
fn basic(client: &Client) -> String {
    use base64::Engine as _;
    let pair = format!("agent:{}", client.key());
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

fn fluent_bit_to_loki(env: &Env) -> TestResult {
    let service = env.share();
    let client = &service.client;
    let at = now_s();
    let values = json!([
        [format!("{at}000000001"), r#"{"log":"line 1"}"#],
        [format!("{at}000000002"), r#"{"log":"line 2"}"#, {"pod": "a"}],
    ]);
    let body = json!({"streams": [{"stream": {"job": "fluent-bit", "host": "web-1"}, "values": values}]}).to_string();
    let basic = basic(client);
    let headers =
        [("authorization", basic.as_str()), ("content-type", "application/json"), ("user-agent", "Fluent-Bit")];
    assert_eq!(send(client, "/loki/api/v1/push", &headers, body.as_bytes()).status, 204);
    assert_eq!(env.sql().count("events"), 2);
    Ok(())
}

fn fluent_bit_to_splunk(env: &Env) -> TestResult {
    let service = env.share();
    let client = &service.client;
    let at = now_s();
    let body = format!(r#"{{"time":{at}.5,"event":{{"log":"line 1"}}}}{{"time":{at}.75,"event":{{"log":"line 2"}}}}"#);
    let token = format!("Splunk {}", client.key());
    let headers = [("authorization", token.as_str()), ("user-agent", "Fluent-Bit")];
    assert_eq!(send(client, "/services/collector/event", &headers, body.as_bytes()).expect(200)["code"], 0);
    assert_eq!(env.sql().count("events"), 2);
    Ok(())
}

fn fluent_bit_to_elasticsearch(env: &Env) -> TestResult {
    let service = env.share();
    let client = &service.client;
    let time = format!("{:.3}", Timestamp::now());
    let body = format!(
        "{{\"create\":{{\"_index\":\"fluent-bit\"}}}}\n{{\"@timestamp\":\"{time}\",\"log\":\"line 1\"}}\n\
         {{\"index\":{{\"_index\":\"fluent-bit\",\"_id\":\"7\"}}}}\n{{\"@timestamp\":\"{time}\",\"log\":\"line 2\"}}\n"
    );
    let basic = basic(client);
    let headers =
        [("authorization", basic.as_str()), ("content-type", "application/x-ndjson"), ("user-agent", "Fluent-Bit")];
    let told = send(client, "/elastic/_bulk", &headers, body.as_bytes()).expect(200);
    assert_eq!((&told["errors"], told["items"].as_array().map(Vec::len)), (&false.into(), Some(2)), "{told}");
    assert_eq!(env.sql().count("events"), 2);
    Ok(())
}

fn fluent_bit_by_http(env: &Env) -> TestResult {
    let service = env.share();
    let client = &service.client;
    // `format json_stream`: documents behind each other, to Tidegate's own route.
    let at = now_s();
    let body = format!(r#"{{"date":{at}.5,"log":"line 1"}}{{"date":{at}.75,"log":"line 2"}}"#);
    let headers = [("x-api-key", client.key()), ("content-type", "application/json"), ("user-agent", "Fluent-Bit")];
    let path = "/v1/events?event_type=log&source_module=fluent-bit&wrap=payload";
    let told = send(client, path, &headers, body.as_bytes());
    assert_eq!(told.asked_by(client).accepted(2, 0)["accepted"], 2);
    Ok(())
}

fn telegraf_to_influxdb(env: &Env) -> TestResult {
    let service = env.share();
    let client = &service.client;
    let at = now_s();
    let body = format!(
        "cpu,cpu=cpu-total,host=web-1 usage_idle=97.5,usage_user=1.25 {at}000000000\n\
         mem,host=web-1 available_percent=61.5,total=16777216i {at}000000000\n\
         system,host=web-1 load1=0.5,n_cpus=8i,uptime=1234i {at}000000000\n\
         disk,device=sda1,fstype=ext4,host=web-1,mode=rw,path=/ free=1024u,used_percent=12.5 {at}000000000\n"
    );
    let token = format!("Token {}", client.key());
    let headers = [
        ("authorization", token.as_str()),
        ("content-type", "text/plain; charset=utf-8"),
        ("content-encoding", "gzip"),
        ("user-agent", "Telegraf/1.36.0 Go/1.25.0"),
    ];
    let path = "/api/v2/write?bucket=telegraf&org=default";
    let answer = send(client, path, &headers, &gzip(body.as_bytes()));
    assert_eq!(answer.status, 204, "{}", answer.text());
    let sql = env.sql();
    assert_eq!(sql.count("metrics"), 9);
    assert_eq!(sql.column::<String>("SELECT DISTINCT asset_id FROM metrics"), ["web-1"]);
    assert_eq!(sql.one::<i64>("SELECT count(*) FROM metrics WHERE value_sum = 1024"), 1, "an unsigned number");
    Ok(())
}

/// An attribute whose value is text.
fn attribute(number: u8, name: &str, value: &str) -> Vec<u8> {
    let value = field(2, field(1, value.as_bytes()));
    field(number, [field(1, name.as_bytes()), value].concat())
}

fn the_collector_by_http(env: &Env) -> TestResult {
    let service = env.share();
    let client = &service.client;
    // ExportLogsServiceRequest, as the filelog receiver makes it: no severity, and a body of text.
    let nanos = u64::try_from(Timestamp::now().as_nanosecond()).unwrap();
    let record = |n: u64| {
        let observed = fixed(11, nanos + n);
        let body = field(5, field(1, format!("line {n}").as_bytes()));
        field(2, [body, attribute(6, "log.file.name", "app.log"), observed].concat())
    };
    let resource = field(1, [attribute(1, "service.name", "checkout"), attribute(1, "host.name", "web-1")].concat());
    let scope = field(2, [field(1, b""), record(1), record(2)].concat());
    let body = gzip(&field(1, [resource, scope].concat()));
    let bearer = format!("Bearer {}", client.key());
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/x-protobuf"),
        ("content-encoding", "gzip"),
        ("user-agent", "OpenTelemetry Collector Contrib/0.140.0 (linux/amd64)"),
    ];
    for _ in 0..2 {
        let answer = send(client, "/v1/logs", &headers, &body);
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/x-protobuf"));
        assert_eq!(answer.bytes, b"", "full success says nothing");
    }
    let sql = env.sql();
    let found = "SELECT DISTINCT source_module || ' ' || asset_id FROM events";
    assert_eq!((sql.count("events"), sql.column::<String>(found)), (2, vec!["checkout web-1".to_owned()]));
    // What it sends again later must be refused for good, or it would do so for ever.
    let refused = send(client, "/v1/logs", &headers, b"no protobuf");
    assert_eq!((refused.status, refused.header("content-type")), (400, "application/x-protobuf"));
    Ok(())
}

fn the_collector_as_json(env: &Env) -> TestResult {
    let service = env.share();
    let client = &service.client;
    let at = now_s();
    // Of the hostmetrics receiver, with `encoding: json`.
    let time = format!("{at}000000000");
    let load = json!({
        "name": "system.cpu.load_average.1m", "unit": "{thread}",
        "gauge": {"dataPoints": [{"timeUnixNano": time, "asDouble": 0.5}]},
    });
    let received = json!({
        "attributes": [{"key": "direction", "value": {"stringValue": "receive"}}],
        "startTimeUnixNano": time, "timeUnixNano": time, "asInt": "18446744",
    });
    let traffic = json!({
        "name": "system.network.io", "unit": "By",
        "sum": {"dataPoints": [received], "aggregationTemporality": 2, "isMonotonic": true},
    });
    let resource = json!({"attributes": [{"key": "host.name", "value": {"stringValue": "web-1"}}]});
    let scopes = json!([{"scope": {"name": "loadscraper", "version": "0.140.0"}, "metrics": [load, traffic]}]);
    let schema = "https://opentelemetry.io/schemas/1.9.0";
    let body = json!({"resourceMetrics": [{"resource": resource, "scopeMetrics": scopes, "schemaUrl": schema}]});
    let body = body.to_string();
    let bearer = format!("Bearer {}", client.key());
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let answer = send(client, "/v1/metrics", &headers, body.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let found =
        "SELECT metric_name || ' ' || metric_type || ' ' || asset_id || ' ' || value_sum FROM metrics ORDER BY 1";
    let expected = ["system.cpu.load_average.1m gauge web-1 0.5", "system.network.io counter web-1 18446744"];
    assert_eq!(env.sql().column::<String>(found), expected);
    Ok(())
}
