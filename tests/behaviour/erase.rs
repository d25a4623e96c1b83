//! An organization is erased: nothing of it is in any relation, and what is of others is as it was and goes on.

use serde_json::{Value, json};

use crate::env::{Engine, Env, Test, TestResult};
use crate::groups::{commit, filled, make, offsets, show, take, tell};
use crate::postgres::{SUPERUSER, Sql};
use crate::projections::{list, projected, told};
use crate::samples::{array, event_with, hours_from_now, metric_with};
use crate::streams::{numbers, page, reaches};
use crate::tenant_rows::rows;
use crate::tests;

pub const TESTS: &[Test] =
    tests!(nothing_of_it_is_left_and_others_are_as_they_were, what_payloads_contain_is_forgotten_while_others_read_on,);

const DOOMED: &str = "doomed.co-1";

/// Relations with rows that say this, chunks and what is beside them too.
fn saying(sql: &Sql, text: &str) -> Vec<String> {
    let relations: Vec<String> = sql.column(
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'v', 'm') AND has_table_privilege(c.oid, 'SELECT') AND (n.nspname IN ('tidegate', '_timescaledb_catalog') \
           OR n.nspname = '_timescaledb_internal' AND c.relname LIKE '\\_hyper\\_%') ORDER BY 1",
    );
    assert!(relations.len() > 50, "{relations:?}");
    let says = |relation: &String| -> bool {
        sql.one(&format!("SELECT EXISTS (SELECT FROM {relation} x WHERE x::text LIKE '%{text}%')"))
    };
    relations.into_iter().filter(says).collect()
}

