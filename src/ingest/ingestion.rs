//! The ingestion of a process: from a request to its outcome.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::births;
use super::budget::{Budget, NoRoom};
use super::conservation::Conservation;
use super::dead_letters::Quota;
use super::drain::{Drainer, TOGETHER_MAX};
use super::intake::Intake;
use super::lane::Lane;
use super::lanes::{Lanes, micros, traffic};
use super::outcome::{Outcome, Refusal, Reply};
use super::pressure::Pressure;
use super::request::{Request, Unanswered};
use super::shelter::{Health, Shelter};
use super::spool::Spool;
use super::submission::Submission;
use super::workers::{self, Workers};
use crate::config::Config;
use crate::model::{Kind, PerKind};
use crate::storage::{Database, StorageError};

pub struct Ingest {
    lanes: Arc<PerKind<Lanes>>,
    intake: Arc<Intake>,
    shelter: Arc<Shelter>,
    quota: Quota,
    pub conservation: Arc<Conservation>,
    /// The byte budget of requests.
    pub budget: Arc<Budget>,
    /// When refused senders should come again.
    pub pressure: Arc<Pressure>,
}

impl Ingest {
    /// Opens the spool and starts the writers.
    pub async fn start(database: &Database, config: &Config) -> Result<(Arc<Self>, Workers), StorageError> {
        births::prove(database).await?;
        let conservation: Arc<Conservation> = Arc::default();
        let opened = workers::open_spool(config, &conservation).await?;
        let spool = opened.as_ref().map(|(spool, _)| Arc::clone(spool));
        let budget = Budget::new(config.limits.memory_bytes, config.limits.tenant_memory_bytes);
        let pressure: Arc<Pressure> = Arc::default();
        let shelter = Arc::new(Shelter::new(spool, Arc::clone(&pressure), Arc::clone(&budget)));
        let intake = Arc::new(Intake::new(PerKind::new(|kind| age_us_max(config, kind)), config.limits.body_bytes));
        let lanes = Arc::new(PerKind::new(|kind| Lanes {
            live: Lane::new(workers::seal(config)),
            late: Lane::new(workers::seal(config)),
            slice_us: micros(database.chunks.of(kind.table()).slice),
        }));
        let quota = Quota::new(config.limits.dead_letter_bytes_per_day);
        let writer = workers::writer(&lanes, &shelter, database, config);
        let drain = opened.map(|(spool, recovered)| Drainer {
            spool,
            writer: Arc::clone(&writer),
            intake: Arc::clone(&intake),
            conservation: Arc::clone(&conservation),
            recovered,
            together: TOGETHER_MAX,
            vain: 0,
        });
        let workers = Workers::start(&lanes, &writer, drain, config.database.writers);
        let ingest = Self { lanes, intake, shelter, quota, conservation, budget, pressure };
        Ok((Arc::new(ingest), workers))
    }

    /// Takes no more submissions; the writers finish those that wait.
    pub fn close(&self) {
        self.lanes.iter().flat_map(Lanes::both).for_each(|lane| lane.close());
    }

    /// Submissions waiting for a writer.
    pub fn waiting(&self) -> usize {
        self.lanes.iter().flat_map(Lanes::both).map(|lane| lane.waiting()).sum()
    }

    /// What is known of the database.
    pub fn health(&self) -> Health {
        self.shelter.health().borrow().clone()
    }

    /// Whether requests that the database does not take are made safe on disk: there is a spool, and it took the last
    /// one.
    pub fn spools(&self) -> bool {
        self.shelter.spools()
    }

    /// Why spooled requests are not written although the database takes batches, if that is so.
    pub fn undrained(&self) -> Option<String> {
        self.shelter.undrained()
    }

    pub fn spool(&self) -> Option<&Arc<Spool>> {
        self.shelter.spool()
    }

