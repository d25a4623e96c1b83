//! Streams, groups and dead letters answer as `openapi.json` says: each status that is described, with a body of its form, and
//! the parameters and members of bodies that are described are those that are taken.

use serde_json::{Value, json};

use crate::client::Client;
use crate::described::Described;
use crate::described_wrongly::what_does_not_fit_a_description_is_told;
use crate::env::{Env, Test, TestResult, until};
use crate::groups::{expire_first, filled, show};
use crate::samples::array;
use crate::streams::reaches;
use crate::{replays, tests};

pub const TESTS: &[Test] = tests!(answers_are_what_is_described);

/// The same whatever the engine.
pub const ON_ONE: &[Test] =
    tests!(postgres: what_is_described_is_what_is_taken, what_does_not_fit_a_description_is_told);

/// What of the API this is about.
const ABOUT: [&str; 3] = ["/v1/streams", "/v1/dead-letters", "/v1/keys/self"];
/// Shown elsewhere: slow bodies, too many at once, the database away.
const ELSEWHERE: [u16; 3] = [408, 429, 503];

/// The path of an operation.
fn at(operation: &str, group: &str) -> String {
    let path = operation.split_once(' ').unwrap().1;
    path.replace("{name}", "s")
        .replace("{group}", group)
        .replace("{version}", "1")
        .replace("{id}", "00000000-0000-0000-0000-000000000000")
}

/// Whether it takes a body of JSON.
fn takes_body(operation: &str) -> bool {
    !operation.starts_with("GET") && !operation.contains("/v1/keys")
}

/// A body that it takes, for a group whose member `m` holds this lease.
fn body_of(operation: &str, lease: &str) -> String {
    let body = match operation.rsplit('/').next().unwrap() {
        "groups" => json!({ "name": "another" }),
        "{group}" if operation.starts_with("PATCH") => json!({ "max_deliveries": 3 }),
        "offset" => json!({ "next_offset": 4, "generation": 1 }),
        "ack" | "nack" | "extend" => json!({ "lease": lease }),
        "leave" => json!({ "member": "m" }),
        "park" => json!({ "offset": 5 }),
        "replay" if operation.contains("/dead-letters/{id}/") => return String::new(),
        "replay" | "drop" => json!({ "all": true }),
        "reset" => json!({ "to": "latest" }),
        _ => return String::new(),
    };
    body.to_string()
}

