//! Ingestion: a decoded request becomes a submission, waits in the lane, is written with its neighbours in one
//! transaction, and is answered after COMMIT.
//!
//! `request -> lane -> writer (plan; BEGIN; claims; COPY; ledger; dead letters; manifests; COMMIT) -> answer`
//!
//! Invariants: every item received is settled in exactly one account ([`conservation`]); a submission is written whole
//! or not at all, in one transaction; what cannot be written is kept as it was sent ([`dead_letters`]). Deliberately
//! absent: HTTP, tenants' rules, and any knowledge of how an event looks beyond its encoded row.

mod births;
mod budget;
pub mod conservation;
mod dead_letters;
mod drain;
mod intake;
mod isolate;
mod lane;
mod lanes;
mod ledger;
mod manifests;
mod plan;
mod poison;
mod pressure;
mod request;
mod settle;
mod shelter;
pub mod spool;
mod staging;
mod transaction;
mod workers;
mod writer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::oneshot;
use uuid::Uuid;

pub use crate::model::Kind;
pub use budget::{Budget, NoRoom, Reservation};
use conservation::Conservation;
pub use pressure::{Drain, Pressure};
pub use request::{ItemError, Outcome, Refusal};
pub use shelter::Health;
pub use workers::Workers;

use crate::config::Config;
use crate::limits::{CHUNK_OPEN_GRACE, LIVE_SLICES_MAX};
use crate::model::PerKind;
use crate::storage::{Database, StorageError};
pub use crate::wire::event::{Defaults, foreign_id};
pub use crate::wire::item::BodyForm;
use crate::wire::item::RowRef;
use dead_letters::Quota;
use intake::{Intake, Source, Unreadable};
use lane::Lane;
use request::{Reply, Submission};
use shelter::Shelter;
use spool::Spool;
use writer::Traffic;

/// A request with items, its body read and decompressed.
pub struct Request {
    pub kind: Kind,
    /// The tenant of the key.
    pub tenant_id: Arc<str>,
    pub api_key_id: Uuid,
    /// Days that the organization keeps what the request holds; None: as long as everybody.
    pub keep_days: Option<i32>,
    pub body: Bytes,
    /// How the body is to be read.
    pub form: BodyForm,
    /// What the query string says of absent fields; nothing for metrics.
    pub defaults: Defaults,
    /// `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    /// `?dedupe=body`: the body's hash is the key.
    pub dedupe_body: bool,
    /// `?ack=spooled`: safe on disk is enough.
    pub ack_spooled: bool,
    /// The body's bytes in the budget.
    pub reservation: Reservation,
    /// Whether the key may send as many items.
    pub admit: Admit,
}

/// Asked with the number of items, or of rows where they make more, once it is known, before anything is written. Err: not
/// now, in so many seconds.
pub type Admit = Box<dyn FnOnce(u64) -> Result<(), u32> + Send>;

/// Why a request got no outcome.
#[derive(Debug)]
pub enum Unanswered {
    /// The body holds no item.
    Empty,
    /// More items than a request may have.
    TooManyItems(usize),
    /// Refused by the writer, the quota or a full lane.
    Refused(Refusal),
}