    /// Decodes, writes and answers a request.
    pub async fn take(&self, request: Request) -> Result<Outcome, Unanswered> {
        let ack_spooled = request.ack_spooled;
        let (submission, answer) = self.submission(request)?;
        let api_key_id = submission.received.api_key_id;
        let rejected_bytes = submission.decoded.rejected_bytes() as u64;
        let now_s = Timestamp::now().as_second();
        if rejected_bytes > 0 && !self.quota.take(api_key_id, rejected_bytes, now_s) {
            submission.finish(Err(Refusal::DeadLetterQuota));
        } else {
            self.dispatch(submission, ack_spooled).await;
        }
        let reply = answer.await.unwrap_or_else(|_| {
            // Only a writer that panicked drops a submission unanswered.
            Err(Refusal::Unavailable { retry_after_s: self.retry_after_s(), reason: "the request was lost".into() })
        });
        let written = reply.as_ref().is_ok_and(|outcome| !outcome.replayed);
        if rejected_bytes > 0 && !written && reply != Err(Refusal::DeadLetterQuota) {
            self.quota.give_back(api_key_id, rejected_bytes);
        }
        reply.map_err(Unanswered::Refused)
    }

    /// What a sender that is refused because of others is asked to wait, in seconds.
    pub fn retry_after_s(&self) -> u32 {
        self.pressure.retry_after(self.budget.used(), Instant::now())
    }

    /// Who is told that there is no room: while the database takes nothing, every tenant's share fills.
    pub fn whose(&self, no_room: NoRoom) -> NoRoom {
        if self.pressure.is_away() { NoRoom::All } else { no_room }
    }

    /// Into the spool where that is asked for or all there is, else into a lane.
    async fn dispatch(&self, mut submission: Submission, ack_spooled: bool) {
        if self.shelter.takes_over() {
            return self.shelter.park(vec![submission], None).await;
        }
        if ack_spooled {
            // Without room in the spool the stronger promise is as good.
            match self.shelter.try_park(submission, None).await {
                Ok(()) => return,
                Err((back, _)) => submission = back,
            }
        }
        let lanes = self.lanes.of(submission.received.kind);
        let rows = &submission.decoded.rows.rows;
        let lane = lanes.of(traffic(rows, lanes.slice_us, submission.received.received_at_us));
        if let Err(submission) = lane.send(submission) {
            let reason = "too many requests are waiting for the database".into();
            submission.finish(Err(Refusal::Unavailable { retry_after_s: self.retry_after_s(), reason }));
        }
    }

    fn submission(&self, request: Request) -> Result<(Submission, oneshot::Receiver<Reply>), Unanswered> {
        let Request { received, idempotency_key, dedupe_body, ack_spooled: _, mut reservation, admit } = request;
        let decoded = self.intake.decode(&received).map_err(Unanswered::Unreadable)?;
        let idempotency = received.idempotency(idempotency_key, dedupe_body);
        let (reply, answer) = oneshot::channel();
        let held = self.conservation.receive(&received.tenant_id, decoded.items.into());
        // From here on a return drops `held`, which books its items as refused.
        let refused = |refusal| Err(Unanswered::Refused(refusal));
        if let Err(retry_after_s) = admit(decoded.work()) {
            return refused(Refusal::RateLimited { retry_after_s });
        }
        // Encoded rows and rejections are held as well, until they are written.
        let held_bytes = received.body.len() + decoded.rows.bytes.len() + decoded.rejected_bytes();
        if let Err(no_room) = reservation.grow_to(held_bytes) {
            let retry_after_s = self.retry_after_s();
            let reason = "requests that wait for the database fill the memory set aside for them".into();
            return refused(match self.whose(no_room) {
                NoRoom::Tenant => Refusal::TenantMemory { retry_after_s },
                NoRoom::All => Refusal::Unavailable { retry_after_s, reason },
            });
        }
        let submission = Submission {
            received,
            idempotency,
            decoded,
            arrived: Instant::now(),
            held,
            reservation: Some(reservation),
            reply: Some(reply),
        };
        Ok((submission, answer))
    }
}

/// How old an item may be.
fn age_us_max(config: &Config, kind: Kind) -> i64 {
    let keep = match kind {
        Kind::Events => config.retention.events,
        Kind::Metrics => config.retention.metrics,
    };
    micros(keep) - kind.margin_us()
}
