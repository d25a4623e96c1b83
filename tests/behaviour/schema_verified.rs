//! `tidegate schema verify`: what somebody changed is named, and the statement that is printed with it mends it.

use serde_json::Value;
use tidegate::storage::embedded::OWNER;

use crate::env::{Engine, Env, Test, TestResult};
use crate::postgres::SUPERUSER;
use crate::schema_expected::{assert_clean, verified};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    what_drifted_is_named_and_mended,
    what_is_gone_is_made_again,
    what_opens_or_refuses_is_taken_away,
    what_lies_beside_is_a_note,
);
pub const TIMESCALE: &[Test] = tests!(timescale: settings_of_hypertables_are_mended);
pub const SAID: &[Test] = tests!(a_database_of_another_version_is_refused, a_table_that_was_renamed_keeps_its_rows);

/// What somebody does, and what is named then.
type Drift = (&'static str, &'static str);

fn findings(env: &Env) -> Vec<Value> {
    verified(env, &[]).json_whatever()["findings"].as_array().unwrap().clone()
}

/// Everything is named, as drift and as nothing else, and run in its order the statements mend all of it.
fn named_and_mended(env: &Env, drifts: &[Drift]) {
    assert_clean(env, &[]);
    let superuser = env.sql_as(SUPERUSER);
    for (change, _) in drifts {
        superuser.run(change);
    }
    let found = findings(env);
    for (change, named) in drifts {
        let one = found.iter().find(|finding| finding["object"] == *named);
        let one = one.unwrap_or_else(|| panic!("{change}: {named} is not in {found:#?}"));
        assert_eq!(one["drift"], true, "{one}");
        assert!(one["what"].as_str().unwrap().len() > 5 && one["statement"].is_string(), "{one}");
    }
    let expected = drifts.iter().map(|(_, named)| *named).collect::<std::collections::BTreeSet<_>>().len();
    assert_eq!(found.len(), expected, "{found:#?}");
    let text = env.cli(&["schema", "verify"]);
    assert!(text.code == Some(1) && text.stdout.contains(&format!("{expected} to mend")), "{text:?}");
    let owner = env.sql_as(OWNER);
    let statements = env.cli(&["schema", "verify", "--sql"]);
    assert_eq!(statements.code, Some(1), "{statements:?}");
    for finding in &found {
        let statement = finding["statement"].as_str().unwrap();
        assert!(statements.stdout.contains(statement), "{statement}");
        // What is another's not even the owner changes.
        owner
            .try_run(statement)
            .or_else(|_| superuser.try_run(statement))
            .unwrap_or_else(|error| panic!("{error}: {statement}"));
    }
    assert_clean(env, &[]);
}