/// The ingestion of a process.
pub struct Ingest {
    lanes: PerKind<Lanes>,
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
        let (spool, recovered) = workers::open_spool(config, &conservation).await?.unzip();
        let budget = Budget::new(config.limits.memory_bytes, config.limits.tenant_memory_bytes);
        let pressure: Arc<Pressure> = Arc::default();
        let shelter = Arc::new(Shelter::new(spool.clone(), Arc::clone(&pressure), Arc::clone(&budget)));
        let intake = Arc::new(Intake::new(PerKind::new(|kind| age_us_max(config, kind)), config.limits.body_bytes));
        let lanes = PerKind::new(|kind| Lanes {
            live: Lane::new(workers::seal(config)),
            late: Lane::new(workers::seal(config)),
            slice_us: micros(database.chunks.of(kind.table()).slice),
        });
        let ingest = Arc::new(Self {
            lanes,
            intake,
            shelter,
            quota: Quota::new(config.limits.dead_letter_bytes_per_day),
            conservation,
            budget,
            pressure,
        });
        let workers = Workers::start(&ingest, database, config, recovered.unwrap_or(0));
        Ok((ingest, workers))
    }

    /// Takes no more submissions; the writers finish those that wait.
    pub fn close(&self) {
        self.lanes.iter().flat_map(Lanes::both).for_each(|lane| lane.close());
    }

    /// Submissions waiting for a writer.
    pub fn waiting(&self) -> usize {
        self.lanes.iter().flat_map(Lanes::both).map(|lane| lane.waiting().0).sum()
    }

    /// What is known of the database.
    pub fn health(&self) -> Health {
        self.shelter.health().borrow().clone()
    }

    /// Whether requests that the database does not take are made safe on disk: there is a spool, and it took the last one.
    pub fn spools(&self) -> bool {
        self.shelter.spools()
    }

    /// The spool, if there is one.
    pub fn spool(&self) -> Option<&Arc<Spool>> {
        self.shelter.spool()
    }

    /// Decodes, writes and answers a request.
    pub async fn take(&self, request: Request) -> Result<Outcome, Unanswered> {
        let ack_spooled = request.ack_spooled;
        let (submission, answer) = self.submission(request)?;
        let api_key_id = submission.source.api_key_id;
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

    /// Whose doing it is that there is no room: a tenant's share fills by itself while the database takes nothing.
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
        let lanes = self.lanes.of(submission.source.kind);
        let rows = &submission.decoded.rows.rows;
        let lane = lanes.of(traffic(rows, lanes.slice_us, submission.source.received_at_us));
        if let Err(submission) = lane.send(submission) {
            let reason = "too many requests are waiting for the database".into();
            submission.finish(Err(Refusal::Unavailable { retry_after_s: self.retry_after_s(), reason }));
        }
    }

    fn submission(&self, request: Request) -> Result<(Submission, oneshot::Receiver<Reply>), Unanswered> {
        let source = Source {
            tenant_id: request.tenant_id,
            api_key_id: request.api_key_id,
            keep_days: request.keep_days,
            receipt: Uuid::now_v7(),
            received_at_us: Timestamp::now().as_microsecond(),
            kind: request.kind,
            form: request.form,
            defaults: request.defaults,
        };
        let (decoded, not_json) =
            self.intake.decode(&source, &request.body).map_err(|unreadable| match unreadable {
                Unreadable::Empty => Unanswered::Empty,
                Unreadable::TooManyItems(max) => Unanswered::TooManyItems(max),
            })?;
        let idempotency = source.idempotency(request.idempotency_key, request.dedupe_body, &request.body);
        let (reply, answer) = oneshot::channel();
        let held = self.conservation.receive(&source.tenant_id, decoded.items.into());
        // From here on a return drops `held`, which books its items as refused.
        let refused = |refusal| Err(Unanswered::Refused(refusal));
        if let Err(retry_after_s) = (request.admit)(decoded.work()) {
            return refused(Refusal::RateLimited { retry_after_s });
        }
        let mut reservation = request.reservation;
        // Encoded rows and rejections are held as well, until they are written.
        let held_bytes = request.body.len() + decoded.rows.bytes.len() + decoded.rejected_bytes();
        if let Err(no_room) = reservation.grow_to(held_bytes) {
            let retry_after_s = self.retry_after_s();
            let reason = "requests that wait for the database fill the memory set aside for them".into();
            return refused(match self.whose(no_room) {
                NoRoom::Tenant => Refusal::TenantMemory { retry_after_s },
                NoRoom::All => Refusal::Unavailable { retry_after_s, reason },
            });
        }
        let submission = Submission {
            tenant_id: Arc::clone(&source.tenant_id),
            receipt: source.receipt,
            source,
            idempotency,
            body: request.body,
            decoded,
            not_json,
            arrived: Instant::now(),
            held,
            reservation: Some(reservation),
            reply: Some(reply),
        };
        Ok((submission, answer))
    }
}

/// The lanes of one kind.
struct Lanes {
    live: Lane,
    late: Lane,
    /// A time slice that is certain to lie in one chunk, in microseconds.
    slice_us: i64,
}

impl Lanes {
    fn of(&self, traffic: Traffic) -> &Lane {
        match traffic {
            Traffic::Live => &self.live,
            Traffic::Late => &self.late,
        }
    }

    fn both(&self) -> [&Lane; 2] {
        [&self.live, &self.late]
    }
}

/// Rows of closed chunks may meet compression, rows of many days hold many locks: both go where they delay nobody else.
fn traffic(rows: &[RowRef], slice_us: i64, now_us: i64) -> Traffic {
    let open_from_us = (now_us - micros(CHUNK_OPEN_GRACE)).div_euclid(slice_us) * slice_us;
    let mut slices: Vec<i64> = Vec::new();
    for row in rows {
        let slice = row.timestamp_us.div_euclid(slice_us);
        if slices.last() == Some(&slice) {
            continue;
        }
        if row.timestamp_us < open_from_us {
            return Traffic::Late;
        }
        if !slices.contains(&slice) {
            slices.push(slice);
            if slices.len() > LIVE_SLICES_MAX {
                return Traffic::Late;
            }
        }
    }
    Traffic::Live
}

/// How old an item may be.
fn age_us_max(config: &Config, kind: Kind) -> i64 {
    let keep = match kind {
        Kind::Events => config.retention.events,
        Kind::Metrics => config.retention.metrics,
    };
    micros(keep) - kind.margin_us()
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).expect("configured durations are below 292,000 years")
}
