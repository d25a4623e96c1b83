//! Faults in real processes: what was acknowledged is stored, once.

use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use serde_json::Value;
use tidegate::storage::embedded::{OWNER, locate_running};

use crate::books::Books;
use crate::client::Client;
use crate::env::{Engine, Env, Test, TestResult, until};
use crate::postgres::Sql;
use crate::process::{Running, Tidegate, pid_in};
use crate::proxy::{Cut, Proxy};
use crate::recovery::waits_for_a_lock;
use crate::samples::{array, event};
use crate::tests;
use crate::traffic::{Patience, Traffic, assert_stored};

pub const TESTS: &[Test] = tests!(
    postgres_killed_under_load,
    a_cluster_that_is_removed_is_not_replaced,
    tidegate_killed_under_load,
    a_commit_whose_answer_is_lost,
    a_commit_that_never_arrives,
    commits_lost_under_load,
    the_database_away_for_a_moment,
    stopped_under_load,
    idle_connections_when_stopping,
    a_second_signal_stops_at_once,
    one_data_directory_one_process,
    a_command_without_the_setting_leaves_the_engine,
    a_command_that_is_stopped_takes_its_server_along,
);

fn data_dir(env: &Env) -> PathBuf {
    env.path().join("data")
}

/// `tidegate serve` with a PostgreSQL of its own.
fn serve_embedded(env: &Env) -> Tidegate {
    let engine = format!("engine={}", env.engine.as_str());
    let flags = ["--data-dir", data_dir(env).to_str().unwrap(), "--set", &engine].map(str::to_owned);
    Tidegate::serve(env, &[], &flags)
}

fn embedded_sql(env: &Env) -> Sql {
    let running = locate_running(&data_dir(env)).expect("a running server");
    Sql::connect(&running.url(OWNER, "tidegate"))
}

fn postgres_killed_under_load(env: &Env) -> TestResult {
    let mut tidegate = serve_embedded(env);
    let traffic = Traffic::start(&tidegate.client, Patience::Retry);
    let pid_file = data_dir(env).join("postgres/postmaster.pid");
    let mut killed = Vec::new();
    for _ in 0..2 {
        traffic.flows(40);
        let pid = until("a postmaster that has not been killed yet", || {
            pid_in(&pid_file).filter(|pid| !killed.contains(pid))
        });
        kill(pid, Signal::SIGKILL)?;
        killed.push(pid);
        // The spool takes requests meanwhile: that they flow does not say that the server is back.
        until("the kill was noticed", || {
            let ended = Books::of(&tidegate.client).get("tidegate_embedded_restarts_total").round();
            (ended == f64::from(u32::try_from(killed.len()).unwrap())).then_some(())
        });
        until("the database takes batches again", || {
            (tidegate.client.get("/readyz").json()["status"] == "ready").then_some(())
        });
        traffic.flows(40);
    }
    let acknowledged = traffic.finish();
    Books::drained(&tidegate.client);
    let sql = embedded_sql(env);
    assert_eq!(assert_stored(&sql, &acknowledged), acknowledged.len());
    assert!(tidegate.log().contains("embedded PostgreSQL ended by itself"));
    assert!(Books::of(&tidegate.client).get("tidegate_embedded_restarts_total") > 1.5);
    Books::of(&tidegate.client).assert_balanced();
    drop(sql);
    assert_eq!(tidegate.stop(), Some(0));
    Ok(())
}

/// An empty one in its place would look like a database without rows, and another each time that it ended.
fn a_cluster_that_is_removed_is_not_replaced(env: &Env) -> TestResult {
    let mut tidegate = serve_embedded(env);
    assert_eq!(tidegate.client.post("/v1/events", &[], array([event(1)])).json()["accepted"], 1);
    Books::drained(&tidegate.client);
    let (place, aside) = (data_dir(env).join("postgres"), data_dir(env).join("aside"));
    let pid = pid_in(&place.join("postmaster.pid")).expect("a postmaster");
    std::fs::rename(&place, &aside)?;
    kill(pid, Signal::SIGKILL)?;
    until("it was told twice", || (tidegate.log().matches("was removed while Tidegate ran").count() > 1).then_some(()));
    assert!(std::fs::symlink_metadata(&place).is_err(), "nothing was made in its place");
    std::fs::rename(&aside, &place)?;
    until("the database takes batches again", || {
        (tidegate.client.get("/readyz").json()["status"] == "ready").then_some(())
    });
    let sql = embedded_sql(env);
    assert_eq!(sql.count("events"), 1);
    drop(sql);
    assert_eq!(tidegate.stop(), Some(0));
    Ok(())
}

