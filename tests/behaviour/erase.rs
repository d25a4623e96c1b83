//! An organization is erased: nothing of it is in any relation, and what is of others is as it was and goes on.

use serde_json::{Value, json};

use crate::env::{Engine, Env, Test, TestResult};
use crate::groups::{filled, make, take, tell};
use crate::postgres::{SUPERUSER, Sql};
use crate::samples::{array, event_with, hours_from_now, metric_with};
use crate::tenant_rows::rows;
use crate::tests;

pub const TESTS: &[Test] = tests!(nothing_of_it_is_left_and_others_are_as_they_were);

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
