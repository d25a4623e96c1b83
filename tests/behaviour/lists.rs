//! Lists, filters and bodies by the same rules wherever they are: every list has all forms; a value that is not known, where those that
//! are can be listed, is refused; and what is wrong with a body is said in words of JSON.

use serde_json::{Value, json};

use crate::described::Described;
use crate::env::{Env, Test, TestResult};
use crate::groups::{at_last, filled, make, path, show, tell};
use crate::tests;

pub const TESTS: &[Test] = tests!(groups_parked_events_and_versions_are_lists, what_was_dropped_meanwhile_stays_so);

/// The same whatever the engine.
pub const ON_ONE: &[Test] = tests!(
    postgres: filters_refuse_what_is_not_known, what_is_wrong_with_a_body_is_said_in_its_own_words,
    a_group_begins_at_an_offset_that_is_a_number,
);

fn groups_parked_events_and_versions_are_lists(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    filled(client, "s", 5);
    for name in ["a", "b", "c"] {
        make(client, "s", json!({ "name": name, "event_types": ["sample", "x,\"y\""] }));
    }
    for offset in [1, 2, 4] {
        tell(client, "s", "a", "park", json!({ "offset": offset, "reason": "=1+1" })).expect(200);
    }
    for n in 0..3 {
        let body = json!({ "schema": { "properties": { "x": { "maximum": n } } }, "mode": "off" }).to_string();
        at_last(|| client.send("PATCH", "/v1/streams/s", &[], body.as_bytes()).unwrap()).expect(200);
    }
    let parked = format!("{}/parked", path("s", "a"));
    for (list, columns, key, keys) in [
        ("/v1/streams/s/groups", "stream,name,max_deliveries,ack_timeout,event_types,", "name", json!(["a", "b", "c"])),
        (&parked, "offset,id,parked_at,state,deliveries,", "offset", json!([1, 2, 4])),
        ("/v1/streams/s/schemas", "version,schema,created_at,api_key_id", "version", json!([3, 2, 1])),
    ] {
        let of = |items: &[Value]| items.iter().map(|item| item[key].clone()).collect::<Value>();
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = client.get(&format!("{list}?limit=2{cursor}")).expect(200);
            found.extend_from_slice(page["data"].as_array().unwrap());
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(of(&found), keys, "{list}");
        let whole = client.get(&format!("{list}?limit=10000")).expect(200);
        assert_eq!((of(whole["data"].as_array().unwrap()), &whole["next_cursor"]), (keys.clone(), &Value::Null));
        let lines = client.get_as(list, &[("accept", "application/x-ndjson")]);
        let lines: Vec<Value> = lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(of(&lines), keys, "{list}");
        let csv = client.get_as(&format!("{list}?limit=2"), &[("accept", "text/csv")]);
        assert!(csv.text().starts_with(columns) && csv.text().lines().count() == 3, "{list}: {}", csv.text());
        let members: Vec<&str> = csv.text().lines().next().unwrap().split(',').collect();
        assert_eq!(members.len(), found[0].as_object().unwrap().len(), "{list}");
        for query in ["limit=0", "limit=10001", "limit=x", "cursor=x", "cursor=", "csv=x", "nothing=1"] {
            client.get(&format!("{list}?{query}")).problem(400, "invalid_parameter");
        }
        client.get_as(list, &[("accept", "image/png")]).problem(406, "not_acceptable");
    }
    // A formula is no formula where that is asked for.
    let safe = client.get_as(&format!("{parked}?csv=safe"), &[("accept", "text/csv")]);
    assert!(safe.text().contains("'=1+1") && !safe.text().contains(",=1+1"), "{}", safe.text());
    client.get("/v1/streams/none/schemas").problem(404, "not_found");
    client.get(&format!("{}/parked", path("s", "none"))).problem(404, "not_found");
    assert_eq!(client.get("/v1/streams/none/groups").expect(200), json!({ "data": [], "next_cursor": null }));
    Ok(())
}

/// Of a schema the values that it lists: its own, of its items, and of all of which one may be.
fn listed(described: &Described, schema: &Value) -> Vec<String> {
    let schema = described.resolved(schema);
    let own = schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    let inner = schema.get("items").into_iter().chain(schema["anyOf"].as_array().into_iter().flatten());
    own.chain(inner.flat_map(|inner| listed(described, inner))).collect()
}

fn filters_refuse_what_is_not_known(env: &Env) -> TestResult {
    let tidegate = env.share();
    let described = Described::by(&tidegate.client);
    let mut asked = Vec::new();
    for operation in described.operations(&["/v1/"]).into_iter().filter(|operation| operation.starts_with("GET")) {
        let path = operation.split_once(' ').unwrap().1;
        for one in described.operation(&operation)["parameters"].as_array().into_iter().flatten() {
            let one = described.resolved(one);
            let known = listed(&described, &one["schema"]);
            if one["in"] != "query" || known.is_empty() || path.contains('{') {
                continue;
            }
            let name = one["name"].as_str().unwrap();
            // What each needs to be asked at all.
            let more = match path {
                "/v1/events/counts" => "bucket=1h&",
                "/v1/metrics" => "metric_name=latency&",
                _ => "",
            };
            // One of several counts, too.
            for value in ["mistyped".to_owned(), format!("{}x", known[0]), format!("{},mistyped", known[0])] {
                let problem =
                    tidegate.client.get(&format!("{path}?{more}{name}={value}")).problem(400, "invalid_parameter");
                // Of several, which there are.
                let detail = problem["detail"].as_str().unwrap();
                let tells = detail.contains(name) && known.iter().all(|known| detail.contains(known.as_str()));
                assert!(tells || one["schema"]["type"] != "array", "{path}?{name}={value}: {detail}");
            }
            asked.push(format!("{path}?{name}"));
        }
    }
    for expected in [
        "dead-letters?stage",
        "dead-letters?code",
        "services?status",
        "deployments?status",
        "actions?status",
        "correlations?type",
    ] {
        assert!(asked.iter().any(|asked| asked.ends_with(expected)), "{expected}: {asked:?}");
    }
    Ok(())
}

