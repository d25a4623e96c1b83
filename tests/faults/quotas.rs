//! A tenant far beyond its quota, and what the others see of it (scenario 34).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use crate::client::{Client, Key};
use crate::env::{Env, TestResult, until};
use crate::process::Tidegate;
use crate::scenario;
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::told::Told;

pub const SCENARIOS: &[Scenario] = &[scenario!(s34_a_greedy_tenant), scenario!(s34_a_greedy_tenant_during_a_drain)];

/// Events a second that the greedy tenant may send; it sends as fast as it can.
const QUOTA: &str = "200";
const GREEDY_EVENTS: usize = 100;
const OTHERS: usize = 3;
/// Requests of each of the others, before and during.
const REQUESTS: usize = 60;

/// A key with a limit.
fn limited_key(env: &Env) -> Key {
    drop(env.key("greedy", "ingest"));
    let arguments = ["--events-per-second", QUOTA, "--burst", "1s", "--json"];
    let made = env.cli(&[&["keys", "create", "--org", "greedy", "--scopes", "ingest"][..], &arguments].concat());
    Key::parse(&made.json())
}

/// Each of the others sends its requests one after another, all of which are answered 200; the time that each took.
fn others(told: &Told, clients: &[Client]) -> Vec<Duration> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = clients
            .iter()
            .map(|client| {
                scope.spawn(move || {
                    (0..REQUESTS)
                        .map(|_| {
                            let started = Instant::now();
                            let answer = told.send(client, &told.request(true, 3, 1)).expect("an answer");
                            answer.accepted(3, 1);
                            started.elapsed()
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("nothing but 200")).collect()
    })
}

/// Reported, not asserted: on a machine that does other things as well, a test that compared times would fail by chance.
fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

/// Sends without pause until it is told to stop; how often it was answered 429.
fn greed(told: &Told, client: &Client, stop: &AtomicBool, refused: &AtomicUsize) {
    while !stop.load(SeqCst) {
        let answer = told.send(client, &told.request(false, GREEDY_EVENTS, 0)).expect("an answer");
        if answer.status == 429 {
            answer.problem(429, "rate_limited");
            assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds >= 1), "{answer:?}");
            refused.fetch_add(1, SeqCst);
        } else {
            // While the database is away it may fill the spool.
            assert!(matches!(answer.status, 200 | 202 | 503), "{}: {}", answer.status, answer.text());
        }
    }
}

/// The others beside the greedy one, from when that has met its limit.
fn beside(
    told: &Told,
    tidegate: &Tidegate,
    greedy: &Key,
    clients: &[Client],
    meanwhile: impl FnOnce(),
) -> Vec<Duration> {
    let (stop, refused) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let client = tidegate.with(greedy);
        let (stop, refused) = (&stop, &refused);
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let client = client.clone();
                scope.spawn(move || greed(told, &client, stop, refused))
            })
            .collect();
        until("the greedy tenant is refused", || (refused.load(SeqCst) >= 10).then_some(()));
        meanwhile();
        let times = others(told, clients);
        stop.store(true, SeqCst);
        threads.into_iter().for_each(|thread| thread.join().expect("nothing but 200 and 429"));
        times
    })
}

fn clients(env: &Env, tidegate: &Tidegate) -> Vec<Client> {
    (0..OTHERS).map(|n| tidegate.with(&env.key(&format!("other-{n}"), "ingest"))).collect()
}

fn report(env: &Env, name: &str, before: Vec<Duration>, during: Vec<Duration>) {
    println!("{}: {name}: p99 of the others {:?} before, {:?} during", env.engine.as_str(), p99(before), p99(during));
}

fn s34_a_greedy_tenant(env: &Env) -> TestResult {
    let stage = Stage::new(env);
    let tidegate = stage.serve();
    let (greedy, clients) = (limited_key(env), clients(env, &tidegate));
    let before = others(&stage.told, &clients);
    let during = beside(&stage.told, &tidegate, &greedy, &clients, || {});
    report(env, "s34_a_greedy_tenant", before, during);
    stage.told.both(&tidegate.client, 200);
    stage.assert_invariants(&tidegate, "s34_a_greedy_tenant");
    Ok(())
}

fn s34_a_greedy_tenant_during_a_drain(env: &Env) -> TestResult {
    let stage = Stage::new(env);
    let tidegate = stage.serve();
    let (greedy, clients) = (limited_key(env), clients(env, &tidegate));
    let told = Arc::clone(&stage.told);
    let before = others(&told, &clients);
    // Known keys, a spool that takes a while to drain, and a greedy one meanwhile.
    told.both(&tidegate.with(&greedy), 200);
    stage.away(&tidegate);
    for _ in 0..100 {
        told.send(&tidegate.client, &told.request_of(false, 20, 0, 200)).expect("an answer").expect(202);
    }
    let during = beside(&told, &tidegate, &greedy, &clients, || {
        stage.proxy.back();
        // From here on the database takes requests again; what was spooled goes on draining beside them.
        until("a request is committed", || {
            let answer = told.send(&clients[0], &told.request(true, 3, 1))?;
            (answer.status == 200).then_some(())
        });
    });
    report(env, "s34_a_greedy_tenant_during_a_drain", before, during);
    stage.drained(&tidegate);
    stage.assert_invariants(&tidegate, "s34_a_greedy_tenant_during_a_drain");
    Ok(())
}
