//! Where submissions go that the database does not take in time: into the spool, or back to their senders.
//!
//! Keeps what is known of the database, which is away until it was there once: while it is away, requests go to the spool without waiting for it, and a probe
//! looks for its return. A request that is safe on disk is answered 202 and written later by the drain.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::watch;

use super::attempts::{Attempts, TransactionId, Unwritten, Verdict};
use super::available::Available;
use super::connect::ask;
use super::health::{Health, Reason};
use super::outcome::Refusal;
use super::pressure::Pressure;
use super::spool::{AppendError, Entry, PossiblyCommitted, RecordPayload, Spool, SpooledRequest};
use super::submission::Submission;
use crate::budget::{Budget, HeldFor};
use crate::limits::{SPOOL_AFTER, SPOOL_AFTER_ERROR, WRITE_DEADLINE};
use crate::storage::{Database, Fate, StorageError};

/// Between two looks for a database that is away, at first and at most; and for one look.
const PROBE_FIRST: Duration = Duration::from_millis(100);
const PROBE_MAX: Duration = Duration::from_secs(2);
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// A database that fails again this soon after its return was not really back: the next probe waits longer.
const RELAPSE: Duration = Duration::from_secs(10);

/// How long a spool that refused a request counts as one that takes none.
const REFUSAL_BELIEVED: Duration = Duration::from_secs(10);

/// Tries of the drain in vain, after which somebody should know.
const VAIN_MIN: u32 = 3;

/// The spool, if there is one, and what is known of the database.
pub struct Shelter {
    spool: Option<Arc<Spool>>,
    health: watch::Sender<Health>,
    /// When the spool last did not take a request, unless it has taken one since.
    refused_at: Mutex<Option<Instant>>,
    /// Batches written since the start, live and drained ones.
    written: AtomicU64,
    /// Why the spool is not drained although the database takes batches.
    undrained: Mutex<Option<Reason>>,
    pressure: Arc<Pressure>,
    budget: Arc<Budget>,
    /// What `tidegate_database_available` is of.
    gauge: Available,
}

impl Shelter {
    pub fn new(spool: Option<Arc<Spool>>, pressure: Arc<Pressure>, budget: Arc<Budget>) -> Self {
        Self::of(spool, pressure, budget, Available::default())
    }

    fn of(spool: Option<Arc<Spool>>, pressure: Arc<Pressure>, budget: Arc<Budget>, gauge: Available) -> Self {
        gauge.goes();
        let since = Instant::now();
        pressure.away(since);
        let health = watch::Sender::new(Health::Away { since, reason: None, another: false });
        metrics::gauge!("tidegate_spool_drain_failing").set(0.0);
        let (refused_at, written, undrained) = Default::default();
        Self { spool, health, refused_at, written, undrained, pressure, budget, gauge }
    }

    /// Of another home, with the same spool.
    pub fn beside(&self) -> Self {
        Self::of(self.spool.clone(), Arc::clone(&self.pressure), Arc::clone(&self.budget), self.gauge.beside())
    }

    /// From now on it is that of a cell, whose own gauge is beside that of all.
    pub fn is_of(&self, cell: &str) {
        self.gauge.is_of(cell);
    }

    /// The cell that it is of, if it is of one.
    pub fn cell(&self) -> Option<&str> {
        self.gauge.cell()
    }

    /// Notes that a batch was written.
    pub fn settled(&self, rows: usize, bytes: usize, took: Duration) {
        self.wrote();
        self.pressure.settled(rows, bytes, took, Instant::now());
    }

    /// Notes that a batch of live or spooled requests was written.
    pub fn wrote(&self) {
        self.written.fetch_add(1, Ordering::Relaxed);
    }

    /// How many batches were written since the start.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Notes that the drain goes on.
    pub fn drains(&self) {
        metrics::gauge!("tidegate_spool_drain_failing").set(0.0);
        *self.undrained.lock().expect("no code panics while holding it") = None;
    }

    /// Notes that the drain failed so many times since it last went on; a few of them are nothing special.
    pub fn does_not_drain(&self, vain: u32, error: &StorageError) {
        if vain >= VAIN_MIN {
            metrics::gauge!("tidegate_spool_drain_failing").set(1.0);
            *self.undrained.lock().expect("no code panics while holding it") = Some(error.into());
        }
    }

    /// Why the spool is not drained, if that has failed for a while.
    pub fn undrained(&self) -> Option<Reason> {
        self.undrained.lock().expect("no code panics while holding it").clone()
    }

    fn retry_after_s(&self) -> u32 {
        self.pressure.retry_after(self.budget.used(HeldFor::Body), Instant::now())
    }

    pub fn spool(&self) -> Option<&Arc<Spool>> {
        self.spool.as_ref()
    }

