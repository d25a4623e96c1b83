//! Databases as an earlier version of the program left them: the files of `sql/migrations` up to a number, recorded as the program
//! records them.

use tidegate::storage::Layout;
use tidegate::storage::migrations::{MIGRATIONS, Migration};

use crate::env::Engine;
use crate::postgres::Sql;

/// The layout that a database of this engine gets unless it is configured otherwise.
fn layout(engine: Engine) -> Layout {
    match engine {
        Engine::Timescale => Layout::Columnstore,
        Engine::Postgres => Layout::Native,
    }
}

/// Makes an empty database what it was when `version` was the last migration.
pub fn install(sql: &Sql, engine: Engine, version: i32) {
    sql.run(concat!(
        "CREATE SCHEMA tidegate; CREATE TABLE tidegate.lock_install ();",
        include_str!("../../sql/queries/bootstrap.sql")
    ));
    for migration in MIGRATIONS.iter().filter(|migration| migration.version <= version) {
        apply(sql, layout(engine), migration);
    }
    let profile = match engine {
        Engine::Timescale => "columnstore",
        Engine::Postgres => "rowstore",
    };
    let made = "INSERT INTO tidegate.installation (engine, storage_profile)";
    sql.run(&format!("{made} VALUES ('{}', '{profile}')", engine.as_str()));
}

fn apply(sql: &Sql, layout: Layout, migration: &Migration) {
    sql.run(&format!(
        "BEGIN; SET LOCAL search_path = tidegate, public; SET LOCAL client_min_messages = error; {} ; \
         INSERT INTO tidegate.schema_migrations (version, name, checksum, execution_ms) VALUES ({}, '{}', '{}', 1); COMMIT",
        migration.sql(layout),
        migration.version,
        migration.name,
        migration.checksum(layout)
    ));
}

/// Events of a database whose last migration is from 4 to 17, of every state that a chunk can be in: compressed, compressed with
/// rows beside it, born in the columnstore, rows. Returns how many.
pub fn put_events(sql: &Sql, engine: Engine) -> i64 {
    // Once for all, so that midnight is not between the partitions and their rows.
    let now: String = sql.one("SELECT quote_literal(now()) || '::timestamptz'");
    if engine == Engine::Postgres {
        sql.run(&format!(
            "DO $partitions$ DECLARE day timestamptz; BEGIN
                FOR day IN SELECT date_trunc('day', {now} - n * INTERVAL '1 day') FROM unnest(ARRAY[20, 10, 5, 1]) n LOOP
                    EXECUTE format('CREATE TABLE tidegate.events_p%s PARTITION OF tidegate.events FOR VALUES FROM (%L) TO (%L)',
                        to_char(day, 'YYYYMMDD_HH24MISS'), day, day + INTERVAL '1 day');
                END LOOP;
             END $partitions$"
        ));
    }
    let insert = |days: i64, rows: i64| {
        sql.run(&format!(
            "INSERT INTO events SELECT gen_random_uuid(), {now} - INTERVAL '{days} days', 't' || n % 3, 'default', 'module', 'type', 1, \
             'info', 'production', nullif('asset-' || n % 10, 'asset-9'), NULL, NULL, NULL, jsonb_build_object('n', n), NULL, 1, n, now() \
             FROM generate_series(1, {rows}) n"
        ));
    };
    for days in [20, 10] {
        insert(days, 300);
    }
    if engine == Engine::Timescale {
        sql.run("SELECT public.compress_chunk(c) FROM public.show_chunks('tidegate.events') c");
    }
    insert(10, 40);
    sql.run("SET timescaledb.enable_direct_compress_insert = on");
    insert(5, 1500);
    sql.run("SET timescaledb.enable_direct_compress_insert = off");
    insert(1, 50);
    2190
}

/// What no migration may change of those events: their number, and a digest of all that an older version stored.
pub fn digest(sql: &Sql) -> String {
    sql.one(
        "SELECT count(*) || ' ' || md5(string_agg(concat_ws('|', id, timestamp, tenant_id, source_module, event_type, severity, \
            environment, asset_id, payload, batch_seq), ',' ORDER BY id)) FROM events WHERE source_module = 'module'",
    )
}
