//! One attempt to write a batch: BEGIN, claims, COPY, ledger, dead letters, manifests, COMMIT.
//!
//! Everything of a batch is in one transaction, so that an answer of 200 means that its rows, its ledger row and its
//! dead letters are all there or, if the attempt fails, none is.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::SinkExt;
use jiff::Timestamp;
use tokio_postgres::Client;

use super::ledger::{self, Claim};
use super::plan::{Copy, Manifest, Plan, PlanConfig, plan};
use super::request::{Outcome, Submission};
use super::{dead_letters, staging};
use crate::event::pgcopy::COPY_COLUMNS;
use crate::storage::{Partitions, StorageError};

/// What a batch keeps from one attempt to the next.
#[derive(Default)]
pub struct Attempts {
    /// Batch ids already drawn: an attempt that may have committed is looked up by them.
    batch_ids: BTreeMap<(Arc<str>, String), i64>,
    /// A unique index was hit (rowstore profile): go through the staging table.
    pub staged: bool,
    /// The last attempt's transaction.
    pub transaction: Option<TransactionId>,
    /// What the last attempt answers if its COMMIT, whose reply did not come, did happen.
    pub unconfirmed: Option<Vec<Verdict>>,
}

/// A transaction, and the run of the server that it belongs to: after a crash the number can be given out again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionId {
    /// Its number with epoch, as text.
    pub xid: String,
    /// When the server started.
    pub server_start: Timestamp,
}

/// READ COMMITTED whatever the database's default: the ledger must be read as it is once the key's lock is held.
pub const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// How one submission fared in a committed attempt.
#[derive(Debug)]
pub enum Verdict {
    /// Written now.
    Written(Outcome),
    /// Written before, or not to be written.
    Claimed(Claim),
}

/// Why an attempt failed.
pub struct Failure {
    /// The error.
    pub error: StorageError,
    /// COMMIT was sent and its reply did not come: it may have happened.
    pub commit_unknown: bool,
    /// The plan whose rows met the error, and which of its COPYs, if it was one: only then is an error's line a row.
    pub copy: Option<(Plan, Option<usize>)>,
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self { error: error.into(), commit_unknown: false, copy: None }
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self { error, commit_unknown: false, copy: None }
    }
}

/// Draws batch ids in blocks of the sequence.
#[derive(Debug, Default)]
pub struct BatchIds {
    blocks: Vec<std::ops::Range<i64>>,
}

impl BatchIds {
    /// Makes sure that `count` ids can be drawn without the database.
    pub async fn refill(&mut self, client: &Client, count: usize) -> Result<(), tokio_postgres::Error> {
        let left = |blocks: &[std::ops::Range<i64>]| blocks.iter().map(|block| block.end - block.start).sum::<i64>();
        while usize::try_from(left(&self.blocks)).unwrap_or(0) < count {
            let start: i64 = client.query_one("SELECT nextval('ingest_batch_id')", &[]).await?.get(0);
            self.blocks.push(start..start + crate::limits::BATCH_ID_BLOCK);
        }
        Ok(())
    }

    /// Takes `count` ids out, for one batch.
    pub fn take(&mut self, count: usize) -> Self {
        Self { blocks: (0..count).map(|_| self.draw()).map(|id| id..id + 1).collect() }
    }

    fn draw(&mut self) -> i64 {
        self.blocks.retain(|block| !block.is_empty());
        self.blocks.first_mut().and_then(Iterator::next).expect("refill() was called with the number of ids needed")
    }
}

/// Runs one attempt on `client`; `ids` holds one for each (tenant, stream) that the batch can have. On failure the
/// caller rolls back.
pub async fn attempt(
    client: &Client,
    batch: &[Submission],
    attempts: &mut Attempts,
    ids: &mut BatchIds,
    config: PlanConfig,
    partitions: Option<&Partitions>,
) -> Result<Vec<Verdict>, Failure> {
    client.batch_execute(BEGIN).await?;
    let row = client.query_one("SELECT pg_current_xact_id()::text, pg_postmaster_start_time()", &[]).await?;
    attempts.transaction = Some(TransactionId { xid: row.get(0), server_start: row.get(1) });
    let claims = ledger::claim(client, batch).await?;
    let taking: Vec<usize> = (0..batch.len()).filter(|index| matches!(claims[*index], Claim::New)).collect();
    let mut plan = plan(batch, &taking, config, |tenant_id, stream| {
        *attempts.batch_ids.entry((Arc::clone(tenant_id), stream.to_owned())).or_insert_with(|| ids.draw())
    });
    if let Some(partitions) = partitions {
        partitions.ensure(plan.timestamps_us(batch)).await?;
    }
    let mut duplicates = vec![0; batch.len()];
    if attempts.staged {
        match staging::copy(client, batch, &mut plan).await {
            Ok(found) => duplicates = found,
            Err(error) => {
                return Err(Failure { error: error.into(), commit_unknown: false, copy: Some((plan, None)) });
            }
        }
    } else {
        for index in 0..plan.copies.len() {
            if let Err(error) = copy(client, batch, &plan, &plan.copies[index], config).await {
                return Err(Failure { error: error.into(), commit_unknown: false, copy: Some((plan, Some(index))) });
            }
        }
    }
    let written: Vec<(usize, Outcome)> =
        taking.iter().map(|&index| (index, batch[index].outcome(duplicates[index]))).collect();
    ledger::remember(client, batch, &written).await?;
    dead_letters::insert(client, batch, taking.iter().copied()).await?;
    insert_manifests(client, &plan.manifests).await?;
    let mut verdicts: Vec<Verdict> = claims.into_iter().map(Verdict::Claimed).collect();
    for (index, outcome) in written {
        verdicts[index] = Verdict::Written(outcome);
    }
    // Noted before COMMIT is sent: if this future is dropped while it waits for the reply, the outcome is unknown.
    attempts.unconfirmed = Some(verdicts);
    let result = commit(client).await;
    match result {
        Ok(()) => Ok(attempts.unconfirmed.take().unwrap_or_default()),
        Err(failure) => {
            if !failure.commit_unknown {
                attempts.unconfirmed = None;
            }
            Err(failure)
        }
    }
}

