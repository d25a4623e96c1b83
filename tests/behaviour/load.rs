//! `tidegate load` against a running server.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::authority::Authority;
use crate::books::Books;
use crate::env::{Engine, Env, Test, TestResult};
use crate::process::{Finished, Tidegate};
use crate::samples::{event, event_with, gzip};

pub const TESTS: &[Test] = &[
    Test { name: "a_file_with_a_bad_line", engines: &Engine::ALL, run: a_file_with_a_bad_line, missing: || None },
    Test { name: "a_file_twice", engines: &Engine::ALL, run: a_file_twice, missing: || None },
    Test {
        name: "a_report_that_cannot_be_written",
        engines: &[Engine::Postgres],
        run: a_report_that_cannot_be_written,
        missing: || None,
    },
    Test { name: "generated_load", engines: &Engine::ALL, run: generated_load, missing: || None },
    Test { name: "refusals_are_reported", engines: &Engine::ALL, run: refusals_are_reported, missing: || None },
    Test {
        name: "codes_are_of_all_rejected_items",
        engines: &Engine::ALL,
        run: codes_are_of_all_rejected_items,
        missing: || None,
    },
    Test { name: "over_https", engines: &[Engine::Postgres], run: over_https, missing: || None },
    Test { name: "generated_metrics", engines: &Engine::ALL, run: generated_metrics, missing: || None },
    Test { name: "real_metrics_twice", engines: &Engine::ALL, run: real_metrics_twice, missing: real_metrics_missing },
    Test { name: "real_events_twice", engines: &Engine::ALL, run: real_events_twice, missing: real_events_missing },
];

pub fn real_events() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/real-events.ndjson.gz")
}

pub fn real_events_missing() -> Option<String> {
    (!real_events().is_file()).then(|| format!("there is no {}", real_events().display()))
}

fn real_metrics() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/real-metrics.ndjson.gz")
}

fn real_metrics_missing() -> Option<String> {
    (!real_metrics().is_file()).then(|| format!("there is no {}", real_metrics().display()))
}

fn load(env: &Env, tidegate: &Tidegate, arguments: &[&str]) -> Finished {
    let (url, key) = (tidegate.client.url(), tidegate.client.key());
    env.cli(&[&["load", "--url", &url, "--key", key, "--json"], arguments].concat())
}

/// The figures of a report, and that conservation was checked and holds.
fn figures(report: &Value) -> [u64; 4] {
    assert_eq!(report["conservation"]["ok"], true, "{report}");
    ["events_sent", "committed", "rejected", "duplicates"].map(|name| report[name].as_u64().unwrap())
}

/// What a busy machine did not write in time, once it is written.
fn spooled(tidegate: &Tidegate, report: &Value) -> u64 {
    Books::drained(&tidegate.client);
    report["spooled"].as_u64().unwrap()
}

fn a_file_with_a_bad_line(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let mut lines: Vec<String> = (0..50).map(event).collect();
    lines.insert(17, "this is no JSON".to_owned());
    let (file, report_file) = (env.path().join("events.ndjson"), env.path().join("report.json"));
    std::fs::write(&file, lines.join("\n"))?;
    let arguments =
        ["--file", file.to_str().unwrap(), "--batch", "10", "--report", report_file.to_str().unwrap(), "--gzip"];
    let finished = load(env, &tidegate, &arguments);
    let report: Value = serde_json::from_str(&finished.stdout)?;
    assert_eq!(figures(&report), [51, 50, 1, 0]);
    assert_eq!(finished.code, Some(1), "an item was refused");
    assert_eq!(serde_json::from_slice::<Value>(&std::fs::read(report_file)?)?, report);
    let letters: Vec<Vec<u8>> = env.sql().column("SELECT raw FROM dead_letter_events");
    assert_eq!(letters, [b"this is no JSON"]);
    assert_eq!(env.sql().count("events"), 50);
    Ok(())
}

