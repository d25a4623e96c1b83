//! The writers: each takes batches from a lane and writes them, whatever it takes within the deadline.
//!
//! What a failure means is asked of the error: a refused row becomes a dead letter and the rest goes in, a missing
//! partition is made, a database that is away is waited for. When a COMMIT's reply is lost, the transaction is first
//! brought to an end and then looked up; only if it did not commit is the batch run again. What cannot be written in
//! time is left to the [`Shelter`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::Object;
use tokio::sync::Mutex;

use super::attempts::{Attempts, Unwritten, Verdict};
use super::births::Births;
use super::connect::connection;
use super::lanes::{Lanes, Traffic};
use super::plan::PlanConfig;
use super::poison;
use super::queues::Load;
use super::series::KnownSeries;
use super::series_quota::SeriesQuota;
use super::settle::{committed, settle};
use super::shelter::Shelter;
use super::stream_quota::StreamQuota;
use super::submission::Submission;
use super::transaction::{BatchIds, Failure, Means, attempt};
use crate::limits::POISON_ROUNDS_MAX;
use crate::model::{Kind, PerKind};
use crate::storage::{Database, Fate, StorageError};

/// Waits between attempts while the database is away.
const BACKOFF_FIRST: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// For the ROLLBACK after a failed attempt; past it the connection is dropped, which rolls back as well.
const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(1);
/// Partitions that appear missing again after having been made: another node drops them, or the clock is wrong.
const PARTITION_ROUNDS_MAX: usize = 3;
/// Plans that others overtake, who make chunks of the same days in another way.
const RECUT_ROUNDS_MAX: usize = 3;
/// How long a transaction with rows for closed chunks waits for a chunk that is being compressed.
const LATE_LOCK_TIMEOUT: &str = "2s";

pub struct Writer {
    pub database: Database,
    pub config: PlanConfig,
    /// The chunks known to be in the columnstore.
    pub births: PerKind<Births>,
    pub series: KnownSeries,
    pub series_quota: Arc<SeriesQuota>,
    pub stream_quota: Arc<StreamQuota>,
    /// Batch ids, shared by the writers of this node.
    pub ids: Mutex<BatchIds>,
    /// Where submissions go that the database does not take.
    pub shelter: Arc<Shelter>,
}

/// How often each remedy was tried for a batch.
#[derive(Default)]
struct Rounds {
    poison: usize,
    partitions: usize,
    recut: usize,
}

impl Writer {
    /// Writes batches until the lane ends.
    pub async fn run(self: Arc<Self>, lanes: Arc<PerKind<Lanes>>, kind: Kind, traffic: Traffic) {
        let lane = lanes.of(kind).of(traffic);
        while let Some(batch) = lane.next_batch().await {
            let rows: usize = batch.iter().map(|submission| submission.decoded.rows.rows.len()).sum();
            let started = Instant::now();
            self.write(batch, traffic).await;
            metrics::histogram!("tidegate_batch_write_seconds").record(started.elapsed().as_secs_f64());
            metrics::histogram!("tidegate_batch_rows").record(u32::try_from(rows).unwrap_or(u32::MAX));
        }
    }