fn what_drifted_is_named_and_mended(env: &Env) -> TestResult {
    named_and_mended(
        env,
        &[
            (
                "ALTER TABLE dead_letter_events ALTER COLUMN content_type TYPE varchar(50)",
                "column dead_letter_events.content_type",
            ),
            (
                "ALTER TABLE dead_letter_events ALTER COLUMN parameters SET DEFAULT '[]'",
                "column dead_letter_events.parameters",
            ),
            (
                "ALTER TABLE dead_letter_events ALTER COLUMN failed_at DROP DEFAULT",
                "column dead_letter_events.failed_at",
            ),
            ("ALTER TABLE dead_letter_events ALTER COLUMN code DROP NOT NULL", "column dead_letter_events.code"),
            ("ALTER TABLE sessions ALTER COLUMN last_used_at TYPE timestamp", "column sessions.last_used_at"),
            ("ALTER TABLE audit_log ALTER COLUMN id DROP IDENTITY", "column audit_log.id"),
            ("DROP INDEX dead_letter_events_receipt", "index dead_letter_events_receipt of dead_letter_events"),
            (
                "DROP INDEX sessions_user_id; CREATE INDEX sessions_user_id ON sessions (user_id)",
                "index sessions_user_id of sessions",
            ),
            ("ALTER TABLE users DROP CONSTRAINT users_email_key", "constraint users_email_key of users"),
            (
                "ALTER TABLE users DROP CONSTRAINT users_role_check; ALTER TABLE users ADD CONSTRAINT users_role_check CHECK (role <> '')",
                "constraint users_role_check of users",
            ),
            ("ALTER TABLE sessions DISABLE TRIGGER ALL", "constraint sessions_user_id_fkey of sessions"),
            ("ALTER TABLE asset_metadata SET (fillfactor = 20)", "option fillfactor of asset_metadata"),
            ("ALTER TABLE users NO FORCE ROW LEVEL SECURITY", "table users"),
            ("ALTER POLICY of_the_tenant ON audit_log USING (true)", "policy of_the_tenant of audit_log"),
            ("DROP POLICY of_the_tenant ON sessions", "policy of_the_tenant of sessions"),
            ("ALTER SEQUENCE ingest_batch_id INCREMENT BY 7", "sequence ingest_batch_id"),
            ("ALTER TABLE services OWNER TO postgres", "table services"),
            (
                "CREATE OR REPLACE FUNCTION acts_for(tenant text) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE RETURN true",
                "function acts_for(tenant text)",
            ),
            (
                "ALTER FUNCTION note_key_uses(uuid[], timestamptz[]) SECURITY INVOKER",
                "function note_key_uses(ids uuid[], used timestamp with time zone[])",
            ),
            (
                "DROP FUNCTION ack_lease(text, text, text, text)",
                "function ack_lease(tenant text, stream_name text, group_name text, lease text)",
            ),
            ("ALTER TABLE ingest_batches DISABLE TRIGGER refuse_unmasked", "trigger refuse_unmasked of ingest_batches"),
            ("DROP TRIGGER refuse_unmasked ON dead_letter_events", "trigger refuse_unmasked of dead_letter_events"),
            ("REVOKE SELECT ON deployments FROM tidegate_reader", "grant to tidegate_reader on deployments"),
            ("REVOKE USAGE ON SCHEMA tidegate FROM tidegate_people", "grant to tidegate_people on tidegate"),
            (
                "REVOKE ALL ON FUNCTION look_up_session FROM tidegate_writer",
                "grant to tidegate_writer on look_up_session(of_id uuid, idle_s double precision)",
            ),
            (
                "CREATE OR REPLACE VIEW metric_catalog AS SELECT tenant_id, asset_id, metric_type, metric_name, min(first_seen) AS first_seen, \
              max(last_seen) AS last_seen FROM metric_series WHERE tenant_id <> 'x' GROUP BY tenant_id, asset_id, metric_type, metric_name",
                "view metric_catalog",
            ),
        ],
    );
    Ok(())
}

fn what_is_gone_is_made_again(env: &Env) -> TestResult {
    named_and_mended(
        env,
        &[
            ("ALTER TABLE dead_letter_events DROP COLUMN rule_pointer", "column dead_letter_events.rule_pointer"),
            (
                "ALTER TABLE resource_action_traces DROP COLUMN alert_name CASCADE",
                "column resource_action_traces.alert_name",
            ),
            ("", "view actions"),
            ("DROP TABLE sign_in_attempts", "table sign_in_attempts"),
            (
                "CREATE OR REPLACE AGGREGATE stddev_merge(double precision[]) (SFUNC = float8_combine, STYPE = double precision[], \
                 INITCOND = '{0,0,0}', FINALFUNC = float8_stddev_pop)",
                "aggregate function stddev_merge(double precision[])",
            ),
            ("DROP TABLE event_stream_warnings", "table event_stream_warnings"),
            ("DROP VIEW metrics_1m; CREATE TABLE metrics_1m ()", "view metrics_1m"),
            ("DROP SEQUENCE ingest_batch_id CASCADE", "sequence ingest_batch_id"),
            (
                "DROP FUNCTION look_up_keys(uuid[]); CREATE FUNCTION look_up_keys(ids uuid[]) RETURNS integer LANGUAGE sql RETURN 1; ALTER FUNCTION look_up_keys OWNER TO tidegate_owner",
                "function look_up_keys(ids uuid[])",
            ),
            ("", "grant to PUBLIC on look_up_keys(ids uuid[])"),
            ("", "grant to tidegate_writer on look_up_keys(ids uuid[])"),
        ],
    );
    Ok(())
}

