//! The limit: pre-encoded binary COPY on plain connections, no HTTP and no JSON; one ledger row per COPY.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;
use futures_util::SinkExt;
use tidegate::event::pgcopy::{COPY_COLUMNS, COPY_HEADER, COPY_TRAILER, stamp};
use tidegate::event::{BodyForm, Decoder, Defaults, Origin, Window};
use tidegate::load::{Format, Generator};
use uuid::Uuid;

use super::Result;
use super::target::Target;

/// COPY streams of `events` events, `rows` each and each of one tenant, as Tidegate would encode them. All are made before
/// the clock starts and none is sent twice: repeated ids would make the indexes smaller than they are in life.
pub fn batches(tenants: &[String], events: u64, rows: usize, seed: u64, assets: u32) -> Result<Vec<Bytes>> {
    let generator = Generator { seed, assets };
    let now_us = jiff::Timestamp::now().as_microsecond();
    let mut decoder = Decoder::new();
    let mut made = Vec::new();
    for number in 0..events.div_ceil(rows as u64) {
        let tenant = &tenants[usize::try_from(number)? % tenants.len()];
        let mut body = Vec::new();
        generator.append(&mut body, Format::Ndjson, number, rows as u64, now_us);
        let origin = Origin {
            tenant_id: tenant,
            api_key_id: Uuid::now_v7(),
            receipt: Uuid::now_v7(),
            received_at_us: now_us,
            window: Window { oldest_us: now_us - 86_400_000_000, newest_us: now_us + 86_400_000_000 },
            item_bytes_max: 1 << 20,
        };
        let decoded = decoder.decode(&body, BodyForm::Ndjson, &Defaults::default(), &origin)?;
        let mut stream = COPY_HEADER.to_vec();
        for (seq, row) in decoded.rows.rows.iter().enumerate() {
            let start = stream.len();
            stream.extend_from_slice(&decoded.rows.bytes[row.bytes.start as usize..row.bytes.end as usize]);
            stamp(&mut stream[start..], i64::try_from(number)?, i32::try_from(seq)?);
        }
        stream.extend_from_slice(&COPY_TRAILER);
        made.push(stream.into());
    }
    Ok(made)
}

/// Sends all batches on `connections` connections; returns the seconds that it took.
pub async fn run(target: &Target, batches: &[Bytes], rows: usize, connections: usize) -> Result<f64> {
    let expected = batches.len() * rows;
    let batches: Arc<[Bytes]> = batches.into();
    let next = Arc::new(AtomicUsize::new(0));
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(target.writer().await?);
    }
    let started = Instant::now();
    let mut tasks = Vec::new();
    for client in clients {
        let (batches, next) = (Arc::clone(&batches), Arc::clone(&next));
        tasks.push(tokio::spawn(async move {
            let sql = format!("COPY events ({COPY_COLUMNS}) FROM STDIN (FORMAT binary)");
            let ledger = "INSERT INTO ingest_ledger (tenant_id, idempotency_key, request_sha256, route, receipt, \
                 http_status, accepted, rejected) VALUES ('raw', $1, decode(repeat('00', 32), 'hex'), 'raw', $2, 200, 1000, 0)";
            let ledger = client.prepare(ledger).await?;
            let copy = client.prepare(&sql).await?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(stream) = batches.get(number).cloned() else { return Ok::<(), tokio_postgres::Error>(()) };
                client.batch_execute("BEGIN").await?;
                client.execute(&ledger, &[&number.to_string(), &Uuid::now_v7()]).await?;
                let mut sink = Box::pin(client.copy_in(&copy).await?);
                sink.send(stream).await?;
                sink.as_mut().finish().await?;
                client.batch_execute("COMMIT").await?;
            }
        }));
    }
    for task in tasks {
        task.await??;
    }
    let elapsed_s = started.elapsed().as_secs_f64();
    let stored: i64 = target.owner.query_one("SELECT count(*) FROM events", &[]).await?.get(0);
    if usize::try_from(stored)? != expected {
        return Err(format!("{stored} events stored instead of {expected}").into());
    }
    Ok(elapsed_s)
}