    /// Whether there is a spool, and it took the last request. A refusal is believed for a while only: senders that
    /// hear of it send nothing more, and so nothing that could prove the contrary.
    pub fn spools(&self) -> bool {
        let refused_at = *self.refused_at.lock().expect("no code panics while holding it");
        self.spool.is_some() && refused_at.is_none_or(|at| at.elapsed() > REFUSAL_BELIEVED)
    }

    /// What is known of the database, now and later.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Whether requests go to the spool without being tried.
    pub fn takes_over(&self) -> bool {
        self.spool.is_some() && *self.health.borrow() != Health::Available
    }

    /// How long a submission waits for a database that answers with errors.
    pub fn patience_with_errors(&self) -> Duration {
        if self.spool.is_some() { SPOOL_AFTER_ERROR } else { WRITE_DEADLINE }
    }

    /// How long a submission waits for the database.
    pub fn patience(&self) -> Duration {
        if self.spool.is_some() { SPOOL_AFTER } else { WRITE_DEADLINE }
    }

    /// Finds a place for a batch that could not be written: quarantine for what can never be, the spool for what may
    /// be later, and otherwise the sender keeps it.
    pub async fn give_up(&self, batch: Vec<Submission>, unwritten: Unwritten) {
        let Unwritten { error, mut attempts, crowded } = unwritten;
        let unconfirmed = attempts.unconfirmed.is_some();
        let batch = answer_claimed(batch, attempts.unconfirmed.as_mut());
        let Some(spool) = &self.spool else { return self.refuse(batch, &error, unconfirmed, crowded) };
        match error.fate() {
            Fate::EncoderBug if !unconfirmed => self.quarantine(spool, batch, &error).await,
            _ if crowded && error.is_retryable() => self.park(batch, Some(&attempts)).await,
            fate if unconfirmed || fate.is_of_database() => {
                self.away(&error);
                self.park(batch, Some(&attempts)).await;
            }
            _ => self.refuse(batch, &error, unconfirmed, crowded),
        }
    }

    /// Makes submissions safe on disk and answers them; those for which there is no room are refused.
    pub async fn park(&self, batch: Vec<Submission>, attempts: Option<&Attempts>) {
        let attempt = attempts.and_then(possibly_committed);
        join_all(batch.into_iter().map(|submission| async {
            if let Err((submission, reason)) = self.try_park(submission, attempt.clone()).await {
                let maybe = if attempt.is_some() { "; it is not known whether this request was stored" } else { "" };
                let reason = format!("the database is away, and {reason}{maybe}");
                let retry_after_s = self.retry_after_s();
                submission.finish(Err(Refusal::Unavailable { retry_after_s, reason }));
            }
        }))
        .await;
    }

    /// Makes one submission safe on disk and answers it, or gives it back with the reason why not.
    pub async fn try_park(
        &self,
        submission: Submission,
        attempt: Option<PossiblyCommitted>,
    ) -> Result<(), (Submission, &'static str)> {
        if submission.received.replay.is_some() {
            return Err((submission, "what is replayed stays a dead letter until it is stored"));
        }
        let Some(spool) = &self.spool else { return Err((submission, "there is no spool")) };
        let record = record(&submission, attempt);
        let appended = spool.append(record.encode(), record.meta()).await;
        *self.refused_at.lock().expect("no code panics while holding it") = appended.is_err().then(Instant::now);
        match appended {
            Ok(_) => {
                submission.finish_spooled();
                Ok(())
            }
            Err(AppendError::Full) => Err((submission, "the spool is full")),
            Err(AppendError::Closed) => Err((submission, "the process is stopping")),
            Err(AppendError::Failed(error) | AppendError::Unsettled(error)) => {
                tracing::error!(%error, "a request could not be written to the spool");
                Err((submission, "the spool cannot be written"))
            }
        }
    }

    /// Keeps submissions that no server will ever take, for somebody to look at: our own encoder wrote what PostgreSQL
    /// cannot read.
    async fn quarantine(&self, spool: &Spool, batch: Vec<Submission>, error: &StorageError) {
        for submission in batch {
            if submission.received.replay.is_some() {
                self.refuse(vec![submission], error, false, true);
                continue;
            }
            tracing::error!(%error, receipt = %submission.received.receipt, "a request is put into quarantine; this is a bug");
            let record = record(&submission, None);
            let RecordPayload { head, body } = record.encode();
            // It was never in a segment, so it has no sequence.
            let entry = Entry {
                sequence: 0,
                meta: record.meta(),
                appended_us: submission.received.received_at_us,
                payload: [head, body].concat().into(),
            };
            match spool.quarantine(&entry, &error.to_string()).await {
                Ok(()) => submission.finish_spooled(),
                Err(failed) => {
                    tracing::error!(error = %failed, "the quarantine cannot be written");
                    self.refuse(vec![submission], error, false, true);
                }
            }
        }
    }

