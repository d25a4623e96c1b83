//! What makes an event the one that it is: a CloudEvent's source and id together, in every place that names events; and
//! what does not fit a column.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::books::Books;
use crate::client::{Answer, Client, repeated};
use crate::derived::{hours_ago, settled, time};
use crate::env::{Env, Test, TestResult};
use crate::postgres::Sql;
use crate::samples::{encode, event_with, seconds_from_now, texts};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    two_sources_give_one_id,
    an_id_that_is_stored_stands_before_one_that_was_sent,
    a_parent_of_the_childs_own_source,
    a_parent_of_its_own_source_comes_late,
    parents_far_away,
    attributes_longer_than_their_columns,
    limits_of_native_events,
    the_form_of_a_body_is_a_part_of_the_request,
);

const BATCH: &str = "application/cloudevents-batch+json";

/// A CloudEvent of this source and id; `n` is its data.
pub fn cloud(source: &str, id: &str, n: u32, more: &Value) -> Value {
    let mut event = json!({ "specversion": "1.0", "source": source, "id": id, "type": "t", "data": { "n": n } });
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

pub fn send(client: &Client, events: &[Value]) -> Answer {
    client.post("/v1/events", &[("content-type", BATCH)], Value::from(events).to_string())
}

fn n_of(event: &Value) -> u64 {
    event["payload"]["n"].as_u64().unwrap_or_else(|| panic!("{event}"))
}

/// The `n` of the event with this id, of this source.
pub fn found(client: &Client, id: &str, source: Option<&str>) -> u64 {
    let of = source.map_or(String::new(), |source| format!("?source={}", encode(source)));
    n_of(&client.get(&format!("/v1/events/{}{of}", encode(id))).expect(200))
}

/// The `n` of related events, with how they are related.
fn related(client: &Client, id: &str, source: &str) -> Vec<(u64, String)> {
    let list = client.get(&format!("/v1/events/{}/related?source={}", encode(id), encode(source))).expect(200);
    let mut all: Vec<_> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (n_of(&one["event"]), one["relation"].as_str().unwrap().to_owned()))
        .collect();
    all.sort();
    all
}

