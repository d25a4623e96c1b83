//! Installing and migrating the schema, and the columns that readers may rely on.

use std::path::Path;

use serde_json::json;
use tidegate::model::LEVELS;
use tidegate::storage::embedded::{OWNER, READER};

use crate::env::{Env, Test, TestResult, until};
use crate::postgres::SUPERUSER;
use crate::process::Running;
use crate::samples::event;
use crate::tests;

/// What a version of the database can change.
pub const INSTALLING: &[Test] =
    tests!(migrating_twice_changes_nothing, a_migration_lets_others_go_first, the_contract_with_readers);

pub const TESTS: &[Test] = tests!(
    check_says_whether_it_is_up_to_date,
    an_altered_migration_is_refused,
    a_newer_database_is_refused,
    every_level_is_in_the_database,
    four_at_once_on_an_empty_database,
    a_start_says_whom_it_waits_for,
    a_user_without_rights_is_told_what_to_do,
    statements_are_counted_where_they_can_be,
);

fn applied(env: &Env) -> Vec<String> {
    env.sql()
        .column("SELECT concat_ws(' ', version, name, checksum, applied_at) FROM schema_migrations ORDER BY version")
}

fn migrating_twice_changes_nothing(env: &Env) -> TestResult {
    env.begin_empty();
    let first = env.cli(&["migrate", "--json"]).json();
    let versions: Vec<i32> = env.sql().column("SELECT version FROM schema_migrations ORDER BY version");
    assert_eq!((&first["applied"], &first["engine"]), (&json!(versions), &json!(env.engine.as_str())));
    let before = applied(env);
    assert!(!before.is_empty());
    assert_eq!(env.cli(&["migrate", "--json"]).json()["applied"], json!([]));
    assert_eq!(applied(env), before);
    let text = env.cli(&["migrate"]);
    assert!(text.code == Some(0) && text.stdout.contains("up to date"), "{text:?}");
    Ok(())
}

fn check_says_whether_it_is_up_to_date(env: &Env) -> TestResult {
    env.begin_empty();
    let before = env.cli(&["migrate", "--check", "--json"]);
    assert_eq!(before.code, Some(1), "{before:?}");
    let schemas: i64 = env.sql_as(OWNER).one("SELECT count(*) FROM pg_namespace WHERE nspname = 'tidegate'");
    assert_eq!(schemas, 0, "a check changes nothing");
    assert_eq!(env.cli(&["migrate"]).code, Some(0));
    let after = env.cli(&["migrate", "--check", "--json"]).json();
    assert_eq!((&after["current"], &after["pending"]), (&json!(true), &json!([])));
    env.sql().run("DELETE FROM schema_migrations WHERE version = (SELECT max(version) FROM schema_migrations)");
    assert_eq!(env.cli(&["migrate", "--check"]).code, Some(1));
    Ok(())
}

fn an_altered_migration_is_refused(env: &Env) -> TestResult {
    env.sql().run("UPDATE schema_migrations SET checksum = repeat('0', 64) WHERE version = 2");
    for finished in [env.cli(&["migrate"]), env.serve_fails(&[])] {
        assert_eq!(finished.code, Some(1), "{finished:?}");
        assert!(finished.stderr.contains("migration 2 was applied with other content"), "{finished:?}");
    }
    let check = env.cli(&["migrate", "--check", "--json"]);
    assert_eq!(
        (check.code, serde_json::from_str::<serde_json::Value>(&check.stdout)?["altered"].clone()),
        (Some(1), json!([2]))
    );
    Ok(())
}

fn a_newer_database_is_refused(env: &Env) -> TestResult {
    env.sql().run("INSERT INTO schema_migrations VALUES (9999, 'future', repeat('0', 64), now(), 1)");
    let finished = env.serve_fails(&[]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("migration 9999"), "{finished:?}");
    Ok(())
}

fn a_start_says_whom_it_waits_for(env: &Env) -> TestResult {
    let holder = env.sql();
    holder.run("SET application_name = 'somebody'; BEGIN; LOCK TABLE tidegate.lock_install IN EXCLUSIVE MODE");
    let pid: i32 = holder.one("SELECT pg_backend_pid()");
    std::thread::scope(|scope| {
        let other = env.sql();
        scope.spawn(move || {
            // Before it asks for the lock once more it says whom it waits for.
            let asked = "SELECT query_start::text FROM pg_stat_activity WHERE datname = current_database() \
                         AND query LIKE '%LOCK TABLE tidegate.lock_install%' AND pid <> pg_backend_pid()";
            let asks = || other.column::<String>(asked).pop();
            let first = until("the start waits", asks);
            until("it asks again", || asks().filter(|again| *again != first));
            drop(holder);
        });
        let finished = env.cli(&["migrate"]);
        let said = format!("pid={pid} application=\"somebody\"");
        assert!(finished.code == Some(0) && finished.stderr.contains(&said), "{finished:?}");
    });
    Ok(())
}

