//! Logins that read one organization: of what is another's they find nothing, whatever they try; of their own what the relations have.

use std::collections::BTreeSet;

use tidegate::storage::embedded::READER;

use crate::env::{Engine, Env, Test, TestResult};
use crate::logins::{as_superuser, refused, try_refused};
use crate::postgres::{SUPERUSER, Sql};
use crate::seed_patterns::{AGGREGATED_METRICS, CROSS_MODULE, RECENT_EVENTS};
use crate::tenant_rows::{OTHER, SOUGHT, Tenant};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    of_every_relation_its_own_rows_alone,
    what_it_can_read_names_no_other,
    errors_tell_nothing_of_others,
    the_seeds_patterns_as_with_the_tenant_named,
    it_writes_locks_and_calls_nothing,
    a_deactivated_organization_is_not_read,
    views_follow_their_relations,
    they_are_listed_and_revoked,
);

pub const MIGRATING: &[Test] = tests!(postgres: a_migration_passes_by_the_views);

/// One text for all rows, whatever their order.
fn digest(sql: &Sql, query: &str) -> (i64, String) {
    let sql = sql.rows(
        &format!("SELECT count(*), coalesce(md5(string_agg(q::text, ';' ORDER BY q::text)), '') FROM ({query}) q"),
        &[],
    );
    (sql[0].get(0), sql[0].get(1))
}

fn of_every_relation_its_own_rows_alone(env: &Env) -> TestResult {
    let tenant = Tenant::make(env);
    let operator = env.sql_as(READER);
    let views = tenant.views();
    let contract = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/contract"))?;
    let promised: BTreeSet<String> = contract
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "csv"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .chain(["correlation_groups", "rollup_levels"].map(str::to_owned))
        .collect();
    assert_eq!(views.iter().map(|(name, _)| name.clone()).collect::<BTreeSet<_>>(), promised, "one list");
    for (name, columns) in &views {
        let own = match name.as_str() {
            "rollup_levels" => "true",
            "api_keys" => "org_id = (SELECT id FROM tidegate.organizations WHERE tenant_id = 'default')",
            _ => "tenant_id = 'default'",
        };
        let wanted = digest(&operator, &format!("SELECT {columns} FROM tidegate.{name} WHERE {own}"));
        assert!(wanted.0 > 0, "{name} has rows");
        assert_eq!(digest(&tenant.session, &format!("SELECT * FROM {name}")), wanted, "{name}");
        if name != "rollup_levels" {
            let all: i64 =
                operator.one(&format!("SELECT count({}) FROM tidegate.{name}", columns.split(", ").next().unwrap()));
            assert!(all > wanted.0, "{name} has rows of others: {all}");
        }
        let others = format!("SELECT count(*) FROM {name} q WHERE q::text LIKE {SOUGHT}");
        assert_eq!(tenant.session.one::<i64>(&others), 0, "{name}");
    }
    // Whatever its settings are.
    tenant.session.run(&format!("SET tidegate.tenant = '{OTHER}'"));
    assert_eq!((tenant.session.count("organizations"), tenant.session.count("events")), (0, 0));
    Ok(())
}

