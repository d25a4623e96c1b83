//! Streams against what nobody should do: tickets that are forged, over, or of something else, and crowds that follow or come back again
//! and again.

use std::io::{Read, Write};
use std::net::TcpStream;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::client::Client;
use crate::env::{Env, Test, TestResult};
use crate::groups::{filled, make, offsets, take, wait};
use crate::samples::encode;
use crate::server_sent::Feed;
use crate::streams::{follow, numbers, page, reaches, send};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    tickets_that_are_forged_or_over_open_nothing,
    what_connects_again_and_again_with_junk_leaves_nothing,
    crowds_that_follow_cost_little_and_are_all_told,
    one_tenants_crowd_keeps_no_other_out,
);

/// HMAC-SHA256 under the hash of a secret, as RFC 2104 has it.
fn hmac(secret: &str, message: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    block[..32].copy_from_slice(&Sha256::digest(secret));
    let padded = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().into()
}

/// A ticket made by somebody who has read the secret.
fn ticket(secret: &str, key: Uuid, stream: &str, expires_us: i64) -> String {
    let signed = [&[1][..], key.as_bytes(), &expires_us.to_be_bytes()].concat();
    let mac = hmac(secret, &[&signed, stream.as_bytes()].concat());
    URL_SAFE_NO_PAD.encode([&signed[..], &mac].concat())
}

fn tickets_that_are_forged_or_over_open_nothing(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["log.level=debug"]);
    let client = &tidegate.client;
    let other = tidegate.with(&env.key("other", "ingest,read,consume"));
    for client in [client, &other] {
        send(client, "s", 0, 2);
        reaches(client, "s", 2);
    }
    make(client, "s", json!({ "name": "g" }));
    let [reader, ingest] = ["consume", "ingest"].map(|scopes| env.key("default", scopes));
    let anonymous = tidegate.anonymous();
    let of = |ticket: &str| anonymous.get(&format!("/v1/streams/s/events?ticket={ticket}"));

    // As many times as one likes, as long as it is good.
    let made = tidegate.with(&reader).post("/v1/streams/s/tickets", &[], "").expect(200);
    let text = made["ticket"].as_str().unwrap();
    for _ in 0..3 {
        assert_eq!(numbers(&of(text).expect(200)).len(), 2);
    }
    // Nowhere else, and for nothing else.
    for place in ["/v1/streams/s", "/v1/streams", "/v1/streams/s/groups", "/v1/streams/s/groups/g/events", "/v1/events"]
    {
        anonymous.get(&format!("{place}?ticket={text}")).problem(401, "unauthorized");
    }
    for place in ["/v1/streams/s/tickets", "/v1/events", "/v1/streams/s/groups", "/v1/streams/s/groups/g/offset"] {
        anonymous.post(&format!("{place}?ticket={text}"), &[], "{}").problem(401, "unauthorized");
    }
    // Not as a key, and not twice.
    let as_key = Client::new(&client.address, Some(text));
    as_key.get("/v1/streams/s/events").problem(401, "unauthorized");
    let twice = anonymous.get(&format!("/v1/streams/s/events?ticket={text}&ticket={text}"));
    assert!(matches!(twice.status, 400 | 401), "{}", twice.text());
    for junk in ["%00", "%FF", "AAAA", &"A".repeat(8000), &encode("ü"), &format!("{text}A"), &text[..text.len() - 1]] {
        let answer = of(junk);
        assert!(matches!(answer.status, 400 | 401), "{junk}: {}", answer.text());
    }
    // Who has the secret could make them; and each part of what is signed counts.
    let secret: String = env.sql().one("SELECT secret FROM ticket_secret");
    let now = jiff::Timestamp::now().as_microsecond();
    let [key, of_ingest] = [&reader, &ingest].map(|key| key.id().parse::<Uuid>().unwrap());
    let minute = 60_000_000;
    assert_eq!(numbers(&of(&ticket(&secret, key, "s", now + minute)).expect(200)).len(), 2);
    for forged in [
        ticket(&secret, key, "s", now - 1),
        ticket(&secret, key, "t", now + minute),
        ticket(&secret, key, "", now + minute),
        ticket(&secret, Uuid::nil(), "s", now + minute),
        ticket("", key, "s", now + minute),
    ] {
        of(&forged).problem(401, "unauthorized");
    }
    of(&ticket(&secret, of_ingest, "s", now + minute)).problem(403, "forbidden");
    // One of another tenant opens the stream of that tenant, whatever it is called.
    send(&other, "s", 2, 1);
    reaches(&other, "s", 3);
    let of_other = other.post("/v1/streams/s/tickets", &[], "").expect(200);
    assert_eq!(numbers(&of(of_other["ticket"].as_str().unwrap()).expect(200)).len(), 3);
    let log = tidegate.log();
    for secret in [text, &secret, &reader.text] {
        assert!(!log.contains(secret), "the log has a ticket, or what makes one");
    }
    Ok(())
}

