#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::limits::MIB;
use crate::protocols::convert::Converted;
use crate::protocols::params::Segments;
use crate::protocols::report::{Ending, ItemError};
use crate::wire::event::{Decoder, Defaults};
use crate::wire::item::{BodyForm, ItemContext, StoredJson, TimeBounds};

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())).collect()
}

/// Asks with a head of this path and query.
fn with_head<T>(index: &str, query: &str, headers: &HeaderMap, ask: impl FnOnce(&Head<'_>) -> T) -> T {
    let pattern = if index.is_empty() { "/_bulk" } else { "/{index}/_bulk" };
    let route = Elastic.routes().iter().find(|route| route.path == pattern).unwrap();
    let named = [("index", index)];
    let path = Segments::decode(named.into_iter().filter(|(_, value)| !value.is_empty())).unwrap();
    ask(&Head { route, path: &path, query: Some(query), headers })
}

fn converted(index: &str, query: &str, body: &[u8]) -> Result<Converted, Problem> {
    let mut into = Converter::new(Box::new(|_| Ok(())));
    let body = Bytes::copy_from_slice(body);
    with_head(index, query, &HeaderMap::new(), |head| Elastic.items(head, &body, &mut into)).map(|_| ())?;
    into.finish(body)
}

fn items(body: &str) -> Vec<Value> {
    let made = converted("", "", body.as_bytes()).unwrap();
    made.items
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

const FILEBEAT: &str = concat!(
    "{\"create\":{\"_index\":\"filebeat-8.17.0\"}}\n",
    r#"{"@timestamp":"2026-11-29T10:00:00.123Z","host":{"name":"web-1","os":{"family":"debian"}},"#,
    r#""agent":{"type":"filebeat","version":"8.17.0"},"log":{"level":"error","file":{"path":"/var/log/x"}},"#,
    r#""event":{"dataset":"nginx.error"},"service":{"name":"shop","environment":"staging"},"#,
    r#""trace":{"id":"4bf92f3577b34da6a3ce929d0e0e4736"},"message":"a \"b\" 1.50"}"#,
    "\n"
);

#[test]
fn a_document_becomes_an_event() {
    let [item] = &items(FILEBEAT)[..] else { panic!() };
    let payload = item["payload"].clone();
    assert_eq!(
        *item,
        json!({"event_type": "nginx.error", "source_module": "shop", "timestamp": "2026-11-29T10:00:00.123Z",
            "severity": "error", "environment": "staging", "asset_id": "web-1",
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "payload": payload,
            "metadata": {"index": "filebeat-8.17.0"}})
    );
    let made = converted("", "", FILEBEAT.as_bytes()).unwrap();
    let document = FILEBEAT.lines().nth(1).unwrap();
    assert!(std::str::from_utf8(&made.items).unwrap().contains(&format!("\"payload\":{document},")), "as it was sent");
    assert_eq!(made.original.of(0), FILEBEAT.trim_end().as_bytes());
}

#[test]
fn actions_say_where_documents_go() {
    let made = items(concat!(
        r#"{"index":{"_id":"a\"b","_index":"logs-x-2026.11.29","routing":"r"}}"#,
        "\r\n{}\r\n\n",
        r#"{"create":{"_index":"i","_id":7,"pipeline":"p","dynamic_templates":{"a":"b"}}}"#,
        "\n{\"host\":\"h\"}"
    ));
    assert_eq!(
        made,
        [
            json!({"event_type": "logs-x", "source_module": "logs-x", "id": "logs-x-2026.11.29/a\"b", "payload": {},
                "metadata": {"index": "logs-x-2026.11.29", "_id": "a\"b", "routing": "r"}}),
            json!({"event_type": "i", "source_module": "i", "asset_id": "h", "id": "i/7", "payload": {"host": "h"},
                "metadata": {"index": "i", "_id": "7", "pipeline": "p", "dynamic_templates": {"a": "b"}}}),
        ]
    );
    let own = r#"{"index":{"_index":"own","pipeline":"q"}}"#;
    let body = format!("{{\"index\":{{}}}}\n{{\"a\":1}}\n{own}\n{{}}\n{{\"index\":{{}}}}\n{{\"a\":2}}");
    let made = converted("of-the-path", "pipeline=p&routing=r&refresh=true&timeout=1m", body.as_bytes()).unwrap();
    let lines: Vec<Value> =
        made.items.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let metadata: Vec<&Value> = lines.iter().map(|line| &line["metadata"]).collect();
    let of_the_path = json!({"index": "of-the-path", "routing": "r", "pipeline": "p"});
    assert_eq!(metadata, [&of_the_path, &json!({"index": "own", "routing": "r", "pipeline": "q"}), &of_the_path]);
    assert_eq!(lines[2]["payload"], json!({"a": 2}));
}

#[test]
fn what_is_no_action_refuses_the_whole_request() {
    let good = "{\"index\":{\"_index\":\"i\"}}\n{}\n";
    for (bad, said) in [
        ("nonsense", "Malformed action/metadata line [3], "),
        ("[]", "Malformed action/metadata line [3], "),
        ("{}", "expected FIELD_NAME but found [END_OBJECT]"),
        ("{\"upsert\":{}}", "Unknown action [upsert], expected one of [create, delete, index, update]"),
        ("{\"index\":1}", "Malformed action/metadata line [3], "),
        ("{\"index\":{\"_index\":{}}}", "expected a simple value for field [_index]"),
        ("{\"index\":{},\"create\":{}}", "expected END_OBJECT but found [FIELD_NAME]"),
        ("{\"index\":{}} x", "at byte 14 of the line"),
        ("{\"index\":{\"_id\":\"1\"}}", "Validation Failed: 1: index is missing;"),
    ] {
        let problem = converted("", "", format!("{good}{bad}\n{{}}\n").as_bytes()).unwrap_err();
        assert!(problem.detail().contains(said), "{bad}: {}", problem.detail());
        let answer = with_head("", "", &HeaderMap::new(), |head| Elastic.refusal(head, &problem));
        assert_eq!(answer.status(), 400);
        let body: Value = serde_json::from_slice(answer.body()).unwrap();
        let kind =
            if bad.contains("_id") { "action_request_validation_exception" } else { "illegal_argument_exception" };
        assert_eq!((body["error"]["type"].as_str(), body["status"].as_u64()), (Some(kind), Some(400)));
        assert_eq!(body["error"]["root_cause"][0]["reason"], body["error"]["reason"]);
    }
}

const MIXED: &str = concat!(
    "{\"index\":{\"_index\":\"i\",\"_id\":\"1\"}}\n{\"a\":1}\n",
    "{\"delete\":{\"_index\":\"i\",\"_id\":\"2\"}}\n",
    "{\"update\":{\"_index\":\"i\",\"_id\":\"3\"}}\n{\"doc\":{}}\n",
    "{\"create\":{\"_index\":\"i\"}}\n{\"a\":\n",
    "{\"create\":{\"_index\":\"i\"}}\n[]\n",
    "{\"create\":{\"_index\":\"j\"}}\n{}\n",
    "{\"index\":{\"_index\":\"i\"}}\n"
);

fn answered(query: &str, fields: &[(&'static str, &str)], errors: &[(u32, &'static str)]) -> Answer {
    let made = converted("", "", MIXED.as_bytes()).unwrap();
    let listed = errors.iter().map(|(index, code)| ItemError { index: *index, code, message: "why".into() });
    let rejected = u32::try_from(errors.len()).unwrap();
    let report = Report {
        verdict: Ending::Committed,
        receipt: Uuid::from_u128(5),
        accepted: 7 - rejected,
        rejected,
        duplicates: 0,
        replayed: false,
        errors: Box::new(listed),
    };
    let sent = Sent { body: MIXED.as_bytes(), original: Some(&made.original) };
    with_head("", query, &headers(fields), |head| Elastic.answer(head, sent, report))
}

fn body(answer: &Answer) -> Value {
    serde_json::from_slice(answer.body()).unwrap()
}

#[test]
fn every_action_has_its_entry_in_its_position() {
    let made = converted("", "", MIXED.as_bytes()).unwrap();
    let broken: Vec<u32> = made.original.broken.iter().map(|broken| broken.item).collect();
    assert_eq!((made.original.places.len(), &broken[..]), (7, &[1, 2, 3, 4, 6][..]));
    assert_eq!(made.original.of(2), b"{\"update\":{\"_index\":\"i\",\"_id\":\"3\"}}\n{\"doc\":{}}");
    assert!(made.original.broken[2].message.contains("line [7]"), "{:?}", made.original.broken);
    let errors: Vec<_> = broken.iter().map(|item| (*item, "undecodable")).collect();
    let answer = answered("", &[("accept", "application/json")], &errors);
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["x-elastic-product"]),
        (200, &HeaderValue::from_static("Elasticsearch"))
    );
    assert_eq!(answer.headers()["content-type"], "application/json");
    let found = body(&answer);
    assert_eq!((&found["took"], &found["errors"]), (&json!(0), &json!(true)));
    let error = json!({"type": "document_parsing_exception", "reason": "why"});
    let unsupported = json!({"type": "illegal_argument_exception", "reason": "why"});
    let created = |index: &str, id: &str| {
        json!({"_index": index, "_id": id, "_version": 1, "result": "created",
            "_shards": {"total": 1, "successful": 1, "failed": 0}, "status": 201})
    };
    let id = |position: u32| format!("{}:{position}", Uuid::from_u128(5));
    assert_eq!(
        found["items"],
        json!([
            {"index": created("i", "1")},
            {"delete": {"_index": "i", "_id": "2", "status": 400, "error": unsupported}},
            {"update": {"_index": "i", "_id": "3", "status": 400, "error": unsupported}},
            {"create": {"_index": "i", "_id": id(3), "status": 400, "error": error}},
            {"create": {"_index": "i", "_id": id(4), "status": 400, "error": error}},
            {"create": created("j", &id(5))},
            {"index": {"_index": "i", "_id": id(6), "status": 400, "error": error}},
        ])
    );
}

