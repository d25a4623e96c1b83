//! Logins for people: what they may do, tried statement by statement, and that the service goes on whatever they hold.

use serde_json::{Value, json};
use tidegate::storage::embedded::READER;

use crate::client::Answer;
use crate::env::{Engine, Env, Test, TestResult, until};
use crate::exactly_once::claim;
use crate::logins::{HARMLESS, Login, as_superuser, refused, try_refused};
use crate::postgres::{SUPERUSER, Sql};
use crate::process::Tidegate;
use crate::samples::{batch, event, event_with, hours_from_now};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    logins_are_made_listed_and_revoked,
    a_login_is_revoked_whole_or_not_at_all,
    a_login_reads_and_no_more,
    advisory_locks_stop_nothing,
    a_strangers_lock_of_a_key_is_passed_over,
    doctor_says_what_readers_may_do,
);

/// Whatever somebody holds: a new day is born, keys are claimed and replayed, the schema is looked after, jobs run.
pub fn goes_on(env: &Env, tidegate: &Tidegate, days_ago: i64) {
    let old = format!(r#""timestamp":"{}""#, hours_from_now(-24 * days_ago));
    let stored = |answer: &Answer| answer.accepted(1, 0)["duplicate"] == false;
    assert!(stored(&tidegate.client.events(event_with(1, &old))), "a new day");
    let metric = format!(
        r#"{{"timestamp":"{}","asset_id":"a","metric_type":"gauge","metric_name":"x","value":1}}"#,
        hours_from_now(-24 * days_ago)
    );
    tidegate.client.metrics(metric).accepted(1, 0);
    let key = format!("key-{days_ago}");
    assert!(stored(&tidegate.client.keyed(&key, event(1))));
    assert_eq!(tidegate.client.repeated(&key, event(1)).accepted(1, 0)["duplicate"], true);
    let migrated = env.cli(&["migrate"]);
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
    let run = env.cli(&["lifecycle", "run", "--json"]).json();
    assert_eq!(run["chunks_left"].as_u64().unwrap_or(0), 0, "{run}");
}

fn logins_are_made_listed_and_revoked(env: &Env) -> TestResult {
    let tidegate = env.serve();
    tidegate.client.keyed("k", batch(3)).accepted(3, 0);
    let login = Login::make(env);
    let password = login.made["password"].as_str().unwrap();
    assert!(password.len() >= 32 && login.made["name"] == login.name.as_str(), "{}", login.made);
    assert!(login.made["psql"].as_str().unwrap().contains(&format!("user={}", login.name)));
    assert_eq!(login.made["beyond"], json!([]), "a superuser took everything away");
    let superuser = Sql::bare(&env.url(SUPERUSER));
    let kept: String = superuser.one(&format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{}'", login.name));
    assert!(kept.starts_with("SCRAM-SHA-256$"), "{kept}");
    let session = login.sql();
    // Without the schema's name, and no more than the contract.
    assert_eq!((session.count("events"), session.count("metrics_hourly")), (3, 0));
    assert_eq!(session.one::<i64>("SELECT sum(accepted) FROM ingest_ledger"), 3);
    assert_eq!(session.one::<String>("SHOW statement_timeout"), "1min");
    assert_eq!(session.try_run("CREATE TABLE public.x (x int)"), Err("25006".to_owned()), "read-only from the start");
    let more: Vec<Sql> = (1..5).map(|_| login.sql()).collect();
    assert!(Sql::try_connect(&env.url(&login.name)).is_err(), "five sessions at most");
    let listed = as_superuser(env, &["readers", "list", "--json"]).json();
    let found = listed.as_array().unwrap().iter().find(|found| found["name"] == login.name.as_str()).unwrap().clone();
    assert_eq!((&found["connections"], &found["connections_max"]), (&json!(5), &json!(5)));
    drop(more);
    let again = as_superuser(env, &["readers", "create", &login.name]);
    assert!(again.code == Some(1) && again.stderr.contains("is there already"), "{again:?}");
    for (name, said) in [("tidegate_reader", "nor with tidegate_"), ("Ada", "a-z"), ("a;b", "a-z")] {
        let refused = as_superuser(env, &["readers", "create", name]);
        assert!(refused.code == Some(1) && refused.stderr.contains(said), "{refused:?}");
    }
    // Not every role is a login for reading.
    for name in ["tidegate_reader", "postgres", "nobody"] {
        let refused = as_superuser(env, &["readers", "revoke", name]);
        assert!(refused.code == Some(1) && refused.stderr.contains("readers list"), "{refused:?}");
    }
    let refused = env.cli(&["readers", "create", "ada"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("may not make roles"), "{refused:?}");
    let revoked = as_superuser(env, &["readers", "revoke", &login.name, "--json"]).json();
    assert_eq!(revoked["name"], login.name.as_str());
    assert!(session.try_run("SELECT 1").is_err(), "its session is over");
    assert!(Sql::try_connect(&env.url(&login.name)).is_err());
    Ok(())
}

fn a_login_is_revoked_whole_or_not_at_all(env: &Env) -> TestResult {
    drop(env.serve());
    let login = Login::make(env);
    let name = &login.name;
    let superuser = Sql::bare(&env.url(SUPERUSER));
    let other = format!("{}_other", env.database());
    superuser.run(&format!("CREATE DATABASE {other}"));
    let within = |database: &str| format!("dbname={database}");
    let in_other = |role: &str| Sql::bare(&env.url(role).replace(&within(env.database()), &within(&other)));
    superuser.run(&format!("CREATE TABLE public.mine (x int); ALTER TABLE public.mine OWNER TO {name}"));
    in_other(SUPERUSER).run(&format!("CREATE SCHEMA theirs; GRANT USAGE ON SCHEMA theirs TO {name}"));
    let session = login.sql();
    let revoke = || as_superuser(env, &["readers", "revoke", name]);
    let refused = revoke();
    let words = ["nothing has changed", "mine", &other, "DROP OWNED BY", "NOLOGIN"];
    assert!(refused.code == Some(1) && words.iter().all(|word| refused.stderr.contains(word)), "{refused:?}");
    let goes_on = || {
        assert_eq!(session.one::<i32>("SELECT 1"), 1, "the session goes on");
        drop(login.sql());
    };
    goes_on();
    // As it says; one database is not enough.
    let mend = format!("REASSIGN OWNED BY {name} TO CURRENT_USER; DROP OWNED BY {name}");
    superuser.run(&mend);
    let refused = revoke();
    assert!(refused.code == Some(1) && !refused.stderr.contains("mine"), "{refused:?}");
    goes_on();
    in_other(SUPERUSER).run(&mend);
    let refused = env.cli(&["readers", "revoke", name]);
    let words = ["is not revoked", "as an administrator", &format!("DROP ROLE {name}")];
    assert!(refused.code == Some(1) && words.iter().all(|word| refused.stderr.contains(word)), "{refused:?}");
    goes_on();
    // What its own sessions hold is no way to stay.
    let holder = in_other(name);
    holder.run("SET default_transaction_read_only = off");
    holder.run("BEGIN; CREATE TEMP TABLE held (x int)");
    let revoked = revoke();
    assert_eq!(revoked.code, Some(0), "{revoked:?}");
    assert!(session.try_run("SELECT 1").is_err() && holder.try_run("SELECT 1").is_err(), "its sessions are over");
    assert!(Sql::try_connect(&env.url(name)).is_err());
    superuser.run(&format!("DROP DATABASE {other} WITH (FORCE)"));
    Ok(())
}

fn a_login_reads_and_no_more(env: &Env) -> TestResult {
    let tidegate = env.serve();
    tidegate.client.keyed("k", batch(3)).accepted(3, 0);
    let login = Login::make(env);
    let session = login.sql();
    session.run("SET default_transaction_read_only = off");
    let engine = env.engine.as_str();
    let mut taken = Vec::new();
    for statement in refused(env.engine) {
        let code = try_refused(&session, statement);
        println!("{engine}: refused ({code}): {statement}");
        if code != "42501" {
            taken.push((code, statement));
        }
    }
    assert!(taken.is_empty(), "{taken:#?}");
    // Whatever migrations add: what people see is in the contract, or made of what is in it.
    let seen: Vec<String> = Sql::bare(&env.url(SUPERUSER)).column(
        "SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'tidegate'::regnamespace AND NOT c.relispartition \
         AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relname NOT LIKE '%\\_closed' AND c.relname NOT LIKE 'metrics\\_%\\_buckets' \
         AND CASE WHEN c.relkind = 'S' THEN has_sequence_privilege('tidegate_people', c.oid, 'USAGE, SELECT, UPDATE') \
                  ELSE has_any_column_privilege('tidegate_people', c.oid, 'SELECT') END",
    );
    let contract = concat!(env!("CARGO_MANIFEST_DIR"), "/sql/contract");
    let promised = |name: &String| std::path::Path::new(contract).join(name).with_extension("csv").exists();
    let more: Vec<&String> = seen.iter().filter(|name| !promised(name)).collect();
    assert!(more.iter().all(|name| ["correlation_groups", "rollup_levels"].contains(&name.as_str())), "{more:?}");
    for (statement, why) in HARMLESS {
        session.run(statement);
        println!("{engine}: harmless, {why}: {statement}");
    }
    // As long as it likes: everything that it may lock.
    session.run("BEGIN; SELECT * FROM events, metrics, organizations, asset_metadata, metrics_hourly LIMIT 1");
    goes_on(env, &tidegate, 3);
    assert_eq!(env.sql().one::<i64>("SELECT count(*) FROM pg_largeobject_metadata"), 0);
    Ok(())
}

/// A database where everybody may take them, as PostgreSQL has it by default: the names that earlier versions waited for.
fn advisory_locks_stop_nothing(env: &Env) -> TestResult {
    let mut tidegate = env.serve();
    let holder = Sql::bare(&env.url(READER));
    for name in ["install", "partitions", "refresh", "policies", "role_settings", "extension", "first_start"] {
        holder.run(&format!("SELECT pg_advisory_lock(hashtextextended('tidegate.{name}', 0))"));
    }
    let jobs: Vec<String> = env.sql().column("SELECT job FROM job_runs");
    for job in &jobs {
        holder.run(&format!("SELECT pg_advisory_lock(hashtextextended('tidegate.job.{job}', 0))"));
    }
    holder.run(
        "SELECT count(pg_advisory_lock(hashtextextended(name || slice, 2))) \
         FROM unnest(ARRAY['tidegate.chunk.', 'tidegate.chunk.metrics.']) name, \
              generate_series(extract(epoch FROM now())::bigint / 86400 - 10, extract(epoch FROM now())::bigint / 86400 + 1) slice; \
         SELECT count(pg_advisory_lock(hashtextextended('default' || chr(31) || 'key-' || n, 1))) FROM generate_series(1, 10) n",
    );
    goes_on(env, &tidegate, 5);
    // Every number that is held now, or soon will be: a copy of each, taken as soon as it is free.
    let numbers = "SELECT count(pg_try_advisory_lock((classid::bigint << 32) | objid::bigint)) FROM pg_locks \
                   WHERE locktype = 'advisory' AND pid <> pg_backend_pid() \
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    std::thread::scope(|scope| {
        let (done, stopped) = std::sync::mpsc::channel::<()>();
        scope.spawn(move || {
            while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                holder.run(numbers);
            }
        });
        goes_on(env, &tidegate, 6);
        done.send(()).unwrap();
    });
    assert_eq!(tidegate.stop(), Some(0));
    drop(env.serve());
    Ok(())
}