fn what_is_wrong_with_a_body_is_said_in_its_own_words(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    filled(client, "s", 3);
    make(client, "s", json!({ "name": "g" }));
    let described = Described::by(client);
    let mut refused = 0;
    for operation in described.operations(&["/v1/streams", "/v1/dead-letters"]) {
        let Some(members) = described.members_of_body(&operation) else { continue };
        let (method, pattern) = operation.split_once(' ').unwrap();
        let path = pattern.replace("{name}", "s").replace("{group}", "g");
        let send = |body: &str| at_last(|| client.send(method, &path, &[], body.as_bytes()).unwrap());
        for text in ["5", "\"x\"", "true", "null"] {
            let problem = send(text).problem(400, "invalid_body");
            assert!(
                problem["detail"].as_str().unwrap().contains("must be a JSON object"),
                "{operation} {text}: {problem}"
            );
        }
        for member in members {
            for value in [
                json!(-5),
                json!(1.5),
                json!(true),
                json!({ "a": 1 }),
                json!([[5]]),
                json!([{ "path": 5 }]),
                json!("\u{1}"),
            ] {
                let answer = send(&json!({ (&*member): value }).to_string());
                if answer.status != 400 {
                    continue;
                }
                let detail = answer.json()["detail"].as_str().unwrap().to_owned();
                let leaks =
                    ["invalid type", "struct ", "expected", " at line ", "i64", "u64", "i32", "sequence", "variant"];
                let leaked = leaks.iter().find(|words| detail.contains(**words));
                assert_eq!(leaked, None, "{operation} {member}: {value}: {detail}");
                // Or another member is missing.
                assert!(
                    detail.contains(&*member) || detail.contains('`') || detail.contains("schema"),
                    "{operation} {member}: {value}: {detail}"
                );
                refused += 1;
            }
        }
    }
    assert!(refused > 60, "{refused}");
    let mask =
        client.send("PATCH", "/v1/streams/s", &[], br#"{"mask":[{"path":"/a","action":"remove"},{"path":5}]}"#)?;
    let problem = mask.problem(400, "invalid_body");
    assert!(
        problem["detail"].as_str().unwrap().starts_with("`mask[1].path` must be text, and is the number 5"),
        "{problem}"
    );
    Ok(())
}

fn a_group_begins_at_an_offset_that_is_a_number(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    filled(client, "s", 5);
    for (name, start) in [("number", json!(3)), ("text", json!("3"))] {
        assert_eq!(make(client, "s", json!({ "name": name, "start": start }))["committed"], 3, "{name}");
    }
    tell(client, "s", "text", "reset", json!({ "to": 1 })).expect(200);
    assert_eq!(show(client, "s", "text")["committed"], 1);
    for (start, code) in [
        (json!(9), "offset_past_end"),
        (json!(-1), "invalid_body"),
        (json!(1.5), "invalid_body"),
        (json!(""), "invalid_body"),
    ] {
        let body = json!({ "name": "none", "start": start }).to_string();
        let problem = client.post("/v1/streams/s/groups", &[], body).problem(400, code);
        let detail = problem["detail"].as_str().unwrap();
        assert!(code == "offset_past_end" || detail.starts_with("`start` must be `earliest`"), "{start}: {detail}");
    }
    Ok(())
}

/// A member's last delivery of a replay ends while somebody drops it.
fn what_was_dropped_meanwhile_stays_so(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(client, "s", 3);
    make(client, "s", json!({ "name": "g" }));
    let sql = env.sql();
    let group: i64 = sql.one("SELECT group_id FROM consumer_groups");
    let failed = || {
        let statement = include_str!("../../sql/queries/group_replay_failed.sql");
        sql.rows(statement, &[&group, &"default", &0_i64, &"max_deliveries", &"in vain"]);
        let state: String = sql.one("SELECT state FROM consumer_parked");
        let outcome: String = sql.one("SELECT coalesce(outcome, 'none') FROM dead_letter_events");
        (state, outcome)
    };
    let said = |state: &str, outcome: &str| (state.to_owned(), outcome.to_owned());
    tell(client, "s", "g", "park", json!({ "offset": 0 })).expect(200);
    assert_eq!(failed(), said("parked", "none"), "it was not handed out");
    tell(client, "s", "g", "parked/replay", json!({ "all": true })).expect(200);
    assert_eq!(failed(), said("parked", "failed"));
    tell(client, "s", "g", "parked/replay", json!({ "all": true })).expect(200);
    tell(client, "s", "g", "parked/drop", json!({ "all": true })).expect(200);
    assert_eq!(failed(), said("dropped", "dropped"));
    Ok(())
}
