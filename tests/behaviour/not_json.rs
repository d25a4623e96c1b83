//! Requests that are wrong as a whole: what they are answered, and what is kept of them.

use crate::books::Books;
use crate::client::Client;
use crate::env::{Env, Test, TestResult};
use crate::samples::{batch, event, gzip};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    text_is_kept_as_one_dead_letter,
    a_truncated_array_keeps_what_was_whole,
    lines_that_are_no_json,
    bodies_without_an_item,
    unknown_content_types,
    unknown_encodings,
    corrupt_compression,
    bodies_over_the_limit,
    bombs,
    too_many_items,
    mistyped_parameters,
    malformed_idempotency_keys,
);

const JSON: (&str, &str) = ("content-type", "application/json");

fn letters(env: &Env) -> Vec<Vec<u8>> {
    env.sql().column("SELECT raw FROM dead_letter_events ORDER BY failed_at, item_index")
}

fn text_is_kept_as_one_dead_letter(env: &Env) -> TestResult {
    let tidegate = env.serve();
    for body in [&b"hello"[..], b"{\"a\":", b"<xml/>", b"\xff\xfe\x00"] {
        let refused = tidegate.client.events(body).problem(400, "body_not_json");
        assert_eq!((refused["accepted"].as_u64(), refused["rejected"].as_u64()), (Some(0), Some(1)), "{refused}");
        assert_eq!(refused["errors"][0]["code"], "invalid_json");
        assert_eq!(letters(env), [body]);
        let stages: Vec<String> = env.sql().column("SELECT stage || ' ' || code FROM dead_letter_events");
        assert_eq!(stages, ["decode invalid_json"]);
        env.sql().run("TRUNCATE dead_letter_events");
    }
    Books::of(&tidegate.client).assert_items(&[("received", 4), ("dead_lettered", 4), ("committed", 0)]);
    Ok(())
}

fn a_truncated_array_keeps_what_was_whole(env: &Env) -> TestResult {
    let tidegate = env.share();
    let whole = batch(3);
    let cut = &whole[..whole.len() - 10];
    let answer = tidegate.client.events(cut).accepted(2, 1);
    assert_eq!((&answer["errors"][0]["index"], &answer["errors"][0]["code"]), (&2.into(), &"invalid_json".into()));
    let third = event(2);
    assert_eq!(letters(env), [&third.as_bytes()[..third.len() - 9]]);
    assert_eq!(env.sql().count("events"), 2);
    // Only the bracket is missing: every event is whole, and the sender learns that something was not.
    let answer = tidegate.client.events(&whole[..whole.len() - 1]).accepted(3, 1);
    assert_eq!(answer["errors"][0]["index"], 3);
    Ok(())
}

fn lines_that_are_no_json(env: &Env) -> TestResult {
    let tidegate = env.share();
    let body = format!("{}\nnot json\n{}\n{{\"event_type\":\n", event(0), event(1));
    let answer = tidegate.client.post("/v1/events", &[("content-type", "application/x-ndjson")], body).accepted(2, 2);
    let indexes: Vec<u64> =
        answer["errors"].as_array().unwrap().iter().map(|error| error["index"].as_u64().unwrap()).collect();
    assert_eq!(indexes, [1, 3]);
    assert_eq!(letters(env), [&b"not json"[..], b"{\"event_type\":"]);
    Ok(())
}

fn bodies_without_an_item(env: &Env) -> TestResult {
    let tidegate = env.serve();
    tidegate.client.events("").problem(400, "empty_body");
    tidegate.client.events(" \r\n\t ").problem(400, "empty_body");
    tidegate.client.events("[]").problem(422, "nothing_accepted");
    tidegate.client.events(" [ ] ").problem(422, "nothing_accepted");
    tidegate.client.post("/v1/events", &[("content-type", "application/x-ndjson")], "\n\n").problem(400, "empty_body");
    assert_eq!((env.sql().count("events"), letters(env).len()), (0, 0));
    Books::of(&tidegate.client).assert_items(&[("received", 0)]);
    Ok(())
}

fn unknown_content_types(env: &Env) -> TestResult {
    let tidegate = env.share();
    for content_type in ["text/plain", "application/xml", "application/x-www-form-urlencoded", "jsonish"] {
        let headers = [("content-type", content_type)];
        tidegate.client.post("/v1/events", &headers, event(1)).problem(415, "unsupported_media_type");
    }
    assert_eq!((env.sql().count("events"), letters(env).len()), (0, 0));
    Ok(())
}

