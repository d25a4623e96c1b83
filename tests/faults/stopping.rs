//! Tidegate is told to stop (scenarios 15 and 16).

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;

use nix::sys::signal::Signal;

use crate::env::{Env, TestResult, until};
use crate::invariants::Scene;
use crate::scenario;
use crate::scenario::Scenario;
use crate::senders::Senders;
use crate::told::Told;
use crate::traffic::Patience;

pub const SCENARIOS: &[Scenario] = &[
    scenario!(s15_stopped_under_load),
    scenario!(s15_idle_connections_delay_nothing),
    scenario!(s16_a_second_signal),
    scenario!(s16_the_deadline).slow(),
];

fn s15_stopped_under_load(env: &Env) -> TestResult {
    let told = Arc::new(Told::default());
    let mut tidegate = env.serve();
    let senders = Senders::start(&told, &tidegate.client, Patience::Retry);
    for _ in 0..3 {
        senders.flow(10);
        assert_eq!(tidegate.stop(), Some(0), "{}", tidegate.log());
        tidegate = env.serve();
        senders.redirect(&tidegate.client);
    }
    senders.flow(10);
    senders.finish();
    Scene::new(env, &tidegate, &env.sql(), &told).assert_invariants("s15_stopped_under_load");
    Ok(())
}

fn s15_idle_connections_delay_nothing(env: &Env) -> TestResult {
    let told = Arc::new(Told::default());
    let mut tidegate = env.serve();
    let _idle = TcpStream::connect(&tidegate.client.address)?;
    let mut half_a_head = TcpStream::connect(&tidegate.client.address)?;
    half_a_head.write_all(b"POST /v1/events HTTP/1.1\r\nhost: t\r\n")?;
    told.both(&tidegate.client, 200);
    assert_eq!(tidegate.stop(), Some(0), "{}", tidegate.log());
    let again = env.serve();
    told.both(&again.client, 200);
    Scene::new(env, &again, &env.sql(), &told).assert_invariants("s15_idle_connections_delay_nothing");
    Ok(())
}

/// A request that the database does not finish, and a process that was asked to stop meanwhile; `end` makes it end.
fn stopped_with_a_stuck_request(env: &Env, name: &str, end: impl FnOnce(&crate::process::Tidegate)) -> TestResult {
    let told = Arc::new(Told::default());
    // Nothing takes its place on disk: it is either written or refused.
    let mut tidegate = env.serve();
    told.both(&tidegate.client, 200);
    let blocker = env.sql();
    blocker.run("BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE");
    let request = told.request(true, 3, 1);
    std::thread::scope(|scope| -> TestResult {
        let (client, request, told) = (tidegate.client.clone(), &request, &told);
        let stuck = scope.spawn(move || told.send(&client, request));
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'tidegate.events'::regclass";
        until("the writer waits", || (blocker.one::<i64>(waiting) > 0).then_some(()));
        tidegate.signal(Signal::SIGTERM);
        until("it is stopping", || tidegate.log().contains("a second signal stops at once").then_some(()));
        end(&tidegate);
        let status = tidegate.wait();
        assert!(status.code().is_some_and(|code| code != 0), "{status}");
        let answer = stuck.join().unwrap();
        assert!(answer.is_none_or(|answer| answer.status != 200), "nothing was stored");
        Ok(())
    })?;
    blocker.run("ROLLBACK");
    let again = env.serve();
    until("the request is written", || {
        let answer = told.send(&again.client, &request)?;
        (answer.status == 200).then(|| answer.accepted(3, 1))
    });
    told.both(&again.client, 200);
    Scene::new(env, &again, &env.sql(), &told).assert_invariants(name);
    Ok(())
}

fn s16_a_second_signal(env: &Env) -> TestResult {
    stopped_with_a_stuck_request(env, "s16_a_second_signal", |tidegate| tidegate.signal(Signal::SIGTERM))
}

fn s16_the_deadline(env: &Env) -> TestResult {
    stopped_with_a_stuck_request(env, "s16_the_deadline", |_| {})
}
