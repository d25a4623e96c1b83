//! Commands on several servers of Citus: what they say of cells and workers, what they mend, and what they delete.

use serde_json::{Value, json};
use tidegate::authority::{Layer, parse};
use tidegate::storage::embedded::DATABASE;

use crate::citus::{Cluster, key};
use crate::client::Client;
use crate::env::{Engine, Env, Test, TestResult, until};
use crate::groups::{make, take, tell};
use crate::installations;
use crate::lifecycle::events_at;
use crate::postgres::{SUPERUSER, Sql};
use crate::process::{Finished, Tidegate};
use crate::samples::{array, event_with, hours_from_now, metric};
use crate::schema_expected::layer;
use crate::streams::reaches;

macro_rules! test {
    ($name:ident) => {
        Test {
            name: stringify!($name),
            engines: &[Engine::Postgres],
            run: $name,
            missing: installations::citus_missing,
        }
    };
}

pub const TESTS: &[Test] = &[
    test!(doctor_and_status_know_cells),
    test!(what_differs_in_a_cell_is_found_and_mended),
    test!(an_organization_that_keeps_less_has_no_old_rows),
    test!(an_organization_is_erased_wherever_it_has_rows),
    test!(what_is_refused_says_what_to_do),
];

/// Two workers, four cells, and the program on them.
fn started(env: &Env) -> (Cluster, Tidegate) {
    let cluster = Cluster::start(2);
    let tidegate = cluster.serve(env);
    (cluster, tidegate)
}

fn run(cluster: &Cluster, env: &Env, arguments: &[&str]) -> Finished {
    Finished::run(env, &cluster.variables(), arguments)
}

/// A tenant of each worker.
fn two(cluster: &Cluster, env: &Env, tidegate: &Tidegate) -> [(String, Client); 2] {
    [0, 1].map(|worker| {
        let name = (0..).map(|n| format!("tenant-{n}")).find(|name| {
            let _made = key(cluster, env, name);
            cluster.worker_of(name) == worker
        });
        let name = name.expect("names are many");
        let client = tidegate.with(&key(cluster, env, &name));
        (name, client)
    })
}

fn doctor(cluster: &Cluster, env: &Env) -> (Option<i32>, Value) {
    let done = run(cluster, env, &["doctor", "--json"]);
    (done.code, done.json_whatever())
}

/// State and what was found.
fn check<'a>(report: &'a Value, name: &str) -> (&'a str, &'a str) {
    let all = report.as_array().unwrap();
    let found = all.iter().find(|one| one["check"].as_str().unwrap().starts_with(name));
    let found = found.unwrap_or_else(|| panic!("{name}: {report}"));
    (found["state"].as_str().unwrap(), found["found"].as_str().unwrap())
}

