//! COPY streams sent to the server: those of a plan one behind the other, or a single one.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::SinkExt;
use tokio_postgres::{Client, CopyInSink, Statement};

use super::plan::{Plan, PlanConfig};
use super::submission::Submission;
use crate::model::Kind;

pub type Sink = Pin<Box<CopyInSink<Bytes>>>;

/// Sends the COPYs one behind the other; the last one is left to be finished together with what follows it. On failure
/// it says which one failed.
pub async fn copy(
    client: &Client,
    statement: &Statement,
    batch: &[Submission],
    plan: &Plan,
    config: PlanConfig,
) -> Result<Option<Sink>, (usize, tokio_postgres::Error)> {
    let mut open = None;
    // The session's own setting is on.
    let mut direct = true;
    for (index, part) in plan.copies.iter().enumerate() {
        let stream = plan.stream(batch, part);
        let change = config.direct_compress && part.direct != direct;
        direct = part.direct;
        let change = async { if change { set_direct_compress(client, direct).await } else { Ok(()) } };
        let before = index.saturating_sub(1);
        let (done, changed, begun) = tokio::join!(biased; finish(open), change, client.copy_in(statement));
        done.map_err(|error| (before, error))?;
        changed.map_err(|error| (index, error))?;
        let mut sink = Box::pin(begun.map_err(|error| (index, error))?);
        sink.send(stream).await.map_err(|error| (index, error))?;
        open = Some(sink);
    }
    Ok(open)
}

pub async fn finish(open: Option<Sink>) -> Result<(), tokio_postgres::Error> {
    match open {
        Some(mut sink) => sink.as_mut().finish().await.map(|_rows| ()),
        None => Ok(()),
    }
}

/// The COPY of rows of a kind into `table`.
pub fn copy_sql(table: &str, kind: Kind) -> String {
    let columns = kind.copy_columns();
    format!("COPY {table} ({columns}) FROM STDIN (FORMAT binary)")
}

/// Chooses, for the rest of the transaction, whether COPY goes into the columnstore.
pub async fn set_direct_compress(client: &Client, on: bool) -> Result<(), tokio_postgres::Error> {
    let value = if on { "on" } else { "off" };
    client.batch_execute(&format!("SET LOCAL timescaledb.enable_direct_compress_copy = {value}")).await
}

/// Runs one COPY whose whole stream is at hand: a COPY that waits for data holds its locks for as long as it likes,
/// and no timeout of PostgreSQL ends it.
pub async fn send(client: &Client, sql: &str, stream: Bytes) -> Result<(), tokio_postgres::Error> {
    let mut sink: Sink = Box::pin(client.copy_in(sql).await?);
    sink.send(stream).await?;
    finish(Some(sink)).await
}
