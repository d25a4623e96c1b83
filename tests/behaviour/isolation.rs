//! Of another organization nothing is there, over HTTP: for every operation of `openapi.json` whose path names something. One
//! that is new has its line in `NAMED`, or this fails; what it names is made in `isolation_things.rs`. Cursors are in
//! `isolation_cursors.rs`.

use std::collections::BTreeSet;

use serde_json::Value;
use uuid::Uuid;

use crate::client::{Answer, Client};
use crate::described::Described;
use crate::env::{Env, Test, TestResult};
use crate::groups::at_last;
use crate::isolation_things::{Things, Two, two};
use crate::samples::encode;
use crate::tests;

pub const TESTS: &[Test] = tests!(what_is_anothers_is_not_there);

/// An operation whose path names something.
pub struct Named {
    pub operation: &'static str,
    /// What its parameters stand for, in their order: names of `isolation_things::things`.
    names: &'static [&'static str],
    /// A body that it takes.
    body: &'static str,
    /// What is answered where there is no such thing.
    missing: Missing,
}

#[derive(Clone, Copy, PartialEq)]
enum Missing {
    /// 404.
    NotFound,
    /// 200 or 201 of what is one's own: a group may be there before its stream.
    Own,
    /// 404, and 403 for the one whose it is: operators do it.
    ForOperators,
}

