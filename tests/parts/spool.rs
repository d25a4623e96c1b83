//! The spool as it is used, on the real file system.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use tidegate::ingest::Received;
use tidegate::ingest::spool::{
    AppendError, Disk, Entry, KeepError, Meta, Spool, SpoolError, SpoolPlace, SpooledRequest, Stats, Totals,
};
use tidegate::model::Kind;
use tidegate::wire::item::BodyForm;

fn config(dir: &Path) -> SpoolPlace {
    SpoolPlace { dir: dir.join("data/spool"), max_bytes: 1 << 20, segment_bytes: 4096 }
}

fn open(config: &SpoolPlace) -> Arc<Spool> {
    Spool::open(config.clone(), Arc::new(Disk)).unwrap().0
}

fn meta() -> Meta {
    Meta { receipt: Uuid::now_v7(), items: 3 }
}

fn request(tenant_id: &str, body: &'static str) -> SpooledRequest {
    SpooledRequest {
        received: received(tenant_id, body),
        idempotency: None,
        items: 3,
        accepted: 2,
        rejected: 1,
        attempt: None,
    }
}

/// A request as it comes in.
fn received(tenant_id: &str, body: &'static str) -> Received {
    Received {
        tenant_id: tenant_id.into(),
        api_key_id: Uuid::now_v7(),
        keep_days: None,
        receipt: Uuid::now_v7(),
        received_at_us: 1,
        route: "/v1/events".into(),
        kind: Kind::Events,
        form: BodyForm::Json,
        defaults: Default::default(),
        body: Bytes::from_static(body.as_bytes()),
        original: None,
        sent_digest: None,
        replay: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_appended_is_drained_in_order_across_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let spool = open(&config);
    // Twenty at a time: their order among each other is theirs, and one sync makes many of them safe.
    let mut appended = Vec::new();
    for wave in 0..10 {
        let append = |n: u32| {
            let spool = Arc::clone(&spool);
            tokio::spawn(async move { (spool.append(format!("payload {n}").into_bytes(), meta()).await.unwrap(), n) })
        };
        for append in (wave * 20..wave * 20 + 20).map(append).collect::<Vec<_>>() {
            appended.push(append.await.unwrap());
        }
    }
    appended.sort_unstable();
    let expected: Vec<_> = appended.iter().map(|(sequence, n)| (*sequence, format!("payload {n}"))).collect();
    let Stats { undrained, segments, .. } = spool.stats();
    assert_eq!((undrained.records, undrained.items), (200, 600));
    assert!(segments > 1);

    let text = |entry: &Entry| String::from_utf8(entry.payload.to_vec()).unwrap();
    let mut read = Vec::new();
    while read.len() < 120 {
        read.extend(spool.next(1000).await.iter().map(|entry| (entry.sequence, text(entry))));
    }
    assert_eq!(read, expected[..read.len()]);
    spool.acknowledge(read[99].0).await.unwrap();
    assert_eq!(spool.stats().undrained.records, 100);
    assert!(spool.stats().segments < segments, "drained segments are removed");
    assert!(matches!(spool.acknowledge(1000).await, Err(KeepError::NotDelivered)));
    spool.close().await;
    assert_eq!(spool.append(Bytes::new(), meta()).await, Err(AppendError::Closed));

    let spool = open(&config);
    assert_eq!(spool.stats().undrained.records, 100);
    let rest = spool.next(1 << 20).await;
    let mut rest: Vec<_> = rest.iter().map(|entry| (entry.sequence, text(entry))).collect();
    while rest.len() < 100 {
        rest.extend(spool.next(1 << 20).await.iter().map(|entry| (entry.sequence, text(entry))));
    }
    assert_eq!(rest, expected[100..]);
    spool.acknowledge(rest[99].0).await.unwrap();
    assert_eq!(spool.stats().undrained, Totals::default());
    spool.close().await;
    assert!(spool.next(1).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_refused_and_told_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let spool = open(&config);
    let error = Spool::open(config.clone(), Arc::new(Disk)).err().unwrap();
    assert!(matches!(error, SpoolError::Locked { .. }));
    let message = error.to_string();
    assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
    assert!(message.contains(config.dir.to_str().unwrap()), "{message}");
    spool.close().await;
    open(&config).close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn next_waits_for_an_append() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(&config(dir.path()));
    let reader = Arc::clone(&spool);
    let reading = tokio::spawn(async move { reader.next(1).await });
    spool.append(b"late".to_vec(), meta()).await.unwrap();
    let entries = tokio::time::timeout(Duration::from_secs(30), reading).await.unwrap().unwrap();
    assert_eq!(entries[0].payload, "late");
    // A reader that waits when the spool closes is let go.
    let reader = Arc::clone(&spool);
    let reading = tokio::spawn(async move { reader.next(1).await });
    spool.close().await;
    assert!(tokio::time::timeout(Duration::from_secs(30), reading).await.unwrap().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_refuses_and_takes_again_once_drained() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(&SpoolPlace { max_bytes: 10_000, ..config(dir.path()) });
    let payload = || vec![7; 1000];
    let mut appended = 0;
    while spool.append(payload(), meta()).await.is_ok() {
        appended += 1;
    }
    assert!((7..10).contains(&appended), "{appended}");
    assert_eq!(spool.append(payload(), meta()).await, Err(AppendError::Full));
    assert!(spool.stats().disk_bytes <= 10_000);
    let mut last = 0;
    for _ in 0..appended {
        last = spool.next(1).await[0].sequence;
    }
    spool.acknowledge(last).await.unwrap();
    for _ in 0..appended {
        spool.append(payload(), meta()).await.unwrap();
    }
    spool.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_is_found_by_its_tenant_until_it_is_drained() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(&config(dir.path()));
    let requests: Vec<_> = (0..100).map(|n| request(if n % 2 == 0 { "a" } else { "b" }, "[1,2,3]")).collect();
    for request in &requests {
        spool.append(request.encode(), request.meta()).await.unwrap();
    }
    for request in &requests {
        let found = spool.find(&request.received.tenant_id, request.received.receipt).await.unwrap();
        assert_eq!((found.items, found.accepted, found.rejected), (3, 2, 1));
        assert_eq!(spool.find("c", request.received.receipt).await, None);
    }
    assert_eq!(spool.find("a", Uuid::now_v7()).await, None);
    let entries = spool.next(1 << 20).await;
    let first = SpooledRequest::decode(&entries[0].payload).unwrap();
    assert_eq!(first, requests[0]);
    spool.acknowledge(entries[0].sequence).await.unwrap();
    assert_eq!(spool.find("a", first.received.receipt).await, None);
    assert!(spool.find("b", requests[1].received.receipt).await.is_some());
    spool.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_drained_is_kept_in_the_quarantine() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let spool = open(&config);
    spool.append(b"poison".to_vec(), meta()).await.unwrap();
    let entry = spool.next(1).await.remove(0);
    spool.quarantine(&entry, "22P03 at line 1").await.unwrap();
    spool.acknowledge(entry.sequence).await.unwrap();
    let Stats { undrained, quarantined, .. } = spool.stats();
    assert_eq!((undrained.records, quarantined.files), (0, 1));
    let kept = std::fs::read_dir(config.dir.join("quarantine")).unwrap().next().unwrap().unwrap().path();
    let bytes = std::fs::read(&kept).unwrap();
    assert_eq!(bytes.len() as u64, quarantined.bytes);
    for part in [&b"poison"[..], b"22P03 at line 1"] {
        assert!(bytes.windows(part.len()).any(|window| window == part));
    }
    spool.close().await;
    let spool = open(&config);
    assert_eq!(spool.stats().quarantined, quarantined);
    spool.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_futures_neither_lose_nor_skip_records() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(&config(dir.path()));
    for n in 0..50u8 {
        // Polled once at most, then dropped: the record is in the spool or it is not.
        let _ = tokio::time::timeout(Duration::ZERO, spool.append(vec![n; 10], meta())).await;
    }
    let last = spool.append(b"last".to_vec(), meta()).await.unwrap();
    let mut read = Vec::new();
    while read.last() != Some(&last) {
        // Mostly dropped while the disk is read; once in a while it is in time.
        let in_time = tokio::time::timeout(Duration::ZERO, spool.next(30)).await.unwrap_or_default();
        read.extend(in_time.iter().map(|entry| entry.sequence));
        if read.last() == Some(&last) {
            break;
        }
        read.extend(spool.next(30).await.iter().map(|entry| entry.sequence));
    }
    assert_eq!(read, (1..=last).collect::<Vec<_>>());
    spool.close().await;
}