/// Catalogs, statistics, chunks, others' schemas: everything that a login may read is searched.
fn what_it_can_read_names_no_other(env: &Env) -> TestResult {
    let tenant = Tenant::make(env);
    let other = format!("{}_other", env.database());
    let made = as_superuser(env, &["readers", "create", &other, "--org", OTHER, "--json"]);
    let theirs: String = env
        .sql_as(SUPERUSER)
        .one(&format!("SELECT tidegate.reader_schema(id) FROM tidegate.organizations WHERE tenant_id = '{OTHER}'"));
    Sql::bare(&env.url(SUPERUSER)).run("ANALYZE tidegate.events, tidegate.services, tidegate.organizations");
    let session = &tenant.session;
    let readable = "SELECT format('%I.%I', n.nspname, c.relname), string_agg(format('q.%I::text', a.attname), ', ' ORDER BY a.attnum) \
                    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
                    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND has_schema_privilege(n.oid, 'USAGE') \
                      AND has_column_privilege(c.oid, a.attnum, 'SELECT') GROUP BY 1";
    let relations: Vec<(String, String)> =
        session.rows(readable, &[]).iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut searched = 0;
    for (relation, columns) in &relations {
        let schema = relation.split('.').next().unwrap();
        assert!(schema != "tidegate" && schema != theirs && !relation.contains("_hyper_"), "{relation}");
        let sought = format!(
            "SELECT concat_ws(' ', {columns}) FROM {relation} q WHERE concat_ws(' ', {columns}) LIKE {SOUGHT} LIMIT 1"
        );
        // Views of the server that ask for more than they are read with.
        if session.try_run(&sought) == Err("42501".to_owned()) {
            continue;
        }
        assert_eq!(session.column::<String>(&sought), Vec::<String>::new(), "{relation}");
        searched += 1;
    }
    assert!(searched > 100, "{searched}");
    for relation in ["pg_catalog.pg_stats", "pg_catalog.pg_views", "pg_catalog.pg_rewrite", "pg_catalog.pg_proc"] {
        assert!(relations.iter().any(|(found, _)| found == relation), "{relation}");
    }
    assert_eq!(session.one::<i64>("SELECT count(*) FROM pg_stats WHERE schemaname = 'tidegate'"), 0);
    // What the server has as tables of chunks, partitions and columnstore is as closed as the relations.
    let hidden = "SELECT c.oid::regclass::text FROM pg_class c WHERE c.relkind IN ('r', 'p') AND (c.relispartition OR c.relname LIKE '%hyper\\_%') \
                  AND has_any_column_privilege(c.oid, 'SELECT') AND c.relnamespace::regnamespace::text NOT LIKE '%catalog%'";
    assert_eq!(session.column::<String>(hidden), Vec::<String>::new());
    for relation in ["events", "services"] {
        assert_eq!(session.try_run(&format!("SELECT FROM {theirs}.{relation}")), Err("42501".to_owned()));
        assert_eq!(session.try_run(&format!("SELECT FROM tidegate.{relation}")), Err("42501".to_owned()));
    }
    let _ = as_superuser(env, &["readers", "revoke", &other]);
    assert_eq!(made.code, Some(0), "{made:?}");
    Ok(())
}

/// A condition that fails on another's row would tell what is in it.
fn errors_tell_nothing_of_others(env: &Env) -> TestResult {
    let tenant = Tenant::make(env);
    // What the text is, and that the conditions do fail on it.
    let operator = env.sql_as(READER);
    for (condition, code) in [
        ("(payload ->> 'number')::int = 7", "22P02"),
        ("('x' ~ trace_id) IS NOT NULL", "2201B"),
        ("1 / (length(trace_id) - 11) <= 1", "22012"),
        ("trace_id::int = 7", "22P02"),
    ] {
        assert_eq!(
            operator.try_run(&format!("SELECT count(*) FROM events WHERE {condition}")),
            Err(code.to_owned()),
            "{condition}"
        );
        for settings in ["", "SET enable_indexscan = off; SET enable_bitmapscan = off", "SET enable_seqscan = off"] {
            tenant.session.run(settings);
            for query in [
                format!("SELECT count(*) FROM events WHERE {condition}"),
                format!("SELECT count(*) FROM events WHERE asset_id = 'gpt-4' AND {condition}"),
                format!(
                    "SELECT count(*) FROM (SELECT * FROM events WHERE {condition} ORDER BY timestamp DESC LIMIT 1000) q"
                ),
                format!(
                    "SELECT count(*) FROM correlations c JOIN events ON c.related_event_id = events.id AND {condition}"
                ),
            ] {
                assert_eq!(tenant.session.try_run(&query), Ok(()), "{settings}: {query}");
            }
            tenant.session.run("RESET ALL");
        }
    }
    Ok(())
}

