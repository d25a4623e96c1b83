//! The writers: each takes batches from the lane and writes them, whatever it takes within the deadline.
//!
//! What a failure means is asked of the error: a refused row becomes a dead letter and the rest goes in, a missing
//! partition is made, a database that is away is waited for. When a COMMIT's reply is lost, the transaction is first
//! brought to an end and then looked up; only if it did not commit is the batch run again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::isolate;
use super::lane::Lane;
use super::ledger::Claim;
use super::plan::{Place, Plan, PlanConfig};
use super::request::{Refusal, Submission};
use super::transaction::{Attempts, BatchIds, Failure, TransactionId, Verdict, attempt, committed};
use crate::event::{Code, RejectedItem, Rejection, Stage};
use crate::limits::{MESSAGE_CHARS_MAX, POISON_ROUNDS_MAX, WRITE_DEADLINE};
use crate::storage::{Database, Fate, StorageError};

/// Waits between attempts while the database is away.
const BACKOFF_FIRST: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// For the ROLLBACK after a failed attempt; past it the connection is dropped, which rolls back as well.
const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(1);
/// For a transaction whose COMMIT was lost to come to its end, and between two looks at it.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);
const SETTLE_POLL: Duration = Duration::from_millis(20);
/// What a sender is asked to wait when the database did not come back in time, in seconds.
const RETRY_AFTER_S: u32 = 2;
/// Partitions that appear missing again after having been made: another node drops them, or the clock is wrong.
const PARTITION_ROUNDS_MAX: usize = 3;

/// What every writer needs.
pub struct Writer {
    /// The database.
    pub database: Database,
    /// How rows are planned.
    pub config: PlanConfig,
    /// Batch ids, shared by the writers of this node.
    pub ids: Arc<Mutex<BatchIds>>,
}

/// How often each remedy was tried for a batch.
#[derive(Default)]
struct Rounds {
    poison: usize,
    partitions: usize,
}

impl Writer {
    /// Writes batches until the lane ends.
    pub async fn run(self: Arc<Self>, lane: Arc<Lane>) {
        while let Some(batch) = lane.next_batch().await {
            let rows: usize = batch.iter().map(|submission| submission.decoded.rows.rows.len()).sum();
            let started = Instant::now();
            self.write(batch).await;
            metrics::histogram!("tidegate_batch_write_seconds").record(started.elapsed().as_secs_f64());
            metrics::histogram!("tidegate_batch_rows").record(u32::try_from(rows).unwrap_or(u32::MAX));
        }
    }

