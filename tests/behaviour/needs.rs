//! What a database must be: each need that is unmet is named at start and by `doctor`, with what mends it; what a database merely
//! happens to be changes nothing.

use serde_json::Value;
use tidegate::storage::embedded::{OWNER, READER, WRITER};

use crate::derived::settled;
use crate::env::{Engine, Env, Test, TestResult};
use crate::postgres::{SUPERUSER, Sql};
use crate::process::{Finished, Tidegate};
use crate::samples::{array, batch, encode, hours_from_now, metric};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    latin1_is_refused,
    sql_ascii_is_refused,
    every_letter_is_found_whatever_the_locale,
    defaults_of_a_database_change_nothing,
    another_database_is_refused,
    a_read_only_database_is_refused,
    rights_are_named_and_mended,
    rights_beyond_ones_own_are_a_warning,
    what_may_not_be_seen_is_not_known,
    a_database_stays_what_it_was_made_as,
);

/// The program's variables with one of them replaced.
fn with(env: &Env, name: &str, url: &str) -> Vec<(String, String)> {
    let mut variables = env.variables();
    let name = format!("TIDEGATE_{name}_URL");
    variables.iter_mut().find(|(known, _)| *known == name).unwrap().1 = url.to_owned();
    variables
}

fn finding(env: &Env, variables: &[(String, String)], check: &str) -> Value {
    let finished = Finished::run(env, variables, &["doctor", "--json"]);
    let findings: Vec<Value> = serde_json::from_str(&finished.stdout).unwrap_or_else(|_| panic!("{finished:?}"));
    let found = findings.iter().find(|found| found["check"] == check);
    found.unwrap_or_else(|| panic!("{check}: {findings:?}")).clone()
}

/// Refused by serve with these words, and by doctor under the need's name.
fn refused(env: &Env, variables: &[(String, String)], need: &str, words: &[&str]) {
    let finished = Finished::run(env, variables, &["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{finished:?}");
    for word in [need].iter().chain(words) {
        assert!(finished.stderr.contains(word), "{word}: {finished:?}");
    }
    let found = finding(env, variables, need);
    assert_eq!(found["state"], "failed", "{found}");
    for word in words {
        assert!(found.to_string().contains(&word.replace('"', "\\\"")), "{word}: {found}");
    }
}

fn encoding_is_refused(env: &Env, encoding: &str) {
    env.begin_empty_as(&format!("ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"));
    refused(env, &env.variables(), "encoding", &[encoding, "CREATE DATABASE", "ENCODING 'UTF8'"]);
    for command in [&["migrate"][..], &["keys", "list"]] {
        assert_eq!(env.cli(command).code, Some(1), "{command:?}");
    }
    assert!(env.sql().one::<bool>("SELECT to_regnamespace('tidegate') IS NULL"), "something was made");
}

fn latin1_is_refused(env: &Env) -> TestResult {
    encoding_is_refused(env, "LATIN1");
    Ok(())
}

fn sql_ascii_is_refused(env: &Env) -> TestResult {
    encoding_is_refused(env, "SQL_ASCII");
    Ok(())
}

fn every_letter_is_found_whatever_the_locale(env: &Env) -> TestResult {
    // As the documentation makes one: it knows the case of ASCII letters only.
    env.begin_empty_as("ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0");
    let tidegate = env.serve();
    let names = [("ÜBERWACHUNG-1", "pump"), ("flow", "ΣΊΣΥΦΟΣ"), ("ЖАР", "fan"), ("plain", "fan")];
    let at = hours_from_now(-3);
    let samples = names.map(|(name, asset)| {
        format!(r#"{{"asset_id":"{asset}","metric_name":"{name}","value":1,"timestamp":"{at}"}}"#)
    });
    tidegate.client.metrics(array(samples)).accepted(4, 0);
    settled(&env.sql());
    for (sought, found) in [
        ("überwachung", "ÜBERWACHUNG-1"),
        ("Σίσυφος", "flow"),
        ("жар", "ЖАР"),
        ("PLAIN", "plain"),
        ("wachung-1", "ÜBERWACHUNG-1"),
    ] {
        let list = tidegate.client.get(&format!("/v1/metrics/catalog?search={}", encode(sought))).expect(200);
        let names: Vec<&str> =
            list["data"].as_array().unwrap().iter().map(|s| s["metric_name"].as_str().unwrap()).collect();
        assert_eq!(names, [found], "{sought}");
    }
    assert_eq!(env.cli(&["orgs", "create", "Übersee", "--slug", "sea"]).code, Some(0));
    assert_eq!(env.cli(&["orgs", "create", "ÜBERSEE", "--slug", "lake"]).code, Some(1), "the name is taken");
    assert_eq!(env.cli(&["keys", "create", "--org", "übersee"]).code, Some(0), "it is found in any case");
    Ok(())
}

fn defaults_of_a_database_change_nothing(env: &Env) -> TestResult {
    env.begin_empty();
    let server = Sql::bare(&env.url(SUPERUSER));
    let database = env.database();
    for setting in [
        "synchronous_commit = off",
        "standard_conforming_strings = off",
        "default_transaction_isolation = 'serializable'",
        "\"DateStyle\" = 'German'",
        "\"IntervalStyle\" = 'sql_standard'",
        "search_path = nowhere",
        "lock_timeout = '1ms'",
    ] {
        server.run(&format!("ALTER DATABASE {database} SET {setting}"));
    }
    let tidegate = env.serve();
    tidegate.client.events(batch(100)).accepted(100, 0);
    tidegate.client.metrics(array([metric(1)])).accepted(1, 0);
    assert_eq!(tidegate.client.get("/v1/events?limit=7").expect(200)["data"].as_array().unwrap().len(), 7);
    let found = finding(env, &env.variables(), "synchronous_commit");
    assert!(
        found["state"] == "ok" && found["found"].as_str().unwrap().contains("on in Tidegate's own sessions"),
        "{found}"
    );
    Ok(())
}

fn another_database_is_refused(env: &Env) -> TestResult {
    drop(env.serve());
    let server = Sql::bare(&env.url(SUPERUSER));
    let other = format!("{}_other", env.database());
    server.run(&format!("CREATE DATABASE {other}"));
    let elsewhere = |role: &str| env.url(role).replace(env.database(), &other);
    for (name, role) in [("WRITER", WRITER), ("READER", READER)] {
        let need = format!("{}_url database", name.to_lowercase());
        refused(env, &with(env, name, &elsewhere(role)), &need, &["is not the database of database_url"]);
    }
    server.run(&format!("DROP DATABASE {other} WITH (FORCE)"));
    Ok(())
}

fn a_read_only_database_is_refused(env: &Env) -> TestResult {
    let server = Sql::bare(&env.url(SUPERUSER));
    let database = env.database();
    server.run(&format!("ALTER DATABASE {database} SET default_transaction_read_only = on"));
    let mend = format!("ALTER DATABASE {database} RESET default_transaction_read_only");
    refused(env, &env.variables(), "writable", &[&mend]);
    server.run(&format!("SET default_transaction_read_only = off; {mend}"));
    env.serve().client.events(batch(1)).accepted(1, 0);
    Ok(())
}

/// A login of this test's own, gone with it.
struct Login<'a> {
    env: &'a Env,
    name: String,
}

impl<'a> Login<'a> {
    fn new(env: &'a Env, kind: &str) -> Self {
        let name = format!("{kind}_{}", env.database());
        Sql::bare(&env.url(SUPERUSER)).run(&format!("CREATE ROLE {name} LOGIN"));
        Self { env, name }
    }

    fn url(&self) -> String {
        self.env.url(&self.name)
    }
}

impl Drop for Login<'_> {
    fn drop(&mut self) {
        let _ = Sql::bare(&self.env.url(SUPERUSER))
            .try_run(&format!("REASSIGN OWNED BY {0} TO {OWNER}; DROP OWNED BY {0}; DROP ROLE {0}", self.name));
    }
}

