//! Rows that Tidegate made and relies on are gone: they are put back at a start, or it says which and what to do.

use serde_json::json;

use crate::definitions::{alter, define};
use crate::env::{Env, Test, TestResult};
use crate::projections::{projected, told};
use crate::samples::batch;
use crate::tests;

pub const TESTS: &[Test] = tests!(what_can_be_made_again_is_put_back, what_cannot_is_named);

const EMPTIED: [&str; 5] = ["event_stream_revision", "claim_salt", "ticket_secret", "birth_locks", "projections"];

fn what_can_be_made_again_is_put_back(env: &Env) -> TestResult {
    let mut tidegate = env.serve();
    let sql = env.sql();
    let rows = || -> [Vec<String>; 3] {
        let all = |what: &str| sql.column(&format!("SELECT {what} ORDER BY 1"));
        [
            all("name || ' ' || bit FROM projections"),
            all("kind || ' ' || slot FROM birth_locks"),
            all("revision::text FROM event_stream_revision"),
        ]
    };
    define(&tidegate.client, json!({ "name": "a", "mask": [{ "path": "/x", "action": "hash" }] }));
    let deployed = |n: i64| told("deployment.started", n, &json!({ "deployment_id": format!("d-{n}") }));
    tidegate.client.events(deployed(5)).accepted(1, 0);
    projected(&sql);
    let before = rows();
    tidegate.stop();
    sql.alter(&format!("TRUNCATE {}, projection_offsets", EMPTIED.join(", ")));

    let tidegate = env.serve();
    assert_eq!(rows(), before);
    for table in EMPTIED {
        assert_eq!(tidegate.log().matches(&format!("\"{table}\"")).count(), 1, "{table}: {}", tidegate.log());
    }
    let client = &tidegate.client;
    alter(client, "a", &json!({ "description": "once more" })).expect(200);
    client.keyed("k", batch(2)).accepted(2, 0);
    client.post("/v1/streams/a/tickets", &[], "").expect(200);
    client.events(deployed(4)).accepted(1, 0);
    projected(&sql);
    assert_eq!(sql.count("deployments"), 2);
    Ok(())
}

fn what_cannot_is_named(env: &Env) -> TestResult {
    let mut tidegate = env.serve();
    let sql = env.sql();
    tidegate.client.events(batch(1)).accepted(1, 0);
    tidegate.stop();
    for (table, which, says) in [
        ("rollup_levels", "level = 'metrics_5m'", "rollup_levels has lost its rows of metrics_5m: put them back"),
        ("installation", "true", "installation has lost its row"),
        ("schema_migrations", "true", "schema_migrations is empty, and its tables are there"),
    ] {
        sql.alter(&format!(
            "CREATE TABLE aside AS SELECT * FROM {table} WHERE {which}; DELETE FROM {table} WHERE {which}"
        ));
        // As from a folder of data that knows nothing of the database.
        let elsewhere = format!("data_dir={}", env.path().join("elsewhere").display());
        let refused = env.cli(&["migrate", "--set", &elsewhere]);
        assert!(refused.code == Some(1) && refused.stderr.contains(says), "{table}: {refused:?}");
        sql.alter(&format!("INSERT INTO {table} SELECT * FROM aside; DROP TABLE aside"));
    }
    tidegate = env.serve();
    tidegate.client.events(batch(1)).accepted(1, 0);
    Ok(())
}
