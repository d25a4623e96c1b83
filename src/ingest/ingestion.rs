//! The ingestion of a process: from a request to its outcome.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::births;
use super::conservation::Conservation;
use super::dead_letters::Quota;
use super::drain::{Drainer, TOGETHER_MAX};
use super::health::{Health, Reason};
use super::home::{Home, Homes};
use super::intake::Intake;
use super::lanes::{Lanes, Traffic, micros, traffic};
use super::outcome::{Outcome, Refusal, Reply};
use super::pressure::Pressure;
use super::reading::{NotRead, Reading, digest_before, read};
use super::received::Received;
use super::replay;
use super::request::{Request, Unanswered};
use super::series_quota::SeriesQuota;
use super::shelter::Shelter;
use super::spool::Spool;
use super::stream_quota::StreamQuota;
use super::submission::Submission;
use super::workers::{self, Workers};
use super::writers::Writers;
use crate::budget::{Budget, HeldFor, NoRoom, Shares};
use crate::config::{Config, LimitsConfig};
use crate::model::{Kind, PerKind};
use crate::registry::Registry;
use crate::storage::{self, Database, StorageError};
use crate::wire::item::{BodyError, Decoded};

pub struct Ingest {
    /// Empty while there is no writer: the database is not there yet.
    homes: OnceLock<Homes>,
    intake: Arc<Intake>,
    /// Of the first home, and of all before the database is there.
    shelter: Arc<Shelter>,
    quota: Quota,
    series_quota: Arc<SeriesQuota>,
    stream_quota: Arc<StreamQuota>,
    /// How many requests of the spool are of an earlier process.
    recovered: u64,
    pub conservation: Arc<Conservation>,
    /// What streams ask of their events.
    pub registry: Arc<Registry>,
    /// The byte budget of requests.
    pub budget: Arc<Budget>,
    /// When refused senders should come again.
    pub pressure: Arc<Pressure>,
}

impl Ingest {
    /// Opens the spool; takes requests for it, and none for the database before that is attached.
    pub async fn open(config: &Config) -> Result<Arc<Self>, StorageError> {
        let conservation: Arc<Conservation> = Arc::default();
        let opened = workers::open_spool(config, &conservation).await?;
        let (spool, recovered) = opened.unzip();
        let budget = Budget::new(shares(&config.limits));
        let pressure: Arc<Pressure> = Arc::default();
        let shelter = Arc::new(Shelter::new(spool, Arc::clone(&pressure), Arc::clone(&budget)));
        let intake = Arc::new(Intake::new(PerKind::new(|kind| age_us_max(config, kind)), config.limits.body_bytes));
        let quota = Quota::new(config.limits.dead_letter_bytes_per_day);
        let kept_s = config.retention.metrics.as_secs_f64();
        let series_quota = Arc::new(SeriesQuota::new(config.limits.series_per_tenant, kept_s));
        let registry = Registry::open(&config.streams, config.data_dir.clone(), shelter.spool().is_some());
        Ok(Arc::new(Self {
            homes: OnceLock::new(),
            intake,
            shelter,
            quota,
            series_quota,
            stream_quota: Arc::new(StreamQuota::new(config.limits.streams_per_tenant)),
            recovered: recovered.unwrap_or(0),
            conservation,
            registry,
            budget,
            pressure,
        }))
    }

    /// Proves that rows will be where they are thought to be; before [`Self::attach`].
    pub async fn prove(database: &Database) -> Result<(), StorageError> {
        births::prove(database).await
    }

    /// Starts the writers and the drain; from now on requests go to the database. Called once.
    pub fn attach(&self, places: &storage::Homes, config: &Config) -> Workers {
        let slices_us = PerKind::new(|kind| places.control.slices.of(kind).map().interval_us);
        self.intake.encode_for(places.control.installed.stored_json);
        let (mut homes, mut writers) = (Vec::new(), Vec::new());
        for (n, database) in places.all().enumerate() {
            let shelter = if n == 0 { Arc::clone(&self.shelter) } else { Arc::new(self.shelter.beside()) };
            if let Some(cell) = places.name(n) {
                shelter.is_of(cell);
            }
            writers.push(workers::writer(&shelter, &self.series_quota, &self.stream_quota, database, config));
            homes.push(Home::new(shelter, config));
        }
        let drain = self.spool().map(|spool| Drainer {
            spool: Arc::clone(spool),
            homes: Writers { writers: writers.clone(), places: places.clone() },
            intake: Arc::clone(&self.intake),
            conservation: Arc::clone(&self.conservation),
            registry: Arc::clone(&self.registry),
            recovered: self.recovered,
            together: TOGETHER_MAX,
            vain: 0,
        });
        let each = homes.iter().map(|home| Arc::clone(&home.lanes)).zip(writers);
        let workers = Workers::start(each, drain, config.database.writers);
        let homes = Homes { places: places.clone(), slices_us, homes };
        assert!(self.homes.set(homes).is_ok(), "the database is attached once");
        self.shelters().for_each(|shelter| shelter.back());
        workers
    }