fn what_opens_or_refuses_is_taken_away(env: &Env) -> TestResult {
    let superuser = env.sql_as(SUPERUSER);
    superuser.run("CREATE FUNCTION public.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'");
    let mut drifts = vec![
        ("GRANT SELECT ON users TO tidegate_reader", "grant to tidegate_reader on users"),
        ("GRANT UPDATE, DELETE ON organizations TO PUBLIC", "grant to PUBLIC on organizations"),
        ("GRANT SELECT (password_hash) ON users TO tidegate_people", "grant to tidegate_people on users.password_hash"),
        ("GRANT SELECT ON services TO tidegate_reader WITH GRANT OPTION", "grant to tidegate_reader on services"),
        ("GRANT CREATE ON SCHEMA tidegate TO tidegate_people", "grant to tidegate_people on tidegate"),
        ("GRANT EXECUTE ON FUNCTION look_up_keys(uuid[]) TO PUBLIC", "grant to PUBLIC on look_up_keys(ids uuid[])"),
        (
            "ALTER DEFAULT PRIVILEGES FOR ROLE tidegate_owner IN SCHEMA tidegate GRANT SELECT ON TABLES TO tidegate_people",
            "default grant TABLES of tidegate_owner to tidegate_people of tidegate",
        ),
        (
            "ALTER DEFAULT PRIVILEGES FOR ROLE tidegate_owner GRANT SELECT ON TABLES TO PUBLIC",
            "default grant TABLES of tidegate_owner to PUBLIC everywhere of tidegate",
        ),
        ("CREATE POLICY everything ON users USING (true)", "policy everything of users"),
        (
            "CREATE TRIGGER gone BEFORE INSERT ON services FOR EACH ROW EXECUTE FUNCTION public.nothing()",
            "trigger gone of services",
        ),
        ("CREATE RULE gone AS ON INSERT TO deployments DO INSTEAD NOTHING", "rule gone of deployments"),
        ("ALTER TABLE services ADD CONSTRAINT narrow CHECK (name <> 'x')", "constraint narrow of services"),
        ("CREATE UNIQUE INDEX one_only ON deployments (tenant_id, service)", "index one_only of deployments"),
        ("ALTER TABLE asset_metadata ADD COLUMN wanted text NOT NULL", "column asset_metadata.wanted"),
        (
            "CREATE TABLE public.more_users () INHERITS (tidegate.users); ALTER TABLE public.more_users OWNER TO tidegate_owner",
            "table users",
        ),
    ];
    if env.engine == Engine::Postgres {
        drifts.push((
            "CREATE TABLE events_old PARTITION OF events FOR VALUES FROM ('2000-01-01') TO ('2000-01-02'); \
             ALTER TABLE events_old OWNER TO tidegate_owner; GRANT SELECT, UPDATE ON events_old TO tidegate_people",
            "partition grant tidegate.events_old to tidegate_people of events",
        ));
    }
    named_and_mended(env, &drifts);
    Ok(())
}

