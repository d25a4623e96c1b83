//! Databases of earlier versions, brought up to date with what is in them.

use crate::env::{Engine, Env, Test, TestResult};
use crate::{old, tests};

pub const TESTS: &[Test] = tests!(events_of_migration_4_keep_their_rows_as_text);

/// The version whose columns of events were varchar.
const VERSION: i32 = 4;

fn events_of_migration_4_keep_their_rows_as_text(env: &Env) -> TestResult {
    env.begin_empty();
    let sql = env.sql();
    old::install(&sql, env.engine, VERSION);
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
    assert_eq!(migrated["applied"][0], VERSION + 1, "{migrated}");
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
