//! Bodies of agents' protocols, compressed in each way, and larger than they may be.

use crate::env::{Env, Test, TestResult};
use crate::protocols_sent::{PROTOBUF, REMOTE_WRITE, now_ns};
use crate::samples::gzip;
use crate::tests;
use crate::wired::{field, log_record, message, otlp, snappy};

pub const TESTS: &[Test] = tests!(compressed_bodies_are_read, too_large_bodies_take_no_memory);

fn compressed_bodies_are_read(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    let logs = |n: u64| otlp("shop", "h", &[log_record(now_ns() + n * 1000, "packed")]);
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut zlib, &logs(3))?;
    for (encoding, body) in
        [("gzip", gzip(&logs(1))), ("zstd", zstd::encode_all(&*logs(2), 3)?), ("deflate", zlib.finish()?)]
    {
        let headers = [("content-type", "application/x-protobuf"), ("content-encoding", encoding)];
        let answer = client.post("/v1/logs", &headers, body);
        assert_eq!((answer.status, answer.text()), (200, ""), "{encoding}");
    }
    let lines = format!("up,host=z value=1 {}", now_ns());
    let headers = [("content-encoding", "gzip")];
    assert_eq!(client.post("/api/v2/write", &headers, gzip(lines.as_bytes())).status, 204);
    assert_eq!(client.post("/services/collector", &headers, gzip(b"{\"event\":\"packed\"}")).status, 200);
    // A length that is only claimed.
    let answer = client.post("/api/v1/write", REMOTE_WRITE, b"\xff\xff\xff\xff\x0f");
    assert_eq!(answer.status, 413, "{}", answer.text());
    let answer = client.post("/api/v1/write", REMOTE_WRITE, b"no snappy");
    assert_eq!(answer.status, 400, "{}", answer.text());
    let sql = env.sql();
    assert_eq!((sql.count("events"), sql.count("metrics")), (4, 1));
    Ok(())
}

fn too_large_bodies_take_no_memory(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["limits.body_bytes=1MiB", "limits.memory_bytes=16MiB"]);
    let client = &tidegate.client;
    let before = tidegate.peak_resident_bytes();
    // A thousand times as large when it is unpacked; and many times as large when it is written out.
    let zeros = vec![0; 64 << 20];
    for (path, headers, body) in [
        ("/api/v1/write", REMOTE_WRITE, snappy(&zeros)),
        ("/v1/logs", &[("content-type", "application/x-protobuf"), ("content-encoding", "gzip")][..], gzip(&zeros)),
    ] {
        assert_eq!(client.post(path, headers, body).status, 413, "{path}");
    }
    let many = otlp("s", "h", &vec![message([field(5, field(1, "x"))]); 120_000]);
    assert_eq!(client.post("/v1/logs", PROTOBUF, many).status, 413);
    let control = otlp("s", &"\u{1}".repeat(900_000), &vec![message([field(5, field(1, "x"))]); 9000]);
    let answer = client.post("/v1/logs", PROTOBUF, control);
    assert!([413, 429, 503].contains(&answer.status), "{} {}", answer.status, answer.text());
    let grown = (tidegate.peak_resident_bytes() - before) >> 20;
    assert!(grown < 96, "{grown} MiB");
    client.events(crate::samples::event(1)).accepted(1, 0);
    Ok(())
}
