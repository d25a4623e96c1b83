//! Tidegate is told to stop (scenarios 15 and 16).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::books::Books;
use crate::database::writer_waits;
use crate::env::{Env, TestResult, until};
use crate::invariants::Scene;
use crate::process::Tidegate;
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

fn s16_a_second_signal(env: &Env) -> TestResult {
    let told = Arc::new(Told::default());
    let mut tidegate = env.serve();
    told.both(&tidegate.client, 200);
    // A request that cannot end keeps the first signal from taking effect.
    let blocker = env.sql();
    blocker.run("BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE");
    let request = told.request(true, 3, 1);
    std::thread::scope(|scope| {
        let (client, request, told) = (tidegate.client.clone(), &request, &told);
        let stuck = scope.spawn(move || told.send(&client, request));
        writer_waits(env);
        is_stopping(&tidegate);
        tidegate.signal(Signal::SIGTERM);
        assert_not_in_order(&mut tidegate);
        let answer = stuck.join().unwrap();
        assert!(answer.is_none_or(|answer| answer.status != 200), "nothing was stored");
    });
    blocker.run("ROLLBACK");
    let again = env.serve();
    until("the request is written", || {
        let answer = told.send(&again.client, &request)?;
        (answer.status == 200).then(|| answer.accepted(3, 1))
    });
    told.both(&again.client, 200);
    Scene::new(env, &again, &env.sql(), &told).assert_invariants("s16_a_second_signal");
    Ok(())
}

fn is_stopping(tidegate: &Tidegate) {
    tidegate.signal(Signal::SIGTERM);
    until("it is stopping", || tidegate.log().contains("a second signal stops at once").then_some(()));
}

fn assert_not_in_order(tidegate: &mut Tidegate) {
    let status = tidegate.wait();
    assert!(status.code().is_some_and(|code| code != 0), "{status}: {}", tidegate.log());
}

/// Longer than the deadline for stopping allows, at a rate that no limit objects to.
const UPLOAD_BYTES: usize = 16 << 20;

fn s16_the_deadline(env: &Env) -> TestResult {
    let told = Arc::new(Told::default());
    let mut tidegate = env.serve();
    told.both(&tidegate.client, 200);
    // An upload that goes on and on keeps its connection busy.
    let request = told.request(true, 3, 1);
    let mut upload = TcpStream::connect(&tidegate.client.address)?;
    write!(
        upload,
        "POST /v1/events HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {}\r\nidempotency-key: {}\r\n\
         content-type: application/json\r\ncontent-length: {UPLOAD_BYTES}\r\n\r\n",
        tidegate.client.key(),
        request.key.as_deref().unwrap()
    )?;
    upload.write_all(&request.body)?;
    // A connection that was not taken up yet would not be waited for.
    until("the upload is being read", || {
        (Books::of(&tidegate.client).get("tidegate_body_bytes_held") > 0.0).then_some(())
    });
    std::thread::scope(|scope| {
        let slow = scope.spawn(move || {
            upload.set_read_timeout(Some(PACE)).unwrap();
            let (mut sent, mut answer) = (request.body.len(), Vec::new());
            while sent < UPLOAD_BYTES && upload.write_all(&[b' '; PIECE]).is_ok() {
                sent += PIECE;
                // The pace of the upload: it waits in vain for an answer.
                let mut buffer = [0; 1024];
                match upload.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(size) => answer.extend_from_slice(&buffer[..size]),
                    Err(_) => {}
                }
            }
            answer
        });
        is_stopping(&tidegate);
        assert_not_in_order(&mut tidegate);
        assert_eq!(String::from_utf8_lossy(&slow.join().unwrap()), "", "nothing was promised");
    });
    let again = env.serve();
    told.both(&again.client, 200);
    Scene::new(env, &again, &env.sql(), &told).assert_invariants("s16_the_deadline");
    Ok(())
}

/// About 200 KiB/s.
const PIECE: usize = 2048;
const PACE: Duration = Duration::from_millis(10);
