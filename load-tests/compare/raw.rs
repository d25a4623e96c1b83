//! COPY without HTTP and JSON: pre-encoded binary streams on plain connections, one transaction and one ledger row each.
//! With direct compress on, on the columnstore profile, this is the limit that Tidegate is compared with.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::SinkExt;
use tidegate::model::Kind;
use tokio_postgres::Client;
use uuid::Uuid;

use super::common::Result;
use super::meter::{Meter, Usage};
use super::target::Target;

const LEDGER: &str = "INSERT INTO ingest_ledger (tenant_id, idempotency_key, request_sha256, route, receipt, \
     http_status, accepted, rejected) VALUES ('raw', $1, decode(repeat('00', 32), 'hex'), 'raw', $2, 200, 1000, 0)";

/// Sends all streams of rows of a kind on `connections` connections.
pub async fn run(target: &Target, kind: Kind, streams: Vec<Bytes>, connections: usize) -> Result<Usage> {
    let streams: Arc<[Bytes]> = streams.into();
    let clients = writers(target, connections, true).await?;
    each(target, clients, streams.len(), move |client, numbers| {
        let streams = Arc::clone(&streams);
        async move { copy(&client, kind.table(), kind.copy_columns(), &streams, &numbers).await }
    })
    .await
}

/// Writes streams, each in a transaction of its own with a row of the ledger.
pub async fn copy(client: &Client, table: &str, columns: &str, streams: &[Bytes], numbers: &Numbers) -> Result<()> {
    let ledger = client.prepare(LEDGER).await?;
    while let Some(number) = numbers.take() {
        client.batch_execute("BEGIN").await?;
        client.execute(&ledger, &[&number.to_string(), &Uuid::now_v7()]).await?;
        copy_into(client, table, columns, streams[number].clone()).await?;
        client.batch_execute("COMMIT").await?;
    }
    Ok(())
}

/// Writes a stream.
pub async fn copy_into(client: &Client, table: &str, columns: &str, stream: Bytes) -> Result<()> {
    let sql = format!("COPY {table} ({columns}) FROM STDIN (FORMAT binary)");
    let mut sink = Box::pin(client.copy_in(&sql).await?);
    sink.send(stream).await?;
    sink.as_mut().finish().await?;
    Ok(())
}

/// The numbers of what is to be done, each handed out once.
pub struct Numbers {
    next: AtomicUsize,
    end: usize,
}

impl Numbers {
    pub fn up_to(end: usize) -> Self {
        Self { next: AtomicUsize::new(0), end }
    }

    /// The next one.
    pub fn take(&self) -> Option<usize> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number < self.end).then_some(number)
    }
}

/// Connections of the writer.
pub async fn writers(target: &Target, connections: usize, direct: bool) -> Result<Vec<Client>> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(target.writer(direct).await?);
    }
    Ok(clients)
}

/// Starts the clock, and lets each connection do its part of `count` numbers.
pub async fn each<F: Future<Output = Result<()>> + Send + 'static>(
    target: &Target,
    clients: Vec<Client>,
    count: usize,
    work: impl Fn(Client, Arc<Numbers>) -> F,
) -> Result<Usage> {
    let numbers = Arc::new(Numbers::up_to(count));
    let meter = Meter::start(target);
    let mut tasks = tokio::task::JoinSet::new();
    for client in clients {
        tasks.spawn(work(client, Arc::clone(&numbers)));
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    Ok(meter.stop(target))
}
