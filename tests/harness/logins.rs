//! Logins that people get, and what is tried with one.

use serde_json::Value;

use crate::env::{Engine, Env};
use crate::postgres::{SUPERUSER, Sql};
use crate::process::Finished;

/// Refused with PostgreSQL's code for a privilege that is missing.
const REFUSED: &[&str] = &[
    // What the service locks.
    "LOCK TABLE tidegate.lock_install IN ACCESS SHARE MODE",
    "LOCK TABLE tidegate.lock_partitions IN EXCLUSIVE MODE",
    "LOCK TABLE tidegate.lock_job_lifecycle IN ROW SHARE MODE",
    "LOCK TABLE events IN ROW EXCLUSIVE MODE",
    "LOCK TABLE organizations IN SHARE MODE",
    "SELECT tidegate.try_lock('lock_partitions')",
    "SELECT FROM tidegate.birth_locks FOR UPDATE",
    "SELECT FROM organizations FOR KEY SHARE",
    "SELECT salt FROM tidegate.claim_salt",
    // Locks by name.
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_advisory_lock_shared(1, 2)",
    "SELECT pg_advisory_xact_lock(1)",
    "SELECT pg_try_advisory_lock(1)",
    "SELECT pg_try_advisory_xact_lock(1)",
    "SELECT pg_try_advisory_xact_lock_shared(1, 2)",
    // Objects that take room, or that shadow others.
    "CREATE TEMP TABLE events (x int)",
    "CREATE TEMP TABLE ingest_ledger AS SELECT 1 AS x",
    "CREATE TEMP SEQUENCE ingest_batch_id",
    "CREATE TABLE public.events (x int)",
    "CREATE TABLE tidegate.mine (x int)",
    "CREATE SCHEMA mine",
    "CREATE FUNCTION public.date_bin(interval, timestamptz, timestamptz) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE OPERATOR public.+ (LEFTARG = text, RIGHTARG = text, FUNCTION = textcat)",
    "CREATE INDEX ON events (severity)",
    "CREATE PUBLICATION mine",
    "SELECT lo_creat(-1)",
    "SELECT lo_create(0)",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT pg_logical_emit_message(false, 'x', 'y')",
    // Other roles.
    "SET ROLE tidegate_owner",
    "SET ROLE tidegate_writer",
    "SET ROLE tidegate_reader",
    "SET SESSION AUTHORIZATION tidegate_owner",
    "CREATE ROLE mine",
    "ALTER ROLE tidegate_reader PASSWORD 'x'",
    "ALTER ROLE tidegate_reader SET search_path = public",
    "ALTER ROLE CURRENT_USER SUPERUSER",
    "ALTER ROLE CURRENT_USER CONNECTION LIMIT -1",
    "GRANT tidegate_people TO tidegate_reader",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE 'tidegate%'",
    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE usename LIKE 'tidegate%'",
    // Writes.
    "INSERT INTO events SELECT * FROM events",
    "UPDATE events SET severity = 'none'",
    "DELETE FROM events",
    "TRUNCATE events",
    "DROP TABLE events",
    "ALTER TABLE events ADD COLUMN x int",
    "COMMENT ON TABLE events IS 'mine'",
    "REINDEX TABLE organizations",
    "INSERT INTO organizations (tenant_id, name) VALUES ('x', 'x')",
    "DELETE FROM ingest_ledger",
    "DELETE FROM touched",
    "UPDATE rollup_levels SET closed_until = 'infinity'",
    "SELECT nextval('tidegate.ingest_batch_id')",
    "SELECT setval('tidegate.ingest_batch_id', 1)",
    // Who consumes what, and what the log is made of: the API tells each organization its own.
    "SELECT * FROM tidegate.batch_log",
    "SELECT * FROM tidegate.batch_queue",
    "SELECT * FROM tidegate.sequencer_ticks",
    "SELECT * FROM tidegate.log_epochs",
    "SELECT * FROM tidegate.stream_epochs",
    "SELECT * FROM tidegate.stream_begins",
    "SELECT name FROM tidegate.consumer_groups",
    "SELECT committed FROM tidegate.consumer_offsets",
    "SELECT member FROM tidegate.consumer_leases",
    "SELECT member FROM tidegate.consumer_members",
    "SELECT member FROM tidegate.consumer_slots",
    "SELECT dead_letter_id FROM tidegate.consumer_parked",
    "SELECT * FROM tidegate.consumer_sinks",
    "INSERT INTO tidegate.batch_queue SELECT * FROM tidegate.batch_queue",
    "DELETE FROM tidegate.consumer_leases",
    "SELECT nextval('tidegate.consumer_lease_numbers')",
    "SELECT tidegate.advance_offset(1, 1, 1, false, NULL)",
    "SELECT tidegate.settle_lease(1, 1, 1)",
    "SELECT tidegate.sink_group('default', 's', 'g')",
    "SELECT tidegate.commit_offset('default', 's', 'g', 1, 1)",
    "SELECT tidegate.ack_lease('default', 's', 'g', '1-1')",
    "LOCK TABLE tidegate.lock_sequencer IN EXCLUSIVE MODE",
    "LOCK TABLE tidegate.lock_job_groups IN EXCLUSIVE MODE",
    // What is others' secret.
    "SELECT secret FROM tidegate.ticket_secret",
    "SELECT idempotency_key FROM ingest_ledger",
    "SELECT request_sha256 FROM ingest_ledger",
    "SELECT * FROM ingest_ledger",
    "SELECT l::text FROM ingest_ledger l",
    "SELECT key_hash FROM api_keys",
    "SELECT * FROM touched",
    // The server.
    "ALTER SYSTEM SET work_mem = '1GB'",
    "ALTER DATABASE postgres SET work_mem = '1GB'",
    "SELECT pg_reload_conf()",
    "SELECT pg_switch_wal()",
    "SELECT pg_stat_reset()",
    "SELECT pg_read_file('postgresql.conf')",
    "COPY (SELECT 1) TO '/tmp/tidegate-reader'",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "SELECT lo_import('/etc/hostname')",
    "SELECT pg_create_physical_replication_slot('mine')",
];