/// Every relation that a plan names, chunks and partitions among them.
fn relations_of_plan(sql: &Sql, query: &str) -> BTreeSet<String> {
    let plan: serde_json::Value = sql.one(&format!("EXPLAIN (COSTS OFF, FORMAT JSON) {query}"));
    let mut found = BTreeSet::new();
    let mut left = vec![&plan];
    while let Some(value) = left.pop() {
        match value {
            serde_json::Value::Array(items) => left.extend(items),
            serde_json::Value::Object(members) => {
                found.extend(members.get("Relation Name").and_then(|name| name.as_str()).map(str::to_owned));
                left.extend(members.values());
            }
            _ => {}
        }
    }
    found
}

fn the_seeds_patterns_as_with_the_tenant_named(env: &Env) -> TestResult {
    let tenant = Tenant::make(env);
    let operator = env.sql_as(READER);
    env.sql().alter(
        "INSERT INTO events (batch_id, batch_seq, timestamp, created_at, id, tenant_id, stream, source_module, event_type, event_version, \
             severity, environment, asset_id, payload) \
         SELECT 2, n, now(), now(), gen_random_uuid(), 'tenant-' || n, 'default', 'm', 't', 1, 'info', 'production', 'gpt-4', '{}' \
         FROM generate_series(1, 8) n",
    );
    let named = |pattern: &str, aliases: &[&str]| {
        let conditions: String = aliases.iter().map(|alias| format!("{alias}tenant_id = 'default' AND ")).collect();
        pattern.replacen("WHERE ", &format!("WHERE {conditions}"), 1)
    };
    for (pattern, aliases) in
        [(RECENT_EVENTS, &[""][..]), (AGGREGATED_METRICS, &[""]), (CROSS_MODULE, &["c.", "e1.", "e2."])]
    {
        let named = named(pattern, aliases);
        let (found, wanted) = (digest(&tenant.session, pattern), digest(&operator, &named));
        assert!(found.0 > 0, "{pattern}");
        assert_eq!(found, wanted, "{pattern}");
        // The planner knows the tenant: it leaves out what it leaves out where the tenant is named.
        let (plan, direct) = (relations_of_plan(&tenant.session, pattern), relations_of_plan(&operator, &named));
        assert!(!plan.is_empty() && plan.is_subset(&direct), "{plan:?} of {direct:?}: {pattern}");
    }
    if env.engine == Engine::Timescale {
        // Of eight, some are in other chunks.
        let own = relations_of_plan(&operator, "SELECT * FROM events WHERE tenant_id = 'default'");
        let all = relations_of_plan(&operator, "SELECT * FROM events");
        assert!(own.len() < all.len(), "there are chunks of others alone: {own:?}");
    }
    if env.engine == Engine::Postgres {
        // A list of the newest follows an index, and sorts no day.
        let plan: String = tenant.session.column::<String>(&format!("EXPLAIN (COSTS OFF) {RECENT_EVENTS}")).join("\n");
        tenant.session.run("SET enable_sort = off");
        let unsorted: String =
            tenant.session.column::<String>(&format!("EXPLAIN (COSTS OFF) {RECENT_EVENTS}")).join("\n");
        assert!(!unsorted.contains("Sort Key"), "{unsorted}\n{plan}");
    }
    Ok(())
}

