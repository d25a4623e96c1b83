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
mod writer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

pub use budget::{Budget, NoRoom, Reservation};
use conservation::Conservation;
pub use pressure::{Drain, Pressure};
pub use request::{ItemError, Outcome, Refusal};
pub use shelter::Health;

use crate::config::Config;
use crate::event::RowRef;
pub use crate::event::{BodyForm, Defaults, foreign_id};
use crate::limits::{CHUNK_OPEN_GRACE, JOINED_BATCHES_MAX, LIVE_CHUNKS_MAX};
use crate::storage::{Database, StorageError};
use births::Births;
use dead_letters::Quota;
use drain::Drainer;
use intake::{Intake, Source, Unreadable};
use lane::Lane;
use lanes::Seal;
use plan::PlanConfig;
use request::{Reply, Submission};
use shelter::Shelter;
use spool::{Disk, Spool, SpoolConfig, Totals};
use writer::{Traffic, Writer};

/// A request for events, its body read and decompressed.
pub struct EventsRequest {
    /// The tenant of the key.
    pub tenant_id: Arc<str>,
    /// The key.
    pub api_key_id: Uuid,
    /// The body.
    pub body: Bytes,
    /// How the body is to be read.
    pub form: BodyForm,
    /// What the query string says of absent fields.
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

/// Asked with the number of items once it is known, before anything is written. Err: not now, in so many seconds.
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

const EVENTS_ROUTE: &str = "/v1/events";

/// The ingestion of a process.
pub struct Ingest {
    live: Arc<Lane>,
    late: Arc<Lane>,
    intake: Arc<Intake>,
    shelter: Arc<Shelter>,
    chunk_us: i64,
    quota: Quota,
    /// The books.
    pub conservation: Arc<Conservation>,
    /// The byte budget of requests.
    pub budget: Arc<Budget>,
    /// When refused senders should come again.
    pub pressure: Arc<Pressure>,
}

/// What runs beside the requests, in the order in which it ends.
pub struct Workers {
    /// The writers; they end once [`Ingest::close`] was called and everything that waited is written or spooled.
    pub writers: Vec<JoinHandle<()>>,
    drain: Option<JoinHandle<()>>,
    watch: JoinHandle<()>,
    stop: watch::Sender<bool>,
    spool: Option<Arc<Spool>>,
}

impl Ingest {
    /// Opens the spool and starts the writers.
    pub async fn start(database: &Database, config: &Config) -> Result<(Arc<Self>, Workers), StorageError> {
        let conservation: Arc<Conservation> = Arc::default();
        let (spool, recovered) = open_spool(config, &conservation).await?.unzip();
        let budget = Budget::new(config.limits.memory_bytes, config.limits.tenant_memory_bytes);
        let pressure: Arc<Pressure> = Arc::default();
        let shelter = Arc::new(Shelter::new(spool.clone(), Arc::clone(&pressure), Arc::clone(&budget)));
        let intake = Arc::new(Intake::new(micros(config.retention.events), config.limits.body_bytes));
        let chunk_us = micros(database.chunk_width_min.min(config.chunk_interval));
        let writer = Arc::new(Writer {
            database: database.clone(),
            config: PlanConfig {
                rows_max: config.batch.rows,
                chunk_us,
                direct_compress: database.installed.installation.direct_compress(),
            },
            births: Births::default(),
            ids: tokio::sync::Mutex::default(),
            shelter: Arc::clone(&shelter),
        });
        let seal = Seal {
            rows: config.batch.rows,
            bytes: config.batch.bytes,
            linger: config.batch.linger,
            joined_max: JOINED_BATCHES_MAX,
        };
        let (live, late) = (Arc::new(Lane::new(seal)), Arc::new(Lane::new(seal)));
        let mut writers: Vec<JoinHandle<()>> = (0..config.database.writers)
            .map(|_| tokio::spawn(keep_writing(Arc::clone(&writer), Arc::clone(&live), Traffic::Live)))
            .collect();
        writers.push(tokio::spawn(keep_writing(Arc::clone(&writer), Arc::clone(&late), Traffic::Late)));
        let (stop, stopped) = watch::channel(false);
        let drain = spool.clone().map(|spool| {
            let drain = Drainer {
                spool,
                writer: Arc::clone(&writer),
                intake: Arc::clone(&intake),
                conservation: Arc::clone(&conservation),
                recovered: recovered.unwrap_or(0),
                together: drain::TOGETHER_MAX,
            };
            tokio::spawn(drain.run(stopped))
        });
        let watch = tokio::spawn(Arc::clone(&shelter).watch(database.clone()));
        let ingest = Arc::new(Self {
            live,
            late,
            intake,
            shelter,
            chunk_us,
            quota: Quota::new(config.limits.dead_letter_bytes_per_day),
            conservation,
            budget,
            pressure,
        });
        Ok((ingest, Workers { writers, drain, watch, stop, spool }))
    }

