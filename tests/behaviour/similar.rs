//! DD-SCHEMA-001's tables, and actions that are like others: the same answers where embeddings are pgvector's and where they are
//! arrays.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::client::Client;
use crate::env::{Env, Test, TestResult};
use crate::postgres::SUPERUSER;
use crate::projections::{list, projected, told};
use crate::samples::array;
use crate::tests;

pub const TESTS: &[Test] = tests!(
    actions_have_their_resources_and_workflows,
    the_nearest_come_first,
    the_nearest_come_first_without_pgvector,
    actions_are_computed_again,
);

const DIMENSIONS: usize = 768;

fn resource(name: &str) -> Value {
    json!({ "namespace": "shop", "kind": "Deployment", "name": name })
}

fn action(id: &str, name: &str) -> Value {
    json!({ "action_id": id, "action_type": "restart", "resource": resource(name) })
}

fn actions_have_their_resources_and_workflows(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let (client, sql) = (&tidegate.client, env.sql());
    let mut ended = action("a-1", "checkout");
    ended["workflow_id"] = json!("w");
    ended["error"] = json!("it would not start");
    // The end is heard of first.
    client.events(told("action.failed", 50, &ended)).accepted(1, 0);
    projected(&sql);
    let found = list(client, "/v1/actions").remove(0);
    assert_eq!(
        (&found["status"], &found["started_at"], &found["alert_name"]),
        (&json!("failed"), &Value::Null, &Value::Null)
    );
    let mut started = ended.clone();
    started["alert_name"] = json!("PodCrashLooping");
    started["cluster_name"] = json!("eu-1");
    started["parameters"] = json!({ "factor": 1.5 });
    client.events(told("action.started", 60, &started)).accepted(1, 0);
    client.events(told("action.started", 40, &action("a-2", "checkout"))).accepted(1, 0);
    client
        .events(told(
            "action.started",
            30,
            &json!({ "action_id": "a-3", "action_type": "x", "resource": {"kind": "Pod"} }),
        ))
        .accepted(1, 0);
    projected(&sql);
    let found = list(client, "/v1/actions?action_id=a-1").remove(0);
    assert_eq!(
        (&found["status"], &found["alert_name"], &found["error"]),
        (&json!("failed"), &json!("PodCrashLooping"), &json!("it would not start"))
    );
    let time = |member: &str| found[member].as_str().unwrap().parse::<Timestamp>().unwrap();
    let took_ms = time("finished_at").duration_since(time("started_at")).as_millis();
    assert_eq!(i128::from(found["duration_ms"].as_i64().unwrap()), took_ms);
    assert_eq!((&found["namespace"], &found["workflow_id"]), (&json!("shop"), &json!("w")));
    // One resource, and what one workflow and no workflow did to it.
    let counts = ["resource_references", "action_histories", "resource_action_traces"].map(|table| sql.count(table));
    assert_eq!(counts, [1, 2, 2]);
    let joined: i64 = sql.one(
        "SELECT count(*) FROM resource_action_traces t JOIN action_histories h ON h.id = t.action_history_id \
         JOIN resource_references r ON r.id = h.resource_id WHERE r.name = 'checkout' AND t.alert_name IS NOT NULL AND h.status = 'failed'",
    );
    assert_eq!(joined, 1);
    let letter = list(client, "/v1/dead-letters?stage=project").remove(0);
    assert!(letter["reason"].as_str().unwrap().contains("payload.resource.namespace is missing"), "{letter}");
    assert_eq!(list(client, "/v1/actions?status=started").len(), 1);
    client.get("/v1/actions?workflow_id=w").problem(400, "invalid_parameter");
    Ok(())
}

/// Numbers that look random, from -1 to 1.
fn embedding(seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..DIMENSIONS).map(|_| next()).collect()
}

fn distance(one: &[f32], other: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
    1.0 - dot(one, other) / (dot(one, one) * dot(other, other)).sqrt()
}

