//! The database dies, freezes, fills up, or answers with an error in the middle of a batch (scenarios 1 to 6, 14).

use std::sync::Arc;

use nix::sys::signal::Signal;

use crate::env::{Env, TestResult, until};
use crate::invariants::Scene;
use crate::postgres::SUPERUSER;
use crate::process::Tidegate;
use crate::proxy::{Cut, Point, Proxy};
use crate::scenario;
use crate::scenario::Scenario;
use crate::senders::Senders;
use crate::told::Told;
use crate::traffic::Patience;

pub const SCENARIOS: &[Scenario] = &[
    scenario!(s02_commit_replies_are_lost),
    scenario!(s04_tidegate_frozen_inside_copy),
    scenario!(s04_a_stuck_backend_is_ended).slow(),
    scenario!(s14_class_40_is_retried_unseen),
    scenario!(s14_a_deadlock),
    scenario!(s14_backends_are_terminated),
];

fn s02_commit_replies_are_lost(env: &Env) -> TestResult {
    let proxy = Proxy::start(&env.socket());
    let tidegate = Tidegate::serve(env, &env.variables_through(&proxy), &[]);
    let told = Arc::new(Told::default());
    // One at a time first: the answer is the usual one, and so is that of a retry.
    for (n, cut) in [Cut::AfterCommit, Cut::BeforeCommit].into_iter().enumerate() {
        let request = told.request(true, 3, 1);
        proxy.cut_next(cut);
        let first = told.send(&tidegate.client, &request).unwrap().accepted(3, 1);
        assert_eq!((proxy.cuts(), &first["duplicate"]), (n + 1, &false.into()));
        let again = told.send(&tidegate.client, &request).unwrap().accepted(3, 1);
        assert_eq!((&again["receipt"], &again["duplicate"]), (&first["receipt"], &true.into()));
    }
    let senders = Senders::start(&told, &tidegate.client, Patience::Retry);
    for round in 3..=10 {
        proxy.cut_next(if round % 2 == 0 { Cut::AfterCommit } else { Cut::BeforeCommit });
        until("a COMMIT is lost", || (proxy.cuts() == round).then_some(()));
        senders.flow(4);
    }
    senders.finish();
    Scene::new(env, &tidegate, &env.sql(), &told).assert_invariants("s02_commit_replies_are_lost");
    Ok(())
}

/// Waits until a writer waits for a lock: jobs may as well, and the relations of all test databases have the same numbers.
pub fn writer_waits(env: &Env) {
    let sql = env.sql_as(SUPERUSER);
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' \
                   AND application_name = 'tidegate writer'";
    until("the writer waits", || (sql.one::<i64>(waiting) > 0).then_some(()));
}

/// Backends of writers that are inside a COPY.
fn inside_copy(env: &Env) -> i64 {
    env.sql_as(SUPERUSER).one(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' \
         AND application_name = 'tidegate writer' AND query LIKE 'COPY events%'",
    )
}

fn s04_tidegate_frozen_inside_copy(env: &Env) -> TestResult {
    let proxy = Proxy::start(&env.socket());
    let frozen = Tidegate::serve(env, &env.variables_through(&proxy), &[]);
    let told = Arc::new(Told::default());
    told.both(&frozen.client, 200);
    let request = told.request(true, 3, 1);
    // Ready before: a COPY has half a minute, and the request less.
    let other = env.serve_with(&["data_dir=other"]);
    proxy.hold_next(Point::CopyDone);
    let answer = std::thread::scope(|scope| {
        let sent = scope.spawn(|| told.send(&frozen.client, &request));
        until("a writer is inside COPY", || (proxy.held() == 1 && inside_copy(env) == 1).then_some(()));
        frozen.freeze();
        // Nobody else waits for it, except a client that sends the very same request.
        told.both(&other.client, 200);
        told.send(&other.client, &request).unwrap().problem(409, "idempotency_key_in_flight");
        let senders = Senders::start(&told, &other.client, Patience::Retry);
        senders.flow(10);
        senders.finish();
        assert_eq!(inside_copy(env), 1, "the frozen one is still there");
        frozen.signal(Signal::SIGCONT);
        proxy.release();
        sent.join().unwrap()
    });
    // Whose time is over when it wakes, its request goes by the spool.
    let answer = answer.expect("an answer");
    assert!(matches!(answer.status, 200 | 202), "{}: {}", answer.status, answer.text());
    let body = answer.json();
    assert_eq!((&body["accepted"], &body["rejected"]), (&3.into(), &1.into()), "{body}");
    Scene::new(env, &frozen, &env.sql(), &told).assert_invariants("s04_tidegate_frozen_inside_copy");
    Ok(())
}