fn what_connects_again_and_again_with_junk_leaves_nothing(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(client, "s", 6);
    let first = page(client, "s", "limit=1")["cursor"].as_str().unwrap().to_owned();
    let (long, cut) = ("A".repeat(4000), &first[..first.len() - 2]);
    let junk = ["-1", "7", "null", "{}", "a b", "'; --", "\t1", &long, cut, "AwAAAAAAAAAAAAAAAAAAAAAAWzEsMSwxXQ"];
    for round in 0..30 {
        for id in junk {
            let headers = [("accept", "text/event-stream"), ("last-event-id", id)];
            let answer = client.get_as("/v1/streams/s/events", &headers);
            assert!(matches!(answer.status, 400 | 404), "{round}: {id}: {}", answer.text());
        }
        // No text at all.
        let mut stream = TcpStream::connect(&client.address)?;
        let key = client.key();
        write!(stream, "GET /v1/streams/s/events HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {key}\r\n")?;
        stream.write_all(b"accept: text/event-stream\r\nconnection: close\r\nlast-event-id: \xc3\xbc\xff\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        assert!(answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
        // Those that come and go at once, some before they are answered.
        let head = format!("host: t\r\nauthorization: Bearer {}\r\nlast-event-id: {first}\r\n", client.key());
        for n in 0..8 {
            let mut stream = TcpStream::connect(&client.address)?;
            write!(stream, "GET /v1/streams/s/events HTTP/1.1\r\naccept: text/event-stream\r\n{head}\r\n")?;
            if n % 2 == 0 {
                stream.read_exact(&mut [0; 8])?;
            }
        }
    }
    follow(client, 0);
    let mut feed = Feed::of(client, "offset=latest", &format!("last-event-id: {first}\r\n"));
    let offsets: Vec<i64> = (0..5).map(|_| feed.next().expect("an event").1["offset"].as_i64().unwrap()).collect();
    assert_eq!(offsets, [1, 2, 3, 4, 5]);
    Ok(())
}

fn crowds_that_follow_cost_little_and_are_all_told(env: &Env) -> TestResult {
    const TENANTS: usize = 4;
    const EACH: usize = 250;
    /// A connection, and who reads from it: what was seen is 30 to 40 KiB.
    const BYTES_EACH: u64 = 96 << 10;
    let tidegate = env.serve_with(&["limits.connections=4096", "limits.connections_per_address=4096"]);
    let tenants: Vec<Client> =
        (0..TENANTS).map(|n| tidegate.with(&env.key(&format!("org{n}"), "ingest,read,consume"))).collect();
    for tenant in &tenants {
        send(tenant, "s", 0, 1);
        reaches(tenant, "s", 1);
    }
    let before = tidegate.resident_bytes();
    let mut feeds: Vec<Feed> =
        tenants.iter().flat_map(|tenant| (0..EACH).map(move |_| Feed::of(tenant, "offset=latest", ""))).collect();
    follow(&tidegate.client, TENANTS * EACH);
    let grown = tidegate.resident_bytes().saturating_sub(before);
    let sessions: i64 = env.sql().one(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'tidegate %'",
    );
    println!(
        "{}: {} who follow hold {} KiB each, and {sessions} sessions of the database",
        env.engine.as_str(),
        TENANTS * EACH,
        grown / 1024 / (TENANTS * EACH) as u64
    );
    assert!(grown < BYTES_EACH * (TENANTS * EACH) as u64, "{grown} bytes more are resident");
    // Others are served, and all are told.
    assert_eq!(numbers(&page(&tenants[0], "s", "offset=0")).len(), 1);
    tenants.iter().for_each(|tenant| send(tenant, "s", 1, 1));
    for feed in &mut feeds {
        assert_eq!(feed.next().expect("an event").1["offset"], 1);
    }
    drop(feeds);
    follow(&tidegate.client, 0);
    Ok(())
}

fn one_tenants_crowd_keeps_no_other_out(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    let other = tidegate.with(&env.key("other", "ingest,read,consume"));
    for client in [client, &other] {
        filled(client, "s", 2);
        make(client, "s", json!({ "name": "g", "start": "latest" }));
    }
    let crowd: Vec<Feed> = (0..256).map(|_| Feed::of(client, "offset=latest", "")).collect();
    follow(client, 256);
    for place in ["/v1/streams/s/events?offset=latest&wait=5s", "/v1/streams/s/groups/g/events?wait=5s&member=m"] {
        let full = client.get(place);
        full.problem(429, "too_many_followers");
        assert!(full.header("retry-after").parse::<u32>().unwrap() > 0);
    }
    let refused = Feed::of(client, "offset=latest", "");
    assert!(refused.head.starts_with("HTTP/1.1 429"), "{}", refused.head);
    // Who does not wait is served, and another tenant in every way.
    assert_eq!(numbers(&page(client, "s", "offset=0")).len(), 2);
    take(client, "s", "g", "member=m");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| wait(&other, "s", "g", "member=m"));
        follow(client, 257);
        send(&other, "s", 2, 1);
        assert_eq!(offsets(&waiting.join().unwrap()), [2]);
    });
    drop(crowd);
    follow(client, 0);
    assert_eq!(numbers(&page(client, "s", "offset=latest&wait=100ms")), []);
    Ok(())
}
