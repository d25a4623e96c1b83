//! HTTP/2 frames and TLS handshakes without end (scenario 30). Frames are made by hand: no client would send them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::client::parse;
use crate::env::{Env, TestResult};
use crate::frames::{CONTINUATION, END_HEADERS, END_STREAM, GET, HEADERS, RST_STREAM, connect, flood, frame};
use crate::invariants::Scene;
use crate::process::Tidegate;
use crate::scenario;
use crate::scenario::Scenario;
use crate::told::Told;

pub const SCENARIOS: &[Scenario] = &[
    scenario!(s30_streams_reset_without_end).on_one_engine(),
    scenario!(s30_headers_continued_without_end).on_one_engine(),
    scenario!(s30_handshakes_that_stall).on_one_engine(),
];

/// What it may add to the memory at its worst moment.
const GROWTH_BYTES: u64 = 16 << 20;

/// Sends what `next` makes until the server has enough of it; others are served meanwhile.
fn flooded(env: &Env, name: &str, mut next: impl FnMut(u32) -> Vec<u8>) -> TestResult {
    let tidegate = env.serve();
    let told = Arc::new(Told::default());
    told.both(&tidegate.client, 200);
    let before = tidegate.peak_resident_bytes();
    flood(&tidegate.client, |n| {
        if n == 1000 {
            told.both(&tidegate.client, 200);
        }
        next(2 * n + 1)
    });
    let grown = tidegate.peak_resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_BYTES, "{grown} bytes more were resident");
    finish(env, &tidegate, &told, name);
    Ok(())
}

fn finish(env: &Env, tidegate: &Tidegate, told: &Told, name: &str) {
    told.both(&tidegate.client, 200);
    Scene::new(env, tidegate, &env.sql(), told).assert_invariants(name);
}

fn s30_streams_reset_without_end(env: &Env) -> TestResult {
    // CANCEL, right after each request.
    flooded(env, "s30_streams_reset_without_end", |stream| {
        let request = frame(HEADERS, END_HEADERS | END_STREAM, stream, GET);
        [request, frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())].concat()
    })
}

fn s30_headers_continued_without_end(env: &Env) -> TestResult {
    // A field of 16,000 bytes that is never indexed, again and again.
    let mut field = b"\x00\x01x\x7f\x81\x7c".to_vec();
    field.extend(vec![b'y'; 16_000]);
    let mut begun = false;
    flooded(env, "s30_headers_continued_without_end", move |_| {
        let kind = if std::mem::replace(&mut begun, true) { CONTINUATION } else { HEADERS };
        frame(kind, 0, 1, if kind == HEADERS { GET } else { &field })
    })
}

fn s30_handshakes_that_stall(env: &Env) -> TestResult {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()])?;
    let (cert_file, key_file) = (env.path().join("cert.pem"), env.path().join("key.pem"));
    std::fs::write(&cert_file, cert.pem())?;
    std::fs::write(&key_file, signing_key.serialize_pem())?;
    let settings = [
        format!("tls.cert={}", cert_file.display()),
        format!("tls.key={}", key_file.display()),
        // Long enough for a handshake on a busy machine.
        "http.handshake_timeout=5s".to_owned(),
    ];
    let tidegate = env.serve_with(&settings.each_ref().map(String::as_str));
    let told = Arc::new(Told::default());
    // Nothing at all, half a record's head, and a record whose content does not come.
    let stalled: Vec<TcpStream> = [&b""[..], b"\x16\x03", b"\x16\x03\x01\x02\x00\x01"]
        .into_iter()
        .cycle()
        .take(60)
        .map(|beginning| {
            let mut stream = connect(&tidegate.client);
            stream.write_all(beginning).unwrap();
            stream
        })
        .collect();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone())?;
    let versions = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?;
    let trust = Arc::new(versions.with_root_certificates(roots).with_no_client_auth());
    let send = |request: &crate::told::Request| -> TestResult {
        let connection = ClientConnection::new(Arc::clone(&trust), "localhost".try_into()?)?;
        let mut stream = StreamOwned::new(connection, connect(&tidegate.client));
        write!(
            stream,
            "POST /v1/events HTTP/1.1\r\nhost: t\r\nconnection: close\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n",
            tidegate.client.key(),
            request.body.len()
        )?;
        stream.write_all(&request.body)?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        let answer = parse(&bytes, "POST");
        told.note(&tidegate.client, request, answer.as_ref());
        answer.expect("an answer").accepted(3, 1);
        Ok(())
    };
    // They are served while the others stall, and the others are closed.
    for _ in 0..5 {
        send(&told.request(false, 3, 1))?;
    }
    for mut stream in stalled {
        let mut rest = Vec::new();
        // A TLS alert, or nothing, and then the end.
        let ended = stream.read_to_end(&mut rest);
        assert!(ended.is_ok() || ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset));
    }
    send(&told.request(false, 3, 1))?;
    drop(tidegate);
    // The books are read without TLS.
    let plain = env.serve();
    finish(env, &plain, &told, "s30_handshakes_that_stall");
    Ok(())
}