fn a_file_twice(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let lines: Vec<String> = (0..250)
        .map(|n| event_with(n, &format!(r#""timestamp":"2020-01-01T00:{:02}:{:02}Z""#, n / 60, n % 60)))
        .collect();
    let file = env.path().join("events.ndjson.gz");
    std::fs::write(&file, gzip(lines.join("\n").as_bytes()))?;
    let now = crate::samples::now().to_string();
    let arguments =
        ["--file", file.to_str().unwrap(), "--batch", "100", "--shift-to-now", "--now", &now, "--key-prefix", "file"];
    assert_eq!(figures(&load(env, &tidegate, &arguments).json()), [250, 250, 0, 0]);
    assert_eq!(figures(&load(env, &tidegate, &arguments).json()), [250, 0, 0, 250]);
    let sql = env.sql();
    let newest: jiff::Timestamp = sql.one("SELECT max(timestamp) FROM events");
    assert_eq!((sql.count("events"), newest.to_string()), (250, now));
    let span: i64 = sql.one("SELECT extract(epoch FROM max(timestamp) - min(timestamp))::bigint FROM events");
    assert_eq!(span, 249);
    Ok(())
}

/// Before anything is sent.
fn a_report_that_cannot_be_written(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let file = env.path().join("events.ndjson");
    std::fs::write(&file, event(0))?;
    let load = |report: &str| {
        let url = tidegate.client.url();
        let key = tidegate.client.key();
        env.cli(&["load", "--url", &url, "--key", key, "--file", file.to_str().unwrap(), "--report", report])
    };
    let folder = env.path().display().to_string();
    for report in [&format!("{folder}/nowhere/report.json"), &folder, &format!("{}/x", file.display())] {
        let failed = load(report);
        assert!(failed.code == Some(1) && failed.stderr.contains(report), "{failed:?}");
        assert!(failed.stderr.contains("the report cannot be written"), "{failed:?}");
    }
    assert_eq!(env.sql().count("events"), 0);
    // One that is there is written over, and only at the end.
    let report = format!("{folder}/report.json");
    std::fs::write(&report, "x".repeat(100_000))?;
    assert_eq!(load(&report).code, Some(0));
    assert_eq!(serde_json::from_str::<Value>(&std::fs::read_to_string(&report)?)?["committed"], 1);
    Ok(())
}

fn generated_load(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let finished = load(env, &tidegate, &["--duration", "2s", "--batch", "200", "--connections", "2"]);
    let report = finished.json();
    let [sent, committed, rejected, duplicates] = figures(&report);
    assert!(sent > 0);
    assert_eq!((committed + spooled(&tidegate, &report), rejected, duplicates), (sent, 0, 0));
    assert_eq!(env.sql().count("events"), i64::try_from(sent)?);
    Books::of(&tidegate.client).assert_items(&[("received", sent), ("committed", sent)]);
    Ok(())
}

fn refusals_are_reported(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let file = env.path().join("events.ndjson");
    std::fs::write(&file, event(1))?;
    let (url, file) = (tidegate.client.url(), file.to_str().unwrap());
    let stranger = env.cli(&["load", "--url", &url, "--key", "tg_nonsense", "--file", file, "--json"]);
    assert_eq!(stranger.code, Some(1), "{stranger:?}");
    let report: Value = serde_json::from_str(&stranger.stdout)?;
    assert_eq!((&report["committed"], &report["errors"][0]["code"]), (&json!(0), &json!("unauthorized")), "{report}");
    let missing = env.cli(&["load", "--url", &url, "--key", "k", "--file", "no-such-file"]);
    assert!(missing.code == Some(1) && missing.stderr.contains("no-such-file"), "{missing:?}");
    assert_eq!(env.cli(&["load", "--rate", "fast"]).code, Some(2));
    Ok(())
}

/// Far more than the answers list, of codes that appear at their end only.
fn codes_are_of_all_rejected_items(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let twice = |n| event_with(n, r#""payload":{}"#);
    let batch = |n: usize| {
        let garbage = (0..125).map(|_| "this is no JSON".to_owned());
        garbage.chain((0..65).map(move |i| twice(n * 65 + i)))
    };
    let mut lines: Vec<String> = (0..2).flat_map(batch).collect();
    let file = env.path().join("events.ndjson");
    std::fs::write(&file, lines.join("\n"))?;
    let arguments = ["--file", file.to_str().unwrap(), "--batch", "190"];
    let finished = load(env, &tidegate, &arguments);
    let report: Value = serde_json::from_str(&finished.stdout)?;
    assert_eq!((finished.code, figures(&report)), (Some(1), [380, 0, 380, 0]));
    assert_eq!(report["rejected_codes"], json!({"invalid_json": 250, "duplicate_key": 130}), "{report}");
    let (url, key) = (tidegate.client.url(), tidegate.client.key());
    let told = env.cli(&[&["load", "--url", &url, "--key", key], &arguments[..]].concat());
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.stdout.contains("380: duplicate_key x 130, invalid_json x 250"), "{told:?}");
    // What the server says itself, also when it says it again, and of a request of which something was stored.
    lines.push(event(1));
    for duplicate in [false, true] {
        let headers = [("idempotency-key", "codes"), ("content-type", "application/x-ndjson")];
        let answer = tidegate.client.send("POST", "/v1/events", &headers, lines.join("\n").as_bytes())?;
        let said = answer.expect(200);
        assert_eq!((&said["accepted"], &said["duplicate"]), (&json!(1), &json!(duplicate)), "{said}");
        assert_eq!(said["errors"].as_array().map(Vec::len), Some(100));
        assert_eq!(said["codes"], json!({"invalid_json": 250, "duplicate_key": 130}), "{said}");
    }
    let whole = tidegate.client.post("/v1/events", &[], event(2)).expect(200);
    assert!(whole.get("codes").is_none(), "nothing was refused: {whole}");
    Ok(())
}

fn over_https(env: &Env) -> TestResult {
    let (authority, stranger) = (Authority::new("the authority"), Authority::new("a stranger"));
    let [cert, key] = authority.sign("the server", &["localhost"]).save(env.path(), "server");
    let tidegate = env.serve_with(&[&format!("tls.cert={}", cert.display()), &format!("tls.key={}", key.display())]);
    let port = tidegate.client.address.rsplit_once(':').unwrap().1.to_owned();
    let named = format!("https://localhost:{port}");
    let load = |url: &str, more: &[&str]| {
        let arguments = ["load", "--url", url, "--key", tidegate.client.key(), "--duration", "1s", "--rate", "500"];
        env.cli(&[&arguments[..], more].concat())
    };
    let [root, foreign] = [(&authority, "ca.crt"), (&stranger, "foreign.crt")]
        .map(|(authority, name)| authority.save(&env.path().join(name)).display().to_string());
    let good = load(&named, &["--cacert", &root, "--json"]).json();
    assert!(good["committed"].as_u64() > Some(0) && good["conservation"]["ok"] == true, "{good}");
    let insecure = load(&format!("https://127.0.0.1:{port}"), &["--insecure"]);
    assert!(insecure.code == Some(0) && insecure.stderr.contains("warning: --insecure"), "{insecure:?}");
    for (url, more, word) in [
        (named.as_str(), &["--cacert", &foreign][..], "not signed by an authority that is trusted"),
        (&named, &[], "--cacert"),
        (&format!("https://127.0.0.1:{port}"), &["--cacert", &root], "not for this host name"),
        (&named, &["--cacert", "/nowhere/ca.pem"], "/nowhere/ca.pem cannot be read"),
    ] {
        let finished = load(url, more);
        assert!(finished.code == Some(1) && finished.stderr.contains(word), "{word}: {finished:?}");
    }
    Ok(())
}

fn real_events_twice(env: &Env) -> TestResult {
    // One request makes more than a hundred days of chunks. On a slow machine it is to be tried again, not spooled.
    let tidegate = env.serve_with(&["spool.enabled=false"]);
    let (file, now) = (real_events(), crate::samples::now().to_string());
    let arguments = ["--file", file.to_str().unwrap(), "--shift-to-now", "--now", &now, "--key-prefix", "real"];
    assert_eq!(figures(&load(env, &tidegate, &arguments).json()), [6000, 6000, 0, 0]);
    assert_eq!(figures(&load(env, &tidegate, &arguments).json()), [6000, 0, 0, 6000]);
    assert_eq!((env.sql().count("events"), env.sql().count("dead_letter_events")), (6000, 0));
    Ok(())
}

fn generated_metrics(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let arguments =
        ["--kind", "metrics", "--assets", "300", "--duration", "2s", "--batch", "500", "--connections", "2"];
    let report = load(env, &tidegate, &arguments).json();
    let [sent, committed, rejected, duplicates] = figures(&report);
    assert!(sent > 0);
    assert_eq!((committed + spooled(&tidegate, &report), rejected, duplicates), (sent, 0, 0));
    assert_eq!(report["conservation"]["found"].as_u64(), Some(sent));
    let sql = env.sql();
    assert_eq!(sql.count("metrics"), i64::try_from(sent)?);
    assert!(sql.one::<i64>("SELECT count(DISTINCT asset_id) FROM metrics") <= 300);
    Books::of(&tidegate.client).assert_items(&[("received", sent), ("committed", sent)]);
    Ok(())
}

/// The samples of 17 series, of which the longest is some weeks: a second run stores nothing.
fn real_metrics_twice(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["spool.enabled=false"]);
    let (file, now) = (real_metrics(), crate::samples::now().to_string());
    let file = file.to_str().unwrap();
    let arguments = ["--file", file, "--kind", "metrics", "--shift-to-now", "--now", &now, "--key-prefix", "real"];
    assert_eq!(figures(&load(env, &tidegate, &arguments).json()), [67_740, 67_740, 0, 0]);
    assert_eq!(figures(&load(env, &tidegate, &arguments).json()), [67_740, 0, 0, 67_740]);
    let sql = env.sql();
    assert_eq!((sql.count("metrics"), sql.count("dead_letter_events")), (67_740, 0));
    let series = "SELECT count(*) FROM (SELECT DISTINCT asset_id, metric_type, metric_name FROM metrics) AS series";
    assert_eq!(sql.one::<i64>(series), 17);
    Ok(())
}
