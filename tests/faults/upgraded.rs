//! Upgrades under load (scenario 47): two processes bring an old database up to date at once, for which a full spool waits; and
//! a process of this version goes on while a next one changes the schema under it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use tidegate::storage::migrations::MIGRATIONS;

use crate::env::{Env, TestResult, until};
use crate::invariants::Scene;
use crate::postgres::Sql;
use crate::process::{Running, Tidegate};
use crate::proxy::Proxy;
use crate::samples::event;
use crate::scenario;
use crate::scenario::Scenario;
use crate::senders::Senders;
use crate::told::Told;
use crate::traffic::Patience;
use crate::{derived, old};

pub const SCENARIOS: &[Scenario] =
    &[scenario!(s47_two_at_once_with_a_full_spool), scenario!(s47_a_next_version_migrates_under_load).slow()];

/// The last migration of the database that is brought up to date.
const OLD: i32 = 14;

/// The rows of a table, as JSON: columns that an older version does not have are left out of what it gets.
fn rows_of(sql: &Sql, table: &str) -> Vec<String> {
    sql.column(&format!("SELECT to_jsonb(t)::text FROM {table} t"))
}

fn put_rows(sql: &Sql, table: &str, rows: &[String]) {
    for row in rows {
        sql.rows(
            &format!("INSERT INTO {table} SELECT (jsonb_populate_record(NULL::{table}, $1::text::jsonb)).*"),
            &[row],
        );
    }
}

fn s47_two_at_once_with_a_full_spool(env: &Env) -> TestResult {
    // A key that is known from before, in an old database.
    let before = env.serve();
    before.client.events(event(1)).accepted(1, 0);
    until("the key is kept", || env.path().join(".tidegate/keys").exists().then_some(()));
    drop(before);
    let kept = ["organizations", "api_keys"].map(|table| (table, rows_of(&env.sql(), table)));
    env.begin_again();
    assert_eq!(env.cli(&["accept-database"]).code, Some(0));
    let sql = env.sql();
    old::install(&sql, env.engine, OLD);
    for (table, rows) in &kept {
        put_rows(&sql, table, rows);
    }
    old::put_events(&sql, env.engine);
    let digest = old::digest(&sql);

    let proxy = Proxy::start(&env.socket());
    proxy.away();
    let mut tidegate = Tidegate::listening(env, &env.variables_all_through(&proxy), &[]);
    let told = Arc::new(Told::default());
    let senders = Senders::start(&told, &tidegate.client, Patience::Retry);
    senders.spool(20);
    let others: Vec<Running> = (0..2).map(|_| Running::start(env, &env.variables(), &["migrate", "--json"])).collect();
    proxy.back();
    let mut applied: Vec<i64> = Vec::new();
    for other in others {
        let migrated = other.finish().json();
        applied.extend(migrated["applied"].as_array().unwrap().iter().map(|version| version.as_i64().unwrap()));
    }
    tidegate.ready(env);
    senders.flow(20);
    senders.finish();
    applied.sort_unstable();
    applied.dedup();
    let pending = MIGRATIONS.len() - usize::try_from(OLD)?;
    assert!(applied.len() <= pending, "each is applied once: {applied:?}");
    assert_eq!(env.cli(&["migrate", "--check"]).code, Some(0));
    assert_eq!(old::digest(&sql), digest, "every row is there, and as it was");
    sql.run("DELETE FROM events WHERE source_module = 'module'");
    Scene::new(env, &tidegate, &sql, &told).assert_invariants("s47_two_at_once_with_a_full_spool");
    Ok(())
}

/// A change of the schema as `migrations::apply` makes one: in a transaction of its own that does not wait long.
fn change(sql: &Sql, statements: &str) {
    until("the change goes through", || {
        let change = format!(
            "BEGIN; SET LOCAL lock_timeout = '2s'; LOCK TABLE schema_migrations IN SHARE ROW EXCLUSIVE MODE; {statements}; COMMIT"
        );
        match sql.try_run(&change) {
            Ok(()) => Some(()),
            Err(code) => {
                sql.run("ROLLBACK");
                assert!(matches!(code.as_str(), "55P03" | "40P01"), "{code}: {statements}");
                None
            }
        }
    });
}

