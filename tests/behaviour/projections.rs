//! What events of known types tell: the tables are what the events say, whatever order they come in, and say why where they cannot
//! be understood.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::client::Client;
use crate::described::Described;
use crate::env::{Env, Test, TestResult, until};
use crate::postgres::Sql;
use crate::samples::{array, event_with};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    the_page_of_events_says_what_is_so,
    every_event_is_found_where_it_belongs,
    what_a_projection_could_not_take_can_be_replayed,
    what_the_database_refuses_stops_nothing_behind_it,
    other_types_are_not_looked_at,
    what_is_said_of_assets_stands_beside_when_they_were_seen,
    letters_of_projections_have_a_bound,
);
pub const SLOW: &[Test] = tests!(every_event_is_found_beside_more_streams_than_a_request_names);

/// Waits until the processor has passed everything that was logged and concerns it.
pub fn projected(sql: &Sql) {
    crate::offsets::assert_whole(sql);
    // Before its first tick the log takes what is there for what came with a restored database, which concerns all projections.
    until("the log has begun", || (sql.count("sequencer_ticks") > 0).then_some(()));
    let waiting =
        "SELECT (SELECT count(*) FROM projection_queue) + (SELECT count(*) FROM projections WHERE begun_at IS NULL)";
    until("the processor is through", || (sql.one::<i64>(waiting) == 0).then_some(()));
}

/// An event of a type, so many seconds ago.
pub fn told(event_type: &str, seconds_ago: i64, payload: &Value) -> String {
    let at = Timestamp::now() - SignedDuration::from_secs(seconds_ago);
    json!({ "event_type": event_type, "source_module": "tests", "timestamp": at.to_string(), "payload": payload })
        .to_string()
}

pub fn list(client: &Client, path: &str) -> Vec<Value> {
    client.get(path).expect(200)["data"].as_array().unwrap().clone()
}

/// The blocks of the page that begin so, each with what stands behind these words.
fn blocks<'a>(page: &'a str, beginning: &str) -> Vec<(&'a str, &'a str)> {
    let block = |part: &'a str| {
        let (head, rest) = part.split_once('\n').unwrap();
        (head.trim(), rest.split("```").next().unwrap())
    };
    page.split(beginning).skip(1).map(block).collect()
}

/// Puts times in for `{now-2h}`.
fn with_times(text: &str, now: Timestamp) -> String {
    let mut parts = text.split("{now-");
    let mut filled = parts.next().unwrap().to_owned();
    for part in parts {
        let (age, rest) = part.split_once('}').unwrap();
        let (number, unit) = age.split_at(age.len() - 1);
        let seconds = number.parse::<i64>().unwrap() * if unit == "h" { 3600 } else { 60 };
        filled += &(now - SignedDuration::from_secs(seconds)).to_string();
        filled += rest;
    }
    filled
}

fn the_page_of_events_says_what_is_so(env: &Env) -> TestResult {
    let page = include_str!("../../docs/EVENTS.md");
    let now = Timestamp::from_second(Timestamp::now().as_second())?;
    let tidegate = env.serve();
    let (client, sql) = (&tidegate.client, env.sql());
    let events: Vec<String> = blocks(page, "```json event").iter().map(|(_, text)| with_times(text, now)).collect();
    let types: Vec<String> = events
        .iter()
        .map(|event| serde_json::from_str::<Value>(event).unwrap()["event_type"].as_str().unwrap().to_owned())
        .collect();
    for projection in tidegate::projections::ALL {
        for event_type in projection.types {
            assert!(types.contains(&event_type.name.to_owned()), "no example of {}", event_type.name);
            assert!(page.contains(&format!("`{}`", event_type.name)), "{} is not named", event_type.name);
        }
    }
    // Last first: the order makes no difference.
    for event in events.iter().rev() {
        client.events(event).accepted(1, 0);
    }
    projected(&sql);
    assert_eq!(list(client, "/v1/dead-letters"), Vec::<Value>::new());
    let answers = blocks(page, "```json answer");
    assert!(answers.len() > 4);
    for (path, expected) in answers {
        let answer = client.get(path).expect(200);
        let found = answer["data"].as_array().map_or_else(|| vec![answer.clone()], Clone::clone);
        assert_eq!(found.len(), 1, "{path}: {answer}");
        let expected: Value = serde_json::from_str(&with_times(expected, now))?;
        for (member, value) in expected.as_object().unwrap() {
            let is_time = value.as_str().is_some_and(|text| text.parse::<Timestamp>().is_ok());
            if is_time {
                let time = |value: &Value| value.as_str().unwrap().parse::<Timestamp>().unwrap();
                assert_eq!(time(&found[0][member]), time(value), "{path}: {member}");
            } else {
                assert_eq!(&found[0][member], value, "{path}: {member}");
            }
        }
    }
    Ok(())
}