fn doctor_and_status_know_cells(env: &Env) -> TestResult {
    let (mut cluster, tidegate) = started(env);
    let tenants = two(&cluster, env, &tidegate);
    for (_name, client) in &tenants {
        client.events(array((0..50).map(|n| event_with(n, r#""asset_id":"a""#)))).accepted(50, 0);
        client.metrics(array((0..5).map(metric))).accepted(5, 0);
        reaches(client, "default", 50);
        make(client, "default", json!({ "name": "g" }));
    }
    drop(tidegate);
    let (_code, report) = doctor(&cluster, env);
    // Servers of trials need not outlive the machine.
    let meant = |one: &Value| ["fsync", "full_page_writes"].iter().any(|check| one["check"] == *check);
    let failed: Vec<&Value> =
        report.as_array().unwrap().iter().filter(|one| one["state"] == "failed" && !meant(one)).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let at = |n: usize| {
        let running = cluster.workers[n].running();
        format!("{}:{}", running.socket_dir.display(), running.port)
    };
    let (state, found) = check(&report, "cells");
    assert!(state == "ok" && found.starts_with("4: ") && found.contains(&format!("2 at {}", at(0))), "{found}");
    for n in 0..2 {
        let (state, found) = check(&report, &format!("worker {}", at(n)));
        assert_eq!((state, found), ("warning", "2 cells; max_prepared_transactions is 200 and max_connections 300"));
    }
    assert_eq!(check(&report, "cells as made"), ("ok", "4 of 4 looked at"));
    assert_eq!(check(&report, "moves"), ("ok", "none"));
    assert_eq!(check(&report, "left of moves"), ("ok", "nothing"));
    let (state, found) = check(&report, "groups");
    assert!(state == "ok" && found.contains("1 group"), "{found}");

    let status = run(&cluster, env, &["lifecycle", "status", "--json"]).json();
    let cells = status["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 4, "{status}");
    let events = |status: &Value| {
        status["relations"].as_array().unwrap().iter().find(|one| one["relation"] == "events").unwrap().clone()
    };
    let sum: i64 = cells.iter().map(|cell| events(&cell["status"])["bytes"].as_i64().unwrap()).sum();
    assert!(sum > 0 && events(&status)["bytes"] == sum, "{status}");
    for cell in cells {
        assert_eq!(events(&cell["status"])["chunks"], events(&status)["chunks"], "{cell}");
        assert!(!cell["status"]["rollups"].as_array().unwrap().is_empty(), "{cell}");
    }
    let text = run(&cluster, env, &["lifecycle", "status"]);
    assert!(text.code == Some(0) && text.stdout.contains(cells[0]["cell"].as_str().unwrap()), "{text:?}");

    // A cell that is elsewhere, and a worker that is away.
    cluster.workers[0].superuser().run("CREATE SCHEMA tidegate_cell_7");
    let lost = at(1);
    cluster.workers[1].kill();
    let (code, report) = doctor(&cluster, env);
    assert_eq!(code, Some(1), "{report}");
    let (state, found) = check(&report, &format!("worker {lost}"));
    assert!(state == "failed" && found.contains("cannot be reached, with 2 cells"), "{found}");
    let (state, found) = check(&report, "left of moves");
    assert!(state == "warning" && found.contains("tidegate_cell_7"), "{found}");
    let (_state, found) = check(&report, "cells as made");
    assert_eq!(found, "2 of 4 looked at");
    let status = run(&cluster, env, &["lifecycle", "status", "--json"]).json();
    let unasked = status["cells"].as_array().unwrap().iter().filter(|cell| !cell["error"].is_null()).count();
    assert_eq!(unasked, 2, "{status}");
    cluster.stop();
    Ok(())
}

fn verified(cluster: &Cluster, env: &Env) -> (Option<i32>, Vec<String>) {
    let done = run(cluster, env, &["schema", "verify", "--json"]);
    let report = done.json_whatever();
    let said = |one: &Value| format!("{} {}", one["object"].as_str().unwrap(), one["what"].as_str().unwrap());
    (done.code, report["findings"].as_array().unwrap().iter().map(said).collect())
}

fn what_differs_in_a_cell_is_found_and_mended(env: &Env) -> TestResult {
    let cluster = Cluster::start(2);
    let has = "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector')";
    let vectors: bool = cluster.coordinator.superuser().one(has);
    for node in [&cluster.coordinator].into_iter().chain(&cluster.workers).filter(|_| vectors) {
        node.superuser()
            .run("SET citus.enable_ddl_propagation = off; CREATE EXTENSION IF NOT EXISTS vector SCHEMA public");
    }
    assert_eq!(run(&cluster, env, &["migrate"]).code, Some(0));
    if vectors {
        let shown = parse(&run(&cluster, env, &["schema", "show"]).stdout)?;
        let base = parse(include_str!("../../sql/schema/postgres.txt"))?;
        layer(env, Layer::Citus, &base, &shown);
    }
    if std::env::var_os("TIDEGATE_TEST_BLESS").is_some() {
        cluster.stop();
        return Ok(());
    }
    assert_eq!(verified(&cluster, env), (Some(0), Vec::new()));
    let worker = cluster.workers[0].superuser();
    let cell: String = worker
        .one("SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'tidegate\\_cell\\_%' ORDER BY 1 LIMIT 1");
    let shard: String = worker.one(&format!(
        "SELECT shard_name('tidegate.events'::regclass, e.shardid) FROM pg_dist_shard l JOIN pg_dist_shard e USING (shardminvalue) \
         WHERE l.logicalrelid = 'tidegate.ingest_ledger'::regclass AND e.logicalrelid = 'tidegate.events'::regclass \
           AND '{cell}' = 'tidegate_cell_' || l.shardid"
    ));
    worker.run(&format!(
        "SET citus.enable_ddl_propagation = off; SET citus.enable_manual_changes_to_shards = on; \
         DROP TRIGGER hold_shard ON {shard}; ALTER TABLE {shard} ENABLE ROW LEVEL SECURITY; DROP VIEW {cell}.services CASCADE; \
         DROP FUNCTION {cell}.try_lock; REVOKE SELECT ON {cell}.events FROM tidegate_reader; GRANT DELETE ON {cell}.metrics TO tidegate_reader"
    ));
    let (code, found) = verified(&cluster, env);
    assert_eq!(code, Some(1));
    for expected in [
        format!("trigger hold_shard of {shard} of {cell} at "),
        format!("table {shard} of {cell} at "),
        format!("view services of {cell} at "),
        "function try_lock(".to_owned(),
        format!("grant to tidegate_reader on events of {cell} at "),
        format!("grant to tidegate_reader on metrics of {cell} at "),
    ] {
        assert!(found.iter().any(|line| line.starts_with(&expected)), "{expected}: {found:#?}");
    }
    assert!(found.iter().all(|line| line.contains(&cell)), "{found:#?}");
    let (_code, report) = doctor(&cluster, env);
    let (state, told) = check(&report, "cells as made");
    assert!(state == "warning" && told.contains(&cell), "{told}");
    let mended = run(&cluster, env, &["migrate"]);
    assert!(mended.code == Some(0) && mended.stdout.contains("1 cells were other"), "{mended:?}");
    assert_eq!(verified(&cluster, env), (Some(0), Vec::new()));
    // Of the coordinator, too.
    cluster.sql().run("ALTER TABLE tidegate.organizations DISABLE TRIGGER spread_organization");
    let (code, found) = verified(&cluster, env);
    assert!(code == Some(1) && found[0].starts_with("trigger spread_organization"), "{found:#?}");
    cluster.stop();
    Ok(())
}

/// How many events tenants have, through the coordinator.
fn count(sql: &Sql, tenant: &str) -> i64 {
    sql.one(&format!("SELECT count(*) FROM tidegate.events WHERE tenant_id = '{tenant}'"))
}

fn an_organization_that_keeps_less_has_no_old_rows(env: &Env) -> TestResult {
    let (cluster, tidegate) = started(env);
    let [(short, of_short), (long, of_long)] = two(&cluster, env, &tidegate);
    for days in [40, 20, 3, 0] {
        for client in [&of_short, &of_long] {
            client.events(events_at(50, &hours_from_now(-24 * days))).accepted(50, 0);
        }
    }
    let sql = cluster.sql();
    assert_eq!((count(&sql, &short), count(&sql, &long)), (200, 200));
    assert_eq!(run(&cluster, env, &["orgs", "retention", &short, "--events", "10d"]).code, Some(0));
    until("what it does not keep is gone", || {
        run(&cluster, env, &["lifecycle", "run", "--json"]);
        (count(&sql, &short) == 100).then_some(())
    });
    assert_eq!(count(&sql, &long), 200);
    let page = of_short.get("/v1/events?limit=1000").expect(200);
    assert_eq!(page["data"].as_array().unwrap().len(), 100);
    drop(tidegate);
    cluster.stop();
    Ok(())
}

/// What of Citus and of the coordinator has rows that say this, on every server.
fn saying(cluster: &Cluster, text: &str) -> Vec<String> {
    let mut all = Vec::new();
    for node in [&cluster.coordinator].into_iter().chain(&cluster.workers) {
        let sql = Sql::bare(&node.running().url(SUPERUSER, DATABASE));
        sql.run("SET citus.override_table_visibility = off");
        // Shards and what is of no worker; relations that are spread are read where their shards are.
        let relations: Vec<String> = sql.column(
            "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind = 'r' AND n.nspname LIKE 'tidegate%' AND NOT EXISTS (SELECT FROM pg_dist_partition d WHERE d.logicalrelid = c.oid) \
             ORDER BY 1",
        );
        let says = |relation: &String| -> bool {
            sql.one(&format!("SELECT EXISTS (SELECT FROM {relation} x WHERE x::text LIKE '%{text}%')"))
        };
        all.extend(relations.into_iter().filter(says));
    }
    all
}

fn an_organization_is_erased_wherever_it_has_rows(env: &Env) -> TestResult {
    let (cluster, tidegate) = started(env);
    let tenants = two(&cluster, env, &tidegate);
    for (_name, client) in &tenants {
        for days in [0, 3, 20] {
            client.events(events_at(50, &hours_from_now(-24 * days))).accepted(50, 0);
        }
        client.metrics(array((0..20).map(metric))).accepted(20, 0);
        client.events("[{}]").expect(422);
        client.events(array([r#"{"event_type":"t","source_module":"s","payload":{"user":{"id":7}}}"#])).accepted(1, 0);
        reaches(client, "default", 151);
        make(client, "default", json!({ "name": "g" }));
        take(client, "default", "g", "limit=3");
        tell(client, "default", "g", "park", json!({ "offset": 2, "reason": "not now" })).expect(200);
    }
    drop(tidegate);
    let [doomed, other] = tenants.map(|(name, _client)| name);
    let erase = |more: &[&str]| run(&cluster, env, &[&["orgs", "erase", &doomed, "--json"][..], more].concat());
    let of = |report: &Value, relation: &str| {
        let relations = report["relations"].as_array().unwrap();
        relations.iter().find(|of| of["relation"] == relation).map(|of| of["rows"].as_u64().unwrap())
    };
    let sql = cluster.sql();
    // A person of it, while it goes on.
    let forgotten = erase(&["--where", r#"{"payload":{"user":{"id":7}}}"#, "--yes"]).json();
    assert_eq!(of(&forgotten, "events"), Some(1), "{forgotten}");
    assert_eq!((count(&sql, &doomed), count(&sql, &other)), (150, 151));
    assert_eq!(run(&cluster, env, &["orgs", "deactivate", &doomed]).code, Some(0));
    sql.run("UPDATE organizations SET deactivated_at = deactivated_at - interval '1 minute' WHERE NOT is_active");
    let dry = erase(&[]).json();
    assert_eq!((&dry["erased"], &dry["hindered"]), (&json!(false), &Value::Null), "{dry}");
    let erased = erase(&["--yes"]).json();
    assert_eq!((&erased["erased"], &erased["relations"]), (&json!(true), &dry["relations"]), "{erased}");
    assert_eq!((of(&erased, "events"), of(&erased, "metrics")), (Some(150), Some(20)), "{erased}");
    for relation in
        ["consumer_groups", "consumer_offsets", "consumer_parked", "dead_letter_events", "ingest_batches", "api_keys"]
    {
        assert!(of(&erased, relation) > Some(0), "{relation}: {erased}");
    }
    assert_eq!(saying(&cluster, &doomed), ["audit_log"]);
    assert_eq!(count(&sql, &other), 151);
    let tidegate = cluster.serve(env);
    let client = tidegate.with(&key(&cluster, env, &other));
    client.events(events_at(5, &hours_from_now(0))).accepted(5, 0);
    assert_eq!(client.get("/v1/events?limit=1000").expect(200)["data"].as_array().unwrap().len(), 156);
    drop(tidegate);
    cluster.stop();
    Ok(())
}

fn what_is_refused_says_what_to_do(env: &Env) -> TestResult {
    let cluster = Cluster::start(1);
    assert_eq!(run(&cluster, env, &["migrate"]).code, Some(0));
    assert_eq!(run(&cluster, env, &["orgs", "create", "acme"]).code, Some(0));
    let reader = run(&cluster, env, &["readers", "create", "joe", "--org", "acme"]);
    assert!(
        reader.code == Some(1) && reader.stderr.contains("keys create --org ORGANIZATION --scopes read"),
        "{reader:?}"
    );
    let sink = run(&cluster, env, &["sinks", "create", "bill", "--org", "acme"]);
    assert!(sink.code == Some(1) && sink.stderr.contains("acknowledge over HTTP"), "{sink:?}");
    let folder = format!("backup.dir={}", env.path().join("backups").display());
    let backup = run(&cluster, env, &["backup", "create", "--set", &folder]);
    assert!(backup.code == Some(1) && backup.stderr.contains("pg_basebackup"), "{backup:?}");
    assert!(backup.stderr.contains("citus_create_restore_point"), "{backup:?}");
    cluster.stop();
    Ok(())
}
