//! Whole runs against a scripted server over real sockets.

use std::collections::BTreeSet;
use std::future::pending;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use flate2::read::GzDecoder;
use tokio::sync::Notify;

use super::run::run_with;
use super::test_server::{Server, counts, impatient, options, problem};
use super::*;

async fn load(options: LoadOptions) -> LoadReport {
    run_with(options, impatient(), pending()).await.expect("the run reports")
}

fn assert_balanced(report: &LoadReport) {
    let ended = report.committed + report.spooled + report.duplicates + report.rejected + report.failed_events;
    assert_eq!(report.events_sent, ended, "{report:?}");
}

fn file_source(path: &std::path::Path) -> Source {
    Source::File { path: path.to_owned(), kind: ItemKind::Events, shift_to_now: false, now: None, key_prefix: None }
}

#[tokio::test]
async fn a_plain_run_sends_what_was_asked_and_counts_it() {
    let server = Server::start(Box::new(|_, seen| Some(counts(200, "committed", seen.lines(), 0, false)))).await;
    let mut options = options(&server.url);
    options.keys = vec!["tg_a".into(), "tg_b".into()];
    options.connections = 3;
    options.max_events = Some(95);
    let report = load(options).await;
    assert_balanced(&report);
    assert!(report.is_ok());
    assert_eq!((report.events_sent, report.committed, report.requests), (95, 95, 10));
    assert_eq!(report.statuses.get(&200), Some(&10));
    assert_eq!(report.receipts.len(), 10);
    assert!(report.receipts.iter().all(|receipt| receipt.span_us.is_some()));
    assert!(report.oldest_us < report.newest_us);
    assert!(report.latency_ms.max >= report.latency_ms.p50 && report.latency_ms.p50 > 0.0);

    let seen = server.seen();
    assert!(seen.iter().all(|seen| seen.path == "/v1/events" && seen.media == "application/x-ndjson"));
    assert_eq!(seen.iter().filter(|seen| seen.authorization == "Bearer tg_b").count(), 5);
    let keys: BTreeSet<_> = seen.iter().map(|seen| seen.key.clone().expect("a key")).collect();
    assert_eq!(keys.len(), 10);
}

