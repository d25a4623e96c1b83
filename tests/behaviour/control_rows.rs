//! Row-level security on control tables: what a transaction sees and changes that is confined to a tenant, whatever its statements
//! forget to ask, and what other roles see.

use std::process::Command;

use crate::env::{Env, Test, TestResult};
use crate::postgres::Sql;
use crate::tests;

pub const TESTS: &[Test] = tests!(
    a_confined_transaction_sees_and_changes_its_tenant_alone,
    other_roles_see_nothing_of_control_tables,
    an_owners_dump_of_control_tables_is_complete,
);

/// The tables, and how many rows of each organization the test makes.
const TABLES: [&str; 6] = ["organizations", "api_keys", "users", "sessions", "audit_log", "usage_days"];

/// Two organizations with a row in each table.
fn filled(env: &Env) {
    for name in ["one", "two"] {
        env.cli(&["orgs", "create", name, "--json"]).json();
        env.cli(&["keys", "create", "--org", name, "--scopes", "read", "--json"]).json();
        env.sql().run(&format!(
            "INSERT INTO tidegate.users (org_id, email, password_hash, role) \
             SELECT id, tenant_id || '@example.com', '$argon2id$x', 'admin' FROM tidegate.organizations WHERE tenant_id = '{name}'; \
             INSERT INTO tidegate.sessions (id, user_id, token_hash, expires_at, address) \
             SELECT gen_random_uuid(), id, sha256(email::bytea), now() + interval '1 day', '::1' \
             FROM tidegate.users WHERE email = '{name}@example.com'; \
             INSERT INTO tidegate.usage_days VALUES ('{name}', '2020-01-01', 1, 2, 3, 4, 5)"
        ));
    }
}

fn a_confined_transaction_sees_and_changes_its_tenant_alone(env: &Env) -> TestResult {
    env.begin_empty();
    filled(env);
    let sql = env.sql();
    let forced: i64 = sql.one(
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'tidegate'::regnamespace AND relrowsecurity AND relforcerowsecurity \
         AND relname IN ('organizations', 'api_keys', 'users', 'sessions', 'audit_log', 'usage_days', 'usage_notes')",
    );
    assert_eq!(forced, 7, "the owner is not above its own policies");
    let confined = |tenant: &str, statement: &str| -> Result<i64, String> {
        sql.with(async |client| {
            client.batch_execute("BEGIN").await.unwrap();
            let set = "SELECT set_config('tidegate.tenant', $1, true)";
            client.execute(set, &[&tenant]).await.unwrap();
            let done = client.query(statement, &[]).await;
            let found = done.map_err(|error| error.as_db_error().map_or(error.to_string(), |e| e.message().to_owned()));
            let found = found.map(|rows| i64::try_from(rows.len()).unwrap());
            client.batch_execute("ROLLBACK").await.unwrap();
            found
        })
    };
    for table in TABLES {
        let all = confined("*", &format!("SELECT FROM tidegate.{table}")).unwrap();
        let own = confined("one", &format!("SELECT FROM tidegate.{table}")).unwrap();
        // `one` has as much as `two`.
        assert_eq!((own > 0, 2 * own), (true, all), "{table}");
        assert_eq!(confined("nobody", &format!("SELECT FROM tidegate.{table}")), Ok(0), "{table}");
        assert_eq!(confined("", &format!("SELECT FROM tidegate.{table}")), Ok(all), "{table}: none is named");
        assert_eq!(confined("two'; --", &format!("SELECT FROM tidegate.{table}")), Ok(0), "{table}");
    }
    // Statements that forgot whose rows they mean.
    for (change, table) in [
        ("UPDATE tidegate.organizations SET is_active = false RETURNING 1", "organizations"),
        ("UPDATE tidegate.api_keys SET revoked_at = now() RETURNING 1", "api_keys"),
        ("UPDATE tidegate.users SET is_active = false RETURNING 1", "users"),
        ("UPDATE tidegate.sessions SET revoked_at = now() RETURNING 1", "sessions"),
        ("DELETE FROM tidegate.audit_log RETURNING 1", "audit_log"),
    ] {
        let own = confined("one", &format!("SELECT FROM tidegate.{table}")).unwrap();
        assert_eq!(confined("one", change), Ok(own), "{change}");
        assert_eq!(confined("nobody", change), Ok(0), "{change}");
    }
    // Rows of another, and rows that would become another's.
    for refused in [
        "INSERT INTO tidegate.organizations (tenant_id, name) VALUES ('three', 'three')",
        "UPDATE tidegate.organizations SET tenant_id = 'three'",
        "INSERT INTO tidegate.audit_log (tenant_id, actor_kind, actor, action) VALUES ('two', 'command', 'x', 'a.b')",
        "INSERT INTO tidegate.audit_log (tenant_id, actor_kind, actor, action) VALUES (NULL, 'command', 'x', 'a.b')",
    ] {
        let error = confined("one", refused).unwrap_err();
        assert!(error.contains("row-level security"), "{refused}: {error}");
    }
    let two: uuid::Uuid = sql.one("SELECT id FROM tidegate.organizations WHERE tenant_id = 'two'");
    for refused in [
        format!(
            "INSERT INTO tidegate.api_keys (id, org_id, key_hash, scopes) VALUES (gen_random_uuid(), '{two}', sha256(''), '{{read}}')"
        ),
        format!("UPDATE tidegate.api_keys SET org_id = '{two}'"),
        format!("UPDATE tidegate.users SET org_id = '{two}'"),
    ] {
        let error = confined("one", &refused).unwrap_err();
        assert!(error.contains("row-level security"), "{refused}: {error}");
    }
    Ok(())
}

