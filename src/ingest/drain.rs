//! The drain: what is in the spool is written in order, in the background, while the database is there.
//!
//! One transaction at a time on one connection, so that live traffic keeps the others. Requests go through the same
//! planning and the same ledger as live ones, those without a key under a key made of their receipt; whatever was
//! written before a crash is thus recognised. The spool forgets a request only once it is settled.

use std::slice::from_ref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::attempts::{TransactionId, Unwritten, Verdict};
use super::connect::ask;
use super::conservation::{Conservation, Settled};
use super::intake::Intake;
use super::lanes::Traffic;
use super::ledger::{self, Claim};
use super::outcome::Outcome;
use super::pending::{Pending, Read, own_key};
use super::settle::{committed, settle};
use super::shelter::possibly_committed;
use super::spool::{Entry, KeepError, Spool, SpooledRequest};
use super::submission::Submission;
use super::trials::{Next, Trials};
use super::writers::Writers;
use crate::limits::{DRAIN_ALONE_DEADLINE, DRAIN_BYTES, WRITE_DEADLINE};
use crate::registry::Registry;
use crate::storage::StorageError;

/// Between two tries of what did not go in, at first; it doubles while nothing does.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Requests of a transaction at most.
pub const TOGETHER_MAX: usize = 1000;
/// Items that are decoded at once; a single request may have more.
const DRAIN_ITEMS: u32 = 20_000;

pub struct Drainer {
    pub spool: Arc<Spool>,
    pub homes: Writers,
    pub intake: Arc<Intake>,
    pub conservation: Arc<Conservation>,
    pub registry: Arc<Registry>,
    /// How many of the first requests to be read are of an earlier process.
    pub recovered: u64,
    /// How many requests are tried in one transaction.
    pub together: usize,
    /// Tries since the last one in which anything went in.
    pub vain: u32,
}

/// What is kept of a pending request beside its submission.
type Ticket = (Entry, Trials, Read);