/// The same of TimescaleDB.
const REFUSED_BY_TIMESCALE: &[&str] = &[
    "SELECT public.add_job('pg_catalog.pg_sleep', INTERVAL '1 hour')",
    "SELECT public.alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs",
    "SELECT public.delete_job(1)",
    "CALL public.run_job(1)",
    "SELECT public.drop_chunks('tidegate.events', now()::timestamptz)",
    "SELECT public.compress_chunk(c) FROM public.show_chunks('tidegate.events') c",
    "SELECT public.decompress_chunk(c) FROM public.show_chunks('tidegate.events') c",
    "SELECT public.set_chunk_time_interval('tidegate.events', INTERVAL '1 hour')",
    "SELECT public.add_retention_policy('tidegate.events', INTERVAL '1 hour')",
    "SELECT public.remove_continuous_aggregate_policy('tidegate.metrics_hourly_buckets')",
    "CALL public.refresh_continuous_aggregate('tidegate.metrics_hourly_buckets', NULL, NULL)",
    "SELECT _timescaledb_functions.stop_background_workers()",
    "SELECT _timescaledb_functions.restart_background_workers()",
    "UPDATE _timescaledb_config.bgw_job SET scheduled = false",
    "DELETE FROM _timescaledb_catalog.chunk",
];

/// Done, and why that is nobody's concern.
pub const HARMLESS: &[(&str, &str)] = &[
    ("ALTER ROLE CURRENT_USER SET statement_timeout = 0", "for its own sessions"),
    ("ALTER ROLE CURRENT_USER SET search_path = public", "for its own sessions"),
    ("SET default_transaction_read_only = off", "it may write nowhere"),
    ("SET lock_timeout = 0", "what it waits for waits for nobody"),
    ("GRANT SELECT ON events TO PUBLIC", "a warning: nothing is granted"),
    ("VACUUM organizations", "a warning: it is passed over"),
    ("LISTEN mine; NOTIFY mine", "nobody else listens"),
    ("SELECT pg_notify('tidegate', 'x')", "nobody listens"),
    ("BEGIN; LOCK TABLE events IN ACCESS SHARE MODE; SELECT pg_export_snapshot(); COMMIT", "what every read takes"),
];

/// The program with a superuser's URL, who may make roles.
pub fn as_superuser(env: &Env, arguments: &[&str]) -> Finished {
    Finished::run(env, &[("TIDEGATE_DATABASE_URL".to_owned(), env.url(SUPERUSER))], arguments)
}

/// All that are refused on an engine.
pub fn refused(engine: Engine) -> impl Iterator<Item = &'static str> {
    let of_engine = if engine == Engine::Timescale { REFUSED_BY_TIMESCALE } else { &[] };
    REFUSED.iter().chain(of_engine).copied()
}

/// The code with which a statement is refused.
pub fn try_refused(session: &Sql, statement: &str) -> String {
    // LOCK TABLE wants a transaction, and others want none.
    let begin = if statement.starts_with("LOCK") { "BEGIN; " } else { "" };
    let code = session.try_run(&format!("{begin}{statement}")).err();
    session.run("ROLLBACK");
    code.unwrap_or_else(|| "not refused".to_owned())
}

/// A login, ended with the test: roles are the cluster's.
pub struct Login<'a> {
    env: &'a Env,
    pub name: String,
    pub made: Value,
}

impl<'a> Login<'a> {
    pub fn make(env: &'a Env) -> Self {
        let name = env.database().to_owned();
        let made = as_superuser(env, &["readers", "create", &name, "--json"]).json();
        Self { env, name, made }
    }

    pub fn sql(&self) -> Sql {
        Sql::bare(&self.env.url(&self.name))
    }
}

impl Drop for Login<'_> {
    fn drop(&mut self) {
        let _ = as_superuser(self.env, &["readers", "revoke", &self.name]);
    }
}