    /// Of all homes.
    fn shelters(&self) -> impl Iterator<Item = &Arc<Shelter>> {
        let others = self.homes.get().into_iter().flat_map(|homes| homes.homes.iter().skip(1));
        std::iter::once(&self.shelter).chain(others.map(|home| &home.shelter))
    }

    fn lanes(&self) -> impl Iterator<Item = &Lanes> {
        self.homes.get().into_iter().flat_map(Homes::lanes)
    }

    /// Notes why the database cannot be attached yet.
    pub fn waits_because(&self, error: &StorageError) {
        self.shelter.still_away(error);
    }

    /// Lets go of the spool, which takes nothing more; called once drain and writers have ended.
    pub async fn close_spool(&self) {
        if let Some(spool) = self.spool() {
            spool.close().await;
        }
    }

    /// Goes on with other limits.
    pub fn resize(&self, limits: &LimitsConfig) {
        self.budget.resize(shares(limits));
        self.quota.resize(limits.dead_letter_bytes_per_day);
        self.intake.resize(limits.body_bytes);
        self.series_quota.resize(limits.series_per_tenant);
        self.stream_quota.resize(limits.streams_per_tenant);
    }

    /// Takes no more submissions; the writers finish those that wait.
    pub fn close(&self) {
        self.lanes().flat_map(Lanes::both).for_each(|lane| lane.close());
    }

    /// Submissions waiting for a writer.
    pub fn waiting(&self) -> usize {
        self.lanes().flat_map(Lanes::both).map(|lane| lane.waiting()).sum()
    }

    /// Whether requests of this traffic wait because all writers of their kind are at work: who can wait, should.
    pub fn is_behind(&self, traffic: Traffic) -> bool {
        self.lanes().any(|lanes| lanes.of(traffic).is_behind())
    }

    /// What is known of the database; of several homes, of one that is away.
    pub fn health(&self) -> Health {
        let away = self.shelters().map(|shelter| shelter.health().borrow().clone());
        away.into_iter().find(|health| *health != Health::Available).unwrap_or(Health::Available)
    }

    /// The cells that take no batches, and how many there are in all.
    pub fn cells_away(&self) -> (Vec<&str>, usize) {
        let cells: Vec<_> = self.shelters().filter_map(|shelter| Some((shelter, shelter.cell()?))).collect();
        let away = cells.iter().filter(|(shelter, _)| *shelter.health().borrow() != Health::Available);
        (away.map(|(_, cell)| *cell).collect(), cells.len())
    }

    /// Whether requests that the database does not take are made safe on disk: there is a spool, and it took the last
    /// one.
    pub fn spools(&self) -> bool {
        self.shelters().any(|shelter| shelter.spools())
    }

    /// Why spooled requests are not written although the database takes batches, if that is so.
    pub fn undrained(&self) -> Option<Reason> {
        self.shelters().find_map(|shelter| shelter.undrained())
    }

    pub fn spool(&self) -> Option<&Arc<Spool>> {
        self.shelter.spool()
    }