fn answers_are_what_is_described(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    let described = Described::by(client);
    let all = described.operations(&ABOUT);
    let group = |what: &str| format!("/v1/streams/s/groups/{what}");
    let ask = |operation: &str, path: &str| described.send(client, operation, path, "");
    let tell = |what: &str, name: &str, body: Value| {
        let operation = format!("POST /v1/streams/{{name}}/groups/{{group}}/{what}");
        described.send(client, &operation, &group(&format!("{name}/{what}")), &body.to_string())
    };
    // What is handed out stays so to the end, however slow the machine is.
    let make = |mut settings: Value| {
        settings["ack_timeout"] = json!("1h");
        described.send(client, "POST /v1/streams/{name}/groups", "/v1/streams/s/groups", &settings.to_string())
    };
    let take = |query: &str| ask("GET /v1/streams/{name}/groups/{group}/events", &group(query));
    let one = "GET /v1/streams/{name}/groups/{group}";

    // Who may not, and what is asked for in another way.
    let sender = tidegate.with(&env.key("default", "ingest"));
    for operation in &all {
        let path = at(operation, "g");
        described.send(&tidegate.anonymous(), operation, &path, "").problem(401, "unauthorized");
        if !operation.ends_with("/v1/keys/self") {
            described.send(&sender, operation, &path, "").problem(403, "forbidden");
        }
        described.send(client, operation, &format!("{path}?nothing=1"), "").problem(400, "invalid_parameter");
        if takes_body(operation) {
            described.send(client, operation, &path, "{").problem(400, "body_not_json");
            described.send(client, operation, &path, "[1]").problem(400, "invalid_body");
            described.send(client, operation, &path, &" ".repeat(300 << 10)).problem(413, "body_too_large");
            let packed = [("content-encoding", "br")];
            described.send_as(client, operation, &path, &packed, "{}").problem(415, "unsupported_encoding");
        }
    }
    for path in ["/v1/streams", "/v1/dead-letters", "/v1/streams/{name}/events"] {
        let operation = format!("GET {path}");
        let headers = [("accept", "image/png")];
        described.send_as(client, &operation, &at(&operation, ""), &headers, "").problem(406, "not_acceptable");
    }

    // Streams, by page and with a ticket.
    filled(client, "s", 9);
    filled(client, "t", 1);
    assert_eq!(ask("GET /v1/streams", "/v1/streams?limit=1").expect(200)["data"].as_array().unwrap().len(), 1);
    ask("GET /v1/streams/{name}", "/v1/streams/s").expect(200);
    let events = "GET /v1/streams/{name}/events";
    let page = ask(events, "/v1/streams/s/events?limit=2").expect(200);
    ask(events, "/v1/streams/s/events?offset=99").problem(400, "offset_past_end");
    for (accept, limit) in [("application/x-ndjson", ""), ("text/event-stream", "?limit=1")] {
        let path = format!("/v1/streams/s/events{limit}");
        assert_eq!(described.send_as(client, events, &path, &[("accept", accept)], "").status, 200);
    }
    ask("POST /v1/streams/{name}/tickets", "/v1/streams/s/tickets").expect(200);
    ask("GET /v1/keys/self", "/v1/keys/self").expect(200);

    // One member, and what it may not.
    make(json!({ "name": "g", "event_types": [] })).expect(201);
    make(json!({ "name": "g" })).problem(409, "group_exists");
    make(json!({ "name": "ahead", "start": "99" })).problem(400, "offset_past_end");
    ask("GET /v1/streams/{name}/groups", "/v1/streams/s/groups?limit=1").expect(200);
    let taken = take("g/events?limit=2").expect(200);
    tell("offset", "g", json!({ "cursor": taken["cursor"], "generation": 1 })).expect(200);
    tell("offset", "g", json!({ "next_offset": 99, "generation": 1 })).problem(400, "offset_past_end");
    tell("takeover", "g", json!({})).expect(200);
    tell("offset", "g", json!({ "next_offset": 3, "generation": 1 })).problem(409, "generation_over");
    tell("reset", "g", json!({ "to": "latest", "dry_run": true })).expect(200);
    tell("reset", "g", json!({ "offset": 99 })).problem(400, "offset_past_end");
    tell("reset", "g", json!({ "offset": 3 })).expect(200);
    tell("pause", "g", json!({})).expect(200);
    tell("resume", "g", json!({})).expect(200);
    ask(&format!("{one}/lag"), &group("g/lag")).expect(200);
    described
        .send(client, "PATCH /v1/streams/{name}/groups/{group}", &group("g"), r#"{"ack_timeout":"1m"}"#)
        .expect(200);

    // Several, in an order and in none; what is parked, replayed and dropped.
    make(json!({ "name": "shared", "max_deliveries": 1 })).expect(201);
    make(json!({ "name": "ordered", "ordered_by": "asset_id" })).expect(201);
    take("ordered/events").problem(400, "group_kind");
    assert!(take("ordered/events?member=m").expect(200)["lease"].is_string());
    let lease = |query: &str| take(&format!("shared/events?member=m&limit=1{query}")).expect(200)["lease"].clone();
    let first = lease("");
    tell("extend", "shared", json!({ "lease": first })).expect(200);
    tell("nack", "shared", json!({ "lease": first, "error": "no", "delay": "0" })).expect(200);
    tell("nack", "shared", json!({ "lease": first })).problem(409, "lease_over");
    let second = lease("");
    tell("ack", "shared", json!({ "lease": second })).expect(200);
    for what in ["ack", "extend"] {
        tell(what, "shared", json!({ "lease": second })).problem(409, "lease_over");
    }
    lease("");
    take("shared/events").problem(409, "group_has_members");
    tell("leave", "shared", json!({ "member": "m" })).expect(200);
    for offset in [5, 6, 7] {
        tell("park", "shared", json!({ "offset": offset, "reason": "not now" })).expect(200);
    }
    let parked = ask(&format!("{one}/parked"), &group("shared/parked")).expect(200);
    assert!(parked["data"].as_array().unwrap().len() >= 3, "{parked}");
    tell("parked/replay", "shared", json!({ "offsets": [6] })).expect(200);
    assert!(ask(&format!("{one}/parked"), &group("shared/parked")).expect(200).to_string().contains("replaying"));
    tell("parked/drop", "shared", json!({ "offsets": [6] })).expect(200);
    ask(one, &group("shared")).expect(200);

    // What is refused, of each stage; and parked events among it.
    client.events(array(["{}".to_owned(), replays::old(1), r#"{"a":"\u0000"}"#.into()])).expect(422);
    client.events("no JSON").expect(400);
    let letters = ask("GET /v1/dead-letters", "/v1/dead-letters").expect(200);
    let id = |code: &str| {
        let found = letters["data"].as_array().unwrap().iter().find(|letter| letter["code"] == code);
        found.unwrap_or_else(|| panic!("{code}: {letters}"))["id"].as_str().unwrap().to_owned()
    };
    let kept = "/v1/dead-letters";
    for code in ["missing_field", "out_of_window", "invalid_json", "parked", "max_deliveries"] {
        ask("GET /v1/dead-letters/{id}", &format!("{kept}/{}", id(code))).expect(200);
    }
    let converted = client.post("/write", &[], "no line");
    assert_eq!(converted.status, 400);
    let letters = ask("GET /v1/dead-letters", "/v1/dead-letters?code=undecodable").expect(200);
    let converted = format!("{kept}/{}/original", letters["data"][0]["id"].as_str().unwrap());
    assert_eq!(ask("GET /v1/dead-letters/{id}/original", &converted).text(), "no line");
    let replay = |id: &str| ask("POST /v1/dead-letters/{id}/replay", &format!("{kept}/{id}/replay"));
    replay(&id("missing_field")).problem(422, "replay_failed");
    replay(&id("parked")).problem(422, "not_replayable");
    env.sql().run("UPDATE dead_letter_events SET raw = convert_to('{\"event_type\":\"a\",\"source_module\":\"b\",\"payload\":{}}', 'UTF8') WHERE code = 'out_of_window'");
    replay(&id("out_of_window")).expect(200);
    for query in ["?dry_run=1", "?limit=1", ""] {
        ask("POST /v1/dead-letters/replay", &format!("{kept}/replay{query}")).expect(200);
    }

    definitions(env, &described, client, &tidegate.with(&env.key("full", "ingest,read,consume,admin")));
    anothers(&described, &tidegate.with(&env.key("other", "operator")), client);
    busy(env, &described, client, &all);
    quota(env, &described, &tidegate.with(&env.key("many", "consume")));

    // What has expired.
    expire_first(env);
    ask(events, "/v1/streams/s/events?offset=0").problem(410, "offset_gone");
    make(json!({ "name": "behind" })).expect(201);
    make(json!({ "name": "gone", "start": "0" })).problem(410, "offset_gone");
    tell("reset", "behind", json!({ "offset": 0 })).problem(410, "offset_gone");
    tell("offset", "behind", json!({ "cursor": page["cursor"], "generation": 1 })).problem(410, "offset_gone");
    env.sql().run("UPDATE consumer_offsets SET committed = 0 WHERE group_id = (SELECT group_id FROM consumer_groups WHERE name = 'behind')");
    take("behind/events").problem(410, "offset_gone");
    described.send(client, "DELETE /v1/streams/{name}/groups/{group}", &group("behind"), "");

    let lists = [
        ("GET /v1/streams/{name}/groups", "/v1/streams/s/groups".to_owned()),
        ("GET /v1/streams/{name}/groups/{group}/parked", format!("{}/parked", group("behind"))),
        ("GET /v1/streams/{name}/schemas", "/v1/streams/s/schemas".to_owned()),
    ];
    for (operation, path) in lists {
        described.send_as(client, operation, &path, &[("accept", "image/png")], "").problem(406, "not_acceptable");
    }
    described.assert_right();
    let mut missed = described.missed(&all, &ELSEWHERE);
    let elsewhere = [
        // Of two replays at once: tests of replays.
        ("POST /v1/dead-letters/{id}/replay", 409),
        // A thousand members, and ten thousand parked events: tests of groups.
        ("GET /v1/streams/{name}/groups/{group}/events", 422),
        ("POST /v1/streams/{name}/groups/{group}/park", 422),
        // Of a cursor of another organization: tests of isolation.
        ("GET /v1/streams/{name}/groups", 404),
    ];
    missed.retain(|(route, status)| !elsewhere.contains(&(route.as_str(), *status)));
    assert_eq!(missed, []);
    Ok(())
}

/// Nothing of another organization's is there, whatever the other may do; and its cursors are none.
fn anothers(described: &Described, other: &Client, client: &Client) {
    let lease = "1-1";
    for operation in described.operations(&ABOUT) {
        let path = at(&operation, "none");
        if path.contains("/none") || path.contains("0000-") {
            described.send(client, &operation, &path, &body_of(&operation, lease)).problem(404, "not_found");
        }
    }
    let of_streams = [
        "GET /v1/streams/{name}",
        "PATCH /v1/streams/{name}",
        "DELETE /v1/streams/{name}",
        "GET /v1/streams/{name}/schemas",
        "GET /v1/streams/{name}/schemas/{version}",
        "GET /v1/streams/{name}/events",
        "POST /v1/streams/{name}/tickets",
    ];
    for operation in of_streams {
        described.send(other, operation, &at(operation, ""), "").problem(404, "not_found");
    }
    filled(other, "a", 1);
    filled(other, "b", 1);
    other.events(array(["{}", "{}"])).expect(422);
    for operation in ["GET /v1/streams", "GET /v1/dead-letters", "POST /v1/dead-letters/replay"] {
        let path = format!("{}?limit=1", at(operation, ""));
        let page = described.send(other, operation, &path, "").expect(200);
        let cursor = page["next_cursor"].as_str().unwrap_or_else(|| panic!("{operation}: {page}"));
        described.send(client, operation, &format!("{path}&cursor={cursor}"), "").problem(404, "not_found");
    }
}

/// Streams are defined, altered and deleted; and what of that is refused.
fn definitions(env: &Env, described: &Described, client: &Client, full: &Client) {
    let [make, alter, delete] = ["POST /v1/streams", "PATCH /v1/streams/{name}", "DELETE /v1/streams/{name}"];
    let defined = "/v1/streams/defined";
    let send = |operation: &str, path: &str, body: Value| described.send(client, operation, path, &body.to_string());
    let mask = json!([{ "path": "/a/*", "action": "remove" }]);
    let schema = json!({ "properties": { "n": { "minimum": 3 } } });
    let whole =
        json!({ "name": "defined", "schema": schema, "mode": "warn", "compatibility": "backward", "mask": mask });
    send(make, "/v1/streams", whole.clone()).expect(201);
    send(make, "/v1/streams", whole).problem(409, "stream_exists");
    send(make, "/v1/streams", json!({ "name": "x", "schema": { "type": "x" } })).problem(400, "invalid_schema");
    described.send(client, "GET /v1/streams/{name}", defined, "").expect(200);
    let narrower = json!({ "schema": { "properties": { "n": { "minimum": 4 } } } });
    send(alter, defined, narrower).problem(409, "schema_incompatible");
    send(alter, "/v1/streams/s", json!({ "schema": false })).problem(409, "schema_refuses_events");
    send(alter, &format!("{defined}?force=true"), json!({ "description": null, "mode": "off" })).expect(200);
    described.send(client, "GET /v1/streams/{name}/schemas", &format!("{defined}/schemas"), "").expect(200);
    let version = "GET /v1/streams/{name}/schemas/{version}";
    described.send(client, version, &format!("{defined}/schemas/1"), "").expect(200);

    let sql = env.sql();
    sql.run("BEGIN; SELECT FROM event_stream_revision FOR UPDATE");
    send(make, "/v1/streams", json!({ "name": "held" })).problem(409, "stream_changed");
    send(alter, defined, json!({ "mode": "off" })).problem(409, "stream_changed");
    described.send(client, delete, defined, "").problem(409, "stream_changed");
    sql.run("ROLLBACK");
    assert_eq!(described.send(client, delete, defined, "").status, 204);

    filled(full, "free", 1);
    reaches(full, "free", 1);
    sql.run("INSERT INTO event_streams (tenant_id, name, revision) SELECT 'full', 'd' || n, 0 FROM generate_series(1, 1000) n");
    described.send(full, make, "/v1/streams", r#"{"name":"one more"}"#).problem(422, "definition_quota");
    described.send(full, alter, "/v1/streams/free", "{}").problem(422, "definition_quota");
    described.send(full, delete, "/v1/streams/free", "").problem(422, "definition_quota");
}

/// While somebody holds what groups are written to, a writer is told to come again, and a reader sees it.
fn busy(env: &Env, described: &Described, client: &Client, all: &[String]) {
    let lease = format!("{}-1", show(client, "s", "g")["generation"]);
    let sql = env.sql();
    let tables =
        "consumer_groups, consumer_offsets, consumer_leases, consumer_members, consumer_slots, consumer_parked";
    // A job that is at them takes them in an order of its own, and one of two that wait for each other is refused.
    let locked = format!("ROLLBACK; BEGIN; LOCK TABLE {tables} IN EXCLUSIVE MODE");
    until("nobody else holds them", || sql.try_run(&locked).ok());
    for operation in all.iter().filter(|operation| operation.contains("/groups")) {
        let looks = operation.starts_with("GET") && !operation.ends_with("/events");
        let answer = described.send(client, operation, &at(operation, "g"), &body_of(operation, &lease));
        match looks {
            true => drop(answer.expect(200)),
            false => {
                answer.problem(409, "group_busy");
                assert_eq!(answer.header("retry-after"), "1", "{operation}");
            }
        }
    }
    sql.run("ROLLBACK");
}

fn quota(env: &Env, described: &Described, many: &Client) {
    env.sql().run(
        "INSERT INTO consumer_groups (tenant_id, stream, name, max_deliveries, ack_timeout_ms, event_types) \
         SELECT 'many', 's', 'g' || n, 5, 1000, '{}' FROM generate_series(1, 1000) n",
    );
    let operation = "POST /v1/streams/{name}/groups";
    described.send(many, operation, &at(operation, ""), r#"{"name":"one more"}"#).problem(422, "group_quota");
}

/// A parameter, or a member of a body, that is described is known, and one that is not is refused.
fn what_is_described_is_what_is_taken(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    let described = Described::by(client);
    let all = described.operations(&ABOUT);
    filled(client, "s", 3);
    client.post("/v1/streams/s/groups", &[], r#"{"name":"g"}"#).expect(201);
    reaches(client, "s", 3);
    let detail = |operation: &str, query: &str, body: &str| {
        let method = operation.split_once(' ').unwrap().0;
        let answer = client.send(method, &format!("{}{query}", at(operation, "g")), &[], body.as_bytes()).unwrap();
        String::from_utf8_lossy(&answer.bytes).into_owned()
    };
    let mut parameters: Vec<String> = all.iter().flat_map(|one| described.parameters(one, "query")).collect();
    let mut members: Vec<String> = all.iter().filter_map(|one| described.members_of_body(one)).flatten().collect();
    for names in [&mut parameters, &mut members] {
        names.sort();
        names.dedup();
    }
    // Instead of a key.
    parameters.retain(|name| name != "ticket");
    assert!(parameters.len() > 8 && members.len() > 12, "{parameters:?} {members:?}");
    for operation in &all {
        let known = described.parameters(operation, "query");
        for name in &parameters {
            // What it cannot be; of a filter, what nothing is.
            let said = detail(operation, &format!("?{name}=%01"), "");
            assert_eq!(said.contains("is not known here"), !known.contains(name), "{operation}?{name}: {said}");
        }
        let known = match described.members_of_body(operation) {
            Some(known) => known,
            None if takes_body(operation) => Vec::new(),
            None => continue,
        };
        for name in &members {
            let said = detail(operation, "", &json!({ (name): {} }).to_string());
            // It is said what to do instead of altering it.
            let stays = match operation.as_str() {
                "PATCH /v1/streams/{name}" => "name",
                "PATCH /v1/streams/{name}/groups/{group}" => "ordered_by",
                _ => "",
            };
            let is_known = known.contains(name) || name == stays;
            assert_eq!(said.contains("unknown field"), !is_known, "{operation} {name}: {said}");
        }
    }
    Ok(())
}