    async fn write(&self, batch: Vec<Submission>, traffic: Traffic) {
        if self.shelter.takes_over() {
            return self.shelter.park(batch, None).await;
        }
        let (now, patience) = (Instant::now(), self.shelter.patience());
        let (late, batch): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|submission| now.duration_since(submission.arrived) >= patience);
        if !late.is_empty() {
            self.shelter.give_up(late, Unwritten::overdue()).await;
        }
        let Some(first) = batch.iter().map(|submission| submission.arrived).min() else { return };
        let mut deadline = first + patience;
        let mut batches = vec![batch];
        // A batch whose failure nobody can explain is split, so that one bad request does not refuse its neighbours.
        while let Some(mut batch) = batches.pop() {
            match self.write_joined(&mut batch, traffic, deadline).await {
                Ok(verdicts) => {
                    let rows = batch.iter().map(Load::rows).sum();
                    let bytes = batch.iter().map(Submission::held_bytes).sum();
                    self.shelter.settled(rows, bytes, now.elapsed());
                    answer(batch, verdicts);
                }
                Err(Unwritten { error, attempts, .. }) if may_be_split(&batch, &error, &attempts) => {
                    tracing::warn!(%error, requests = batch.len(), "a batch failed; writing its requests one by one");
                    batches.extend(batch.into_iter().map(|submission| vec![submission]));
                    // The database is at work: each of them gets all the time again.
                    deadline = Instant::now() + patience;
                }
                // What meets compression, or is very much, says nothing about the database; live traffic would notice.
                Err(unwritten) if traffic == Traffic::Late => {
                    self.shelter.give_up(batch, Unwritten { crowded: true, ..unwritten }).await;
                }
                Err(unwritten) => self.shelter.give_up(batch, unwritten).await,
            }
        }
    }

    /// Writes a batch of one kind in one transaction, trying until the deadline what waiting may mend. A row that
    /// PostgreSQL refuses is moved to the rejected items of its submission.
    pub async fn write_joined(
        &self,
        batch: &mut [Submission],
        traffic: Traffic,
        mut deadline: Instant,
    ) -> Result<Vec<Verdict>, Unwritten> {
        let patience = deadline.saturating_duration_since(Instant::now());
        let kind = batch[0].received.kind;
        debug_assert!(batch.iter().all(|submission| submission.received.kind == kind));
        let (mut failing, mut crowded) = (false, false);
        // What the last try was told that did not just come to the deadline.
        let mut said: Option<StorageError> = None;
        let mut rounds = Rounds::default();
        let mut attempts = Attempts::default();
        let mut backoff = BACKOFF_FIRST;
        loop {
            let failure = match self.try_once(batch, &mut attempts, traffic, deadline).await {
                Ok(verdicts) => return Ok(verdicts),
                Err(failure) => failure,
            };
            let fate = failure.error.fate();
            let unconfirmed = attempts.unconfirmed.is_some();
            tracing::debug!(error = %failure.error, ?fate, unconfirmed, "a batch could not be written");
            let mended = match (fate, failure.copy) {
                _ if !failure.over_quota.is_empty() => {
                    if let Ok(client) = connection(&self.database, deadline).await {
                        self.series_quota.refused(&client, batch, &failure.over_quota).await;
                    }
                    poison::reject_over_quota(batch, failure.over_quota, self.series_quota.max());
                    Ok(())
                }
                _ if !failure.over_streams.is_empty() => {
                    self.stream_quota.refused(batch, &failure.over_streams);
                    poison::reject_over_streams(batch, failure.over_streams, self.stream_quota.max());
                    Ok(())
                }
                _ if !failure.conflicts.is_empty() => {
                    poison::reject_conflicts(batch, failure.conflicts);
                    Ok(())
                }
                _ if failure.recut && rounds.recut < RECUT_ROUNDS_MAX => {
                    rounds.recut += 1;
                    Ok(())
                }
                (Fate::RejectRow { line }, Some((plan, copy))) => {
                    rounds.poison += 1;
                    let at = copy.zip(line.filter(|_| rounds.poison <= POISON_ROUNDS_MAX));
                    poison::cut_out(&self.database, self.config, batch, &plan, at, &failure.error).await
                }
                (Fate::DuplicateRow, _) if !attempts.staged => {
                    attempts.staged = true;
                    Ok(())
                }
                (Fate::MissingPartition, _) if rounds.partitions < PARTITION_ROUNDS_MAX => {
                    rounds.partitions += 1;
                    self.database.store.forget();
                    Ok(())
                }
                _ => Err(failure.error),
            };
            let now = Instant::now();
            let Err(error) = mended else {
                // The database is at work: what remains gets all the time again.
                deadline = deadline.max(now + patience);
                continue;
            };
            // A try that the deadline cuts short says nothing new.
            crowded = error.is_contention() || (crowded && now >= deadline);
            if !failing && !error.is_contention() {
                failing = true;
                deadline = deadline.min(now + self.shelter.patience_with_errors());
            }
            // While it is not known whether the batch is stored, it must neither be split nor be called unstored.
            if now >= deadline || (!error.is_retryable() && !unconfirmed) {
                let error = said.filter(|said| error.is_silence() && said.fate() == error.fate()).unwrap_or(error);
                return Err(Unwritten { error, attempts, crowded });
            }
            said = Some(error).filter(|error| !error.is_silence()).or(said);
            tokio::time::sleep(backoff.min(deadline - now)).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// One attempt on a connection of the pool, given up at the deadline: a server that hangs runs no timeout of its
    /// own.
    async fn try_once(
        &self,
        batch: &[Submission],
        attempts: &mut Attempts,
        traffic: Traffic,
        deadline: Instant,
    ) -> Result<Vec<Verdict>, Failure> {
        let client = connection(&self.database, deadline).await?;
        let result = tokio::time::timeout_at(deadline.into(), self.try_on(&client, batch, attempts, traffic)).await;
        let (result, reusable) = match result {
            Ok(Ok(verdicts)) => {
                attempts.transaction = None;
                (Ok(verdicts), true)
            }
            Ok(Err(failure)) => {
                let over = failure.over || (!failure.out_of_step && rolled_back(&client).await);
                if over && attempts.unconfirmed.is_none() {
                    attempts.transaction = None;
                }
                // A server that is read-only, or whose schema is not as it was prepared for, may be another one after
                // the next connect.
                let same = !failure.error.fate().is_of_database();
                (Err(failure), over && same)
            }
            Err(_elapsed) => (Err(StorageError::silence().into()), false),
        };
        if !reusable {
            // A connection whose transaction is not known to be over is not given back to the pool.
            drop(Object::take(client));
        }
        result
    }

    /// The attempt itself. The one before, if it is not known to be over, is brought to its end first: it may hold the
    /// locks of the batch's keys, and may have committed.
    async fn try_on(
        &self,
        client: &Object,
        batch: &[Submission],
        attempts: &mut Attempts,
        traffic: Traffic,
    ) -> Result<Vec<Verdict>, Failure> {
        if let Some(transaction) = &attempts.transaction {
            settle(client, transaction).await?;
        }
        if attempts.unconfirmed.is_some() {
            let happened = committed(client, batch, &attempts.batch_ids()).await?;
            tracing::info!(happened, "the COMMIT whose reply was lost has been looked up");
            let verdicts = attempts.unconfirmed.take();
            if let (true, Some(verdicts)) = (happened, verdicts) {
                return Ok(verdicts);
            }
        }
        attempts.transaction = None;
        let mut ids = {
            let mut ids = self.ids.lock().await;
            let needed = batch.iter().map(|submission| submission.decoded.rows.streams.len()).sum();
            ids.refill(client, needed).await?;
            ids.take(needed)
        };
        let kind = batch[0].received.kind;
        let means = Means {
            kind,
            config: self.config,
            births: self.births.of(kind),
            series: &self.series,
            series_quota: &self.series_quota,
            stream_quota: &self.stream_quota,
            slices: self.database.slices.of(kind),
            table: self.database.copied.of(kind),
            store: &self.database.store,
            lock_timeout: (traffic == Traffic::Late).then_some(LATE_LOCK_TIMEOUT),
        };
        attempt(client, batch, attempts, &mut ids, means).await
    }
}

/// Whether writing the requests one by one may save some.
fn may_be_split(batch: &[Submission], error: &StorageError, attempts: &Attempts) -> bool {
    let of_all = error.is_retryable() || error.is_another_database();
    batch.len() > 1 && !of_all && attempts.unconfirmed.is_none()
}

async fn rolled_back(client: &Object) -> bool {
    matches!(tokio::time::timeout(ROLLBACK_TIMEOUT, client.batch_execute("ROLLBACK")).await, Ok(Ok(())))
}

fn answer(batch: Vec<Submission>, verdicts: Vec<Verdict>) {
    for (submission, verdict) in batch.into_iter().zip(verdicts) {
        submission.finish(match verdict {
            Verdict::Written(outcome) => Ok(outcome),
            Verdict::Claimed(claim) => claim.reply(),
        });
    }
}