fn s04_a_stuck_backend_is_ended(env: &Env) -> TestResult {
    let proxy = Proxy::start(&env.socket());
    let tidegate = Tidegate::serve(env, &env.variables_through(&proxy), &[]);
    let told = Arc::new(Told::default());
    told.both(&tidegate.client, 200);
    let request = told.request(true, 3, 1);
    proxy.hold_next(Point::CopyDone);
    // The network swallows the end of the COPY and tells nobody.
    let answer = told.send(&tidegate.client, &request).expect("an answer");
    assert!(matches!(answer.status, 202 | 503), "{}: {}", answer.status, answer.text());
    assert_eq!(proxy.held(), 1);
    until("the backend is ended", || (inside_copy(env) == 0).then_some(()));
    until("the request is written", || {
        let answer = told.send(&tidegate.client, &request)?;
        (answer.status == 200).then_some(())
    });
    proxy.release();
    Scene::new(env, &tidegate, &env.sql(), &told).assert_invariants("s04_a_stuck_backend_is_ended");
    Ok(())
}

fn s14_class_40_is_retried_unseen(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let (told, sql) = (Arc::new(Told::default()), env.sql());
    told.both(&tidegate.client, 200);
    // A sequence goes on counting although its transaction is rolled back.
    sql.run(
        "CREATE SEQUENCE failures; GRANT USAGE ON SEQUENCE failures TO PUBLIC; \
         CREATE FUNCTION fail_sometimes() RETURNS trigger LANGUAGE plpgsql AS $$ \
         BEGIN \
           CASE nextval('tidegate.failures') % 4 \
             WHEN 1 THEN RAISE 'could not serialize access' USING ERRCODE = '40001'; \
             WHEN 2 THEN RAISE 'deadlock detected' USING ERRCODE = '40P01'; \
             ELSE NULL; \
           END CASE; \
           RETURN NULL; \
         END $$",
    );
    sql.alter("CREATE TRIGGER fail_sometimes AFTER INSERT ON ingest_batches EXECUTE FUNCTION fail_sometimes()");
    for _ in 0..4 {
        told.both(&tidegate.client, 200);
    }
    let senders = Senders::start(&told, &tidegate.client, Patience::Retry);
    senders.flow(30);
    assert_eq!(senders.failed(), 0, "a sender saw it");
    senders.finish();
    assert!(sql.one::<i64>("SELECT last_value FROM failures") > 12, "nothing failed");
    Scene::new(env, &tidegate, &sql, &told).assert_invariants("s14_class_40_is_retried_unseen");
    Ok(())
}

fn s14_a_deadlock(env: &Env) -> TestResult {
    let superuser = env.sql_as(SUPERUSER);
    // The first one to wait finds the deadlock, and is its victim: the writer, long before the other one looks.
    superuser.run(&format!("ALTER DATABASE {} SET deadlock_timeout = '2s'", env.database()));
    let tidegate = env.serve();
    let told = Arc::new(Told::default());
    told.both(&tidegate.client, 200);
    let other = env.sql_as(SUPERUSER);
    other.run("SET deadlock_timeout = '60s'");
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    until("a deadlock is found", || {
        other.run("BEGIN; LOCK TABLE ingest_batches IN ACCESS EXCLUSIVE MODE");
        let request = told.request(true, 3, 1);
        std::thread::scope(|scope| {
            let (told, client, request) = (&told, &tidegate.client, &request);
            let sent = scope.spawn(move || told.send(client, request).expect("an answer").accepted(3, 1));
            writer_waits(env);
            // It has the events and wants the manifests; this has the manifests and wants the events.
            other.run("LOCK TABLE events IN ACCESS EXCLUSIVE MODE; ROLLBACK");
            sent.join().unwrap();
        });
        (superuser.one::<i64>(deadlocks) > 0).then_some(())
    });
    Scene::new(env, &tidegate, &env.sql(), &told).assert_invariants("s14_a_deadlock");
    Ok(())
}

fn s14_backends_are_terminated(env: &Env) -> TestResult {
    let proxy = Proxy::start(&env.socket());
    let tidegate = Tidegate::serve(env, &env.variables_through(&proxy), &[]);
    let (told, superuser) = (Arc::new(Told::default()), env.sql_as(SUPERUSER));
    let terminate = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE datname = current_database() AND application_name = 'tidegate writer'";
    let senders = Senders::start(&told, &tidegate.client, Patience::Retry);
    for (n, point) in [Point::CopyData, Point::CopyDone, Point::Commit].into_iter().enumerate() {
        senders.flow(4);
        proxy.hold_next(point);
        until("a writer is held", || (proxy.held() == n + 1).then_some(()));
        assert!(superuser.one::<i64>(terminate) > 0);
        proxy.release();
    }
    senders.flow(10);
    assert_eq!(senders.failed(), 0, "a sender saw it");
    senders.finish();
    Scene::new(env, &tidegate, &env.sql(), &told).assert_invariants("s14_backends_are_terminated");
    Ok(())
}