    /// Takes no more submissions; the writers finish those that wait.
    pub fn close(&self) {
        self.live.close();
        self.late.close();
    }

    /// Submissions waiting for a writer.
    pub fn waiting(&self) -> usize {
        self.live.waiting().0 + self.late.waiting().0
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

    /// Decodes, writes and answers a request for events.
    pub async fn events(&self, request: EventsRequest) -> Result<Outcome, Unanswered> {
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
        let lane = match traffic(&submission.decoded.rows.rows, self.chunk_us, submission.source.received_at_us) {
            Traffic::Live => &self.live,
            Traffic::Late => &self.late,
        };
        if let Err(submission) = lane.send(submission) {
            let reason = "too many requests are waiting for the database".into();
            submission.finish(Err(Refusal::Unavailable { retry_after_s: self.retry_after_s(), reason }));
        }
    }

    fn submission(&self, request: EventsRequest) -> Result<(Submission, oneshot::Receiver<Reply>), Unanswered> {
        let source = Source {
            tenant_id: request.tenant_id,
            api_key_id: request.api_key_id,
            receipt: Uuid::now_v7(),
            received_at_us: Timestamp::now().as_microsecond(),
            route: EVENTS_ROUTE,
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
        if let Err(retry_after_s) = (request.admit)(decoded.items.into()) {
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

impl Workers {
    /// Ends the drain and closes the spool; called once the writers have ended.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Some(drain) = self.drain {
            // What it was at is still in the spool.
            let _ = drain.await;
        }
        self.watch.abort();
        if let Some(spool) = self.spool {
            spool.close().await;
        }
    }
}

/// Runs a writer to the lane's end. One that panics loses its batch, whose senders are told to retry, and is replaced:
/// with every writer gone, requests would wait for nobody.
async fn keep_writing(writer: Arc<Writer>, lane: Arc<Lane>, traffic: Traffic) {
    while let Err(error) = tokio::spawn(Arc::clone(&writer).run(Arc::clone(&lane), traffic)).await {
        metrics::counter!("tidegate_writer_panics_total").increment(1);
        tracing::error!(%error, "a writer failed and is replaced; this is a bug");
    }
}

/// Rows of closed chunks may meet compression, rows of many chunks hold many locks: both go where they delay nobody else.
fn traffic(rows: &[RowRef], chunk_us: i64, now_us: i64) -> Traffic {
    let open_from_us = (now_us - micros(CHUNK_OPEN_GRACE)).div_euclid(chunk_us) * chunk_us;
    let mut chunks: Vec<i64> = Vec::new();
    for row in rows {
        let chunk = row.timestamp_us.div_euclid(chunk_us);
        if chunks.last() == Some(&chunk) {
            continue;
        }
        if row.timestamp_us < open_from_us {
            return Traffic::Late;
        }
        if !chunks.contains(&chunk) {
            chunks.push(chunk);
            if chunks.len() > LIVE_CHUNKS_MAX {
                return Traffic::Late;
            }
        }
    }
    Traffic::Live
}

/// Opens the spool, if there is to be one, and books what an earlier process left in it; returns how many requests that
/// is.
async fn open_spool(config: &Config, conservation: &Conservation) -> Result<Option<(Arc<Spool>, u64)>, StorageError> {
    if !config.spool.enabled {
        return Ok(None);
    }
    let spool = SpoolConfig::of(&config.data_dir, config.spool.max_bytes);
    let opened = tokio::task::spawn_blocking(move || Spool::open(spool, Arc::new(Disk)))
        .await
        .map_err(|error| StorageError::fatal(format!("opening the spool: {error}")))?;
    let (spool, recovery) = opened.map_err(|error| StorageError::fatal(error.to_string()))?;
    conservation.recover(recovery.undrained.items);
    if recovery.undrained.records > 0 {
        let Totals { records, items, bytes } = recovery.undrained;
        tracing::info!(records, items, bytes, "the spool holds requests of an earlier run; they are written now");
    }
    Ok(Some((spool, recovery.undrained.records)))
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).expect("configured durations are below 292,000 years")
}