#[test]
fn a_known_id_and_other_refusals_have_their_kinds() {
    let errors = [(0, "id_conflict"), (5, "out_of_window")];
    let found = body(&answered("", &[], &errors));
    assert_eq!(found["items"][0]["index"]["status"], 409);
    assert_eq!(found["items"][0]["index"]["error"]["type"], "version_conflict_engine_exception");
    assert_eq!(found["items"][5]["create"]["error"]["type"], "document_parsing_exception");
    assert_eq!(found["items"].as_array().unwrap().len(), 7);
}

#[test]
fn answers_are_filtered_as_agents_ask() {
    let filtered = |query: &str, errors: &[(u32, &'static str)]| body(&answered(query, &[], errors));
    let none: &[(u32, &str)] = &[];
    assert_eq!(filtered("filter_path=errors,items.*.error", none), json!({"errors": false}));
    assert_eq!(filtered("filter_path=nothing", none), json!({}));
    assert_eq!(filtered("filter_path=took", none), json!({"took": 0}));
    let statuses = filtered("filter_path=errors%2Citems.*.error%2Citems.*.status", &[(1, "undecodable")]);
    assert_eq!(statuses["items"].as_array().unwrap().len(), 7);
    assert_eq!(statuses["items"][0], json!({"index": {"status": 201}}));
    let error = json!({"type": "illegal_argument_exception", "reason": "why"});
    assert_eq!(statuses["items"][1], json!({"delete": {"status": 400, "error": error}}));
    let reasons = filtered("filter_path=items.*.error.reason", &[(1, "undecodable")]);
    assert_eq!(reasons, json!({"items": [{"delete": {"error": {"reason": "why"}}}]}));
    let collector = filtered("filter_path=items.*._index,items.*.status,items.*.error.type", &[(5, "x")]);
    assert_eq!(
        collector["items"][5],
        json!({"create": {"_index": "j", "status": 400, "error": {"type": "document_parsing_exception"}}})
    );
    assert_eq!(collector["items"][0], json!({"index": {"_index": "i", "status": 201}}));
    assert_eq!(filtered("filter_path=-items", none), json!({"took": 0, "errors": false}));
}

#[test]
fn media_types_are_those_that_clients_ask_for() {
    let of = |fields: &[(&'static str, &str)]| answered("", fields, &[]).headers()["content-type"].clone();
    let vendor = "application/vnd.elasticsearch+json; compatible-with=8";
    assert_eq!(of(&[("accept", vendor)]), "application/vnd.elasticsearch+json;compatible-with=8");
    assert_eq!(
        of(&[("content-type", "application/vnd.elasticsearch+x-ndjson;compatible-with=9")]),
        "application/vnd.elasticsearch+json;compatible-with=9"
    );
    assert_eq!(of(&[("accept", "application/vnd.elasticsearch+json;compatible-with=x")]), "application/json");
    let read = |media: &str| {
        with_head("", "", &headers(&[("content-type", media)]), |head| {
            Elastic.reading(head).map(|_| ()).map_err(|p| p.status())
        })
    };
    assert_eq!(read("application/vnd.elasticsearch+x-ndjson; compatible-with=8"), Ok(()));
    assert_eq!(read("application/x-ndjson"), Ok(()));
    assert_eq!(read("text/plain"), Err(StatusCode::UNSUPPORTED_MEDIA_TYPE));
}

#[test]
fn keys_are_found_where_agents_put_them() {
    let encoded = |text: &str| format!("ApiKey {}", STANDARD.encode(text));
    for (name, value) in [
        ("authorization", encoded("id:tg_a")),
        ("authorization", encoded("tg_a:")),
        ("authorization", encoded("tg_a")),
        ("authorization", "ApiKey tg_a".to_owned()),
        ("authorization", "apikey tg_a".to_owned()),
        ("authorization", format!("Basic {}", STANDARD.encode("elastic:tg_a"))),
        ("authorization", "Bearer tg_a".to_owned()),
        ("x-api-key", "tg_a".to_owned()),
    ] {
        let fields = headers(&[(name, &value)]);
        let found = with_head("", "", &fields, |head| Elastic.credential(head).map(Cow::into_owned));
        assert_eq!(found.unwrap(), "tg_a", "{value}");
    }
    let problem = with_head("", "", &HeaderMap::new(), |head| Elastic.credential(head).map(|_| ()).unwrap_err());
    let answer = with_head("", "", &HeaderMap::new(), |head| Elastic.refusal(head, &problem));
    assert_eq!((answer.status().as_u16(), &body(&answer)["error"]["type"]), (401, &json!("security_exception")));
    assert_eq!(answer.headers().get_all("www-authenticate").iter().count(), 3);
    assert_eq!(answer.headers()["x-elastic-product"], "Elasticsearch");
}

#[test]
fn refusals_say_when_to_come_again() {
    let refused = |problem: Problem| with_head("", "", &HeaderMap::new(), |head| Elastic.refusal(head, &problem));
    let limited = Problem::new(StatusCode::TOO_MANY_REQUESTS, ProblemCode::RateLimited, "x").retry_after(7);
    let flying = Problem::new(StatusCode::CONFLICT, ProblemCode::IdempotencyKeyInFlight, "x").retry_after(1);
    let down = Problem::unavailable(ProblemCode::Unavailable, "x", 3);
    for (problem, status, kind, after) in [
        (limited, 429, "es_rejected_execution_exception", "7"),
        (flying, 429, "es_rejected_execution_exception", "1"),
        (down, 503, "cluster_block_exception", "3"),
    ] {
        let answer = refused(problem);
        let found = body(&answer);
        assert_eq!((answer.status().as_u16(), found["status"].as_u64()), (status, Some(u64::from(status))));
        assert_eq!(
            (&found["error"]["type"], &answer.headers()["retry-after"]),
            (&json!(kind), &HeaderValue::from_str(after).unwrap())
        );
    }
}

#[test]
fn an_empty_body_is_refused() {
    for (text, kind) in [("", "parse_exception"), ("\n \n", "action_request_validation_exception")] {
        let made = converted("", "", text.as_bytes()).unwrap();
        assert!(made.items.is_empty());
        let report = Report {
            verdict: Ending::Committed,
            receipt: Uuid::nil(),
            accepted: 0,
            rejected: 0,
            duplicates: 0,
            replayed: false,
            errors: Box::new(std::iter::empty()),
        };
        let sent = Sent { body: text.as_bytes(), original: Some(&made.original) };
        let answer = with_head("", "", &HeaderMap::new(), |head| Elastic.answer(head, sent, report));
        assert_eq!((answer.status().as_u16(), &body(&answer)["error"]["type"]), (400, &json!(kind)));
    }
}

#[test]
fn clients_are_told_who_is_there() {
    let root = Elastic.probes().iter().find(|probe| probe.path == "/").unwrap();
    let speaks = |accept: &str| (root.speaks)(&headers(&[("accept", accept)]));
    assert!(speaks("application/json") && speaks("application/vnd.elasticsearch+json;compatible-with=8"));
    assert!(!speaks("text/html,application/json;q=0.9,*/*") && !speaks("*/*") && !(root.speaks)(&HeaderMap::new()));
    for probe in Elastic.probes() {
        let answer = (probe.answer)(None);
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["x-elastic-product"]),
            (200, &HeaderValue::from_static("Elasticsearch"))
        );
    }
    assert_eq!(body(&(root.answer)(None))["version"]["number"], "8.17.0");
}

fn decoded(made: &Converted) -> crate::wire::item::Decoded {
    let now = 1_795_950_000_000_000;
    let origin = ItemContext {
        tenant_id: "acme",
        api_key_id: Uuid::nil(),
        receipt: Uuid::nil(),
        received_at_us: now,
        bounds: TimeBounds { oldest_us: 0, newest_us: now + 1_000_000_000_000 },
        item_bytes_max: 16 * MIB,
        stored_json: StoredJson::Jsonb,
        projections: |_| 0,
    };
    Decoder::new().decode(&made.items, BodyForm::Converted, &Defaults::default(), &origin).unwrap()
}

#[test]
fn events_are_accepted_by_the_decoder() {
    let long = "x".repeat(400);
    let action = format!("{{\"index\":{{\"_index\":\"{long}\",\"_id\":\"{long}\"}}}}");
    let body = format!("{FILEBEAT}{action}\n{{\"@timestamp\":\"1764410400000.5\",\"level\":30}}\n");
    let made = converted("", "", body.as_bytes()).unwrap();
    let found = decoded(&made);
    assert_eq!((found.rows.rows.len(), found.rejected.len()), (2, 0), "{:?}", found.rejected);
    assert_eq!(found.rows.rows[1].timestamp_us, 1_764_410_400_000_500);
    let action = "{\"index\":{\"_index\":\"i\"}}";
    let bad = format!("{action}\n{{\"@timestamp\":\"yesterday\"}}\n{action}\n{{\"a\":1,\"a\":2}}\n");
    let made = converted("", "", bad.as_bytes()).unwrap();
    let codes: Vec<&str> = decoded(&made).rejected.iter().map(|item| item.rejection.code.as_str()).collect();
    assert_eq!(codes, ["invalid_timestamp", "duplicate_key"]);
}

#[test]
fn no_bytes_make_it_panic() {
    let sample = format!("{FILEBEAT}{MIXED}");
    let sample = sample.as_bytes();
    for end in 0..sample.len() {
        let made = converted("i", "", &sample[..end]).ok().filter(|made| !made.items.is_empty());
        let _ = made.map(|made| decoded(&made).items);
    }
    let mut bytes = sample.to_vec();
    for at in 0..bytes.len() {
        for flip in [0x01, 0x20, 0x80, 0xff] {
            bytes[at] ^= flip;
            if let Ok(made) = converted("i", "", &bytes) {
                let items = made.original.places.len();
                assert_eq!(usize::try_from(decoded(&made).items).unwrap(), items, "an item a place");
            }
            bytes[at] ^= flip;
        }
    }
}