#[tokio::test]
async fn a_busy_server_gets_the_same_request_again_with_the_same_key() {
    let server = Server::start(Box::new(|number, seen| match number {
        0 => Some(problem(503, "queue_full", Some(0))),
        1 => Some(problem(429, "quota", Some(7))),
        2 => Some(problem(409, "key_in_flight", None)),
        _ => Some(counts(200, "committed", seen.lines(), 0, false)),
    }))
    .await;
    let mut options = options(&server.url);
    options.max_events = Some(10);
    let report = load(options).await;
    assert!(report.is_ok());
    assert_eq!((report.committed, report.requests, report.retries), (10, 1, 3));
    assert_eq!(
        report.statuses.iter().map(|(s, n)| (*s, *n)).collect::<Vec<_>>(),
        [(200, 1), (409, 1), (429, 1), (503, 1)]
    );
    let seen = server.seen();
    assert!(seen.iter().all(|again| again.key == seen[0].key && again.body == seen[0].body));
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_and_its_replay_is_a_duplicate() {
    let server = Server::start(Box::new(|number, seen| {
        (number > 0).then(|| counts(200, "committed", seen.lines(), 0, number == 1))
    }))
    .await;
    let mut options = options(&server.url);
    options.max_events = Some(20);
    let report = load(options).await;
    assert_balanced(&report);
    assert!(report.is_ok());
    assert_eq!((report.duplicates, report.committed, report.connection_errors, report.retries), (10, 10, 1, 1));
    // The replay's receipt is checked like any other.
    assert_eq!(report.receipts.len(), 2);
    assert_eq!(server.seen()[0].key, server.seen()[1].key);
}

#[tokio::test]
async fn without_keys_a_lost_answer_is_a_failure() {
    let server =
        Server::start(Box::new(|number, seen| (number > 0).then(|| counts(200, "committed", seen.lines(), 0, false))))
            .await;
    let mut options = options(&server.url);
    options.no_keys = true;
    options.max_events = Some(20);
    let report = load(options).await;
    assert_balanced(&report);
    assert!(!report.is_ok());
    assert_eq!((report.failed_requests, report.failed_events, report.committed, report.retries), (1, 10, 10, 0));
    assert!(server.seen().iter().all(|seen| seen.key.is_none()));
    assert_eq!(report.errors[0].code, "connection");
}

#[tokio::test]
async fn retries_are_bounded() {
    let server = Server::start(Box::new(|_, _| Some(problem(503, "draining", None)))).await;
    let mut options = options(&server.url);
    options.max_events = Some(10);
    let report = load(options).await;
    assert_balanced(&report);
    assert_eq!((report.failed_requests, report.retries, server.seen().len()), (1, 3, 4));
    assert_eq!((report.errors[0].status, report.errors[0].code.as_str()), (Some(503), "draining"));
    assert_eq!(report.errors[0].message, "not now");
}

#[tokio::test]
async fn rejected_spooled_and_short_answers_are_told_apart() {
    let server = Server::start(Box::new(|number, _| {
        Some(match number {
            0 => counts(200, "committed", 9, 1, false),
            1 => counts(202, "spooled", 10, 0, false),
            2 => counts(422, "committed", 0, 10, false),
            3 => counts(200, "committed", 8, 0, false),
            _ => problem(422, "key_reused", None),
        })
    }))
    .await;
    let mut options = options(&server.url);
    options.max_events = Some(50);
    let report = load(options).await;
    assert_balanced(&report);
    assert_eq!((report.committed, report.spooled, report.rejected, report.failed_events), (17, 10, 11, 12));
    assert_eq!(report.failed_requests, 2);
    let codes: Vec<_> = report.errors.iter().map(|error| error.code.as_str()).collect();
    assert_eq!(codes, ["count_mismatch", "key_reused"]);
    assert_eq!(report.receipts.iter().filter(|receipt| receipt.spooled).count(), 1);
}

#[tokio::test]
async fn a_refused_key_ends_the_run_before_its_time() {
    let server = Server::start(Box::new(|_, _| Some(problem(401, "key_unknown", None)))).await;
    let mut options = options(&server.url);
    options.max_events = None;
    options.connections = 2;
    let report = load(options).await;
    assert_balanced(&report);
    assert!(report.stopped_early.is_some() && !report.is_ok());
    assert!((10..=20).contains(&report.failed_requests), "{}", report.failed_requests);
}

#[tokio::test]
async fn stopping_reports_what_was_done() {
    let reached = Arc::new(Notify::new());
    let notify = reached.clone();
    let server = Server::start(Box::new(move |number, seen| {
        if number == 4 {
            notify.notify_one();
        }
        Some(counts(200, "committed", seen.lines(), 0, false))
    }))
    .await;
    let mut options = options(&server.url);
    options.max_events = None;
    let report = run_with(options, impatient(), reached.notified()).await.expect("the run reports");
    assert_balanced(&report);
    assert!(report.interrupted && report.is_ok() && report.committed >= 50);
}

#[tokio::test]
async fn what_is_not_answered_within_the_grace_is_abandoned() {
    let reached = Arc::new(Notify::new());
    let notify = reached.clone();
    // Busy forever, with a wait that no test sits out.
    let server = Server::start(Box::new(move |_, _| {
        notify.notify_one();
        Some(problem(503, "draining", Some(3600)))
    }))
    .await;
    let mut policy = impatient();
    policy.retry_after_max = Duration::from_secs(3600);
    let report = run_with(options(&server.url), policy, reached.notified()).await.expect("the run reports");
    assert_balanced(&report);
    assert_eq!((report.failed_requests, report.failed_events), (1, 10));
    assert!(report.errors.iter().any(|error| error.code == "abandoned"));
}

#[tokio::test]
async fn generated_load_ends_with_its_duration() {
    let server = Server::start(Box::new(|_, seen| Some(counts(200, "committed", seen.lines(), 0, false)))).await;
    let mut options = options(&server.url);
    options.max_events = None;
    options.rate = SendRate::PerSecond(1000);
    options.duration = Duration::from_millis(200);
    options.connections = 2;
    let report = load(options).await;
    assert_balanced(&report);
    // The first slot is at once; a slow machine may miss some, but none comes early.
    assert!((1..=21).contains(&report.requests), "{}", report.requests);
    assert!(report.elapsed_s >= 0.2 && !report.interrupted);
}

#[tokio::test]
async fn a_file_goes_through_line_by_line_with_stable_keys() {
    let lines = ["{\"event_type\":\"a\"}\n", "no json\n", "\n", "{\"event_type\":\"b\"}"].concat();
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(lines.as_bytes()).expect("written");
    let server = Server::start(Box::new(|_, seen| {
        let mut body = String::new();
        assert!(seen.gzip);
        GzDecoder::new(&seen.body[..]).read_to_string(&mut body).expect("gzip");
        let rejected = body.matches("no json").count() as u64;
        Some(counts(200, "committed", body.lines().count() as u64 - rejected, rejected, false))
    }))
    .await;
    let mut options = options(&server.url);
    options.batch = 2;
    options.gzip = true;
    options.format = Format::Json;
    options.max_events = None;
    options.source = Source::File {
        path: file.path().to_owned(),
        kind: ItemKind::Events,
        shift_to_now: true,
        now: Some(jiff::Timestamp::UNIX_EPOCH),
        key_prefix: Some("july".into()),
    };
    let report = load(options).await;
    assert_balanced(&report);
    assert!(!report.is_ok(), "one line was refused: {report:?}");
    assert_eq!((report.events_sent, report.committed, report.rejected), (3, 2, 1));
    assert_eq!(report.rejected_codes, [("unlisted".into(), 1)].into());
    let seen = server.seen();
    assert_eq!(seen.iter().map(|seen| seen.key.as_deref()).collect::<Vec<_>>(), [Some("july-0"), Some("july-1")]);
    assert_eq!(
        seen.iter().map(|seen| seen.media.as_str()).collect::<Vec<_>>(),
        ["application/x-ndjson", "application/json"]
    );
}

#[tokio::test]
async fn metrics_go_to_their_own_path() {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(b"{\"metric_name\":\"m\",\"values\":[1,2,3]}\n").expect("written");
    let server = Server::start(Box::new(|_, seen| Some(counts(200, "committed", seen.lines(), 0, false)))).await;
    let mut options = options(&server.url);
    options.source = file_source(file.path());
    if let Source::File { kind, .. } = &mut options.source {
        *kind = ItemKind::Metrics;
    }
    let report = load(options.clone()).await;
    assert!(report.is_ok() && report.spread, "one item makes several rows: {report:?}");
    assert_eq!(server.seen()[0].path, "/v1/metrics");
    options.source = Source::Generate { kind: ItemKind::Metrics, seed: 1, assets: 10 };
    let report = load(options).await;
    assert!(report.is_ok() && !report.spread && report.events_sent == 100, "{report:?}");
    assert!(server.seen().iter().all(|seen| seen.path == "/v1/metrics"));
}

#[tokio::test]
async fn a_file_that_breaks_off_is_reported_with_what_was_loaded() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    for _ in 0..50_000 {
        encoder.write_all(b"{\"event_type\":\"a\"}\n").expect("a Vec takes every write");
    }
    let whole = encoder.finish().expect("a Vec takes every write");
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(&whole[..whole.len() / 2]).expect("written");
    let server = Server::start(Box::new(|_, seen| Some(counts(200, "committed", seen.lines(), 0, false)))).await;
    let mut options = options(&server.url);
    options.max_events = None;
    options.batch = 1000;
    options.source = file_source(file.path());
    let report = load(options).await;
    assert_balanced(&report);
    assert!(report.committed >= 10_000 && !report.is_ok());
    assert!(report.stopped_early.is_some());
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", closed.local_addr().expect("bound"));
    drop(closed);
    let error = run_with(options(&url), impatient(), pending()).await.expect_err("nothing listens");
    assert!(matches!(&error, LoadError::Connect(message) if message.contains(&url)), "{error}");

    // The other end does not speak TLS.
    let server = Server::start(Box::new(|_, _| None)).await;
    let mut secure = options(&server.url.replace("http:", "https:"));
    secure.trust = crate::tls::Trust::Anyone;
    let error = run_with(secure, impatient(), pending()).await.expect_err("no TLS there");
    assert!(matches!(&error, LoadError::Connect(message) if message.contains("http://")), "{error}");

    let server = Server::start(Box::new(|_, _| None)).await;
    let mut options = options(&server.url);
    options.source = file_source(std::path::Path::new("/nonexistent/x.ndjson"));
    let error = run_with(options, impatient(), pending()).await.expect_err("no such file");
    assert!(matches!(&error, LoadError::File(..)) && error.to_string().contains("/nonexistent/x.ndjson"));
}

#[tokio::test]
async fn the_report_serialises_without_receipts() {
    let server = Server::start(Box::new(|_, seen| Some(counts(200, "committed", seen.lines(), 0, false)))).await;
    let report = serde_json::to_value(load(options(&server.url)).await).expect("serialisable");
    assert_eq!(report["committed"], 100);
    assert_eq!(report["statuses"]["200"], 10);
    assert!(report["latency_ms"]["p99"].is_number() && report.get("receipts").is_none());
}
