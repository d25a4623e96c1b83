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
mod isolate;
mod lane;
mod ledger;
mod plan;
mod pressure;
mod request;
pub mod spool;
mod staging;
mod transaction;
mod writer;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use uuid::Uuid;

pub use budget::{Budget, NoRoom, Reservation};
use conservation::Conservation;
pub use pressure::{Drain, Pressure};
pub use request::{ItemError, Outcome, Refusal};

use crate::config::Config;
use crate::event::{BodyError, Decoded, Decoder, Origin, RejectedItem, Rows, Window};
pub use crate::event::{BodyForm, Defaults, foreign_id};
use crate::limits::FUTURE_DAYS_MAX;
use crate::storage::Database;
use births::Births;
use dead_letters::Quota;
use lane::{Lane, LaneSender};
use plan::PlanConfig;
use request::{Idempotency, Reply, Submission};
use writer::Writer;

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
    /// Its content type, as kept with dead letters.
    pub content_type: &'static str,
    /// What the query string says of absent fields.
    pub defaults: Defaults,
    /// `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    /// `?dedupe=body`: the body's hash is the key.
    pub dedupe_body: bool,
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
    lane: Mutex<Option<LaneSender>>,
    decoders: Mutex<Vec<Decoder>>,
    retention_us: i64,
    body_bytes_max: usize,
    quota: Quota,
    /// The books.
    pub conservation: Arc<Conservation>,
    /// The byte budget of requests.
    pub budget: Arc<Budget>,
    /// When refused senders should come again.
    pub pressure: Arc<Pressure>,
}

impl Ingest {
    /// Starts the writers; they end once [`Ingest::close`] was called and everything that waited is written.
    pub fn start(database: &Database, config: &Config) -> (Arc<Self>, Vec<JoinHandle<()>>) {
        let (sender, lane) = lane::lane(config.batch.clone());
        let lane = Arc::new(lane);
        let writer = Arc::new(Writer {
            database: database.clone(),
            config: PlanConfig {
                rows_max: config.batch.rows,
                chunk_us: micros(database.chunk_width_min.min(config.chunk_interval)),
                direct_compress: database.installed.installation.direct_compress(),
            },
            births: Births::default(),
            ids: Arc::default(),
        });
        let writers = (0..config.database.writers)
            .map(|_| tokio::spawn(keep_writing(Arc::clone(&writer), Arc::clone(&lane))))
            .collect();
        let ingest = Arc::new(Self {
            lane: Mutex::new(Some(sender)),
            decoders: Mutex::default(),
            retention_us: micros(config.retention.events),
            body_bytes_max: config.limits.body_bytes,
            quota: Quota::new(config.limits.dead_letter_bytes_per_day),
            conservation: Arc::default(),
            budget: Budget::new(config.limits.memory_bytes, config.limits.tenant_memory_bytes),
            pressure: Arc::default(),
        });
        (ingest, writers)
    }

    /// Takes no more submissions; the writers finish those that wait.
    pub fn close(&self) {
        self.lane.lock().expect("no code panics while holding it").take();
    }

    /// Submissions waiting for a writer.
    pub fn waiting(&self) -> usize {
        self.lane.lock().expect("no code panics while holding it").as_ref().map_or(0, LaneSender::waiting)
    }