fn unknown_encodings(env: &Env) -> TestResult {
    let tidegate = env.share();
    for encoding in ["br", "deflate", "gzip, zstd"] {
        let headers = [JSON, ("content-encoding", encoding)];
        tidegate.client.post("/v1/events", &headers, event(1)).problem(415, "unsupported_encoding");
    }
    assert_eq!(env.sql().count("events"), 0);
    Ok(())
}

fn corrupt_compression(env: &Env) -> TestResult {
    let tidegate = env.share();
    let mut flipped = gzip(&batch(100));
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0xff;
    let cut = gzip(&batch(100))[..40].to_vec();
    let zstd = zstd::encode_all(&batch(100)[..], 3)?;
    let bodies = [
        ("gzip", flipped),
        ("gzip", cut),
        ("gzip", event(1).into_bytes()),
        ("zstd", event(1).into_bytes()),
        ("zstd", zstd[..zstd.len() / 2].to_vec()),
    ];
    for (number, (encoding, body)) in bodies.iter().enumerate() {
        let answer = tidegate.client.post("/v1/events", &[JSON, ("content-encoding", encoding)], body);
        assert_eq!(answer.status, 400, "{number}: {}", answer.text());
        answer.problem(400, "undecodable_body");
    }
    assert_eq!((env.sql().count("events"), letters(env).len()), (0, 0));
    Ok(())
}

fn small(env: &Env) -> crate::process::Tidegate {
    env.serve_with(&["limits.body_bytes=16KiB"])
}

fn bodies_over_the_limit(env: &Env) -> TestResult {
    let tidegate = small(env);
    let padded = |bytes: usize| format!("{}{}", event(1), " ".repeat(bytes - event(1).len()));
    tidegate.client.events(padded(16 * 1024)).accepted(1, 0);
    tidegate.client.events(padded(16 * 1024 + 1)).problem(413, "body_too_large");
    // Without a length it is found out on the way.
    let chunk = format!("{:x}\r\n{}\r\n0\r\n\r\n", 20_000, padded(20_000));
    chunked(&tidegate.client, &chunk);
    assert_eq!((env.sql().count("events"), letters(env).len()), (1, 0));
    Ok(())
}

fn chunked(client: &Client, chunks: &str) {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(&client.address).unwrap();
    stream.set_read_timeout(Some(crate::env::DEADLINE)).unwrap();
    let key = client.key();
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: t\r\nconnection: close\r\nauthorization: Bearer {key}\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(chunks.as_bytes()).unwrap();
    let mut line = [0; 12];
    stream.read_exact(&mut line).unwrap();
    assert_eq!(std::str::from_utf8(&line).unwrap(), "HTTP/1.1 413");
}

fn bombs(env: &Env) -> TestResult {
    let tidegate = small(env);
    // 15 KB on the wire, 15 MB unpacked.
    let zeros = vec![b' '; 15 << 20];
    let bodies = [("gzip", gzip(&zeros)), ("zstd", zstd::encode_all(&zeros[..], 3)?)];
    for (encoding, body) in &bodies {
        assert!(body.len() < 16 * 1024, "{encoding}: {}", body.len());
        let headers = [JSON, ("content-encoding", encoding)];
        tidegate.client.post("/v1/events", &headers, body).problem(413, "body_too_large");
    }
    // The key is checked before a byte is unpacked.
    let stranger = tidegate.anonymous();
    stranger.post("/v1/events", &[JSON, ("content-encoding", "gzip")], &bodies[0].1).problem(401, "unauthorized");
    Ok(())
}

fn too_many_items(env: &Env) -> TestResult {
    let tidegate = env.share();
    let body = format!("[{}1]", "1,".repeat(100_000));
    tidegate.client.events(body).problem(413, "too_many_items");
    assert_eq!(letters(env).len(), 0);
    Ok(())
}

fn mistyped_parameters(env: &Env) -> TestResult {
    let tidegate = env.share();
    for query in ["sream=x", "dedupe=yes", "ack=later", "stream=", "stream=a&stream=b", "event_type=%ff"] {
        tidegate.client.post(&format!("/v1/events?{query}"), &[JSON], event(1)).problem(400, "invalid_parameter");
    }
    tidegate.client.post("/v1/events?ack=committed", &[JSON], event(1)).accepted(1, 0);
    assert_eq!(env.sql().count("events"), 1);
    Ok(())
}

fn malformed_idempotency_keys(env: &Env) -> TestResult {
    let tidegate = env.share();
    let long = "k".repeat(256);
    for key in ["", "  ", "ä", &long] {
        tidegate.client.keyed(key, event(1)).problem(400, "invalid_idempotency_key");
    }
    tidegate.client.keyed(&long[..255], event(1)).accepted(1, 0);
    assert_eq!(env.sql().count("events"), 1);
    Ok(())
}