impl Drainer {
    /// Drains until told to stop.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            () = self.drain() => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    async fn drain(&mut self) {
        loop {
            let entries = self.spool.next(DRAIN_BYTES).await;
            if entries.is_empty() {
                return;
            }
            for group in groups(&entries) {
                let mut pending = Vec::new();
                for entry in group {
                    if let Some(one) = self.pending(entry).await {
                        pending.push(one);
                    }
                }
                let mut only_aside = false;
                while !pending.is_empty() {
                    self.homes.one_is_there().await;
                    pending = self.set_aside(pending).await;
                    only_aside = pending.is_empty();
                    pending = self.read_again(pending).await;
                    if !pending.is_empty() {
                        pending = self.write_some(pending).await;
                    }
                }
                if let Some(last) = group.last() {
                    self.acknowledge(last).await;
                }
                if only_aside {
                    // Perhaps there is nothing else: it would be written to the disk again and again. Not before it is acknowledged,
                    // for until then it is there twice.
                    tokio::time::sleep(PAUSE_MAX).await;
                }
            }
        }
    }

    /// What is of a home that is away goes to the end of the spool, so that it holds up no other home's.
    async fn set_aside(&self, pending: Vec<Pending>) -> Vec<Pending> {
        let mut rest = Vec::new();
        for one in pending {
            if self.homes.is_there(&one.submission) || !self.postpone(&one.entry).await {
                rest.push(one);
            }
        }
        rest
    }

    /// What streams mask may have changed while requests waited, and while the database was away.
    async fn read_again(&self, mut pending: Vec<Pending>) -> Vec<Pending> {
        self.registry.fresh().await;
        let mut unreadable = Vec::new();
        for (index, one) in pending.iter_mut().enumerate() {
            if let Err(reason) = one.read_again(&self.intake, &self.registry).await {
                self.quarantine(&one.entry, &reason).await;
                unreadable.push(index);
            }
        }
        for index in unreadable.into_iter().rev() {
            pending.remove(index);
        }
        pending
    }

    /// Tries as many requests together as went in before, all of the kind and home of the first; what does not go in waits
    /// behind the others, so that it does not hold them up, and is tried again in smaller company. So do those of the
    /// other kind and of other homes, which are next.
    async fn write_some(&mut self, pending: Vec<Pending>) -> Vec<Pending> {
        let kind = pending[0].submission.received.kind;
        let home = self.homes.number(&pending[0].submission);
        let (mut pending, mut rest): (Vec<Pending>, Vec<Pending>) = pending
            .into_iter()
            .partition(|one| one.submission.received.kind == kind && self.homes.number(&one.submission) == home);
        rest.extend(pending.split_off(self.together.min(pending.len())));
        let tried = pending.len();
        let left = self.write(pending).await;
        if left.len() < tried {
            self.vain = 0;
            self.homes.writers[home].shelter.drains();
        }
        if left.is_empty() {
            self.together = (self.together * 2).min(TOGETHER_MAX);
        } else {
            // Nothing of many says little yet: the next try is of fewer, and soon.
            self.together = (tried / 2).max(1);
            let pause = if tried > 1 { PAUSE } else { (PAUSE * 2u32.pow(self.vain.min(8))).min(PAUSE_MAX) };
            tokio::time::sleep(pause).await;
            self.vain += u32::from(left.len() == tried);
        }
        rest.extend(left);
        rest
    }

    async fn acknowledge(&self, last: &Entry) {
        while let Err(error) = self.spool.acknowledge(last.sequence).await {
            if matches!(error, KeepError::Io(_)) {
                // It counts in this process and is saved with the next one; a crash reads them again, and the ledger
                // knows.
                tracing::error!(%error, "the spool's cursor cannot be written");
                return;
            }
            tracing::error!(%error, "the spool does not take an acknowledgement");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The request of an entry; None when nobody can read it, and it is in quarantine.
    async fn pending(&mut self, entry: &Entry) -> Option<Pending> {
        let read_back = SpooledRequest::decode(&entry.payload).map_err(|error| error.to_string());
        let recovered = self.recovered > 0;
        self.recovered = self.recovered.saturating_sub(1);
        let pending = match read_back {
            Ok(request) => {
                let means = (&*self.intake, &*self.registry, &self.conservation);
                Pending::read(request, entry, recovered, means).await
            }
            Err(reason) => Err(reason),
        };
        match pending {
            Ok(pending) => Some(pending),
            Err(reason) => {
                self.quarantine(entry, &reason).await;
                None
            }
        }
    }

    /// Writes what can be written; gives back what is to be tried again, in order.
    async fn write(&self, pending: Vec<Pending>) -> Vec<Pending> {
        let pending = match self.look_up(pending).await {
            Ok(pending) => pending,
            Err((pending, error)) => {
                tracing::warn!(%error, "it cannot be looked up whether spooled requests were written before");
                return pending;
            }
        };
        if pending.is_empty() {
            return pending;
        }
        let (mut batch, tickets): (Vec<Submission>, Vec<Ticket>) =
            pending.into_iter().map(|one| (one.submission, (one.entry, one.trials, one.read))).unzip();
        // One alone cannot be made smaller: it gets more time.
        let deadline = Instant::now() + if batch.len() > 1 { WRITE_DEADLINE } else { DRAIN_ALONE_DEADLINE };
        let writer = Arc::clone(self.homes.writer(&batch[0]));
        match writer.write_joined(&mut batch, Traffic::Late, deadline).await {
            Ok(verdicts) => {
                writer.shelter.wrote();
                self.settle(batch, tickets, verdicts).await
            }
            Err(unwritten) => self.again(batch, tickets, unwritten).await,
        }
    }

    /// Settles those whose earlier attempt, whose COMMIT was never answered, did commit.
    async fn look_up(&self, pending: Vec<Pending>) -> Result<Vec<Pending>, (Vec<Pending>, StorageError)> {
        let mut rest = Vec::new();
        let mut waiting = pending.into_iter();
        while let Some(mut one) = waiting.next() {
            match self.written_before(&one).await {
                Ok(false) => {
                    one.attempt = None;
                    rest.push(one);
                }
                Ok(true) => {
                    let outcome = one.submission.outcome(0);
                    tracing::info!(receipt = %one.submission.received.receipt, "a spooled request had been committed before");
                    one.submission.finish(Ok(outcome));
                }
                Err(error) => {
                    rest.push(one);
                    rest.extend(waiting);
                    return Err((rest, error));
                }
            }
        }
        Ok(rest)
    }

    async fn written_before(&self, one: &Pending) -> Result<bool, StorageError> {
        let Some(attempt) = &one.attempt else { return Ok(false) };
        ask(&self.homes.writer(&one.submission).database, WRITE_DEADLINE, async |client| {
            let server_start = jiff::Timestamp::from_microsecond(attempt.server_start_us)
                .map_err(|_| StorageError::fatal("a spooled request names an impossible time"))?;
            settle(client, &TransactionId { xid: attempt.xid.clone(), server_start }).await?;
            let before = committed(client, from_ref(&one.submission), &attempt.batch_ids).await?;
            if before {
                let key = own_key(one.submission.received.receipt);
                ledger::remember_receipt(client, &one.submission, &key, one.submission.outcome(0)).await?;
            }
            Ok(before)
        })
        .await
    }

    /// Settles a batch that committed; gives back what was not written in it.
    async fn settle(&self, batch: Vec<Submission>, tickets: Vec<Ticket>, verdicts: Vec<Verdict>) -> Vec<Pending> {
        let mut again = Vec::new();
        for ((submission, (entry, trials, read)), verdict) in batch.into_iter().zip(tickets).zip(verdicts) {
            match verdict {
                Verdict::Written(outcome) => submission.finish(Ok(outcome)),
                Verdict::Claimed(Claim::Replay(outcome)) => {
                    // Sent twice, or written before a crash: the receipt that was given out must still be found.
                    match self.alias(&submission, &outcome).await {
                        Ok(()) => {
                            let items = submission.held.items();
                            submission.held.settle(Settled { deduplicated: items, ..Settled::default() });
                        }
                        Err(error) => {
                            tracing::debug!(%error, "a receipt could not be noted");
                            again.push(Pending { submission, attempt: None, entry, trials, read });
                        }
                    }
                }
                Verdict::Claimed(Claim::Reused) if own(&submission) => {
                    self.quarantine(&entry, "the ledger holds another request under its receipt").await;
                }
                Verdict::Claimed(Claim::Reused) => {
                    let mut one = Pending { submission, attempt: None, entry, trials, read };
                    one.refuse_reused();
                    again.push(one);
                }
                Verdict::Claimed(Claim::InFlight | Claim::New) => {
                    again.push(Pending { submission, attempt: None, entry, trials, read });
                }
            }
        }
        again
    }

    async fn alias(&self, submission: &Submission, outcome: &Outcome) -> Result<(), StorageError> {
        let receipt = submission.received.receipt;
        if outcome.receipt == receipt {
            return Ok(());
        }
        let outcome = Outcome { receipt, ..outcome.clone() };
        ask(&self.homes.writer(submission).database, WRITE_DEADLINE, async |client| {
            Ok(ledger::remember_receipt(client, submission, &own_key(receipt), outcome).await?)
        })
        .await
    }

    /// What to do about a batch that was not written: wait for the database, or find out which request is to blame.
    async fn again(&self, batch: Vec<Submission>, tickets: Vec<Ticket>, unwritten: Unwritten) -> Vec<Pending> {
        let Unwritten { error, attempts, .. } = unwritten;
        let unconfirmed = attempts.unconfirmed.is_some();
        let attempt = possibly_committed(&attempts);
        // What was found to be claimed was not written, whatever became of the others.
        let verdicts = attempts.unconfirmed.unwrap_or_default();
        let attempted = |index: usize| !matches!(verdicts.get(index), Some(Verdict::Claimed(_)));
        let pending = |(index, (submission, (entry, trials, read))): (usize, (Submission, Ticket))| {
            let attempt = attempt.clone().filter(|_| attempted(index));
            Pending { submission, attempt, entry, trials, read }
        };
        let mut pending: Vec<Pending> = batch.into_iter().zip(tickets).enumerate().map(pending).collect();
        // Also where the server refuses a request: before others pass beside it, that may be the server's own state.
        let Some(shelter) = pending.first().map(|one| Arc::clone(&self.homes.writer(&one.submission).shelter)) else {
            return pending;
        };
        shelter.does_not_drain(self.vain, &error);
        if error.fate().is_of_database() || unconfirmed {
            tracing::warn!(%error, requests = pending.len(), "spooled requests could not be written; they are tried again");
            // Live traffic says whether the database is away; here it is enough to try again.
            if pending.len() > 1 || unconfirmed {
                return pending;
            }
        } else if pending.len() > 1 {
            tracing::warn!(%error, requests = pending.len(), "a spooled batch failed; writing its requests one by one");
            let mut again = Vec::new();
            for one in pending {
                again.extend(Box::pin(self.write(vec![one])).await);
            }
            return again;
        }
        let Some(mut one) = pending.pop() else { return pending };
        let receipt = one.submission.received.receipt;
        let next = one.trials.failed(error.fate(), shelter.written());
        tracing::error!(%error, %receipt, tries = one.trials.failures(), ?next, "a spooled request was not written");
        match next {
            Next::Again => return vec![one],
            Next::Postpone if self.postpone(&one.entry).await => {}
            Next::Postpone => return vec![one],
            Next::Quarantine => self.quarantine(&one.entry, &error.to_string()).await,
        }
        Vec::new()
    }

    /// Puts a request at the end of the spool, where it holds up no other; false if there is no room. A crash between
    /// this and the acknowledgement leaves it there twice, and the ledger knows.
    async fn postpone(&self, entry: &Entry) -> bool {
        match self.spool.append(entry.payload.clone(), entry.meta).await {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(%error, "a spooled request could not be put at the spool's end");
                false
            }
        }
    }

    async fn quarantine(&self, entry: &Entry, reason: &str) {
        tracing::error!(reason, "a spooled request is put into quarantine");
        while let Err(error) = self.spool.quarantine(entry, reason).await {
            tracing::error!(%error, "the quarantine cannot be written; the drain waits");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Whether a request goes under the key of its receipt.
fn own(submission: &Submission) -> bool {
    submission.idempotency.as_ref().is_some_and(|idempotency| idempotency.key == own_key(submission.received.receipt))
}

/// Entries in order, cut so that none of the groups decodes to very many items.
fn groups(entries: &[Entry]) -> Vec<&[Entry]> {
    let mut groups = Vec::new();
    let (mut start, mut items) = (0, 0);
    for (index, entry) in entries.iter().enumerate() {
        if index > start && items + entry.meta.items > DRAIN_ITEMS {
            groups.push(&entries[start..index]);
            (start, items) = (index, 0);
        }
        items += entry.meta.items;
    }
    groups.push(&entries[start..]);
    groups
}

#[cfg(test)]
#[path = "drain_tests.rs"]
mod tests;