fn the_nearest_come_first(env: &Env) -> TestResult {
    env.begin_empty();
    let superuser = env.sql_as(SUPERUSER);
    let is_there: bool = superuser.one("SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector')");
    if is_there {
        superuser.run("CREATE EXTENSION vector SCHEMA public");
    }
    assert_eq!(env.cli(&["migrate"]).code, Some(0));
    assert_eq!(embedding_type(env), if is_there { "vector" } else { "real[]" });
    nearest(env)
}

fn embedding_type(env: &Env) -> String {
    env.sql().one(
        "SELECT atttypid::regtype::text FROM pg_attribute WHERE attrelid = 'tidegate.resource_action_traces'::regclass AND attname = 'embedding'",
    )
}

fn the_nearest_come_first_without_pgvector(env: &Env) -> TestResult {
    env.begin_empty();
    env.sql_as(SUPERUSER).run(
        "CREATE FUNCTION public.no_vector() RETURNS event_trigger LANGUAGE plpgsql AS \
         $$ BEGIN IF current_query() LIKE '%EXTENSION IF NOT EXISTS vector%' THEN RAISE 'not here'; END IF; END $$; \
         CREATE EVENT TRIGGER no_vector ON ddl_command_start WHEN TAG IN ('CREATE EXTENSION') EXECUTE FUNCTION public.no_vector()",
    );
    assert_eq!(env.cli(&["migrate"]).code, Some(0));
    assert_eq!(embedding_type(env), "real[]");
    nearest(env)?;
    // A row of another length is nobody's to write.
    let sql = env.sql();
    let refused = sql.try_run("UPDATE resource_action_traces SET embedding = embedding[1:3]").unwrap_err();
    assert_eq!(refused, "23514", "the check of its length");
    Ok(())
}

fn nearest(env: &Env) -> TestResult {
    const ACTIONS: u64 = 60;
    let tidegate = env.serve();
    let (client, sql) = (&tidegate.client, env.sql());
    let items = (0..ACTIONS).map(|n| {
        let mut action = action(&format!("a-{n}"), if n % 2 == 0 { "even" } else { "odd" });
        // One without.
        if n > 0 {
            action["embedding"] = json!(embedding(n));
        }
        told("action.started", i64::try_from(n).unwrap(), &action)
    });
    client.events(array(items)).accepted(ACTIONS, 0);
    let other = tidegate.with(&env.key("other", "ingest,read"));
    let mut same = action("a-7", "odd");
    same["embedding"] = json!(embedding(7));
    other.events(told("action.started", 5, &same)).accepted(1, 0);
    projected(&sql);
    let directly = |to: &[f32], among: &dyn Fn(u64) -> bool| -> Vec<(String, f64)> {
        let mut all: Vec<(String, f64)> =
            (1..ACTIONS).filter(|n| among(*n)).map(|n| (format!("a-{n}"), distance(to, &embedding(n)))).collect();
        all.sort_by(|one, other| one.1.total_cmp(&other.1));
        all
    };
    let found = |client: &Client, path: &str| -> Vec<(String, f64)> {
        let near =
            |action: &Value| (action["action_id"].as_str().unwrap().to_owned(), action["distance"].as_f64().unwrap());
        list(client, path).iter().map(near).collect()
    };
    let same = |found: Vec<(String, f64)>, expected: &[(String, f64)]| {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!(found.0, expected.0);
            assert!((found.1 - expected.1).abs() < 1e-5, "{found:?} {expected:?}");
        }
    };
    same(found(client, "/v1/actions?similar_to=a-7&limit=10"), &directly(&embedding(7), &|n| n != 7)[..10]);
    same(found(client, "/v1/actions?similar_to=a-7&name=even"), &directly(&embedding(7), &|n| n % 2 == 0));
    let text = serde_json::to_string(&embedding(1000))?.replace('[', "%5B").replace(']', "%5D");
    same(found(client, &format!("/v1/actions?similar_to={text}&limit=5")), &directly(&embedding(1000), &|_| true)[..5]);
    assert_eq!(list(&other, "/v1/actions?similar_to=a-7"), Vec::<Value>::new(), "only among one's own");
    // How long a direction is says nothing, however long.
    for far in [1e30, 1e-30] {
        let numbers: Vec<f32> = embedding(1000).iter().map(|number| number * far).collect();
        let text = serde_json::to_string(&numbers)?.replace('[', "%5B").replace(']', "%5D").replace('+', "%2B");
        let nearest = found(client, &format!("/v1/actions?similar_to={text}&limit=5"));
        same(nearest, &directly(&embedding(1000), &|_| true)[..5]);
    }
    // Nor does it of what is compared, within what single precision can tell; beyond it is a dead letter.
    let lengthened = |id: &str, by: f32| {
        let mut action = action(id, "long");
        action["embedding"] = json!(embedding(2000).iter().map(|number| number * by).collect::<Vec<f32>>());
        told("action.started", 1, &action)
    };
    let sent = [("long", 1e16), ("short", 1e-14), ("too-long", 1e20), ("too-short", 1e-20)];
    client.events(array(sent.map(|(id, by)| lengthened(id, by)))).accepted(4, 0);
    projected(&sql);
    let text = serde_json::to_string(&embedding(2000))?.replace('[', "%5B").replace(']', "%5D");
    let nearest = found(client, &format!("/v1/actions?similar_to={text}&name=long"));
    assert!(nearest.iter().all(|(_, distance)| distance.abs() < 1e-5), "{nearest:?}");
    let mut ids: Vec<&str> = nearest.iter().map(|(id, _)| id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["long", "short"]);
    let letters = list(client, "/v1/dead-letters?stage=project");
    assert_eq!(letters.len(), 2, "{letters:?}");
    assert!(
        letters.iter().all(|letter| letter["reason"].as_str().unwrap().contains("between 1e-15 and 1e19")),
        "{letters:?}"
    );
    for (path, code) in [
        ("similar_to=a-0", "not_found"),
        ("similar_to=nothing", "not_found"),
        ("similar_to=%5B1,2%5D", "invalid_parameter"),
        ("similar_to=a-7&cursor=x", "invalid_parameter"),
    ] {
        let status = if code == "not_found" { 404 } else { 400 };
        client.get(&format!("/v1/actions?{path}")).problem(status, code);
    }
    let csv = client.get_as("/v1/actions?similar_to=a-7&limit=3", &[("accept", "text/csv")]);
    assert_eq!(csv.text().lines().count(), 4, "{}", csv.text());
    Ok(())
}

