//! Databases of earlier versions, brought up to date with what is in them.

use serde_json::json;
use uuid::Uuid;

use crate::definitions::define;
use crate::env::{Engine, Env, Test, TestResult};
use crate::replays::{MENDED, old as too_old, replay};
use crate::samples::{array, event_with};
use crate::{old, tests};

pub const TESTS: &[Test] = tests!(
    events_of_migration_4_keep_their_rows_as_text,
    events_of_migration_18_are_answered_as_those_of_today,
    dead_letters_of_migration_31_are_answered_and_replayed,
);

/// The version whose columns of events were varchar.
const VARCHAR: i32 = 4;
/// The last one whose events had key and receipt in their metadata.
const IN_METADATA: i32 = 18;
/// The last one that knew no definitions of streams.
const UNDEFINED: i32 = 31;

fn events_of_migration_4_keep_their_rows_as_text(env: &Env) -> TestResult {
    env.begin_empty();
    let sql = env.sql();
    old::install(&sql, env.engine, VARCHAR);
    let stored = old::put_events(&sql, env.engine);
    if env.engine == Engine::Timescale {
        sql.run("SELECT public.add_compression_policy('tidegate.events', INTERVAL '7 days')");
    }
    let before = old::digest(&sql);
    assert!(before.starts_with(&format!("{stored} ")), "{before}");
    let types = || -> Vec<String> {
        sql.column(
            "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'tidegate.events'::regclass \
             AND attname IN ('source_module', 'event_type', 'severity', 'environment', 'asset_id') ORDER BY attnum",
        )
    };
    assert!(types().iter().all(|found| found.starts_with("character varying(")), "{:?}", types());
    let compressed = || -> i64 {
        sql.one(
            "SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_name = 'events' AND is_compressed",
        )
    };
    let chunks_before = if env.engine == Engine::Timescale { compressed() } else { 0 };
    let migrated = env.cli(&["migrate", "--json"]).json();
    assert_eq!(migrated["applied"][0], VARCHAR + 1, "{migrated}");
    assert_eq!(types(), ["text"; 5]);
    assert_eq!(old::digest(&sql), before, "every row is there, and as it was");
    if env.engine == Engine::Timescale {
        assert!(chunks_before >= 3 && compressed() >= chunks_before, "{chunks_before}: {}", compressed());
        let policies: i64 = sql.one(
            "SELECT count(*) FROM timescaledb_information.jobs WHERE hypertable_name = 'events' AND proc_name = 'policy_compression'",
        );
        assert_eq!(policies, 0, "what compresses is the lifecycle job");
    }
    // And it goes on.
    let tidegate = env.serve();
    let asset = format!("asset-{}", "x".repeat(80));
    tidegate.client.events(crate::samples::event_with(1, &format!(r#""asset_id":"{asset}""#))).accepted(1, 0);
    assert_eq!(sql.count("events"), stored + 1);
    Ok(())
}

fn events_of_migration_18_are_answered_as_those_of_today(env: &Env) -> TestResult {
    env.begin_empty();
    let sql = env.sql();
    old::install(&sql, env.engine, IN_METADATA);
    if env.engine == Engine::Postgres {
        sql.run("CREATE TABLE events_all PARTITION OF events FOR VALUES FROM ('2000-01-01') TO ('2100-01-01')");
    }
    let (key, receipt) = (Uuid::from_u128(7), Uuid::from_u128(8));
    let metadata = |n: u32| {
        json!({ "api_key_id": key, "receipt": receipt, "received_at": "2026-01-02T03:04:05.000006Z", "m": n,
            "extra": { "receipt": "of the sender" } })
    };
    let insert = |n: u32, hours: i32| {
        sql.run(&format!(
            "INSERT INTO events (id, timestamp, tenant_id, stream, source_module, event_type, event_version, severity, \
             environment, payload, metadata, batch_id, batch_seq, created_at) VALUES ('{}', now() - INTERVAL '{hours} hours', \
             'default', 'default', 's', 'e', 1, 'info', 'production', '{{}}', '{}', 1, {n}, '2026-01-02T03:04:05.000006Z')",
            Uuid::from_u128(100 + u128::from(n)),
            metadata(n)
        ));
    };
    // In the columnstore, beside it, and as rows.
    (0..3).for_each(|n| insert(n, 48));
    if env.engine == Engine::Timescale {
        sql.run("SELECT public.compress_chunk(c) FROM public.show_chunks('tidegate.events') c");
    }
    insert(3, 48);
    insert(4, 1);
    let tidegate = env.serve();
    for n in 0..5 {
        let read = tidegate.client.get(&format!("/v1/events/{}", Uuid::from_u128(100 + u128::from(n)))).expect(200);
        assert_eq!(read["metadata"], metadata(n), "{read}");
    }
    // An event that was read is sent again, and answered with the same names.
    let mut again =
        crate::samples::event_with(9, &format!(r#""id":"{}","metadata":{}"#, Uuid::from_u128(99), metadata(9)));
    let sent = tidegate.client.events(std::mem::take(&mut again)).accepted(1, 0);
    let read = tidegate.client.get(&format!("/v1/events/{}", Uuid::from_u128(99))).expect(200);
    let own = &read["metadata"];
    assert_eq!((&own["receipt"], &own["m"]), (&sent["receipt"], &json!(9)));
    assert_eq!(own["extra"]["metadata"]["receipt"], json!(receipt));
    let listed = tidegate.client.get("/v1/events?limit=10").expect(200);
    let csv = tidegate.client.get_as("/v1/events?limit=10", &[("accept", "text/csv")]);
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(6));
    for event in listed["data"].as_array().unwrap() {
        for name in ["api_key_id", "receipt", "received_at"] {
            assert!(event["metadata"][name].is_string(), "{name} of {event}");
        }
    }
    assert_eq!(csv.text().matches(&receipt.to_string()).count(), 6, "{}", csv.text());
    Ok(())
}

fn dead_letters_of_migration_31_are_answered_and_replayed(env: &Env) -> TestResult {
    // Letters as they are kept, without what that version did not note of them.
    let before = env.serve();
    before.client.events(array([too_old(1), too_old(2)])).problem(422, "nothing_accepted");
    drop(before);
    let kept = ["organizations", "api_keys", "dead_letter_events"].map(|table| {
        let later = "- 'field_pointer' - 'rule_pointer' - 'schema_version'";
        (table, env.sql().column::<String>(&format!("SELECT (to_jsonb(t) {later})::text FROM {table} t")))
    });
    env.begin_again();
    assert_eq!(env.cli(&["accept-database"]).code, Some(0));
    let sql = env.sql();
    old::install(&sql, env.engine, UNDEFINED);
    for (table, rows) in &kept {
        let insert = format!("INSERT INTO {table} SELECT (jsonb_populate_record(NULL::{table}, $1::text::jsonb)).*");
        rows.iter().for_each(|row| drop(sql.rows(&insert, &[row])));
    }
    let tidegate = env.serve_with(&[MENDED]);
    let client = &tidegate.client;
    let letters = client.get("/v1/dead-letters").expect(200)["data"].as_array().unwrap().clone();
    assert_eq!(letters.len(), 2);
    for letter in &letters {
        let noted = ["field_pointer", "rule_pointer", "schema_version"].map(|name| letter[name].is_null());
        assert_eq!((noted, &letter["code"]), ([true; 3], &json!("out_of_window")), "{letter}");
    }
    assert_eq!(replay(&tidegate, letters[0]["id"].as_str().unwrap()).expect(200)["outcome"], "stored");
    // Its streams are defined now, and what is replayed is masked and judged by that.
    let mask = json!([{ "path": "/n", "action": "remove" }]);
    define(client, json!({ "name": "default", "schema": { "required": ["mail"] }, "mask": mask, "force": true }));
    replay(&tidegate, letters[1]["id"].as_str().unwrap()).problem(422, "replay_failed");
    client.events(event_with(3, r#""stream":"other""#)).accepted(1, 0);
    assert_eq!(sql.column::<Option<i32>>("SELECT schema_version FROM events"), [None, None]);
    Ok(())
}