/// Pairs of parent and child, by their `n`.
fn parents(sql: &Sql) -> Vec<(i32, i32)> {
    let rows = sql.rows(
        "SELECT (p.payload->>'n')::int, (c.payload->>'n')::int FROM correlations r \
         JOIN events p ON p.id = r.primary_event_id AND p.timestamp = r.primary_timestamp \
         JOIN events c ON c.id = r.related_event_id AND c.timestamp = r.related_timestamp \
         WHERE r.metadata->>'rule' = 'parent' ORDER BY 2, 1",
        &[],
    );
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn two_sources_give_one_id(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    let uuid = Uuid::now_v7().to_string();
    for (number, id) in ["7", "a/b ☃", &uuid].into_iter().enumerate() {
        let n = u32::try_from(number * 10)?;
        send(client, &[cloud("/a", id, n, &json!({})), cloud("/b", id, n + 1, &json!({}))]).accepted(2, 0);
        let (older, newer) = (seconds_from_now(-600), seconds_from_now(-300));
        send(client, &[cloud("/old", id, n + 2, &json!({ "time": older }))]).accepted(1, 0);
        send(client, &[cloud("/new", id, n + 3, &json!({ "time": newer }))]).accepted(1, 0);
        let found_of = |source| found(client, id, Some(source));
        assert_eq!(["/a", "/b", "/old", "/new"].map(found_of), [0, 1, 2, 3].map(|more| u64::from(n + more)), "{id}");
        let newest = found(client, id, None);
        assert!([u64::from(n), u64::from(n + 1)].contains(&newest), "the newest: {newest}");
        client.get(&format!("/v1/events/{}?source=%2Fc", encode(id))).problem(404, "not_found");
        client.get(&format!("/v1/events/{}?source=", encode(id))).problem(400, "invalid_parameter");
        let event = client.get(&format!("/v1/events/{}?source=%2Fb", encode(id))).expect(200);
        assert_eq!((&event["metadata"]["original_id"], &event["source_module"]), (&json!(id), &json!("/b")));
        let stored = event["id"].as_str().unwrap();
        assert_ne!(stored, id);
        assert_eq!((found(client, stored, None), found(client, stored, Some("/b"))), ((n + 1).into(), (n + 1).into()));
        client.get(&format!("/v1/events/{stored}?source=%2Fa")).problem(404, "not_found");
    }
    let ids: i64 = env.sql().one("SELECT count(DISTINCT id) FROM events");
    assert_eq!((ids, env.sql().count("events"), env.sql().count("dead_letter_events")), (12, 12, 0));
    Books::of(client).assert_items(&[("received", 12), ("committed", 12)]);
    Ok(())
}

fn an_id_that_is_stored_stands_before_one_that_was_sent(env: &Env) -> TestResult {
    let tidegate = env.share();
    let id = Uuid::now_v7().to_string();
    let old = seconds_from_now(-600);
    tidegate.client.events(event_with(1, &format!(r#""id":"{id}","timestamp":"{old}""#))).accepted(1, 0);
    send(&tidegate.client, &[cloud("/a", &id, 2, &json!({}))]).accepted(1, 0);
    assert_eq!(found(&tidegate.client, &id, None), 1, "nobody stands before an event by calling one of his own so");
    assert_eq!(found(&tidegate.client, &id, Some("/a")), 2);
    assert_eq!(found(&tidegate.client, &id, Some("tests")), 1);
    let (native, text): (bool, String) = {
        let rows = env.sql().rows("SELECT bare_id IS NULL, id::text FROM events WHERE source_module = 'tests'", &[]);
        (rows[0].get(0), rows[0].get(1))
    };
    assert_eq!((native, text), (true, id));
    Ok(())
}

fn a_parent_of_the_childs_own_source(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    let start = hours_ago(3) * 1000;
    let at = |seconds: i64, parent: Option<&str>| {
        let mut more = json!({ "time": time(start + seconds * 1000) });
        if let Some(parent) = parent {
            more["parent_event_id"] = parent.into();
        }
        more
    };
    let uuid = Uuid::from_u128(77).to_string();
    for (n, id) in [(0, "p"), (100, &*uuid)] {
        let (child, alone) = (format!("child-{n}"), format!("self-{n}"));
        let events = [
            cloud("/a", id, n + 1, &at(0, None)),
            cloud("/b", id, n + 2, &at(10, None)),
            // The other source's is nearer to the first, and the only ones to the third.
            cloud("/a", &child, n + 11, &at(20, Some(id))),
            cloud("/b", &child, n + 12, &at(30, Some(id))),
            cloud("/c", &child, n + 13, &at(40, Some(id))),
            // By itself it is no parent of its own.
            cloud("/d", &alone, n + 14, &at(50, Some(&alone))),
        ];
        send(client, &events).accepted(6, 0);
        settled(&env.sql());
        let pairs: Vec<(i32, i32)> =
            parents(&env.sql()).into_iter().filter(|(p, _)| u32::try_from(*p).unwrap() >= n).collect();
        let n = i32::try_from(n)?;
        assert_eq!(pairs, [(n + 1, n + 11), (n + 2, n + 12), (n + 2, n + 13)]);
        let n = u64::try_from(n)?;
        let of = |more: u64, relation: &str| (n + more, relation.to_owned());
        assert_eq!(related(client, id, "/a"), [of(11, "child")]);
        assert_eq!(related(client, id, "/b"), [of(12, "child"), of(13, "child")]);
        let children = |source| related(client, &child, source);
        assert_eq!(["/a", "/b", "/c"].map(children), [1, 2, 2].map(|more| vec![of(more, "parent")]));
        assert_eq!(related(client, &alone, "/d"), []);
        let list =
            |source: &str| client.get(&format!("/v1/correlations?event_id={id}&source={}", encode(source))).expect(200);
        assert_eq!(texts(&list("/a"), "related_source_module"), ["/a"]);
        assert_eq!(texts(&list("/b"), "related_source_module"), ["/c", "/b"]);
        let newest = client.get(&format!("/v1/correlations?event_id={id}")).expect(200);
        assert_eq!(newest["data"], list("/b")["data"], "without a source the newest event's");
    }
    Ok(())
}

fn a_parent_of_its_own_source_comes_late(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let (client, sql) = (&tidegate.client, env.sql());
    let start = hours_ago(5) * 1000;
    let at = |minutes: i64| json!({ "time": time(start + minutes * 60_000) });
    let child = |source: &str, n: u32| {
        let mut more = at(60);
        more["parent_event_id"] = "p".into();
        cloud(source, "child", n, &more)
    };
    send(client, &[child("/a", 11), child("/b", 12)]).accepted(2, 0);
    settled(&sql);
    assert_eq!((parents(&sql), sql.count("orphans")), (vec![], 2));
    // Another source's: better than none, for both of them.
    send(client, &[cloud("/z", "p", 1, &at(59))]).accepted(1, 0);
    settled(&sql);
    assert_eq!((parents(&sql), sql.count("orphans")), (vec![(1, 11), (1, 12)], 2));
    // One more of another source changes nothing.
    send(client, &[cloud("/y", "p", 2, &at(58))]).accepted(1, 0);
    settled(&sql);
    assert_eq!(parents(&sql), [(1, 11), (1, 12)]);
    // Its own, however far, takes the place.
    send(client, &[cloud("/a", "p", 3, &at(1))]).accepted(1, 0);
    settled(&sql);
    assert_eq!((parents(&sql), sql.count("orphans")), (vec![(3, 11), (1, 12)], 1));
    let one = |n: u64, relation: &str| (n, relation.to_owned());
    assert_eq!(related(client, "p", "/a"), [one(11, "child")]);
    assert_eq!(related(client, "p", "/z"), [one(12, "child")]);
    assert_eq!(related(client, "child", "/a"), [one(3, "parent")]);
    // One that is stored under the name itself comes before another source's.
    let native = Uuid::new_v5(&Uuid::from_u128(0x8f0e_7d1c_52a4_4b3e_9d61_0c7b_a2f5_e916), b"default\0p");
    client
        .events(event_with(4, &format!(r#""id":"{native}","timestamp":"{}""#, time(start + 3_000_000))))
        .accepted(1, 0);
    settled(&sql);
    assert_eq!((parents(&sql), sql.count("orphans")), (vec![(3, 11), (4, 12)], 0));
    Ok(())
}

fn parents_far_away(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let (client, sql) = (&tidegate.client, env.sql());
    let start = hours_ago(9) * 1000;
    let at = |minutes: i64| json!({ "time": time(start + minutes * 60_000) });
    let mut more = at(300);
    more["parent_event_id"] = "p".into();
    // All in one request: another source's near, its own hours before.
    let events = [
        cloud("/a", "p", 1, &at(0)),
        cloud("/b", "p", 2, &at(299)),
        cloud("/a", "child", 11, &more),
        cloud("/c", "child", 12, &more),
    ];
    send(client, &events).accepted(4, 0);
    settled(&sql);
    assert_eq!((parents(&sql), sql.count("orphans")), (vec![(1, 11), (2, 12)], 1));
    Ok(())
}

fn attributes_longer_than_their_columns(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    let google = "//pubsub.googleapis.com/projects/my-project-4711/topics/orders";
    let azure = "/subscriptions/0f39fc4b-2f0e-4e3d-9c0a-1a2b3c4d5e6f/resourceGroups/production/providers/Microsoft.EventGrid/topics/eu1";
    assert_eq!((google.len(), azure.len()), (62, 118));
    let kind = "com.example.a.long.reverse.dns.name.of.a.type.of.events.v1";
    let other = format!("{azure}-2");
    for (n, source) in [google, azure, &other].into_iter().enumerate() {
        let n = u32::try_from(n)?;
        send(client, &[cloud(source, "1", n, &json!({ "type": kind, "subject": azure, "severity": azure }))])
            .accepted(1, 0);
        let event = client.get(&format!("/v1/events/1?source={}", encode(source))).expect(200);
        assert_eq!(n_of(&event), u64::from(n), "{source}");
        let metadata = &event["metadata"];
        assert_eq!(
            (&metadata["original_source_module"], &metadata["original_event_type"]),
            (&json!(source), &json!(kind))
        );
        assert_eq!((&metadata["original_severity"], &metadata["extra"]["subject"]), (&json!(azure), &json!(azure)));
        let short = event["source_module"].as_str().unwrap();
        assert!(short.chars().count() == 50 && source.starts_with(&short[..33]), "{short}");
        for value in [source, short] {
            let list = client.get(&format!("/v1/events?source_module={}", encode(value))).expect(200);
            assert_eq!(list["data"], json!([event]), "{value}");
        }
        let list = client.get(&format!("/v1/events?event_type={kind}&severity={}", encode(azure))).expect(200);
        assert_eq!(list["data"].as_array().unwrap().len(), usize::try_from(n)? + 1);
    }
    let from = encode(&seconds_from_now(-3600));
    let counts = format!("/v1/events/counts?group_by=source_module&source_module={}&from={from}", encode(azure));
    let counts = client.get(&counts).expect(200);
    assert_eq!((counts["data"].as_array().unwrap().len(), &counts["data"][0]["count"]), (1, &json!(1)), "{counts}");
    assert_eq!(env.sql().count("dead_letter_events"), 0);
    Ok(())
}

fn limits_of_native_events(env: &Env) -> TestResult {
    let tidegate = env.share();
    let long = "x".repeat(101);
    for (field, max) in
        [("source_module", 50), ("event_type", 50), ("severity", 20), ("environment", 50), ("asset_id", 100)]
    {
        let mut event = json!({ "source_module": "s", "event_type": "t", "payload": {} });
        event[field] = long.as_str().into();
        let refused = tidegate.client.events(event.to_string()).expect(422);
        let error = &refused["errors"][0];
        let message = format!("{field} has 101 characters; the limit is {max}; shorten it");
        assert_eq!((&error["code"], &error["message"]), (&json!("field_too_long"), &json!(message)));
    }
    Ok(())
}

fn the_form_of_a_body_is_a_part_of_the_request(env: &Env) -> TestResult {
    let tidegate = env.share();
    let body = json!([cloud("/a", "1", 1, &json!({}))]).to_string();
    let post = |form: &str, query: &str, key: Option<&str>| {
        let mut headers = vec![("content-type", form)];
        headers.extend(key.map(|key| ("idempotency-key", key)));
        tidegate.client.post(&format!("/v1/events{query}"), &headers, &body)
    };
    post(BATCH, "", Some("k")).accepted(1, 0);
    assert_eq!(repeated(|| post(BATCH, "", Some("k"))).accepted(1, 0)["duplicate"], true);
    repeated(|| post("application/json", "", Some("k"))).problem(422, "idempotency_key_reused");
    for form in [BATCH, "application/json"] {
        assert_eq!(post(form, "?dedupe=body", None).accepted(1, 0)["duplicate"], false, "{form}");
        assert_eq!(repeated(|| post(form, "?dedupe=body", None)).accepted(1, 0)["duplicate"], true, "{form}");
    }
    let ids: i64 = env.sql().one("SELECT count(DISTINCT id) FROM events");
    assert_eq!((env.sql().count("events"), ids), (3, 2), "as JSON its id alone is the identity");
    Ok(())
}