fn actions_are_computed_again(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let (client, sql) = (&tidegate.client, env.sql());
    for n in 0..5 {
        let mut one = action(&format!("a-{n}"), &format!("r-{}", n % 2));
        one["embedding"] = json!(embedding(n));
        client.events(told("action.started", 50, &one)).accepted(1, 0);
        client.events(told("action.succeeded", 40, &action(&format!("a-{n}"), &format!("r-{}", n % 2)))).accepted(1, 0);
    }
    projected(&sql);
    let rows = || -> Vec<String> {
        let of = |table: &str| -> Vec<String> {
            sql.column(&format!("SELECT concat_ws(' ', t.*) FROM {table} t ORDER BY id"))
        };
        ["resource_references", "action_histories", "resource_action_traces"]
            .iter()
            .flat_map(|table| of(table))
            .collect()
    };
    let before = rows();
    assert_eq!(before.len(), 2 + 2 + 5);
    assert_eq!(env.cli(&["rebuild", "actions", "--json"]).json()["differing"], 0);
    sql.run("DELETE FROM action_histories; UPDATE resource_action_traces SET embedding = NULL WHERE action_id = 'a-3'; DELETE FROM resource_references");
    assert_eq!(env.cli(&["rebuild", "actions", "--json"]).json()["differing"], 5);
    assert_eq!(rows(), before);
    // What only expired events said comes from the table, the embedding too.
    sql.run(
        "DELETE FROM events; INSERT INTO stream_begins (tenant_id, stream, begins) VALUES ('default', 'default', 10)",
    );
    let rebuilt = env.cli(&["rebuild", "actions", "--json"]).json();
    assert_eq!((&rebuilt["kept"], &rebuilt["differing"], rows()), (&json!(9), &json!(0), before));
    Ok(())
}