async fn commit(client: &Client) -> Result<(), Failure> {
    client.batch_execute("COMMIT").await.map_err(|error| {
        // With a SQLSTATE that is not about the connection or a shutdown, PostgreSQL says that it rolled back.
        let sure = error.as_db_error().is_some_and(|db| !matches!(&db.code().code()[..2], "08" | "57"));
        Failure { error: StorageError::from(error).doing("COMMIT"), commit_unknown: !sure, copy: None }
    })
}

async fn copy(
    client: &Client,
    batch: &[Submission],
    plan: &Plan,
    copy: &Copy,
    config: PlanConfig,
) -> Result<(), tokio_postgres::Error> {
    if config.direct_compress {
        set_direct_compress(client, copy.direct).await?;
    }
    let sql = format!("COPY events ({COPY_COLUMNS}) FROM STDIN (FORMAT binary)");
    send(client, &sql, plan.stream(batch, &copy.places)).await
}

/// Chooses, for the rest of the transaction, whether COPY goes into the columnstore.
pub async fn set_direct_compress(client: &Client, on: bool) -> Result<(), tokio_postgres::Error> {
    let value = if on { "on" } else { "off" };
    client.batch_execute(&format!("SET LOCAL timescaledb.enable_direct_compress_copy = {value}")).await
}

/// Runs one COPY whose whole stream is at hand: a COPY that waits for data holds its locks for as long as it likes, and
/// no timeout of PostgreSQL ends it.
pub async fn send(client: &Client, sql: &str, stream: Bytes) -> Result<(), tokio_postgres::Error> {
    let mut sink = Box::pin(client.copy_in(sql).await?);
    sink.send(stream).await?;
    sink.as_mut().finish().await.map(|_rows| ())
}

const MANIFESTS: &str = "INSERT INTO ingest_batches \
     (tenant_id, batch_id, stream, event_count, min_timestamp, max_timestamp, touched_hours) \
     SELECT m.tenant_id, m.batch_id, m.stream, m.event_count, m.min_timestamp, m.max_timestamp, \
            ARRAY(SELECT to_timestamp(hour::double precision) FROM unnest(string_to_array(m.hours, ',')) AS hour) \
     FROM unnest($1::text[], $2::bigint[], $3::text[], $4::integer[], $5::timestamptz[], $6::timestamptz[], $7::text[]) \
     AS m (tenant_id, batch_id, stream, event_count, min_timestamp, max_timestamp, hours)";

async fn insert_manifests(client: &Client, manifests: &[Manifest]) -> Result<(), Failure> {
    // Of a batch whose rows were all there already (rowstore profile) there is nothing to say.
    let manifests: Vec<&Manifest> = manifests.iter().filter(|manifest| manifest.event_count > 0).collect();
    if manifests.is_empty() {
        return Ok(());
    }
    let time = |us: i64| {
        Timestamp::from_microsecond(us)
            .map_err(|_| StorageError::fatal("a timestamp that validation should have refused"))
    };
    let tenants: Vec<&str> = manifests.iter().map(|manifest| &*manifest.tenant_id).collect();
    let ids: Vec<i64> = manifests.iter().map(|manifest| manifest.batch_id).collect();
    let streams: Vec<&str> = manifests.iter().map(|manifest| manifest.stream.as_str()).collect();
    let counts: Vec<i32> = manifests.iter().map(|manifest| manifest.event_count).collect();
    let oldest = manifests.iter().map(|manifest| time(manifest.bounds_us.0)).collect::<Result<Vec<_>, _>>()?;
    let newest = manifests.iter().map(|manifest| time(manifest.bounds_us.1)).collect::<Result<Vec<_>, _>>()?;
    // Arrays of arrays must be rectangular in PostgreSQL; the hours travel as text, in seconds.
    let hours: Vec<String> = manifests
        .iter()
        .map(|manifest| {
            manifest.hours_us.iter().map(|hour| (hour / 1_000_000).to_string()).collect::<Vec<_>>().join(",")
        })
        .collect();
    client.execute(MANIFESTS, &[&tenants, &ids, &streams, &counts, &oldest, &newest, &hours]).await?;
    Ok(())
}

/// Whether the attempt that is remembered in `attempts` committed; called when no transaction of it is open any more.
pub async fn committed(client: &Client, batch: &[Submission], attempts: &Attempts) -> Result<bool, StorageError> {
    let ids: Vec<i64> = attempts.batch_ids.values().copied().collect();
    let letters: Vec<uuid::Uuid> = batch
        .iter()
        .flat_map(|submission| submission.decoded.rejected.iter().map(|item| dead_letters::id(submission, item.index)))
        .collect();
    let tenants: Vec<&str> = batch.iter().map(|submission| &*submission.tenant_id).collect();
    let receipts: Vec<uuid::Uuid> = batch.iter().map(|submission| submission.receipt).collect();
    let sql = "SELECT EXISTS (SELECT FROM ingest_batches WHERE batch_id = ANY ($1)) \
               OR EXISTS (SELECT FROM dead_letter_events WHERE tenant_id = ANY ($3) AND id = ANY ($2)) \
               OR EXISTS (SELECT FROM ingest_ledger WHERE tenant_id = ANY ($3) AND receipt = ANY ($4))";
    Ok(client.query_one(sql, &[&ids, &letters, &tenants, &receipts]).await?.get(0))
}