    /// Gives submissions back to their senders.
    fn refuse(&self, batch: Vec<Submission>, error: &StorageError, unconfirmed: bool, crowded: bool) {
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
        if (error.is_retryable() || unconfirmed) && !crowded {
            self.away(error);
        }
        for submission in batch {
            let retry_after_s = self.retry_after_s();
            submission.finish(Err(Refusal::Unavailable { retry_after_s, reason: reason.into() }));
        }
    }

    /// Notes that the database does not take batches.
    pub fn away(&self, error: &StorageError) {
        let changed = self.health.send_if_modified(|health| {
            let was = *health == Health::Available;
            if was {
                let another = error.is_another_database();
                *health = Health::Away { since: Instant::now(), reason: Some(error.into()), another };
            }
            was
        });
        self.pressure.away(Instant::now());
        if changed {
            self.gauge.goes();
            metrics::counter!("tidegate_database_outages_total").increment(1);
            let spooling = self.spool.is_some();
            if error.is_retryable() {
                tracing::error!(%error, spooling, "the database does not take batches");
            } else {
                tracing::error!(%error, spooling, "the database refuses batches until an operator acts");
            }
        }
    }

    /// Looks for the database's return, for as long as the process runs.
    pub async fn watch(self: Arc<Self>, database: Database) {
        let mut health = self.health.subscribe();
        let mut back_at: Option<Instant> = None;
        let mut pause = PROBE_FIRST;
        while health.wait_for(|health| *health != Health::Available).await.is_ok() {
            if back_at.is_none_or(|at| at.elapsed() > RELAPSE) {
                pause = PROBE_FIRST;
            }
            loop {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PROBE_MAX);
                match probe(&database).await {
                    Ok(()) => break,
                    Err(error) => {
                        tracing::debug!(%error, "the database is still away");
                        self.still_away(&error);
                    }
                }
            }
            back_at = Some(Instant::now());
            self.back();
        }
    }

    /// Notes that the database takes batches.
    pub fn back(&self) {
        self.pressure.back();
        let was = self.health.send_replace(Health::Available);
        if was != Health::Available {
            self.gauge.comes();
        }
        match was {
            Health::Away { since, reason: Some(_), .. } => {
                tracing::info!(away_s = since.elapsed().as_secs_f64(), "the database takes batches");
            }
            // It was there when it was asked first.
            Health::Away { reason: None, .. } => tracing::info!("the database takes batches"),
            Health::Available => {}
        }
    }

    /// Notes why the database, which is known to be away, still is.
    pub fn still_away(&self, error: &StorageError) {
        self.health.send_if_modified(|health| {
            if let Health::Away { reason, another, .. } = health {
                (*reason, *another) = (Some(error.into()), error.is_another_database());
            }
            // Nobody waits for a reason.
            false
        });
    }
}

/// Whether the writers' connection leads to a server that takes writes.
async fn probe(database: &Database) -> Result<(), StorageError> {
    ask(database, PROBE_TIMEOUT, async |client| {
        let sql = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean";
        match client.query_one(sql, &[]).await?.get(0) {
            false => Ok(()),
            true => Err(StorageError::retryable("the database is read-only")),
        }
    })
    .await
}

/// Answers those whose fate does not depend on the COMMIT that was lost; returns the others, whose verdicts are left.
fn answer_claimed(batch: Vec<Submission>, verdicts: Option<&mut Vec<Verdict>>) -> Vec<Submission> {
    let Some(verdicts) = verdicts else { return batch };
    let mut rest = Vec::new();
    for (submission, verdict) in batch.into_iter().zip(std::mem::take(verdicts)) {
        match verdict {
            Verdict::Claimed(claim) => submission.finish(claim.reply()),
            written => {
                rest.push(submission);
                verdicts.push(written);
            }
        }
    }
    rest
}

/// What is to be looked up before the batch of these attempts is written again.
pub fn possibly_committed(attempts: &Attempts) -> Option<PossiblyCommitted> {
    let TransactionId { xid, server_start } = attempts.transaction.as_ref()?;
    Some(PossiblyCommitted {
        xid: xid.clone(),
        server_start_us: server_start.as_microsecond(),
        batch_ids: attempts.batch_ids(),
    })
}

/// What is needed to write the submission later, and to know whether it was written before.
fn record(submission: &Submission, attempt: Option<PossiblyCommitted>) -> SpooledRequest {
    SpooledRequest {
        received: submission.received.clone(),
        idempotency: submission.idempotency.clone(),
        items: submission.decoded.items,
        accepted: submission.decoded.accepted(),
        rejected: submission.decoded.items - submission.decoded.accepted(),
        attempt,
    }
}