    async fn write(&self, batch: Vec<Submission>) {
        let now = Instant::now();
        let (late, batch): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|submission| now.duration_since(submission.arrived) >= WRITE_DEADLINE);
        if !late.is_empty() {
            refuse(late, &StorageError::retryable("requests waited too long for a writer"), false);
        }
        let Some(first) = batch.iter().map(|submission| submission.arrived).min() else { return };
        let deadline = first + WRITE_DEADLINE;
        let mut batches = vec![batch];
        // A batch whose failure nobody can explain is split, so that one bad request does not refuse its neighbours.
        while let Some(batch) = batches.pop() {
            if let Err((batch, error)) = self.write_joined(batch, deadline).await {
                if batch.len() > 1 {
                    tracing::warn!(%error, requests = batch.len(), "a batch failed; writing its requests one by one");
                    batches.extend(batch.into_iter().map(|submission| vec![submission]));
                } else {
                    refuse(batch, &error, false);
                }
            }
        }
    }

    /// Writes a batch in one transaction, or gives it back with an error that waiting does not mend.
    async fn write_joined(
        &self,
        mut batch: Vec<Submission>,
        deadline: Instant,
    ) -> Result<(), (Vec<Submission>, StorageError)> {
        let mut rounds = Rounds::default();
        let mut attempts = Attempts::default();
        let mut backoff = BACKOFF_FIRST;
        loop {
            let failure = match self.try_once(&batch, &mut attempts, deadline).await {
                Ok(verdicts) => {
                    answer(batch, verdicts);
                    return Ok(());
                }
                Err(failure) => failure,
            };
            let fate = failure.error.fate();
            tracing::debug!(error = %failure.error, ?fate, failure.commit_unknown, "a batch could not be written");
            let mended = match (fate, failure.copy) {
                (Fate::RejectRow { line }, Some((plan, copy))) => {
                    rounds.poison += 1;
                    let line = line.filter(|_| rounds.poison <= POISON_ROUNDS_MAX);
                    self.cut_out(&mut batch, &plan, copy.zip(line), &failure.error, deadline).await
                }
                (Fate::DuplicateRow, _) if !attempts.staged => {
                    attempts.staged = true;
                    Ok(())
                }
                (Fate::MissingPartition, _) if rounds.partitions < PARTITION_ROUNDS_MAX => {
                    rounds.partitions += 1;
                    if let Some(partitions) = &self.database.partitions {
                        partitions.forget();
                    }
                    Ok(())
                }
                _ => Err(failure.error),
            };
            let Err(error) = mended else { continue };
            // While it is not known whether the batch is stored, it must neither be split nor be called unstored.
            if !error.is_retryable() && attempts.unconfirmed.is_none() {
                return Err((batch, error));
            }
            let now = Instant::now();
            if now >= deadline {
                refuse(batch, &error, attempts.unconfirmed.is_some());
                return Ok(());
            }
            tokio::time::sleep(backoff.min(deadline - now)).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// One attempt on a connection of the pool, given up at the deadline: a server that hangs runs no timeout of its own.
    async fn try_once(
        &self,
        batch: &[Submission],
        attempts: &mut Attempts,
        deadline: Instant,
    ) -> Result<Vec<Verdict>, Failure> {
        let client = tokio::time::timeout_at(deadline.into(), self.database.writer.get())
            .await
            .map_err(|_elapsed| silent())?
            .map_err(StorageError::from)?;
        let result = tokio::time::timeout_at(deadline.into(), self.try_on(&client, batch, attempts)).await;
        let (result, reusable) = match result {
            Ok(Ok(verdicts)) => (Ok(verdicts), true),
            Ok(Err(failure)) => {
                let rollback = client.batch_execute("ROLLBACK");
                let ended = tokio::time::timeout(ROLLBACK_TIMEOUT, rollback).await;
                (Err(failure), matches!(ended, Ok(Ok(()))))
            }
            Err(_elapsed) => (Err(silent().into()), false),
        };
        if !reusable {
            // A connection whose transaction is not known to be over is not given back to the pool.
            drop(deadpool_postgres::Object::take(client));
        }
        result
    }

    /// The attempt itself. An unknown COMMIT of the attempt before is cleared up first.
    async fn try_on(
        &self,
        client: &Client,
        batch: &[Submission],
        attempts: &mut Attempts,
    ) -> Result<Vec<Verdict>, Failure> {
        if attempts.unconfirmed.is_some() {
            settle(client, attempts.transaction.as_ref()).await?;
            let happened = committed(client, batch, attempts).await?;
            tracing::info!(happened, "the COMMIT whose reply was lost has been looked up");
            let verdicts = attempts.unconfirmed.take();
            if let (true, Some(verdicts)) = (happened, verdicts) {
                return Ok(verdicts);
            }
        }
        let mut ids = {
            let mut ids = self.ids.lock().await;
            let needed = batch.iter().map(|submission| submission.decoded.rows.streams.len()).sum();
            ids.refill(client, needed).await?;
            ids.take(needed)
        };
        let partitions = self.database.partitions.as_deref();
        attempt(client, batch, attempts, &mut ids, self.config, partitions).await
    }

    /// Turns the rows that PostgreSQL refused into dead letters: the one at `(copy, line)` if that is known, else whatever
    /// a search finds.
    async fn cut_out(
        &self,
        batch: &mut [Submission],
        plan: &Plan,
        at: Option<(usize, u64)>,
        error: &StorageError,
        deadline: Instant,
    ) -> Result<(), StorageError> {
        let place = at.and_then(|(copy, line)| {
            let index = usize::try_from(line).ok()?.checked_sub(1)?;
            plan.copies[copy].places.get(index)
        });
        let refused: Vec<(Place, String)> = match place {
            Some(place) => vec![(*place, error.to_string())],
            None => {
                let client = self.database.writer.get().await?;
                let search = isolate::refused_rows(&client, batch, plan, self.config);
                match tokio::time::timeout_at(deadline.into(), search).await {
                    Ok(Ok(refused)) => refused,
                    // Its transaction is not over.
                    other => {
                        drop(deadpool_postgres::Object::take(client));
                        return Err(
                            other.map_or_else(|_elapsed| silent(), |result| result.err().unwrap_or_else(silent))
                        );
                    }
                }
            }
        };
        if refused.is_empty() {
            // Together they fail, alone each goes in: nothing to cut out, and no reason to try for ever.
            return Err(StorageError::fatal(format!("no single row explains the error: {error}")));
        }
        reject(batch, refused);
        Ok(())
    }
}

fn silent() -> StorageError {
    StorageError::retryable("the database did not answer in time")
}

/// Moves the rows at these places to the rejected items of their submissions.
fn reject(batch: &mut [Submission], mut refused: Vec<(Place, String)>) {
    // From the back, so that the indexes of the rows that stay are still right.
    refused.sort_by_key(|(place, _)| std::cmp::Reverse((place.submission, place.row)));
    for (place, reason) in refused {
        let decoded = &mut batch[place.submission].decoded;
        let row = decoded.rows.rows.remove(place.row);
        let message = format!("PostgreSQL refused the row: {reason}");
        let rejection = Rejection {
            stage: Stage::Write,
            code: Code::RowRefused,
            message: message.chars().filter(|c| *c != '\0').take(MESSAGE_CHARS_MAX).collect(),
        };
        decoded.rejected.push(RejectedItem { index: row.item, raw: row.raw, event_id: Some(row.id), rejection });
        decoded.rejected.sort_by_key(|item| item.index);
    }
}

/// Waits until the transaction is over, ending its backend if it is still at work: it may be waiting for a client that
/// is gone, and no timeout of PostgreSQL frees it from inside COPY.
async fn settle(client: &Client, transaction: Option<&TransactionId>) -> Result<(), StorageError> {
    let Some(TransactionId { xid, server_start }) = transaction else { return Ok(()) };
    let deadline = Instant::now() + SETTLE_TIMEOUT;
    loop {
        let sql = "SELECT pg_postmaster_start_time() = $2 AND coalesce(pg_xact_status($1::text::xid8) = 'in progress', false)";
        let open = match client.query_one(sql, &[xid, server_start]).await {
            Ok(row) => row.get::<_, bool>(0),
            // A number that this server has not given out yet: it was another server's.
            Err(error) if error.code() == Some(&SqlState::INVALID_PARAMETER_VALUE) => false,
            Err(error) => return Err(error.into()),
        };
        if !open {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(StorageError::retryable("a transaction whose COMMIT was lost does not end"));
        }
        // Not allowed to a role that stepped down from superuser; then it is only waited for.
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE backend_xid = ($1::text::xid8)::xid AND pid <> pg_backend_pid()";
        if let Err(error) = client.execute(end, &[xid]).await {
            tracing::debug!(%error, "the backend of a lost COMMIT cannot be ended");
        }
        tokio::time::sleep(SETTLE_POLL).await;
    }
}

fn answer(batch: Vec<Submission>, verdicts: Vec<Verdict>) {
    for (submission, verdict) in batch.into_iter().zip(verdicts) {
        submission.finish(match verdict {
            Verdict::Written(outcome) | Verdict::Claimed(Claim::Replay(outcome)) => Ok(outcome),
            Verdict::Claimed(Claim::InFlight | Claim::New) => Err(Refusal::KeyInFlight),
            Verdict::Claimed(Claim::Reused) => Err(Refusal::KeyReused),
        });
    }
}

fn refuse(batch: Vec<Submission>, error: &StorageError, unconfirmed: bool) {
    let requests = batch.len();
    let reason = if unconfirmed {
        tracing::error!(%error, requests, "the database went away during COMMIT and did not come back in time");
        "the database went away during COMMIT: it is not known whether this request was stored; send it again, with the \
         same Idempotency-Key if it had one"
    } else if error.is_retryable() {
        tracing::warn!(%error, requests, "the database did not take a batch in time; senders are asked to retry");
        "the database is away or too slow at the moment; nothing of this request was stored"
    } else {
        metrics::counter!("tidegate_batches_failed_total").increment(1);
        tracing::error!(%error, requests, "a batch cannot be written until an operator acts; senders keep their data");
        "the database refused the batch; nothing of this request was stored"
    };
    for submission in batch {
        submission.finish(Err(Refusal::Unavailable { retry_after_s: RETRY_AFTER_S, reason: reason.into() }));
    }
}