fn it_writes_locks_and_calls_nothing(env: &Env) -> TestResult {
    let tenant = Tenant::make(env);
    let session = &tenant.session;
    session.run("SET default_transaction_read_only = off");
    let mut done = Vec::new();
    let own = [
        "SELECT tidegate.tenant_of(gen_random_uuid())",
        "SELECT tidegate.set_reader_rights(gen_random_uuid())",
        "SELECT tidegate.look_up_keys(ARRAY[]::uuid[])",
        "SELECT * FROM tidegate.reader_logins",
        "SELECT FROM events FOR UPDATE",
        "SELECT FROM services FOR KEY SHARE",
        "LOCK TABLE events IN ROW SHARE MODE",
        "LOCK TABLE services IN SHARE MODE",
        "LOCK TABLE organizations IN ACCESS EXCLUSIVE MODE",
        "CREATE OR REPLACE VIEW events AS SELECT 1 AS x",
        "ALTER VIEW events SET (security_barrier = false)",
        "ALTER VIEW events OWNER TO CURRENT_USER",
        "DROP VIEW events",
        "SET ROLE tidegate_people",
        "SET ROLE tidegate_reader",
        "GRANT tidegate_people TO CURRENT_USER",
    ];
    // Its relations are views: some of what is refused is refused because of that.
    let codes = ["42501", "42809", "42P01", "42703", "55000"];
    // What is others' secret is not in its view of this.
    let granted = ["SELECT * FROM ingest_ledger", "SELECT l::text FROM ingest_ledger l"];
    let _others_session = env.sql();
    for statement in refused(env.engine).chain(own).filter(|statement| !granted.contains(statement)) {
        let code = try_refused(session, statement);
        if !codes.contains(&code.as_str()) {
            done.push((code, statement));
        }
    }
    assert!(done.is_empty(), "{done:#?}");
    for name in ["idempotency_key", "request_sha256", "key_hash"] {
        let there = format!(
            "SELECT count(*) FROM pg_attribute WHERE attrelid IN ('ingest_ledger'::regclass, 'api_keys'::regclass) AND attname = '{name}'"
        );
        assert_eq!(session.one::<i64>(&there), 0, "{name}");
    }
    // What it may hold is what every read takes.
    session.run("BEGIN; SELECT FROM events, metrics_hourly, organizations LIMIT 1");
    let strongest = "SELECT DISTINCT mode FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation'";
    assert_eq!(session.column::<String>(strongest), ["AccessShareLock"]);
    session.run("ROLLBACK");
    Ok(())
}