    /// Decodes, writes and answers a request for events.
    pub async fn events(&self, request: EventsRequest) -> Result<Outcome, Unanswered> {
        let (submission, answer) = self.submission(request)?;
        let api_key_id = submission.api_key_id;
        let rejected_bytes = submission.decoded.rejected_bytes() as u64;
        let now_s = Timestamp::now().as_second();
        if rejected_bytes > 0 && !self.quota.take(api_key_id, rejected_bytes, now_s) {
            submission.finish(Err(Refusal::DeadLetterQuota));
        } else if let Err(submission) = self.send(submission) {
            let reason = "too many requests are waiting for the database".into();
            submission.finish(Err(Refusal::Unavailable { retry_after_s: self.retry_after_s(), reason }));
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

    #[expect(clippy::result_large_err, reason = "the caller needs the submission back to answer it")]
    fn send(&self, submission: Submission) -> Result<(), Submission> {
        match &*self.lane.lock().expect("no code panics while holding it") {
            Some(lane) => lane.send(submission),
            None => Err(submission),
        }
    }

    fn submission(&self, request: EventsRequest) -> Result<(Submission, oneshot::Receiver<Reply>), Unanswered> {
        let receipt = Uuid::now_v7();
        let (decoded, not_json) = self.decode(&request, receipt)?;
        let parameters = parameters(&request.defaults);
        let idempotency = idempotency(&request, &parameters);
        let (reply, answer) = oneshot::channel();
        let in_flight = self.conservation.receive(&request.tenant_id, decoded.items.into());
        // From here on a return drops `in_flight`, which books its items as refused.
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
            tenant_id: request.tenant_id,
            api_key_id: request.api_key_id,
            receipt,
            idempotency,
            route: EVENTS_ROUTE,
            content_type: request.content_type,
            parameters,
            body: request.body,
            decoded,
            not_json,
            arrived: Instant::now(),
            in_flight,
            reservation,
            reply,
        };
        Ok((submission, answer))
    }

    fn decode(&self, request: &EventsRequest, receipt: Uuid) -> Result<(Decoded, bool), Unanswered> {
        let now_us = Timestamp::now().as_microsecond();
        let origin = Origin {
            tenant_id: &request.tenant_id,
            api_key_id: request.api_key_id,
            receipt,
            received_at_us: now_us,
            window: Window {
                oldest_us: now_us - self.retention_us,
                newest_us: now_us + FUTURE_DAYS_MAX * micros(Duration::from_secs(86_400)),
            },
            item_bytes_max: self.body_bytes_max,
        };
        let mut decoder = self.decoders.lock().expect("no code panics while holding it").pop().unwrap_or_default();
        let decoded = decoder.decode(&request.body, request.form, &request.defaults, &origin);
        self.decoders.lock().expect("no code panics while holding it").push(decoder);
        match decoded {
            Ok(decoded) => Ok((decoded, false)),
            Err(BodyError::Empty) => Err(Unanswered::Empty),
            Err(BodyError::TooManyItems { max }) => Err(Unanswered::TooManyItems(max)),
            Err(BodyError::NotJson { rejection }) => {
                let raw = 0..u32::try_from(request.body.len()).expect("limits.body_bytes is at most 256 MiB");
                let whole = RejectedItem { index: 0, raw, event_id: None, rejection };
                Ok((Decoded { rows: Rows::default(), rejected: vec![whole], items: 1 }, true))
            }
        }
    }
}

/// Runs a writer to the lane's end. One that panics loses its batch, whose senders are told to retry, and is replaced:
/// with every writer gone, requests would wait for nobody.
async fn keep_writing(writer: Arc<Writer>, lane: Arc<Lane>) {
    while let Err(error) = tokio::spawn(Arc::clone(&writer).run(Arc::clone(&lane))).await {
        metrics::counter!("tidegate_writer_panics_total").increment(1);
        tracing::error!(%error, "a writer failed and is replaced; this is a bug");
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).expect("configured durations are below 292,000 years")
}

/// The query parameters that change what items mean; a replay of a dead letter needs them.
fn parameters(defaults: &Defaults) -> serde_json::Value {
    let mut map = serde_json::Map::new();
    let named = [
        ("event_type", &defaults.event_type),
        ("source_module", &defaults.source_module),
        ("stream", &defaults.stream),
    ];
    for (name, value) in named {
        if let Some(value) = value {
            map.insert(name.into(), value.as_str().into());
        }
    }
    if defaults.wrap {
        map.insert("wrap".into(), "payload".into());
    }
    map.into()
}

fn idempotency(request: &EventsRequest, parameters: &serde_json::Value) -> Option<Idempotency> {
    if request.idempotency_key.is_none() && !request.dedupe_body {
        return None;
    }
    let sha256: [u8; 32] = Sha256::new()
        .chain_update(EVENTS_ROUTE)
        .chain_update([0])
        .chain_update(parameters.to_string())
        .chain_update([0])
        .chain_update(&request.body)
        .finalize()
        .into();
    let key = request.idempotency_key.clone().unwrap_or_else(|| {
        let hex: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("body-sha256:{hex}")
    });
    Some(Idempotency { key, sha256 })
}