fn tidegate_killed_under_load(env: &Env) -> TestResult {
    let mut tidegate = serve_embedded(env);
    let traffic = Traffic::start(&tidegate.client, Patience::Retry);
    for _ in 0..2 {
        traffic.flows(40);
        tidegate.kill();
        tidegate = serve_embedded(env);
        traffic.redirect(&tidegate.client);
        traffic.flows(40);
    }
    assert!(traffic.failures() > 0, "the senders noticed nothing");
    let acknowledged = traffic.finish();
    Books::drained(&tidegate.client);
    assert_eq!(assert_stored(&embedded_sql(env), &acknowledged), acknowledged.len());
    assert_eq!(tidegate.stop(), Some(0));
    Ok(())
}

/// `tidegate serve` whose writers and readers go through the proxy.
fn serve_through(env: &Env, proxy: &Proxy) -> Tidegate {
    Tidegate::serve(env, &env.variables_through(proxy), &[])
}

fn cut(env: &Env, at: Cut) -> TestResult {
    let proxy = Proxy::start(&env.socket());
    // With a spool, what is not written within 3 s of the loss would be answered 202.
    let flags = ["--set".to_owned(), "spool.enabled=false".to_owned()];
    let tidegate = Tidegate::serve(env, &env.variables_through(&proxy), &flags);
    let body = array([event(0), event(1), "{}".into()]);
    proxy.cut_next(at);
    let keyed = tidegate.client.keyed("k", &body).accepted(2, 1);
    assert_eq!((proxy.cuts(), &keyed["duplicate"]), (1, &false.into()));
    assert_eq!(tidegate.client.repeated("k", &body).accepted(2, 1)["duplicate"], true);
    let sql = env.sql();
    assert_eq!((sql.count("events"), sql.count("dead_letter_events")), (2, 1));
    proxy.cut_next(at);
    tidegate.client.events(&body).accepted(2, 1);
    assert_eq!(proxy.cuts(), 2);
    assert_eq!((sql.count("events"), sql.count("dead_letter_events")), (4, 2));
    // Nothing but dead letters: neither manifest nor ledger row tells that it was committed.
    proxy.cut_next(at);
    tidegate.client.events("[{},{}]").expect(422);
    assert_eq!((proxy.cuts(), sql.count("events"), sql.count("dead_letter_events")), (3, 4, 4));
    let expected = [("received", 11), ("committed", 4), ("dead_lettered", 4), ("deduplicated", 3)];
    Books::of(&tidegate.client).assert_items(&expected);
    Ok(())
}

fn a_commit_whose_answer_is_lost(env: &Env) -> TestResult {
    cut(env, Cut::AfterCommit)
}

fn a_commit_that_never_arrives(env: &Env) -> TestResult {
    cut(env, Cut::BeforeCommit)
}

fn commits_lost_under_load(env: &Env) -> TestResult {
    let proxy = Proxy::start(&env.socket());
    let tidegate = serve_through(env, &proxy);
    let traffic = Traffic::start(&tidegate.client, Patience::Retry);
    for round in 1..=10 {
        proxy.cut_next(if round % 2 == 0 { Cut::AfterCommit } else { Cut::BeforeCommit });
        until("a COMMIT is lost", || (proxy.cuts() == round).then_some(()));
        traffic.flows(4);
    }
    let acknowledged = traffic.finish();
    Books::drained(&tidegate.client);
    assert_eq!(assert_stored(&env.sql(), &acknowledged), acknowledged.len());
    Books::of(&tidegate.client).assert_balanced();
    Ok(())
}

fn the_database_away_for_a_moment(env: &Env) -> TestResult {
    let proxy = Proxy::start(&env.socket());
    let tidegate =
        Tidegate::serve(env, &env.variables_through(&proxy), &["--set".into(), "spool.enabled=false".into()]);
    tidegate.client.events(event(0)).accepted(1, 0);
    tidegate.client.get("/readyz").expect(200);
    proxy.away();
    let not_ready = tidegate.client.get("/readyz").expect(503);
    let reason = |answer: &Value| answer["reason"].as_str().unwrap().to_owned();
    assert!(reason(&not_ready).contains("the database cannot be asked"), "{not_ready}");
    // Who may not know where the database is hears the kind only, also with a key that is none.
    for client in [tidegate.anonymous(), Client::new(&tidegate.client.address, Some("tg_nonsense"))] {
        let told = reason(&client.get("/readyz").expect(503));
        assert!(told.ends_with("it is away, cannot be connected to, or refuses work for now"), "{told}");
        assert!(reason(&not_ready).starts_with(&told) && reason(&not_ready).len() > told.len(), "{not_ready}");
    }
    tidegate.client.get("/v1/events").problem(503, "database_unavailable");
    let refused = proxy.refused();
    std::thread::scope(|scope| {
        let request = scope.spawn(|| tidegate.client.events(event(1)));
        until("the writer tries in vain", || (proxy.refused() > refused + 1).then_some(()));
        proxy.back();
        request.join().unwrap().accepted(1, 0);
    });
    tidegate.client.get("/readyz").expect(200);
    assert_eq!(env.sql().count("events"), 2);
    Books::of(&tidegate.client).assert_items(&[("received", 2), ("committed", 2)]);
    Ok(())
}