fn what_lies_beside_is_a_note(env: &Env) -> TestResult {
    let superuser = env.sql_as(SUPERUSER);
    superuser.run(
        "CREATE INDEX of_mine ON services (created_at); ALTER TABLE services ADD COLUMN mine text; CREATE TABLE mine (x int); \
         GRANT SELECT ON mine TO tidegate_reader; CREATE VIEW my_view AS SELECT 1 AS one; CREATE FUNCTION mine() RETURNS int LANGUAGE sql RETURN 1; \
         ALTER TABLE services SET (autovacuum_enabled = true)",
    );
    let verified = verified(env, &[]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let found = verified.json();
    let mut objects: Vec<&str> =
        found["findings"].as_array().unwrap().iter().map(|finding| finding["object"].as_str().unwrap()).collect();
    objects.sort_unstable();
    assert_eq!(
        objects,
        [
            "column services.mine",
            "function mine()",
            "index of_mine of services",
            "option autovacuum_enabled of services",
            "table mine",
            "view my_view"
        ]
    );
    assert!(found["findings"].as_array().unwrap().iter().all(|finding| finding["drift"] == false), "{found}");
    let text = env.cli(&["schema", "verify"]);
    assert!(text.stdout.contains("note: ") && text.stdout.contains("beside it 6 more"), "{text:?}");
    assert_eq!(env.cli(&["schema", "verify", "--sql"]).stdout, "", "what does not matter is not taken away");
    Ok(())
}

fn settings_of_hypertables_are_mended(env: &Env) -> TestResult {
    named_and_mended(
        env,
        &[
            (
                "SELECT public.set_chunk_time_interval('tidegate.events', INTERVAL '7 days')",
                "dimension \"timestamp\" of events",
            ),
            (
                "ALTER TABLE metrics SET (timescaledb.segmentby = 'asset_id', timescaledb.orderby = 'timestamp', timescaledb.sparse_index = 'bloom(series_id)')",
                "columnstore settings of metrics",
            ),
            ("ALTER TABLE events SET (timescaledb.sparse_index = 'bloom(id)')", "columnstore settings of events"),
            (
                "DROP INDEX _timescaledb_internal.event_counts_hourly_tenant",
                "index event_counts_hourly_tenant of event_counts_hourly",
            ),
            (
                "SELECT public.add_retention_policy('tidegate.events', INTERVAL '1 day')",
                "job policy_retention of events",
            ),
            (
                "ALTER MATERIALIZED VIEW event_counts_1m SET (timescaledb.materialized_only = true)",
                "continuous aggregate event_counts_1m",
            ),
            ("DROP MATERIALIZED VIEW correlation_groups", "continuous aggregate correlation_groups"),
            ("DROP TABLE correlations CASCADE", "table correlations"),
            ("", "view correlated_events"),
        ],
    );
    // What is read past an aggregate, from the table below it.
    env.sql().run(
        "DO $$ BEGIN EXECUTE (SELECT format('GRANT SELECT ON %I.%I TO tidegate_sinks', materialization_hypertable_schema, \
             materialization_hypertable_name) \
         FROM timescaledb_information.continuous_aggregates WHERE view_name = 'metrics_daily_buckets'); END $$",
    );
    let past = findings(env);
    let named = past[0]["object"].as_str().unwrap();
    assert!(past.len() == 1 && named.starts_with("partition grant _timescaledb_internal."), "{past:#?}");
    env.sql().run(past[0]["statement"].as_str().unwrap());
    assert_clean(env, &[]);
    env.sql().run("SELECT public.set_number_partitions('tidegate.events', 9, 'tenant_id')");
    assert_clean(env, &[]);
    let other = verified(env, &["partitions.events=4"]).json_whatever();
    assert_eq!(other["findings"][0]["object"], "dimension tenant_id of events", "{other}");
    env.sql().run(other["findings"][0]["statement"].as_str().unwrap());
    assert_clean(env, &["partitions.events=4"]);
    Ok(())
}

fn a_table_that_was_renamed_keeps_its_rows(env: &Env) -> TestResult {
    let sql = env.sql();
    env.key("default", "ingest");
    let before = sql.count("organizations");
    assert!(before > 0);
    sql.run("ALTER TABLE organizations RENAME TO organisations");
    let found = findings(env);
    let missing = found.iter().find(|finding| finding["object"] == "table organizations").unwrap();
    assert_eq!(missing["statement"], "ALTER TABLE tidegate.organisations RENAME TO organizations;", "{found:#?}");
    let dropped =
        found.iter().find(|finding| finding["statement"].as_str().is_some_and(|sql| sql.contains("DROP TABLE")));
    assert!(dropped.is_none(), "the rows are in it: {found:#?}");
    sql.run(missing["statement"].as_str().unwrap());
    assert_eq!(sql.count("organizations"), before);
    assert_clean(env, &[]);
    // Who took the schema itself is told, since nothing else can be looked at.
    env.sql_as(SUPERUSER).run("ALTER SCHEMA tidegate OWNER TO postgres");
    let closed = verified(env, &[]);
    assert!(
        closed.code == Some(1) && closed.stderr.contains("ALTER SCHEMA tidegate OWNER TO tidegate_owner;"),
        "{closed:?}"
    );
    Ok(())
}

fn a_database_of_another_version_is_refused(env: &Env) -> TestResult {
    let refused = |why: &str| {
        let verified = verified(env, &[]);
        assert!(verified.code == Some(1) && verified.stderr.contains(why), "{verified:?}");
    };
    env.sql().run("INSERT INTO schema_migrations VALUES (9999, 'future', repeat('0', 64), now(), 1)");
    refused("another version's");
    env.begin_again();
    refused("tidegate migrate makes it");
    Ok(())
}
