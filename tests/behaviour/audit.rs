//! The audit log: who did what, over HTTP and on the command line, compared with what a test did; and what is not in it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::client::{Client, Key};
use crate::env::{Env, Test, TestResult, until};
use crate::groups::{filled, make, take};
use crate::samples::{array, event};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    each_route_that_administers_is_noted,
    commands_are_noted,
    what_administers_nothing_or_was_refused_is_not_noted,
    acts_expire,
);

/// What is in the log of a tenant, the oldest first, from this id on.
fn noted(env: &Env, after: i64) -> Vec<Value> {
    let rows = env.sql().rows(
        "SELECT to_jsonb(a) FROM tidegate.audit_log a WHERE tenant_id LIKE $1 || '%' AND id > $2 ORDER BY id",
        &[&env.organization(), &after],
    );
    rows.iter().map(|row| row.get(0)).collect()
}

fn newest(env: &Env) -> i64 {
    env.sql().one("SELECT coalesce(max(id), 0) FROM tidegate.audit_log")
}

/// One act over HTTP: how it is done, and what is noted of it.
struct Doing {
    body: Value,
    path: String,
    action: &'static str,
    target: String,
}

fn doing(path: &str, body: Value, action: &'static str, target: &str) -> Doing {
    Doing { body, path: path.to_owned(), action, target: target.to_owned() }
}

