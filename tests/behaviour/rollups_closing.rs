//! Closing buckets: what is committed meanwhile, and what an older version left.

use tidegate::storage::Layout;
use tidegate::storage::embedded::OWNER;
use tidegate::storage::migrations::MIGRATIONS;

use crate::env::{Engine, Env, Test, TestResult, until};
use crate::rollups::{right, sample, send};
use crate::tests;

pub const TESTS: &[Test] = tests!(events_of_an_older_version);
pub const RACE: &[Test] = tests!(postgres: a_row_committed_while_its_bucket_closes);

fn a_row_committed_while_its_bucket_closes(env: &Env) -> TestResult {
    let tidegate = env.serve();
    send(&tidegate.client, &[sample(-1800, "a", 1.0)]);
    right(env);
    let (sql, holder) = (env.sql(), env.sql());
    // The session that puts a bucket into the table has read the rows that it is made of, and waits then.
    sql.run(
        "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NEW; END'",
    );
    sql.alter("CREATE TRIGGER hold BEFORE INSERT ON metrics_1m_closed FOR EACH ROW EXECUTE FUNCTION hold()");
    holder.run("SELECT pg_advisory_lock(42)");
    // As it was two hours ago.
    sql.run(
        "BEGIN; DELETE FROM metrics_1m_closed; UPDATE rollup_levels SET closed_until = closed_until - INTERVAL '2 hours', \
         noted_before = noted_before - INTERVAL '2 hours' WHERE level = 'metrics_1m'; COMMIT",
    );
    until("a bucket is being closed", || {
        let waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 42 AND NOT granted \
                       AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";
        sql.one::<bool>(waiting).then_some(())
    });
    send(&tidegate.client, &[sample(-1800, "a", 2.0), sample(-1740, "b", 3.0)]);
    until("the queue is spread", || (sql.count("touched") == 0).then_some(()));
    holder.run("SELECT pg_advisory_unlock(42)");
    // From then on it is not computed when it is read.
    let closed = "SELECT closed_until > now() - INTERVAL '1 hour' FROM rollup_levels WHERE level = 'metrics_1m'";
    until("the bucket is closed", || sql.one::<bool>(closed).then_some(()));
    right(env);
    Ok(())
}

/// The last migration of the version before there were rollups.
const OLDER: i32 = 4;

fn events_of_an_older_version(env: &Env) -> TestResult {
    env.begin_empty();
    let sql = env.sql_as(OWNER);
    let (layout, profile) = match env.engine {
        Engine::Timescale => (Layout::Columnstore, "columnstore"),
        Engine::Postgres => (Layout::Native, "rowstore"),
    };
    sql.run(concat!("CREATE SCHEMA tidegate;", include_str!("../../sql/queries/bootstrap.sql")));
    for migration in MIGRATIONS.iter().filter(|migration| migration.version <= OLDER) {
        sql.run(&format!("BEGIN; {}; COMMIT", migration.sql(layout)));
        let (version, name, checksum) = (migration.version, migration.name, migration.checksum(layout));
        sql.run(&format!("INSERT INTO schema_migrations VALUES ({version}, '{name}', '{checksum}', now(), 1)"));
    }
    sql.run(&format!("INSERT INTO installation VALUES (true, '{}', '{profile}')", layout.engine()));
    if env.engine == Engine::Postgres {
        sql.run(
            // Tomorrow's too: midnight may come before the rows.
            "DO $$ DECLARE day date; part text; BEGIN FOR n IN -1..5 LOOP \
                 day := (now() AT TIME ZONE 'UTC')::date - n; \
                 part := 'events_p' || to_char(day, 'YYYYMMDD') || '_000000'; \
                 EXECUTE format('CREATE TABLE %I (LIKE events INCLUDING ALL)', part); \
                 EXECUTE format('ALTER TABLE events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', part, day, day + 1); \
             END LOOP; END $$",
        );
    }
    sql.run(
        "INSERT INTO events SELECT gen_random_uuid(), now() - n * INTERVAL '1 hour', 'acme', 'default', 'm', 't' || n % 3, 1, \
         'info', 'production', NULL, NULL, NULL, NULL, '{}', NULL, 1, n, now() FROM generate_series(0, 80) n",
    );
    let counted = || sql.one::<i64>("SELECT sum(count)::bigint FROM event_counts_hourly");
    assert_eq!(env.cli(&["migrate"]).code, Some(0));
    assert_eq!(counted(), 81);
    let _tidegate = env.serve();
    until("its events are closed", || {
        assert_eq!(counted(), 81);
        let closed =
            "SELECT closed_until > now() - INTERVAL '2 hours' FROM rollup_levels WHERE level = 'event_counts_hourly'";
        sql.one::<bool>(closed).then_some(())
    });
    assert_eq!(counted(), 81);
    Ok(())
}
