//! `tidegate move`, from an embedded server to one's own, and `tidegate upgrade`, to a newer PostgreSQL: rows, offsets, ledger and
//! logins are there, what is sent again is known, groups go on, and the spool is written where the database is now.

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};
use tidegate::storage::embedded::{Installation, OWNER, locate_running};

use crate::client::Client;
use crate::env::{Engine, Env, Test, TestResult, until};
use crate::groups::{commit, make, offsets, show, take};
use crate::installations::other_majors;
use crate::postgres::{SUPERUSER, Sql};
use crate::process::{Finished, Running, Tidegate, pid_in};
use crate::samples::{array, event, metric};
use crate::streams::{reaches, send};
use crate::tests;

pub const TESTS: &[Test] = tests!(an_embedded_database_moves_to_another_server);

/// On each installation that the machine has, where it has more than one.
pub const UPGRADING: &[Test] = &[Test {
    name: "an_embedded_server_becomes_one_of_a_newer_version",
    engines: &Engine::ALL,
    run: an_embedded_server_becomes_one_of_a_newer_version,
    missing: || {
        other_majors().is_none().then(|| {
            "there is one major version of PostgreSQL on this machine (TIDEGATE_TEST_POSTGRES names more)".to_owned()
        })
    },
}];

fn engine(env: &Env) -> [String; 2] {
    ["--set".to_owned(), format!("engine={}", env.engine.as_str())]
}

fn serve(env: &Env, variables: &[(String, String)], data_dir: &Path) -> Tidegate {
    let flags = ["--data-dir".to_owned(), data_dir.to_str().unwrap().to_owned()];
    Tidegate::serve(env, variables, &flags.into_iter().chain(engine(env)).collect::<Vec<_>>())
}

fn run(env: &Env, variables: &[(String, String)], data_dir: &Path, arguments: &[&str]) -> Finished {
    let engine = engine(env);
    let flags = ["--data-dir", data_dir.to_str().unwrap(), &engine[0], &engine[1]];
    Finished::run(env, variables, &[arguments, &flags].concat())
}

fn refused(finished: &Finished, words: &[&str]) {
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{finished:?}");
    for word in words {
        assert!(finished.stderr.contains(word), "{word}: {finished:?}");
    }
}

/// Ten events of a stream of which a group has had four, samples, and a request with a key.
fn fill(client: &Client) {
    send(client, "s", 0, 10);
    reaches(client, "s", 10);
    make(client, "s", json!({ "name": "g" }));
    let taken = take(client, "s", "g", "limit=4");
    commit(client, "s", "g", &taken).expect(200);
    client.metrics(array((0..50).map(metric))).accepted(50, 0);
    client.keyed("once", event(1)).accepted(1, 0);
}

/// It is the same database: the key is known, the group goes on, the log goes on.
fn goes_on(client: &Client) {
    assert_eq!(client.keyed("once", event(1)).expect(200)["duplicate"], true);
    assert_eq!(show(client, "s", "g")["committed"], 4);
    assert_eq!(offsets(&take(client, "s", "g", "limit=3")), [4, 5, 6]);
    send(client, "s", 10, 2);
    reaches(client, "s", 12);
}

/// The same key, wherever it is served.
fn with_key_of(served: &Tidegate, key: &str) -> Client {
    Client::new(&served.client.address, Some(key))
}

fn counted(told: &Value) -> Value {
    json!([told["contents"]["events"], told["contents"]["metrics"], told["contents"]["ledger"], told["same"]])
}