/// A route that is added and not noted does not compile; one that says what it notes and does not is seen here.
fn each_route_that_administers_is_noted(env: &Env) -> TestResult {
    let tidegate = env.share();
    let holder = env.key("default", "operator");
    let client = tidegate.with(&holder);
    let own = env.organization().to_owned();
    filled(&client, "s", 9);
    let group = |name: &str| format!("/v1/streams/s/groups/{name}");
    let slug = format!("{own}-new");
    let key = env.key("default", "read").id().to_owned();
    client.events("[{}]").expect(422);
    client.events("[{}, {\"event_type\":7}]").expect(422);
    let letter = until("a dead letter", || {
        let page = client.get("/v1/dead-letters?limit=1").expect(200);
        page["data"].as_array().unwrap().first().map(|letter| letter["id"].as_str().unwrap().to_owned())
    });
    make(&client, "s", json!({ "name": "parking", "max_deliveries": 5 }));
    take(&client, "s", "parking", "limit=5");
    let before = newest(env);
    let organizations = "/v1/organizations";
    let organization = format!("{organizations}/{slug}");
    let streams = "/v1/streams";
    let d = doing;
    // By method and pattern, in an order in which they can be done.
    let mut acts: Vec<(&str, &str, Doing)> = vec![
        ("POST", organizations, d(organizations, json!({ "name": slug, "slug": slug }), "organizations.create", &slug)),
        (
            "PATCH",
            "/v1/organizations/{id}",
            d(&organization, json!({ "name": format!("{slug} 2") }), "organizations.rename", &slug),
        ),
        (
            "PATCH",
            "/v1/organizations/{id}",
            d(&organization, json!({ "events_retention_days": 3 }), "organizations.retention", &slug),
        ),
        ("DELETE", "/v1/organizations/{id}", d(&organization, json!({}), "organizations.deactivate", &slug)),
        (
            "PATCH",
            "/v1/organizations/{id}",
            d(&organization, json!({ "is_active": true }), "organizations.activate", &slug),
        ),
        (
            "PATCH",
            "/v1/organizations/{id}",
            d(&organization, json!({ "is_active": false }), "organizations.deactivate", &slug),
        ),
        ("POST", "/v1/keys", d("/v1/keys", json!({ "scopes": ["read"], "label": "made" }), "keys.create", "")),
        ("PATCH", "/v1/keys/{id}", d(&format!("/v1/keys/{key}"), json!({ "label": "altered" }), "keys.alter", &key)),
        ("POST", "/v1/keys/{id}/rotate", d(&format!("/v1/keys/{key}/rotate"), json!({}), "keys.rotate", &key)),
        ("DELETE", "/v1/keys/{id}", d(&format!("/v1/keys/{key}"), json!({}), "keys.revoke", &key)),
        ("POST", streams, d(streams, json!({ "name": "made" }), "streams.create", "made")),
        ("PATCH", "/v1/streams/{name}", d("/v1/streams/made", json!({ "description": "x" }), "streams.alter", "made")),
        ("DELETE", "/v1/streams/{name}", d("/v1/streams/made", json!({}), "streams.delete", "made")),
        (
            "POST",
            "/v1/streams/{name}/groups",
            d("/v1/streams/s/groups", json!({ "name": "g" }), "groups.create", "s/g"),
        ),
    ];
    let of_group =
        |method: &'static str, what: &'static str, pattern: &'static str, name: &str, body: Value, action| {
            (method, pattern, d(&(group(name) + what), body, action, &format!("s/{name}")))
        };
    macro_rules! pattern {
        ($what:literal) => {
            concat!("/v1/streams/{name}/groups/{group}", $what)
        };
    }
    acts.extend([
        of_group("PATCH", "", pattern!(""), "g", json!({ "max_deliveries": 3 }), "groups.alter"),
        of_group("POST", "/takeover", pattern!("/takeover"), "g", json!({}), "groups.takeover"),
        of_group("POST", "/reset", pattern!("/reset"), "g", json!({ "to": "latest" }), "groups.reset"),
        of_group("POST", "/pause", pattern!("/pause"), "g", json!({}), "groups.pause"),
        of_group("POST", "/resume", pattern!("/resume"), "g", json!({}), "groups.resume"),
        of_group("POST", "/park", pattern!("/park"), "parking", json!({ "offset": 1, "reason": "why" }), "groups.park"),
        of_group(
            "POST",
            "/parked/replay",
            pattern!("/parked/replay"),
            "parking",
            json!({ "all": true }),
            "groups.replay",
        ),
        of_group("POST", "/parked/drop", pattern!("/parked/drop"), "parking", json!({ "all": true }), "groups.drop"),
        of_group("DELETE", "", pattern!(""), "g", json!({}), "groups.delete"),
        (
            "POST",
            "/v1/dead-letters/replay",
            d("/v1/dead-letters/replay", json!({ "stage": "write" }), "dead_letters.replay_by_filter", ""),
        ),
        (
            "POST",
            "/v1/dead-letters/{id}/replay",
            d(&format!("/v1/dead-letters/{letter}/replay"), json!({}), "dead_letters.replay", &letter),
        ),
    ]);
    // Each route with each of its actions, and no other: those of people are their own test's.
    let mut done: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for (method, pattern, doing) in &acts {
        done.entry((*method, *pattern)).or_default().insert(doing.action);
    }
    let of_people = |pattern: &str| pattern.starts_with("/v1/users") || pattern.starts_with("/v1/sessions");
    let table: BTreeMap<(&str, &str), BTreeSet<&str>> = tidegate::http::noted()
        .filter(|(_, pattern, _)| !of_people(pattern))
        .map(|(method, pattern, actions)| ((method, pattern), actions.iter().copied().collect()))
        .collect();
    assert_eq!(done, table);

    let mut expected = Vec::new();
    for (n, (method, _, Doing { body, path, action, target })) in acts.iter().enumerate() {
        let id = format!("act-{n}");
        let body = if *body == json!({}) { String::new() } else { body.to_string() };
        let answer = client.send(method, path, &[("x-request-id", &id)], body.as_bytes()).unwrap();
        // One letter is refused again, which is an act all the same only where it was done.
        if answer.status == 422 && *action == "dead_letters.replay" {
            continue;
        }
        assert!((200..300).contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.text());
        expected.push((id, *action, target.clone()));
    }
    let rows = noted(env, before);
    let told = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let found: Vec<(String, String)> = rows.iter().map(|row| (told(row, "request_id"), told(row, "action"))).collect();
    let wanted: Vec<(String, String)> =
        expected.iter().map(|(id, action, _)| (id.clone(), (*action).to_owned())).collect();
    assert_eq!(found, wanted);
    for (row, (_, action, target)) in rows.iter().zip(&expected) {
        assert_eq!(
            (told(row, "actor_kind"), told(row, "actor_id")),
            ("key".into(), holder.id().to_owned()),
            "{action}"
        );
        assert_eq!(
            (told(row, "actor"), told(row, "address")),
            ("made by a test".into(), "127.0.0.1".into()),
            "{action}"
        );
        // What is made has its id from the answer, or stands in what was asked for.
        assert!(target.is_empty() || told(row, "target") == *target, "{row}");
    }
    let of = |action: &str| rows.iter().find(|row| row["action"] == action).unwrap();
    assert_eq!(of("streams.create")["details"]["name"], "made");
    assert_eq!(of("groups.park")["details"], json!({ "offset": 1, "reason": "why" }));
    assert_eq!(of("organizations.retention")["details"]["events_retention_days"], 3);
    assert_eq!(of("keys.create")["details"]["scopes"], json!(["read"]));

    // The same over HTTP, by what was asked for.
    let page = |query: &str| {
        client.get(&format!("/v1/audit?organization={own}&limit=10000&{query}")).expect(200)["data"]
            .as_array()
            .unwrap()
            .clone()
    };
    let ids = |rows: &[Value]| rows.iter().map(|row| row["id"].as_i64().unwrap()).collect::<Vec<_>>();
    let paused = page("action=groups.pause,groups.resume");
    assert_eq!(
        paused.iter().map(|row| row["action"].as_str().unwrap()).collect::<Vec<_>>(),
        ["groups.resume", "groups.pause"]
    );
    assert_eq!(page(&format!("target={key}")).len(), 3);
    assert!(
        ids(&page(&format!("actor={}&action=groups.pause", holder.id()))).len() == 1 && page("actor=nobody").is_empty()
    );
    let at = paused[0]["at"].as_str().unwrap();
    assert!(ids(&page(&format!("from={at}"))).contains(&paused[0]["id"].as_i64().unwrap()));
    assert!(!ids(&page(&format!("to={at}"))).contains(&paused[0]["id"].as_i64().unwrap()));
    Ok(())
}

