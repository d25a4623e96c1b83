//! Two organizations that each have something of all there is: what tests of isolation look for.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::Client;
use crate::env::{Env, until};
use crate::groups::{at_last, filled};
use crate::process::Tidegate;
use crate::projections::told;
use crate::refresh::make_room;
use crate::samples::{array, seconds_from_now};
use crate::sessions::sign_in;
use crate::users::{PASSWORD, user};

/// What paths name, by what it is.
pub type Things = BTreeMap<&'static str, String>;

/// Two of everything that can be listed, and of each kind one that paths name. `tag` is in every name.
fn things(env: &Env, client: &Client, tenant: &str, tag: &str) -> Things {
    let ids: [Uuid; 3] = std::array::from_fn(|_| Uuid::now_v7());
    let event = |n: usize, more: &str| {
        format!(
            r#"{{"event_type":"{}","source_module":"tests","payload":{{}},"id":"{}","timestamp":"{}","asset_id":"{tag}-asset-{n}"{more}}}"#,
            if n == 0 { "first" } else { "sample" },
            ids[n],
            seconds_from_now(-60 + i64::try_from(n).unwrap() * 10)
        )
    };
    let child = format!(r#","parent_event_id":"{}""#, ids[0]);
    let sent = client.keyed(tag, array([event(0, ""), event(1, &child), event(2, &child)])).accepted(3, 0);
    let correlate = format!(
        "INSERT INTO correlations (id, timestamp, tenant_id, correlation_type, primary_event_id, related_event_id,
                                   primary_timestamp, related_timestamp, strength, confidence)
         SELECT gen_random_uuid(), timestamp, tenant_id, 'anomaly', gen_random_uuid(), id, timestamp, timestamp, 0.5, 0.5
         FROM events WHERE tenant_id = '{tenant}' AND event_type = 'sample'"
    );
    env.sql().run(&correlate);
    let metric = |n: usize| format!(r#"{{"asset_id":"{tag}-asset-{n}","metric_name":"latency","value":{n}}}"#);
    client.metrics(array([metric(1), metric(2)])).accepted(2, 0);
    let told = |event_type: &str, member: &str, more: Value| {
        let one = |n: usize| {
            let mut payload = more.clone();
            payload[member] = json!(format!("{tag}-{n}"));
            told(event_type, 30, &payload)
        };
        client.events(array([one(1), one(2)])).accepted(2, 0);
    };
    told("service.registered", "service", json!({}));
    told("deployment.started", "deployment_id", json!({}));
    told("asset.registered", "asset_id", json!({}));
    let resource = json!({ "namespace": tag, "kind": "Deployment", "name": "checkout" });
    told("action.started", "action_id", json!({ "action_type": "restart", "resource": resource }));
    client.events(array(["{}", "{}"])).expect(422);

    let [stream, another, group] = ["stream", "another", "group"].map(|name| format!("{tag}-{name}"));
    filled(client, &stream, 5);
    filled(client, &another, 2);
    for schema in [json!(true), json!({})] {
        let body = json!({ "schema": schema, "mode": "off" }).to_string();
        client.send("PATCH", &format!("/v1/streams/{stream}"), &[], body.as_bytes()).unwrap().expect(200);
    }
    for name in [&group, &format!("{tag}-more")] {
        client.post(&format!("/v1/streams/{stream}/groups"), &[], json!({ "name": name }).to_string()).expect(201);
    }
    for offset in [3, 4] {
        let park = format!("/v1/streams/{stream}/groups/{group}/park");
        at_last(|| client.post(&park, &[], json!({ "offset": offset }).to_string())).expect(200);
    }
    // Its last use is its own; that of the client's key goes on.
    let key = client.post("/v1/keys", &[], json!({ "scopes": ["read"], "label": tag }).to_string()).expect(201);
    for name in ["ann", "bob"] {
        let address = format!("{tag}-{name}@example.org");
        user(client, &address, "viewer");
        sign_in(client, &address, PASSWORD).expect(201);
    }
    assert_eq!(client.post("/write", &[], "no line").status, 400);
    let first = |path: &str, member: &str| {
        until(path, || {
            let list = client.get(path).expect(200);
            list["data"].as_array().unwrap().first().map(|one| one[member].as_str().unwrap().to_owned())
        })
    };
    Things::from([
        ("event", ids[0].to_string()),
        ("told", format!("{tag}-1")),
        ("asset", first("/v1/assets", "asset_id")),
        ("receipt", sent["receipt"].as_str().unwrap().to_owned()),
        ("letter", first("/v1/dead-letters?stage=validate", "id")),
        ("converted", first("/v1/dead-letters?code=undecodable", "id")),
        ("user", first("/v1/users", "id")),
        ("session", first("/v1/sessions", "id")),
        ("stream", stream),
        ("another", another),
        ("version", "1".to_owned()),
        ("group", group),
        ("key", key["id"].as_str().unwrap().to_owned()),
        ("organization", tenant.to_owned()),
    ])
}

/// Two organizations that each have all these things, and everything that a key can be allowed within one.
pub struct Two {
    pub tidegate: Tidegate,
    pub mine: (Client, Things),
    pub theirs: (Client, Things),
}

pub fn two(env: &Env) -> Two {
    let tidegate = env.serve();
    make_room(env);
    let client = |tenant: &str| tidegate.with(&env.key(tenant, "ingest,read,consume,admin"));
    let (mine, theirs) = (client("mine"), client("theirs"));
    let of_mine = things(env, &mine, "mine", "m");
    let of_theirs = things(env, &theirs, "theirs", "t");
    Two { mine: (mine, of_mine), theirs: (theirs, of_theirs), tidegate }
}
