//! The three roles: what each may do, in sessions that Tidegate has no part in.

use tidegate::storage::embedded::{READER, WRITER};

use crate::env::{Env, Test, TestResult, until};
use crate::lifecycle::ended;
use crate::postgres::{SUPERUSER, Sql};
use crate::process::Tidegate;
use crate::samples::{array, event_with, hours_from_now};
use crate::tests;

pub const TESTS: &[Test] =
    tests!(readers_only_read, writers_only_insert, hashes_of_keys_are_hidden, readers_need_no_schema_name);

/// PostgreSQL's code for a privilege that is missing.
const DENIED: &str = "42501";

/// A server whose owner connection is a superuser's, as on a fresh installation; it makes roles and their settings.
fn serve(env: &Env) -> Tidegate {
    let url = |role: &str| env.url(role);
    let variables = [("DATABASE", url(SUPERUSER)), ("WRITER", url(WRITER)), ("READER", url(READER))]
        .map(|(name, url)| (format!("TIDEGATE_{name}_URL"), url));
    let tidegate = Tidegate::serve(env, &variables, &[]);
    let items = (0..10).map(|n| {
        let (asset, at) = (["pump", "fan"][n % 2], hours_from_now(-6 * i64::try_from(n).unwrap()));
        event_with(n, &format!(r#""asset_id":"{asset}","timestamp":"{at}""#))
    });
    let mut items: Vec<String> = items.collect();
    items.push("{}".into());
    tidegate.client.keyed("k", array(items)).accepted(10, 1);
    tidegate
}

fn assert_denied(sql: &Sql, statements: &[&str]) {
    for statement in statements {
        assert_eq!(sql.try_run(statement), Err(DENIED.to_owned()), "{statement}");
    }
}

/// A database with events in it, and nobody at work: asked to drop a hypertable, TimescaleDB deletes its chunks before it asks whose
/// it is, and fails otherwise where a job of the program's is at the same rows of the catalogue.
fn left_alone(env: &Env) {
    let tidegate = serve(env);
    let logged = env.sql();
    until("each batch has its place in its stream", || (logged.count("batch_log") > 0).then_some(()));
    ended(env, tidegate);
}

fn readers_only_read(env: &Env) -> TestResult {
    left_alone(env);
    let reader = Sql::bare(&env.url(READER));
    for table in
        ["events", "dead_letter_events", "ingest_ledger", "ingest_batches", "organizations", "schema_migrations"]
    {
        assert!(reader.count(table) > 0, "{table}");
        let column = if table == "schema_migrations" { "name" } else { "tenant_id" };
        assert_denied(
            &reader,
            &[
                &format!("INSERT INTO {table} SELECT * FROM {table}"),
                &format!("UPDATE {table} SET {column} = 'x'"),
                &format!("DELETE FROM {table}"),
                &format!("TRUNCATE {table}"),
                &format!("DROP TABLE {table}"),
                &format!("ALTER TABLE {table} ADD COLUMN x int"),
            ],
        );
    }
    assert_denied(
        &reader,
        &[
            "CREATE TABLE tidegate.mine (x int)",
            "CREATE TABLE public.mine (x int)",
            "CREATE SCHEMA mine",
            "SELECT nextval('ingest_batch_id')",
            "SET ROLE tidegate_owner",
            // What opens streams, and what is between the groups and their members.
            "SELECT secret FROM ticket_secret",
            "SELECT * FROM consumer_groups",
            "SELECT * FROM consumer_offsets",
            "SELECT lease FROM consumer_leases",
            "SELECT member FROM consumer_members",
            "SELECT lease FROM consumer_slots",
            "SELECT * FROM consumer_parked",
            "SELECT * FROM consumer_sinks",
            "SELECT * FROM event_stream_revision",
            "UPDATE event_streams SET mode = 'off'",
            "DELETE FROM event_stream_schemas",
            "SELECT * FROM batch_queue",
            "SELECT nextval('consumer_lease_numbers')",
            "SELECT tidegate.commit_offset('default', 's', 'g', 0, 1)",
            "SELECT tidegate.ack_lease('default', 's', 'g', '1-1')",
            "SELECT tidegate.advance_offset(1, 1, 1, false, NULL)",
            "SELECT tidegate.settle_lease(1, 1, 1)",
            "UPDATE batch_log SET base = 0",
            "DELETE FROM stream_begins",
        ],
    );
    assert!(reader.count("batch_log") > 0, "it sees where each batch stands in its stream");
    assert_eq!(env.sql().count("events"), 10);
    Ok(())
}

fn writers_only_insert(env: &Env) -> TestResult {
    left_alone(env);
    let writer = Sql::bare(&env.url(WRITER));
    assert_denied(
        &writer,
        &[
            "UPDATE events SET severity = 'none'",
            "DELETE FROM events",
            "TRUNCATE events",
            "ALTER TABLE events ADD COLUMN x int",
            "DROP TABLE events",
            "CREATE INDEX mine ON events (severity)",
            "CREATE TABLE tidegate.mine (x int)",
            "CREATE TABLE public.mine (x int)",
            "CREATE SCHEMA mine",
            "DELETE FROM ingest_ledger",
            "UPDATE ingest_ledger SET http_status = 200",
            "DELETE FROM dead_letter_events",
            "UPDATE dead_letter_events SET raw = ''",
            "UPDATE ingest_batches SET event_count = 1",
            "INSERT INTO organizations (tenant_id, name) VALUES ('x', 'x')",
            "UPDATE api_keys SET revoked_at = NULL",
            "SELECT FROM api_keys",
            "SELECT FROM organizations",
            "SELECT FROM users",
            "SELECT FROM sessions",
            "SELECT FROM sign_in_attempts",
            "SELECT FROM audit_log",
            "SET ROLE tidegate_owner",
            "INSERT INTO batch_log SELECT * FROM batch_log",
            "UPDATE batch_log SET base = 0",
            "DELETE FROM batch_log",
            "SELECT * FROM batch_queue",
            "DELETE FROM batch_queue",
            "UPDATE stream_begins SET begins = 0",
            "UPDATE ticket_secret SET secret = 'x'",
            "DELETE FROM event_streams",
            "UPDATE event_stream_schemas SET version = 2",
            "DELETE FROM event_stream_schemas",
            "DELETE FROM event_stream_revision",
            "SELECT tidegate.refuse_unmasked()",
            "DELETE FROM consumer_groups",
            "DELETE FROM consumer_offsets",
            "TRUNCATE consumer_leases",
            "INSERT INTO consumer_sinks (login, tenant_id) VALUES (session_user, 'default')",
            "SELECT tidegate.commit_offset('default', 's', 'g', 0, 1)",
            "SELECT tidegate.sink_group('default', 's', 'g')",
        ],
    );
    writer.run(
        "INSERT INTO events (id, timestamp, tenant_id, stream, source_module, event_type, event_version, severity, \
         environment, payload, batch_id, batch_seq, created_at) \
         VALUES (gen_random_uuid(), now(), 'default', 's', 's', 't', 1, 'info', 'e', '{}', 0, 0, now())",
    );
    assert_eq!(env.sql().count("events"), 11);
    Ok(())
}

fn hashes_of_keys_are_hidden(env: &Env) -> TestResult {
    let _tidegate = serve(env);
    let reader = Sql::bare(&env.url(READER));
    assert_denied(
        &reader,
        &["SELECT key_hash FROM api_keys", "SELECT * FROM api_keys", "SELECT k::text FROM api_keys k"],
    );
    let keys = reader.rows("SELECT id, org_id, label, scopes, created_at, expires_at, revoked_at FROM api_keys", &[]);
    assert_eq!(keys.len(), 1);
    Ok(())
}

fn readers_need_no_schema_name(env: &Env) -> TestResult {
    let _tidegate = serve(env);
    let fresh = Sql::bare(&env.url(READER));
    let newest: Vec<i32> = fresh.column(
        "SELECT (payload ->> 'n')::int FROM events WHERE asset_id = 'pump' AND timestamp > now() - interval '23 hours' \
         ORDER BY timestamp DESC LIMIT 1000",
    );
    assert_eq!(newest, [0, 2]);
    assert_eq!(fresh.one::<String>("SELECT current_setting('lc_messages')"), "C");
    Ok(())
}