fn commands_are_noted(env: &Env) -> TestResult {
    env.begin_empty();
    env.cli(&["migrate", "--json"]).json();
    let made = env.cli(&["orgs", "create", "acme", "--json"]).json();
    let key = env.cli(&["keys", "create", "--org", "acme", "--scopes", "ingest,read", "--label", "l", "--json"]).json();
    let id = key["id"].as_str().unwrap();
    env.cli(&["keys", "limit", id, "--events-per-second", "5", "--json"]).json();
    let next = env.cli(&["keys", "rotate", id, "--json"]).json();
    env.cli(&["keys", "revoke", id, "--json"]).json();
    env.cli(&["orgs", "retention", "acme", "--events", "30d", "--json"]).json();
    // Looking is no act.
    env.cli(&["orgs", "retention", "acme", "--json"]).json();
    env.cli(&["keys", "list", "--json"]).json();
    env.cli(&["orgs", "deactivate", "acme", "--json"]).json();
    env.cli(&["orgs", "activate", "acme", "--json"]).json();
    // What is refused is none either.
    assert_eq!(env.cli(&["orgs", "create", "Acme", "--json"]).code, Some(1));
    assert_eq!(env.cli(&["keys", "revoke", "00000000-0000-0000-0000-000000000000"]).code, Some(1));
    env.cli(&["lifecycle", "run", "--json"]).json();
    let acts = env.cli(&["audit", "--json"]).json();
    let mut acts = acts.as_array().unwrap().clone();
    acts.reverse();
    let told: Vec<[&str; 2]> =
        acts.iter().map(|act| [act["action"].as_str().unwrap(), act["target"].as_str().unwrap_or_default()]).collect();
    assert_eq!(
        told,
        [
            ["schema.migrate", ""],
            ["organizations.create", "acme"],
            ["keys.create", id],
            ["keys.alter", id],
            ["keys.rotate", id],
            ["keys.revoke", id],
            ["organizations.retention", "acme"],
            ["organizations.deactivate", "acme"],
            ["organizations.activate", "acme"],
            ["lifecycle.run", ""],
        ]
    );
    let account = acts[0]["actor"].as_str().unwrap();
    assert!(account.split_once('@').is_some_and(|(who, host)| !who.is_empty() && !host.is_empty()), "{account}");
    for act in &acts {
        assert_eq!(
            (&act["actor_kind"], &act["actor"], &act["address"]),
            (&json!("command"), &json!(account), &Value::Null)
        );
        let concerns = if act["target"].is_null() { Value::Null } else { made["tenant_id"].clone() };
        assert_eq!(act["tenant_id"], concerns, "{act}");
    }
    // No secret, and no hash of one.
    let text = Value::from(acts.clone()).to_string();
    for key in [&key, &next] {
        let secret = key["key"].as_str().unwrap().rsplit('_').next().unwrap();
        assert!(!text.contains(&secret[..16]), "{text}");
    }
    let one = env.cli(&["audit", "--org", "acme", "--action", "keys.create", "--from", "-1h", "--json"]).json();
    assert_eq!(one.as_array().unwrap().len(), 1);
    assert_eq!(env.cli(&["audit", "--to", "-1h", "--json"]).json(), json!([]));
    assert!(env.cli(&["audit"]).stdout.contains("keys.rotate"));
    assert_eq!(env.cli(&["audit", "--from", "never"]).code, Some(2));
    Ok(())
}