fn a_deactivated_organization_is_not_read(env: &Env) -> TestResult {
    let tenant = Tenant::make(env);
    let session = &tenant.session;
    // The plan of a statement without parameters is kept.
    session.run(&format!("PREPARE mine AS SELECT count(*) FROM {}.events; EXECUTE mine", tenant.schema));
    assert_eq!(env.cli(&["orgs", "deactivate", "default"]).code, Some(0));
    assert_eq!(session.try_run("EXECUTE mine"), Err("42501".to_owned()), "in the same session");
    for name in ["events", "organizations", "api_keys"] {
        assert_eq!(
            session.try_run(&format!("SELECT FROM {}.{name}", tenant.schema)),
            Err("42501".to_owned()),
            "{name}"
        );
    }
    assert_eq!(env.cli(&["migrate"]).code, Some(0), "which makes views and rights as they should be");
    assert_eq!(session.try_run("EXECUTE mine"), Err("42501".to_owned()));
    let refused = as_superuser(env, &["readers", "create", "another", "--org", "default"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("deactivated"), "{refused:?}");
    assert_eq!(env.cli(&["orgs", "activate", "default"]).code, Some(0));
    session.run("EXECUTE mine");
    assert_eq!(session.count("events"), 41);
    Ok(())
}

fn views_follow_their_relations(env: &Env) -> TestResult {
    let tenant = Tenant::make(env);
    let (schema, session) = (&tenant.schema, &tenant.session);
    let owner = env.sql();
    owner.run(&format!("ALTER TABLE services ADD COLUMN colour text DEFAULT 'red'; ALTER VIEW {schema}.events SET (security_barrier = false)"));
    let doctor = || {
        let found = env.cli(&["doctor", "--json"]);
        let found: serde_json::Value = serde_json::from_str(&found.stdout).unwrap();
        found.as_array().unwrap().iter().find(|finding| finding["check"] == "readers").unwrap().clone()
    };
    let said = doctor();
    assert!(
        said["state"] == "warning" && said["found"].as_str().unwrap().contains(&format!("{schema}.events")),
        "{said}"
    );
    assert_eq!(env.cli(&["migrate"]).code, Some(0));
    assert_eq!(session.one::<String>("SELECT colour FROM services"), "red");
    assert_eq!(doctor()["state"], "ok", "{}", doctor());
    // What somebody built on a view is theirs, and stops nothing.
    let superuser = Sql::bare(&env.url(SUPERUSER));
    superuser.run(&format!("CREATE VIEW public.theirs AS SELECT colour FROM {schema}.services"));
    owner.run(
        "ALTER TABLE services ADD COLUMN shade text DEFAULT 'dark'; ALTER TABLE services RENAME COLUMN colour TO hue",
    );
    let migrated = env.cli(&["migrate"]);
    assert!(migrated.code == Some(0) && migrated.stderr.contains(&format!("{schema}.services")), "{migrated:?}");
    assert_eq!(session.count("services"), 1, "as it was");
    superuser.run("DROP VIEW public.theirs");
    assert_eq!(env.cli(&["migrate"]).code, Some(0));
    assert_eq!(session.one::<String>("SELECT hue || shade FROM services"), "reddark");
    // Rights beyond are named, with what takes them away.
    superuser.run(&format!(
        "GRANT tidegate_people TO {}; GRANT SELECT ON tidegate.services TO {}",
        tenant.name, tenant.name
    ));
    let said = doctor();
    let found = said["found"].as_str().unwrap();
    assert!(found.contains("acts as tidegate_people") && found.contains("reads tidegate.services of all"), "{said}");
    let (_, mend) = said["advice"].as_str().unwrap().split_once("database:\n").unwrap();
    superuser.run(mend);
    assert_eq!(doctor()["state"], "ok", "{}", doctor());
    Ok(())
}

fn they_are_listed_and_revoked(env: &Env) -> TestResult {
    let tenant = Tenant::make(env);
    let (name, owner) = (&tenant.name, env.sql());
    let second = format!("{name}_2");
    let made = as_superuser(env, &["readers", "create", &second, "--org", "default"]);
    assert!(made.code == Some(0) && made.stdout.contains("reads     default"), "{made:?}");
    let listed = env.cli(&["readers", "list", "--json"]).json();
    let found = listed.as_array().unwrap().iter().find(|found| found["name"] == name.as_str()).unwrap();
    assert_eq!((&found["reads"], &found["tenant_id"]), (&"organization".into(), &"default".into()), "{found}");
    let unknown = as_superuser(env, &["readers", "create", "nobody", "--org", "nobody"]);
    assert!(unknown.code == Some(1) && unknown.stderr.contains("orgs list"), "{unknown:?}");
    // All or nothing.
    let superuser = Sql::bare(&env.url(SUPERUSER));
    superuser.run(&format!("CREATE TABLE public.mine (x int); ALTER TABLE public.mine OWNER TO {name}"));
    let refused = as_superuser(env, &["readers", "revoke", name]);
    assert!(refused.code == Some(1) && refused.stderr.contains("mine"), "{refused:?}");
    assert_eq!(tenant.session.count("events"), 41, "it reads as before");
    superuser.run("DROP TABLE public.mine");
    assert_eq!(as_superuser(env, &["readers", "revoke", name]).code, Some(0));
    assert!(tenant.session.try_run("SELECT 1").is_err() && Sql::try_connect(&env.url(name)).is_err());
    let there = format!("SELECT count(*) FROM pg_namespace WHERE nspname = '{}'", tenant.schema);
    assert_eq!(owner.one::<i64>(&there), 1, "the other login's");
    assert_eq!(as_superuser(env, &["readers", "revoke", &second]).code, Some(0));
    assert_eq!(owner.one::<i64>(&there), 0, "nobody's any more");
    Ok(())
}

/// One that drops what a view of readers reads, as migration 23 does.
fn a_migration_passes_by_the_views(env: &Env) -> TestResult {
    let tenant = Tenant::make(env);
    env.sql().run(
        "CREATE FUNCTION metrics_rollup_before(interval, timestamptz, timestamptz) RETURNS int LANGUAGE sql AS 'SELECT 1'; \
         DELETE FROM schema_migrations WHERE version = 23",
    );
    let before = tenant.session.count("metrics_hourly");
    let migrated = env.cli(&["migrate", "--json"]);
    assert_eq!(migrated.json()["applied"], serde_json::json!([23]), "{migrated:?}");
    assert!(before > 0 && tenant.session.count("metrics_hourly") == before);
    Ok(())
}
