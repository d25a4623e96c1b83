//! How a batch of messages is handed to ingestion: under the listener's key, which is verified each time, within its
//! limits, and again where it was refused for now.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use metrics::counter;
use tokio::sync::watch;

use super::batch::{Batch, Items};
use crate::budget::{HeldFor, Reservation};
use crate::config::SyslogConfig;
use crate::http::Api;
use crate::ingest::{self, Refusal, Unanswered};
use crate::limits::{RETRY_AFTER_MAX, SYSLOG_BATCH_BYTES, SYSLOG_KEY_PAUSE};
use crate::model::{Kind, Relation};
use crate::protocols::syslog::ROUTE;
use crate::tenancy::{Charge, KeyError, Principal, Scope};
use crate::wire::event::Defaults;
use crate::wire::item::BodyForm;

/// The key is not that of a peer: look-ups of it are counted under this address.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Where all messages of the listener go in.
pub struct Inlet {
    pub api: Arc<Api>,
    key: String,
    stream: Option<String>,
    zone: TimeZone,
}

/// Why a batch was not taken.
#[derive(Debug)]
pub enum Refused {
    /// It may be, after this.
    Later { after: Duration, reason: &'static str },
    /// It never will be.
    Never { reason: &'static str },
}

/// Says why messages of a connection wait.
pub fn held_up(transport: &'static str, reason: &'static str) {
    tracing::warn!(
        transport,
        reason,
        "messages of syslog are not taken; nothing more is read until they are. Of a key: it needs the scope `ingest` \
         (tidegate keys list)"
    );
}

impl Inlet {
    pub fn new(api: Arc<Api>, config: &SyslogConfig) -> Self {
        let SyslogConfig { key, stream, zone, .. } = config.clone();
        Self { api, key, stream, zone }
    }

    /// Room for a batch in the tenant's memory, before its first message is read.
    pub async fn room(&self) -> Result<Reservation, Refused> {
        let principal = self.principal().await?;
        self.reserve(&principal, SYSLOG_BATCH_BYTES)
    }

    /// Delivers a batch, however often it takes, until `stop`; then once more. False: it could not be.
    pub async fn deliver(&self, mut batch: Batch, transport: &'static str, stop: &mut watch::Receiver<bool>) -> bool {
        let mut said = "";
        loop {
            let stopping = *stop.borrow();
            let (after, reason) = match self.offer(&mut batch).await {
                Ok(()) => return true,
                Err(Refused::Never { reason }) => {
                    dropped(transport, reason, batch.len());
                    return false;
                }
                Err(Refused::Later { after, reason }) => (after, reason),
            };
            if stopping {
                dropped(transport, reason, batch.len());
                return false;
            }
            if said != reason {
                said = reason;
                held_up(transport, reason);
            }
            tokio::select! {
                () = tokio::time::sleep(after.min(RETRY_AFTER_MAX)) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        }
    }

    /// Offers a batch once.
    pub async fn offer(&self, batch: &mut Batch) -> Result<(), Refused> {
        let asked_at = Instant::now();
        let principal = self.principal().await?;
        let waited = asked_at.elapsed();
        let limits = principal.limits;
        let charge = self.api.limiter.begin(principal.id(), limits, batch.bytes() as u64, Instant::now());
        let charge = Arc::new(charge.map_err(|limited| later(limited.retry_after_s, "rate_limited"))?);
        let outcome = self.take(batch, &principal, waited, &charge).await;
        if matches!(outcome, Err(Refused::Later { .. })) {
            charge.give_back(Instant::now());
        }
        outcome
    }

    async fn take(
        &self,
        batch: &mut Batch,
        principal: &Principal,
        waited: Duration,
        charge: &Arc<Charge>,
    ) -> Result<(), Refused> {
        let mut reservation = match batch.reservation.take() {
            Some(reservation) => reservation,
            None => self.reserve(principal, batch.bytes())?,
        };
        let items = batch.items(&self.zone, &mut reservation);
        let Items { items, original } = items.map_err(|_| self.later("memory"))?;
        if original.places.is_empty() {
            return Ok(());
        }
        reservation.shrink_to(batch.bytes() + items.len());
        let kind = Kind::Events;
        let admitted = Arc::clone(charge);
        let request = ingest::Request {
            received: ingest::Received {
                tenant_id: principal.tenant_id.clone(),
                api_key_id: principal.id(),
                keep_days: principal.keeps.days(Relation::Raw(kind)),
                receipt: self.api.nodes.receipt(),
                received_at_us: batch.received_at_us,
                route: ROUTE.into(),
                kind,
                form: BodyForm::Converted,
                defaults: Defaults { stream: self.stream.clone(), ..Defaults::default() },
                body: items,
                original: Some(original),
                sent_digest: None,
                replay: None,
            },
            idempotency_key: None,
            dedupe_body: false,
            ack_spooled: false,
            waited,
            reservation,
            admit: Box::new(move |count| {
                admitted.take_events(count, Instant::now()).map_err(|limited| limited.retry_after_s)
            }),
        };
        match self.api.ingest.take(request).await {
            Ok(_) => Ok(()),
            Err(unanswered) => Err(self.refused(unanswered)),
        }
    }

    async fn principal(&self) -> Result<Arc<Principal>, Refused> {
        match self.api.verifier.verify(&self.key, NOBODY).await {
            Ok(principal) if principal.may(Scope::Ingest) => Ok(principal),
            Ok(_) => Err(Refused::Later { after: SYSLOG_KEY_PAUSE, reason: "key_without_scope" }),
            Err(KeyError::Invalid) => Err(Refused::Later { after: SYSLOG_KEY_PAUSE, reason: "key_not_valid" }),
            Err(KeyError::TooMany { retry_after_s }) => Err(later(retry_after_s, "key_lookups")),
            Err(KeyError::Unavailable(_)) => Err(self.later("key_unverified")),
        }
    }

    fn reserve(&self, principal: &Principal, bytes: usize) -> Result<Reservation, Refused> {
        let budget = &self.api.ingest.budget;
        budget.reserve(&principal.tenant_id, HeldFor::Body, bytes).map_err(|_| self.later("memory"))
    }

    fn later(&self, reason: &'static str) -> Refused {
        later(self.api.ingest.retry_after_s(), reason)
    }

    fn refused(&self, unanswered: Unanswered) -> Refused {
        match unanswered {
            Unanswered::Unreadable(error) => {
                tracing::error!(%error, "messages of syslog could not be made events, and are dropped");
                Refused::Never { reason: "unreadable" }
            }
            Unanswered::Refused(Refusal::Unavailable { retry_after_s, .. }) => later(retry_after_s, "unavailable"),
            Unanswered::Refused(Refusal::RateLimited { retry_after_s }) => later(retry_after_s, "rate_limited"),
            Unanswered::Refused(Refusal::TenantMemory { retry_after_s }) => later(retry_after_s, "memory"),
            Unanswered::Refused(Refusal::DeadLetterQuota) => {
                Refused::Later { after: RETRY_AFTER_MAX, reason: "dead_letters" }
            }
            // There is no key.
            Unanswered::Refused(Refusal::KeyInFlight | Refusal::KeyReused) => self.later("unavailable"),
        }
    }
}

fn later(seconds: u32, reason: &'static str) -> Refused {
    Refused::Later { after: Duration::from_secs(seconds.into()), reason }
}

/// Counts messages that came.
pub fn came(transport: &'static str, count: u64) {
    counter!("tidegate_syslog_messages_total", "transport" => transport).increment(count);
}

/// Counts messages that are lost.
pub fn dropped(transport: &'static str, reason: &'static str, count: u64) {
    counter!("tidegate_syslog_dropped_total", "transport" => transport, "reason" => reason).increment(count);
}