fn nothing_of_it_is_left_and_others_are_as_they_were(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let made = env.cli(&["orgs", "create", "Doomed", "--slug", DOOMED]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let theirs = tidegate.with(&env.key(DOOMED, "ingest,read,consume,admin"));
    // Events of several days, enough of them to go straight into the columnstore; samples, dead letters, groups with a parked event.
    for client in [&tidegate.client, &theirs] {
        for hours in [0, 30, 200] {
            let at =
                |n: usize| event_with(n, &format!(r#""timestamp":"{}","asset_id":"a{n}""#, hours_from_now(-hours)));
            client.events(array((0..200).map(at))).accepted(200, 0);
            let at = |n: usize| {
                metric_with(&format!("a{n}"), &format!(r#""value":{n},"timestamp":"{}""#, hours_from_now(-hours)))
            };
            client.metrics(array((0..100).map(at))).accepted(100, 0);
        }
        client.events("[{}]").expect(422);
        filled(client, "s", 9);
        make(client, "s", json!({ "name": "g" }));
        tell(client, "s", "g", "park", json!({ "offset": 2, "reason": "not now" })).expect(200);
    }
    drop(tidegate);
    let superuser = Sql::bare(&env.url(SUPERUSER));
    for tenant in ["default", DOOMED] {
        superuser.alter(&format!("SET search_path = tidegate, public; {}", rows(tenant, "7")));
    }
    env.sql().run(&format!(
        "INSERT INTO users (org_id, email, password_hash, role) \
         SELECT id, 'x@{DOOMED}', '$argon2id$x', 'admin' FROM organizations WHERE tenant_id = '{DOOMED}'; \
         INSERT INTO sessions (id, user_id, token_hash, expires_at, address) \
         SELECT gen_random_uuid(), id, sha256(email::bytea), now() + interval '1 day', '::1' FROM users WHERE email = 'x@{DOOMED}'"
    ));
    if env.engine == Engine::Timescale {
        let compressed: i64 = superuser.one(
            "SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_name = 'events' AND is_compressed",
        );
        assert!(compressed > 0);
    }
    let sql = env.sql();
    let found = |name: &str| env.cli(&["orgs", "erase", name, "--json"]).json();
    let of_relations = |report: &Value| report["relations"].clone();
    let (before, doomed) = (of_relations(&found("default")), found(DOOMED));
    // An active one is not erased; without --yes none is.
    assert!(doomed["hindered"].as_str().unwrap().contains("orgs deactivate"), "{doomed}");
    let refused = env.cli(&["orgs", "erase", DOOMED, "--yes"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("is not erased: it is active"), "{refused:?}");
    assert_eq!(env.cli(&["orgs", "deactivate", DOOMED]).code, Some(0));
    let refused = env.cli(&["orgs", "erase", DOOMED, "--yes"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("until a moment ago"), "{refused:?}");
    sql.run("UPDATE organizations SET deactivated_at = deactivated_at - interval '1 minute' WHERE NOT is_active");
    let dry = found(DOOMED);
    assert_eq!((&dry["erased"], &dry["hindered"]), (&json!(false), &Value::Null), "{dry}");
    let there = saying(&sql, DOOMED);
    assert!(
        ["events", "metrics", "dead_letter_events", "users"].iter().all(|name| there.iter().any(|at| at == name)),
        "{there:?}"
    );

    // What is removed is what was found, in every relation.
    let erased = env.cli(&["orgs", "erase", DOOMED, "--yes", "--json"]).json();
    assert_eq!((&erased["erased"], of_relations(&erased)), (&json!(true), of_relations(&dry)), "{erased}");
    let removed = |name: &str| {
        let relations = erased["relations"].as_array().unwrap();
        relations.iter().find(|of| of["relation"] == name).map(|of| of["rows"].as_u64().unwrap())
    };
    assert_eq!(removed("events"), Some(3 * 200 + 9 + 41), "{erased}");
    assert_eq!(removed("metrics"), Some(3 * 100 + 41), "{erased}");
    // Nothing says its name any more but the note that it was erased.
    assert_eq!(saying(&sql, DOOMED), ["audit_log"]);
    let noted: Vec<String> = sql.column(&format!("SELECT action FROM audit_log a WHERE a::text LIKE '%{DOOMED}%'"));
    assert_eq!(noted, ["organizations.erase"]);
    assert_eq!(of_relations(&found("default")), before);
    let again = env.cli(&["orgs", "erase", DOOMED, "--yes"]);
    assert!(again.code == Some(1) && again.stderr.contains(DOOMED), "{again:?}");

    // What is of others goes on: sending, reading, groups.
    let tidegate = env.serve();
    let client = &tidegate.client;
    client.events(array([event_with(1, r#""stream":"s""#)])).accepted(1, 0);
    let page = client.get("/v1/events?limit=10000").expect(200);
    assert_eq!(page["data"].as_array().unwrap().len(), 3 * 200 + 9 + 41 + 1);
    assert!(!take(client, "s", "g", "")["events"].as_array().unwrap().is_empty());
    tidegate.with(&env.key(DOOMED, "read")).get("/v1/events").expect(200);
    assert_eq!(tidegate.with(&env.key(DOOMED, "read")).get("/v1/events").expect(200)["data"], json!([]));
    Ok(())
}

/// A person, as payloads say it.
const PERSON: &str = r#""person":{"id":4711,"name":"ada.l-4711"}"#;
const CONDITION: &str = r#"{"payload":{"person":{"id":4711.0}}}"#;

fn of_person(n: usize, members: &str) -> String {
    format!(r#"{{"event_type":"visit","source_module":"tests","payload":{{"n":{n},{PERSON}}},{members}}}"#)
}

fn what_payloads_contain_is_forgotten_while_others_read_on(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    let other = tidegate.with(&env.key("other", "ingest,read"));
    // Whole days with enough events to be in the columnstore, of each tenth the person; and of another organization, which stays.
    for client in [client, &other] {
        for hours in [30, 200] {
            let at = |n: usize| {
                let at = format!(r#""timestamp":"{}","asset_id":"a{n}""#, hours_from_now(-hours));
                if n.is_multiple_of(10) { of_person(n, &at) } else { event_with(n, &at) }
            };
            client.events(array((0..200).map(at))).accepted(200, 0);
        }
    }
    // A stream in which it is in the middle, alone in a batch, and at the end.
    let send = |items: &[String]| drop(client.events(array(items)).expect(200));
    let in_stream = |n: usize| event_with(n, r#""stream":"s""#);
    let person_in_stream = |n: usize| of_person(n, r#""stream":"s""#);
    send(&[in_stream(0), person_in_stream(1), in_stream(2)]);
    reaches(client, "s", 3);
    send(&[person_in_stream(3)]);
    reaches(client, "s", 4);
    send(&[in_stream(4), in_stream(5), person_in_stream(6)]);
    reaches(client, "s", 7);
    for group in ["g", "late"] {
        make(client, "s", json!({ "name": group }));
    }
    let taken = take(client, "s", "g", "limit=2");
    assert_eq!(offsets(&taken), [0, 1]);
    tell(client, "s", "late", "park", json!({ "offset": 3, "reason": "not now" })).expect(200);
    // What events tell, and what was refused: as an item, and a whole body that cannot be read.
    let person: Value = serde_json::from_str(&format!("{{{PERSON}}}")).unwrap();
    let tells = |name: &str, more: &Value| {
        let mut payload = json!({ "service": name });
        payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        client.events(told("service.registered", 60, &payload)).accepted(1, 0);
    };
    tells("kept", &json!({}));
    tells("hers", &person);
    let refused = of_person(1, &format!(r#""timestamp":"{}""#, hours_from_now(-24 * 400)));
    client.events(array([refused])).problem(422, "nothing_accepted");
    client.events(format!("oops {}", of_person(1, r#""stream":"s""#))).problem(400, "body_not_json");
    let sql = env.sql();
    projected(&sql);
    assert_eq!(list(client, "/v1/services").len(), 2);
    // No job is at what is counted.
    drop(tidegate);

    let erase = |more: &[&str]| {
        env.cli(&[&["orgs", "erase", "default", "--where", CONDITION, "--json"][..], more].concat()).json()
    };
    let counts = || -> [i64; 3] { [sql.count("events"), sql.count("dead_letter_events"), sql.count("services")] };
    let before = counts();
    let dry = erase(&[]);
    assert_eq!((&dry["erased"], counts()), (&json!(false), before), "{dry}");
    let erased = erase(&["--yes"]);
    assert_eq!((&erased["erased"], &erased["relations"]), (&json!(true), &dry["relations"]), "{erased}");
    let removed = |name: &str| {
        let relations = erased["relations"].as_array().unwrap();
        relations.iter().find(|of| of["relation"] == name).map(|of| of["rows"].as_i64().unwrap())
    };
    // 20 of each day, three of the stream, one that told of a service.
    assert_eq!(removed("events"), Some(2 * 20 + 3 + 1), "{erased}");
    assert_eq!(removed("services"), Some(1), "{erased}");
    assert_eq!(erased["rebuild"], json!(["services"]));
    // The refused item and the parked event; the body that is no JSON is told of.
    assert_eq!((removed("dead_letter_events"), &erased["unreadable_dead_letters"]), (Some(2), &json!(1)), "{erased}");
    assert_eq!(counts(), [before[0] - 44, before[1] - 2, 1]);
    // Only the letter that cannot be read says the name any more, and the other organization, whose events are all there.
    let left: i64 =
        sql.one("SELECT count(*) FROM events WHERE payload::text LIKE '%ada.l-4711%' AND tenant_id = 'default'");
    assert_eq!(left, 0);
    let others: i64 =
        sql.one("SELECT count(*) FROM events e WHERE tenant_id <> 'default' AND payload::text LIKE '%ada.l-4711%'");
    assert_eq!(others, 2 * 20);
    let saying: Vec<String> =
        sql.column("SELECT tenant_id FROM dead_letter_events WHERE position('ada.l-4711'::bytea IN raw) > 0");
    assert_eq!(saying, ["default"]);
    // What was done is noted, without whom it was about.
    let note: String = sql.one("SELECT a::text FROM audit_log a WHERE action = 'organizations.erase_events'");
    assert!(note.contains("person") && !note.contains("4711"), "{note}");
    // A second time there is nothing.
    assert_eq!(erase(&["--yes"])["relations"], json!([]));

    // A reader by offset goes on over the gaps; so do groups: one that had been given an erased event, and one that begins.
    let tidegate = env.serve();
    let client = &tidegate.client;
    assert_eq!(numbers(&page(client, "s", "offset=earliest")), [(0, 0), (2, 2), (4, 4), (5, 5)]);
    assert_eq!(numbers(&page(client, "s", "offset=3")), [(4, 4), (5, 5)]);
    commit(client, "s", "g", &taken).expect(200);
    for (group, rest) in [("g", [2, 4, 5].as_slice()), ("late", &[0, 2, 4, 5])] {
        let taken = take(client, "s", group, "");
        assert_eq!(offsets(&taken), rest, "{group}");
        commit(client, "s", group, &taken).expect(200);
        let more = take(client, "s", group, "");
        assert_eq!(offsets(&more), [0_i64; 0]);
        if more["cursor"].is_string() {
            commit(client, "s", group, &more).expect(200);
        }
        assert_eq!(show(client, "s", group)["lag"], json!(0), "{group}");
    }
    client.events(array([in_stream(7)])).accepted(1, 0);
    reaches(client, "s", 8);
    assert_eq!(offsets(&take(client, "s", "late", "")), [7]);
    // It is erased while the organization sends, too.
    client.events(array([person_in_stream(8)])).accepted(1, 0);
    let erased = erase(&["--yes"]);
    assert_eq!(
        erased["relations"].as_array().unwrap().iter().find(|of| of["relation"] == "events").unwrap()["rows"],
        1
    );
    Ok(())
}