fn what_administers_nothing_or_was_refused_is_not_noted(env: &Env) -> TestResult {
    let tidegate = env.share();
    let admin = tidegate.with(&env.key("default", "ingest,read,consume,admin"));
    let reader = tidegate.with(&env.key("default", "read"));
    let before = newest(env);
    let post = |client: &Client, path: &str, body: Value| client.post(path, &[], body.to_string());
    admin.events(array([event(1)])).accepted(1, 0);
    filled(&admin, "s", 3);
    admin.get("/v1/events").expect(200);
    admin.get("/v1/keys").expect(200);
    post(&reader, "/v1/keys", json!({ "scopes": ["read"] })).problem(403, "forbidden");
    post(&admin, "/v1/keys", json!({ "scopes": ["operator"] })).problem(403, "forbidden");
    post(&admin, "/v1/keys", json!({ "scopes": ["nothing"] })).problem(400, "invalid_body");
    post(&admin, "/v1/organizations", json!({ "name": "x" })).problem(403, "forbidden");
    post(&admin, "/v1/streams/s/groups/none/pause", json!({})).problem(404, "not_found");
    assert_eq!(noted(env, before), Vec::<Value>::new());
    // What a consumer does, and what is only tried.
    make(&admin, "s", json!({ "name": "g" }));
    let taken = take(&admin, "s", "g", "limit=2");
    post(&admin, "/v1/streams/s/groups/g/offset", json!({ "cursor": taken["cursor"], "generation": 1 })).expect(200);
    post(&admin, "/v1/streams/s/groups/g/reset?dry_run", json!({ "to": "earliest" })).expect(200);
    post(&admin, "/v1/streams/s/groups/g/reset", json!({ "to": "earliest", "dry_run": true })).expect(200);
    post(&admin, "/v1/dead-letters/replay", json!({ "dry_run": true })).expect(200);
    let actions: Vec<String> =
        noted(env, before).iter().map(|act| act["action"].as_str().unwrap().to_owned()).collect();
    assert_eq!(actions, ["groups.create"]);
    // A key in what was asked for is none in the log, and what the database cannot hold does not keep an act from being noted.
    let key: Key = env.key("default", "read");
    make(&admin, "s", json!({ "name": "h" }));
    take(&admin, "s", "h", "limit=1");
    post(&admin, "/v1/streams/s/groups/h/park", json!({ "offset": 0, "reason": format!("for {}", key.text) }))
        .expect(200);
    let acts = noted(env, before);
    let parked = acts.last().unwrap();
    assert_eq!((&parked["action"], &parked["details"]["reason"]), (&json!("groups.park"), &json!("for tg_...")));
    Ok(())
}

fn acts_expire(env: &Env) -> TestResult {
    env.begin_empty();
    env.cli(&["orgs", "create", "acme", "--json"]).json();
    env.sql().run(
        "INSERT INTO tidegate.audit_log (at, actor_kind, actor, action) VALUES \
         (now() - interval '401 days', 'command', 'old', 'a.old'), (now() - interval '399 days', 'command', 'new', 'a.new')",
    );
    env.cli(&["lifecycle", "run", "--json"]).json();
    let left: Vec<String> =
        env.sql().column("SELECT action FROM tidegate.audit_log WHERE action LIKE 'a.%' ORDER BY id");
    assert_eq!(left, ["a.new"]);
    let shorter = ["lifecycle", "run", "--json", "--set", "retention.audit=30d"];
    env.cli(&shorter).json();
    let left: Vec<String> = env.sql().column("SELECT action FROM tidegate.audit_log WHERE action LIKE 'a.%'");
    assert_eq!(left, Vec::<String>::new());
    Ok(())
}