/// What a next version may do to the schema under a running process: more columns and indexes, other functions, more relations.
/// No binary has a migration of a later one's, so that these are made by the test, in the way of the program.
fn next_version(sql: &Sql, after_each: impl Fn()) {
    let tables: Vec<String> = sql.column(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'tidegate'::regnamespace AND relkind IN ('r', 'p') \
         AND NOT relispartition AND relname NOT LIKE 'lock\\_%' AND relname <> 'schema_migrations' ORDER BY 1",
    );
    assert!(tables.len() > 20, "{tables:?}");
    for table in &tables {
        change(sql, &format!("ALTER TABLE {table} ADD COLUMN next_version text"));
    }
    after_each();
    for table in &tables {
        change(sql, &format!("CREATE INDEX next_{table} ON {table} (next_version)"));
    }
    after_each();
    let functions: Vec<String> = sql.column(
        "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'tidegate'::regnamespace AND prokind IN ('f', 'p')",
    );
    for function in &functions {
        change(sql, function);
    }
    change(sql, "CREATE TABLE next_table (id integer); GRANT SELECT ON next_table TO tidegate_reader");
    let next = MIGRATIONS.len() + 1;
    change(sql, &format!("INSERT INTO schema_migrations VALUES ({next}, 'next', repeat('0', 64), now(), 1)"));
    after_each();
}

fn s47_a_next_version_migrates_under_load(env: &Env) -> TestResult {
    let proxy = Proxy::start(&env.socket());
    let variables = env.variables_all_through(&proxy);
    let mut tidegate = Tidegate::serve(env, &variables, &[]);
    let told = Arc::new(Told::default());
    let senders = Senders::start(&told, &tidegate.client, Patience::Retry);
    senders.flow(10);
    let sql = env.sql();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (client, over) = (tidegate.client.clone(), &over);
        let reads = scope.spawn(move || {
            let mut count = 0;
            while !over.load(SeqCst) {
                for path in ["/v1/events", "/v1/metrics/catalog", "/v1/correlations", "/v1/dead-letters"] {
                    let answer = client.get(path);
                    assert_eq!(answer.status, 200, "{path}: {answer:?}");
                    count += 1;
                }
            }
            count
        });
        next_version(&sql, || senders.flow(20));
        over.store(true, SeqCst);
        assert!(reads.join().unwrap() > 10);
    });
    assert_eq!(senders.failed(), 0, "no sender had to come again: {}", tidegate.log());
    senders.finish();
    derived::settled(&sql);
    until("it is ready", || (tidegate.client.get("/readyz").json()["status"] == "ready").then_some(()));
    // One that was not there all along is told that it is the older one, and one that waits takes what it can.
    let elsewhere = format!("data_dir={}", env.path().join("elsewhere").display());
    let newer = format!("migration {}", MIGRATIONS.len() + 1);
    let refused = env.serve_fails(&[&elsewhere]);
    assert!(refused.code == Some(1) && refused.stderr.contains(&newer), "{refused:?}");
    assert_eq!(tidegate.stop(), Some(0));
    proxy.away();
    tidegate = Tidegate::listening(env, &variables, &[]);
    told.both(&tidegate.client, 202);
    proxy.back();
    until("it says that it is older than the database", || {
        (tidegate.client.get("/readyz").status == 503 && tidegate.log().contains(&newer)).then_some(())
    });
    told.both(&tidegate.client, 202);
    // The newer program, as far as it differs: it knows that migration.
    sql.run(&format!("DELETE FROM schema_migrations WHERE version = {}", MIGRATIONS.len() + 1));
    tidegate.ready(env);
    told.both(&tidegate.client, 200);
    Scene::new(env, &tidegate, &sql, &told).assert_invariants("s47_a_next_version_migrates_under_load");
    Ok(())
}
