//! Databases of earlier versions, brought up to date with what is in them.

use tidegate::storage::Layout;
use tidegate::storage::migrations::MIGRATIONS;

use crate::env::{Engine, Env, Test, TestResult};
use crate::tests;

pub const TESTS: &[Test] = tests!(events_of_migration_4_keep_their_rows_as_text);

/// The version whose columns of events were varchar.
const VERSION: i32 = 4;

/// Makes the database as a program made it that knew no later migration.
fn make_old(env: &Env) {
    env.begin_empty();
    let layout = match env.engine {
        Engine::Timescale => Layout::Columnstore,
        Engine::Postgres => Layout::Native,
    };
    let sql = env.sql();
    sql.run(concat!("CREATE SCHEMA tidegate;", include_str!("../../sql/queries/bootstrap.sql")));
    for migration in MIGRATIONS.iter().filter(|migration| migration.version <= VERSION) {
        sql.run(&format!(
            "BEGIN; SET LOCAL search_path = tidegate, public; SET LOCAL client_min_messages = error; {} ; \
             INSERT INTO tidegate.schema_migrations (version, name, checksum, execution_ms) VALUES ({}, '{}', '{}', 1); COMMIT",
            migration.sql(layout),
            migration.version,
            migration.name,
            migration.checksum(layout)
        ));
    }
    let profile = if env.engine == Engine::Timescale { "columnstore" } else { "rowstore" };
    sql.run(&format!(
        "INSERT INTO tidegate.installation (engine, storage_profile) VALUES ('{}', '{profile}')",
        env.engine.as_str()
    ));
}

fn events_of_migration_4_keep_their_rows_as_text(env: &Env) -> TestResult {
    make_old(env);
    let sql = env.sql();
    if env.engine == Engine::Postgres {
        sql.run("CREATE TABLE events_all PARTITION OF events FOR VALUES FROM ('2000-01-01') TO ('2100-01-01')");
    }
    let insert = |days: i64, rows: i64| {
        sql.run(&format!(
            "INSERT INTO events SELECT gen_random_uuid(), now() - INTERVAL '{days} days', 't' || n % 3, 'default', 'module', 'type', 1, \
             'info', 'production', nullif('asset-' || n % 10, 'asset-9'), NULL, NULL, NULL, jsonb_build_object('n', n), NULL, 1, n, now() \
             FROM generate_series(1, {rows}) n"
        ));
    };
    // Of every state that a chunk can be in: compressed, compressed with rows beside it, born in the columnstore, rows.
    for days in [20, 10] {
        insert(days, 300);
    }
    if env.engine == Engine::Timescale {
        sql.run("SELECT public.add_compression_policy('tidegate.events', INTERVAL '7 days')");
        sql.run("SELECT public.compress_chunk(c) FROM public.show_chunks('tidegate.events') c");
    }
    insert(10, 40);
    sql.run("SET timescaledb.enable_direct_compress_insert = on");
    insert(5, 1500);
    sql.run("SET timescaledb.enable_direct_compress_insert = off");
    insert(1, 50);
    let digest = "SELECT md5(string_agg(concat_ws('|', id, timestamp, tenant_id, source_module, event_type, severity, environment, \
                  asset_id, payload, batch_seq), ',' ORDER BY id)) || ' ' || count(*) FROM events";
    let before: String = sql.one(digest);
    assert!(before.ends_with(" 2190"), "{before}");
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
    assert_eq!(migrated["applied"][0], VERSION + 1, "{migrated}");
    assert_eq!(types(), ["text"; 5]);
    assert_eq!(sql.one::<String>(digest), before, "every row is there, and as it was");
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
    assert_eq!(sql.count("events"), 2191);
    Ok(())
}