fn other_roles_see_nothing_of_control_tables(env: &Env) -> TestResult {
    env.begin_empty();
    filled(env);
    let writer = env.sql_as("tidegate_writer");
    for table in TABLES.into_iter().chain(["sign_in_attempts"]) {
        for statement in
            ["SELECT FROM tidegate.{}", "DELETE FROM tidegate.{}", "INSERT INTO tidegate.{} DEFAULT VALUES"]
        {
            let error = writer.try_run(&statement.replace("{}", table)).unwrap_err();
            assert!(error.contains("42501"), "{table}: {error}");
        }
    }
    // What it may ask.
    writer.run("SELECT * FROM tidegate.look_up_keys('{}'); SELECT tidegate.note_key_uses('{}', '{}')");
    let reader = env.sql_as("tidegate_reader");
    for refused in [
        "key_hash FROM tidegate.api_keys",
        "id FROM tidegate.audit_log",
        "id FROM tidegate.users",
        "id FROM tidegate.sessions",
    ] {
        let error = reader.try_run(&format!("SELECT {refused}")).unwrap_err();
        assert!(error.contains("42501"), "{refused}: {error}");
    }
    Ok(())
}

/// Its own policies hold for the owner: without being told, `pg_dump` refuses to leave rows out; who names no tenant sees all.
fn an_owners_dump_of_control_tables_is_complete(env: &Env) -> TestResult {
    env.begin_empty();
    filled(env);
    let file = env.path().join("control.sql");
    let owner = env.url("tidegate_owner");
    let dump = |more: &[&str]| {
        let tables = TABLES.iter().map(|table| format!("--table=tidegate.{table}"));
        let mut command = Command::new(env.installation().program("pg_dump"));
        command.args(["--data-only", "--inserts", "-d", &owner, "-f", file.to_str().unwrap()]).args(tables).args(more);
        command.output().unwrap()
    };
    let refused = dump(&[]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("row-level security"), "{said}");
    let done = dump(&["--enable-row-security"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let dumped = std::fs::read_to_string(&file)?;
    let sql = env.sql();
    for table in TABLES {
        let rows = usize::try_from(sql.count(&format!("tidegate.{table}")))?;
        assert!(rows > 0);
        assert_eq!(dumped.matches(&format!("INSERT INTO tidegate.{table} ")).count(), rows, "{table}");
    }
    // And it can be put back: with constraints that say in which order, all at once.
    let before: Vec<String> = TABLES.iter().map(|table| contents(&sql, table)).collect();
    let all: Vec<String> = TABLES.iter().map(|table| format!("tidegate.{table}")).collect();
    sql.run(&format!("TRUNCATE {} CASCADE", all.join(", ")));
    let mut restore = Command::new(env.installation().program("psql"));
    restore.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-1", "-d", &owner, "-f", file.to_str().unwrap()]);
    let restored = restore.output()?;
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    assert_eq!(TABLES.iter().map(|table| contents(&sql, table)).collect::<Vec<_>>(), before);
    Ok(())
}

fn contents(sql: &Sql, table: &str) -> String {
    sql.one(&format!("SELECT coalesce(string_agg(t::text, E'\n' ORDER BY t::text), '') FROM tidegate.{table} t"))
}