const fn named(operation: &'static str, names: &'static [&'static str], body: &'static str) -> Named {
    Named { operation, names, body, missing: Missing::NotFound }
}

const STREAM: &[&str] = &["stream"];
const GROUP: &[&str] = &["stream", "group"];
const KEY: &[&str] = &["key"];
const ORGANIZATION: &[&str] = &["organization"];

/// What changes something after what looks at it, what deletes last: so they are sent by the one whose it is.
pub const NAMED: &[Named] = &[
    named("GET /v1/events/{id}", &["event"], ""),
    named("GET /v1/events/{id}/related", &["event"], ""),
    named("GET /v1/assets/{id}", &["asset"], ""),
    named("GET /v1/receipts/{id}", &["receipt"], ""),
    named("GET /v1/dead-letters/{id}", &["letter"], ""),
    named("GET /v1/dead-letters/{id}/original", &["converted"], ""),
    named("POST /v1/dead-letters/{id}/replay", &["letter"], ""),
    named("GET /v1/streams/{name}", STREAM, ""),
    named("GET /v1/streams/{name}/schemas", STREAM, ""),
    named("GET /v1/streams/{name}/schemas/{version}", &["stream", "version"], ""),
    named("GET /v1/streams/{name}/events", STREAM, ""),
    named("POST /v1/streams/{name}/tickets", STREAM, ""),
    Named { missing: Missing::Own, ..named("GET /v1/streams/{name}/groups", STREAM, "") },
    Named { missing: Missing::Own, ..named("POST /v1/streams/{name}/groups", STREAM, r#"{"name":"new"}"#) },
    named("GET /v1/streams/{name}/groups/{group}", GROUP, ""),
    named("GET /v1/streams/{name}/groups/{group}/lag", GROUP, ""),
    named("GET /v1/streams/{name}/groups/{group}/parked", GROUP, ""),
    named("GET /v1/streams/{name}/groups/{group}/events", GROUP, ""),
    named("POST /v1/streams/{name}/groups/{group}/offset", GROUP, r#"{"next_offset":1,"generation":1}"#),
    named("POST /v1/streams/{name}/groups/{group}/takeover", GROUP, ""),
    named("POST /v1/streams/{name}/groups/{group}/ack", GROUP, r#"{"lease":"1-1"}"#),
    named("POST /v1/streams/{name}/groups/{group}/nack", GROUP, r#"{"lease":"1-1"}"#),
    named("POST /v1/streams/{name}/groups/{group}/extend", GROUP, r#"{"lease":"1-1"}"#),
    named("POST /v1/streams/{name}/groups/{group}/leave", GROUP, r#"{"member":"m"}"#),
    named("POST /v1/streams/{name}/groups/{group}/park", GROUP, r#"{"offset":0}"#),
    named("POST /v1/streams/{name}/groups/{group}/parked/replay", GROUP, r#"{"all":true}"#),
    named("POST /v1/streams/{name}/groups/{group}/parked/drop", GROUP, r#"{"all":true}"#),
    named("POST /v1/streams/{name}/groups/{group}/reset", GROUP, r#"{"to":"latest"}"#),
    named("POST /v1/streams/{name}/groups/{group}/pause", GROUP, ""),
    named("POST /v1/streams/{name}/groups/{group}/resume", GROUP, ""),
    named("GET /v1/organizations/{id}", ORGANIZATION, ""),
    named("PATCH /v1/organizations/{id}", ORGANIZATION, "{}"),
    Named { missing: Missing::ForOperators, ..named("DELETE /v1/organizations/{id}", ORGANIZATION, "") },
    named("GET /v1/keys/{id}", KEY, ""),
    named("PATCH /v1/keys/{id}", KEY, r#"{"label":"another"}"#),
    named("POST /v1/keys/{id}/rotate", KEY, ""),
    named("DELETE /v1/keys/{id}", KEY, ""),
    named("PATCH /v1/streams/{name}/groups/{group}", GROUP, r#"{"max_deliveries":3}"#),
    named("PATCH /v1/streams/{name}", STREAM, r#"{"description":"another"}"#),
    named("DELETE /v1/streams/{name}/groups/{group}", GROUP, ""),
    named("DELETE /v1/streams/{name}", STREAM, ""),
    named("GET /v1/users/{id}", &["user"], ""),
    named("PATCH /v1/users/{id}", &["user"], r#"{"role":"admin"}"#),
    named("DELETE /v1/users/{id}", &["user"], ""),
    named("DELETE /v1/sessions/{id}", &["session"], ""),
];

/// What changes by itself in answers to one's own questions.
const BY_ITSELF: [&str; 2] = ["oldest_unread_s", "last_used_at"];

/// A pattern with its parameters filled in, in their order.
pub fn fill(pattern: &str, values: &[String]) -> String {
    let mut values = values.iter();
    let part = |part: &str| if part.starts_with('{') { values.next().unwrap().clone() } else { part.to_owned() };
    pattern.split('/').map(part).collect::<Vec<_>>().join("/")
}

pub fn send(client: &Client, operation: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let method = operation.split_once(' ').unwrap().0;
    at_last(|| client.send(method, path, headers, body.as_bytes()).unwrap())
}

impl Named {
    pub fn values(&self, things: &Things) -> Vec<String> {
        self.names.iter().map(|name| encode(&things[name])).collect()
    }

    fn ask(&self, client: &Client, values: &[String]) -> Answer {
        send(client, self.operation, &fill(self.path(), values), &[], self.body)
    }

    fn path(&self) -> &'static str {
        self.operation.split_once(' ').unwrap().1
    }

    fn looks(&self) -> bool {
        // Of a group's events some are handed out.
        self.operation.starts_with("GET") && self.path() != "/v1/streams/{name}/groups/{group}/events"
    }
}

/// Operations that are described, and not in a table; and the other way around.
pub fn differ(described: impl IntoIterator<Item = String>, tabled: impl IntoIterator<Item = String>) -> Vec<String> {
    let [described, tabled]: [BTreeSet<String>; 2] = [described.into_iter().collect(), tabled.into_iter().collect()];
    described.symmetric_difference(&tabled).cloned().collect()
}

/// Ids and names as nobody has them, for the path: of right and wrong forms, spelled in every way, and drawn with a seed.
fn nobodys(of: &str) -> Vec<String> {
    let mut drawn = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        drawn
    };
    let mut all: Vec<String> = (0..3).map(|_| Uuid::from_u64_pair(next(), next()).to_string()).collect();
    // One character of what is there is another.
    all.extend((0..of.len()).step_by(5).map(|at| format!("{}~{}", &of[..at], &of[at + 1..])));
    all.extend([Uuid::nil().to_string(), Uuid::max().to_string(), "0".into(), "-1".into(), "9".repeat(30), "*".into()]);
    all.extend(["' OR true --", "%", "../..", "\u{0}", "😀", " ", "null", "{id}", "a\nb"].map(str::to_owned));
    all.push("x".repeat(1000));
    let mut spelled: Vec<String> = all.iter().map(|text| encode(text)).collect();
    spelled.push("%ff".to_owned());
    spelled.push("%2e%2e%2f".to_owned());
    spelled.push((0..8).map(|_| format!("%{:02x}", 128 + next() % 128)).collect());
    spelled
}

/// What is there, in other spellings of a UUID.
fn spellings(of: &str) -> Vec<String> {
    let Ok(id) = Uuid::try_parse(of) else { return Vec::new() };
    let forms = [id.simple().to_string(), id.urn().to_string(), id.braced().to_string(), of.to_uppercase()];
    forms.iter().map(|form| encode(form)).collect()
}

/// Without what changes by itself.
fn settled(mut answer: Value) -> Value {
    fn forget(value: &mut Value) {
        match value {
            Value::Object(members) => {
                members.retain(|name, _| !BY_ITSELF.contains(&name.as_str()));
                members.values_mut().for_each(forget);
            }
            Value::Array(items) => items.iter_mut().for_each(forget),
            _ => {}
        }
    }
    forget(&mut answer);
    answer
}

fn what_is_anothers_is_not_there(env: &Env) -> TestResult {
    let Two { tidegate, mine: (mine, own), theirs: (theirs, others) } = two(env);
    let described = Described::by(&tidegate.client);
    let with_names = described.operations(&["/"]).into_iter().filter(|operation| operation.contains('{'));
    let missing = differ(with_names, NAMED.iter().map(|one| one.operation.to_owned()));
    assert_eq!(missing, Vec::<String>::new(), "each has a line in NAMED");

    // What can be changed stays as it is, whatever another one sends.
    let writable: BTreeSet<&str> = NAMED
        .iter()
        .filter(|one| !one.operation.starts_with("GET"))
        .filter_map(|one| one.path().split('/').nth(2))
        .collect();
    let kept = || -> Vec<(&str, Value)> {
        let looks = NAMED.iter().filter(|one| one.looks() && writable.contains(one.path().split('/').nth(2).unwrap()));
        let look = |one: &Named| {
            let answer = one.ask(&theirs, &one.values(&others));
            // What an agent sent is answered as it is.
            if one.operation.ends_with("/original") { Value::from(answer.text()) } else { settled(answer.expect(200)) }
        };
        looks.map(|one| (one.operation, look(one))).collect()
    };
    let before = kept();
    for one in NAMED {
        let there = one.ask(&mine, &one.values(&others));
        let nowhere: Vec<String> = one
            .names
            .iter()
            .map(|name| if *name == "version" { "7".into() } else { Uuid::nil().to_string() })
            .collect();
        let elsewhere = one.ask(&mine, &nowhere);
        if one.missing == Missing::Own {
            let [there, elsewhere] = [&there, &elsewhere].map(|answer| answer.expect(elsewhere.status));
            assert_eq!((&there["end"], &there["data"]), (&elsewhere["end"], &elsewhere["data"]), "{}", one.operation);
            continue;
        }
        assert_eq!(there.problem(404, "not_found"), elsewhere.problem(404, "not_found"), "{}", one.operation);
        for (at, name) in one.names.iter().enumerate() {
            for odd in nobodys(&others[name]).into_iter().chain(spellings(&others[name])) {
                // With all others of one's own.
                let mut values = one.values(&own);
                values[at] = odd;
                let answer = one.ask(&mine, &values);
                let code = answer.json()["code"].clone();
                let is_told =
                    answer.status == 404 && code == "not_found" || answer.status == 400 && code == "invalid_parameter";
                assert!(is_told, "{} {values:?}: {answer:?}", one.operation);
            }
        }
    }
    assert_eq!(kept(), before, "nothing of theirs has changed");

    // Lists have nothing of theirs, nor have filters by what is theirs.
    let lists = described.operations(&["/v1/"]).into_iter().filter(|operation| {
        operation.starts_with("GET") && described.parameters(operation, "query").contains(&"limit".to_owned())
    });
    for operation in lists.filter(|operation| !operation.contains('{')) {
        let path = operation.split_once(' ').unwrap().1;
        let filters = described.parameters(&operation, "query");
        let by = |name: &str, value: &String| format!("?{name}={}", encode(value));
        let queries = others.values().flat_map(|value| {
            let ids = ["asset_id", "event_id", "deployment_id", "service", "name", "stream", "action_id", "similar_to"];
            ids.iter()
                .filter(|id| filters.iter().any(|filter| filter == *id))
                .map(move |id| by(id, value))
                .collect::<Vec<_>>()
        });
        for query in std::iter::once(String::new()).chain(queries) {
            let query =
                if path.ends_with("/counts") { query.replacen('?', "?bucket=1h&group_by=asset_id&", 1) } else { query };
            let answer = send(&mine, &operation, &format!("{path}{query}"), &[("accept", "application/x-ndjson")], "");
            if answer.status == 200 {
                let text = answer.text();
                // In its own audit log is what it asked for: a group of a stream that is theirs by name.
                let own_words = |name: &str| name == "version" || path == "/v1/audit" && name == "stream";
                let found =
                    others.iter().find(|(name, value)| !own_words(name) && text.contains(&format!("\"{value}\"")));
                assert_eq!(found, None, "{operation}{query}: {text}");
            } else {
                assert!(matches!(answer.status, 400 | 404), "{operation}{query}: {answer:?}");
            }
        }
    }
    // All of that was there, for the one whose it is.
    for one in NAMED {
        let answer = one.ask(&theirs, &one.values(&others));
        if one.missing == Missing::ForOperators {
            answer.problem(403, "forbidden");
            continue;
        }
        assert!(!matches!(answer.status, 401 | 403 | 404) && answer.status < 500, "{}: {answer:?}", one.operation);
    }
    Ok(())
}