fn rights_are_named_and_mended(env: &Env) -> TestResult {
    for (name, role, lacks) in [("WRITER", WRITER, "INSERT on events"), ("READER", READER, "SELECT on metric_catalog")]
    {
        let login = Login::new(env, &name.to_lowercase());
        let variables = with(env, name, &login.url());
        let mend = format!("GRANT {role} TO {}", login.name);
        refused(
            env,
            &variables,
            &format!("{}_url rights", name.to_lowercase()),
            &[lacks, "USAGE on schema tidegate", &mend],
        );
        Sql::bare(&env.url(SUPERUSER)).run(&mend);
        let tidegate = Tidegate::serve(env, &variables, &[]);
        tidegate.client.events(batch(2)).accepted(2, 0);
        tidegate.client.get("/v1/events").expect(200);
    }
    Ok(())
}

fn rights_beyond_ones_own_are_a_warning(env: &Env) -> TestResult {
    let login = Login::new(env, "owner");
    Sql::bare(&env.url(SUPERUSER)).run(&format!("GRANT {OWNER} TO {}", login.name));
    for (name, words) in [("WRITER", "may change and delete"), ("READER", "may insert")] {
        let check = format!("{}_url rights", name.to_lowercase());
        let found = finding(env, &with(env, name, &login.url()), &check);
        assert!(found["state"] == "warning" && found["found"].as_str().unwrap().contains(words), "{found}");
        assert_eq!(finding(env, &env.variables(), &check)["state"], "ok");
    }
    Ok(())
}

fn what_may_not_be_seen_is_not_known(env: &Env) -> TestResult {
    env.begin_empty();
    let login = Login::new(env, "owner");
    let server = Sql::bare(&env.url(SUPERUSER));
    server.run(&format!("ALTER DATABASE {} OWNER TO {}", env.database(), login.name));
    let connections = |url: &str| finding(env, &with(env, "DATABASE", url), "connections");
    let found = connections(&login.url());
    assert_eq!(found["state"], "unknown", "{found}");
    let mend = format!("GRANT pg_read_all_stats TO {}", login.name);
    assert!(found["advice"].as_str().unwrap().contains(&mend), "{found}");
    server.run(&mend);
    let _open: Vec<Sql> = (0..8).map(|_| Sql::bare(&env.url(OWNER))).collect();
    for url in [login.url(), env.url(SUPERUSER)] {
        let found = connections(&url);
        let used: i64 = found["found"].as_str().unwrap().split(' ').next().unwrap().parse()?;
        assert!(used > 8, "{found}");
    }
    Ok(())
}

fn a_database_stays_what_it_was_made_as(env: &Env) -> TestResult {
    env.begin_empty();
    drop(env.serve_with(&["engine=postgres"]));
    let tidegate = env.serve();
    let said = "postgres (this database was made with it)";
    assert!(tidegate.welcome.contains(said), "{}", tidegate.welcome);
    assert!(tidegate.log().contains(said), "{}", tidegate.log());
    let found = finding(env, &env.variables(), "schema");
    let made = "engine postgres and payload as jsonb (this database was made with them)";
    assert!(found["found"].as_str().unwrap().contains(made), "{found}");
    assert!(env.cli(&["migrate"]).stdout.contains(said));
    if env.engine == Engine::Timescale {
        let found = finding(env, &env.variables(), "TimescaleDB");
        assert!(found["found"].as_str().unwrap().contains("made with engine postgres"), "{found}");
    }
    Ok(())
}