/// It would otherwise wait behind a long reader, and everybody else behind it.
fn a_migration_lets_others_go_first(env: &Env) -> TestResult {
    let (reader, other) = (env.sql(), env.sql());
    reader.run("ALTER TABLE rollup_levels DROP COLUMN source; DELETE FROM schema_migrations WHERE version = 14");
    reader.run("BEGIN; LOCK TABLE rollup_levels IN ACCESS SHARE MODE");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (reader, other) = (reader, other);
            let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                           AND wait_event_type = 'Lock' AND query LIKE '%ALTER TABLE rollup_levels%'";
            until("the migration waits", || (other.one::<i64>(waiting) == 1).then_some(()));
            // Answered while the first reader is still there: the migration has stepped back.
            other.run("SET lock_timeout = '60s'");
            assert!(other.count("rollup_levels") > 0);
            reader.run("ROLLBACK");
        });
        assert_eq!(env.cli(&["migrate", "--json"]).json()["applied"], json!([14]));
    });
    Ok(())
}

fn every_level_is_in_the_database(env: &Env) -> TestResult {
    let found: Vec<String> = env.sql().column("SELECT concat_ws(' ', level, source) FROM rollup_levels ORDER BY 1");
    let mut levels: Vec<String> =
        LEVELS.iter().map(|level| format!("{} {}", level.name, level.source().table())).collect();
    levels.sort();
    assert_eq!(found, levels);
    Ok(())
}

fn four_at_once_on_an_empty_database(env: &Env) -> TestResult {
    env.begin_empty();
    let variables = env.variables();
    let running: Vec<Running> = (0..4).map(|_| Running::start(env, &variables, &["migrate", "--json"])).collect();
    let finished: Vec<_> = running.into_iter().map(Running::finish).collect();
    let did_it = finished.iter().filter(|finished| finished.json()["applied"] != json!([])).count();
    assert_eq!(did_it, 1, "{finished:?}");
    env.serve().client.events(event(1)).accepted(1, 0);
    Ok(())
}

fn a_user_without_rights_is_told_what_to_do(env: &Env) -> TestResult {
    env.begin_empty();
    // The reader may neither create the schema nor see one.
    let variables = [("TIDEGATE_DATABASE_URL".to_owned(), env.url(READER))];
    let finished = Running::start(env, &variables, &["migrate"]).finish();
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(
        finished.stderr.contains("may not make a schema") && finished.stderr.contains("GRANT CREATE ON DATABASE"),
        "{finished:?}"
    );
    Ok(())
}

fn statements_are_counted_where_they_can_be(env: &Env) -> TestResult {
    let superuser = env.sql_as(SUPERUSER);
    let loaded: bool = superuser.one("SELECT current_setting('pg_stat_statements.max', true) IS NOT NULL");
    assert_eq!(loaded, env.installation().stat_statements, "the tests' servers load what is installed");
    let there =
        || superuser.one::<bool>("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_stat_statements')");
    assert_eq!(env.cli(&["migrate"]).code, Some(0));
    assert!(!there(), "the owner may not make it");
    let slow_reads = || {
        let found: serde_json::Value = serde_json::from_str(&env.cli(&["doctor", "--json"]).stdout).unwrap();
        found.as_array().unwrap().iter().find(|finding| finding["check"] == "slow reads").unwrap().clone()
    };
    let before = slow_reads();
    assert_eq!(before["state"], "unknown", "{before}");
    let advice = before["advice"].as_str().unwrap();
    assert!(advice.contains("as a superuser: CREATE EXTENSION pg_stat_statements SCHEMA public"), "{advice}");
    assert_eq!(advice.contains("shared_preload_libraries"), !loaded, "{advice}");
    let as_superuser = [("TIDEGATE_DATABASE_URL".to_owned(), env.url(SUPERUSER))];
    for _ in 0..2 {
        assert_eq!(Running::start(env, &as_superuser, &["migrate"]).finish().code, Some(0));
        assert_eq!(there(), loaded);
    }
    assert_eq!(slow_reads()["state"] == "unknown", !loaded, "{}", slow_reads());
    Ok(())
}

pub fn the_contract_with_readers(env: &Env) -> TestResult {
    // Empty, or as another test of this wants it.
    env.database();
    assert_eq!(env.cli(&["migrate"]).code, Some(0));
    let sql = env.sql();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/contract");
    let mut columns = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "csv") {
            continue;
        }
        let text = std::fs::read_to_string(&path)?;
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("relation,column,type,nullable"), "{path:?}");
        for line in lines {
            let [relation, column, r#type, nullable] = line.split(',').collect::<Vec<_>>()[..] else {
                panic!("{path:?}: {line}");
            };
            let found = sql.rows(
                "SELECT format_type(atttypid, atttypmod), NOT attnotnull, has_column_privilege($3, attrelid, attnum, 'SELECT') \
                        AND has_column_privilege('tidegate_people', attrelid, attnum, 'SELECT') \
                 FROM pg_attribute WHERE attrelid = to_regclass('tidegate.' || $1) AND attname = $2 AND NOT attisdropped",
                &[&relation, &column, &READER],
            );
            let found = found.first().unwrap_or_else(|| panic!("{relation}.{column} is gone"));
            let shape: (String, bool, bool) = (found.get(0), found.get(1), found.get(2));
            // What was chosen at installation: `jsonb or json`.
            assert!(r#type.split(" or ").any(|one| one == shape.0), "{relation}.{column}: {shape:?}");
            assert_eq!((shape.1, shape.2), (nullable == "yes", true), "{relation}.{column}");
            columns += 1;
        }
    }
    assert!(columns > 50, "{columns} columns are not the contract");
    // And what a migration that narrows it does not pass (`schema_contract.rs`).
    assert_eq!(tidegate::authority::broken(&crate::schema_expected::show(env)), Vec::<String>::new());
    Ok(())
}
