//! What a key may send and a tenant may hold: asked around the reading of a body, and answered 429.
//!
//! Bytes count after decompression, since that is what they cost here however they were packed; what a request costs is
//! given back when it is answered with Retry-After, so that sending it again is not paid for twice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use jiff::Timestamp;

use super::slots::Crowd;
use crate::budget::{HeldFor, NoRoom, Reservation};
use crate::ingest::{Admit, Ingest};
use crate::protocols::{Problem, ProblemCode};
use crate::query::Busy;
use crate::rng::Rng;
use crate::tenancy::{Charge, Limit, Limited};

/// Longest wait that a used up day is answered with, in seconds: the sender may have been mended meanwhile.
const DAY_RETRY_AFTER_S_MAX: i64 = 3600;

/// Before a connection is tried again, in seconds: others end sooner or later.
const CONNECTIONS_RETRY_AFTER_S: u32 = 5;

/// The memory that the bodies of a tenant may take.
pub struct Memory<'a> {
    pub ingest: &'a Ingest,
    pub tenant_id: &'a Arc<str>,
}

impl Memory<'_> {
    /// Takes `bytes` for a body.
    pub fn reserve(&self, bytes: usize) -> Result<Reservation, Problem> {
        self.ingest.budget.reserve(self.tenant_id, HeldFor::Body, bytes).map_err(|no_room| self.refused(no_room))
    }

    /// What a tenant can hold at most: who asks for more need not ask again.
    pub fn most(&self) -> usize {
        self.ingest.budget.tenant_share()
    }

    /// The answer when there was no room.
    pub fn refused(&self, no_room: NoRoom) -> Problem {
        let retry_after_s = self.ingest.retry_after_s();
        match self.ingest.whose(no_room) {
            NoRoom::Tenant => tenant_memory(retry_after_s),
            NoRoom::All => {
                let detail = "requests that are being received or written fill the memory set aside for them";
                Problem::unavailable(ProblemCode::Overloaded, detail, retry_after_s)
            }
        }
    }
}

/// What ingestion asks once it knows how many events a request holds.
pub fn admit(charge: &Arc<Charge>) -> Admit {
    let charge = Arc::clone(charge);
    Box::new(move |events| charge.take_events(events, Instant::now()).map_err(|limited| limited.retry_after_s))
}

/// Passes a refusal on; one that asks to send the same again gives back what the request has cost.
pub fn unpaid(problem: Problem, charge: &Charge) -> Problem {
    if problem.retry_after_s().is_some() {
        charge.give_back(Instant::now());
    }
    problem
}

/// 429: the key has sent too much lately.
pub fn rate_limited(limited: Limited) -> Problem {
    let (reason, what) = match limited.limit {
        Limit::Events => ("events_per_second", "events"),
        Limit::Bytes => ("bytes_per_second", "bytes (counted after decompression)"),
    };
    let detail = format!(
        "the key has used up the {what} that it may send for now; nothing of this request was stored; send it again after \
         Retry-After"
    );
    refused(reason, ProblemCode::RateLimited, detail, limited.retry_after_s)
}

/// 429: the tenant's own requests hold its share of the memory.
pub fn tenant_memory(retry_after_s: u32) -> Problem {
    let detail = "requests of this tenant that are being received or written hold all the memory that one tenant may have \
                  (limits.tenant_memory_bytes); send fewer at once; nothing of this request was stored";
    refused("tenant_memory", ProblemCode::TenantMemory, detail, retry_after_s)
}

/// 429: the key's dead letters of the UTC day are used up.
pub fn dead_letters() -> Problem {
    let until_tomorrow_s = 86_400 - Timestamp::now().as_second().rem_euclid(86_400);
    let retry_after_s = u32::try_from(until_tomorrow_s.min(DAY_RETRY_AFTER_S_MAX)).unwrap_or(1);
    let detail = "this key has used up its dead letters of the day; mend what it sends (GET /v1/dead-letters says what is \
                  wrong); nothing of this request was stored";
    refused("dead_letters", ProblemCode::DeadLetterQuota, detail, retry_after_s)
}

/// The connection is one of the reserve: 429 where its address holds its share, 503 where all are taken.
pub fn connections(crowd: Option<Crowd>) -> Problem {
    let (status, detail) = match crowd {
        Some(Crowd::Address) => (
            StatusCode::TOO_MANY_REQUESTS,
            "connections of this address hold all that one address may have (limits.connections_per_address); close some, \
             or send more over each",
        ),
        Some(Crowd::All) | None => (
            StatusCode::SERVICE_UNAVAILABLE,
            "all connections are taken (limits.connections); connect again after Retry-After",
        ),
    };
    Problem::new(status, ProblemCode::TooManyConnections, detail).retry_after(CONNECTIONS_RETRY_AFTER_S)
}

/// There is no reader, or no memory for an answer: 429 where the tenant holds its share, 503 where all is taken.
pub fn reads(busy: Busy, retry_after: Duration) -> Problem {
    let retry_after_s = Rng::from_os().retry_after_s(retry_after);
    let (reason, detail) = match busy {
        Busy::TenantReaders => (
            "tenant_readers",
            "reads of this tenant are under way on all the readers that one tenant may have (readers_per_tenant); ask for \
             fewer at once, or for less",
        ),
        Busy::TenantMemory => (
            "tenant_answers",
            "answers to this tenant that are made or not yet taken hold all the memory that they may \
             (limits.answers_memory_bytes); take them faster, ask for fewer at once, or for smaller pages",
        ),
        Busy::Readers => ("readers", "reads of all tenants are under way on all readers"),
        Busy::Memory => ("answers", "answers that are made or not yet taken fill the memory set aside for them"),
    };
    metrics::counter!("tidegate_read_refusals_total", "reason" => reason).increment(1);
    match busy {
        Busy::TenantReaders | Busy::TenantMemory => {
            Problem::new(StatusCode::TOO_MANY_REQUESTS, ProblemCode::TenantReads, detail).retry_after(retry_after_s)
        }
        Busy::Readers | Busy::Memory => Problem::unavailable(ProblemCode::ReadsBusy, detail, retry_after_s),
    }
}

/// 429: too many keys are being tried.
pub fn key_lookups(retry_after_s: u32) -> Problem {
    let detail = "too many unknown keys are being tried, from this address or from all";
    refused("key_lookups", ProblemCode::KeyLookups, detail, retry_after_s)
}

/// 429: too many attempts to sign in have failed within `window`.
pub fn sign_ins(retry_after_s: u32, window: Duration) -> Problem {
    let detail = format!(
        "too many attempts to sign in have failed, for this account or from this address; each counts for {} minutes",
        window.as_secs() / 60
    );
    refused("sign_in_attempts", ProblemCode::SignInAttempts, detail, retry_after_s)
}

fn refused(reason: &'static str, code: ProblemCode, detail: impl Into<String>, retry_after_s: u32) -> Problem {
    metrics::counter!("tidegate_quota_refusals_total", "reason" => reason).increment(1);
    Problem::new(StatusCode::TOO_MANY_REQUESTS, code, detail).retry_after(retry_after_s)
}