    /// Decodes, writes and answers a request.
    pub async fn take(&self, request: Request) -> Result<Outcome, Unanswered> {
        let ack_spooled = request.ack_spooled;
        // Asked before anything is encoded: rows are for a lane only if it was known what the database is.
        let homes = self.homes.get();
        let shelter = homes.map_or(&self.shelter, |homes| &homes.of(&request.received.tenant_id).shelter);
        let may_load = homes.is_some() && !shelter.takes_over();
        if may_load && request.received.kind == Kind::Events {
            let _ = self.registry.freshen().await;
        }
        let mut request = request;
        let before = request.idempotency_key.as_ref().and_then(|_| digest_before(&self.registry, &request.received));
        let reading = read(&self.intake, &self.registry, &mut request.received, may_load).await;
        let Reading { decoded, warnings, undecided } = reading.map_err(|error| self.unread(&error))?;
        if let Some(error) = &undecided {
            tracing::warn!(%error, "a schema that should judge events could not be had; they wait in the spool");
        }
        let homes = homes.filter(|_| undecided.is_none());
        let (mut submission, answer) = self.submission(request, decoded)?;
        submission.warnings = warnings;
        if let Some(idempotency) = &mut submission.idempotency {
            idempotency.before = before;
        }
        let api_key_id = submission.received.api_key_id;
        // Of a replay nothing more is kept.
        let is_replay = submission.received.replay.is_some();
        let rejected_bytes = if is_replay { 0 } else { submission.letter_bytes() as u64 };
        let now_s = Timestamp::now().as_second();
        if rejected_bytes > 0 && !self.quota.take(api_key_id, rejected_bytes, now_s) {
            submission.finish(Err(Refusal::DeadLetterQuota));
        } else {
            self.dispatch(submission, homes, ack_spooled).await;
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
        self.pressure.retry_after(self.budget.used(HeldFor::Body), Instant::now())
    }

    /// Who is told that there is no room: while the database takes nothing, every tenant's share fills.
    pub fn whose(&self, no_room: NoRoom) -> NoRoom {
        if self.pressure.is_away() { NoRoom::All } else { no_room }
    }

    /// Into the spool where that is asked for or all there is, else into a lane.
    async fn dispatch(&self, mut submission: Submission, homes: Option<&Homes>, ack_spooled: bool) {
        let Some(homes) = homes else { return self.shelter.park(vec![submission], None).await };
        let Home { lanes, shelter } = homes.of(&submission.received.tenant_id);
        if shelter.takes_over() {
            return shelter.park(vec![submission], None).await;
        }
        if ack_spooled {
            // Without room in the spool the stronger promise is as good.
            match shelter.try_park(submission, None).await {
                Ok(()) => return,
                Err((back, _)) => submission = back,
            }
        }
        let Received { kind, received_at_us, replay, .. } = submission.received;
        let traffic = match replay {
            None => traffic(&submission.decoded.rows.rows, *homes.slices_us.of(kind), received_at_us),
            // It may have to wait for its letter's row, and delays nobody there.
            Some(_) => Traffic::Late,
        };
        let lane = lanes.of(kind).of(traffic);
        if let Err(submission) = lane.send(submission) {
            let reason = "too many requests are waiting for the database".into();
            submission.finish(Err(Refusal::Unavailable { retry_after_s: self.retry_after_s(), reason }));
        }
    }

    /// Nothing of a request is kept whose masks are not known.
    fn unread(&self, error: &NotRead) -> Unanswered {
        let reason = match error {
            NotRead::Unknown => {
                "the database has not been there yet, and it is not known what of these events is to be masked"
                    .to_owned()
            }
            NotRead::NoSecret(error) => {
                tracing::error!(%error, "the secret of masks cannot be read or made: events of masked streams are refused");
                "what is to be masked of these events cannot be masked".to_owned()
            }
            NotRead::Grown => return Unanswered::Unreadable(BodyError::MaskedTooLarge),
        };
        Unanswered::Refused(Refusal::Unavailable { retry_after_s: self.retry_after_s(), reason })
    }

    fn submission(
        &self,
        request: Request,
        decoded: Result<Decoded, BodyError>,
    ) -> Result<(Submission, oneshot::Receiver<Reply>), Unanswered> {
        let Request { received, idempotency_key, dedupe_body, ack_spooled: _, waited, mut reservation, admit } =
            request;
        let decoded = match received.replay {
            None => decoded.map_err(Unanswered::Unreadable)?,
            Some(_) => replay::as_one_item(decoded, received.body.len(), self.intake.oldest_us(&received)),
        };
        let idempotency = received.idempotency(idempotency_key, dedupe_body);
        let (reply, answer) = oneshot::channel();
        let held = self.conservation.receive(&received.tenant_id, decoded.items.into());
        // From here on a return drops `held`, which books its items as refused.
        let refused = |refusal| Err(Unanswered::Refused(refusal));
        if let Err(retry_after_s) = admit(decoded.work()) {
            return refused(Refusal::RateLimited { retry_after_s });
        }
        // Encoded rows and rejections are held as well, until they are written.
        let held_bytes = received.held_bytes() + decoded.rows.bytes.len() + decoded.rejected_bytes();
        let most = self.budget.tenant_share();
        if held_bytes > most && received.original.is_some() {
            // To come again would not help.
            return Err(Unanswered::Unreadable(BodyError::TooMuchMade { max: most }));
        }
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
            arrived: arrived(Instant::now(), waited),
            held,
            reservation: Some(reservation),
            warnings: None,
            reply: Some(reply),
        };
        Ok((submission, answer))
    }
}

/// Since when a request has waited for the database, which it has asked for its key already.
fn arrived(now: Instant, waited: Duration) -> Instant {
    // None within so short a time after the machine was started.
    now.checked_sub(waited).unwrap_or(now)
}

fn shares(limits: &LimitsConfig) -> Shares {
    Shares {
        total: limits.memory_bytes,
        tenant: limits.tenant_memory_bytes,
        answers: limits.answers_memory_bytes,
        tenant_answers: limits.tenant_answers_bytes(),
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

#[cfg(test)]
#[path = "ingestion_tests.rs"]
mod tests;