fn stopped_under_load(env: &Env) -> TestResult {
    let mut tidegate = env.serve();
    let traffic = Traffic::start(&tidegate.client, Patience::GiveUp);
    traffic.flows(40);
    assert_eq!(tidegate.stop(), Some(0));
    let acknowledged = traffic.finish();
    assert!(acknowledged.len() >= 40);
    assert_stored(&env.sql(), &acknowledged);
    Ok(())
}

fn idle_connections_when_stopping(env: &Env) -> TestResult {
    let mut tidegate = env.serve();
    let _idle = TcpStream::connect(&tidegate.client.address)?;
    let mut half = TcpStream::connect(&tidegate.client.address)?;
    half.write_all(b"POST /v1/events HTTP/1.1\r\nhost: t\r\n")?;
    tidegate.client.events(event(0)).accepted(1, 0);
    assert_eq!(tidegate.stop(), Some(0));
    Ok(())
}

fn a_second_signal_stops_at_once(env: &Env) -> TestResult {
    let mut tidegate = env.serve();
    tidegate.client.events(event(0)).accepted(1, 0);
    // A request that cannot end keeps the first signal from taking effect.
    let blocker = env.sql();
    blocker.run("BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE");
    let client = tidegate.client.clone();
    let headers = [("content-type", "application/json"), ("idempotency-key", "k")];
    let stuck = std::thread::spawn(move || client.send("POST", "/v1/events", &headers, event(1).as_bytes()));
    waits_for_a_lock(env, "writer");
    tidegate.signal(Signal::SIGTERM);
    until("it is stopping", || tidegate.log().contains("a second signal stops at once").then_some(()));
    tidegate.signal(Signal::SIGTERM);
    let status = tidegate.wait();
    assert!(status.code().is_some_and(|code| code != 0), "{status}");
    assert!(stuck.join().unwrap().map(|answer| answer.status).unwrap_or(503) != 200, "nothing was stored");
    blocker.run("ROLLBACK");
    let again = env.serve();
    until("the request is written, once", || {
        let answer = again.client.keyed("k", event(1));
        (answer.status == 200).then(|| answer.accepted(1, 0))
    });
    assert_eq!(env.sql().count("events"), 2);
    Ok(())
}

fn one_data_directory_one_process(env: &Env) -> TestResult {
    let mut tidegate = serve_embedded(env);
    let dir = data_dir(env);
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--data-dir", dir.to_str().unwrap()];
    let second = crate::process::Finished::run(env, &[], &arguments);
    assert!(second.code == Some(1) && second.stderr.contains("in use by process"), "{second:?}");
    // Commands find the running server.
    let listed =
        crate::process::Finished::run(env, &[], &["orgs", "list", "--json", "--data-dir", dir.to_str().unwrap()]);
    assert_eq!(listed.json()[0]["tenant_id"], "default");
    tidegate.client.events(event(1)).accepted(1, 0);
    assert_eq!(tidegate.stop(), Some(0));
    Ok(())
}

/// It starts the server with what there is on the machine, which must not make another database of it.
fn a_command_without_the_setting_leaves_the_engine(env: &Env) -> TestResult {
    assert_eq!(serve_embedded(env).stop(), Some(0));
    let dir = data_dir(env);
    let listed =
        crate::process::Finished::run(env, &[], &["orgs", "list", "--json", "--data-dir", dir.to_str().unwrap()]);
    assert_eq!(listed.json()[0]["tenant_id"], "default");
    let mut tidegate = serve_embedded(env);
    tidegate.client.events(event(1)).accepted(1, 0);
    let extensions = "SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'";
    assert_eq!(embedded_sql(env).one::<i64>(extensions), i64::from(env.engine == Engine::Timescale));
    assert_eq!(tidegate.stop(), Some(0));
    Ok(())
}

fn a_command_that_is_stopped_takes_its_server_along(env: &Env) -> TestResult {
    assert_eq!(serve_embedded(env).stop(), Some(0));
    let dir = data_dir(env);
    let pid_file = dir.join("postgres/postmaster.pid");
    assert_eq!(pid_in(&pid_file), None);
    let mut running = Running::start(env, &[], &["lifecycle", "run", "--data-dir", dir.to_str().unwrap()]);
    let postgres = until("its server runs, or has run", || match pid_in(&pid_file) {
        None => running.has_ended().then_some(None),
        pid => Some(pid),
    });
    if postgres.is_some() {
        running.signal(Signal::SIGTERM);
    }
    let finished = running.finish();
    // It may have been done before the signal came; that it ends, and its server with it, holds in any case.
    assert!(finished.code == Some(0) || finished.stderr.contains("stopped by SIGTERM"), "{finished:?}");
    assert_eq!(pid_in(&pid_file), None, "{finished:?}");
    until("it is gone", || postgres.is_none_or(|pid| kill(pid, None).is_err()).then_some(()));
    Ok(())
}