/// Streams that a request may name.
const STREAMS_MAX: usize = 65_536;

fn every_event_is_found_where_it_belongs(env: &Env) -> TestResult {
    found_where_they_belong(env, 100)
}

/// The same with a packaging failure in it as well. By itself that is one of `replays`.
fn every_event_is_found_beside_more_streams_than_a_request_names(env: &Env) -> TestResult {
    found_where_they_belong(env, STREAMS_MAX)
}

/// ADR-0005's flow: a raw failure, a validation failure, successes, and with all streams a packaging failure, in one request.
fn found_where_they_belong(env: &Env, streams: usize) -> TestResult {
    let tidegate = env.serve_with(&["limits.streams_per_tenant=100000"]);
    let (client, sql) = (&tidegate.client, env.sql());
    let good = told("deployment.started", 60, &json!({ "deployment_id": "d", "service": "s", "version": 1 }));
    client.events(&good).accepted(1, 0);
    let special = [
        // Raw: text that PostgreSQL cannot store.
        r#"{"event_type":"deployment.started","source_module":"x","payload":{"deployment_id":"a\u0000"}}"#.to_owned(),
        // Not valid.
        r#"{"source_module":"x","payload":{"deployment_id":"b"}}"#.to_owned(),
        // Stored, and says nothing that can be understood.
        told("deployment.started", 50, &json!({ "service": "s" })),
        told("deployment.succeeded", 30, &json!({ "deployment_id": "d" })),
    ];
    // With `default` the last one may name a stream more than a request can, and is not to be packaged.
    let unpackaged = usize::from(streams == STREAMS_MAX);
    let others = (1..=streams)
        .map(|n| format!(r#"{{"event_type":"e","source_module":"m","stream":"s{n}","payload":{{"n":{n}}}}}"#));
    client
        .events(array(special.into_iter().chain(others)))
        .accepted((streams + 2 - unpackaged) as u64, 2 + unpackaged as u64);
    assert_eq!(sql.count("events"), i64::try_from(streams + 3 - unpackaged)?);
    projected(&sql);
    let letters = list(client, "/v1/dead-letters");
    let stage =
        |letter: &Value| (letter["stage"].as_str().unwrap().to_owned(), letter["code"].as_str().unwrap().to_owned());
    let found: BTreeMap<String, String> = letters.iter().map(stage).collect();
    let expected = [
        ("decode", "payload_nul"),
        ("package", "invalid_field"),
        ("project", "missing_field"),
        ("validate", "missing_field"),
    ];
    let expected = expected.into_iter().filter(|(stage, _)| *stage != "package" || unpackaged == 1);
    assert_eq!(found, expected.map(|(stage, code)| (stage.to_owned(), code.to_owned())).collect());
    let told = "/v1/events?event_type=deployment.started,deployment.succeeded";
    assert_eq!(list(client, told).len(), 3, "what cannot be understood is stored all the same");
    let deployments = list(client, "/v1/deployments");
    assert_eq!(deployments.len(), 1);
    let deployment = &deployments[0];
    assert_eq!((&deployment["status"], &deployment["version"]), (&json!("succeeded"), &json!("1")));
    // The row names the event that told of it last, and that is where it says.
    let events = client.get("/v1/streams/default/events").expect(200);
    let last =
        events["data"].as_array().unwrap().iter().find(|event| event["id"] == deployment["event_id"]).unwrap().clone();
    assert_eq!((&last["offset"], &last["event_type"]), (&deployment["event_offset"], &json!("deployment.succeeded")));
    let tellers: Vec<String> =
        sql.column("SELECT string_agg(e->>'id', ' ') FROM deployments, jsonb_array_elements(told_by) e");
    assert!(tellers[0].contains(deployment["event_id"].as_str().unwrap()), "{tellers:?}");
    let letter = letters.iter().find(|letter| letter["stage"] == "project").unwrap();
    assert!(letter["reason"].as_str().unwrap().contains("payload.deployment_id is missing"), "{letter}");
    assert_eq!(letter["parameters"]["projection"], "deployments");
    // Nobody else's.
    let other = tidegate.with(&env.key("other", "read"));
    for path in ["/v1/deployments", "/v1/services", "/v1/assets", "/v1/actions"] {
        assert_eq!(list(&other, path), Vec::<Value>::new(), "{path}");
    }
    other.get("/v1/assets/a").problem(404, "not_found");
    Ok(())
}

fn what_a_projection_could_not_take_can_be_replayed(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let (client, sql) = (&tidegate.client, env.sql());
    client.events(told("deployment.failed", 60, &json!({ "deployment_id": {}, "error": "e" }))).accepted(1, 0);
    projected(&sql);
    let described = Described::by(client);
    let found = described
        .send(client, "GET /v1/dead-letters", "/v1/dead-letters?stage=project&code=wrong_type", "")
        .expect(200);
    described.assert_right();
    let letter = found["data"][0].clone();
    let replay = format!("/v1/dead-letters/{}/replay", letter["id"].as_str().unwrap());
    let refused = client.post(&replay, &[], "").problem(422, "replay_failed");
    assert_eq!((&refused["outcome"], &refused["outcome_code"]), (&json!("failed"), &json!("wrong_type")));
    // As if the projection had learned to take it.
    sql.run(
        "UPDATE dead_letter_events SET raw = convert_to(replace(convert_from(raw, 'UTF8'), '{}', '\"d\"'), 'UTF8')",
    );
    assert_eq!(client.post(&replay, &[], "").expect(200)["outcome"], "stored");
    let deployments = list(client, "/v1/deployments");
    assert_eq!((&deployments[0]["status"], &deployments[0]["error"]), (&json!("failed"), &json!("e")));
    assert_eq!(deployments[0]["event_offset"], letter["parameters"]["offset"]);
    let row = || -> Vec<String> { sql.column("SELECT concat_ws(' ', d.*, d.xmin) FROM deployments d") };
    let before = row();
    assert_eq!(client.post(&replay, &[], "").expect(200)["outcome"], "stored", "once");
    assert_eq!(row(), before);
    Ok(())
}

fn what_the_database_refuses_stops_nothing_behind_it(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let (client, sql) = (&tidegate.client, env.sql());
    // An operator's rule, say; a projection knows nothing of it.
    let rule = "CHECK (service IS DISTINCT FROM 'forbidden')";
    sql.run(&format!("ALTER TABLE deployments ADD CONSTRAINT of_operator {rule}"));
    let deployment =
        |id: &str, service: &str| told("deployment.started", 60, &json!({ "deployment_id": id, "service": service }));
    let items = [("a", "x"), ("b", "forbidden"), ("c", "y"), ("d", "forbidden"), ("e", "z")];
    client.events(array(items.map(|(id, service)| deployment(id, service)))).accepted(5, 0);
    projected(&sql);
    let ids = || -> Vec<String> { sql.column("SELECT deployment_id FROM deployments ORDER BY 1") };
    assert_eq!(ids(), ["a", "c", "e"]);
    let letters = list(client, "/v1/dead-letters?stage=project");
    assert_eq!(letters.len(), 2);
    for letter in &letters {
        assert_eq!(
            (&letter["code"], &letter["parameters"]["projection"]),
            (&json!("row_refused"), &json!("deployments"))
        );
        assert!(letter["reason"].as_str().unwrap().contains("of_operator"), "{letter}");
    }
    // Tables computed again lack the same, and a rebuild says so.
    let rebuilt = env.cli(&["rebuild", "deployments", "--json"]).json();
    assert_eq!(
        (&rebuilt["unfit"], &rebuilt["differing"], ids()),
        (&json!(2), &json!(0), vec!["a".into(), "c".into(), "e".into()])
    );
    // Replayed: refused while the rule is there, and stored without it.
    let replay = |letter: &Value| format!("/v1/dead-letters/{}/replay", letter["id"].as_str().unwrap());
    let refused = client.post(&replay(&letters[0]), &[], "").problem(422, "replay_failed");
    assert_eq!((&refused["outcome"], &refused["outcome_code"]), (&json!("failed"), &json!("row_refused")));
    sql.run("ALTER TABLE deployments DROP CONSTRAINT of_operator");
    for letter in &letters {
        assert_eq!(client.post(&replay(letter), &[], "").expect(200)["outcome"], "stored");
    }
    assert_eq!(ids(), ["a", "b", "c", "d", "e"]);
    Ok(())
}

fn other_types_are_not_looked_at(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let (client, sql) = (&tidegate.client, env.sql());
    // A projection that has not begun yet has to look at every stream that is there when it does.
    projected(&sql);
    client.events(event_with(1, r#""stream":"other""#)).accepted(1, 0);
    client.events(event_with(2, r#""stream":"mixed""#)).accepted(1, 0);
    let deployment = told("deployment.started", 60, &json!({ "deployment_id": "d" }));
    client.events(deployment.replacen('{', r#"{"stream":"mixed","#, 1)).accepted(1, 0);
    projected(&sql);
    let logged: Vec<String> = sql.column("SELECT concat_ws(' ', stream, base, projections) FROM batch_log ORDER BY 1");
    assert_eq!(logged, ["mixed 0 0", "mixed 1 3", "other 0 0"], "services and deployments have the first two bits");
    let offsets: Vec<String> =
        sql.column("SELECT concat_ws(' ', projection, stream, committed) FROM projection_offsets ORDER BY 1");
    assert_eq!(offsets, ["deployments mixed 2", "services mixed 2"]);
    // A writer that does not know all projections that the database has does not know what its batches concern.
    sql.run("INSERT INTO projections (name, bit, begun_at) VALUES ('future', 20, now())");
    client.events(event_with(3, r#""stream":"other""#)).accepted(1, 0);
    client.events(told("deployment.started", 50, &json!({ "deployment_id": "e" }))).accepted(1, 0);
    until("both deployments are known", || (sql.count("deployments") == 2).then_some(()));
    let logged: Vec<i32> = sql.column("SELECT DISTINCT projections FROM batch_log WHERE projections NOT IN (0, 3)");
    assert_eq!(logged, [-1]);
    Ok(())
}

fn what_is_said_of_assets_stands_beside_when_they_were_seen(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["limits.assets_per_tenant=3"]);
    let (client, sql) = (&tidegate.client, env.sql());
    // An operator's row, and what an event says of it.
    sql.run(
        "INSERT INTO asset_metadata (tenant_id, asset_id, asset_name, team_id, first_seen, last_seen) \
         VALUES ('default', 'a', 'by hand', 'ops', now() - INTERVAL '3 days', now() - INTERVAL '2 days')",
    );
    client
        .events(told("asset.updated", 60, &json!({ "asset_id": "a", "owner": "ada", "tags": {"tier": 1.00} })))
        .accepted(1, 0);
    client
        .events(told("asset.registered", 90, &json!({ "asset_id": "b", "name": "B", "type": "disk" })))
        .accepted(1, 0);
    projected(&sql);
    let asset = client.get("/v1/assets/a").expect(200);
    assert_eq!(
        (&asset["name"], &asset["team"], &asset["owner"], &asset["asset_type"]),
        (&json!("by hand"), &json!("ops"), &json!("ada"), &json!("unknown"))
    );
    let seen = |id: &str| -> String {
        let ago = |column: &str| format!("round(extract(epoch FROM now() - {column}) / 3600)");
        let (first, last) = (ago("first_seen"), ago("last_seen"));
        sql.one(&format!("SELECT concat_ws(' ', {first}, {last}) FROM asset_metadata WHERE asset_id = '{id}'"))
    };
    assert_eq!(seen("a"), "72 0", "what speaks of an asset has seen it");
    // What comes late says nothing new, but that it was seen before.
    client.events(told("asset.registered", 7200, &json!({ "asset_id": "b", "name": "old" }))).accepted(1, 0);
    projected(&sql);
    assert_eq!(seen("b"), "2 0");
    assert_eq!(client.get("/v1/assets/b").expect(200)["name"], "B");
    // Of as many as there may be.
    client
        .events(array(["c", "d", "e"].map(|id| told("asset.registered", 30, &json!({ "asset_id": id })))))
        .accepted(3, 0);
    projected(&sql);
    let ids = |query: &str| -> Vec<String> {
        list(client, &format!("/v1/assets{query}"))
            .iter()
            .map(|asset| asset["asset_id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids(""), ["a", "b", "c"]);
    assert_eq!(
        sql.column::<String>("SELECT concat_ws(' ', what, tenant_id, refused) FROM over_quota"),
        ["assets default 2"]
    );
    assert_eq!(
        (ids("?type=disk"), ids("?owner=ada"), ids("?limit=1")),
        (vec!["b".into()], vec!["a".into()], vec!["a".into()])
    );
    let next = client.get("/v1/assets?limit=1").expect(200)["next_cursor"].as_str().unwrap().to_owned();
    assert_eq!(ids(&format!("?limit=1&cursor={next}")), ["b"]);
    // Taken back: as if it had never been said. Computed again it is the same.
    client.events(told("asset.updated", 10, &json!({ "asset_id": "b", "name": null, "type": "" }))).accepted(1, 0);
    projected(&sql);
    let rows = || -> Vec<String> { sql.column("SELECT concat_ws(' ', a.*) FROM asset_metadata a ORDER BY asset_id") };
    let before = rows();
    assert!(before[1].contains("b,b,unknown"), "{before:?}");
    sql.run("UPDATE asset_metadata SET owner_id = 'eve' WHERE asset_id = 'a'");
    let rebuild = ["rebuild", "asset_details", "--json", "--set", "limits.assets_per_tenant=3"];
    let rebuilt = env.cli(&rebuild).json();
    assert_eq!((&rebuilt["differing"], rows()), (&json!(1), before));
    Ok(())
}

fn letters_of_projections_have_a_bound(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["limits.dead_letter_bytes_per_day=8KiB"]);
    let (client, sql) = (&tidegate.client, env.sql());
    let items = (0..20).map(|n| told("deployment.started", n, &json!({ "service": "s", "n": n })));
    client.events(array(items)).accepted(20, 0);
    projected(&sql);
    let kept = sql.count("dead_letter_events");
    assert!((1..12).contains(&kept), "{kept}");
    let bytes: i64 = sql.one("SELECT sum(octet_length(raw) + 512)::bigint FROM dead_letter_events");
    assert_eq!(bytes, sql.one::<i64>("SELECT bytes FROM projection_letters"));
    assert!(bytes <= 8192, "{bytes}");
    let unfit = |kept: &str| {
        let metrics = crate::books::Books::of(client);
        metrics.get(&format!(r#"tidegate_projection_unfit_total{{projection="deployments",kept="{kept}"}}"#))
    };
    assert_eq!(unfit("yes") + unfit("no"), 20.0);
    Ok(())
}