/// The name under which a key is claimed can be read from pg_locks while it is.
fn a_strangers_lock_of_a_key_is_passed_over(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let name: i64 = env.sql().one(&format!("SELECT {}", claim("default", "k")));
    let stranger = Sql::bare(&env.url(READER));
    stranger.run(&format!("SELECT pg_advisory_lock({name})"));
    let answers = std::thread::scope(|scope| {
        let send = || tidegate.client.keyed("k", batch(20));
        let sending: Vec<_> = (0..20).map(|_| scope.spawn(send)).collect();
        sending.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    // Of one that went to the spool nobody is told whether it was the first.
    let spooled = answers.iter().filter(|answer| answer.status == 202).count();
    for answer in &answers {
        assert!(matches!(answer.in_time().status, 200 | 409), "{answer:?}");
    }
    let first = answers.iter().filter(|answer| answer.status == 200 && answer.json()["duplicate"] == false).count();
    assert!(first == 1 || first == 0 && spooled > 0, "{answers:?}");
    assert_eq!(env.sql().count("events"), 20, "written once");
    assert_eq!(tidegate.client.repeated("k", batch(20)).accepted(20, 0)["duplicate"], true);
    tidegate.client.keyed("k", batch(19)).problem(422, "idempotency_key_reused");
    until("the log says so", || tidegate.log().contains("not Tidegate's holds advisory locks").then_some(()));
    assert_eq!(env.sql().count("dead_letter_events"), 0);
    Ok(())
}

fn doctor_says_what_readers_may_do(env: &Env) -> TestResult {
    drop(env.serve());
    let finding = || {
        let found = env.cli(&["doctor", "--json"]);
        let found: Value = serde_json::from_str(&found.stdout).unwrap();
        found.as_array().unwrap().iter().find(|finding| finding["check"] == "readers").unwrap().clone()
    };
    let before = finding();
    let mut expected = vec!["temporary tables", "advisory locks", "large objects", "messages into the WAL"];
    if env.engine == Engine::Timescale {
        expected.push("jobs of TimescaleDB");
    }
    for what in expected {
        assert!(before["state"] == "warning" && before["found"].as_str().unwrap().contains(what), "{what}: {before}");
    }
    let superuser = Sql::bare(&env.url(SUPERUSER));
    // What the process that was killed has begun may still be under way.
    superuser.alter("GRANT INSERT ON tidegate.events TO tidegate_reader; GRANT CREATE ON SCHEMA public TO PUBLIC");
    let found = finding();
    let said = found["found"].as_str().unwrap();
    assert!(said.contains("writes tidegate.events") && said.contains("objects in the schema public"), "{said}");
    // What it says to do is enough, and nothing that the service needs. It names the server's logins, of which one that another
    // test made may be gone by then.
    until("what it says is done", || {
        let found = finding();
        let (_, statements) = found["advice"].as_str().unwrap().split_once("database:\n").unwrap();
        let done = superuser.try_run(&format!("SET search_path = public; {statements}"));
        assert!(done.is_ok() || done == Err("42704".to_owned()), "{done:?}: {statements}");
        done.ok()
    });
    let after = finding();
    assert_eq!(after["state"], "ok", "{after}");
    let tidegate = env.serve();
    tidegate.client.keyed("k", batch(3)).accepted(3, 0);
    goes_on(env, &tidegate, 4);
    Ok(())
}