fn an_embedded_database_moves_to_another_server(env: &Env) -> TestResult {
    env.begin_empty();
    let data_dir = env.path().join("data");
    let reader = format!("eve_{}", env.database().split('_').next().unwrap());
    let mut tidegate = serve(env, &[], &data_dir);
    let key = tidegate.client.key().to_owned();
    fill(&tidegate.client);
    run(env, &[], &data_dir, &["readers", "create", &reader, "--org", "default", "--json"]).json();
    let target = env.url(SUPERUSER);
    let moved = |to: &str| run(env, &[], &data_dir, &["move", "--to", to, "--json"]);
    refused(&moved(&target), &["is in use by process", "stop that tidegate first"]);

    // A request that waits in the spool: the cluster is away, and the server ends.
    let (place, aside) = (data_dir.join("postgres"), data_dir.join("aside"));
    let pid = pid_in(&place.join("postmaster.pid")).expect("a postmaster");
    std::fs::rename(&place, &aside)?;
    kill(pid, Signal::SIGKILL)?;
    until("it is noticed", || {
        let ready = tidegate.client.get("/readyz").json()["status"] == "ready";
        (!ready && tidegate.log().contains("was removed while Tidegate ran")).then_some(())
    });
    assert_eq!(tidegate.client.keyed("spooled", event(2)).expect(202)["accepted"], 1);
    assert!(tidegate.stop().is_some());
    std::fs::rename(&aside, &place)?;

    // Not over what somebody has, and what fails leaves nothing that the next try trips over.
    let there = Sql::bare(&target);
    there.run("CREATE TABLE public.theirs (n int)");
    refused(&moved(&target), &["is not empty", "CREATE DATABASE"]);
    there.run("DROP TABLE public.theirs; CREATE SCHEMA half");
    there.run(
        "CREATE FUNCTION half.refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no index here'; END$$; \
         CREATE EVENT TRIGGER no_index ON ddl_command_start WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION half.refuse()",
    );
    refused(&moved(&target), &["no index here"]);
    assert!(there.one::<bool>("SELECT to_regnamespace('tidegate') IS NULL"), "all or nothing");
    there.run("DROP EVENT TRIGGER no_index; DROP SCHEMA half CASCADE");

    // Nor what was killed: its pg_restore ends with it, and what that had done is undone.
    let blocker = Sql::bare(&target);
    blocker.run("BEGIN; CREATE SCHEMA tidegate");
    let data_dir_text = data_dir.to_str().unwrap();
    let of_engine = engine(env);
    let killed =
        Running::start(env, &[], &["move", "--to", &target, "--data-dir", data_dir_text, &of_engine[0], &of_engine[1]]);
    let restoring = |waits: &str| -> i64 {
        there.one(&format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'pg_restore'{waits}"
        ))
    };
    until("it restores", || (restoring(" AND wait_event_type = 'Lock'") == 1).then_some(()));
    killed.signal(Signal::SIGKILL);
    killed.finish();
    blocker.run("ROLLBACK");
    until("its pg_restore has ended", || (restoring("") == 0).then_some(()));
    assert!(there.one::<bool>("SELECT to_regnamespace('tidegate') IS NULL"), "all or nothing");

    // Nor into what could never be served.
    let ascii = format!("{}_ascii", env.database());
    there.run(&format!("CREATE DATABASE {ascii} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0"));
    refused(&moved(&target.replace(env.database(), &ascii)), &["encoding"]);
    there.run(&format!("DROP DATABASE {ascii} WITH (FORCE)"));

    let told = moved(&target).json();
    assert_eq!(counted(&told), json!([11, 50, 1, true]), "{told}");
    assert_eq!((&told["spooled"], &told["differences"]), (&json!(1), &json!([])), "{told}");
    // The first try had made it.
    assert!(told["roles"]["kept"].as_array().unwrap().contains(&json!(reader)), "{told}");
    for (line, role) in [("database_url", "tidegate_owner"), ("writer_url", "tidegate_writer")] {
        let line = told["configuration"][line].as_str().unwrap();
        assert!(line.contains(&format!("user={role} dbname={}", env.database())), "{line}");
    }
    // The login of one organization reads it there, under the same names.
    let eve = Sql::bare(&env.url(&reader));
    assert_eq!(eve.one::<i64>("SELECT count(*) FROM events"), 11);
    drop(eve);
    refused(&moved(&target), &["is not empty"]);

    // With the lines that were printed.
    let lines = ["database_url", "writer_url", "reader_url"].map(|line| {
        let value = told["configuration"][line].as_str().unwrap().to_owned();
        (format!("TIDEGATE_{}", line.to_uppercase()), value)
    });
    let mut moved = serve(env, &lines, &data_dir);
    let client = with_key_of(&moved, &key);
    goes_on(&client);
    // What waited in the spool is there once.
    let sql = env.sql();
    until("the spool is empty", || (sql.count("events") == 14).then_some(()));
    assert_eq!(client.keyed("spooled", event(2)).expect(200)["duplicate"], true);
    assert_eq!(moved.stop(), Some(0));
    let verified = env.cli(&["schema", "verify"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    drop(sql);

    // What was left is as it was.
    let left = run(env, &[], &data_dir, &["query", "SELECT count(*) AS n FROM events", "--format", "csv"]);
    assert_eq!(left.stdout.lines().last(), Some("11"), "{left:?}");
    there.run(&format!("DROP OWNED BY {reader}; DROP ROLE {reader}"));
    Ok(())
}

/// The newest other installation that is newer than the test's own.
fn newer(env: &Env) -> Option<Installation> {
    let own = env.installation().major;
    env.installations().into_iter().filter(|one| one.major > own).max_by_key(|one| one.major)
}

fn bin_dir(installation: &Installation) -> &str {
    installation.bin_dir.to_str().unwrap()
}

/// Programs are found as if this installation came first on PATH.
fn on_path(installation: &Installation) -> Vec<(String, String)> {
    vec![("PATH".to_owned(), format!("{}:/usr/bin:/bin", bin_dir(installation)))]
}

/// Embeddings are vectors where the one has pgvector, and the other cannot hold them.
fn lacks_what_is_used(own: &Installation, new: &Installation) -> bool {
    let has = |installation: &Installation| {
        let shares = Command::new(installation.program("pg_config")).arg("--sharedir").output().unwrap();
        Path::new(String::from_utf8_lossy(&shares.stdout).trim()).join("extension/vector.control").exists()
    };
    has(own) && !has(new)
}

fn kept(data_dir: &Path, major: u32) -> PathBuf {
    data_dir.join(format!("postgres.{major}"))
}

fn an_embedded_server_becomes_one_of_a_newer_version(env: &Env) -> TestResult {
    let data_dir = env.path().join("data");
    let own = env.installation();
    let mut tidegate = serve(env, &[], &data_dir);
    let key = tidegate.client.key().to_owned();
    fill(&tidegate.client);
    let upgrade = |to: &Installation| run(env, &[], &data_dir, &["upgrade", "--to-bin", bin_dir(to), "--json"]);
    refused(&upgrade(own), &["is in use by process"]);
    run(env, &[], &data_dir, &["readers", "create", "eve", "--org", "default", "--json"]).json();
    let running = locate_running(&data_dir).expect("a running server");
    Sql::bare(&running.url(SUPERUSER, "tidegate")).run("ALTER SYSTEM SET work_mem = '8MB'");
    assert_eq!(tidegate.stop(), Some(0));
    refused(&upgrade(own), &["nothing to upgrade"]);
    let from = |from: &str, to: &Installation| {
        run(env, &[], &data_dir, &["upgrade", "--to-bin", bin_dir(to), "--from-bin", from])
    };
    let empty = env.path().to_str().unwrap();
    refused(&from(empty, own), &["--from-bin", empty, "no PostgreSQL server runs there"]);
    let Some(new) = newer(env) else { return Ok(()) };
    refused(&from(bin_dir(&new), &new), &["--from-bin", "name the folder of its server"]);

    if env.engine == Engine::Timescale && new.timescaledb != own.timescaledb {
        let version = own.timescaledb.as_deref().unwrap();
        refused(&upgrade(&new), &[version, "between equal versions", "timescaledb-2-postgresql-"]);
        assert!(
            !kept(&data_dir, own.major).exists() && !data_dir.join(format!("postgres.upgrade-{}", new.major)).exists()
        );
        let mut tidegate = serve(env, &[], &data_dir);
        goes_on(&with_key_of(&tidegate, &key));
        assert_eq!(tidegate.stop(), Some(0));
        return Ok(());
    }

    if lacks_what_is_used(own, &new) {
        refused(&upgrade(&new), &["the extension vector", "install it there first"]);
        let mut tidegate = serve(env, &[], &data_dir);
        goes_on(&with_key_of(&tidegate, &key));
        assert_eq!(tidegate.stop(), Some(0));
        return Ok(());
    }

    // What a try left that was killed is cleared away.
    let left = data_dir.join(format!("postgres.upgrade-{}", new.major));
    std::fs::create_dir(&left)?;
    std::fs::write(left.join("PG_VERSION"), "half")?;
    let told = upgrade(&new).json();
    assert_eq!(counted(&told), json!([11, 50, 1, true]), "{told}");
    assert_eq!((&told["from"], &told["to"]), (&json!(own.major), &json!(new.major)));
    assert_eq!(told["settings"], json!(["work_mem = 8MB"]));
    assert!(!left.exists());
    let version = |place: &Path| std::fs::read_to_string(place.join("PG_VERSION")).unwrap().trim().to_owned();
    assert_eq!(version(&kept(&data_dir, own.major)), own.major.to_string());
    assert_eq!(version(&data_dir.join("postgres")), new.major.to_string());

    let mut upgraded = serve(env, &on_path(&new), &data_dir);
    goes_on(&with_key_of(&upgraded, &key));
    let running = locate_running(&data_dir).expect("a running server");
    let sql = Sql::connect(&running.url(OWNER, "tidegate"));
    assert_eq!(sql.one::<String>("SHOW server_version").split(['.', ' ']).next().unwrap(), new.major.to_string());
    assert_eq!(Sql::bare(&running.url("eve", "tidegate")).one::<i64>("SELECT count(*) FROM events"), 13);
    drop(sql);
    assert_eq!(upgraded.stop(), Some(0));
    refused(&run(env, &on_path(&new), &data_dir, &["upgrade", "--to-bin", bin_dir(&new)]), &["nothing to upgrade"]);

    // Ended between the two renames: nothing is made in the empty place, and the next try ends it.
    std::fs::create_dir(&left)?;
    std::fs::write(left.join("whole"), "")?;
    std::fs::rename(data_dir.join("postgres"), left.join("postgres"))?;
    let start = run(env, &on_path(&new), &data_dir, &["serve", "--listen", "127.0.0.1:0"]);
    refused(&start, &["was ended at its last step", "tidegate upgrade"]);
    assert_eq!(upgrade(&new).json(), json!({ "ended": true }));
    let listed = run(env, &on_path(&new), &data_dir, &["readers", "list", "--json"]).json();
    assert_eq!(listed[0]["name"], "eve", "{listed}");
    Ok(())
}
